"""From trials to verdicts, by the rules that were fixed before the first trial (docs/adr/0002-judgement.md).

`judge` is the verb: every treatment against both current arms, per topology and metric. Only the primary metric
can name a winner; `run_visible` says how small a change the run as a whole could have seen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from results.guards import forbids, guarded
from results.looks import ALPHA, WORDS, Cell, Outcome, judged, last_alpha, look, outcomes
from results.pairs import CompleteBlock, against_current, complete_blocks, current_against_itself
from results.records import CURRENT_ARMS, Comparison, Design, Judgement, SameArms, Trial
from results.statistics import (
    blocks_needed,
    bootstrap_t,
    estimate,
    holm,
    percent,
    smallest_visible,
)
from results.wording import Numbers, sentence

__all__ = ["judge", "look", "run_visible"]


def judge(design: Design, trials: Sequence[Trial], *, whole: bool = True) -> Judgement:
    """Every comparison of the design (measured or not), the noise between the current arms, and what to warn of.

    Not `whole`: only comparisons on the primary metric, without bootstrap; all that verdicts, guards and advice rest
    on, at a fifth of the time. Comparisons come by topology, then treatment, then metric in the design's order.
    Raises ValueError for a metric that results.metrics does not define.
    """
    blocks = complete_blocks(trials)
    found = outcomes(design, blocks)
    comparisons = tuple(
        _primary(design, cell, outcome, bootstrap=whole)
        if metric == design.primary
        else _secondary(design, cell, outcome, metric)
        for cell, outcome in found.items()
        for metric in design.metrics
        if whole or metric == design.primary
    )
    same_arms = _same_arms(design, blocks)
    begun = [topology for topology in design.topologies if any(trial.topology == topology for trial in trials)]
    warnings = (*_block_warnings(design, begun, blocks), *_noise_warnings(same_arms))
    return Judgement(comparisons, same_arms, warnings)


def run_visible(design: Design, judgement: Judgement) -> tuple[float | None, int | None]:
    """The smallest change (%) that this run could see in its noisiest topology, and the blocks that show the margin.

    The spread is pooled over the treatments of a topology; the level is Holm's first step over the family. None
    and None before any topology has two pairs; the number of blocks is None beyond 1000.
    """
    alpha = last_alpha(design) / design.family if design.family else ALPHA
    spreads: list[tuple[float, int]] = []
    for topology in design.topologies:
        estimates = [
            e
            for c in judgement.comparisons
            if c.primary and c.topology == topology and (e := estimate([x for _, x in c.effects])) is not None
        ]
        if freedom := sum(e.n - 1 for e in estimates):
            pooled = math.sqrt(math.fsum(e.sd**2 * (e.n - 1) for e in estimates) / freedom)
            spreads.append((pooled, max(e.n for e in estimates)))
    visible = max((v for sd, n in spreads if (v := smallest_visible(sd, n, alpha)) is not None), default=None)
    if visible is None:
        return None, None
    noisiest = max(sd for sd, _ in spreads)
    return percent(visible), blocks_needed(noisiest, math.log1p(design.margin_pct / 100.0), alpha)


def _primary(design: Design, cell: Cell, outcome: Outcome, *, bootstrap: bool) -> Comparison:
    """The one comparison of a cell that may name a winner."""
    guards = guarded(design.guards, outcome.blocks, cell[1])
    compared = _comparison(design, cell, outcome, design.primary, bootstrap=bootstrap)
    won = compared.verdict == "better" and not forbids(guards, design.goal)
    return replace(compared, guards=guards, candidate=won)


def _secondary(design: Design, cell: Cell, primary: Outcome, metric: str) -> Comparison:
    """The same rule with an unadjusted p, over the blocks that the primary verdict rests on; it names no winner."""
    pairs = against_current(primary.blocks, cell[1], metric)
    found = estimate(pairs.logs)
    significant = found is not None and found.p < ALPHA
    finding = judged(found, pairs, metric, design.margin_pct, significant=significant)
    outcome = Outcome(finding, primary.blocks, pairs, found, None, primary.look)
    return _comparison(design, cell, outcome, metric)


def _comparison(design: Design, cell: Cell, outcome: Outcome, metric: str, *, bootstrap: bool = True) -> Comparison:
    """The outcome as the record that is kept, in percent and in words."""
    primary, found, logs = metric == design.primary, outcome.found, outcome.pairs.logs
    alpha = last_alpha(design) / design.family if primary else ALPHA
    visible = None if found is None else smallest_visible(found.sd, found.n, alpha)
    needed = None
    if found is not None and WORDS[outcome.finding] == "inconclusive" and not outcome.futile:
        needed = blocks_needed(found.sd, math.log1p(design.margin_pct / 100.0), alpha)
    boot = bootstrap_t(logs) if bootstrap else None
    numbers = Numbers(outcome, metric, design.margin_pct, design.family if primary else None, needed)
    return Comparison(
        topology=cell[0],
        metric=metric,
        primary=primary,
        treatment=cell[1],
        verdict=WORDS[outcome.finding],
        reason=sentence(numbers),
        effect_pct=None if found is None else percent(found.mean),
        ci_low_pct=None if found is None else percent(found.low),
        ci_high_pct=None if found is None else percent(found.high),
        ci90_low_pct=None if found is None else percent(found.low90),
        ci90_high_pct=None if found is None else percent(found.high90),
        boot_low_pct=None if boot is None else percent(boot[0]),
        boot_high_pct=None if boot is None else percent(boot[1]),
        p=None if found is None else found.p,
        p_holm=outcome.p_holm if primary else None,
        blocks=len(outcome.pairs.values),
        failed=len(outcome.pairs.failures),
        visible_effect_pct=None if visible is None else percent(visible),
        blocks_to_decide=needed if needed is not None and needed > len(logs) else None,
        screening=outcome.look is not None and not outcome.look.last,
        effects=outcome.pairs.effects,
    )


def _same_arms(design: Design, blocks: Mapping[str, tuple[CompleteBlock, ...]]) -> tuple[SameArms, ...]:
    """The second current arm against the first, per topology and metric; Holm over all these cells."""
    cells = [(topology, metric) for topology in design.topologies for metric in design.metrics]
    pairs = {cell: current_against_itself(blocks.get(cell[0], ()), cell[1]) for cell in cells}
    found = {cell: estimate(pairs[cell].logs) for cell in cells}
    adjusted = holm([None if (e := found[cell]) is None else e.p for cell in cells])
    return tuple(
        SameArms(
            topology=cell[0],
            metric=cell[1],
            effect_pct=None if (e := found[cell]) is None else percent(e.mean),
            ci_low_pct=None if e is None else percent(e.low),
            ci_high_pct=None if e is None else percent(e.high),
            p=None if e is None else e.p,
            p_holm=None if e is None else p_holm,
            excludes_zero=e is not None and e.p < ALPHA,
            blocks=len(pairs[cell].values),
            effects=pairs[cell].effects,
        )
        for cell, p_holm in zip(cells, adjusted, strict=True)
    )


def _noise_warnings(same_arms: Sequence[SameArms]) -> tuple[str, ...]:
    """A word for each cell whose two equal arms differ by more than chance allows over all cells; no veto."""
    return tuple(
        f"{cell.topology}: the two current arms differ in {cell.metric} by {cell.effect_pct:+.1f} % "
        f"(95 % interval {cell.ci_low_pct:+.1f} % to {cell.ci_high_pct:+.1f} %, "
        f"p = {cell.p_holm:.2g} after Holm over {len(same_arms)}): what is equal was measured as different, "
        "so look for an order effect before trusting a small gain"
        for cell in same_arms
        if cell.effect_pct is not None and cell.p_holm is not None and cell.p_holm < ALPHA
    )


def _block_warnings(
    design: Design, begun: Sequence[str], blocks: Mapping[str, tuple[CompleteBlock, ...]]
) -> tuple[str, ...]:
    """A word for each topology that lacks planned blocks, or whose current arms did not hold in some.

    Only of those that were begun: one that was skipped has its reason elsewhere.
    """
    said: list[str] = []
    for topology in begun:
        there = blocks.get(topology, ())
        if not design.sequential and len(there) < design.blocks:
            said.append(f"{topology}: {len(there)} of {design.blocks} planned blocks are complete")
        without = sum(1 for block in there if any(block.trials[arm].status != "done" for arm in CURRENT_ARMS))
        if without:
            said.append(
                f"{topology}: a current arm has no result in {without} of {len(there)} blocks; they pair nothing"
            )
    return tuple(said)
