"""The formulas of the judgement, against tables, against scipy, and against their own symmetries."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.statistics import (
    MOST_BLOCKS,
    blocks_needed,
    bootstrap_t,
    equivalent,
    estimate,
    holm,
    percent,
    smallest_visible,
)

EFFECTS = (0.031, 0.052, 0.018, 0.044, 0.027, 0.061, 0.009, 0.038)
finite = st.floats(-0.5, 0.5)
probabilities = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20)


def test_estimate_agrees_with_scipys_one_sample_t_test() -> None:
    """Interval and p are Student's."""
    reference = stats.ttest_1samp(EFFECTS, 0.0)
    ends = reference.confidence_interval(0.95)
    ends90 = reference.confidence_interval(0.90)

    found = estimate(EFFECTS)

    assert found is not None
    assert (ends.low, ends.high, reference.pvalue) == pytest.approx((found.low, found.high, found.p), rel=1e-9)
    assert (ends90.low, ends90.high) == pytest.approx((found.low90, found.high90), rel=1e-9)


@pytest.mark.parametrize("effects", [(), (0.1,)])
def test_fewer_than_two_effects_have_no_interval(effects: tuple[float, ...]) -> None:
    """One number says nothing of its spread."""
    found = estimate(effects)

    assert found is None


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_an_effect_that_is_not_finite_is_refused(broken: float) -> None:
    """NaN must not travel silently into a verdict."""
    with pytest.raises(ValueError, match="finite"):
        estimate((0.1, broken))


@pytest.mark.parametrize(("n", "p"), [(2, 0.5), (6, 0.03125), (8, 0.0078125)])
def test_effects_without_spread_have_the_p_of_the_sign_flip_test(n: int, p: float) -> None:
    """A shaped path that gives one number throughout is no infinite evidence."""
    found = estimate([0.04] * n)

    assert found is not None
    assert (p, 0.0, 0.04, 0.04) == (found.p, found.sd, found.low, found.high)


def test_effects_that_are_all_zero_have_p_one() -> None:
    """No change at all speaks for no change."""
    found = estimate([0.0] * 8)

    assert found is not None
    assert (found.p, found.low90, found.high90) == (1.0, 0.0, 0.0)


@given(st.lists(finite, min_size=2, max_size=25))
def test_flipping_the_sign_of_all_effects_mirrors_the_interval_and_keeps_p(effects: list[float]) -> None:
    """The test has no favourite direction."""
    found, mirrored = estimate(effects), estimate([-e for e in effects])

    assert found is not None
    assert mirrored is not None
    assert (-found.high, -found.low, found.p) == pytest.approx((mirrored.low, mirrored.high, mirrored.p))


@given(st.lists(finite, min_size=2, max_size=25))
def test_intervals_nest_and_hold_the_mean(effects: list[float]) -> None:
    """The 90 % interval lies within the 95 % one, and both around the mean."""
    found = estimate(effects)

    assert found is not None
    assert found.low <= found.low90 <= found.mean <= found.high90 <= found.high
    assert 0.0 <= found.p <= 1.0


def test_t_interval_covers_the_truth_in_about_95_percent_of_normal_samples() -> None:
    """2000 seeded samples of 8: between 93.5 % and 96.5 % of the intervals hold the mean."""
    samples = np.random.default_rng(1).normal(0.05, 0.03, size=(2000, 8))
    found = [estimate(row.tolist()) for row in samples]

    covered = sum(1 for e in found if e is not None and e.low <= 0.05 <= e.high)

    assert 0.935 <= covered / 2000 <= 0.965


def test_bootstrap_t_starts_at_ten_blocks_and_needs_spread() -> None:
    """None below ten effects, and none for effects that are all one number."""
    nine, constant = [0.01 * k for k in range(9)], [0.02] * 12

    assert bootstrap_t(nine) is None
    assert bootstrap_t(constant) is None


def test_bootstrap_t_gives_the_same_interval_each_time() -> None:
    """One run always gives one report."""
    effects = np.random.default_rng(3).normal(0.02, 0.03, 12).tolist()

    first, second = bootstrap_t(effects), bootstrap_t(effects)

    assert first is not None
    assert first == second


def test_bootstrap_t_is_close_to_the_t_interval_for_normal_effects() -> None:
    """With 20 normal effects the two intervals differ by less than a quarter of their width."""
    effects = np.random.default_rng(5).normal(0.02, 0.03, 20).tolist()
    found, boot = estimate(effects), bootstrap_t(effects)

    assert found is not None
    assert boot is not None
    assert (found.low, found.high) == pytest.approx(boot, abs=(found.high - found.low) / 4)


