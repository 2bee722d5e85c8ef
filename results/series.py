"""What a chart shows, before it is drawn: which mark an arm has, merged histograms, medians, labels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from results.metrics import METRICS, Metric
from results.records import CURRENT_ARMS, Run, Trial

BIN_START = 1e-9  # of records.Histogram: bin k covers [1e-9 × 1.01^k, 1e-9 × 1.01^(k+1))
BIN_RATIO = 1.01

# Okabe and Ito's hues (jfly.uni-koeln.de/color), moved to a luminance between 0.125 and 0.30, so that each has a
# contrast of 3:1 or more (WCAG 2.2, 1.4.11) on white as on #14171b. Shapes repeat with another period than colours.
COLOURS = ("#2f7fc4", "#d55e00", "#009e73", "#c56a9b", "#a97b00", "#8c6bd1")
CURRENT_COLOUR = "#7f858c"
_SHAPES = (("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("*", "★"), ("X", "✖"))
_DASHES = ("solid", "dashed", "dashdot")

_DISTRIBUTIONS = {  # kept as histograms, so never a single number of METRICS
    "rtt": Metric(
        "rtt",
        "s",
        "lower",
        "round-trip time of paced UDP packets on an idle path, user space to user space (irtt)",
        "RTT",
    ),
    "request": Metric("request", "s", "lower", "time from request to answer, back to back (wrk)", "request time"),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How an arm looks in every chart and table of a report."""

    colour: str
    shape: str  # matplotlib's marker
    glyph: str  # the same shape as text
    hollow: bool
    dashes: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with what must be read beside it: unit, n, run and definition."""

    title: str
    svg: str
    caption: str


def marks(run: Run) -> Mapping[str, Mark]:
    """Arm -> mark, by the plan's order, so that an arm looks alike in every chart of a run."""
    first, second = CURRENT_ARMS
    found = {
        first: Mark(CURRENT_COLOUR, "o", "●", hollow=False, dashes="solid"),
        second: Mark(CURRENT_COLOUR, "o", "○", hollow=True, dashes="dashed"),
    }
    for number, treatment in enumerate(run.design.treatments):
        shape, glyph = _SHAPES[number % len(_SHAPES)]
        dashes = _DASHES[number // len(COLOURS) % len(_DASHES)]
        found[treatment] = Mark(COLOURS[number % len(COLOURS)], shape, glyph, hollow=False, dashes=dashes)
    return found


def arms(run: Run) -> tuple[str, ...]:
    """The current arms, then the treatments in the plan's order."""
    return (*CURRENT_ARMS, *run.design.treatments)


def metric_of(name: str) -> Metric:
    """What `probe.metric` means; a metric that METRICS does not know says so."""
    short = name.partition(".")[2]
    known = METRICS.get(short) or _DISTRIBUTIONS.get(short)
    return known or Metric(short, "", "lower", "no definition is known to this version of nettune", short)


def defined(run: Run, name: str) -> Metric:
    """`metric_of`, with the words of the run's own plan for how it was measured."""
    known = metric_of(name)
    return replace(known, definition=run.design.definitions.get(name, known.definition))


def label_of(name: str) -> str:
    """`goodput (tcp)`: the metric as people call it, and the probe that measured it."""
    probe = name.partition(".")[0]
    return f"{metric_of(name).label} ({probe})"


def unit_in(trials: Iterable[Trial], name: str) -> str:
    """The unit of `probe.metric` as the samples carry it; METRICS' own where there is no sample."""
    units = (s.unit for t in trials for s in t.samples if s.name == name)
    return next(units, metric_of(name).unit)


def in_order(trials: Iterable[Trial], topology: str) -> tuple[Trial, ...]:
    """The trials of one topology as they were run."""
    return tuple(sorted((t for t in trials if t.topology == topology), key=lambda t: (t.started_at, t.trial_id)))


def by_arm(trials: Iterable[Trial], topology: str, name: str) -> dict[str, list[float]]:
    """Arm -> the values of its done trials, in time order."""
    found: dict[str, list[float]] = {}
    for trial in in_order(trials, topology):
        value = trial.value(name)
        if trial.status == "done" and value is not None:
            found.setdefault(trial.arm, []).append(value)
    return found


def current_median(values: Mapping[str, Sequence[float]]) -> float | None:
    """The median over both current arms of what `by_arm` found, None without any."""
    both = [value for arm in CURRENT_ARMS for value in values.get(arm, ())]
    return median(both) if both else None


def distributions(trials: Iterable[Trial], topology: str) -> Iterator[tuple[str, str, dict[str, Counter[int]]]]:
    """(probe.metric, unit, arm -> merged counts) for each histogram that the topology's done trials carry."""
    found: dict[tuple[str, str], dict[str, Counter[int]]] = {}
    for trial in in_order(trials, topology):
        if trial.status != "done":
            continue
        for histogram in trial.histograms:
            kind = (f"{histogram.probe}.{histogram.metric}", histogram.unit)
            found.setdefault(kind, {}).setdefault(trial.arm, Counter()).update(histogram.counts)
    for (name, unit), merged in found.items():
        yield name, unit, merged


def slower_than(counts: Mapping[int, int]) -> tuple[list[float], list[float]]:
    """(bin's upper edge, share of samples above it): the complementary distribution, down to the last sample."""
    total = sum(counts.values())
    edges: list[float] = []
    shares: list[float] = []
    above = total
    for number in sorted(k for k, count in counts.items() if count):
        if not edges:
            edges.append(BIN_START * BIN_RATIO**number)
            shares.append(1.0)
        above -= counts[number]
        edges.append(BIN_START * BIN_RATIO ** (number + 1))
        shares.append(above / total)
    return edges, shares
