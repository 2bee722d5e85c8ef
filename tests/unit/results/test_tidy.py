"""Tidy rows: nothing of a run is lost, and what is written as CSV, JSON or Parquet reads back as it was."""

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, replace

import pandas as pd  # noqa: TID251 - the tests stand outside the door
from hypothesis import given, settings
from hypothesis import strategies as st

from results import frames, tidy
from results.records import Sample, Trial
from results.tidy import COLUMNS, Row
from tests.unit.results.example import example_run, example_trials

RUN = example_run()
TRIALS = example_trials(RUN)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = TEXT.filter(bool)
TIMES = st.sampled_from(["2026-01-31T12:00:00.000001Z", "1970-01-01T00:00:00.000000Z"])
NUMBER = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@st.composite
def _rows(draw: st.DrawFn) -> Row:
    return Row(
        run_id=draw(TEXT), plan=draw(TEXT), topology=draw(TEXT), block=draw(st.integers(1, 1000)), attempt=1,
        position=draw(st.integers(1, 50)), arm=draw(TEXT), trial=draw(st.integers(1, 1 << 40)), status="done",
        cause=draw(TEXT), started_at=draw(TIMES),
        elapsed_s=draw(NUMBER), probe=draw(NAME), metric=draw(NAME), value=draw(st.none() | NUMBER), unit=draw(NAME),
        end=draw(NAME), direction=draw(NAME), interval_s=draw(st.none() | NUMBER), flags=draw(TEXT),
        used=draw(st.booleans()),
    )  # fmt: skip


def _read(record: dict[str, str]) -> Row:
    """A row of a CSV file as a reader's program would take it."""
    whole = {name: int(record[name]) for name in ("block", "attempt", "position", "trial")}
    parts = {name: float(record[name]) if record[name] else None for name in ("value", "interval_s")}
    return Row(**{**record, **whole, **parts, "elapsed_s": float(record["elapsed_s"]),
                  "used": {"true": True, "false": False}[record["used"]]})  # type: ignore[arg-type]  # by the columns' names  # fmt: skip


def test_every_sample_is_one_row_with_all_that_identifies_it() -> None:
    """Trial, probe, metric, end and direction name a row; nothing else of its trial is lost."""
    found = list(tidy.rows(RUN, TRIALS))
    first = TRIALS[0]

    assert len(found) == sum(max(1, len(trial.samples)) for trial in TRIALS)
    assert max(Counter((r.trial, r.probe, r.metric, r.end, r.direction) for r in found).values()) == 1
    assert found[0] == Row(
        run_id=RUN.run_id, plan="my-path", topology="bridge", block=1, attempt=1, position=1, arm=first.arm, trial=1,
        status="done", cause="", started_at="2026-01-31T12:00:00.000000Z", elapsed_s=2.2, probe="tcp",
        metric="goodput", value=first.samples[0].value, unit="bit/s", end="receiver", direction="a>b", interval_s=0.8,
        flags="", used=True,
    )  # fmt: skip


def test_a_trial_without_a_number_stays_with_its_status_and_cause() -> None:
    """Failed and missing trials have one row each, of which the value is empty."""
    lost = [row for row in tidy.rows(RUN, TRIALS) if row.value is None]

    assert [(row.status, row.cause) for row in lost] == [
        (trial.status, trial.cause) for trial in TRIALS if trial.status != "done"
    ]
    assert {(row.probe, row.metric, row.unit, row.end, row.direction, row.interval_s) for row in lost} == {
        ("", "", "", "", "", None)
    }


def test_a_failed_trial_keeps_the_numbers_that_it_gave() -> None:
    """Its second probe failed; the first one's number stands, with the cause beside it."""
    sample = Sample("tcp", "goodput", 1.0, "bit/s", "b", "a>b", 1.0)
    trial = replace(TRIALS[0], status="failed", cause="latency: refused", samples=(sample,), flags=("x", "y"))
    (row,) = tidy.rows(RUN, [trial])

    assert (row.value, row.status, row.cause, row.flags) == (1.0, "failed", "latency: refused", "x; y")


