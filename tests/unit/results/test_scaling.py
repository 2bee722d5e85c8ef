"""Scaling models against curves whose truth is known, and what is refused."""

import math
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from results.scaling import models
from results.scaling.curve import Curve, NoModel, Step, picks, resampled
from results.scaling.unimodal import dips

gammas = st.floats(1e6, 1e10)
shares = st.floats(0.0, 0.5)
PAIRS = (1, 2, 3, 4, 5, 6)


def usl(n: float, gamma: float, sigma: float, kappa: float) -> float:
    """Gunther's law."""
    return gamma * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def exact(values: list[float]) -> Curve:
    """Three trials alike at each N."""
    return Curve([Step(n, (value,) * 3) for n, value in zip(PAIRS, values, strict=True)])


def scattered(values: list[float], spread: float, seed: int) -> list[Step]:
    """Three trials at each N that scatter by so much, relatively."""
    dice = random.Random(seed)
    return [
        Step(n, tuple(value * math.exp(dice.gauss(0.0, spread)) for _ in range(3)))
        for n, value in zip(PAIRS, values, strict=True)
    ]


@given(gammas, shares, st.floats(0.0, 0.1))
def test_a_fit_of_the_universal_law_finds_its_own_parameters(gamma: float, sigma: float, kappa: float) -> None:
    """Without noise the fit is the truth, whatever it is."""
    ns = np.array(PAIRS, dtype=np.float64)
    means = np.log([[usl(n, gamma, sigma, kappa) for n in PAIRS]])

    found = models.fitted("usl", ns, means, np.full(6, 3.0))

    assert found.distance[0] == pytest.approx(0.0, abs=1e-10)
    assert found.parameters.gamma[0] == pytest.approx(gamma, rel=1e-4)
    assert found.parameters.sigma[0] == pytest.approx(sigma, abs=1e-3)
    assert found.parameters.kappa[0] == pytest.approx(kappa, abs=1e-3)


@given(st.lists(st.floats(1e6, 1e10), min_size=6, max_size=6))
def test_a_fit_of_anything_keeps_the_laws_bounds(values: list[float]) -> None:
    """σ in 0 … 1, κ not negative, no model better than one that it is a case of."""
    ns, means, counts = np.array(PAIRS, dtype=np.float64), np.log([values]), np.full(6, 3.0)
    found = {name: models.fitted(name, ns, means, counts) for name in models.NAMES}

    for each in found.values():
        assert 0.0 <= each.parameters.sigma[0] <= 1.0
        assert each.parameters.kappa[0] >= 0.0
        assert each.parameters.gamma[0] > 0.0


@settings(max_examples=12)
@given(gammas, st.floats(1.5, 4.0))
def test_a_ceiling_is_found_and_not_taken_for_contention(gamma: float, pairs_full: float) -> None:
    """A line cut off by a shaper is chosen as that, and forecast as that."""
    curve = exact([min(n, pairs_full) * gamma for n in PAIRS])

    assert curve.chosen.name == "linear-ceiling"
    assert curve.chosen.sigma == 0.0
    assert curve.forecast(12).value == pytest.approx(pairs_full * gamma, rel=1e-6)
    assert curve.saturation is not None
    assert curve.saturation.value == math.ceil(0.95 * pairs_full)


def test_a_line_has_no_saturation_and_no_knee() -> None:
    """What still rises at the end of what may be forecast is said to be not seen."""
    curve = Curve(scattered([n * 1e9 for n in PAIRS], 0.02, seed=1))

    assert curve.chosen.name == "linear"
    assert (curve.saturation, curve.knee, curve.peak) == (None, None, None)
    assert curve.forecast(12).low < 12e9 < curve.forecast(12).high


def test_coherency_has_a_peak() -> None:
    """N* = √((1−σ)/κ): Gunther 1993."""
    curve = exact([usl(n, 1e9, 0.05, 0.03) for n in PAIRS])

    assert curve.chosen.name == "usl"
    assert curve.peak is not None
    assert curve.peak.value == pytest.approx(math.sqrt(0.95 / 0.03), abs=1)


