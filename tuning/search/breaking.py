"""Which screened candidates break the path: their trials fail in blocks in which current stands."""

import math
from collections.abc import Sequence

from results.looks import FAILURES
from results.pairs import against_current, complete_blocks
from tuning.search.screening import Column, Group, pattern
from tuning.search.stages import Measured

ALPHA = 0.05  # Bonferroni over the columns


def breaking(stages: Sequence[Measured], group: Group, metric: str) -> dict[Column, str]:
    """The columns that break the path, each with the figures; what fails in spite of them is none's fault.

    An arm holds half of a design's columns: to blame is the column whose trials fail more often than those without it,
    the clearest first (Fisher's exact test, one-sided: Fisher 1935, J. R. Stat. Soc. 98:39), and then none of the arms
    that hold it counts. What has an arm of its own leaves by the method's rule: FAILURES blocks.
    """
    rows = _rows(stages, group, metric)
    found: dict[Column, str] = {}
    blamed: set[int] = set()
    while True:
        there = [row for row in rows if not blamed & row[0]]
        clear = {at: p for at in range(len(group.columns)) if (p := _p(there, at)) < ALPHA / len(group.columns)}
        if not clear:
            return found
        at = min(clear, key=lambda each: (clear[each], each))
        (failed, of), (others, of_others) = _counted(there, at)
        blamed.add(at)
        found[group.columns[at]] = f"{failed} of {of} trials with it failed, {others} of {of_others} without"


_Row = tuple[frozenset[int], int, int]  # the columns that an arm held, how many of its trials failed, and of how many


def _rows(stages: Sequence[Measured], group: Group, metric: str) -> list[_Row]:
    rows = []
    for measured in stages:
        blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
        for arm, held in pattern(group, measured.stage.arms).items():
            pairs = against_current(blocks, arm, metric)
            failed = len(pairs.failures)
            rows.append((frozenset(at for at, one in enumerate(held) if one), failed, failed + len(pairs.values)))
    return rows


def _counted(rows: Sequence[_Row], at: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(failed, all) of the trials with a column, and of those without."""
    of = [[(failed, number) for on, failed, number in rows if (at in on) is held] for held in (True, False)]
    one, other = ((sum(failed for failed, _ in each), sum(number for _, number in each)) for each in of)
    return one, other


def _p(rows: Sequence[_Row], at: int) -> float:
    """The chance that so many of the failures fall on a column by themselves; 0 where its own arm goes by the rule."""
    if sum(failed for on, failed, _ in rows if on == {at}) >= FAILURES:
        return 0.0
    (failed, of), (others, of_others) = _counted(rows, at)
    if failed < FAILURES:
        return 1.0
    every = failed + others
    ways = sum(math.comb(of, n) * math.comb(of_others, every - n) for n in range(failed, min(every, of) + 1))
    return ways / math.comb(of + of_others, every)
