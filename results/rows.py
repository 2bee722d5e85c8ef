"""The rows of a report's tables as words: every number with its unit, a dash where there is none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from results import series
from results.judgement import run_visible
from results.paths import PathDifference
from results.records import CURRENT_ARMS, Comparison, GuardResult, Judgement, Run, Trial
from results.series import Mark
from results.slopes import Slope
from results.units import DASH, NBSP, interval, iso, percent, quantity, scale


@dataclass(frozen=True, slots=True)
class GuardRow:
    """One guard of one comparison in words."""

    metric: str
    word: str
    change: str
    detail: str  # interval, limit and smallest visible change of a guard that did not plainly hold


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One comparison in words."""

    treatment: str
    mark: Mark | None
    metric: str
    verdict: str
    candidate: bool
    screening: bool
    reason: str
    effect: str
    interval: str
    bootstrap: str  # the bootstrap-t interval beside it, "" below 10 blocks
    n: int
    medians: str  # "23.4 → 26.7 Gbit/s"
    guards: tuple[GuardRow, ...]
    visible: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial in words; `values` in the order of the plan's metrics."""

    trial: Trial
    mark: Mark | None
    started: str
    values: tuple[str, ...]


def verdict_rows(
    run: Run, trials: Sequence[Trial], judgement: Judgement, topology: str, *, primary: bool
) -> tuple[VerdictRow, ...]:
    """The comparisons of one topology on the primary metric, or on all others; by metric, then treatment."""
    looks = series.marks(run)
    found = [c for c in judgement.comparisons if c.topology == topology and c.primary == primary]
    order = {metric: place for place, metric in enumerate(run.design.metrics)}
    units = {metric: series.unit_in(trials, metric) for metric in {c.metric for c in found}}
    values = {metric: series.by_arm(trials, topology, metric) for metric in units}
    return tuple(
        VerdictRow(
            treatment=c.treatment,
            mark=looks.get(c.treatment),
            metric=series.label_of(c.metric),
            verdict=c.verdict,
            candidate=c.candidate,
            screening=c.screening,
            reason=c.reason,
            effect=percent(c.effect_pct),
            interval=interval(c.ci_low_pct, c.ci_high_pct),
            bootstrap="" if c.boot_low_pct is None else interval(c.boot_low_pct, c.boot_high_pct),
            n=c.blocks,
            medians=_medians(c.metric, units[c.metric], values[c.metric], c.treatment),
            guards=_guard_rows(c.guards),
            visible=f"±{percent(c.visible_effect_pct, signed=False)}" if c.visible_effect_pct is not None else DASH,
        )
        for c in sorted(found, key=lambda c: order.get(c.metric, len(order)))
    )


def _medians(metric: str, unit: str, values: Mapping[str, Sequence[float]], arm: str) -> str:
    return _from_to(metric, unit, series.current_median(values), median(values[arm]) if values.get(arm) else None)


