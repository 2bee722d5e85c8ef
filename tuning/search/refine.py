"""Refining: the smallest value of each numeric setting that does as well as the best, on a log grid."""

import math
import re
from collections.abc import Mapping, Sequence

from results.statistics import Estimate
from tuning.search.race import Chosen
from tuning.search.stages import Config, Factor, Measured, config, named
from tuning.search.standing import standings

BLOCKS = (8, 24)  # at least, at most
GRID_MOST = 5
WHOLE = "as-it-is"
_NUMBER = re.compile(r"\d+(\.\d+)?")


def arms(whole: Config, chosen: Chosen) -> dict[str, Config]:
    """The configuration as it is, and with each numeric setting at each of its other candidates; {} without any."""
    found: dict[str, Config] = {}
    for factor, value in chosen.values():
        for other in grid(factor, value) if factor.numeric else ():
            found[named(factor, other, found)] = config(*whole, factor.at(other))
    return {WHOLE: whole, **found} if found else {}


def refined(measured: Measured, chosen: Chosen) -> list[tuple[Factor, str]]:
    """The numeric factors whose smaller value does as well as the chosen one, at that."""
    found = standings(measured)
    whole, metric = measured.stage.arms[WHOLE], measured.design.primary
    smaller = []
    for factor, value in chosen.values():
        configs = {other: config(*whole, factor.at(other)) for other in factor.values} if factor.numeric else {}
        gains = {
            other: each.gains[metric]
            for other, settings in configs.items()
            for each in found.values()
            if each.config == settings and metric in each.gains
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
    to be had for less. From four values on their gains are smoothed by a parabola over the log of the value.
    """
    there = [value for value in order if value in found]
    if not there:
        return None
    gains = smoothed([place(value) for value in there], [found[value].mean for value in there])
    best = max(range(len(there)), key=gains.__getitem__)
    error = found[there[best]].sd / math.sqrt(found[there[best]].n)
    return next(value for value, gain in zip(there, gains, strict=True) if gain >= gains[best] - error)


def smoothed(places: Sequence[float | None], gains: Sequence[float]) -> list[float]:
    """The gains on their parabola; as they are below four, or where a value has no number."""
    known = [each for each in places if each is not None]
    if len(set(known)) < 4 or len(known) < len(places):
        return list(gains)
    import numpy as np  # noqa: PLC0415 - 0.1 s of a start that only a search needs

    middle = math.fsum(known) / len(known)
    x = np.array(known) - middle
    return [float(each) for each in np.polyval(np.polyfit(x, np.array(gains), 2), x)]


def place(value: str) -> float | None:
    """Where a value lies on the log grid: the log of 1 + its last number; None without one."""
    numbers = [each[0] for each in _NUMBER.finditer(value)]
    return math.log1p(float(numbers[-1])) if numbers else None
