"""Labels, the list of runs, and `nettune compare` as a gate meets it: exit codes, messages, JSON."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.labs import lease
from results.evidence import Measured
from results.store import opened
from tests.unit.nettune.program import Program, here
from tests.unit.results.many import MACHINE, keep, side

STEADY = (1.0, 1.01, 0.99)
SLOW = (0.7, 0.71, 0.69)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The store that the program uses."""
    return tmp_path / "state" / "nettune.db"


def _fill(path: Path, *sides: Sequence[Measured]) -> None:
    with opened(str(path)) as store:
        for measured in (each for side in sides for each in side):
            keep(store, measured)


def _run_sql(path: Path, text: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.close()


def _as_first_format(path: Path) -> None:
    """The store as format 0001 would have kept it: without labels and capacities."""
    _run_sql(
        path,
        "DROP INDEX runs_listed; ALTER TABLE runs DROP COLUMN label; ALTER TABLE runs DROP COLUMN capacities;"
        "UPDATE alembic_version SET version_num = '0001'",
    )


def _labelled(name: str, factors: Sequence[float], label: str, **changes: object) -> list[Measured]:
    return side(name, factors, {"label": label, "plan_name": "quick", **changes})


@pytest.fixture
def both(path: Path) -> Path:
    """A store with three runs labelled main and three slower ones labelled branch."""
    _fill(path, _labelled("main", STEADY, "main"), _labelled("slow", SLOW, "branch", started_at=2e9))
    return path


def test_a_gate_fails_on_worse(both: Path, program: Program) -> None:
    """Exit 1 with --fail-on worse, 0 without: looking is not gating."""
    gated = program("compare", "label:main", "label:branch", "--fail-on", "worse")
    looked = program("compare", "label:main", "label:branch").require()

    assert gated.returncode == 1
    assert gated.stdout == looked.stdout
    assert "▼ worse" in gated.stdout
    assert "bridge current: -" in gated.stdout
    assert "Worse in tcp.goodput: bridge current, bridge t." in gated.stdout


def test_an_improvement_never_fails_the_gate(both: Path, program: Program) -> None:
    """The same runs the other way round."""
    outcome = program("compare", "label:branch", "label:main", "--fail-on", "worse").require()

    assert "▲ better" in outcome.stdout
    assert "Nothing is shown to be worse in tcp.goodput: 2 better." in outcome.stdout


def test_too_few_runs_say_so_and_pass(both: Path, program: Program) -> None:
    """No verdict is an answer, and no reason to stop a release."""
    outcome = program("compare", "main0,main1", "label:branch", "--fail-on", "worse").require()

    assert "2 against 3 runs with a value: a verdict needs 3 on each side" in outcome.stdout
    assert "2 inconclusive. A verdict needs 3 runs on each side." in outcome.stdout


def test_compare_as_json_is_one_document(both: Path, program: Program) -> None:
    """With every run's value; the exit code is the gate's all the same."""
    outcome = program("compare", "label:main", "last:3", "--fail-on", "worse", "--json")
    document = json.loads(outcome.stdout)

    assert outcome.returncode == 1
    assert document["worse"][0] == {"topology": "bridge", "arm": "current"}
    assert [each["label"] for each in document["candidate"]] == ["branch"] * 3
    assert {each["verdict"] for each in document["changes"]} == {"worse"}


def test_a_baseline_made_on_another_kernel_is_refused_by_name(path: Path, program: Program) -> None:
    """Exit 2, both kernels, and the words that allow it; then it is compared, and said."""
    old = {"machine": {**MACHINE, "kernel": "Linux 6.1"}}
    _fill(path, _labelled("old", STEADY, "old", **old), _labelled("new", STEADY, "new"))
    refused = program("compare", "label:old", "label:new", "--fail-on", "worse")
    allowed = program("compare", "label:old", "label:new", "--across", "kernel").require()

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "kernel is 'Linux 6.1' in run old0 and 'Linux 6.8' in run new0" in refused.stderr
    assert "hint: to compare across it, say so: --across kernel" in refused.stderr
    assert "across kernel: Linux 6.1 (3 runs) against Linux 6.8 (3 runs)" in allowed.stdout


def test_a_baseline_can_lie_in_another_store(tmp_path: Path, path: Path, program: Program) -> None:
    """As a file that a release kept; one that is not there is no empty baseline, and is not made."""
    _fill(tmp_path / "base.db", _labelled("main", STEADY, "main"))
    _fill(path, _labelled("now", SLOW, "now"))
    outcome = program("compare", "label:main", "label:now", "--baseline-store", str(tmp_path / "base.db"))
    wrong = program("compare", "label:main", "label:now", "--baseline-store", str(tmp_path / "bsae.db"))

    assert "worse" in outcome.require().stdout
    assert wrong.returncode == 2
    assert "bsae.db: no such file" in wrong.stderr
    assert not (tmp_path / "bsae.db").exists()


def test_a_run_from_an_older_store_is_migrated_and_compared(tmp_path: Path, path: Path, program: Program) -> None:
    """Format 0001 knew no labels: its runs are found by plan, and compared with today's."""
    base = tmp_path / "base.db"
    _fill(base, side("main", STEADY))
    _as_first_format(base)
    _fill(path, _labelled("now", SLOW, "now"))
    outcome = program("compare", "plan:quick", "label:now", "--baseline-store", str(base), "--fail-on", "worse")

    assert outcome.returncode == 1
    assert "Worse in tcp.goodput: bridge current, bridge t." in outcome.stdout


def test_a_store_in_the_first_format_is_shown_and_has_a_history(path: Path, program: Program) -> None:
    """Brought to today's format where it lies, by whatever verb opens it first."""
    _fill(path, side("main", STEADY))
    _as_first_format(path)
    shown = json.loads(program("show", "main0", "--json").require().stdout)
    listed = program("trend", "quick").require()

    assert (shown["run_id"], shown["status"]) == ("main0", "complete")
    assert "bridge current: 3 runs with a value: a change needs 3 on each side" in listed.stdout


@pytest.mark.parametrize(
    "words", [("show",), ("compare", "last", "last:2"), ("trend", "quick"), ("runs",), ("report",)]
)
def test_a_store_of_a_newer_nettune_is_refused_by_name(both: Path, program: Program, words: tuple[str, ...]) -> None:
    """It is not written to: the newer nettune finds it as it was."""
    _run_sql(both, "UPDATE alembic_version SET version_num = '0099'")
    before = both.read_bytes()
    outcome = program(*words)

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert f"store {both} was written by a newer nettune (format 0099; this one knows up to" in outcome.stderr
    assert "hint: update nettune, or name another store with --store" in outcome.stderr
    assert both.read_bytes() == before


def test_a_baseline_store_of_a_newer_nettune_is_refused_by_name(tmp_path: Path, both: Path, program: Program) -> None:
    """Which of the two stores it is stands in the message."""
    base = tmp_path / "base.db"
    _fill(base, _labelled("base", STEADY, "main"))
    _run_sql(base, "UPDATE alembic_version SET version_num = '0099'")
    outcome = program("compare", "label:main", "label:branch", "--baseline-store", str(base))

    assert outcome.returncode == 2
    assert f"store {base} was written by a newer nettune (format 0099" in outcome.stderr


def test_a_history_names_its_change_and_never_fails(path: Path, program: Program) -> None:
    """Looking back is not gating: exit 0, with the level, the run that began it, and what differed."""
    new = {"machine": {**MACHINE, "kernel": "Linux 6.11"}, "started_at": 2e9}
    runs = [*_labelled("old", STEADY * 3, "nightly"), *_labelled("new", SLOW * 2, "nightly", **new)]
    _fill(path, [replace(each, run=replace(each.run, started_at=1e9 + n)) for n, each in enumerate(runs)])
    outcome = program("trend", "quick").require()

    assert "▼ worse" in outcome.stdout
    assert "│" in outcome.stdout
    assert "worse from run new0 on: 10.0" in outcome.stdout
    assert "Different since run old8: kernel: Linux 6.8 → Linux 6.11" in outcome.stdout
    assert "Worse in tcp.goodput since run new0: bridge current (−29.8" in outcome.stdout


def test_a_history_as_json_is_one_document(both: Path, program: Program) -> None:
    """Also of a label alone, or of the newest runs alone."""
    every = json.loads(program("trend", "quick", "--json").require().stdout)
    branch = json.loads(program("trend", "quick", "--label", "branch", "--json").require().stdout)
    newest = program("trend", "quick", "--last", "2").require().stdout

    assert (every["plan"], len(every["runs"])) == ("quick", 6)
    assert [each["run_id"] for each in branch["runs"]] == ["slow0", "slow1", "slow2"]
    assert "4 older runs are not looked at; --last 6 takes all" in newest


WRONG = {
    "a history of no plan": (("trend", "quik"), "has no run 'plan:quik'", "did you mean 'quick'?"),
    "a history of no label": (("trend", "quick", "--label", "mian"), "has no run of 'quick' with the label 'mian'",
        "did you mean 'main'?"),
    "a history of no metric": (("trend", "quick", "--metric", "tcp.godput"), "--metric tcp.godput",
        "did you mean 'tcp.goodput'?"),
    "a history of nothing": (("trend", "quick", "--last", "0"), "Invalid value for '--last'", ""),
    "unknown label": (("compare", "label:mian", "last"), "has no run 'label:mian'", "did you mean 'main'?"),
    "unknown fact": (("compare", "label:main", "label:branch", "--across", "kernl"), "--across 'kernl'",
        "did you mean 'kernel'?"),
    "unknown metric": (("compare", "label:main", "label:branch", "--metric", "tcp.godput"), "--metric tcp.godput",
        "did you mean 'tcp.goodput'?"),
    "both sides": (("compare", "label:main", "main1"), "run main1 is on both sides", "no evidence"),
    "fail on better": (("compare", "label:main", "label:branch", "--fail-on", "better"), "--fail-on 'better'",
        "--fail-on worse"),
    "a margin of nothing": (("compare", "label:main", "label:branch", "--margin", "0"), "Invalid value for '--margin'",
        ""),
    "one side": (("compare", "label:main"), "Missing argument", ""),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_input_exits_with_2_and_one_hint(
    both: Path, program: Program, words: tuple[str, ...], said: str, hint: str
) -> None:
    """A gate that was asked wrongly neither passes nor fails."""
    outcome = program(*words)

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert said in outcome.stderr
    assert hint in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_an_interrupted_run_stands_for_no_side(path: Path, program: Program) -> None:
    """By name, with the way to complete it."""
    _fill(path, _labelled("main", STEADY, "main"), _labelled("cut", STEADY, "now", status="interrupted"))
    outcome = program("compare", "label:main", "label:now")

    assert outcome.returncode == 2
    assert "run cut0 is interrupted, not complete" in outcome.stderr
    assert "nettune run --resume cut0" in outcome.stderr


def test_runs_show_labels_and_can_be_chosen_by_them(both: Path, program: Program) -> None:
    """By label and by plan; a name that none has lists none."""
    every = json.loads(program("runs", "--json").require().stdout)
    branch = json.loads(program("runs", "--label", "branch", "--json").require().stdout)
    none = json.loads(program("runs", "--plan", "noise", "--json").require().stdout)

    assert [each["label"] for each in every] == ["branch"] * 3 + ["main"] * 3
    assert [each["run_id"] for each in branch] == ["slow2", "slow1", "slow0"]
    assert none == []
    assert "branch" in program("runs").require().stdout


def test_a_long_list_of_runs_shows_the_newest_and_says_how_many_more(both: Path, program: Program) -> None:
    """To people; as JSON it is whole."""
    shown = program("runs", "--last", "2").require().stdout

    assert ("slow2" in shown, "slow1" in shown, "slow0" in shown) == (True, True, False)
    assert "4 older runs: --last 6" in shown
    assert len(json.loads(program("runs", "--last", "2", "--json").require().stdout)) == 6


def test_a_run_whose_process_is_gone_reads_killed(path: Path, program: Program) -> None:
    """The store says running; the lock says that nobody measures. While one does, it runs."""
    _fill(path, _labelled("gone", STEADY[:1], "x", status="running"), _labelled("done", STEADY[:1], "x"))

    def status() -> dict[str, str]:
        rows = json.loads(program("runs", "--json").require().stdout)
        return {each["run_id"]: each["status"] for each in rows}

    with lease.only_run(path.parent, "run gone0"):
        alive = status()
    with lease.only_run(path.parent, "run another"):
        dead = status()

    assert alive == {"gone0": "running", "done0": "complete"}
    assert dead == {"gone0": "killed", "done0": "complete"}
    assert status() == dead


LABELS = {
    "a space": ("my label", "did you mean 'my-label'?"),
    "a colon": ("a:b", "did you mean 'a-b'?"),
    "a comma": ("a,b", "did you mean 'a-b'?"),
    "an option": ("-x", "did you mean 'x'?"),
    "far too long": ("x" * 81, "did you mean"),
    "nothing that can be kept": ("::", ""),
}


@pytest.mark.parametrize(("label", "hint"), LABELS.values(), ids=LABELS)
def test_a_silly_label_is_refused_before_anything_runs(tmp_path: Path, program: Program, label: str, hint: str) -> None:
    """It must stand in label:NAME lists, so colons and commas are out."""
    outcome = program("run", "quick", "--dry-run", f"--label={label}")

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert f"--label {label!r}: a label is a word" in outcome.stderr
    assert hint in outcome.stderr
    assert not (tmp_path / "state").exists()


def test_a_resumed_run_keeps_its_label(both: Path, program: Program) -> None:
    """Another one would tear a run out of its group."""
    outcome = program("run", "--resume", "last", "--label", "new")

    assert outcome.returncode == 2
    assert "--resume goes on with a run under the label it has" in outcome.stderr
