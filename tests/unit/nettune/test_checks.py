"""What a run of checks ends with: its exit code, its words, its document."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nettune import wiring
from nettune.places import Places
from results.evidence import Measured
from results.records import CURRENT_ARMS
from results.store import Store
from tests.unit.nettune.program import Program, here
from tests.unit.results.made import design, trial
from tests.unit.results.many import a_run, keep


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


def _measures(monkeypatch: pytest.MonkeyPatch, held: float) -> None:
    """A run of two blocks whose last trial held or did not, in place of labs."""
    checked = replace(
        design(blocks=2),
        topologies=("bridge",),
        treatments=(),
        primary="path-mtu.path_mtu",
        metrics=("path-mtu.path_mtu",),
        guards=(),
        definitions={"path-mtu.held": "1 where …"},
    )
    answers = iter([1.0, 1.0, 1.0, held])
    trials = [
        trial(arm, block, {"path-mtu.path_mtu": 1500.0, "path-mtu.held": next(answers)})
        for block in range(2)
        for arm in CURRENT_ARMS
    ]

    def carried_out(order: wiring.Order, places: Places, store: Store, *_: object, **__: object) -> str:
        keep(store, Measured(a_run("checked", design=checked), tuple(trials)))
        return "checked"

    monkeypatch.setattr(wiring, "carry_out", carried_out)


@pytest.mark.parametrize(("held", "code", "words"), [(1.0, 0, "✔ held"), (0.0, 1, "✘ did not hold")])
def test_a_check_that_did_not_hold_ends_a_run_with_1(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, held: float, code: int, words: str
) -> None:
    """Once is enough; report and document are written all the same."""
    _measures(monkeypatch, held)
    outcome = program("run", "quick", "--json", "--out", str(tmp_path / "out"))
    document = json.loads(outcome.stdout)
    shown = program("show", "last")

    assert outcome.returncode == code
    assert [(each["held"], each["trials"], each["passed"]) for each in document["checks"]] == [
        (3 + int(held), 4, held == 1)
    ]
    assert words in shown.stdout
    assert shown.returncode == 0
    assert ("did not hold" in (tmp_path / "out" / "report.html").read_text()) == (held == 0)