def test_the_knee_of_amdahls_curve_is_where_power_is_most() -> None:
    """C(N)²/N of Amdahl's law is most at N = (1−σ)/σ."""
    curve = exact([usl(n, 1e9, 0.2, 0.0) for n in PAIRS])

    assert curve.chosen.name == "amdahl"
    assert curve.knee is not None
    assert curve.knee.value == 4


def test_no_forecast_beyond_twice_what_was_measured() -> None:
    """The error says up to where it would have to be measured."""
    curve = exact([n * 1e9 for n in PAIRS])

    with pytest.raises(NoModel, match="13 pairs are beyond 2 times the 6") as raised:
        curve.forecast(13)

    assert "up to 7 pairs" in raised.value.hint


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([Step(n, (1e9 * n,) * 3) for n in (1, 2, 3, 4, 5)], "5 numbers of pairs are too few: it takes 6"),
        ([*(Step(n, (1e9 * n,) * 3) for n in (1, 2, 3, 4, 5)), Step(6, (6e9,) * 2)], "fewer than 3 trials at 6 pairs"),
    ],
)
def test_too_few_trials_carry_no_model(steps: list[Step], words: str) -> None:
    """Six values of N, three trials each; it is said what is missing."""
    with pytest.raises(NoModel, match=words):
        Curve(steps)


def test_a_curve_with_two_peaks_is_refused_by_the_place_of_its_dip() -> None:
    """4 pairs carry less than 3 and than 6: something else was at work."""
    steps = scattered([1e9, 2e9, 3e9, 1.5e9, 2.5e9, 3e9], 0.02, seed=2)

    with pytest.raises(NoModel, match="not monotonic: 4 pairs carry less than 3 and than 6"):
        Curve(steps)


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.floats(0.0, 0.3), st.floats(0.0, 0.05))
def test_a_curve_that_only_scatters_has_no_dip(seed: int, sigma: float, kappa: float) -> None:
    """No more than one curve in a hundred would be refused for its noise; of these none."""
    steps = scattered([usl(n, 1e9, sigma, kappa) for n in PAIRS], 0.03, seed % 40)

    assert dips([(step.n, step.values) for step in steps]) == ()


@settings(max_examples=12)
@given(gammas, shares, st.floats(1.1, 4.0))
def test_a_known_line_rate_bounds_the_forecast(gamma: float, sigma: float, times: float) -> None:
    """It is no parameter: what is seen below it decides the curve, and the line cuts it off."""
    rate = times * gamma
    curve = Curve(
        [Step(n, (min(usl(n, gamma, sigma, 0.0), rate),) * 3) for n in PAIRS],
        line_rate=rate,
    )

    assert curve.forecast(12).value <= rate * (1 + 1e-9)
    assert curve.forecast(12).value <= usl(12, gamma, sigma, 0.0) * (1 + 1e-3)


@pytest.mark.parametrize("said", [375e6, 382e6, 390e6, 400e6, 410e6])
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_line_rate_that_is_nearly_right_moves_no_forecast_out_of_its_interval(said: float, seed: int) -> None:
    """A path that is full at 382 Mbit/s is so whatever the line was said to be."""
    steps = scattered([min(n * 119e6, 382e6) for n in PAIRS], 0.01, seed)

    curve = Curve(steps, line_rate=said)

    assert curve.chosen.name == "linear-ceiling"
    assert curve.forecast(12).low < 382e6 < curve.forecast(12).high
    assert curve.forecast(12).value == pytest.approx(382e6, rel=0.01)


def test_one_step_at_a_known_line_is_a_ceiling() -> None:
    """It is the sixth alone that is full; without the line it might go on."""
    steps = scattered([min(n * 100e6, 560e6) for n in PAIRS], 0.005, seed=7)

    known, unknown = Curve(steps, line_rate=570e6), Curve(steps)

    assert known.forecast(12).value == pytest.approx(560e6, rel=0.01)
    assert known.forecast(12).high < 600e6 < unknown.forecast(12).high


