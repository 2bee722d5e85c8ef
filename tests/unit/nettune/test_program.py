"""The program as its users meet it: exit codes, messages, JSON; nothing is made where nothing was asked for."""

import json
import re
from pathlib import Path

import pytest

from bench.plan import shipped
from nettune import __version__
from results.store import opened
from tests.unit.nettune.program import Program, here, nettune
from tests.unit.results.example import example_run


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


FOREIGN = {
    "another bench": ("bench", '"""Somebody else\'s."""\n', "the import name 'bench' is taken by"),
    "a marker of something else": ("tuning", 'ROOM_OF = "other"\n', "the import name 'tuning' is taken by"),
    "a broken one": ("results", "import nettune_no_such_module\n", "nettune's room 'results' is missing"),
}


@pytest.mark.parametrize(("room", "text", "words"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_room_is_refused_before_anything_runs(tmp_path: Path, room: str, text: str, words: str) -> None:
    """The names are generic: a collision is told with the file that took it, and changes nothing."""
    (tmp_path / "site" / room).mkdir(parents=True)
    (tmp_path / "site" / room / "__init__.py").write_text(text, encoding="utf-8")
    outcome = nettune(tmp_path / "state", "plans", before=tmp_path / "site")

    assert outcome.returncode == 3
    assert outcome.stderr.startswith(f"nettune: {words}")
    assert "Traceback" not in outcome.stderr
    assert (str(tmp_path / "site" / room) in outcome.stderr) == ("taken" in words)
    assert not (tmp_path / "state").exists()


def test_it_says_which_version_it_is(tmp_path: Path) -> None:
    """What a bug report begins with: the version, with the commit of a checkout; the help still says what it is for."""
    told, words = nettune(tmp_path / "state", "--version"), nettune(tmp_path / "state", "--help")

    assert (told.returncode, told.stderr) == (0, "")
    assert re.fullmatch(rf"nettune {re.escape(__version__)}(\+\S+)?\n", told.stdout)
    assert "Measure a network path" in words.stdout


WRONG = {
    "unknown plan": (("run", "quik"), "no plan 'quik': No such file", "did you mean 'quick'?"),
    "bad --set": (("run", "quick", "--set", "tcp.streams"), "--set tcp.streams: write key=value", "tcp.streams=4"),
    "bad value": (("run", "--set", "tcp.streams=many"), "probes[0].streams: 'many' is no number of streams", ""),
    "resume with --set": (("run", "--resume", "last", "--set", "tcp.streams=4"),
        "--resume goes on with a run as it was",
                          "leave out --set, --blocks and --confirm"),
    "resume of nothing": (("run", "--resume", "last"), "has no run 'last'", "`nettune runs` lists them"),
    "confirm of nothing": (("run", "--confirm", "x"), "has no run 'x'", "`nettune runs` lists them"),
    "confirm with --set blocks": (("run", "--confirm", "x", "--set", "blocks=30"), "takes --blocks",
        "in place of --set"),
    "show of nothing": (("show",), "has no run 'last'", "`nettune runs` lists them"),
    "report of nothing": (("report", "x"), "has no run 'x'", ""),
    "recommend of nothing": (("recommend", "x"), "has no run 'x'", ""),
    "two images": (("image", "build", "--disk", "--nics"), "--disk and --nics are two images", "one after the other"),
    "unknown option": (("run", "--fast"), "No such option", ""), "unknown verb": (("tuna",), "No such command", ""),
    "too few blocks": (("run", "--blocks", "1"), "Invalid value for '--blocks'", ""),
    "a store of another kind": (("runs", "--store", "nosuchdb://x/y"), "no driver for this kind of database", ""),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_input_exits_with_2_and_one_hint(program: Program, words: tuple[str, ...], said: str, hint: str) -> None:
    """What was typed, what came of it, what to do; never a traceback, nothing on standard output."""
    outcome = program(*words)

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert said in outcome.stderr
    assert hint in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_place_that_cannot_hold_the_results_exits_with_3(tmp_path: Path, program: Program) -> None:
    """The machine is not able, which is not the user's slip."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    outcome = program("runs", "--store", str(tmp_path / "file" / "below" / "x.db"))

    assert outcome.returncode == 3
    assert "Not a directory" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_plans_as_json_are_the_plans_that_ship(tmp_path: Path, program: Program) -> None:
    """One document on standard output, with name, answer and estimate; no store is made."""
    outcome = program("plans", "--json").require()
    rows = json.loads(outcome.stdout)

    assert [row["name"] for row in rows] == list(shipped())
    assert all(row["about"] and row["estimate_s"] > 0 for row in rows)
    assert not (tmp_path / "state").exists()


def test_runs_of_an_empty_store_are_an_empty_list(program: Program) -> None:
    """No error: there is nothing yet."""
    assert json.loads(program("runs", "--json").require().stdout) == []


def test_runs_are_listed_newest_first(tmp_path: Path, program: Program) -> None:
    """As a table for people and as JSON for machines."""
    with opened(str(tmp_path / "state" / "nettune.db")) as store:
        for run_id, at in (("r1", 1.0), ("r2", 2.0)):
            store.begin_run(example_run(run_id=run_id, started_at=at, settings={}))
    rows = json.loads(program("runs", "--json").require().stdout)
    table = program("runs").require().stdout

    assert [(row["run_id"], row["plan"], row["started_at"]) for row in rows] == [
        ("r2", example_run().plan_name, "1970-01-01T00:00:02Z"), ("r1", example_run().plan_name, "1970-01-01T00:00:01Z")
    ]  # fmt: skip
    assert table.index("r2") < table.index("r1")


def test_a_dry_run_prints_every_command_and_makes_nothing(tmp_path: Path, program: Program) -> None:
    """Lab, treatments, order, ports; the same seed prints the same; no store, no lease, no namespace."""
    words = ("run", "quick", "--dry-run", "--seed", "0", "--set", "tcp.write_bytes=4096")
    outcome = program(*words).require()
    lines = outcome.stdout.splitlines()

    assert "  node: ip link add br0 address 02:00:5e:00:01:01 mtu 1500 type bridge" in lines
    assert "  on path: ethtool -K DEVICE tso off" in lines
    assert '  on guest: sysctl -w net.ipv4.tcp_rmem="4096 16384 16384"' in lines
    assert any(line.startswith("block 1 on bridge: ") and line.count(" → ") == 4 for line in lines)
    assert any(line.startswith("  a: iperf3 --client 198.18.0.2 ") and " --length 4096" in line for line in lines)
    assert "seed 0" in outcome.stdout
    assert not (tmp_path / "state").exists()
    assert program(*words).require().stdout == outcome.stdout


def test_help_exits_with_0_and_names_every_verb(tmp_path: Path, program: Program) -> None:
    """Asked for help, the program helps."""
    outcome = program("--help").require()

    assert all(verb in outcome.stdout for verb in ("run", "plans", "runs", "show", "report", "recommend", "lab"))
    assert not (tmp_path / "state").exists()


def test_reap_keeps_what_it_does_not_know(tmp_path: Path, program: Program) -> None:
    """A lease of a newer nettune names other kinds of things: they are told, and its lease stays for it."""
    leases = tmp_path / "state" / "leases"
    leases.mkdir(parents=True)
    (leases / "x.jsonl").write_text('{"lease":"x"}\n{"kind":"tap","name":"tap9"}\n', encoding="utf-8")
    outcome = program("lab", "reap", "--json")

    assert (outcome.returncode, (leases / "x.jsonl").exists()) == (1, True)
    assert json.loads(outcome.stdout) == [
        {"lease": "x", "removed": [], "problem": "tap9 is a tap, which this nettune does not make"}
    ]


def test_reap_of_nothing_says_so(program: Program) -> None:
    """No lease, no error."""
    assert program("lab", "reap").stdout == "nothing to reap\n"
