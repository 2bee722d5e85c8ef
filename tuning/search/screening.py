"""Screening of five factors and more at once: Plackett and Burman's design of 12 runs, folded over to 24.

One factor at a time would give each effect from 2 of 26 trials; here every trial says something of every factor. The
mirrored half frees main effects from two-factor interactions (resolution IV): Plackett & Burman 1946, Biometrika
33:305, whose first row for N = 12 this is; fold-over: Box & Wilson 1951, J. R. Stat. Soc. B 13:1. What costs a relink
or a restart, what has several words to choose from, and what is set with something else, has arms of its own in the
same blocks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tuning.search.stages import Config, Factor, config

MOST = 11  # factors of a design with 12 runs
_ROW = (1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1)
_ALONE_MOST = 12  # arms of their own beside a design
Column = tuple[Factor, str]  # a factor at one of its candidates


@dataclass(frozen=True, slots=True)
class Group:
    """The factors that are screened in the same blocks: those of a design, and those with arms of their own."""

    together: tuple[Factor, ...]
    alone: tuple[Factor, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every effect that is estimated."""
        crossed = [(each, each.tried[0]) for each in self.together]
        return (*crossed, *((each, value) for each in self.alone for value in each.tried))

    @property
    def arms(self) -> dict[str, Config]:
        """The arms: a factor at its candidate where its sign is plus, and left alone where not.

        The row in which nothing is set is left out, as `current` is measured twice in every block; of rows that set the
        same (few factors) one is kept.
        """
        found: dict[str, Config] = {}
        for number, row in enumerate(signs(), 1):
            chosen = [each.at(each.tried[0]) for each, sign in zip(self.together, row, strict=False) if sign > 0]
            if chosen and config(*chosen) not in found.values():
                found[f"pb-{number}"] = config(*chosen)
        one = [each.config(value) for each in self.alone for value in each.tried]
        return found | {f"one-{number}": each for number, each in enumerate(one, 1)}

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All of them."""
        return (*self.together, *self.alone)

    def without(self, gone: Collection[Column]) -> "Group":
        """The same with some columns left out; a factor of several words keeps the others."""
        alone = []
        for each in self.alone:
            left = tuple(value for value in each.tried if (each, value) not in gone)
            if left:
                alone.append(each if left == each.tried else replace(each, values=left))
        return Group(tuple(each for each in self.together if (each, each.tried[0]) not in gone), tuple(alone))


def signs() -> tuple[tuple[int, ...], ...]:
    """24 rows of 11 signs: cyclic shifts of the generator, a row of minus, and the mirror of all of them."""
    rows = [tuple(_ROW[(column - shift) % MOST] for column in range(MOST)) for shift in range(MOST)]
    rows.append((-1,) * MOST)
    return tuple(rows) + tuple(tuple(-sign for sign in row) for row in rows)


def groups(factors: Sequence[Factor]) -> tuple[Group, ...]:
    """The factors in groups, the first of each kind first: 11 in a design, and 12 arms beside it."""
    crossed = [each for each in factors if _crossed(each)]
    parts = [tuple(crossed[at : at + MOST]) for at in range(0, len(crossed), MOST)]
    single: list[tuple[Factor, ...]] = []
    for each in (one for one in factors if not _crossed(one)):
        arms = sum(len(other.tried) for other in single[-1]) if single else _ALONE_MOST
        if arms + len(each.tried) > _ALONE_MOST:
            single.append(())
        single[-1] = (*single[-1], each)
    length = max(len(parts), len(single))
    parts += [()] * (length - len(parts))
    single += [()] * (length - len(single))
    return tuple(Group(one, other) for one, other in zip(parts, single, strict=True))


def pattern(group: Group, arms: Mapping[str, Config]) -> dict[str, tuple[float, ...]]:
    """For each arm, 1 where it holds the column's factor and 0 where not; without arms that set what no column does."""
    configs = [factor.config(value) for factor, value in group.columns]
    found = {}
    for name, settings in arms.items():
        if settings in configs:  # one column's own arm: what it sets beside may be another column's
            found[name] = tuple(float(each == settings) for each in configs)
        elif set(settings) <= {each[0] for each in configs if len(each) == 1}:
            found[name] = tuple(float(len(each) == 1 and each[0] in settings) for each in configs)
    return found


def _crossed(factor: Factor) -> bool:
    return factor.cost == "none" and len(factor.tried) == 1 and not factor.beside
