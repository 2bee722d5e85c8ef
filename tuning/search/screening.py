"""Screening of 5 to 11 factors at once: Plackett and Burman's design of 12 runs, folded over to 24.

One factor at a time would give each effect from 2 of 26 trials; here every trial says something of every factor. The
mirrored half frees main effects from two-factor interactions (resolution IV): Plackett & Burman 1946, Biometrika
33:305, whose first row for N = 12 this is; fold-over: Box & Wilson 1951, J. R. Stat. Soc. B 13:1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.pairs import better, complete_blocks
from results.records import CURRENT_ARMS
from results.statistics import t_quantile
from tuning.search.stages import Config, Factor, Measured, config

MOST = 11  # factors of a design with 12 runs
_ROW = (1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1)
ARMS = 24


@dataclass(frozen=True, slots=True)
class Effect:
    """What setting one factor does to the log of the primary metric, positive where better, over all the others."""

    factor: Factor
    mean: float
    error: float  # standard error
    low90: float
    high90: float


def signs() -> tuple[tuple[int, ...], ...]:
    """24 rows of 11 signs: cyclic shifts of the generator, a row of minus, and the mirror of all of them."""
    rows = [tuple(_ROW[(column - shift) % MOST] for column in range(MOST)) for shift in range(MOST)]
    rows.append((-1,) * MOST)
    return tuple(rows) + tuple(tuple(-sign for sign in row) for row in rows)


def arms(factors: Sequence[Factor]) -> dict[str, Config]:
    """The design's arms: a factor is at its strongest candidate where its sign is plus, and left alone where not.

    The row in which nothing is set is left out: `current` is measured twice in every block.
    """
    found: dict[str, Config] = {}
    for number, row in enumerate(signs(), 1):
        chosen = [each.at(each.values[-1]) for each, sign in zip(factors, row, strict=False) if sign > 0]
        if chosen:
            found[f"pb-{number}"] = config(*chosen)
    return found


def effects(measured: Measured, factors: Sequence[Factor]) -> tuple[Effect, ...]:
    """Least squares with a level of its own for each block; () where too little was measured.

    The two current arms are rows without any factor. An arm that failed or is missing leaves its row out.
    """
    import numpy as np  # noqa: PLC0415 - 0.1 s of a start that only a search needs

    pattern: Mapping[str, Sequence[float]] = {
        f"pb-{number}": [1.0 if sign > 0 else 0.0 for sign in row[: len(factors)]]
        for number, row in enumerate(signs(), 1)
    } | {name: [0.0] * len(factors) for name in CURRENT_ARMS}
    metric = measured.design.primary
    way = 1.0 if better(metric) == "higher" else -1.0
    blocks = [block for found in complete_blocks(measured.trials).values() for block in found]
    rows: list[list[float]] = []
    values: list[float] = []
    for index, block in enumerate(blocks):
        for arm, trial in block.trials.items():
            value = trial.value(metric) if trial.status == "done" else None
            if value:
                rows.append([*pattern[arm], *(1.0 if at == index else 0.0 for at in range(len(blocks)))])
                values.append(way * math.log(value))
    freedom = len(rows) - len(factors) - len(blocks)
    if freedom < 3:
        return ()
    x, y = np.array(rows), np.array(values)
    solved, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    if rank < x.shape[1]:
        return ()
    spread = float(np.sum((y - x @ solved) ** 2)) / freedom
    errors = np.sqrt(spread * np.diag(np.linalg.inv(x.T @ x)))
    half = t_quantile(0.95, freedom)
    return tuple(
        Effect(factor, float(mean), float(error), float(mean - half * error), float(mean + half * error))
        for factor, mean, error in zip(factors, solved, errors, strict=False)
    )
