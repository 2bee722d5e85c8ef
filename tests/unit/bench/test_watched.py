"""Loads behind the watch: transparent while all is well, ended with the cause when it is not, in any POSIX shell."""

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.local import Local
from bench.hosts.watched import TROUBLE, Watch, Watched, watching
from tests.unit.bench.fakes import FakeHost

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}
QUORUM = "corosync-quorumtool"


@pytest.fixture
def quorate(tmp_path: Path) -> Path:
    """Stands in for corosync: its quorum lasts as long as this file is there; `host` finds it."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / QUORUM
    tool.write_text(f'#!/bin/sh\n[ -e {tmp_path}/yes ] && echo "Quorate:          Yes" || echo "Quorate:  No"\n')
    tool.chmod(0o755)
    (tmp_path / "yes").touch()
    return tmp_path / "yes"


@pytest.fixture
def host(quorate: Path) -> Local:
    """This machine, with the stand-in."""
    return Local("pve1", prefix=("env", f"PATH={quorate.parent}/bin:/usr/bin:/bin"))


@pytest.fixture(params=list(SHELLS.values()), ids=list(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What /bin/sh may be."""
    found: tuple[str, ...] = request.param
    if shutil.which(found[0]) is None:
        pytest.skip(f"{found[0]} is not installed")
    return found


def _load(shell: Sequence[str], argv: tuple[str, ...], looks: Sequence[str] = ("quorum",), stdin: str = "") -> Command:
    behind = watching(Command(argv, stdin=stdin), looks)
    return replace(behind, argv=(*shell, *behind.argv[1:]))


def test_a_load_under_which_all_is_well_is_as_without_the_watch(host: Local, shell: tuple[str, ...]) -> None:
    """Exit code, both outputs, standard input and words with blanks; nobody waits for the watch's next look."""
    outcome = host.run(_load(shell, ("sh", "-c", 'cat; echo "$1" >&2; exit 5', "sh", "two  words *"), stdin="text"))

    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (5, "text", "two  words *\n")


def test_a_load_may_be_over_before_the_watch_has_begun(host: Local, shell: tuple[str, ...]) -> None:
    """A TERM that dash's or busybox' child gets before it has put back its traps is lost: about one load in seven."""
    with ExitStack() as stack:
        jobs = [stack.enter_context(host.start(_load(shell, ("true",), ("carrier:lo",)))) for _ in range(24)]
        codes = {job.wait().returncode for job in jobs}

    assert codes == {0}


def test_a_load_that_is_asked_to_end_prints_its_last_words(host: Local, shell: tuple[str, ...]) -> None:
    """The script outlives the TERM that its group gets: iperf3 then prints what it has."""
    with host.start(_load(shell, ("sh", "-c", 'trap "echo bye; exit 1" TERM; echo on; sleep 9 & wait'))) as job:
        while not job.output():
            time.sleep(0.01)
        outcome = job.stop()

    assert (outcome.returncode, outcome.stdout, outcome.elapsed_s < 5) == (1, "on\nbye\n", True)


TROUBLES = {
    "carrier": ("carrier:nt-none", "nt-none has no carrier"),
    "quorum": ("quorum", "corosync has no quorum"),
}


@pytest.mark.parametrize("what", ["carrier", "quorum"])
def test_trouble_ends_a_load_that_ignores_it(host: Local, quorate: Path, shell: tuple[str, ...], what: str) -> None:
    """By SIGKILL after SIGTERM; one line says why, and the exit code is no tool's."""
    quorate.unlink()
    look, words = TROUBLES[what]
    outcome = host.run(_load(shell, ("sh", "-c", 'trap "" TERM; exec sleep 9'), (look,)))

    assert outcome.returncode == TROUBLE
    assert f"nettune: stopped: {words}\n" in outcome.stderr
    assert outcome.elapsed_s < 4


def test_trouble_that_comes_later_is_seen_in_time(host: Local, quorate: Path, shell: tuple[str, ...]) -> None:
    """The promise is two seconds."""
    with host.start(_load(shell, ("sleep", "20"))) as job:
        time.sleep(0.7)
        assert not job.finished()
        quorate.unlink()
        began = time.monotonic()
        outcome = job.wait(15)

    assert (outcome.returncode, time.monotonic() - began < 4) == (TROUBLE, True)


def test_who_asks_a_stopped_load_to_end_hears_the_cause(host: Local, quorate: Path, shell: tuple[str, ...]) -> None:
    """A server that its watch ends is told to end by us too, since its client has gone: the cause must survive that."""
    quorate.unlink()
    with host.start(_load(shell, ("sleep", "20"))) as job:
        time.sleep(0.1)  # it takes 0.2 s from the cause to the end of the script
        for _ in range(3):
            outcome = job.stop()

    assert (outcome.returncode, "corosync has no quorum" in outcome.stderr) == (TROUBLE, True)


