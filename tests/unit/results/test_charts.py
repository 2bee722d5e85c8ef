"""What the charts say, read from their SVG and their figures; never from pixels."""

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from results import series, svg
from results.charts import Chart, amounts, canvas, distribution, effects, in_time_order
from results.charts.effects import _effects_figure
from results.records import Judgement, Run, Trial
from tests.unit.results.example import TREATMENTS, comparison, example_judgement, example_run, example_trials

SVG = "{http://www.w3.org/2000/svg}"
NOTHING = Judgement((), (), ())
HOSTILE = ("<script>alert(1)</script>", "$x^2$", "_hidden", 'a"b&c', "日本語", "#010203")

RUN = example_run()
TRIALS = example_trials(RUN)
JUDGEMENT = example_judgement(RUN, TRIALS)

CHARTS: dict[str, Callable[[Run, tuple[Trial, ...], Judgement], Chart]] = {
    "effects": lambda run, _, judgement: effects(run, judgement, "bridge", "tcp.goodput"),
    "in_time_order": lambda run, trials, _: in_time_order(run, trials, "bridge", ["tcp.goodput", "latency.rtt_p99"]),
    "distribution": lambda run, trials, _: distribution(run, trials, "bridge", "latency.rtt"),
    "amounts": lambda run, trials, _: amounts(run, trials, "bridge", "tcp.cpu_per_10gbit"),
}
every_chart = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS.keys())


def _root(chart: Chart) -> ET.Element:
    return ET.fromstring(chart.svg)  # noqa: S314 - reads what we have just drawn


def _texts(chart: Chart) -> list[str]:
    return ["".join(text.itertext()) for text in _root(chart).iter(f"{SVG}text")]


def _ids(chart: Chart) -> list[str]:
    return [name for element in _root(chart).iter() if (name := element.get("id"))]


def test_the_effects_chart_states_each_interval_with_its_n() -> None:
    """Treatment, verdict, effect, interval and n stand in words beside the drawing."""
    found = next(c for c in JUDGEMENT.comparisons if c.primary and c.treatment == "jumbo" and c.topology == "bridge")
    low, effect, high = found.ci_low_pct, found.effect_pct, found.ci_high_pct
    texts = _texts(effects(RUN, JUDGEMENT, "bridge", "tcp.goodput"))

    assert "jumbo · better" in texts
    assert f"{effect:+.1f} [{low:+.1f}, {high:+.1f}]\u00a0%, n 8" in texts


def test_the_effects_chart_has_the_noise_on_top() -> None:
    """The A/A line is the first row, so that an effect is read against it."""
    texts = _texts(effects(RUN, JUDGEMENT, "bridge", "tcp.goodput"))
    rows = [text for text in texts if text.startswith("A/A") or " · " in text]

    assert rows[0] == "A/A: current, again"
    assert [row.partition(" · ")[0] for row in rows[1:]] == list(TREATMENTS)


def test_the_effects_chart_draws_the_interval_the_judgement_found() -> None:
    """The line ends where the interval ends, and every block is a point."""
    found = [c for c in JUDGEMENT.comparisons if c.primary and c.topology == "bridge"]
    with canvas.styled():
        figure, _ = _effects_figure(RUN, found, None, "tcp.goodput")
    lines = {line.get_gid(): line for line in figure.axes[0].get_lines()}

    for number, each in enumerate(found):
        assert [each.ci_low_pct, each.ci_high_pct] == np.asarray(lines[f"interval-{number}"].get_xdata()).tolist()
        assert [each.effect_pct] == np.asarray(lines[f"mean-{number}"].get_xdata()).tolist()
        assert len(each.effects) == np.size(lines[f"blocks-{number}"].get_xdata())


def test_the_effects_chart_shades_the_margin() -> None:
    """The band covers ± the design's margin."""
    found = [c for c in JUDGEMENT.comparisons if c.primary and c.topology == "bridge"]
    with canvas.styled():
        figure, _ = _effects_figure(RUN, found, None, "tcp.goodput")
    band = next(patch for patch in figure.axes[0].patches if patch.get_gid() == "margin")
    box = band.get_extents().transformed(figure.axes[0].transData.inverted())

    assert (box.x0, box.x1) == pytest.approx((-5.0, 5.0))


def test_a_large_effect_bends_the_scale_and_the_caption_says_so() -> None:
    """One arm at −69 % does not squeeze the others into a line, and nobody takes the axis for linear."""
    mild = Judgement(tuple(c for c in JUDGEMENT.comparisons if c.treatment != "small-buffers"), (), ())
    bent = effects(RUN, JUDGEMENT, "bridge", "tcp.goodput").caption
    straight = effects(RUN, mild, "bridge", "tcp.goodput").caption

    assert "logarithmic beyond" in bent
    assert "logarithmic" not in straight


