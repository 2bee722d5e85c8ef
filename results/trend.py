"""The history of one plan: which level each series stands at, since when, and what differed when it changed.

The unit of evidence is the run (results.evidence); results.steps finds the steps. A step is a fact of the history, not
a cause: what differed between the last run before and the first one after it is named beside it. Runs that did not
measure what the newest one measures are left out by name, never pooled.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from results.errors import WrongInput
from results.evidence import Measured, RunValue, facts, middle, plan_difference, treatment_difference, values
from results.looks import gain_pct
from results.records import CURRENT, Run
from results.selection import nearest
from results.statistics import percent
from results.steps import LEAST_RUNS, Levels, levels, modes

# Facts that say which machine it is; others (kernel, tools, nettune itself) change on one machine, which is what a
# history is for. Not the memory: MemTotal moves by some kB with every kernel.
MACHINE = ("cpuinfo", "cpus", "virtualisation")


@dataclass(frozen=True, slots=True)
class Level:
    """Consecutive runs at one level."""

    runs: tuple[RunValue, ...]
    spread_pct: float | None  # between its runs: the standard deviation of the logs; None for one run or a 0

    @property
    def value(self) -> float | None:
        """The mean over its runs, in the metric's unit."""
        return middle(self.runs)


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A new level, from `run_id` on. Percentages are of the level before."""

    run_id: str
    before: str  # the last run at the level before
    verdict: Literal["better", "worse"]
    change_pct: float
    ci_low_pct: float
    ci_high_pct: float
    p: float  # adjusted for the places it could have been at and for the series of the metric
    differs: tuple[str, ...]  # "kernel: Linux 6.1 → Linux 6.8", between the two runs


@dataclass(frozen=True, slots=True)
class TwoModes:
    """A series that goes back and forth between two values, in the metric's unit; p is that of a single mode."""

    low: float
    high: float
    runs_low: int
    runs_high: int
    p: float


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one arm on one topology, in time order."""

    topology: str
    arm: str  # "current" or a treatment
    metric: str
    values: tuple[RunValue, ...]  # of the runs that have one
    levels: tuple[Level, ...]
    changes: tuple[ChangePoint, ...]  # empty where there are two modes: a jump between modes is no change
    modes: TwoModes | None
    apart: tuple[str, ...]  # runs that stand alone or in twos: odd ones, or the first of a new level
    without: tuple[tuple[str, str], ...]  # (run, why it has no value here)
    unknown: str  # why changes could not be looked for; "" where they were


@dataclass(frozen=True, slots=True)
class History:
    """The runs of a plan that measured the same on one machine, oldest first, and the others with the reason."""

    runs: tuple[Run, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """What came of a history; the series of the deciding metric first."""

    history: History
    metric: str
    margin_pct: float
    series: tuple[Series, ...]

    @property
    def deciding(self) -> tuple[Series, ...]:
        """The series of the deciding metric."""
        return tuple(each for each in self.series if each.metric == self.metric)


def comparable(runs: Sequence[Run]) -> History:
    """Those of `runs` that make one history with the newest complete one. Raises WrongInput where none is complete."""
    ordered = sorted(runs, key=lambda run: (run.started_at, run.run_id))
    newest = next((run for run in reversed(ordered) if run.status == "complete"), None)
    if newest is None:
        raise WrongInput(
            f"none of {len(ordered)} runs is complete, so there is no history",
            hint="`nettune runs` lists them; `nettune run --resume RUN` completes one",
        )
    reasons = {run.run_id: _reason(run, newest) for run in ordered}
    return History(
        runs=tuple(run for run in ordered if not reasons[run.run_id]),
        left_out=tuple((run_id, reason) for run_id, reason in reasons.items() if reason),
    )


def _reason(run: Run, newest: Run) -> str:
    """Why a run is no part of the newest one's history; "" where it is."""
    if run.status != "complete":
        return f"is {run.status}, not complete"
    if difference := plan_difference(run, newest):
        key, here, there = difference
        return f"measured something else: {key} is {here}, and {there} in run {newest.run_id}"
    sheets = [facts(each) for each in (run, newest)]
    for name in MACHINE:
        here, there = (sheet.get(name, "not recorded") for sheet in sheets)
        if here != there:
            return f"was made on another machine: {name} is {here!r}, and {there!r} in run {newest.run_id}"
    return ""