def test_a_line_rate_that_pairs_exceed_is_no_line_rate() -> None:
    """What was measured stands against what was said."""
    steps = scattered([min(n * 119e6, 382e6) for n in PAIRS], 0.01, seed=3)

    with pytest.raises(NoModel, match=r"pairs carry 38\d Mbit/s, more than the 300 Mbit/s of the line"):
        Curve(steps, line_rate=300e6)


@settings(max_examples=12)
@given(st.lists(st.floats(1e6, 1e10), min_size=2, max_size=6), st.integers(0, 1000))
def test_means_of_resampled_trials_scatter_as_means_do(values: list[float], seed: int) -> None:
    """Their variance is the unbiased one over n, which plain resampling makes too small by (n−1)/n."""
    logs = np.log(values)
    assume(float(logs.std()) > 1e-3)
    means = resampled(logs, picks(3, len(logs), seed)).mean(axis=1)

    assert float(means.std()) == pytest.approx(float(logs.std(ddof=1)) / math.sqrt(len(values)), rel=0.1)


@settings(max_examples=12)
@given(gammas, st.floats(0.01, 0.08), st.integers(0, 50))
def test_an_interval_holds_its_value_and_widens_with_the_noise(gamma: float, spread: float, seed: int) -> None:
    """The interval of one trial holds that of the curve, and both the value."""
    curve = Curve(scattered([min(n, 3.3) * gamma for n in PAIRS], spread, seed))

    for n in (1, 6, 12):
        one, mean = curve.forecast(n), curve.mean_at(n)
        assert one.low <= mean.value <= one.high
        assert one.high / one.low >= 0.98 * mean.high / mean.low


def test_a_forecast_scatters_as_the_trials_on_its_side_of_the_ceiling() -> None:
    """Paced pairs get what they ask for until the path is full, and what comes then: one spread for all hid that."""
    steps = [Step(n, (n * 1e9, n * 1.001e9, n * 0.999e9)) for n in (1, 2, 3)]
    steps += [Step(n, (3.3e9, 3.6e9, 3.0e9)) for n in (4, 5, 6)]
    curve = Curve(steps)
    below, full = curve.forecast(2), curve.forecast(12)

    assert curve.chosen.name == "linear-ceiling"
    assert below.high / below.low < 1.06
    assert full.low < 2.75e9
    assert full.high > 3.85e9


def test_one_report_of_one_run_is_always_the_same() -> None:
    """The seed of resampling is fixed."""
    steps = scattered([min(n, 3.3) * 1e9 for n in PAIRS], 0.03, seed=5)

    assert Curve(steps).forecast(9) == Curve(steps).forecast(9)


def test_one_resample_is_of_the_same_trials_for_every_metric() -> None:
    """CPU that goes with goodput in the trials goes with it in the draws; six pairs are a third of the ceiling."""
    steps = scattered([min(n, 3.3) * 1e9 for n in PAIRS], 0.03, seed=5)
    cpu = resampled(np.array(steps[-1].values), picks(6, 3)).mean(axis=1)

    assert np.corrcoef(Curve(steps).drawn(6), cpu)[0, 1] > 0.4


def test_draws_lie_as_wide_as_the_interval_of_the_curve() -> None:
    """So that a count which is made of them has an interval of the same kind."""
    curve = Curve(scattered([usl(n, 1e9, 0.1, 0.01) for n in PAIRS], 0.05, seed=8))
    low, high = np.quantile(curve.drawn(8), (0.025, 0.975))

    assert (low, high) == pytest.approx((curve.mean_at(8).low, curve.mean_at(8).high))


def test_headroom_is_what_a_demand_leaves() -> None:
    """Negative where it asks for more than there is."""
    curve = exact([min(n, 4) * 1e9 for n in PAIRS])

    assert curve.headroom(6, demand=3e9) == pytest.approx(0.25, abs=1e-6)
    assert curve.headroom(6, demand=5e9) == pytest.approx(-0.25, abs=1e-6)
