"""Leases: on disk before anything is made, and removable by anyone once their run is dead."""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local
from bench.labs import lease as leases
from bench.labs.lease import Reaped, append_durably, create_durably, held, measuring, only_run, read_lines, reap
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost


def _dead(folder: Path, name: str, *names: str, tail: str = "") -> Path:
    """The lease of a run that was killed."""
    path = folder / f"{name}.jsonl"
    lines = [{"lease": name, "pid": 1}, *({"kind": "netns", "name": each} for each in names)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail, encoding="utf-8")
    return path


def test_a_note_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    """Whoever reads the file at that moment finds the name, the lease and its process."""
    with held(tmp_path) as lease:
        lease.note("netns", "nt-1")
        lines = read_lines(tmp_path / f"{lease.lease_id}.jsonl")

    assert (lines[0]["lease"], lines[0]["pid"]) == (lease.lease_id, os.getpid())
    assert lines[1:] == [{"kind": "netns", "name": "nt-1"}]


def test_a_line_is_synced_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is written whole when fsync is called, and the name of a new file is synced too."""
    seen: list[str] = []

    def noting(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append("folder" if target.is_dir() else target.read_text(encoding="utf-8"))

    monkeypatch.setattr(os, "fsync", noting)
    with create_durably(tmp_path / "x.jsonl") as file:
        append_durably(file, {"a": 1})
        append_durably(file, {"b": 2})

    assert seen == ["folder", '{"a":1}\n', '{"a":1}\n{"b":2}\n']


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    """The write that does not fit is named; what was there can still be read, and appended to once there is room."""
    script = (
        "import resource, sys; from pathlib import Path; from bench.labs.lease import *\n"
        "path = Path(sys.argv[1]); file = create_durably(path); append_durably(file, {'whole': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))\n"
        "try: append_durably(file, {'long': 'x' * 100})\n"
        "except NotAble as error: said = str(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "append_durably(file, {'after': 2}); file.close(); print(said)\n"
    )
    path = tmp_path / "x.jsonl"
    told = Local().run(Command(("env", f"PYTHONPATH={Path.cwd()}", sys.executable, "-c", script, str(path)))).require()

    assert told.stdout == f"cannot write {path}: File too large\n"
    assert read_lines(path) == [{"whole": 1}, {"after": 2}]


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """The path and the cause, and where to put it instead."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(NotAble, match="Not a directory") as raised:
        create_durably(tmp_path / "file" / "below" / "x.jsonl")
    with pytest.raises(NotAble, match="cannot write"), only_run(tmp_path / "file" / "below", "run"):
        pass

    assert "NETTUNE_STATE" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), ('{"a":1}\n{"b":', [{"a": 1}]), ('{"a":1}\n{"b":2}', [{"a": 1}, {"b": 2}]), ("[1]\n", []),
     ('{"a":1}\n\x00\x00\x00', [{"a": 1}])],
)  # fmt: skip
def test_a_last_line_cut_short_is_left_out(tmp_path: Path, text: str, expected: list[dict[str, int]]) -> None:
    """Nothing was done under a line that was not whole when its fsync returned."""
    (tmp_path / "x").write_text(text, encoding="utf-8")

    assert read_lines(tmp_path / "x") == expected


def test_a_damaged_line_does_not_hide_those_after_it(tmp_path: Path) -> None:
    """What they name was made, and must be removed."""
    (tmp_path / "x").write_text('{"a":1}\n{"b"\x00\n{"c":3}\n', encoding="utf-8")

    assert read_lines(tmp_path / "x") == [{"a": 1}, {"c": 3}]


def test_bytes_that_are_no_text_end_the_lines(tmp_path: Path) -> None:
    """What a power cut left of the last block is no line."""
    (tmp_path / "x").write_bytes(b'{"a":1}\n\xff\xfe\x80')

    assert read_lines(tmp_path / "x") == [{"a": 1}]


def test_the_lease_stays_until_it_is_released(tmp_path: Path) -> None:
    """Leaving the context is not enough: what it lists may still stand."""
    with held(tmp_path) as kept:
        kept.note("netns", "nt-1")
    with held(tmp_path) as gone:
        gone.release()

    assert [path.stem for path in tmp_path.glob("*.jsonl")] == [kept.lease_id]


def test_reap_leaves_living_leases_alone(tmp_path: Path) -> None:
    """A lock held by whatever process says that its run is alive."""
    removed: list[str] = []

    def remove(kind: str, name: str) -> bool:
        removed.append(f"{kind} {name}")
        return True

    dead = _dead(tmp_path, "dead", "nt-1", "nt-2")
    with held(tmp_path) as lease:
        lease.note("netns", "nt-3")
        done = reap(tmp_path, remove)
        still = (tmp_path / f"{lease.lease_id}.jsonl").exists()

    assert done == (Reaped("dead", ("nt-2", "nt-1"), ""),)
    assert removed == ["netns nt-2", "netns nt-1"]
    assert (dead.exists(), still) == (False, True)


def test_reap_removes_what_a_lease_lists_though_its_last_line_is_half(tmp_path: Path) -> None:
    """A run killed while it wrote; what was already gone is not named as removed."""
    path = _dead(tmp_path, "dead", "nt-1", "nt-2", tail='{"kind":"netns","na')
    done = reap(tmp_path, lambda _, name: name == "nt-1")

    assert done == (Reaped("dead", ("nt-1",), ""),)
    assert not path.exists()


