"""Several objectives at once: which configurations nothing beats in all of them, and the named picks among those."""

from collections.abc import Mapping
from dataclasses import dataclass

from results.records import Design
from tuning.search.stages import Config, PickName
from tuning.search.standing import Standing, objectives


@dataclass(frozen=True, slots=True)
class Picked:
    """A configuration that is worth confirming, under its names, and the one metric that it is picked for."""

    names: tuple[PickName, ...]
    config: Config
    metric: str


def dominates(one: Standing, other: Standing) -> bool:
    """Better in one objective beyond its interval, and in every other one no worse within its; what failed is not."""
    if one is other or one.failed or not one.gains.keys() & other.gains.keys():
        return False
    pairs = [(one.gains[metric], other.gains[metric]) for metric in one.gains if metric in other.gains]
    return any(a.low90 > b.mean for a, b in pairs) and all(a.mean >= b.mean or a.high90 >= b.mean for a, b in pairs)


def front(pool: Mapping[str, Standing]) -> dict[str, Standing]:
    """The arms that none of the others dominates."""
    return {arm: each for arm, each in pool.items() if not any(dominates(other, each) for other in pool.values())}


def own_names(design: Design) -> tuple[PickName, ...]:
    """The names of a pick for the primary metric, that of the goal first."""
    for name, word in (("latency", "rtt_p99"), ("efficient", "cpu_per_10gbit")):
        if design.primary.rpartition(".")[2] == word:
            return ("balanced", name)  # type: ignore[return-value]  # both are names
    return ("throughput", "balanced") if design.goal == "throughput" else ("balanced", "throughput")


def others(pool: Mapping[str, Standing], design: Design, margin: float) -> list[Picked]:
    """The picks of the other objectives: the best on the front that keeps the primary metric."""
    found = []
    there = front(pool)
    for name, metric in objectives(design).items():
        able = [arm for arm, each in there.items() if _able(each, metric, design.primary, margin)]
        if able:
            best = max(able, key=lambda arm, by=metric: (there[arm].gain(by), -len(there[arm].config)))  # type: ignore[misc]
            found.append(Picked((name,), there[best].config, metric))
    return found


def _able(each: Standing, metric: str, primary: str, margin: float) -> bool:
    """Whether it gains in the metric, keeps the primary one, and neither fails nor harms a guard."""
    if each.failed:
        return False
    found, kept = each.gains.get(metric), each.gains.get(primary)
    if found is None or kept is None or found.low90 <= 0.0 or found.mean < margin or kept.mean <= -margin:
        return False
    return all(guard.word != "harmed" for guard in each.guards if guard.metric != metric)
