"""The frame that notebooks get."""

import sys

import pytest

from results import frames, series, tidy
from results.errors import NotAble
from tests.unit.results.example import example_run, example_trials

RUN = example_run()
TRIALS = example_trials(RUN)
ROWS = list(tidy.rows(RUN, TRIALS))


def test_the_columns_have_types() -> None:
    """Names are categories, times are times in UTC, numbers are numbers; also when there is no row at all."""
    expected = {
        **dict.fromkeys(("run_id", "plan", "topology", "arm", "status", "probe", "metric", "unit", "end", "direction"),
                        "category"),
        **dict.fromkeys(("block", "attempt", "position", "trial"), "int64"),
        **dict.fromkeys(("elapsed_s", "value", "interval_s"), "float64"),
        "started_at": "datetime64[us, UTC]",
        "used": "bool",
    }  # fmt: skip
    for table in (frames.frame(ROWS), frames.frame([])):
        assert {name: str(table[name].dtype) for name in expected} == expected
        assert list(table.columns) == list(tidy.COLUMNS)


def test_arms_come_in_the_plans_order_and_lost_trials_have_no_metric() -> None:
    """So that a plot's legend reads as the report's, and grouping by metric leaves out what has none."""
    table = frames.frame(ROWS, arms=series.arms(RUN))
    lost = table[table["value"].isna()]

    assert list(table["arm"].cat.categories) == ["current", "current-again", *RUN.design.treatments]
    assert list(table["metric"].cat.categories) == [
        "goodput", "retransmits", "cpu_per_10gbit", "drops", "rtt_p50", "rtt_p99"
    ]  # fmt: skip
    assert sorted(lost["status"]) == ["failed", "missing"]
    assert lost["metric"].isna().all()


def test_the_frame_gives_the_medians_of_the_report() -> None:
    """One line of pandas gives the numbers that `show` has, to the bit."""
    from results.summary import medians

    table = frames.frame(ROWS)
    done = table[table["status"] == "done"]
    found = done.groupby(["topology", "probe", "metric", "arm"], observed=True)["value"].median()

    for each in medians(TRIALS):
        assert found[each["topology"], each["probe"], each["metric"], each["arm"]] == each["median"]


def test_without_pyarrow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, and what to take instead; pandas would name another package."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(NotAble, match="Parquet needs pyarrow") as told:
        frames.parquet(frames.frame([]))

    assert "nettune[parquet]" in told.value.hint
