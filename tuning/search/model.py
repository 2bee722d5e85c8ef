"""What a screening says: the effects of factors and of pairs that do not add up, and the best configuration by them.

These estimates say what is worth confirming and are never called a gain.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.pairs import better, complete_blocks
from results.records import CURRENT_ARMS
from results.statistics import holm, percent, t_quantile
from results.student import t_probability
from tuning.search.screening import Column, Group, pattern
from tuning.search.stages import Measured, together, worded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PASS_ALPHA = 0.15  # Holm over the factors: what passes without an effect costs trials and makes no claim
PAIR_ALPHA = 0.05  # Bonferroni over the pairs
PAIRS_MOST = 3
HELD_BACK = 0.35  # of the margin: what a setting must add for being worth a change that somebody has to remember
_SUBSETS_OF = 12  # settings, at most 4096 subsets
_APART = 1e-6  # of a column's own direction, less than which lies outside of the rows: rounding

Term = tuple[int, ...]  # one column, or two that are set together


@dataclass(frozen=True, slots=True)
class Model:
    """Log gains of one metric by columns of a group, positive where better: an intercept for each block, then terms."""

    columns: tuple[Column, ...]
    terms: tuple[Term, ...]  # every column, then pairs
    means: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    freedom: int
    scatter: float  # standard deviation of a trial's log within a block
    lost: frozenset[int] = frozenset()  # columns of which the rows say nothing: no gain, and an endless error

    @property
    def told(self) -> tuple[int, ...]:
        """The columns of which something is known."""
        return tuple(at for at in range(len(self.columns)) if at not in self.lost)

    def gain(self, on: frozenset[int]) -> float:
        """The gain of these columns together."""
        return math.fsum(mean for term, mean in zip(self.terms, self.means, strict=True) if on.issuperset(term))

    def adds(self, on: frozenset[int], column: int) -> tuple[float, float]:
        """What a column adds to the others of `on`, and its standard error."""
        more = [at for at, term in enumerate(self.terms) if column in term and (on | {column}).issuperset(term)]
        mean = math.fsum(self.means[at] for at in more)
        return mean, math.sqrt(max(0.0, math.fsum(self.covariance[one][two] for one in more for two in more)))

    def error(self, column: int) -> float:
        """The standard error of a column's own effect."""
        return math.sqrt(self.covariance[column][column])

    def p(self, column: int) -> float:
        """Two-sided p of a column's own effect."""
        error = self.error(column)
        return 1.0 if error == 0.0 else min(1.0, 2 * t_probability(self.freedom, -abs(self.means[column]) / error))

    def shown(self, column: int) -> str:
        """A column's effect in percent with its 90 % interval."""
        half = t_quantile(0.95, self.freedom) * self.error(column)
        mean = self.means[column]
        setting = f"{worded(self.columns[column][0])} {self.columns[column][1]}"
        return f"{setting} {percent(mean):+.1f} % [{percent(mean - half):+.1f}, {percent(mean + half):+.1f}]"


def fitted(stages: Sequence[Measured], group: Group, metric: str, *, pairs: bool = True) -> Model | None:
    """Least squares with a level of its own for each block of all these stages; None where too little was measured.

    The current arms are rows in which nothing is set; an arm that failed or is missing leaves its row out, and so does
    one that sets what is no column of the group. A column that the rows left cannot tell from others is `lost`. Pairs
    enter one after the other, the clearest first, while Bonferroni over all of them allows: effects are few, and so is
    what does not add up (Hamada & Wu 1992, J. Qual. Technol. 24:130).
    """
    import numpy as np  # noqa: PLC0415 - 0.1 s of a start that only a search needs

    x, values, of_block, lost = _estimable(*_rows(stages, group, metric))
    there = [at for at in range(len(group.columns)) if at not in lost]
    count = len(set(of_block.tolist()))
    if not there or len(values) < len(there) + count + 3:
        return None
    y = _centred(values, of_block, count)
    terms: list[Term] = [(at,) for at in there]
    able = [at for at in range(len(group.together)) if at not in lost]
    crossed = [*itertools.combinations(able, 2)] if pairs else []
    every = _centred(_design(x, [*terms, *crossed]), of_block, count)
    place = {term: at for at, term in enumerate((*terms, *crossed))}
    freedom = len(y) - count - len(terms)
    while len(terms) < len(there) + PAIRS_MOST and (pair := _clearest(every, y, place, terms, freedom - 1)):
        terms.append(pair)
        freedom -= 1
    columns = every[:, [place[term] for term in terms]]
    normal = columns.T @ columns
    if freedom < 3 or np.linalg.matrix_rank(normal, hermitian=True) < len(terms):
        return None
    inverse = np.linalg.inv(normal)
    solved = inverse @ (columns.T @ y)
    spread = float(np.sum((y - columns @ solved) ** 2)) / freedom
    whole: list[Term] = [*((at,) for at in range(len(group.columns))), *terms[len(there) :]]
    at_of = [whole.index(term) for term in terms]
    means, covariance = np.zeros(len(whole)), np.diag(np.full(len(whole), math.inf))
    means[at_of] = solved
    covariance[np.ix_(at_of, at_of)] = spread * inverse
    return Model(
        group.columns,
        tuple(whole),
        tuple(map(float, means)),
        tuple(tuple(map(float, row)) for row in covariance),
        freedom,
        math.sqrt(spread),
        lost,
    )


