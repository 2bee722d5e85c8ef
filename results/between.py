"""Runs against runs: whether what is measured today is worse than what was measured then.

Unpaired, one value per run (results.evidence), Welch's t on the logs, at least three runs on a side. The variance
within a run is never borrowed: it knows nothing of how one boot, hour or machine differs from the next. Runs are
compared only where they measured the same thing with the same facts, or where the differing facts were named.
benchmarks/between.py says how often two sides that are the same come out as worse.
"""

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.errors import WrongInput
from results.evidence import (
    Measured,
    RunValue,
    facts,
    middle,
    plan_difference,
    treatment_difference,
    values,
)
from results.looks import ALPHA, Finding, gain_pct
from results.records import CURRENT, Run, VerdictWord
from results.selection import nearest
from results.statistics import MOST_BLOCKS, Estimate, a_side_needed, equivalent, holm, percent, welch

LEAST_RUNS = 3  # on a side; of two, a spread is a guess
FAILING_RUNS = 2  # of the candidate, where none of the baseline's failed: then it is worse, whatever the others say


@dataclass(frozen=True, slots=True)
class Change:
    """One arm of one topology, candidate against baseline. Percentages are of the baseline's value."""

    topology: str
    arm: str  # "current" or a treatment
    metric: str
    gating: bool  # of the metric that decides; the others are shown
    verdict: VerdictWord
    reason: str
    change_pct: float | None
    ci_low_pct: float | None
    ci_high_pct: float | None
    ci90_low_pct: float | None
    ci90_high_pct: float | None
    p: float | None
    p_holm: float | None  # over the cells of the deciding metric; None for the others
    baseline: tuple[RunValue, ...]
    candidate: tuple[RunValue, ...]
    runs_to_decide: int | None  # a side

    @property
    def baseline_value(self) -> float | None:
        """The mean over the baseline's runs, in the metric's unit."""
        return middle(self.baseline)

    @property
    def candidate_value(self) -> float | None:
        """The mean over the candidate's runs, in the metric's unit."""
        return middle(self.candidate)


@dataclass(frozen=True, slots=True)
class Between:
    """What came of a comparison between runs: the cells of the deciding metric first."""

    baseline: tuple[Run, ...]
    candidate: tuple[Run, ...]
    metric: str
    margin_pct: float
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def gating(self) -> tuple[Change, ...]:
        """The cells of the deciding metric."""
        return tuple(each for each in self.changes if each.gating)

    @property
    def worse(self) -> tuple[Change, ...]:
        """What `--fail-on worse` fails on."""
        return tuple(each for each in self.gating if each.verdict == "worse")

    @property
    def sentence(self) -> str:
        """What came of it in one sentence."""
        counts = Counter(each.verdict for each in self.gating)
        if self.worse:
            names = ", ".join(f"{each.topology} {each.arm}" for each in self.worse)
            return f"Worse in {self.metric}: {names}."
        told = ", ".join(f"{counts[word]} {word}" for word in ("better", "equivalent", "inconclusive") if counts[word])
        short = min(len(self.baseline), len(self.candidate)) < LEAST_RUNS
        why = f" A verdict needs {LEAST_RUNS} runs on each side." if short else ""
        return f"Nothing is shown to be worse in {self.metric}: {told}.{why}"


def between(
    baseline: Sequence[Measured],
    candidate: Sequence[Measured],
    *,
    across: Sequence[str] = (),
    metric: str = "",
    margin_pct: float | None = None,
) -> Between:
    """Every cell of the candidate against the baseline; `metric` decides in place of the plan's primary.

    Raises WrongInput, naming the run and the key, for runs that are on both sides, that are not complete, whose
    plans measure different things, or whose facts differ without being named in `across`.
    """
    sides = [each.run for each in baseline], [each.run for each in candidate]
    notes = [*_comparable(*sides, across)]
    design = sides[0][0].design
    deciding = metric or design.primary
    if deciding not in design.metrics:
        raise WrongInput(f"--metric {deciding}: these runs have no such metric", hint=nearest(deciding, design.metrics))
    margin = design.margin_pct if margin_pct is None else margin_pct
    arms, left_out = _arms(*sides)
    metrics = (deciding, *(each for each in design.metrics if each != deciding))
    found = [[values(each, arms, metrics) for each in side] for side in (baseline, candidate)]
    cells = [(topology, arm) for topology in design.topologies for arm in arms]
    changes: list[Change] = []
    for name in metrics:
        pairs = [
            _Pair(*(tuple(each[topology, arm, name] for each in side) for side in found)) for topology, arm in cells
        ]
        adjusted = holm([pair.p for pair in pairs]) if name == deciding else None
        changes += [
            _change(cell, name, pair, margin, len(cells), adjusted[at] if adjusted else None)
            for at, (cell, pair) in enumerate(zip(cells, pairs, strict=True))
        ]
    return Between(tuple(sides[0]), tuple(sides[1]), deciding, margin, tuple(changes), (*notes, *left_out))


