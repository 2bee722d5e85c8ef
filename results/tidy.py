"""A run as a table: one row per trial, metric, end and direction; a trial without a number keeps one row all the same.

The rows are what `export` writes as CSV, JSON or (by `frames`) Parquet, and what `nettune.frame` gives a notebook.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from results.pairs import complete_blocks
from results.records import Run, Trial

# 1  first format
EXPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one trial, or a trial that has none. Blocks, attempts and positions count from 1, as on the screen.

    `value` is in `unit`, bare: seconds, bit/s, a share of 1. `used` says whether the trial's block is complete, so that
    verdicts may rest on it.
    """

    run_id: str
    plan: str
    topology: str
    block: int
    attempt: int
    position: int
    arm: str
    trial: int
    status: str
    cause: str  # why it is not done
    started_at: str  # ISO 8601, UTC, to the microsecond
    elapsed_s: float
    probe: str  # this and what follows is empty where the trial has no number
    metric: str
    value: float | None
    unit: str
    end: str
    direction: str
    interval_s: float | None
    flags: str  # separated by "; "
    used: bool


@dataclass(frozen=True, slots=True)
class RawRow:
    """What one tool printed in one trial; the trial's columns as in Row."""

    run_id: str
    plan: str
    topology: str
    block: int
    attempt: int
    position: int
    arm: str
    trial: int
    status: str
    cause: str
    started_at: str
    probe: str
    name: str  # "client", "server", …
    body: str


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))
RAW_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(RawRow))


def rows(run: Run, trials: Sequence[Trial]) -> Iterator[Row]:
    """Every trial of a run in the order of measurement, orphans included."""
    counted = {
        trial.trial_id
        for blocks in complete_blocks(trials).values()
        for block in blocks
        for trial in block.trials.values()
    }
    for trial in trials:
        shared = {
            **_of_trial(run, trial),
            "elapsed_s": trial.elapsed_s,
            "flags": "; ".join(trial.flags),
            "used": trial.trial_id in counted,
        }
        for sample in trial.samples:
            yield Row(**shared, **asdict(sample))  # type: ignore[arg-type]  # both name the fields of Row
        if not trial.samples:
            nothing = {"probe": "", "metric": "", "value": None, "unit": "", "end": "", "direction": ""}
            yield Row(**shared, **nothing, interval_s=None)  # type: ignore[arg-type]  # as above


def raw_rows(run: Run, trials: Iterable[tuple[Trial, Mapping[tuple[str, str], str]]]) -> Iterator[RawRow]:
    """What the tools printed, by trial; a trial of which nothing is kept has one row with an empty body."""
    for trial, printed in trials:
        for (probe, name), body in printed.items() or ((("", ""), ""),):
            yield RawRow(**_of_trial(run, trial), probe=probe, name=name, body=body)  # type: ignore[arg-type]  # as above


def _of_trial(run: Run, trial: Trial) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "plan": run.plan_name,
        "topology": trial.topology,
        "block": trial.block + 1,
        "attempt": trial.attempt + 1,
        "position": trial.position + 1,
        "arm": trial.arm,
        "trial": trial.trial_id,
        "status": trial.status,
        "cause": trial.cause,
        "started_at": datetime.fromtimestamp(trial.started_at, UTC).isoformat(timespec="microseconds")[:26] + "Z",
    }


def as_csv(found: Iterable[Row | RawRow], columns: Sequence[str]) -> str:
    """RFC 4180 with a header, but lines end with a bare newline; an empty cell where there is no number."""
    lines = [",".join(columns)]
    lines += [",".join(_cell(getattr(row, column)) for column in columns) for row in found]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    """By hand: csv.writer of Python 3.11 leaves a carriage return unquoted unless every line ends with one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)  # of a float: the shortest text that reads back as the same number
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def as_json(found: Iterable[Row], show: Mapping[str, object]) -> str:
    """The rows, and beside them the document of `show --json`."""
    return _document({"version": EXPORT_VERSION, "show": show, "rows": [asdict(row) for row in found]})


def raw_as_json(found: Iterable[RawRow], show: Mapping[str, object]) -> str:
    """The same with what the tools printed in place of the numbers."""
    return _document({"version": EXPORT_VERSION, "show": show, "raw": [asdict(row) for row in found]})


def _document(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