def passing(models: Sequence[Model]) -> list[frozenset[int]]:
    """Of each group the columns that gain, by Holm over the columns of all groups, and those of pairs that gain more.

    A setting may do nothing alone and much beside another: a send buffer while the receive buffer is the smaller.
    """
    ps = [model.p(at) for model in models for at in range(len(model.columns))]
    adjusted = iter(holm(ps))
    return [
        frozenset(at for at in range(len(model.columns)) if next(adjusted) < PASS_ALPHA and model.means[at] > 0.0)
        | {
            at
            for term, mean in zip(model.terms, model.means, strict=True)
            if len(term) > 1 and mean > 0.0
            for at in term
        }
        for model in models
    ]


def harmful(models: Mapping[str, Model], limits: Mapping[str, float]) -> frozenset[int]:
    """The columns that are shown to harm a guard by half of what it allows; several settings share that."""
    found: set[int] = set()
    for metric, limit in limits.items():
        model = models.get(metric)
        for at in range(len(model.columns)) if model is not None else ():
            assert model is not None  # noqa: S101 - for mypy
            half = t_quantile(0.95, model.freedom) * model.error(at)
            if -model.means[at] > limit / 2.0 and -model.means[at] > half:
                found.add(at)
    return frozenset(found)


def best(model: Model, able: frozenset[int], margin: float) -> frozenset[int]:
    """The columns of the best configuration by the model, each adding what it must; none sets what another does."""
    strongest = sorted(able, key=lambda at: -model.means[at])[:_SUBSETS_OF]
    most, least = frozenset[int](), margin * HELD_BACK
    score = 0.0
    for size in range(1, len(strongest) + 1):
        for subset in itertools.combinations(strongest, size):
            worth = model.gain(frozenset(subset)) - least * size
            if worth > score and len(together(model.columns[at] for at in subset)) == size:
                most, score = frozenset(subset), worth
    return most


def _rows(
    stages: Sequence[Measured], group: Group, metric: str
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.intp]"]:
    """What each trial that gave a number held, its log (more is better), and the number of its block."""
    import numpy as np  # noqa: PLC0415 - as above

    way = 1.0 if better(metric) == "higher" else -1.0
    rows: list[tuple[float, ...]] = []
    levels: list[int] = []
    values: list[float] = []
    blocks = 0
    for measured in stages:
        held = pattern(group, {**measured.stage.arms, **dict.fromkeys(CURRENT_ARMS, ())})
        for block in complete_blocks(measured.trials).get(measured.design.topologies[0], ()):
            blocks += 1
            for arm, trial in block.trials.items():
                value = trial.value(metric) if trial.status == "done" else None
                if value and arm in held:
                    rows.append(held[arm])
                    levels.append(blocks)
                    values.append(way * math.log(value))
    return np.array(rows).reshape(len(rows), len(group.columns)), np.array(values), np.array(levels, dtype=np.intp)


def _estimable(
    x: "NDArray[np.float64]", values: "NDArray[np.float64]", levels: "NDArray[np.intp]"
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.intp]", frozenset[int]]:
    """The rows without the columns that they cannot tell apart, blocks numbered from 0, and those columns.

    A row that holds such a column says nothing of the others either: what that one does is not known.
    """
    import numpy as np  # noqa: PLC0415 - as above

    lost: set[int] = set()
    while True:
        kept = ~x[:, sorted(lost)].any(axis=1)
        x, values, levels = x[kept], values[kept], np.unique(levels[kept], return_inverse=True)[1]
        there = [at for at in range(x.shape[1]) if at not in lost]
        if not len(x) or not there:
            return x, values, levels, frozenset(lost | set(there))
        columns = _centred(x[:, there], levels, int(levels.max()) + 1)
        of_column = np.diag(np.linalg.pinv(columns) @ columns)
        more = {at for at, share in zip(there, of_column, strict=True) if share < 1.0 - _APART}
        if not more:
            return x, values, levels, frozenset(lost)
        lost |= more


def _design(x: "NDArray[np.float64]", terms: Sequence[Term]) -> "NDArray[np.float64]":
    import numpy as np  # noqa: PLC0415 - as above

    return np.column_stack([np.prod(x[:, list(term)], axis=1) for term in terms])


def _centred(values: "NDArray[np.float64]", levels: "NDArray[np.intp]", count: int) -> "NDArray[np.float64]":
    """Deviations from the mean of each block: what is left once every block has a level of its own."""
    import numpy as np  # noqa: PLC0415 - as above

    member = np.eye(count)[levels]
    means: NDArray[np.float64] = ((member.T @ values).T / member.sum(axis=0)).T
    return np.subtract(values, member @ means)


def _clearest(
    every: "NDArray[np.float64]",
    y: "NDArray[np.float64]",
    place: Mapping[Term, int],
    terms: Sequence[Term],
    freedom: int,
) -> Term | None:
    """The pair that explains most of what the terms leave, where that is more than chance over all pairs."""
    import numpy as np  # noqa: PLC0415 - as above

    pairs = [term for term in place if len(term) == 2]
    left = [pair for pair in pairs if pair not in terms]
    if not left or freedom < 3:
        return None
    base = every[:, [place[term] for term in terms]]
    candidates = every[:, [place[pair] for pair in left]]
    known = np.linalg.pinv(base.T @ base, hermitian=True) @ base.T
    rest = y - base @ (known @ y)
    candidates = candidates - base @ (known @ candidates)
    squares = np.sum(candidates**2, axis=0)
    usable = squares > 1e-6
    means = np.where(usable, candidates.T @ rest / np.where(usable, squares, 1.0), 0.0)
    at = int(np.argmax(means**2 * squares))
    unexplained = float(rest @ rest - means[at] ** 2 * squares[at])
    if not usable[at] or unexplained <= 0.0:
        return None
    t = abs(float(means[at])) * math.sqrt(float(squares[at]) * freedom / unexplained)
    return left[at] if 2.0 * t_probability(freedom, -t) < PAIR_ALPHA / len(pairs) else None