def trend(history: History, measured: Sequence[Measured], *, metric: str = "") -> Trend:
    """Every series of a history; `measured` are its runs in the same order, `metric` decides in place of the primary.

    A step is named where it is at least the margin, and p < .05 over every place and every series of its metric.
    Raises WrongInput for a metric that these runs do not have.
    """
    newest = history.runs[-1]
    design = newest.design
    deciding = metric or design.primary
    if deciding not in design.metrics:
        raise WrongInput(f"--metric {deciding}: these runs have no such metric", hint=nearest(deciding, design.metrics))
    metrics = (deciding, *(each for each in design.metrics if each != deciding))
    arms = (CURRENT, *design.treatments)
    found = [values(each, arms, metrics) for each in measured]
    other = {arm: _other_settings(history.runs, arm) for arm in arms}
    known = {run.run_id: facts(run) for run in history.runs}
    cells = [(topology, arm) for topology in design.topologies for arm in arms]
    rule = _Rule(design.margin_pct, len(cells), known)
    return Trend(
        history,
        deciding,
        design.margin_pct,
        tuple(
            _series((topology, arm, name), [each[topology, arm, name] for each in found], other[arm], rule)
            for name in metrics
            for topology, arm in cells
        ),
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """What every series of a trend is judged by."""

    margin_pct: float
    family: int
    facts: Mapping[str, Mapping[str, str]]  # by run


def _other_settings(runs: Sequence[Run], arm: str) -> dict[str, str]:
    """Run -> why its arm of that name is not the newest run's arm."""
    if arm == CURRENT:
        return {}
    found = {}
    for run in runs:
        if arm not in run.design.treatments:
            found[run.run_id] = "does not measure it"
        elif difference := treatment_difference(run, runs[-1], arm):
            key, here, there = difference
            found[run.run_id] = f"{key} is {here}, and {there} in run {runs[-1].run_id}"
    return found


def _series(cell: tuple[str, str, str], found: Sequence[RunValue], other: Mapping[str, str], rule: _Rule) -> Series:
    kept: list[RunValue] = []
    without: list[tuple[str, str]] = []
    for each in found:
        if each.run_id in other:
            without.append((each.run_id, other[each.run_id]))
        elif each.failing:
            without.append((each.run_id, f"failed in {each.failed} of {each.failed + each.blocks} blocks"))
        elif each.mean is None:
            without.append((each.run_id, "has no value"))
        else:
            kept.append(each)
    logs = [each.log for each in kept if each.log is not None]
    unknown = _unknown(kept, logs)
    steps = (
        Levels((), ()) if unknown else levels(logs, margin_log=math.log1p(rule.margin_pct / 100), family=rule.family)
    )
    two = None if unknown else _two_modes(logs, steps)
    if two:
        steps = Levels((), ())
    edges = [0, *(step.at for step in steps.steps), len(kept)] if kept else []
    return Series(
        *cell,
        values=tuple(kept),
        levels=tuple(_level(kept[start:end]) for start, end in itertools.pairwise(edges)),
        changes=_changes(cell[2], kept, steps, rule),
        modes=two,
        apart=tuple(kept[at].run_id for at in steps.apart),
        without=tuple(without),
        unknown=unknown,
    )


def _unknown(kept: Sequence[RunValue], logs: Sequence[float]) -> str:
    if len(kept) < 2 * LEAST_RUNS:
        return f"{len(kept)} runs with a value: a change needs {LEAST_RUNS} on each side"
    zeros = len(kept) - len(logs)
    if zeros and any(each.mean for each in kept):
        return f"a 0 in {zeros} of {len(kept)} runs, so no ratio"
    return "0 in every run" if zeros else ""


def _two_modes(logs: Sequence[float], steps: Levels) -> TwoModes | None:
    """The modes of the whole series, or of one of its levels: a step into or out of such a level is no clean one."""
    edges = [0, *(step.at for step in steps.steps), len(logs)]
    parts = [logs, *(logs[start:end] for start, end in itertools.pairwise(edges) if steps.steps)]
    found = next((two for part in parts if (two := modes(part))), None)
    if found is None:
        return None
    return TwoModes(math.exp(found.low), math.exp(found.high), found.n_low, found.n_high, found.p)


def _level(runs: Sequence[RunValue]) -> Level:
    logs = [each.log for each in runs if each.log is not None]
    spread = None
    if len(logs) == len(runs) > 1:
        mean = math.fsum(logs) / len(logs)
        spread = percent(math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1)))
    return Level(tuple(runs), spread)


def _changes(metric: str, kept: Sequence[RunValue], found: Levels, rule: _Rule) -> tuple[ChangePoint, ...]:
    said = []
    for step in found.steps:
        before, first = kept[step.at - 1].run_id, kept[step.at].run_id
        said.append(
            ChangePoint(
                run_id=first,
                before=before,
                verdict="better" if gain_pct(step.found.mean, metric) > 0 else "worse",
                change_pct=percent(step.found.mean),
                ci_low_pct=percent(step.found.low),
                ci_high_pct=percent(step.found.high),
                p=step.p,
                differs=_differing(rule.facts[before], rule.facts[first]),
            )
        )
    return tuple(said)


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """The facts in which two runs differ, in words."""
    nothing = "not recorded"
    return tuple(
        f"{name}: {before.get(name, nothing)} → {after.get(name, nothing)}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name, nothing) != after.get(name, nothing)
    )
