"""What many pairs at once do, over their number: every trial a point, the model a line, its interval a band."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from results import series
from results.charts import canvas
from results.charts.canvas import Key
from results.records import Run
from results.scaling.answer import Answer, Loaded
from results.scaling.arms import PROBE
from results.scaling.curve import REACH
from results.scaling.kept import METRICS
from results.scaling.slo import Term
from results.series import Chart
from results.units import Scale, scale

_COLOUR, _BOUND = series.COLOURS[0], series.COLOURS[1]
_PANEL_IN = 2.4


def goodput(run: Run, trials: Sequence[Loaded], answer: Answer, terms: Sequence[Term]) -> Chart:
    """Goodput of all pairs over their number, with the forecast to twice the largest."""
    caption = (
        f"Each point is a trial (n = {len(trials)}); the line is the model chosen by AICc, the band holds 95 % of "
        f"single trials. Dashed: what the service level asks of goodput. {canvas.source(run, f'{PROBE}.goodput')}"
    )
    if answer.curve is None:
        caption = f"Each point is a trial (n = {len(trials)}). No model: {answer.no_model}. Run {run.run_id}."
    with canvas.styled():
        figure, axes = _figure()
        used = scale("goodput", "bit/s", [each.values["goodput"] for each in trials if "goodput" in each.values])
        keys = _points(axes, trials, "goodput", used)
        if answer.curve is not None:
            keys += _model(axes, answer, used)
        keys += _demand(axes, terms, used, max(axes.get_xlim()[1], 2))
        _finish(figure, axes, keys, f"goodput of all pairs, {used.label}")
        return canvas.chart(figure, "Goodput over pairs", caption, "goodput over pairs", run.run_id)


def measured(run: Run, trials: Sequence[Loaded], metric: str, terms: Sequence[Term]) -> Chart | None:
    """One of p50, p99, loss, cpu, fairness over the number of pairs; None where all are 0 or none has it.

    A trial whose value has no end is not drawn, and told below.
    """
    every = [each.values[metric] for each in trials if metric in each.values]
    values = [value for value in every if math.isfinite(value)]
    trials = [each for each in trials if math.isfinite(each.values.get(metric, math.inf))]
    if not any(values):
        return None
    name = f"{PROBE}.{METRICS[metric]}"
    title = f"{series.metric_of(name).label} over pairs"
    bounds = [term.bound for term in terms if term.metric == metric]
    beyond = f" Of {len(every) - len(values)} trials it is one of the lost probes." if len(every) > len(values) else ""
    caption = (
        f"Each point is a trial (n = {len(values)}).{beyond} Dashed: the service level. {canvas.source(run, name)}"
    )
    with canvas.styled():
        figure, axes = _figure()
        used = scale(name, series.metric_of(name).unit, [*values, *bounds])
        keys = _points(axes, trials, metric, used)
        for each in bounds:
            axes.axhline(each / used.factor, color=_BOUND, lw=1.2, ls="--")
        keys += [Key(Line2D([], [], color=_BOUND, lw=1.2, ls="--"), "service level")] if bounds else []
        unit = f", {used.label}" if used.label else ""
        _finish(figure, axes, keys, f"{series.metric_of(name).label}{unit}")
        return canvas.chart(figure, title[0].upper() + title[1:], caption, "over pairs", run.run_id, metric)


def _figure() -> tuple[Figure, Axes]:
    below = 0.5 + canvas.LINE_IN * 2
    height = _PANEL_IN + below
    figure = Figure(figsize=(canvas.WIDTH_IN, height))
    left = 0.55
    axes = figure.add_axes(
        (left / canvas.WIDTH_IN, below / height, 1 - (left + 0.1) / canvas.WIDTH_IN, (_PANEL_IN - 0.3) / height)
    )
    return figure, axes


def _points(axes: Axes, trials: Sequence[Loaded], metric: str, used: Scale) -> list[Key]:
    shown = [(each.n, each.values[metric] / used.factor) for each in trials if metric in each.values]
    axes.plot(
        *zip(*shown, strict=True), ls="none", marker="o", ms=4.5, color=_COLOUR, alpha=0.6, gid=f"trials-{metric}"
    )
    return [Key(Line2D([], [], ls="none", marker="o", color=_COLOUR), "a trial")]


def _model(axes: Axes, answer: Answer, used: Scale) -> list[Key]:
    assert answer.curve is not None  # noqa: S101 - asked where there is one
    ns = range(1, REACH * answer.curve.most + 1)
    found = [answer.curve.forecast(n) for n in ns]
    low, high = ([each / used.factor for each in side] for side in zip(*((f.low, f.high) for f in found), strict=True))
    axes.fill_between(ns, low, high, color=canvas.INK, alpha=0.13, lw=0, gid="band")
    axes.plot(ns, [each.value / used.factor for each in found], color=canvas.INK, lw=1.4, gid="model")
    axes.axvline(answer.curve.most, color=canvas.INK, lw=0.6, ls=":", gid="measured-up-to")
    return [
        Key(Line2D([], [], color=canvas.INK, lw=1.4), "model, band 95 %"),
        Key(Line2D([], [], color=canvas.INK, lw=0.6, ls=":"), "measured up to here"),
    ]


def _demand(axes: Axes, terms: Sequence[Term], used: Scale, most: float) -> list[Key]:
    top = axes.get_ylim()[1]
    found: list[Key] = []
    for term in terms:
        if term.metric != "goodput":
            continue
        ns = np.array([0.0, most])
        line = ns * term.bound if term.each else np.full(2, term.bound)
        axes.plot(ns, line / used.factor, color=_BOUND, lw=1.2, ls="--", gid="demand")
        found = [Key(Line2D([], [], color=_BOUND, lw=1.2, ls="--"), "asked for")]
    axes.set_ylim(0, top)
    return found


def _finish(figure: Figure, axes: Axes, keys: Sequence[Key], label: str) -> None:
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_xlabel("pairs at once")
    axes.set_title(label, loc="left", fontsize=10.5)
    canvas.draw_legend(figure, keys)
