"""How the samples of a metric lie: the share above a value, from merged histograms."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from results import series, svg
from results.charts import canvas
from results.records import Run, Trial
from results.series import Chart
from results.units import scale


def distribution(run: Run, trials: Sequence[Trial], topology: str, metric: str) -> Chart:
    """The share of samples above a value, per arm, from the merged histograms of its trials."""
    title = f"Distribution of {series.label_of(metric)}, {topology}"
    found = {name: (unit, merged) for name, unit, merged in series.distributions(trials, topology)}
    unit, merged = found.get(metric, ("", {}))
    caption = (
        "How many samples took longer than a given time; histograms of all trials of an arm are merged, n is the "
        f"number of samples. Marks stand at the median, the 90th and the 99th percentile. {canvas.source(run, metric)}"
    )
    with canvas.styled():
        figure = _distribution_figure(run, merged, metric, unit)
        return canvas.chart(figure, title, caption, "distribution", run.run_id, topology, metric)


def _distribution_figure(run: Run, merged: Mapping[str, Mapping[int, int]], metric: str, unit: str) -> Figure:
    present = [arm for arm in series.arms(run) if sum(merged.get(arm, {}).values())]
    if not present:
        return canvas.no_data("no trial kept a histogram of it")
    looks = series.marks(run)
    names = {arm: f"{arm}, n {sum(merged[arm].values())}" for arm in present}
    legend = canvas.arm_keys(looks, names, lines=True)
    below = 0.5 + canvas.legend_height(legend)
    height = 2.6 + below
    figure = Figure(figsize=(canvas.WIDTH_IN, height))
    axes = figure.add_axes((0.58 / canvas.WIDTH_IN, below / height, 1 - 0.74 / canvas.WIDTH_IN, 2.3 / height))
    curves = {arm: series.slower_than(merged[arm]) for arm in present}
    used = scale(metric, unit, [median(edges) for edges, _ in curves.values()])
    for arm, (edges, shares) in curves.items():
        shown = [(x / used.factor, y) for x, y in zip(edges, shares, strict=True) if y > 0]
        xs, ys = [x for x, _ in shown], [y for _, y in shown]
        look = looks[arm]
        axes.step(xs, ys, where="post", color=look.colour, lw=1.5, ls=look.dashes, gid=f"ccdf-{svg.slug(arm)}")
        at = [next(x for x, y in zip(edges, shares, strict=True) if y <= share) for share in (0.5, 0.1, 0.01)]
        axes.plot(
            [x / used.factor for x in at], [0.5, 0.1, 0.01], linestyle="none", **canvas.marker(look), markersize=5.5
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    _log_ticks(axes)
    axes.grid(color=canvas.INK, alpha=0.15, lw=0.6)
    axes.set_xlabel(f"{series.label_of(metric)}, {used.label}")
    axes.set_title("share of samples that took longer", loc="left", fontsize=9.5, x=-0.5 / (canvas.WIDTH_IN - 0.74))
    canvas.draw_legend(figure, legend)
    return figure


def _log_ticks(axes: Axes) -> None:
    """Ticks at 1, 2 and 5 of each decade, or at the decades alone where there are many."""
    low, high = axes.get_xlim()
    digits = (1, 2, 5) if high / low < 300 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
