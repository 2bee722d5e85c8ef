"""The confirmation: fresh blocks, one hypothesis for each pick, Holm over all of them. Only here a gain is claimed."""

import math
from collections.abc import Mapping

from results.guards import guarded
from results.looks import ALPHA
from results.pairs import CompleteBlock, complete_blocks
from results.statistics import Estimate, holm, percent
from tuning.search.choosing import Picked
from tuning.search.stages import Measured, Pick
from tuning.search.standing import gained


def confirmed(measured: Measured, picked: Mapping[str, Picked]) -> tuple[tuple[Pick, ...], tuple[str, ...]]:
    """The picks that hold, and a sentence for each; `picked` by arm.

    Holm over the arms of the confirmation, each by its own metric, named before the first fresh block. A pick for the
    primary metric may harm no guard (`balanced`: all must be resolved); one for another must keep the primary metric.
    """
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    found = {arm: gained(blocks, arm, picked[arm].metric) for arm in measured.stage.arms}
    adjusted = holm([None if each is None else each.p for each in found.values()])
    judged = [
        _judged(measured, blocks, arm, picked[arm], gain, p)
        for (arm, gain), p in zip(found.items(), adjusted, strict=True)
    ]
    return tuple(pick for pick, _ in judged if pick is not None), tuple(said for _, said in judged)


def _judged(
    measured: Measured, blocks: tuple[CompleteBlock, ...], arm: str, picked: Picked, gain: Estimate | None, p: float
) -> tuple[Pick | None, str]:
    """The pick where it holds, and the sentence about it."""
    design = measured.design
    margin = math.log1p(design.margin_pct / 100.0)
    words = ", ".join(picked.names)
    if gain is None:
        return None, f"Not confirmed: {words}: too few blocks gave a number."
    bounds = f"[{percent(gain.low):.1f}, {percent(gain.high):.1f}]"
    told = f"{picked.metric} better by {percent(gain.mean):.1f} % {bounds}, {gain.n} fresh blocks"
    if p >= ALPHA or gain.mean < margin:
        return None, f"Not confirmed: {words}: {told}."
    guards = guarded(design.guards, blocks, arm)
    others = [guard for guard in guards if guard.metric != picked.metric]
    harmed = [guard.metric for guard in others if guard.word == "harmed"]
    open_ones = [guard.metric for guard in others if guard.word != "ok"]
    primary = gained(blocks, arm, design.primary)
    lost = picked.metric != design.primary and (primary is None or primary.low90 <= -margin)
    held = tuple(name for name in picked.names if name == "throughput" or not open_ones)
    if harmed or lost or not held:
        why = f"harms {', '.join(harmed)}" if harmed else f"{', '.join(open_ones) or design.primary} is not resolved"
        return None, f"Not confirmed: {words}: {told}, but {why}."
    return Pick(
        held, arm, measured.stage.arms[arm], picked.metric, gain, guards
    ), f"Confirmed: {', '.join(held)}: {told}."
