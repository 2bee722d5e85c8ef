"""A history in words: one row per series, its course as one line of bars, a sentence for each thing to know of it."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from results import series, units
from results.trend import ChangePoint, Series, Trend
from results.units import iso

_BARS = "▁▂▃▄▅▆▇█"
_TO_SEE = 3  # runs without a value that are named one by one; more are counted by their reason


@dataclass(frozen=True, slots=True)
class TrendRow:
    """One series in words."""

    topology: str
    arm: str
    metric: str
    runs: str
    level: str
    verdict: Literal["better", "worse", "two modes", "no change", "unknown"]  # of the newest change
    change: str


def row(each: Series) -> TrendRow:
    """The series as it stands now, and its newest change."""
    newest = each.changes[-1] if each.changes else None
    verdict: Literal["better", "worse", "two modes", "no change", "unknown"] = "no change"
    if each.modes:
        verdict = "two modes"
    elif newest:
        verdict = newest.verdict
    elif each.unknown and not each.unknown.startswith("0 in every"):
        verdict = "unknown"
    return TrendRow(
        topology=each.topology,
        arm=each.arm,
        metric=each.metric,
        runs=str(len(each.values)),
        level=_level(each),
        verdict=verdict,
        change="" if newest is None else units.percent(newest.change_pct),
    )


def course(each: Series) -> str:
    """One bar per run between the least (▁) and the largest value (█), a line before each run that begins a level."""
    begins = {change.run_id for change in each.changes}
    shown = [value.shown or 0.0 for value in each.values]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    steps = [round((value - low) / (high - low) * (len(_BARS) - 1)) if high > low else 3 for value in shown]
    bars = (_BARS[step] for step in steps)
    return "".join(f"│{bar}" if one.run_id in begins else bar for one, bar in zip(each.values, bars, strict=True))


def _level(each: Series) -> str:
    if not each.levels:
        return units.DASH
    last = each.levels[-1]
    spread = (
        "" if last.spread_pct is None else f"{units.NBSP}±{units.NBSP}{units.percent(last.spread_pct, signed=False)}"
    )
    return f"{_quantity(each, last.value)}{spread}"


def _quantity(each: Series, value: float | None) -> str:
    return units.quantity(each.metric, series.metric_of(each.metric).unit, value)


def sentences(each: Series, *, deciding: bool) -> tuple[str, ...]:
    """What to know of a series beside its row: changes with what differed, modes, odd runs, what is lacking."""
    name = f"{each.topology} {each.arm}" if deciding else f"{each.topology} {each.arm} {each.metric}"
    said = [f"{name}: {course(each)}"] if each.values else []
    said += [f"{name}: {_change(each, at, change)}" for at, change in enumerate(each.changes)]
    if each.modes:
        p = f"p = {each.modes.p:.2g}" if each.modes.p >= 0.001 else "p < 0.001"  # the dip test's tables end there
        said.append(
            f"{name}: two modes, {_quantity(each, each.modes.low)} in {each.modes.runs_low} runs and "
            f"{_quantity(each, each.modes.high)} in {each.modes.runs_high} (one mode: {p}). Which "
            "of them a run meets is luck, so no change is called here: first find what makes them"
        )
    elif each.apart:
        newest = each.values[-1].run_id
        fresh = (
            " If the newest keeps to its value, it begins a level with the third run" if newest in each.apart else ""
        )
        said.append(f"{name}: {', '.join(each.apart)} stand apart from the runs beside them.{fresh}".rstrip("."))
    if each.unknown:
        said.append(f"{name}: {each.unknown}")
    return (*said, *(f"{name}: {words}" for words in _without(each)))


def _change(each: Series, at: int, change: ChangePoint) -> str:
    before, after = each.levels[at], each.levels[at + 1]
    differs = "; ".join(change.differs) or "no recorded fact, so look outside of this machine's kernel and tools"
    return (
        f"{change.verdict} from run {change.run_id} on: {_quantity(each, before.value)} → "
        f"{_quantity(each, after.value)}, {units.percent(change.change_pct)} "
        f"{units.interval(change.ci_low_pct, change.ci_high_pct)} (95 % interval, {len(before.runs)} against "
        f"{len(after.runs)} runs, p = {change.p:.2g} over every place and series). "
        f"Different since run {change.before}: {differs}"
    )


def _without(each: Series) -> list[str]:
    if len(each.without) <= _TO_SEE:
        return [f"run {run_id} {reason}" for run_id, reason in each.without]
    counts = Counter(reason for _, reason in each.without)
    return [f"{n} runs: {reason}" for reason, n in counts.items()]


def notes(found: Trend) -> tuple[str, ...]:
    """The runs that are no part of this history, each with its reason."""
    return tuple(f"left out: run {run_id} {reason}" for run_id, reason in found.history.left_out)


def title(found: Trend) -> str:
    """What the table shows."""
    runs = found.history.runs
    first, last = ((iso(run.started_at) or "")[:10] for run in (runs[0], runs[-1]))
    return (
        f"{runs[-1].plan_name}: {found.metric} over {len(runs)} runs, {first} to {last}, margin {found.margin_pct:g} %"
    )


def sentence(found: Trend) -> str:
    """What came of it in one sentence."""
    changed: dict[tuple[str, str], list[str]] = {}
    for each in found.deciding:
        for change in each.changes[-1:]:
            words = f"{each.topology} {each.arm} ({units.percent(change.change_pct)})"
            changed.setdefault((change.verdict, change.run_id), []).append(words)
    two = [each for each in found.deciding if each.modes]
    told = [
        f"{verdict.capitalize()} in {found.metric} since run {run_id}: {', '.join(names)}."
        for (verdict, run_id), names in changed.items()
    ]
    if two:
        told.append(f"Two modes, so no verdict on changes: {', '.join(f'{e.topology} {e.arm}' for e in two)}.")
    looked = [each for each in found.deciding if not each.unknown and not each.changes and not each.modes]
    if looked and not changed and not two:
        told.append(f"No change of {found.metric} in {len(looked)} series.")
    if not told:
        told.append(f"Nothing can be said of {found.metric} yet: a change needs 3 runs on each side.")
    return " ".join(told)
