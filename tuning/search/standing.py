"""What a stage says of each of its arms: gains on every objective, guards, and whether it may win."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from results.judgement import judge
from results.looks import ALPHA
from results.pairs import CompleteBlock, against_current, better, complete_blocks, current_against_itself
from results.records import Comparison, Design, GuardResult
from results.statistics import Estimate, estimate, smallest_visible
from tuning.search.stages import Config, Measured

# An arm is compared with the mean of both current arms: variance 1 + 1/2 of a trial's; current with itself: 1 + 1.
_OF_SAME_ARMS = math.sqrt(1.5 / 2.0)
OBJECTIVES: Mapping[str, str] = {"latency": "rtt_p99", "efficient": "cpu_per_10gbit"}  # metric, whatever the probe


@dataclass(frozen=True, slots=True)
class Standing:
    """One arm of a stage. `gains` are log ratios against current by metric, positive where better."""

    arm: str
    config: Config
    gains: Mapping[str, Estimate]
    guards: tuple[GuardResult, ...]
    comparison: Comparison

    def gain(self, metric: str) -> float:
        """The estimated gain in a metric, minus infinity where it gave none."""
        return self.gains[metric].mean if metric in self.gains else -math.inf

    @property
    def harmed(self) -> bool:
        """Whether a guard says that it does harm."""
        return any(guard.word == "harmed" for guard in self.guards)

    @property
    def clean(self) -> bool:
        """Whether every guard is resolved and holds."""
        return all(guard.word == "ok" for guard in self.guards)


def standings(measured: Measured) -> dict[str, Standing]:
    """Every arm of the stage's one topology, by name; without those that gave nothing."""
    judgement = judge(measured.design, measured.trials, whole=False)
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    found: dict[str, Standing] = {}
    for each in judgement.comparisons:
        gains = {
            metric: made
            for metric in (measured.design.primary, *objectives(measured.design).values())
            if (made := gained(blocks, each.treatment, metric)) is not None
        }
        config = measured.stage.arms[each.treatment]
        found[each.treatment] = Standing(each.treatment, config, gains, each.guards, each)
    return found


def objectives(design: Design) -> dict[str, str]:
    """The metrics of the other objectives that the plan measures, by the name of their pick."""
    judged = design.judged
    return {
        name: metric
        for name, word in OBJECTIVES.items()
        if (metric := next((each for each in judged if each.rpartition(".")[2] == word), ""))
        and metric != design.primary
    }


def gained(blocks: tuple[CompleteBlock, ...], arm: str, metric: str) -> Estimate | None:
    """The gain of an arm in a metric; None for fewer than two pairs."""
    return _good(estimate(against_current(blocks, arm, metric).logs), metric)


def contribution(measured: Measured, whole: str, without: str) -> Estimate | None:
    """What one setting adds: the arm `whole` against the one that lacks it alone, within the same blocks."""
    metric = measured.design.primary
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    one, other = (dict(against_current(blocks, arm, metric).effects) for arm in (whole, without))
    return _good(estimate([value - other[block] for block, value in one.items() if block in other]), metric)


def spread(measured: Measured) -> float | None:
    """The standard deviation of one block's effect, from how the two current arms differ; None below three blocks."""
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    found = estimate(current_against_itself(blocks, measured.design.primary).logs)
    if found is None or found.n < 3:
        return None
    # about 0 and not about their mean: equal arms differ by nothing, which is one degree of freedom more
    logs = current_against_itself(blocks, measured.design.primary).logs
    return math.sqrt(math.fsum(x * x for x in logs) / len(logs)) * _OF_SAME_ARMS


def visible(sd: float, blocks: int, hypotheses: int = 1) -> float:
    """The smallest gain, as a log ratio, that so many blocks show of one of so many hypotheses (80 % power)."""
    found = smallest_visible(sd, blocks, ALPHA / max(1, hypotheses))
    return math.inf if found is None else found


def _good(found: Estimate | None, metric: str) -> Estimate | None:
    """The same with its sign such that more is better."""
    if found is None or better(metric) == "higher":
        return found
    return Estimate(found.n, -found.mean, found.sd, -found.high, -found.low, -found.high90, -found.low90, found.p)