def test_ticks_of_a_bent_scale_do_not_run_into_each_other() -> None:
    """Labels such as +100 and +200 keep their distance, however far the scale reaches."""
    found = replace(
        next(c for c in JUDGEMENT.comparisons if c.primary), ci_low_pct=-99.9, ci_high_pct=100_000.0, effect_pct=900.0
    )
    with canvas.styled():
        figure, bent = _effects_figure(RUN, [found], None, "tcp.goodput")
    axes = figure.axes[0]
    places = [axes.transData.transform((tick, 0))[0] for tick in axes.get_xticks()]

    assert bent
    assert min(right - left for left, right in itertools.pairwise(places)) > 36


def test_where_lower_is_better_the_axis_says_so() -> None:
    """For latency the good side is the left one."""
    texts = _texts(effects(RUN, JUDGEMENT, "bridge", "latency.rtt_p50"))

    assert "← better" in texts
    assert "worse →" in texts


def test_a_treatment_without_interval_says_so_and_counts_its_failures() -> None:
    """No interval is words, not a line of length 0."""
    failed = replace(comparison("bridge", "tcp.goodput", "no-tso", verdict="worse"), failed=3)
    judgement = Judgement((JUDGEMENT.comparisons[0], failed), (), ())

    assert "no interval, n 0, failed in 3" in _texts(effects(RUN, judgement, "bridge", "tcp.goodput"))


def test_failed_and_missing_trials_are_marked_at_the_edge() -> None:
    """A trial without a number is seen, and the legend names its mark."""
    chart = in_time_order(RUN, TRIALS, "vlan-10", ["tcp.goodput"])

    assert sum("-lost-" in name for name in _ids(chart)) == 2
    assert {"failed", "missing"} <= set(_texts(chart))
    assert "2 of them failed or missing" in chart.caption


def test_the_time_chart_has_no_mark_for_what_did_not_happen() -> None:
    """Without losses the legend names arms only."""
    texts = _texts(in_time_order(RUN, TRIALS, "bridge", ["tcp.goodput"]))

    assert not {"failed", "missing", "orphan (faint)"} & set(texts)


def test_a_metric_that_is_always_zero_is_a_word_and_not_a_panel() -> None:
    """An empty panel would say less than the sentence."""
    chart = in_time_order(RUN, TRIALS, "bridge", ["tcp.goodput", "tcp.drops"])

    assert "drops (tcp): 0 in every trial." in chart.caption
    assert not any(text.startswith("drops") for text in _texts(chart))


def test_the_distribution_merges_an_arm_s_histograms() -> None:
    """400 samples in each of 8 trials are 3200 samples of the arm."""
    assert "jumbo, n 3200" in _texts(distribution(RUN, TRIALS, "bridge", "latency.rtt"))


def test_the_share_of_slower_samples_falls_to_zero() -> None:
    """Of counts 1, 2, 1 in three bins, 3/4, 1/4 and none lie above each bin's upper edge."""
    expected = [1.0, 0.75, 0.25, 0.0]
    edges, shares = series.slower_than({3: 2, 2: 1, 7: 1, 9: 0})

    assert expected == shares
    assert [1e-9 * 1.01**k for k in (2, 3, 4, 8)] == pytest.approx(edges)


def test_amounts_show_the_median_with_n() -> None:
    """The label carries the median of the arm, with unit and number of trials."""
    values = sorted(series.by_arm(TRIALS, "bridge", "tcp.cpu_per_10gbit")["jumbo"])
    median = (values[3] + values[4]) / 2

    assert f"median {median:.2f}\u00a0cores, n 8" in _texts(amounts(RUN, TRIALS, "bridge", "tcp.cpu_per_10gbit"))


@every_chart
def test_a_caption_carries_definition_and_run(draw: Callable[..., Chart]) -> None:
    """Whoever sees one chart alone knows what was measured, how often, and in which run."""
    caption = draw(RUN, TRIALS, JUDGEMENT).caption

    assert "20260131-120000-k7qd" in caption
    assert re.search(r"\bn\b", caption)
    assert "no definition" not in caption


@every_chart
def test_a_drawing_is_the_same_each_time(draw: Callable[..., Chart]) -> None:
    """Same data, same bytes: no date, no random id."""
    assert draw(RUN, TRIALS, JUDGEMENT) == draw(RUN, TRIALS, JUDGEMENT)


@every_chart
def test_without_data_the_figure_says_so(draw: Callable[..., Chart]) -> None:
    """An empty run gives a sentence, not an error and not an empty frame."""
    chart = draw(RUN, (), NOTHING)

    assert any(text.startswith("no data: ") for text in _texts(chart))


@every_chart
def test_text_and_axes_take_the_page_s_colour(draw: Callable[..., Chart]) -> None:
    """In dark mode ink turns light with the page: no black and no white is fixed in the drawing."""
    drawn = draw(RUN, TRIALS, JUDGEMENT).svg

    assert "currentColor" in drawn
    assert not re.search(r"#(000000|ffffff|010203)\b", drawn)


