"""What all charts share: one width, the page's ink, arm marks, a legend below, and the way to SVG text."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from results import series, svg
from results.records import Run, Trial
from results.series import Chart, Mark

WIDTH_IN = 4.6  # 331 units at 72 dpi: in the column of a phone of 360 px a point of type is about a pixel
EDGE_IN = 0.06  # kept free at the left and the right
LINE_IN = 0.2  # one line of type
INK = "#010203"  # stands for currentColor until the SVG is written
CHARACTERS = 54  # that fit one line, in the widest font a reader may have

_STYLE: Mapping[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nettune",
    "text.parse_math": False,  # a treatment's name may hold a dollar sign
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "axes.labelsize": 9.5,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_FONTS = "system-ui, 'DejaVu Sans', sans-serif"


class Marker(TypedDict):
    """The part of a matplotlib line that makes it an arm's marker."""

    marker: str
    color: str
    markerfacecolor: str
    markeredgecolor: str


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    line: Line2D
    text: str


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib as it ships plus our style, whatever the user's matplotlibrc says; put back on leaving."""
    with mpl.rc_context(), warnings.catch_warnings():
        # a name in a script that DejaVu Sans lacks is measured a little wrong; the browser has its own fonts
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]  # matplotlib 3.11 lists every key in a Literal
        yield


def chart(figure: Figure, title: str, caption: str, *words: str) -> Chart:
    """`figure` as SVG with ids made of `words`; byte for byte the same for the same data."""
    text = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(text, format="svg", metadata=_NO_METADATA)
    drawn = svg.fitted(text.getvalue(), prefix=svg.slug(*words), title=title, ink=INK)
    return Chart(title, drawn.replace("'DejaVu Sans'", _FONTS), caption)


def source(run: Run, metric: str) -> str:
    """The end of a caption: what the metric means, its unit as stored, and the run."""
    known = series.defined(run, metric)
    unit = f", {known.unit}" if known.unit not in {"", "1"} else ""
    return f"{series.label_of(metric)}{unit}: {known.definition}. Run {run.run_id}."


def no_data(why: str) -> Figure:
    """A figure that says in words that there is nothing to see, and why."""
    figure = Figure(figsize=(WIDTH_IN, 0.7))
    figure.text(0.5, 0.5, f"no data: {why}", ha="center", va="center", style="italic")
    return figure


def marker(look: Mark) -> Marker:
    """An arm's mark; a hollow one lets the page shine through."""
    return Marker(
        marker=look.shape,
        color=look.colour,
        markerfacecolor="none" if look.hollow else look.colour,
        markeredgecolor=look.colour,
    )


def rows_figure(rows_in: float) -> tuple[Figure, Axes]:
    """A figure whose vertical data unit is an inch from the top, for rows of text and marks of `rows_in` in all."""
    below = 0.45
    height = rows_in + below + 0.04
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = figure.add_axes((EDGE_IN / WIDTH_IN, below / height, 1 - 2 * EDGE_IN / WIDTH_IN, rows_in / height))
    axes.set_ylim(rows_in, 0)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    return figure, axes


def row_lines(name: str, numbers: str) -> list[tuple[str, str]]:
    """(left, right) texts of a row: one line where both fit, else the name on a line of its own."""
    if len(name) + len(numbers) + 2 <= CHARACTERS:
        return [(name, numbers)]
    return [(shortened(name, CHARACTERS), ""), ("", numbers)]


def write_row(axes: Axes, top: float, lines: Sequence[tuple[str, str]]) -> None:
    """The lines of a row whose upper edge is `top` inches down."""
    across = axes.get_yaxis_transform()
    for number, (left, right) in enumerate(lines):
        y = top + (number + 0.75) * LINE_IN
        axes.text(0, y, left, transform=across, ha="left", va="baseline")
        axes.text(1, y, right, transform=across, ha="right", va="baseline")


def shortened(text: str, most: int) -> str:
    """`text`, cut in the middle to `most` characters: names often differ at their ends."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


def arm_keys(looks: Mapping[str, Mark], names: Mapping[str, str], *, lines: bool = False) -> list[Key]:
    """A legend entry for each arm of `names` (arm -> text)."""
    return [
        Key(
            Line2D([], [], **marker(looks[arm]), markersize=6, lw=1.5, ls=looks[arm].dashes if lines else "none"),
            shortened(text, 40),
        )
        for arm, text in names.items()
    ]


def status_keys(trials: Sequence[Trial]) -> list[Key]:
    """A legend entry for each way in which one of `trials` is not done."""
    shapes = {"failed": "x", "missing": "+", "orphan": "o"}
    present = [status for status in shapes if any(t.status == status for t in trials)]
    faint = {"orphan": 0.35}
    return [
        Key(
            Line2D([], [], marker=shapes[s], color=INK, ls="none", ms=6, mew=1.5, alpha=faint.get(s, 1.0)),
            f"{s} (faint)" if s in faint else s,
        )
        for s in present
    ]


def _columns(keys: Sequence[Key]) -> int:
    longest = max((len(key.text) for key in keys), default=0)
    return 3 if longest <= 13 else 2 if longest <= 23 else 1


def legend_height(keys: Sequence[Key]) -> float:
    """Inches that `draw_legend` will need."""
    return -(-len(keys) // _columns(keys)) * 0.175 + 0.1  # type of 10 points and a quarter between


def draw_legend(figure: Figure, keys: Sequence[Key]) -> None:
    """The legend at the lower edge, in as many columns as its longest text allows."""
    box = figure.legend(
        [key.line for key in keys],
        ["x"] * len(keys),  # matplotlib drops a label that starts with "_", as a treatment's name may
        loc="lower left",
        bbox_to_anchor=(0, 0),
        ncols=_columns(keys),
        frameon=False,
        handlelength=1.6,
        columnspacing=1.2,
        labelspacing=0.25,
        borderpad=0.2,
        fontsize=10,
    )
    for text, key in zip(box.get_texts(), keys, strict=True):
        text.set_text(key.text)