@dataclass(frozen=True, slots=True)
class _Pair:
    """The run values of one cell on both sides, and what Welch's t makes of them."""

    baseline: tuple[RunValue, ...]
    candidate: tuple[RunValue, ...]

    @property
    def logs(self) -> tuple[list[float], list[float]]:
        """The logs of the runs that have one."""
        first, second = (
            [each.log for each in side if each.log is not None] for side in (self.baseline, self.candidate)
        )
        return first, second

    @property
    def enough(self) -> bool:
        """Whether both sides have the runs that a verdict needs."""
        return min(map(len, self.logs)) >= LEAST_RUNS

    @property
    def broke(self) -> bool:
        """Whether the path under this arm fails in runs of the candidate, and in none of the baseline."""
        failing = [sum(each.failing for each in side) for side in (self.baseline, self.candidate)]
        return failing[0] == 0 and failing[1] >= FAILING_RUNS

    @property
    def found(self) -> Estimate | None:
        """The log ratio of candidate to baseline."""
        return welch(*self.logs)

    @property
    def p(self) -> float | None:
        """What enters Holm's adjustment: nothing where no verdict may rest on it."""
        return found.p if self.enough and not self.broke and (found := self.found) else None


def _change(
    cell: tuple[str, str], metric: str, pair: _Pair, margin: float, family: int, p_holm: float | None
) -> Change:
    found, gating = pair.found, p_holm is not None
    level = p_holm if p_holm is not None else 1.0 if pair.p is None else pair.p
    finding = _finding(pair, metric, margin, significant=level < ALPHA)
    needed = None
    if finding == "undecided" and found is not None and not pair.broke:
        alpha = ALPHA / family if gating else ALPHA
        needed = a_side_needed(found.sd, math.log1p(margin / 100.0), alpha)
    words: Mapping[str, VerdictWord] = {"better": "better", "worse": "worse", "equivalent": "equivalent"}
    change, low, high, low90, high90 = _percents(found)
    return Change(
        topology=cell[0],
        arm=cell[1],
        metric=metric,
        gating=gating,
        verdict=words.get(finding, "inconclusive"),
        reason=_sentence(pair, finding, margin, p_holm, family, needed),
        change_pct=change,
        ci_low_pct=low,
        ci_high_pct=high,
        ci90_low_pct=low90,
        ci90_high_pct=high90,
        p=None if found is None else found.p,
        p_holm=p_holm,
        baseline=pair.baseline,
        candidate=pair.candidate,
        runs_to_decide=needed,
    )


def _percents(found: Estimate | None) -> tuple[float | None, ...]:
    """The estimate and the ends of its 95 % and 90 % intervals, in percent."""
    if found is None:
        return (None,) * 5
    return tuple(map(percent, (found.mean, found.low, found.high, found.low90, found.high90)))


def _finding(pair: _Pair, metric: str, margin: float, *, significant: bool) -> Finding:
    """The verdict in the order of the method: failures first, as what survived them is a selection."""
    if pair.broke:
        return "worse"
    sides = (pair.baseline, pair.candidate)
    if all(len(side) >= LEAST_RUNS and all(each.mean == 0.0 for each in side) for side in sides):
        return "equivalent"
    found = pair.found
    if found is None or not pair.enough:
        return "undecided"
    gain = gain_pct(found.mean, metric)
    if significant and abs(gain) >= margin:
        return "better" if gain > 0 else "worse"
    return "equivalent" if equivalent(percent(found.low90), percent(found.high90), margin) else "undecided"


def _sentence(
    pair: _Pair, finding: Finding, margin: float, p_holm: float | None, family: int, needed: int | None
) -> str:
    """The verdict in words: the numbers it rests on, or what is lacking."""
    if pair.broke:
        failing = sum(each.failing for each in pair.candidate)
        return f"failed in {failing} of {len(pair.candidate)} runs, and in none of the baseline"
    found = pair.found
    if found is None or not pair.enough:
        return "0 in every run of both sides" if finding == "equivalent" else _lacking(pair)
    counts = [len(side) for side in pair.logs]
    runs = f"{counts[0]} against {counts[1]} runs"
    ends = f"95 % interval {percent(found.low):+.1f} % to {percent(found.high):+.1f} %"
    if finding in ("better", "worse"):
        p = f"p = {found.p:.2g}, not adjusted" if p_holm is None else f"p = {p_holm:.2g} after Holm over {family}"
        return f"{percent(found.mean):+.1f} % ({ends}, {runs}, {p})"
    if finding == "equivalent":
        low, high = percent(found.low90), percent(found.high90)
        return f"between {low:+.1f} % and {high:+.1f} % (90 % interval, {runs}), inside ±{margin:g} %"
    more = f"the change lies near the margin of {margin:g} %, more runs narrow it"
    if needed is None:
        more = f"even {MOST_BLOCKS} runs a side would not decide"
    elif needed > min(counts):
        more = f"about {needed} runs a side would decide"
    return f"between {percent(found.low):+.1f} % and {percent(found.high):+.1f} % ({runs}); {more}"


