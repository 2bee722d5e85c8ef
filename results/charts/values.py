"""What was measured: every trial as a point, in time order or gathered by arm."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from results import series, svg
from results.charts import canvas
from results.records import CURRENT, Run, Trial
from results.series import Chart, Mark
from results.units import Scale, quantity, scale

LOST = {"failed": "x", "missing": "+"}  # status -> the shape that stands for a trial without a number


def in_time_order(run: Run, trials: Sequence[Trial], topology: str, metrics: Sequence[str]) -> Chart:
    """Every trial of a topology as a point in the order they were run, one panel per metric."""
    title = f"Every trial in time order, {topology}"
    ordered = series.in_order(trials, topology)
    sampled = [m for m in metrics if any(t.value(m) is not None for t in ordered)]
    shown = [m for m in sampled if any(t.value(m) for t in ordered)]
    zero = "".join(f"{series.label_of(m)}: 0 in every trial. " for m in sampled if m not in shown)
    lost = sum(t.status in LOST for t in ordered)
    definitions = " ".join(f"{series.label_of(m)}: {series.defined(run, m).definition}." for m in shown)
    caption = (
        f"n = {len(ordered)} trials, {lost} of them failed or missing (marked at the lower edge); thin vertical "
        f"lines part the blocks, the dotted line is the median of both current arms. Axes need not start at 0. "
        f"{definitions} {zero}Run {run.run_id}."
    )
    with canvas.styled():
        return canvas.chart(_time_figure(run, ordered, shown), title, caption, "time", run.run_id, topology, *shown)


def amounts(run: Run, trials: Sequence[Trial], topology: str, metric: str) -> Chart:
    """The values themselves, per arm: each trial a point, the median a bar; from zero, so that ratios are seen."""
    title = f"{series.label_of(metric)}, {topology}"
    values = series.by_arm(trials, topology, metric)
    caption = f"Each point is a trial, the bar its arm's median, n the number of trials. {canvas.source(run, metric)}"
    with canvas.styled():
        figure = _amounts_figure(run, values, metric, series.unit_in(trials, metric))
        return canvas.chart(figure, title[0].upper() + title[1:], caption, "amounts", run.run_id, topology, metric)


def _time_figure(run: Run, ordered: Sequence[Trial], metrics: Sequence[str]) -> Figure:
    if not metrics:
        return canvas.no_data("no trial has a value other than 0" if ordered else "no trial")
    looks = series.marks(run)
    present = [arm for arm in series.arms(run) if any(t.arm == arm for t in ordered)]
    legend = [*canvas.arm_keys(looks, {arm: arm for arm in present}), *canvas.status_keys(ordered)]
    panel, below = 1.5, 0.44 + canvas.legend_height(legend)
    height = panel * len(metrics) + below
    figure = Figure(figsize=(canvas.WIDTH_IN, height))
    for row, metric in enumerate(metrics):
        bottom = (below + panel * (len(metrics) - 1 - row)) / height
        axes = figure.add_axes((0.5 / canvas.WIDTH_IN, bottom, 1 - 0.6 / canvas.WIDTH_IN, (panel - 0.35) / height))
        _draw_panel(axes, ordered, metric, looks)
        if row == len(metrics) - 1:
            _block_ticks(axes, ordered)
        else:
            axes.xaxis.set_major_locator(NullLocator())
    canvas.draw_legend(figure, legend)
    return figure


def _draw_panel(axes: Axes, ordered: Sequence[Trial], metric: str, looks: Mapping[str, Mark]) -> None:
    values = [v for t in ordered if (v := t.value(metric)) is not None]
    used = scale(metric, series.unit_in(ordered, metric), values)
    low, high = min(values) / used.factor, max(values) / used.factor
    low = 0.0 if low < 0.5 * high else low
    room = 0.12 * ((high - low) or high)
    lost = any(t.status in LOST for t in ordered)
    axes.set_ylim(low - room * (2 if lost else 1 if low else 0.3), high + room)
    axes.set_xlim(-1, len(ordered))
    _draw_blocks(axes, ordered)
    _draw_points(axes, ordered, metric, used, looks)
    reference = series.current_median(series.by_arm(ordered, ordered[0].topology, metric))
    if reference is not None:
        axes.axhline(reference / used.factor, color=canvas.INK, lw=0.9, ls=":", gid=f"current-{svg.slug(metric)}")
    axes.yaxis.set_major_locator(_at_least_zero(axes.get_ylim()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    unit = f", {used.label}" if used.label else ""
    axes.set_title(f"{series.label_of(metric)}{unit}", loc="left", fontsize=10.5, x=-0.4 / (canvas.WIDTH_IN - 0.6))


def _draw_blocks(axes: Axes, ordered: Sequence[Trial]) -> None:
    ends = [
        place + 0.5
        for place, (before, after) in enumerate(itertools.pairwise(ordered))
        if (before.block, before.attempt) != (after.block, after.attempt)
    ]
    axes.vlines(ends, 0, 1, transform=axes.get_xaxis_transform(), color=canvas.INK, lw=0.5, alpha=0.22)


def _draw_points(axes: Axes, ordered: Sequence[Trial], metric: str, used: Scale, looks: Mapping[str, Mark]) -> None:
    """One line object for each arm and kind of point: a drawing of 300 trials stays small."""
    measured: dict[tuple[str, bool], list[tuple[int, float]]] = {}
    lost: dict[tuple[str, str], list[int]] = {}
    for place, trial in enumerate(ordered):
        value = trial.value(metric)
        if trial.status in LOST:
            lost.setdefault((trial.arm, trial.status), []).append(place)
        elif value is not None:
            measured.setdefault((trial.arm, trial.status == "done"), []).append((place, value / used.factor))
    for (arm, done), points in measured.items():
        look = looks.get(arm, looks[CURRENT])
        places, values = zip(*points, strict=True)
        axes.plot(places, values, ls="none", **canvas.marker(look), markersize=4.5, alpha=1.0 if done else 0.35)
    edge = axes.get_xaxis_transform()
    for (arm, status), where in lost.items():
        colour = looks.get(arm, looks[CURRENT]).colour
        name = f"lost-{svg.slug(metric, arm, status)}"
        heights = [0.07] * len(where)
        axes.plot(where, heights, LOST[status], color=colour, ms=7, mew=2, transform=edge, gid=name)


def _at_least_zero(limits: tuple[float, float]) -> FixedLocator:
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(*limits)
    return FixedLocator([t for t in ticks if max(0.0, limits[0]) <= t <= limits[1]])


def _block_ticks(axes: Axes, ordered: Sequence[Trial]) -> None:
    places: dict[tuple[int, int], list[int]] = {}
    for place, trial in enumerate(ordered):
        places.setdefault((trial.block, trial.attempt), []).append(place)
    step = max(1, -(-len(places) // 12))
    named = list(places.items())[::step]
    axes.xaxis.set_major_locator(FixedLocator([sum(p) / len(p) for _, p in named]))
    texts = [str(block + 1) for (block, _), _ in named]
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, i: texts[i or 0]))
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("block, in time order")


def _amounts_figure(run: Run, values: Mapping[str, Sequence[float]], metric: str, unit: str) -> Figure:
    present = [arm for arm in series.arms(run) if values.get(arm)]
    if not present:
        return canvas.no_data("no trial has a value")
    looks = series.marks(run)
    used = scale(metric, unit, [v for arm in present for v in values[arm]])
    rows = []
    for arm in present:
        middle = quantity(metric, unit, median(values[arm]), to=used)
        rows.append(canvas.row_lines(arm, f"median {middle}, n {len(values[arm])}"))
    heights = [canvas.LINE_IN * len(lines) + 0.26 for lines in rows]
    figure, axes = canvas.rows_figure(sum(heights))
    axes.set_xlim(0, 1.06 * max(v for arm in present for v in values[arm]) / used.factor or 1)
    top = 0.0
    for number, (arm, lines, height) in enumerate(zip(present, rows, heights, strict=True)):
        canvas.write_row(axes, top, lines)
        points, y = [v / used.factor for v in values[arm]], top + height - 0.16
        axes.plot(points, [y] * len(points), linestyle="none", **canvas.marker(looks[arm]), markersize=4.5, alpha=0.6)
        axes.plot([median(points)] * 2, [y - 0.09, y + 0.09], color=canvas.INK, lw=2, gid=f"median-{number}")
        top += height
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel(f"{series.metric_of(metric).label}, {used.label}")
    return figure
