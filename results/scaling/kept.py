"""The trials of a density run as the store keeps them, for an answer."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.records import Trial
from results.scaling.answer import Loaded
from results.scaling.arms import PROBE, pairs

# A service level's word -> the metric that a trial has of it.
METRICS: Mapping[str, str] = {
    "goodput": "goodput",
    "p50": "rtt_p50",
    "p99": "rtt_p99",
    "loss": "loss",
    "cpu": "cpu_share",
    "fairness": "fairness",
    "connections": "connections",
}


# A percentile that a trial has not -> the share of lost probes from which on it is one of them.
_LATEST = {"p50": 0.50, "p99": 0.01}
_WAY = re.compile(r"\S+>\S+: ")  # a flag of one pair begins with it
FAILED = "connections_failed"  # pairs that had no connection rate; of all of them together there is none then


def loaded(trials: Sequence[Trial], window: str = PROBE) -> tuple[Loaded, ...]:
    """Those that are done and have such a window. One in which a pair failed has fewer pairs than it says: left out.

    A percentile among the lost probes is infinite, and -inf the connections of pairs of which one had none.
    """
    found = []
    for each in trials:
        if each.status != "done":
            continue
        values = {word: each.value(f"{window}.{metric}") for word, metric in METRICS.items()}
        known = {word: value for word, value in values.items() if value is not None}
        lost = known.get("loss", 0.0)
        known |= {word: math.inf for word, share in _LATEST.items() if word not in known and lost > share}
        if "connections" not in known and each.value(f"{window}.{FAILED}"):
            known["connections"] = -math.inf
        if known:
            found.append(Loaded(pairs(each.arm), known))
    return tuple(found)


def failing(trials: Sequence[Trial]) -> int:
    """The least number of pairs of which every trial that came to an end failed; 0: there is none.

    A trial that is missing, by a tool or for a ceiling, says nothing of the path.
    """
    states: dict[int, set[str]] = {}
    for each in trials:
        states.setdefault(pairs(each.arm), set()).add(each.status)
    return min((n for n, seen in states.items() if "failed" in seen and "done" not in seen), default=0)


def lost(trials: Sequence[Trial]) -> tuple[tuple[int, str], ...]:
    """(pairs, why) of trials that failed or are missing."""
    return tuple((pairs(each.arm), each.cause) for each in trials if each.status in {"failed", "missing"})


@dataclass(frozen=True, slots=True)
class Noted:
    """What trials with `n` pairs were flagged with: in how many of how many, and of which pairs where it is of some."""

    n: int
    text: str
    trials: int
    of: int
    ways: tuple[str, ...] = ()


def noted(trials: Sequence[Trial]) -> tuple[Noted, ...]:
    """The flags of trials that have come to their end, by number of pairs."""
    ended = [each for each in trials if each.status in {"done", "failed"}]
    of = Counter(pairs(each.arm) for each in ended)
    ways: dict[tuple[int, str], set[str]] = {}
    seen: dict[tuple[int, str], set[int]] = {}
    for each in ended:
        for flag in each.flags:
            way, _, text = flag.partition(": ") if _WAY.match(flag) else ("", "", flag)
            key = pairs(each.arm), text
            ways.setdefault(key, set()).update([way] if way else [])
            seen.setdefault(key, set()).add(each.trial_id)
    return tuple(Noted(n, text, len(seen[n, text]), of[n], tuple(sorted(ways[n, text]))) for n, text in sorted(seen))


def costs(trials: Sequence[Trial], idle_cores: float) -> Mapping[int, float]:
    """CPU cores for each 10 Gbit/s by number of pairs, what the machine used before the run taken off; means."""
    found: dict[int, list[float]] = {}
    for each in trials:
        busy, goodput = each.value(f"{PROBE}.cpu_busy"), each.value(f"{PROBE}.goodput")
        if each.status == "done" and busy is not None and goodput:
            found.setdefault(pairs(each.arm), []).append(max(0.0, busy - idle_cores) / (goodput / 1e10))
    return {n: sum(values) / len(values) for n, values in sorted(found.items())}
