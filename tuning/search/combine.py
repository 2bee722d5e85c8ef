"""Combining: what each setting adds to all the others, and which are only passengers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.plan import SettingSpec
from results.guards import guarded
from results.looks import FAILURES
from results.pairs import complete_blocks
from tuning.search.model import HELD_BACK
from tuning.search.noise import TRIAL
from tuning.search.stages import Config, Measured, config
from tuning.search.standing import advantage, failures

ALL, WITHOUT, WITH, REST = "all", "without-", "with-", "without-all-idle"
BLOCKS = (8, 24)  # at least, at most
ROUNDS_MOST = 3
SETTINGS_MOST = 8

Known = Mapping[SettingSpec, tuple[float, float]]  # what screening says that a setting adds, and its error


@dataclass(frozen=True, slots=True)
class Left:
    """What a round leaves of a configuration, what left it and why, and whether another round must look at the rest.

    `idle`: of `kept`, those that add nothing beside all the others, where several do not.
    """

    kept: Config
    out: tuple[SettingSpec, ...]
    again: bool
    why: str = "A passenger, left out"
    idle: tuple[SettingSpec, ...] = ()  # the least first


def arms(whole: Config) -> dict[str, Config]:
    """All settings, and all but each."""
    found = {ALL: whole}
    for number, each in enumerate(whole, 1):
        found[f"{WITHOUT}{number}"] = tuple(other for other in whole if other != each)
    return found


def without_idle(whole: Config, idle: Config) -> dict[str, Config]:
    """All settings, and all but the idle ones together; {} where there are no others."""
    rest = tuple(each for each in whole if each not in idle)
    return {ALL: whole, REST: rest} if rest else {}


def with_one(whole: Config, rest: Config) -> dict[str, Config]:
    """All settings, and the rest with each single one of those that it lacks."""
    lacking = [each for each in whole if each not in rest]
    return {ALL: whole, **{f"{WITH}{number}": config(*rest, each) for number, each in enumerate(lacking, 1)}}


def blocks(sd: float, margin: float) -> int:
    """As many as know to a third of the margin what a setting adds: two trials of a block against each other."""
    least, most = BLOCKS
    return min(max(least, math.ceil(2.0 * TRIAL * (sd / (margin / 3.0)) ** 2)), most)


def left(measured: Measured, margin: float, known: Known) -> Left:
    """What remains without passengers: settings that add less than HELD_BACK of the margin.

    What a setting adds is all of them against the arm that lacks it, in the same blocks, pooled with what screening
    says of the same, unless the two disagree by three errors. Of settings that take something away only the worst
    leaves, because of two that stand in each other's way the other is worth all of it once the first is gone. A single
    idle one leaves at once; of several each may be idle only because another is there, so that none leaves here.
    Where all together fail, what they fail without least leaves; what the others fail without stays. Without any gain
    it is a guard that decides: where all together harm one, the setting that harms it most leaves.
    """
    whole = measured.stage.arms[ALL]
    broken = {_gone(measured, arm): failures(measured, arm) for arm in measured.stage.arms if arm != ALL}
    if failures(measured, ALL) >= FAILURES:
        worst = min(broken, key=broken.__getitem__)
        return _less(whole, (worst,), again=True, why="Trials fail with it, left out")
    adds: dict[SettingSpec, float] = {}
    for arm in measured.stage.arms:
        if arm == ALL or broken[gone := _gone(measured, arm)] >= FAILURES:
            continue
        found = advantage(measured, ALL, arm, measured.design.primary)
        if found is not None:
            adds[gone] = _pooled(found.mean, found.sd / math.sqrt(found.n), known.get(gone))
    idle = sorted((spec for spec, mean in adds.items() if abs(mean) < HELD_BACK * margin), key=adds.__getitem__)
    against = sorted((spec for spec, mean in adds.items() if mean <= -HELD_BACK * margin), key=adds.__getitem__)
    if against:
        return _less(whole, (against[0],), again=True)
    if len(idle) > 1 and len(whole) > 2:
        return Left(whole, (), again=False, idle=tuple(idle))
    if idle:
        return _less(whole, (idle[0],), again=False)
    if (worst_of_all := _harming(measured)) is not None:
        return _less(whole, (worst_of_all,), again=True, why="It harms a guard that all together harm, left out")
    return Left(whole, (), again=False)


def lacks(measured: Measured, arm: str, margin: float) -> bool:
    """Whether an arm lacks HELD_BACK of the margin or more of what all together give, or fails where they do not."""
    if failures(measured, arm) >= FAILURES:
        return True
    found = advantage(measured, ALL, arm, measured.design.primary)
    return found is None or found.mean >= HELD_BACK * margin


def nearest(measured: Measured) -> str:
    """The arm that lacks the least of what all together give, of those that fail least."""
    arms = [arm for arm in measured.stage.arms if arm != ALL]
    found = {arm: advantage(measured, ALL, arm, measured.design.primary) for arm in arms}
    lacking = {arm: math.inf if each is None else each.mean for arm, each in found.items()}
    return min(arms, key=lambda arm: (failures(measured, arm), lacking[arm]))


def _gone(measured: Measured, arm: str) -> SettingSpec:
    """The setting that an arm lacks."""
    (gone,) = set(measured.stage.arms[ALL]) - set(measured.stage.arms[arm])
    return gone


def _less(whole: Config, out: tuple[SettingSpec, ...], *, again: bool, why: str = "A passenger, left out") -> Left:
    return Left(tuple(spec for spec in whole if spec not in out), out, again, why)


def _pooled(mean: float, error: float, known: tuple[float, float] | None) -> float:
    """Two estimates of one thing, weighted by their precision."""
    if known is None or known[1] <= 0.0 or error <= 0.0 or abs(mean - known[0]) > 3.0 * math.hypot(error, known[1]):
        return mean
    one, other = 1.0 / error**2, 1.0 / known[1] ** 2
    return (one * mean + other * known[0]) / (one + other)


def _harming(measured: Measured) -> SettingSpec | None:
    """The setting without which the first guard that all together harm is harmed least; None where none is."""
    found = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    harmed = [each.metric for each in guarded(measured.design.guards, found, ALL) if each.word == "harmed"]
    if not harmed:
        return None
    relief = {
        arm: gain.mean
        for arm in measured.stage.arms
        if arm != ALL and (gain := advantage(measured, arm, ALL, harmed[0])) is not None
    }
    if not relief:
        return None
    return _gone(measured, max(relief, key=relief.__getitem__))
