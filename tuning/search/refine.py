"""Refining: the smallest value of each numeric setting that does as well as the best, on a log grid."""

import math
from collections.abc import Mapping, Sequence

from results.statistics import Estimate
from tuning.search.race import Chosen
from tuning.search.stages import Config, Factor, Measured, config, named
from tuning.search.standing import standings

BLOCKS = (8, 24)  # at least, at most
GRID_MOST = 5
WHOLE = "as-it-is"


def arms(whole: Config, chosen: Chosen) -> dict[str, Config]:
    """The configuration as it is, and with each numeric setting at each of its other candidates; {} without any."""
    found: dict[str, Config] = {}
    for factor, value in chosen.values():
        for other in grid(factor, value) if factor.numeric else ():
            found[named(factor, other, found)] = config(*whole, *factor.config(other))
    return {WHOLE: whole, **found} if found else {}


def refined(measured: Measured, chosen: Chosen) -> list[tuple[Factor, str]]:
    """The numeric factors whose smaller value does as well as the chosen one, at that; what fails does not."""
    found = standings(measured)
    whole, metric = measured.stage.arms[WHOLE], measured.design.primary
    smaller = []
    for factor, value in chosen.values():
        configs = {other: config(*whole, *factor.config(other)) for other in factor.values if factor.numeric}
        gains = {
            other: each.gains[metric]
            for other, settings in configs.items()
            for each in found.values()
            if each.config == settings and metric in each.gains and not each.failed
        }
        least = smallest(gains, factor.values)
        if least is not None and least != value:
            smaller.append((factor, least))
    return smaller


def grid(factor: Factor, chosen: str) -> tuple[str, ...]:
    """The candidates but the chosen one, weakest first, thinned to GRID_MOST with it."""
    others = [value for value in factor.values if value != chosen]
    if len(others) < GRID_MOST:
        return tuple(others)
    at = {round(index * (len(others) - 1) / (GRID_MOST - 2)) for index in range(GRID_MOST - 1)}
    return tuple(others[index] for index in sorted(at))


def smallest(found: Mapping[str, Estimate], order: Sequence[str]) -> str | None:
    """Of values with their gains the weakest within one error of the best; None where none gave a number.

    One-standard-error rule: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3: a flat optimum is
    to be had for less. No curve is laid through the grid: what a buffer gains has a knee, which a parabola misses.
    """
    there = [value for value in order if value in found]
    if not there:
        return None
    best = found[max(there, key=lambda value: found[value].mean)]
    least = best.mean - best.sd / math.sqrt(best.n)
    return next(value for value in there if found[value].mean >= least)
