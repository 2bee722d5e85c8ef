"""The clock of a search whose budget is in time: when a stage must end, and how fast this very search is.

The road of a search stays a pure function: what the clock said when a stage was over is kept with that stage (`Pace`),
and of a stage that it cut short the blocks are what they are. So a search that goes on later decides the same.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from results.records import Trial
from tuning.search.course import block_price
from tuning.search.noise import CONFIRM_BLOCKS
from tuning.search.stages import Measured, Pace, Prices, Stage

_LEAST_S = 1e-3  # of a trial: what is divided by it stays finite


class Clock:
    """The seconds that a search may measure, over all its sittings: the pause between two of them does not count.

    `keep` is given what is to be written down, after every block and every stage; `kept` is what was.
    """

    def __init__(
        self,
        budget_s: float,
        prices: Prices,
        kept: Mapping[str, Any],  # Any: JSON of our own
        keep: Callable[[Mapping[str, object]], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget_s, self._prices, self._keep, self._now = budget_s, prices, keep, now
        self._before_s: float = kept.get("spent_s", 0.0)
        self._paces = [_pace(each) for each in kept.get("paces", ())]
        self._began = now()
        self._stage = Stage("noise", {}, 0)
        self._stage_began = self._began
        self._took = 0.0, prices
        self._blocks: list[tuple[int, float]] = []  # of the stage on its way in this sitting: (number, began)

    @property
    def paces(self) -> tuple[Pace, ...]:
        """Of the stages that are over, in order."""
        return tuple(self._paces)

    @property
    def left_s(self) -> float:
        """What the budget still has; below 0 where the last block took longer than was left."""
        return self._budget_s - self._spent_s

    @property
    def _spent_s(self) -> float:
        return self._before_s + self._now() - self._began

    @property
    def _known(self) -> Prices:
        return self._paces[-1].prices if self._paces else self._prices

    def begin(self, stage: Stage) -> None:
        """A stage begins."""
        self._stage, self._stage_began, self._blocks = stage, self._now(), []

    def enough(self, block: int) -> bool:
        """Whether the stage must end before this block, so that what is kept back stays.

        A block begins where the time that is left pays for it. A confirmation goes on to the fewest blocks that claim
        anything as long as there is any time: it may end one block late, and nothing else may.
        """
        self._blocks.append((block, self._now()))
        self.save()
        expected_s = block_price(list(self._costs()), self._known) * self._known.trial_s
        took_s = list(_seconds(self._blocks).values())
        block_s = took_s[-1] if took_s else expected_s
        if self._stage.purpose == "confirm" and block < CONFIRM_BLOCKS[0]:
            return self.left_s <= 0.0
        slower = max(1.0, block_s / expected_s)
        return self.left_s - block_s < self._stage.kept_back * self._known.trial_s * slower

    def over(self, measured: Measured) -> None:
        """What the stage took, that has just been measured."""
        now, before_s = self._now(), self._paces[-1].set_up_s if self._paces else 0.0
        seconds = _seconds(self._blocks)
        if len(self._blocks) == 1:  # none began after it: taking the lab down is in it
            seconds = {self._blocks[0][0]: now - self._blocks[0][1]}
        idle_s = now - self._stage_began - self._busy_s(measured.trials, seconds) if seconds else before_s
        self._took = max(0.0, idle_s), paced(measured.stage, measured.trials, seconds, self._known)

    def _busy_s(self, trials: Sequence[Trial], seconds: Mapping[int, float]) -> float:
        """What the blocks of this sitting took; the last one, whose end nobody saw, by its trials."""
        begun = {block for block, _ in self._blocks}
        elapsed: dict[int, float] = {}
        for each in trials:
            if each.block in begun:
                elapsed[each.block] = elapsed.get(each.block, 0.0) + each.elapsed_s
        seen_s = sum(elapsed.get(block, 0.0) for block in seconds)
        beside = sum(seconds.values()) / seen_s if seen_s else 1.0
        return sum(seconds.get(block, each_s * beside) for block, each_s in elapsed.items())

    def read(self, measured: Measured, number: int) -> Measured:
        """The stage with its pace: as it was kept, or as it is now that all that follows from it is known, too."""
        if number == len(self._paces):
            self._paces.append(Pace(max(0.0, self.left_s), *self._took))
            self.save()
        return replace(measured, pace=self._paces[number])

    def around(self, measure: Callable[[Stage, int], Measured], stage: Stage, number: int) -> Measured:
        """A stage that nothing follows from but its trials: measured, with its pace."""
        self.begin(stage)
        measured = measure(stage, number)
        self.over(measured)
        return self.read(measured, number)

    def save(self) -> None:
        """Write down what was spent so far."""
        paces = [
            {"left_s": each.left_s, "set_up_s": each.set_up_s, "trial_s": each.prices.trial_s,
             "relink_s": each.prices.relink_s, "restart_s": each.prices.restart_s}
            for each in self._paces
        ]  # fmt: skip
        self._keep({"spent_s": self._spent_s, "paces": paces})

    def _costs(self) -> Sequence[Any]:  # Any: Cost, which a dict's default widens
        return [self._stage.costs.get(arm, "none") for arm in self._stage.arms]


def paced(stage: Stage, trials: Sequence[Trial], seconds: Mapping[int, float], before: Prices) -> Prices:
    """What things take, by the blocks of a stage whose seconds are known; `before` where it shows nothing of them.

    A relink is what trials with one take longer than others. New starts of guests lie between trials.
    """
    ours = [each for each in trials if each.block in seconds and each.status not in {"running", "orphan"}]
    if not ours:
        return before
    total_s = sum(seconds.values())
    elapsed: dict[str, list[float]] = {"none": [], "relink": [], "restart": []}
    for each in ours:
        elapsed[stage.costs.get(each.arm, "none")].append(each.elapsed_s)
    relink_s, restart_s = before.relink_s, before.restart_s
    if elapsed["relink"] and elapsed["none"]:
        relink_s = max(0.0, fmean(elapsed["relink"]) - fmean(elapsed["none"]))
    restarts = len(elapsed["restart"]) + len(seconds) if elapsed["restart"] else 0  # theirs, and current's: ADR 0021
    if restarts:
        restart_s = max(0.0, (total_s - sum(each.elapsed_s for each in ours)) / restarts)
    extra_s = relink_s * len(elapsed["relink"]) + restart_s * restarts
    return Prices(max((total_s - extra_s) / len(ours), _LEAST_S), relink_s, restart_s)


def _seconds(blocks: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Block -> what it took, of those after which another began."""
    return {block: after - began for (block, began), (_, after) in pairwise(blocks)}


def _pace(document: Mapping[str, float]) -> Pace:
    prices = Prices(document["trial_s"], document["relink_s"], document["restart_s"])
    return Pace(document["left_s"], document["set_up_s"], prices)