def test_only_loads_are_pinned_and_watched() -> None:
    """Questions go as they are; an Outcome has the command that was asked for."""
    inner = FakeHost("a")
    host = Watched(inner, pin=("taskset", "-c", "0-3"), watch=Watch({"a": ("carrier:eth0",)}))
    load = Command(("iperf3", "-s"), loads=True)
    host.run(Command(("ip", "link")))
    outcome = host.run(load)
    host.run_all((Command(("true",)), load))

    assert outcome.command == load
    assert [each.argv[-5:] for each in inner.asked if "iperf3" in each.argv] == [
        ("taskset", "-c", "0-3", "iperf3", "-s")
    ] * 2
    assert [each.argv[4] for each in inner.asked if "iperf3" in each.argv] == ["carrier:eth0"] * 2
    assert [each.argv for each in inner.asked if "iperf3" not in each.argv] == [("ip", "link"), ("true",)]


def test_without_anything_to_look_at_a_load_is_only_pinned() -> None:
    """No shell stands between."""
    inner = FakeHost("a")
    Watched(inner).run(Command(("iperf3", "-s"), loads=True))

    assert [each.argv for each in inner.asked] == [("iperf3", "-s")]


def test_the_pin_restricts_what_runs() -> None:
    """A real run: the kernel's own word for where the process may be."""
    told = Local().run(Command(("grep", "Cpus_allowed_list", "/proc/self/status"))).stdout.split()[1]
    cpu = told.replace(",", "-").split("-")[0]
    ask = Command(("grep", "Cpus_allowed_list", "/proc/self/status"), loads=True)
    outcome = Watched(Local(), pin=("taskset", "-c", cpu)).run(ask)

    assert outcome.stdout.split() == ["Cpus_allowed_list:", cpu]


def test_what_a_node_sees_ends_the_load_of_the_ends(host: Local, quorate: Path) -> None:
    """The node runs no load: its watch alone, begun with the first load and ended with the last."""
    watch = Watch({"pve1": ("quorum",)}, (host,))
    end = Watched(Local("a"), watch=watch)
    with end.start(Command(("sleep", "20"), loads=True)) as server:
        with end.start(Command(("sleep", "20"), loads=True)) as client:
            time.sleep(0.3)
            assert not client.finished()
            quorate.unlink()
            outcome = client.wait()
        server.stop()

    assert outcome.elapsed_s < 5
    assert watch.seen == "on pve1: corosync has no quorum"
    assert not watch.nodes_look


def test_a_load_that_takes_too_long_is_overdue_as_ever() -> None:
    """The deadline is that of the command, and what it had printed is kept."""
    with pytest.raises(Overdue) as raised:
        Watched(Local("a")).run(Command(("sleep", "9"), deadline_s=0.2, loads=True))

    assert raised.value.outcome.command.argv == ("sleep", "9")


def test_the_first_trouble_is_kept() -> None:
    """What follows from it comes later, and is not the cause."""
    watch = Watch()
    for name, code, said in (
        ("a", 1, "x"),
        ("b", TROUBLE, "nettune: stopped: first\n"),
        ("a", TROUBLE, "nettune: stopped: second\n"),
    ):
        watch.note(Outcome(Command(("x",)), name, code, "", said, 0.0))

    assert watch.seen == "on b: first"


def test_a_load_that_a_node_cannot_look_after_is_not_begun_and_the_next_one_begins_anew() -> None:
    """The first node's look ends with it, else nobody would look from then on."""
    stopped: list[str] = []

    class Node(FakeHost):
        """Starts nothing where `fails`."""

        fails = False

        def start(self, command: Command) -> Any:  # Any: as a Running
            if self.fails:
                raise HostFault(f"on {self.name}: no")
            job = Mock()
            job.stop.side_effect = lambda: stopped.append(self.name)
            return job

    one, other = Node("pve1"), Node("pve2")
    other.fails = True
    watch = Watch({"pve1": ["quorum"], "pve2": ["quorum"]}, [one, other])
    with pytest.raises(HostFault):
        watch.began()
    other.fails = False
    watch.began()

    assert stopped == ["pve1"]
    assert watch.nodes_look


def test_a_watch_that_ends_by_itself_is_trouble() -> None:
    """Nobody would have looked."""
    job = Mock()
    job.finished.return_value = True
    job.wait.return_value = Outcome(Command(("sh",)), "pve1", -9, "", "", 1.0)
    watch = Watch({})
    watch._jobs = [job]

    assert watch.afar()
    assert watch.seen == "on pve1: the watch itself ended"