def test_rows_of_a_block_cut_short_are_there_and_marked() -> None:
    """Orphans are exported; `used` says that no verdict rests on them, and the next attempt's are used."""
    orphans = [replace(trial, status="orphan") for trial in TRIALS if (trial.topology, trial.block) == ("bridge", 2)]
    afresh = [replace(trial, status="done", attempt=1, trial_id=1000 + trial.trial_id) for trial in orphans]
    found = list(tidy.rows(RUN, [*orphans, *afresh]))

    assert {(row.attempt, row.status, row.used) for row in found} == {(1, "orphan", False), (2, "done", True)}


def test_a_trial_on_its_way_is_not_used() -> None:
    """An export of a run that is still measuring says so."""
    assert {row.used for row in tidy.rows(RUN, [replace(trial, status="running") for trial in TRIALS])} == {False}


@given(st.lists(_rows(), max_size=5))
def test_csv_reads_back_as_it_was(found: list[Row]) -> None:
    """Quotes, commas, line ends of all kinds, NULs, and floats to their last bit."""
    text = tidy.as_csv(found, COLUMNS)
    records = list(csv.DictReader(io.StringIO(text, newline="")))

    assert [_read(record) for record in records] == found


@given(st.lists(_rows(), max_size=5))
def test_json_reads_back_as_it_was(found: list[Row]) -> None:
    """The rows and the document beside them, in JSON's own types."""
    document = json.loads(tidy.as_json(found, {"run_id": "r"}))

    assert document == {"version": 1, "show": {"run_id": "r"}, "rows": [asdict(row) for row in found]}
    assert [Row(**row) for row in document["rows"]] == found


@settings(max_examples=30)  # each writes and reads a file
@given(st.lists(_rows(), min_size=1, max_size=5))
def test_parquet_reads_back_as_it_was(found: list[Row]) -> None:
    """The frame that was written, to its types."""
    table = frames.frame(found)

    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(frames.parquet(table))), table)


@settings(deadline=None)
@given(TEXT, TEXT)
def test_raw_output_reads_back_as_it_was(cause: str, body: str) -> None:
    """What a tool printed, of whatever kind, beside trials that printed nothing."""
    trials = [(replace(TRIALS[0], cause=cause), {("tcp", "client"): body}), (TRIALS[1], {})]
    found = list(tidy.raw_rows(RUN, trials))
    records = list(csv.DictReader(io.StringIO(tidy.as_csv(found, tidy.RAW_COLUMNS), newline="")))
    table = frames.raw_frame(found)
    back = pd.read_parquet(io.BytesIO(frames.parquet(table)))

    assert [(r["trial"], r["cause"], r["probe"], r["name"], r["body"]) for r in records] == [
        ("1", cause, "tcp", "client", body), ("2", TRIALS[1].cause, "", "", ""),
    ]  # fmt: skip
    assert json.loads(tidy.raw_as_json(found, {}))["raw"] == [asdict(row) for row in found]
    pd.testing.assert_frame_equal(back, table)


def test_the_columns_are_in_the_order_of_a_reader() -> None:
    """Which trial, how it went, what was measured; adding one is a new format."""
    assert ",".join(COLUMNS) == (
        "run_id,plan,topology,block,attempt,position,arm,trial,status,cause,started_at,elapsed_s,"
        "probe,metric,value,unit,end,direction,interval_s,flags,used"
    )
    assert tidy.as_csv((), COLUMNS) == ",".join(COLUMNS) + "\n"


def test_a_trial_of_another_time_zone_reads_utc() -> None:
    """To the microsecond, with a Z; never the machine's own zone."""
    trial: Trial = replace(TRIALS[0], started_at=0.25, samples=())

    assert next(tidy.rows(RUN, [trial])).started_at == "1970-01-01T00:00:00.250000Z"