def _lacking(pair: _Pair) -> str:
    """Why there is no verdict: too few runs, failures, or zeros that have no ratio."""
    sides, counts = (pair.baseline, pair.candidate), [len(side) for side in pair.logs]
    zeros = sum(each.log is None and each.mean is not None for side in sides for each in side)
    if zeros:
        means = [[each.mean for each in side if each.mean is not None] for side in sides]
        shown = [f"{math.fsum(side) / len(side):.4g}" if side else "nothing" for side in means]
        return f"a 0 in {zeros} runs, so no ratio: mean {shown[1]} against {shown[0]}"
    failing = sum(each.failing for side in sides for each in side)
    said = f"; {failing} failed" if failing else ""
    if not any(counts):
        return f"not measured: no run has a value{said}"
    return f"{counts[0]} against {counts[1]} runs with a value{said}: a verdict needs {LEAST_RUNS} on each side"


def _comparable(baseline: Sequence[Run], candidate: Sequence[Run], across: Sequence[str]) -> list[str]:
    """What must be said beside the comparison; raises WrongInput where there can be none."""
    runs = [*baseline, *candidate]
    if both := sorted({run.run_id for run in baseline} & {run.run_id for run in candidate}):
        raise WrongInput(f"run {both[0]} is on both sides", hint="a run compared with itself is no evidence")
    for run in runs:
        if run.status != "complete":
            raise WrongInput(
                f"run {run.run_id} is {run.status}, not complete: it may not stand for its side",
                hint=f"`nettune run --resume {run.run_id}`, or name runs without it",
            )
    for run in runs[1:]:
        if difference := plan_difference(runs[0], run):
            key, first, other = difference
            raise WrongInput(
                f"the plans measure different things: {key} is {first} in run {runs[0].run_id} "
                f"and {other} in run {run.run_id}",
                hint="compare runs of one plan with the same --set",
            )
    return _facts_held(baseline, candidate, across)


def _facts_held(baseline: Sequence[Run], candidate: Sequence[Run], across: Sequence[str]) -> list[str]:
    """The differing facts that were named, as notes; raises WrongInput naming those that were not."""
    sheets = {run.run_id: facts(run) for run in (*baseline, *candidate)}
    known = list(dict.fromkeys(name for sheet in sheets.values() for name in sheet))
    for name in across:
        if name not in known:
            raise WrongInput(f"--across {name!r}: no fact of these runs has that name", hint=nearest(name, known))
    said, refused = [], []
    for name in known:
        told = [Counter(sheets[run.run_id].get(name, "not recorded") for run in side) for side in (baseline, candidate)]
        if len({*told[0], *told[1]}) == 1:
            continue
        if name in across:
            said.append(f"across {name}: {_counted(told[0])} against {_counted(told[1])}")
            continue
        first = next(iter(told[0]))
        other, value = next((r, v) for r in sheets if (v := sheets[r].get(name, "not recorded")) != first)
        refused.append((name, f"{name} is {first!r} in run {baseline[0].run_id} and {value!r} in run {other}"))
    if refused:
        options = " ".join(f"--across {shlex.quote(name)}" for name, _ in refused)
        raise WrongInput(
            f"these runs were not made with the same facts: {'; '.join(words for _, words in refused)}",
            hint=f"to compare across it, say so: {options}",
        )
    return said


def _counted(told: Counter[str]) -> str:
    return ", ".join(f"{value} ({n} run{'s' if n > 1 else ''})" for value, n in told.items())


def _arms(baseline: Sequence[Run], candidate: Sequence[Run]) -> tuple[tuple[str, ...], list[str]]:
    """Current, then the treatments that every run has with the same settings; and a word on each that is left out."""
    runs = [*baseline, *candidate]
    arms, left_out = [CURRENT], []
    for name in dict.fromkeys(treatment for run in runs for treatment in run.design.treatments):
        having = [run for run in runs if name in run.design.treatments]
        if len(having) < len(runs):
            without = next(run for run in runs if name not in run.design.treatments)
            left_out.append(f"{name} is not compared: run {without.run_id} does not measure it")
        elif changed := next((d for run in runs if (d := treatment_difference(runs[0], run, name))), None):
            key, first, other = changed
            left_out.append(f"{name} is not compared: {key} is {first} in one run and {other} in another")
        else:
            arms.append(name)
    return tuple(arms), left_out
