"""What was concluded: paired effects with their intervals, and the noise between the two current arms."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from results import series
from results.charts import canvas
from results.records import Comparison, Judgement, Run, SameArms
from results.series import Chart, Mark
from results.units import MINUS, interval, percent


def effects(run: Run, judgement: Judgement, topology: str, metric: str) -> Chart:
    """Each treatment's paired effect with its 95 % interval and n, single blocks as points, the A/A line on top."""
    title = f"Effect on {series.label_of(metric)}, {topology}"
    found = [c for c in judgement.comparisons if c.topology == topology and c.metric == metric]
    same = next((s for s in judgement.same_arms if s.topology == topology and s.metric == metric), None)
    margin = run.design.margin_pct
    caption = (
        "Each treatment against both current arms, paired by block: mean with 95 % t interval over n complete "
        f"blocks; small points are single blocks. Band: ±{margin:g} %, below which a gain is not worth naming. "
        f"Top line: the two current arms against each other, the noise. {canvas.source(run, metric)}"
    )
    with canvas.styled():
        figure, bent = _effects_figure(run, found, same, metric)
        if bent:
            caption = f"The scale is linear up to ±{2 * margin:g} % and logarithmic beyond. {caption}"
        return canvas.chart(figure, title, caption, "effects", run.run_id, topology, metric)


def _effects_figure(run: Run, found: Sequence[Comparison], same: SameArms | None, metric: str) -> tuple[Figure, bool]:
    looks = series.marks(run)
    rows: list[tuple[str, Comparison | SameArms, Mark]] = []
    if same is not None:
        rows.append(("A/A: current, again", same, looks["current"]))
    rows += [(f"{c.treatment} · {c.verdict}", c, looks[c.treatment]) for c in found if c.treatment in looks]
    if not any(row.effects or row.effect_pct is not None for _, row, _ in rows):
        return canvas.no_data("no complete pair of blocks"), False
    texts = [canvas.row_lines(name, _estimate(row)) for name, row, _ in rows]
    heights = [canvas.LINE_IN * len(lines) + 0.36 for lines in texts]
    figure, axes = canvas.rows_figure(sum(heights))
    bent = _percent_axis(axes, [row for _, row, _ in rows], run.design.margin_pct)
    axes.axvspan(-run.design.margin_pct, run.design.margin_pct, color=canvas.INK, alpha=0.09, lw=0, gid="margin")
    top = 0.0
    for number, ((_, row, look), lines, height) in enumerate(zip(rows, texts, heights, strict=True)):
        canvas.write_row(axes, top, lines)
        middle = top + canvas.LINE_IN * len(lines) + 0.09
        axes.plot([0, 0], [middle - 0.09, middle + 0.2], color=canvas.INK, lw=0.8)  # not through the text
        _draw_effect(axes, row, look, middle, number)
        top += height
        if number == 0 and same is not None:
            axes.axhline(top - 0.04, color=canvas.INK, lw=0.5, alpha=0.5)
    higher = series.metric_of(metric).better == "higher"
    axes.set_xlabel("% of current")
    for side, word in ((0.0, "← worse" if higher else "← better"), (1.0, "better →" if higher else "worse →")):
        axes.annotate(
            word,
            (side, 0),
            (0, -24),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left" if side == 0 else "right",
            va="top",
            fontsize=9.5,
        )
    return figure, bent


def _draw_effect(axes: Axes, row: Comparison | SameArms, look: Mark, middle: float, number: int) -> None:
    single = [100 * math.expm1(ratio) for _, ratio in row.effects]
    axes.plot(
        single,
        [middle + 0.13] * len(single),
        linestyle="none",
        marker="o",
        markersize=3.5,
        markerfacecolor=look.colour,
        markeredgewidth=0,
        alpha=0.7,
        gid=f"blocks-{number}",
    )
    if row.effect_pct is None or row.ci_low_pct is None or row.ci_high_pct is None:
        return
    axes.plot(
        [row.ci_low_pct, row.ci_high_pct],
        [middle, middle],
        color=look.colour,
        lw=2.4,
        solid_capstyle="butt",
        gid=f"interval-{number}",
    )
    axes.plot([row.effect_pct], [middle], **canvas.marker(look), markersize=7, gid=f"mean-{number}")


def _estimate(row: Comparison | SameArms) -> str:
    if row.effect_pct is None:
        failed = f", failed in {row.failed}" if isinstance(row, Comparison) and row.failed else ""
        return f"no interval, n {row.blocks}{failed}"
    return f"{percent(row.effect_pct, unit=False)} {interval(row.ci_low_pct, row.ci_high_pct)}, n {row.blocks}"


def _percent_axis(axes: Axes, rows: Sequence[Comparison | SameArms], margin: float) -> bool:
    """Limits and ticks in percent that hold all that is drawn; True when the scale had to be bent.

    One arm that loses 70 % would squeeze every effect of a few percent into a line: beyond twice the margin
    such a scale goes on logarithmically.
    """
    shown = [100 * math.expm1(ratio) for row in rows for _, ratio in row.effects]
    shown += [x for row in rows for x in (row.ci_low_pct, row.ci_high_pct) if x is not None]
    low, high = min([*shown, -1.6 * margin]), max([*shown, 1.6 * margin])
    bent = max(-low, high) > 8 * margin
    if bent:
        axes.set_xscale("symlog", linthresh=2 * margin, linscale=1.0)
        axes.set_xlim(max(1.25 * low, -100.0) if low < -2 * margin else low - margin, 1.25 * high)
        axes.xaxis.set_major_locator(FixedLocator(_bent_ticks(axes, margin)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        room = 0.04 * (high - low)
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))
    return bent


def _tick(percents: float) -> str:
    """`0`, `−5`, `+20`, `+50k`."""
    if not percents:
        return "0"
    short = f"{percents / 1000:+g}k" if abs(percents) >= 1000 else f"{percents:+g}"
    return short.replace("-", MINUS)


def _bent_ticks(axes: Axes, margin: float) -> list[float]:
    """Ticks that do not run into each other, the margin's own first."""
    kept: list[float] = []
    low, high = axes.get_xlim()
    wanted = [0.0, margin, 2 * margin, *(d * 10.0**e for e in range(1, 6) for d in (5, 2, 1))]
    for size in wanted:
        for tick in {size, -size}:
            near = (abs(axes.transData.transform((tick, 0))[0] - axes.transData.transform((k, 0))[0]) for k in kept)
            if low <= tick <= high and min(near, default=math.inf) > 36:
                kept.append(tick)
    return sorted(kept)
