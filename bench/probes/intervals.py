"""Intervals of an iperf3 test, cut by time: pure functions over its JSON document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ABSURD = 1e18  # what is above is a broken number; JSON knows NaN, and whole numbers that no float holds

_TOUCHING_S = 1e-3  # by which one interval may begin before the one before has ended: rounding (seen: 1e-6)


@dataclass(frozen=True, slots=True)
class Interval:
    """The sum over all streams of one report interval; datagrams and lost are 0 where they are not counted (TCP)."""

    start_s: float  # since the test began
    end_s: float
    size_bytes: float
    datagrams: float
    lost: float


def document(text: str) -> dict[str, Any]:  # Any: JSON
    """The JSON object in `text`, {} when there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def intervals(found: Mapping[str, Any]) -> list[Interval]:  # Any: JSON
    """Every interval of a document that has its numbers, ends after it starts, and starts where those before ended.

    A test that is told to stop reports its last interval twice (iperf 3.12).
    """
    rows = found.get("intervals")
    sums = [row.get("sum") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    kept: list[Interval] = []
    for each in sums:
        if not isinstance(each, dict) or not all(real(each.get(key)) for key in ("start", "end", "bytes")):
            continue
        if not all(each.get(key) is None or real(each.get(key)) for key in ("packets", "lost_packets")):
            continue
        one = Interval(*(float(each.get(key) or 0) for key in ("start", "end", "bytes", "packets", "lost_packets")))
        if one.end_s > one.start_s >= (kept[-1].end_s - _TOUCHING_S if kept else 0.0):
            kept.append(one)
    return kept


def inside(found: Sequence[Interval], first_s: float, last_s: float) -> list[Interval]:
    """The intervals that lie inside [first_s, last_s]."""
    return [each for each in found if each.start_s >= first_s and each.end_s <= last_s]


def rate(found: Sequence[Interval], first_s: float, last_s: float) -> float:
    """Bits per second over [first_s, last_s]: an interval counts by its share inside, missing time as nothing."""
    bits = 0.0
    for each in found:
        overlap_s = min(each.end_s, last_s) - max(each.start_s, first_s)
        if overlap_s > 0:
            bits += 8 * each.size_bytes * overlap_s / (each.end_s - each.start_s)
    return bits / (last_s - first_s)


def number(found: Mapping[str, Any], *path: str) -> float | None:  # Any: JSON
    """The number at a path of keys, None where there is none that can be a count or time."""
    value: Any = found
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if real(value) else None


def real(value: object) -> bool:
    """A count or time that can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _ABSURD