def test_a_lease_whose_removal_fails_is_kept_and_the_rest_is_removed(tmp_path: Path) -> None:
    """The first failure is told, every other name and lease is still tried, and a second reap can finish."""
    first, second = _dead(tmp_path, "a", "nt-1", "nt-2", "nt-3"), _dead(tmp_path, "b", "nt-4")

    def remove(_: str, name: str) -> bool:
        if name == "nt-2":
            raise HostFault("nt-2 is busy")
        return True

    done = reap(tmp_path, remove)
    again = reap(tmp_path, lambda *_: True)

    assert done == (Reaped("b", ("nt-4",), ""), Reaped("a", ("nt-3", "nt-1"), "nt-2 is busy"))
    assert again == (Reaped("a", ("nt-3", "nt-2", "nt-1"), ""),)
    assert (first.exists(), second.exists()) == (False, False)


def test_what_was_promised_last_is_removed_first(tmp_path: Path) -> None:
    """Whatever the leases' names: what came later may stand on what was there."""
    for number, name in enumerate("bca"):
        os.utime(_dead(tmp_path, name, f"nt-{name}"), ns=(0, number))
    done = reap(tmp_path, lambda *_: True)

    assert [each.lease_id for each in done] == ["a", "c", "b"]


def test_a_lease_that_cannot_be_opened_is_told_and_the_rest_is_removed(tmp_path: Path) -> None:
    """Somebody else's lease, or no file at all."""
    (tmp_path / "a.jsonl").mkdir()
    _dead(tmp_path, "b", "nt-1")
    done = reap(tmp_path, lambda *_: True)

    assert [(each.lease_id, each.removed) for each in done] == [("b", ("nt-1",)), ("a", ())]
    assert "Is a directory" in done[1].problem
    assert reap(tmp_path / "none", lambda *_: True) == ()


def test_a_lease_that_was_reaped_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a file and locking it, reap takes it for a dead run's; a note must not go into a removed file."""
    made: list[Path] = []

    def reaped_at_once(path: Path) -> IO[str]:
        file = create_durably(path)
        made.append(path)
        if len(made) == 1:
            reap(tmp_path, lambda *_: True)
        return file

    monkeypatch.setattr(leases, "create_durably", reaped_at_once)
    with held(tmp_path) as lease:
        lease.note("netns", "nt-1")
        names = [line.get("name") for line in read_lines(tmp_path / f"{lease.lease_id}.jsonl")]

    assert len(made) == 2
    assert names == [None, "nt-1"]


def test_a_second_run_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    """Two runs at once would spoil each other; the lock is free again afterwards."""
    second = pytest.raises(NotAble, match=rf"run 1 \(pid {os.getpid()}\) is measuring")
    with only_run(tmp_path, "run 1"), second, only_run(tmp_path, "run 2"):
        pass
    with only_run(tmp_path, "run 3"):
        pass


def test_a_lock_of_a_run_that_died_is_free(tmp_path: Path) -> None:
    """The kernel drops the lock with the process; what the file says does not matter."""
    (tmp_path / "running.lock").write_text("run 9 (pid 1)", encoding="utf-8")
    with only_run(tmp_path, "run 1"):
        said = (tmp_path / "running.lock").read_text(encoding="utf-8")

    assert said == f"run 1 (pid {os.getpid()})"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_lock_without_a_word_is_still_a_lock(tmp_path: Path) -> None:
    """A run that has just taken it and not yet said who it is."""
    refused = pytest.raises(NotAble, match="another run is measuring")
    with _locked(tmp_path / "running.lock"), refused, only_run(tmp_path, "run 2"):
        pass


def test_a_namespace_is_removed_with_what_runs_in_it() -> None:
    """Its processes first, by their ids, then the name; one that is gone is no error."""
    answers = {("ip", "netns", "list"): (0, "nt-1 (id: 0)\nother\n"), ("ip", "netns", "pids", "nt-1"): (0, "12\n34\n")}
    host = FakeHost("local", lambda command: answers.get(command.argv, (0, "")))

    assert leases.remove_namespace(host, "nt-1")
    assert [each.argv for each in host.asked][1:] == [
        ("ip", "netns", "pids", "nt-1"), ("kill", "-KILL", "12", "34"), ("ip", "netns", "delete", "nt-1")
    ]  # fmt: skip
    assert not leases.remove_namespace(host, "nt-2")
    assert ("ip", "netns", "delete", "other") not in [each.argv for each in host.asked]


def test_who_measures_is_known_while_it_lives(tmp_path: Path) -> None:
    """By what it said when it began; asking takes nothing from it, and leaves nothing behind."""
    before = measuring(tmp_path / "never")
    with only_run(tmp_path, "run 1"):
        during = measuring(tmp_path)
    with only_run(tmp_path, "run 2"):
        after = measuring(tmp_path)

    assert (before, during, after) == ("", f"run 1 (pid {os.getpid()})", f"run 2 (pid {os.getpid()})")
    assert measuring(tmp_path) == ""
    assert not (tmp_path / "never").exists()
