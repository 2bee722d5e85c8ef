"""The document of `nettune show --json`."""

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from results.records import Judgement, SameArms
from results.summary import SUMMARY_VERSION, medians, summary
from tests.unit.results.example import TREATMENTS, comparison, example_judgement, example_run, example_trials

NOTHING = Judgement(comparisons=(), same_arms=(), warnings=())


def _document() -> dict[str, object]:
    run = example_run()
    trials = example_trials(run)
    return summary(run, trials, example_judgement(run, trials))


def _rows(document: Mapping[str, object], key: str) -> list[dict[str, object]]:
    rows = document[key]
    assert isinstance(rows, list)
    return rows


def test_the_document_survives_json_unchanged() -> None:
    """Every value is one of JSON's own, so a reader gets what was written."""
    document = _document()

    assert document == json.loads(json.dumps(document, allow_nan=False))


def test_the_document_names_its_format_run_and_plan() -> None:
    """A reader knows which format, run, plan, seed and status he holds."""
    expected = {
        "version": SUMMARY_VERSION,
        "run_id": "20260131-120000-k7qd",
        "plan": "my-path",
        "seed": 20260131,
        "status": "complete",
        "confirms": None,
    }
    document = _document()

    assert expected == {key: document[key] for key in expected}


def test_times_are_iso_8601_in_utc() -> None:
    """A run that has not ended says null, not a made-up time."""
    document = summary(example_run(ended_at=None), (), NOTHING)

    assert document["started"] == "2026-01-31T12:00:00Z"
    assert document["ended"] is None


def test_trials_are_counted_by_status() -> None:
    """Failed and missing trials are counted apart from those that are done."""
    expected = {"done": 94, "failed": 1, "missing": 1, "orphan": 0, "running": 0}

    assert expected == _document()["trials"]


def test_a_comparison_is_split_into_probe_and_metric() -> None:
    """`tcp.goodput` is the probe tcp and the metric goodput; a metric may hold more dots."""
    rows = _rows(_document(), "treatments")
    first = rows[0]

    assert (first["topology"], first["probe"], first["metric"]) == ("bridge", "tcp", "goodput")
    assert (first["primary"], first["treatment"], first["blocks"]) == (True, "jumbo", 8)
    assert len(rows) == 2 * 5 * len(TREATMENTS)


def test_a_comparison_carries_interval_guards_and_reason() -> None:
    """The numbers a person would quote stand beside what limits them."""
    first = _rows(_document(), "treatments")[0]
    low, effect, high = (first[key] for key in ("ci_low_pct", "effect_pct", "ci_high_pct"))
    assert isinstance(low, float)
    assert isinstance(effect, float)
    assert isinstance(high, float)
    guards = _rows(first, "guards")

    assert low < effect < high
    assert [guard["word"] for guard in guards] == ["not resolved", "ok", "ok"]
    assert "Mean of 8 blocks" in str(first["reason"])


def test_the_noise_between_the_current_arms_is_listed() -> None:
    """Each cell has its A/A line with probe, metric and whether it excludes zero."""
    same = SameArms("bridge", "tcp.goodput", 1.2, 0.3, 2.1, 0.02, 0.2, True, 8, ())
    rows = _rows(summary(example_run(), (), Judgement((), (same,), ())), "aa")

    expected = [
        {
            "topology": "bridge",
            "probe": "tcp",
            "metric": "goodput",
            "effect_pct": 1.2,
            "ci_low_pct": 0.3,
            "ci_high_pct": 2.1,
            "excludes_zero": True,
            "p": 0.02,
            "p_holm": 0.2,
            "blocks": 8,
        }
    ]

    assert expected == rows


def test_skipped_cells_keep_their_reason() -> None:
    """What was not measured is named with its cause."""
    rows = _rows(_document(), "skipped")

    assert [row["cell"] for row in rows] == ["bond × jumbo"]
    assert "bonding" in str(rows[0]["reason"])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_become_null(number: float) -> None:
    """No NaN reaches the reader, neither from a verdict nor from the plan."""
    found = replace(comparison("bridge", "tcp.goodput", "jumbo"), p=number)
    document = summary(example_run(plan={"odd": [number]}), (), Judgement((found,), (), ()))

    assert _rows(document, "treatments")[0]["p"] is None
    assert document["plan_document"] == {"odd": [None]}


def test_a_date_in_the_plan_is_written_as_text() -> None:
    """YAML turns 2026-01-31 into a date; the document keeps its spelling."""
    document = summary(example_run(plan={"since": datetime.date(2026, 1, 31), 10: {"a"}}), (), NOTHING)

    assert document["plan_document"] == {"since": "2026-01-31", "10": ["a"]}


def test_medians_count_only_done_trials() -> None:
    """An orphan's numbers are kept in the store and left out here."""
    run = example_run()
    trials = example_trials(run)
    kept = [t for t in trials if t.topology == "bridge" and t.arm == "jumbo"]
    rows = medians([*kept[:3], replace(kept[3], status="orphan")])
    goodput = next(row for row in rows if row["metric"] == "goodput")

    assert (goodput["arm"], goodput["unit"], goodput["n"]) == ("jumbo", "bit/s", 3)
    assert goodput["median"] == sorted(t.value("tcp.goodput") or 0 for t in kept[:3])[1]
