"""What iperf3 prints with --json: read, checked and cut by time. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.hosts.command import Outcome
from bench.probes.probe import ProbeFailed, ToolBroke

_TIMED, _COUNTED = ("start", "end", "bytes"), ("packets", "lost_packets")
SLACK_S = 0.02  # by which iperf3's timer misses its intervals (seen: up to 2 ms; a stalled core: more)
BACK = "_bidir_reverse"  # ends the names of what belongs to server-to-client in a --bidir test (3.7 to 3.21)
_OURS = ("Address already in use", "unable to start listener")  # the wrapper tells the second without the first
_ABSURD = 1e18  # bytes, seconds or per cent: what is above is a broken number
_TOUCHING_S = 1e-3  # by which one interval may begin before the one before has ended: rounding (seen: 1e-6)


@dataclass(frozen=True, slots=True)
class Row:
    """The sum over all streams of one report interval, in seconds since that end's test began.

    Datagrams and lost are 0 where they are not counted (TCP).
    """

    start_s: float
    end_s: float
    size_bytes: float
    datagrams: float = 0.0
    lost: float = 0.0


def parse(outcome: Outcome, raw: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON
    """iperf3's JSON document. Raises ToolBroke for garbage or a crash, ProbeFailed for an error iperf3 reports."""
    try:
        document = json.loads(outcome.stdout)
        if not isinstance(document, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        said = (outcome.stderr or outcome.stdout).strip()[:200]
        raise ToolBroke(
            f"on {outcome.host}: iperf3 (exit {outcome.returncode}) printed no JSON document but {said!r}", raw=raw
        ) from None
    if any(words in str(document.get("error", "")) for words in _OURS):
        # A port of ours is taken: nothing that an arm could have done.
        raise ToolBroke(f"on {outcome.host}: iperf3: {document['error']}", raw=raw)
    if "error" in document:
        raise ProbeFailed(f"on {outcome.host}: iperf3: {document['error']}", raw=raw)
    if outcome.returncode != 0:
        raise ToolBroke(f"on {outcome.host}: iperf3 exited with {outcome.returncode} and named no error", raw=raw)
    if not isinstance(document.get("end"), dict) or not rows(document):
        raise ToolBroke(f"on {outcome.host}: iperf3's JSON has no intervals or no end", raw=raw)
    return document


def rows(document: Mapping[str, Any], way: str = "") -> list[Row]:  # Any: JSON
    """The intervals that have their numbers, end after they start, and start where those before ended.

    With BACK those of the way back. A test that is told to stop reports its last interval twice (iperf 3.12).
    """
    intervals = document.get("intervals")
    key = f"sum{way}"
    found = [each.get(key) for each in intervals if isinstance(each, dict)] if isinstance(intervals, list) else []
    kept: list[Row] = []
    for each in found:
        if not isinstance(each, dict) or not all(real(each.get(name)) for name in _TIMED):
            continue
        if not all(each.get(name) is None or real(each.get(name)) for name in _COUNTED):
            continue
        row = Row(*(float(each.get(name) or 0) for name in (*_TIMED, *_COUNTED)))
        if row.end_s > row.start_s >= (kept[-1].end_s - _TOUCHING_S if kept else 0.0):
            kept.append(row)
    return kept


def printed(text: str) -> dict[str, Any]:  # Any: JSON
    """The JSON object in what a test printed that was stopped on the way; {} when there is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def whole(found: Sequence[Row], first_s: float, last_s: float) -> list[Row]:
    """The rows that lie inside [first_s, last_s], the timer's slack granted."""
    return [each for each in found if each.start_s >= first_s - SLACK_S and each.end_s <= last_s + SLACK_S]


def parts(found: Sequence[Row], first_s: float, last_s: float) -> list[Row]:
    """The rows cut off at [first_s, last_s]; one that is cut keeps the bytes of its share, as if they came evenly."""
    cut = []
    for each in found:
        start_s, end_s = max(each.start_s, first_s), min(each.end_s, last_s)
        if end_s > start_s:
            share = (end_s - start_s) / (each.end_s - each.start_s)
            cut.append(Row(start_s, end_s, each.size_bytes * share, each.datagrams * share, each.lost * share))
    return cut


def rate_bps(found: Sequence[Row], first_s: float, last_s: float) -> float:
    """Bits per second over [first_s, last_s], time that no row covers counting as nothing."""
    return 8 * sum(each.size_bytes for each in parts(found, first_s, last_s)) / (last_s - first_s)


def at(document: Mapping[str, Any], *path: str) -> Any:  # Any: JSON
    """What lies at a path of keys, None where nothing does."""
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def told(document: Mapping[str, Any], *path: str) -> float | None:  # Any: JSON
    """The number at a path of keys, None where there is none that can be a count or time."""
    value = at(document, *path)
    return float(value) if real(value) else None


def number(document: Mapping[str, Any], *path: str, raw: Mapping[str, str]) -> float:  # Any: JSON
    """The number at a path of keys; raises ToolBroke where there is none that can be a count or time."""
    value = told(document, *path)
    if value is None:
        raise ToolBroke(f"iperf3's JSON has no number at {'.'.join(path)}", raw=raw)
    return value


def real(value: object) -> bool:
    """A count or time that can be: JSON knows NaN, and whole numbers that no float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _ABSURD
