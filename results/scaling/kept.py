"""The trials of a density run as the store keeps them, for an answer."""

from collections.abc import Mapping, Sequence

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


def loaded(trials: Sequence[Trial], window: str = PROBE) -> tuple[Loaded, ...]:
    """Those that are done and have such a window. One in which a pair failed has fewer pairs than it says: left out."""
    found = []
    for each in trials:
        if each.status != "done":
            continue
        values = {word: each.value(f"{window}.{metric}") for word, metric in METRICS.items()}
        known = {word: value for word, value in values.items() if value is not None}
        if known:
            found.append(Loaded(pairs(each.arm), known))
    return tuple(found)


def lost(trials: Sequence[Trial]) -> tuple[tuple[int, str], ...]:
    """(pairs, why) of trials that failed or are missing."""
    return tuple((pairs(each.arm), each.cause) for each in trials if each.status in {"failed", "missing"})


def costs(trials: Sequence[Trial], idle_cores: float) -> Mapping[int, float]:
    """CPU cores for each 10 Gbit/s by number of pairs, what the machine used before the run taken off; means."""
    found: dict[int, list[float]] = {}
    for each in trials:
        busy, goodput = each.value(f"{PROBE}.cpu_busy"), each.value(f"{PROBE}.goodput")
        if each.status == "done" and busy is not None and goodput:
            found.setdefault(pairs(each.arm), []).append(max(0.0, busy - idle_cores) / (goodput / 1e10))
    return {n: sum(values) / len(values) for n, values in sorted(found.items())}
