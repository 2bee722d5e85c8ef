"""The confirmation: fresh blocks, one hypothesis for each pick, Holm over all of them. Only here a gain is claimed."""

import math
from collections.abc import Sequence

from results.guards import guarded
from results.looks import ALPHA, FAILURES
from results.pairs import CompleteBlock, against_current, complete_blocks
from results.statistics import Estimate, holm, percent
from tuning.search.noise import CONFIRM_BLOCKS
from tuning.search.pareto import Picked, front
from tuning.search.stages import Measured, Pick
from tuning.search.standing import advantage, failures, gained, standings


def confirmed(measured: Measured, picked: Sequence[Picked]) -> tuple[tuple[Pick, ...], tuple[str, ...]]:
    """The picks that hold, and a sentence for each.

    Holm over the picks, each by its own metric, named before the first fresh block. A pick that fails in FAILURES
    blocks is rejected, and its place in the family stays; a claim rests on CONFIRM_BLOCKS numbers at least. A pick for
    the primary metric may harm no guard (`balanced`: all must be resolved); one for another must keep the primary one.
    """
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    arms = [_arm(measured, each) for each in picked]
    gains = [gained(blocks, arm, each.metric) for arm, each in zip(arms, picked, strict=True)]
    able = [failures(measured, arm) < FAILURES for arm in arms]
    adjusted = holm([each.p if each is not None and held else None for each, held in zip(gains, able, strict=True)])
    ahead = front(standings(measured))
    judged = [
        _judged(measured, blocks, (arm, each), (gain, p), on_front=arm in ahead)
        for arm, each, gain, p in zip(arms, picked, gains, adjusted, strict=True)
    ]
    return tuple(pick for pick, _ in judged if pick is not None), tuple(said for _, said in judged)


def against(measured: Measured, anchors: Sequence[str], arm: str) -> tuple[str, ...]:
    """How an arm of the stage stands against each anchor that is an arm too, in words."""
    said = []
    for anchor in anchors:
        if (broken := failures(measured, anchor)) >= FAILURES:
            said.append(f"{anchor} failed in {broken} blocks in which current did not.")
            continue
        found = advantage(measured, arm, anchor, measured.design.primary)
        if found is None:
            continue
        word = "beats" if found.low > 0.0 else "loses to" if found.high < 0.0 else "ties with"
        bounds = f"{percent(found.mean):+.1f} % [{percent(found.low):+.1f}, {percent(found.high):+.1f}]"
        said.append(f"{arm} {word} {anchor}: {measured.design.primary} {bounds} in the same {found.n} blocks.")
    return tuple(said)


def _arm(measured: Measured, picked: Picked) -> str:
    return next(name for name, settings in measured.stage.arms.items() if settings == picked.config)


def _judged(
    measured: Measured,
    blocks: tuple[CompleteBlock, ...],
    who: tuple[str, Picked],
    what: tuple[Estimate | None, float],
    *,
    on_front: bool,
) -> tuple[Pick | None, str]:
    """The pick where it holds, and the sentence about it."""
    (arm, picked), (gain, p) = who, what
    design = measured.design
    margin = math.log1p(design.margin_pct / 100.0)
    words = ", ".join(picked.names)
    if (broken := failures(measured, arm)) >= FAILURES:
        where = f"{broken} of {len(blocks)} fresh blocks, and current in none of these"
        return None, f"Not confirmed: {words}: it failed in {where}: what the others gave is a selection."
    if gain is None or gain.n < CONFIRM_BLOCKS[0]:
        given = len(against_current(blocks, arm, picked.metric).effects)
        numbers = f"only {given} of {measured.stage.blocks} blocks gave a number"
        return None, f"Not confirmed: {words}: {numbers}, and a claim rests on {CONFIRM_BLOCKS[0]} at least."
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
    pick = Pick(held, arm, measured.stage.arms[arm], picked.metric, gain, guards, on_front)
    unresolved = f"; not resolved: {', '.join(open_ones)}" if open_ones else ""
    return pick, f"Confirmed: {', '.join(held)}: {told}{unresolved}."
