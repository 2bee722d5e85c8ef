"""The pictures of a density run: what they draw is what the answer says."""

import math
import re
import time

from results.charts import scaling
from results.records import Design, Run
from results.scaling.answer import Answer, Loaded, answered
from results.scaling.slo import parse

SLO = parse("goodput>=100Mbit per vm, p99<=20ms")
_DESIGN = Design(("across",), (), "density.goodput", ("density.goodput",), (), 5.0, "throughput", 3, False, 1.0)
RUN = Run("20260101-000000-aaaa", "kept", {}, _DESIGN, 1, "complete", time.time(), None, "test", (), {})
TRIALS = [Loaded(n, {"goodput": min(n * 119e6, 382e6) * by, "p99": math.inf if n == 6 else 4e-3 * n})
          for n in range(1, 7) for by in (0.99, 1.0, 1.01)]  # fmt: skip


def drawn(svg: str, name: str) -> list[tuple[float, float]]:
    """The points of what has that name, in the picture's units (down is more)."""
    (part,) = re.findall(rf'<g id="[^"]*-{name}">(.*?)\n   </g>', svg, re.DOTALL)
    below = float(next(iter(re.findall(r'<use [^>]*y="([\d.]+)"', part)), "0"))  # what is drawn once and used there
    return [(float(x), below + float(y)) for x, y in re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", part)]


def picture(answer: Answer) -> str:
    """Of goodput over pairs."""
    return scaling.goodput(RUN, TRIALS, answer, SLO).svg


def test_the_model_goes_to_twice_the_largest_number_within_its_band() -> None:
    """A line through the band at every N, and a mark where measuring ended: half way."""
    svg = picture(answered(SLO, TRIALS))
    line, band = drawn(svg, "model"), drawn(svg, "band")
    (mark, _), *_ = drawn(svg, "measured-up-to")

    assert len(line) >= 4
    for x, y in line:
        at = [each for place, each in band if abs(place - x) < 0.01]
        assert min(at) <= y <= max(at)
        assert min(at) < max(at)
    first, last = line[0][0], line[-1][0]
    assert abs((mark - first) / (last - first) - 5 / 11) < 0.01  # six of one to twelve
    assert max(x for x, _ in band) == last
    assert "No model" not in scaling.goodput(RUN, TRIALS, answered(SLO, TRIALS), SLO).caption


def test_without_a_model_there_is_no_band_and_the_caption_says_why() -> None:
    """Points alone, and what is asked for."""
    few = [each for each in TRIALS if each.n < 4]
    chart = scaling.goodput(RUN, few, answered(SLO, few), SLO)

    assert [f'-{name}"' in chart.svg for name in ("trials-goodput", "demand", "model", "band")] == [
        True, True, False, False
    ]  # fmt: skip
    assert "No model: 3 numbers of pairs are too few" in chart.caption


def test_a_percentile_among_the_lost_is_told_and_not_drawn() -> None:
    """Three trials of six pairs have none that ends."""
    chart = scaling.measured(RUN, TRIALS, "p99", SLO)

    assert chart is not None
    assert "(n = 15). Of 3 trials it is one of the lost probes." in chart.caption
    assert "inf" not in chart.svg
    assert scaling.measured(RUN, TRIALS, "loss", SLO) is None