@every_chart
def test_a_drawing_asks_for_nothing_from_outside(draw: Callable[..., Chart]) -> None:
    """The only addresses are the names of XML namespaces; there is no prolog and no metadata."""
    drawn = draw(RUN, TRIALS, JUDGEMENT).svg

    assert drawn.startswith("<svg ")
    assert not re.findall(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", drawn))
    assert "<metadata" not in drawn


@every_chart
def test_a_drawing_has_a_name_for_screen_readers(draw: Callable[..., Chart]) -> None:
    """role=img with a label and a title."""
    chart = draw(RUN, TRIALS, JUDGEMENT)
    root = _root(chart)

    assert (root.get("role"), root.get("aria-label")) == ("img", chart.title)
    assert root.findtext(f"{SVG}title") == chart.title


@every_chart
def test_every_reference_in_a_drawing_finds_its_target(draw: Callable[..., Chart]) -> None:
    """Prefixing ids leaves no marker and no clip path dangling."""
    chart = draw(RUN, TRIALS, JUDGEMENT)
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', chart.svg)

    assert {left or right for left, right in used} <= set(_ids(chart))


def test_a_drawing_that_has_a_title_gets_ours_instead() -> None:
    """One name, not two, and none of the old roles."""
    expected = '<svg width="9" role="img" aria-label="a &lt; b"><title>a &lt; b</title><g id="p-x"/></svg>'
    given = '<?xml version="1.0"?>\n<svg width="9" role="graphics"> <title>old</title><g id="x"/></svg>\n'

    assert expected == svg.fitted(given, prefix="p", title="a < b")


def test_ids_are_unique_over_all_drawings_of_a_page() -> None:
    """Two charts in one page never take each other's markers, also for topologies that look alike."""
    run = example_run(design=replace(RUN.design, topologies=("br 0", "br-0")))
    trials = example_trials(run)
    judgement = example_judgement(run, trials)
    drawn = [
        chart
        for topology in run.design.topologies
        for chart in (
            effects(run, judgement, topology, "tcp.goodput"),
            effects(run, judgement, topology, "latency.rtt_p50"),
            in_time_order(run, trials, topology, ["tcp.goodput"]),
            distribution(run, trials, topology, "latency.rtt"),
            amounts(run, trials, topology, "tcp.cpu_per_10gbit"),
        )
    ]
    names = [name for chart in drawn for name in _ids(chart)]

    assert len(names) == len(set(names))


def test_names_are_drawn_as_they_are() -> None:
    """Markup, formulas, a leading underscore, another script: all of it is text."""
    run = example_run(design=replace(RUN.design, treatments=HOSTILE))
    trials = example_trials(run)
    judgement = example_judgement(run, trials)
    legend = _texts(in_time_order(run, trials, "bridge", ["tcp.goodput"]))
    effect_rows = [
        text.rpartition(" · ")[0] for text in _texts(effects(run, judgement, "bridge", "tcp.goodput")) if " · " in text
    ]

    assert set(HOSTILE) <= set(legend)
    assert list(HOSTILE) == effect_rows


def test_a_long_name_gets_a_line_of_its_own_and_is_cut_in_the_middle() -> None:
    """The numbers stay whole, and names that differ at their end still differ."""
    name = "a-treatment-" + "x" * 60 + "-end"
    ((first, nothing), (empty, numbers)) = canvas.row_lines(name, "+1.0 [−1.0, +3.0] %, n 8")

    assert first.startswith("a-treatment-")
    assert first.endswith("-end")
    assert len(first) == canvas.CHARACTERS
    assert (nothing, empty, numbers) == ("", "", "+1.0 [−1.0, +3.0] %, n 8")


def test_arms_differ_in_colour_or_shape() -> None:
    """Forty arms still have forty different marks."""
    run = example_run(design=replace(RUN.design, treatments=tuple(f"t{n}" for n in range(40))))
    looks = series.marks(run).values()

    assert len(looks) == len({(look.colour, look.shape, look.hollow) for look in looks})


@pytest.mark.parametrize("colour", [*series.COLOURS, series.CURRENT_COLOUR])
@pytest.mark.parametrize("page", ["#ffffff", "#14171b"])
def test_arm_colours_are_seen_on_white_and_on_near_black(colour: str, page: str) -> None:
    """Contrast of 3:1 or more, as WCAG 2.2 asks of graphics (1.4.11)."""
    darker, lighter = sorted((_luminance(colour), _luminance(page)))

    assert (lighter + 0.05) / (darker + 0.05) >= 3


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_user_s_matplotlib_settings_stay_as_they_were() -> None:
    """Drawing changes nothing outside itself."""
    import matplotlib as mpl  # noqa: TID251 - looks at what the drawing left behind

    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        first = effects(RUN, JUDGEMENT, "bridge", "tcp.goodput")
        size = mpl.rcParams["font.size"]

    assert size == 30
    assert first == effects(RUN, JUDGEMENT, "bridge", "tcp.goodput")
