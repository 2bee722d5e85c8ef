"""Combining: what each setting adds to all the others, and which are only passengers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.plan import SettingSpec
from results.guards import guarded
from results.pairs import complete_blocks
from tuning.search.model import HELD_BACK
from tuning.search.noise import TRIAL
from tuning.search.stages import Config, Measured
from tuning.search.standing import advantage

ALL, WITHOUT = "all", "without-"
BLOCKS = (8, 24)  # at least, at most
ROUNDS_MOST = 3
SETTINGS_MOST = 8

Known = Mapping[SettingSpec, tuple[float, float]]  # what screening says that a setting adds, and its error


@dataclass(frozen=True, slots=True)
class Left:
    """What a round leaves of a configuration, what left it, and whether another round must look at the rest."""

    kept: Config
    out: tuple[SettingSpec, ...]
    again: bool


def arms(whole: Config) -> dict[str, Config]:
    """All settings, and all but each."""
    found = {ALL: whole}
    for number, each in enumerate(whole, 1):
        found[f"{WITHOUT}{number}"] = tuple(other for other in whole if other != each)
    return found


def blocks(sd: float, margin: float) -> int:
    """As many as know to a third of the margin what a setting adds: two trials of a block against each other."""
    least, most = BLOCKS
    return min(max(least, math.ceil(2.0 * TRIAL * (sd / (margin / 3.0)) ** 2)), most)


def left(measured: Measured, margin: float, known: Known) -> Left:
    """What remains without passengers: settings that add less than HELD_BACK of the margin.

    What a setting adds is all of them against the arm that lacks it, in the same blocks, pooled with what screening
    says of the same, unless the two disagree by three errors. Of settings that take something away only the worst
    leaves, because of two that stand in each other's way the other is worth all of it once the first is gone.
    Without any gain it is a guard that decides: where all together harm one, the setting that harms it most leaves.
    """
    whole = measured.stage.arms[ALL]
    adds: dict[SettingSpec, float] = {}
    for arm, settings in measured.stage.arms.items():
        if arm == ALL:
            continue
        (gone,) = set(whole) - set(settings)
        found = advantage(measured, ALL, arm, measured.design.primary)
        if found is not None:
            adds[gone] = _pooled(found.mean, found.sd / math.sqrt(found.n), known.get(gone))
    idle = [spec for spec, mean in adds.items() if abs(mean) < HELD_BACK * margin]
    against = sorted((spec for spec, mean in adds.items() if mean <= -HELD_BACK * margin), key=adds.__getitem__)
    out = [*idle, *against[:1]]
    if not out and (worst := _harming(measured)) is not None:
        out, against = [worst], [worst]
    if len(out) == len(whole):
        out = sorted(out, key=adds.__getitem__)[:-1]
    return Left(tuple(spec for spec in whole if spec not in out), tuple(out), bool(against))


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
    whole = measured.stage.arms[ALL]
    relief = {
        arm: gain.mean
        for arm in measured.stage.arms
        if arm != ALL and (gain := advantage(measured, arm, ALL, harmed[0])) is not None
    }
    if not relief:
        return None
    arm = max(relief, key=relief.__getitem__)
    (gone,) = set(whole) - set(measured.stage.arms[arm])
    return gone
