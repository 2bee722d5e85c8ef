"""When a run may look at its data, and which arms stop there.

A design with a fixed number of blocks looks once, at α = .05. A sequential one looks after 6, 12 and 20 blocks
at p < .005, .02 and .035, each time with Holm over the whole family; in simulations of one comparison these
looks together err in 5.1 % (looking after every block: 17-22 %).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from results.pairs import CompleteBlock, Pairs, against_current, better, complete_blocks
from results.records import Design, Trial, VerdictWord
from results.statistics import Estimate, equivalent, estimate, holm, percent

ALPHA = 0.05
EARLY_LOOKS = ((6, 0.005), (12, 0.02))
LAST_ALPHA = 0.035  # of a sequential design's last look, planned at 20 blocks
FAILURES = 2  # blocks in which an arm failed and current did not: then it is worse, whatever the others say

Cell = tuple[str, str]  # topology, treatment
Finding = Literal["better", "worse", "equivalent", "undecided", "waiting"]  # waiting: no look took place yet

WORDS: Mapping[Finding, VerdictWord] = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "undecided": "inconclusive",
    "waiting": "inconclusive",
}


@dataclass(frozen=True, slots=True)
class Look:
    """After how many complete blocks of a topology, and the level of the Holm-adjusted p."""

    blocks: int
    alpha: float
    last: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the looks made of one cell, and the blocks which that rests on."""

    finding: Finding
    blocks: tuple[CompleteBlock, ...]
    pairs: Pairs
    found: Estimate | None
    p_holm: float | None  # None while waiting
    look: Look | None  # where it stopped; None while waiting
    futile: bool = False
    next_look: int | None = None  # while waiting


@dataclass(slots=True)
class _Race:
    """The cells on their way through the looks; `ps` holds what each brings into the next Holm adjustment."""

    stopped: dict[Cell, Outcome] = field(default_factory=dict)
    ps: dict[Cell, float | None] = field(default_factory=dict)


def looks(design: Design) -> tuple[Look, ...]:
    """The looks of a design, in order. A plan of other than 20 blocks has its last look, at .035, at its end."""
    if not design.sequential or design.blocks <= EARLY_LOOKS[0][0]:
        return (Look(design.blocks, ALPHA, last=True),)
    early = tuple(Look(blocks, alpha, last=False) for blocks, alpha in EARLY_LOOKS if blocks < design.blocks)
    return (*early, Look(design.blocks, LAST_ALPHA, last=True))


def last_alpha(design: Design) -> float:
    """The level at which the last look tests the family."""
    return looks(design)[-1].alpha


def look(design: Design, trials: Sequence[Trial], blocks_done: int) -> frozenset[Cell]:
    """The cells (topology, treatment) that need no more blocks once `blocks_done` of each topology are complete.

    Decided (better, worse, equivalent) or futile at one of the looks so far; a fixed design stops nothing.
    Only the first `blocks_done` blocks are looked at, so that a resumed run finds what it found before.
    """
    if not design.sequential:
        return frozenset()
    blocks = {topology: found[:blocks_done] for topology, found in complete_blocks(trials).items()}
    return frozenset(cell for cell, outcome in outcomes(design, blocks).items() if outcome.look is not None)


def outcomes(design: Design, blocks: Mapping[str, tuple[CompleteBlock, ...]]) -> dict[Cell, Outcome]:
    """What the looks make of every cell of the family, measured or not, on the primary metric."""
    family: list[Cell] = [(topology, arm) for topology in design.topologies for arm in design.treatments]
    race = _Race(ps=dict.fromkeys(family))
    for now in looks(design):
        _take(design, now, [cell for cell in family if cell not in race.stopped], blocks, race)
    for cell in family:
        if cell not in race.stopped:
            race.stopped[cell] = _waiting(design, blocks.get(cell[0], ()), cell[1])
    return {cell: race.stopped[cell] for cell in family}


def _take(
    design: Design,
    now: Look,
    live: Sequence[Cell],
    blocks: Mapping[str, tuple[CompleteBlock, ...]],
    race: _Race,
) -> None:
    """One look at every live cell whose topology got this far; the others count as p = 1."""
    seen: dict[Cell, tuple[tuple[CompleteBlock, ...], Pairs, Estimate | None]] = {}
    for cell in live:
        there = blocks.get(cell[0], ())
        race.ps[cell] = None
        if design.sequential and len(there) < now.blocks:
            continue
        part = there[: now.blocks] if design.sequential else there
        pairs = against_current(part, cell[1], design.primary)
        found = estimate(pairs.logs)
        seen[cell] = part, pairs, found
        if found is not None and len(pairs.failures) < FAILURES:
            race.ps[cell] = found.p
    adjusted = dict(zip(race.ps, holm(list(race.ps.values())), strict=True))
    for cell, (part, pairs, found) in seen.items():
        significant = adjusted[cell] < now.alpha
        finding = judged(found, pairs, design.primary, design.margin_pct, significant=significant)
        futile = not now.last and cannot_gain(found, design.primary, design.margin_pct)
        if finding != "undecided" or futile or now.last:
            race.stopped[cell] = Outcome(finding, part, pairs, found, adjusted[cell], now, futile=futile)
            if not (significant and finding in ("better", "worse")):
                race.ps[cell] = None  # stopped without a rejection: its place in the family stays, as p = 1


def _waiting(design: Design, there: tuple[CompleteBlock, ...], arm: str) -> Outcome:
    """A cell that no look has stopped: its numbers are shown, a verdict needs the next look; failures need none."""
    pairs = against_current(there, arm, design.primary)
    coming = next((at.blocks for at in looks(design) if at.blocks > len(there)), None)
    finding: Finding = "worse" if len(pairs.failures) >= FAILURES else "waiting"
    return Outcome(finding, there, pairs, estimate(pairs.logs), None, None, next_look=coming)


def judged(found: Estimate | None, pairs: Pairs, metric: str, margin_pct: float, *, significant: bool) -> Finding:
    """The verdict in the order of the method table; failures come first, as what survived them is a selection."""
    if len(pairs.failures) >= FAILURES:
        return "worse"
    if found is None:
        return "equivalent" if pairs.all_zero and len(pairs.values) >= 2 else "undecided"
    gain = gain_pct(found.mean, metric)
    if significant and gain >= margin_pct:
        return "better"
    if significant and gain <= -margin_pct:
        return "worse"
    if equivalent(percent(found.low90), percent(found.high90), margin_pct):
        return "equivalent"
    return "undecided"


def gain_pct(log_ratio: float, metric: str) -> float:
    """A log ratio as percentage of the raw value, positive in the metric's good direction."""
    return percent(log_ratio) if better(metric) == "higher" else -percent(log_ratio)


def cannot_gain(found: Estimate | None, metric: str, margin_pct: float) -> bool:
    """Futility: the one-sided 95 % upper bound of the gain is below the margin."""
    if found is None:
        return False
    best = found.high90 if better(metric) == "higher" else found.low90
    return gain_pct(best, metric) < margin_pct
