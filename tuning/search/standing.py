"""What a stage says of each of its arms: gains on every objective, guards, and whether it may win."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from results.judgement import judge
from results.looks import FAILURES
from results.pairs import CompleteBlock, against_current, better, complete_blocks
from results.records import Comparison, Design, GuardResult
from results.statistics import Estimate, estimate
from tuning.search.stages import Config, Measured, PickName

OBJECTIVES: Mapping[PickName, str] = {"latency": "rtt_p99", "efficient": "cpu_per_10gbit"}  # metric, whatever the probe


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
    def failed(self) -> bool:
        """Whether it failed in so many blocks in which current did not that it is worse, whatever the others gave."""
        return self.comparison.failed >= FAILURES

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


def objectives(design: Design) -> dict[PickName, str]:
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


def failures(measured: Measured, arm: str) -> int:
    """The blocks in which an arm failed and current did not; FAILURES of them and it is worse, whatever it gained."""
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    return len(against_current(blocks, arm, measured.design.primary).failures)


def advantage(measured: Measured, whole: str, without: str, metric: str) -> Estimate | None:
    """What one arm gains over another within the same blocks; None for fewer than two."""
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    one, other = (dict(against_current(blocks, arm, metric).effects) for arm in (whole, without))
    return _good(estimate([value - other[block] for block, value in one.items() if block in other]), metric)


def _good(found: Estimate | None, metric: str) -> Estimate | None:
    """The same with its sign such that more is better."""
    if found is None or better(metric) == "higher":
        return found
    return Estimate(found.n, -found.mean, found.sd, -found.high, -found.low, -found.high90, -found.low90, found.p)
