"""The screening stages of a search, and the configurations that they point at: one for each objective."""

import math
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass

from bench.plan import SettingSpec
from results.records import Design
from results.statistics import percent, t_quantile
from tuning.search import model, screening
from tuning.search.breaking import breaking
from tuning.search.combine import Known
from tuning.search.course import PAIR, Course
from tuning.search.model import Model
from tuning.search.noise import TRIAL
from tuning.search.race import Chosen
from tuning.search.screening import Column, Group
from tuning.search.stages import Config, Factor, Measured, Stage, config, together, worded
from tuning.search.standing import objectives

LEAST, MOST = 2, 40  # blocks of a group
ROUNDS_MOST = 4
_CLEAR = 5.5  # errors between 0 and the margin: a pair that does not add up is seen too


@dataclass(frozen=True, slots=True)
class Screened:
    """What screening leaves: the best configuration by metric, and what the settings of the primary one add."""

    chosen: Mapping[str, Chosen]  # by metric; the primary one always
    known: Known
    sds: Mapping[str, float]  # scatter of a block's effect by metric, of many more trials than the noise stage has
    visible_pct: float | None  # the smallest gain of the primary metric that it could have seen

    def config(self, metric: str) -> Config:
        """The configuration for a metric, () where nothing gains."""
        return config(
            *(spec for factor, value in self.chosen.get(metric, {}).values() for spec in factor.config(value))
        )

    @property
    def arms(self) -> dict[str, Config]:
        """The configurations for the race, that of the primary metric first, each once."""
        found: dict[str, Config] = {}
        for metric in self.chosen:
            if (settings := self.config(metric)) and settings not in found.values():
                found[metric.replace(".", "-").replace("_", "-")] = settings
        return found


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What was measured of a group, and which of its columns break the path: their trials that did not still count."""

    group: Group
    measured: Sequence[Measured]
    broken: Collection[Column]

    def fitted(self, metric: str, *, pairs: bool) -> Model | None:
        """The model of a metric."""
        return model.fitted(self.measured, self.group, metric, pairs=pairs)

    @property
    def sound(self) -> frozenset[int]:
        """The columns that do not."""
        return frozenset(at for at, column in enumerate(self.group.columns) if column not in self.broken)


def screened(
    course: Course, factors: Sequence[Factor], sd: float, reserve: float
) -> Generator[Stage, Measured, Screened | None]:
    """Ask for the screening of every group that the budget has room for; None where there is none for the first.

    In rounds: the first goes by the noise stage's few blocks, the next by the scatter that the rounds before showed.
    What breaks the path leaves the rounds that follow, and the rest is judged without its arms.
    """
    found: list[_Rounds] = []
    for group in screening.groups(factors):
        live, rounds, gone = group, list[Measured](), set[Column]()
        wanted = first = _blocks(2.0 * sd * math.sqrt(TRIAL / (len(group.arms) + PAIR)), course.margin)
        while len(rounds) < ROUNDS_MOST and wanted > 0:
            arms = live.arms
            blocks = min(wanted, course.room(arms, reserve))
            if blocks < LEAST:
                break
            stage = Stage("screen", arms, blocks, why=f"{len(live.factors)} knobs at once")
            rounds.append((yield from course.ask(stage)))
            broken = breaking(rounds, live, course.question.base.primary)
            live, gone = live.without(broken), gone | broken.keys()
            for (factor, value), figures in broken.items():
                course.told.append(f"Screened out: {worded(factor)} {value} breaks the path: {figures}.")
                course.unjudged.append(worded(factor))
            wanted = max(_more(course, _Rounds(group, rounds, gone)), first if broken else 0) if live.factors else 0
        if not rounds:
            course.told.append(f"The budget has no room to screen {', '.join(map(worded, group.factors))}.")
            break
        found.append(_Rounds(group, rounds, gone))
    return _judged(course, found) if found else None


def _blocks(error: float, limit: float) -> int:
    """The blocks after which `limit` is as many errors as it should be, where one block gives `error`."""
    return min(max(LEAST, math.ceil((error * _CLEAR / limit) ** 2)), MOST)


def _more(course: Course, rounds: _Rounds) -> int:
    """The blocks that are lacking, by what the rounds so far showed; of guards half of what they allow counts."""
    design = course.question.base
    limits = {design.primary: course.margin} | {
        guard.metric: math.log1p(guard.limit) for guard in design.guards if not guard.absolute
    }
    had = sum(each.stage.blocks for each in rounds.measured)
    needed = 0
    for metric, limit in limits.items():
        made = rounds.fitted(metric, pairs=False)
        told = [at for at in made.told if at in rounds.sound] if made is not None else []
        if made is not None and told:
            counted = [at for at in told if at < len(rounds.group.together)] or told
            error = max(made.error(at) for at in counted)
            needed = max(needed, _blocks(error * math.sqrt(had), limit))
    return max(LEAST, needed - had) if needed > had else 0


def _judged(course: Course, found: list[_Rounds]) -> Screened:
    """The best configurations by the models of every metric."""
    design = course.question.base
    limits = {guard.metric: math.log1p(guard.limit) for guard in design.guards if not guard.absolute}
    metrics = dict.fromkeys((design.primary, *objectives(design).values(), *limits))
    fitted = [
        {
            metric: made
            for metric in metrics
            if (made := rounds.fitted(metric, pairs=metric == design.primary)) is not None
        }
        for rounds in found
    ]
    chosen: dict[str, Chosen] = {}
    known: dict[SettingSpec, tuple[float, float]] = {}
    for metric in (design.primary, *objectives(design).values()):
        models = [each for each in fitted if metric in each]
        sound = [rounds.sound for rounds, each in zip(found, fitted, strict=True) if metric in each]
        kept = dict(limits) if metric == design.primary else {**limits, design.primary: course.margin}
        kept.pop(metric, None)
        picked = _picked(models, sound, metric, kept, course)
        chosen[metric] = _at_once(models, picked, metric)
        if metric == design.primary:
            known = {
                factor.at(value): each[metric].adds(on, at)
                for each, on in zip(models, picked, strict=True)
                for at in on
                for factor, value in [each[metric].columns[at]]
                if chosen[metric].get(worded(factor)) == (factor, value) and not factor.beside
            }
            _tell(course, models, picked, design)
            _tell_lost(course, found, models, design.primary)
    scatter = {
        metric: max(each[metric].scatter for each in fitted if metric in each)
        for metric in metrics
        if any(metric in each for each in fitted)
    }
    seen = max((_seen(each[design.primary]) for each in fitted if design.primary in each), default=None)
    return Screened(chosen, known, {metric: each / math.sqrt(TRIAL) for metric, each in scatter.items()}, seen)


def _at_once(models: list[dict[str, Model]], picked: list[frozenset[int]], metric: str) -> Chosen:
    """The columns of all groups that can be held at once; of two that set the same the one that gains more."""
    of_all = [(each[metric], at) for each, on in zip(models, picked, strict=True) for at in sorted(on)]
    kept = together(made.columns[at] for made, at in sorted(of_all, key=lambda each: -each[0].means[each[1]]))
    columns = [made.columns[at] for made, at in of_all]
    return {worded(factor): (factor, value) for factor, value in columns if kept.get(worded(factor)) == (factor, value)}


def _picked(
    fitted: list[dict[str, Model]],
    sound: list[frozenset[int]],
    metric: str,
    limits: Mapping[str, float],
    course: Course,
) -> list[frozenset[int]]:
    """The columns of the best configuration by a metric, for each group; what harms a guard is left out aloud."""
    passing = model.passing([each[metric] for each in fitted])
    picked = []
    for models, able in zip(fitted, [each & able for each, able in zip(passing, sound, strict=True)], strict=True):
        bad = model.harmful(models, limits) & able
        course.told.extend(
            f"Screened out: {models[metric].shown(at)} in {metric}, but it harms "
            f"{', '.join(name for name in limits if at in model.harmful(models, {name: limits[name]}))}."
            for at in sorted(bad)
        )
        picked.append(model.best(models[metric], able - bad, course.margin))
    return picked


def _tell(course: Course, fitted: list[dict[str, Model]], picked: list[frozenset[int]], design: Design) -> None:
    """The screening estimates of what goes on, the pairs that do not add up, and what could not have been seen."""
    for models, on in zip(fitted, picked, strict=True):
        own = models[design.primary]
        course.told.extend(f"Screening estimate: {own.shown(at)}." for at in sorted(on))
        for term, mean in zip(own.terms, own.means, strict=True):
            if len(term) == 2:
                names = " and ".join(worded(own.columns[at][0]) for at in term)
                course.told.append(f"Screening estimate: {names} together {percent(mean):+.1f} % beyond each alone.")
        if not on:
            course.told.append(
                f"Screened: none of {len(own.told)} candidates gains; {_seen(own):.1f} % would have been seen."
            )


def _tell_lost(course: Course, found: list[_Rounds], models: list[dict[str, Model]], primary: str) -> None:
    """The columns of which nothing can be said, by name: nobody is to believe that they were tried."""
    known = {made.columns[at] for each in models for made in [each[primary]] for at in made.told}
    lost = [column for each in found for column in each.group.columns if column not in known | set(each.broken)]
    if lost:
        names = ", ".join(f"{worded(factor)} {value}" for factor, value in lost)
        course.told.append(f"Screened, but too few trials with it gave a number to say anything: {names}.")
        course.unjudged.extend(worded(factor) for factor, _ in lost)


def _seen(made: Model) -> float:
    """The smallest gain (%) of a column that passes in 80 % of cases."""
    reach = t_quantile(1 - model.PASS_ALPHA / 2 / len(made.columns), made.freedom) + t_quantile(0.8, made.freedom)
    return percent(reach * max(made.error(at) for at in made.told))
