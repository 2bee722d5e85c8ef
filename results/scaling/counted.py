"""What the trials counted beside goodput and latency, by number of pairs: CPU by kind, drops, the least pair; pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from results.records import Trial
from results.scaling.arms import PROBE, pairs
from results.scaling.transfers import Transfer

# A field of Split -> the metric that a trial has of it, in the order of the kernel's path.
METRICS: Mapping[str, str] = {
    "softirq": "cpu_softirq",
    "vhost": "cpu_vhost",
    "system": "cpu_system",
    "user": "cpu_user",
    "guest": "cpu_guest",
    "steal": "cpu_steal",
    "dropped": "dropped_packets",
    "least": "goodput_least",
}


@dataclass(frozen=True, slots=True)
class Split:
    """Means over trials, None where it is not known: cores, of all machines together; packets; bit/s of a pair."""

    softirq: float | None = None
    vhost: float | None = None  # threads that carry guests' packets; in the other kinds too
    system: float | None = None
    user: float | None = None
    guest: float | None = None
    steal: float | None = None
    dropped: float | None = None
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """By number of pairs: cores for each 10 Gbit/s, RFC 6349's metrics, the split."""

    costs: Mapping[int, float] = field(default_factory=dict)
    transfers: Mapping[int, Transfer] = field(default_factory=dict)
    splits: Mapping[int, Split] = field(default_factory=dict)


def splits(trials: Sequence[Trial], window: str = PROBE) -> Mapping[int, Split]:
    """Of the trials that are done."""
    found: dict[int, list[Trial]] = {}
    for each in trials:
        if each.status == "done":
            found.setdefault(pairs(each.arm), []).append(each)
    return {
        n: Split(**{each.name: _mean(listed, f"{window}.{METRICS[each.name]}") for each in fields(Split)})
        for n, listed in sorted(found.items())
    }


def _mean(trials: Sequence[Trial], metric: str) -> float | None:
    known = [value for each in trials if (value := each.value(metric)) is not None]
    return math.fsum(known) / len(known) if known else None