def test_bootstrap_t_of_skewed_effects_reaches_further_to_the_long_side() -> None:
    """Its reason to stand beside the symmetric interval."""
    effects = np.random.default_rng(7).exponential(0.05, 20).tolist()
    found, boot = estimate(effects), bootstrap_t(effects)

    assert found is not None
    assert boot is not None
    assert boot[1] - found.mean > found.mean - boot[0]


def test_holm_reproduces_a_worked_example() -> None:
    """Four p-values: 4p, 3p, then the running maximum."""
    adjusted = holm([0.01, 0.04, 0.03, 0.005])

    assert pytest.approx(adjusted) == (0.03, 0.06, 0.06, 0.02)


def test_an_unmeasured_member_keeps_its_place_in_the_family() -> None:
    """None counts as p = 1: a dropped arm does not make the others look better."""
    adjusted = holm([0.01, None, None, None])

    assert pytest.approx(adjusted) == (0.04, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("broken", [math.nan, -0.1, 1.1])
def test_holm_refuses_what_is_no_probability(broken: float) -> None:
    """NaN would sort anywhere."""
    with pytest.raises(ValueError, match="not p-values"):
        holm([0.5, broken])


@given(probabilities)
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(ps: list[float]) -> None:
    """Monotone in p, never below it, never above n·p."""
    adjusted = holm(ps)
    ranked = [a for _, a in sorted(zip(ps, adjusted, strict=True))]

    assert all(first <= second for first, second in pairwise(ranked))
    assert all(p <= a <= min(1.0, len(ps) * p) or a == p for p, a in zip(ps, adjusted, strict=True))


@given(probabilities, st.data())
def test_a_smaller_p_never_raises_any_adjusted_p(ps: list[float], data: st.DataObject) -> None:
    """Holm is monotone over the family: evidence for one arm is none against another."""
    index = data.draw(st.integers(0, len(ps) - 1))
    smaller = [p * 0.5 if k == index else p for k, p in enumerate(ps)]

    assert all(after <= before for before, after in zip(holm(ps), holm(smaller), strict=True))


@given(st.permutations([0.001, 0.01, 0.02, 0.2, 0.9]))
def test_holm_does_not_depend_on_the_order_of_the_family(ps: list[float]) -> None:
    """Whoever stands first in the plan has no advantage."""
    expected = dict(zip([0.001, 0.01, 0.02, 0.2, 0.9], holm([0.001, 0.01, 0.02, 0.2, 0.9]), strict=True))

    assert expected == dict(zip(ps, holm(ps), strict=True))


def test_smallest_visible_effect_is_the_formula_of_bloom() -> None:
    """(t[.975, 7] + t[.8, 7]) * s / sqrt(8) with tabled quantiles 2.3646 and 0.8960."""
    visible = smallest_visible(0.03, 8, 0.05)

    assert (2.3646 + 0.8960) * 0.03 / math.sqrt(8) == pytest.approx(visible, rel=1e-4)


def test_smallest_visible_effect_needs_two_blocks() -> None:
    """Nothing can be promised of one."""
    assert smallest_visible(0.03, 1, 0.05) is None


@given(st.floats(0.005, 0.2), st.floats(0.01, 0.2), st.sampled_from([0.05, 0.05 / 3, 0.05 / 12]))
def test_blocks_needed_is_the_first_number_that_is_enough(sd: float, effect: float, alpha: float) -> None:
    """One block fewer would not show the effect."""
    n = blocks_needed(sd, effect, alpha)

    if n is None:
        assert effect < (smallest_visible(sd, MOST_BLOCKS, alpha) or 0.0)
    else:
        assert (smallest_visible(sd, n, alpha) or 0.0) <= effect
        assert n == 2 or (smallest_visible(sd, n - 1, alpha) or 0.0) > effect


def test_blocks_needed_beyond_a_thousand_cannot_be_said() -> None:
    """A number that nobody will run is no advice."""
    assert blocks_needed(1.0, 0.001, 0.05) is None


def test_blocks_needed_without_spread_is_two() -> None:
    """The fewest that have an interval."""
    n = blocks_needed(0.0, 0.05, 0.05)

    assert n == 2


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-4.9, 4.9, True), (-5.0, 1.0, False), (1.0, 5.1, False), (-9.0, 9.0, False)]
)
def test_equivalence_needs_the_whole_interval_inside_the_margin(low: float, high: float, expected: bool) -> None:
    """Two one-sided tests: both ends count."""
    assert expected == equivalent(low, high, 5.0)


def test_percent_is_of_the_raw_value_and_always_finite() -> None:
    """A log ratio of log 1.1 is +10 %; an absurd interval end stays a number that JSON can hold."""
    assert percent(math.log(1.1)) == pytest.approx(10.0)
    assert math.isfinite(percent(1e6))