def _from_to(metric: str, unit: str, before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return DASH
    used = scale(metric, unit, [v for v in (before, after) if v is not None])
    old, new = (quantity(metric, unit, v, to=used) for v in (before, after))
    if before is not None and used.label:
        old = old.removesuffix(f"{NBSP}{used.label}")
    return f"{old} → {new}"


def _guard_rows(guards: Sequence[GuardResult]) -> tuple[GuardRow, ...]:
    """A guard that held in a few characters; one that did not with interval, limit and what was visible."""
    if guards and all(guard.change is None for guard in guards):
        return (GuardRow("every guard", "not resolved", "", "no data"),)
    plain = Counter(series.metric_of(guard.metric).label for guard in guards)
    labels = {g.metric: series.metric_of(g.metric).label for g in guards}
    return tuple(
        GuardRow(
            labels[guard.metric] if plain[labels[guard.metric]] == 1 else series.label_of(guard.metric),
            guard.word,
            _guard_change(guard, guard.change),
            "" if guard.word == "ok" else _guard_detail(guard),
        )
        for guard in guards
    )


def _guard_change(guard: GuardResult, value: float | None) -> str:
    if value is None:
        return DASH
    if not guard.absolute:
        return percent(100 * value)
    sign = "+" if value > 0 else ""
    return f"{sign}{quantity(guard.metric, series.metric_of(guard.metric).unit, value)}"


def _guard_detail(guard: GuardResult) -> str:
    limit = _limit(guard.metric, guard.limit, absolute=guard.absolute)
    if guard.change is None:
        return f"no data; limit {limit}"
    ends = f"{_guard_change(guard, guard.low)} to {_guard_change(guard, guard.high)}"
    seen = "" if guard.visible is None else f", visible from {_guard_change(guard, guard.visible)}"
    return f"90{NBSP}% interval {ends}, limit {limit}{seen}"


@dataclass(frozen=True, slots=True)
class PathRow:
    """Current on one topology against current on another, in words."""

    topology: str
    metric: str
    verdict: str
    effect: str
    interval: str
    n: int
    medians: str
    primary: bool


def path_rows(trials: Sequence[Trial], found: Sequence[PathDifference]) -> tuple[PathRow, ...]:
    """One row per difference; medians are those of both current arms."""
    by_path: dict[tuple[str, str], dict[str, list[float]]] = {}
    for each in found:
        for topology in (each.topology, each.against):
            by_path.setdefault((topology, each.metric), series.by_arm(trials, topology, each.metric))
    return tuple(
        PathRow(
            topology=each.topology,
            metric=series.label_of(each.metric),
            verdict=each.verdict,
            effect=percent(each.effect_pct),
            interval=interval(each.ci_low_pct, each.ci_high_pct),
            n=each.blocks,
            medians=_from_to(
                each.metric,
                series.unit_in(trials, each.metric),
                series.current_median(by_path[each.against, each.metric]),
                series.current_median(by_path[each.topology, each.metric]),
            ),
            primary=each.primary,
        )
        for each in found
    )


def slope_sentences(found: Sequence[Slope]) -> tuple[str, ...]:
    """Each slope with its interval, levels and how straight the line is."""
    said = []
    for each in found:
        unit = series.metric_of(each.metric).unit
        used = scale(each.metric, unit, [abs(each.per_unit)])
        value, low, high = (quantity(each.metric, unit, v, to=used) for v in (each.per_unit, each.low, each.high))
        said.append(
            f"{each.topology}: {series.label_of(each.metric)} changes by {value} [{low} to {high}] per 1 of "
            f"{each.setting} (95 % interval over {each.blocks} blocks; levels "
            f"{', '.join(f'{level:g}' for level in each.levels)}; a straight line explains "
            f"{100 * each.line_r2:.1f} % of the spread of their means)."
        )
    return tuple(said)


def noise(judgement: Judgement, topology: str, metric: str) -> str:
    """What the two current arms, which are the same, were measured to differ by."""
    same = next((s for s in judgement.same_arms if s.topology == topology and s.metric == metric), None)
    if same is None or same.effect_pct is None:
        return "The two current arms could not be compared: fewer than two complete pairs."
    return (
        f"The two current arms, which are the same, differ by {percent(same.effect_pct)} "
        f"{interval(same.ci_low_pct, same.ci_high_pct)} over {same.blocks} blocks"
        + ("; this interval excludes 0, as 5 % of such lines do by chance." if same.excludes_zero else ".")
    )


def sight(run: Run, trials: Sequence[Trial], judgement: Judgement) -> tuple[str, ...]:
    """What this run could see, and what it could not, as sentences."""
    design, label = run.design, series.label_of(run.design.primary)
    visible, needed = run_visible(design, judgement)
    said: list[str] = []
    if visible is None:
        said.append(f"No change of {label} was visible: no topology has two complete pairs of any treatment.")
    elif visible <= design.margin_pct:
        said.append(
            f"A change of {label} of {percent(visible, signed=False)} or more would have been found with a chance of "
            f"80 %, also on the noisiest topology: every gain worth naming (the margin is {design.margin_pct:g} %) "
            "was in sight."
        )
    else:
        more = f"about {needed} blocks" if needed else "more than 1000 blocks"
        said.append(
            f"On the noisiest topology only a change of {label} of {percent(visible, signed=False)} or more would have "
            f"been found with a chance of 80 %; to see the margin of {design.margin_pct:g} % takes {more}."
        )
    primary = [c for c in judgement.comparisons if c.primary]
    for opening, end, chosen in (
        ("Not measured", "", [c for c in primary if not c.blocks and not c.failed]),
        ("Left open", " This is no evidence that nothing changed.", [c for c in primary if _is_open(c)]),
        (f"Shown to lie within ±{design.margin_pct:g} %", "", [c for c in primary if c.verdict == "equivalent"]),
    ):
        if chosen:
            said.append(f"{opening}: {_by_topology(chosen, len(design.treatments))}.{end}")
    lost = sum(t.status in {"failed", "missing"} for t in trials)
    if lost:
        said.append(f"{lost} of {len(trials)} trials gave no number; their causes are listed below.")
    if run.status != "complete":
        said.append(f"The run is {run.status}: verdicts rest on the blocks that are complete.")
    return tuple(said)


def _is_open(found: Comparison) -> bool:
    return found.verdict == "inconclusive" and bool(found.blocks or found.failed)


def _by_topology(chosen: Sequence[Comparison], treatments: int) -> str:
    """`no-tso (bridge); every treatment (vlan-10)`."""
    names: dict[str, list[str]] = {}
    for comparison in chosen:
        names.setdefault(comparison.topology, []).append(comparison.treatment)
    return "; ".join(
        f"{'every treatment' if len(found) == treatments > 1 else ', '.join(found)} ({topology})"
        for topology, found in names.items()
    )


def lost_trials(run: Run, trials: Sequence[Trial]) -> tuple[TrialRow, ...]:
    """The trials that are not done, in time order."""
    return tuple(row for row in trial_rows(run, trials, ()) if row.trial.status != "done")


def trial_rows(run: Run, trials: Sequence[Trial], metrics: Sequence[str]) -> tuple[TrialRow, ...]:
    """Every trial in time order with its values of `metrics`, each metric in one unit throughout."""
    looks = series.marks(run)
    columns = []
    for metric in metrics:
        unit = series.unit_in(trials, metric)
        columns.append((metric, unit, scale(metric, unit, [v for t in trials if (v := t.value(metric)) is not None])))
    return tuple(
        TrialRow(
            trial,
            looks.get(trial.arm),
            (iso(trial.started_at) or "").replace("T", " ").removesuffix("Z"),
            tuple(quantity(name, unit, trial.value(name), to=used) for name, unit, used in columns),
        )
        for trial in sorted(trials, key=lambda t: (t.started_at, t.trial_id))
    )


def method(run: Run) -> tuple[tuple[str, str], ...]:
    """How it was measured, as (point, words) pairs."""
    design = run.design
    blocks, margin = f"{design.blocks} blocks", f"{design.margin_pct:g} %"
    family = (
        f"{design.family} comparisons: {len(design.treatments)} treatments × {len(design.topologies)} topologies × "
        f"{series.label_of(design.primary)}"
    )
    looks = "looks after 6, 12 and 20 blocks (p < .005, .02, .035), with a stop for futility"
    return (
        ("Order", f"randomised complete blocks, seed {run.seed}; `current` stands twice in every block"),
        ("Blocks", f"up to {blocks}; {looks}" if design.sequential else f"{blocks}, one look at α = .05"),
        ("Unit of evidence", "one trial: new processes and sockets each time, never the samples inside it"),
        (
            "Effect",
            (
                "per block the log ratio against the mean log of both current arms; mean with 95 % t interval, "
                "printed in percent of current"
            ),
        ),
        ("Family", f"{family}, adjusted by Holm; every other metric can name no winner"),
        (
            "Verdict",
            (
                f"better or worse: significant and at least {margin}; worse also when it fails in two or more blocks "
                f"where current did not; equivalent: 90 % interval inside ±{margin}; else inconclusive"
            ),
        ),
        ("Guards", "a winner must not harm " + "; ".join(rules) if (rules := _guard_rule(run)) else "none"),
        ("Goal", design.goal),
        ("Visible", "the smallest effect that would be found with a chance of 80 %"),
    )


def _guard_rule(run: Run) -> list[str]:
    return [
        f"{series.label_of(guard.metric)} by more than " + _limit(guard.metric, guard.limit, absolute=guard.absolute)
        for guard in run.design.guards
    ]


def _limit(metric: str, limit: float, *, absolute: bool) -> str:
    """A limit as it was set, so without rounding: `+10 %`, `+50 µs`."""
    used = scale(metric, series.metric_of(metric).unit, [limit])
    number, unit = (limit / used.factor, used.label) if absolute else (100 * limit, "%")
    return f"+{number:g}{NBSP}{unit}".rstrip()


def span(run: Run) -> str:
    """`2026-01-31 12:00 to 12:03 UTC`; the second date only where it is another."""
    start, end = ((iso(t) or "")[:16].replace("T", " ") for t in (run.started_at, run.ended_at))
    if not end:
        return f"since {start} UTC"
    return f"{start} to {end[11:] if end[:10] == start[:10] else end} UTC"


def arm_settings(run: Run) -> tuple[tuple[str, Mark | None, tuple[Mapping[str, str], ...]], ...]:
    """(treatment, mark, its settings) in the plan's order; the current arms have none."""
    looks = series.marks(run)
    known = [*run.design.treatments, *(name for name in run.settings if name not in run.design.treatments)]
    return tuple((name, looks.get(name), run.settings.get(name, ())) for name in known if name not in CURRENT_ARMS)
