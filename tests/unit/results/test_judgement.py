"""What is concluded from trials: blocks, verdicts, family, the noise between equal arms."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.judgement import judge, run_visible
from results.records import CURRENT_ARMS, Guard, Trial, TrialStatus
from tests.unit.results.made import (
    GOODPUT,
    RTT,
    against,
    alternating,
    blocks_of,
    design,
    failing,
    joined,
    of,
    trial,
    wobble,
)


def test_a_clear_gain_is_better_and_a_candidate() -> None:
    """+10 % with 1 % noise over 8 blocks."""
    found = of(judge(design(), against(1.10)))

    assert (found.verdict, found.candidate, found.blocks, found.screening) == ("better", True, 8, False)
    assert found.effect_pct == pytest.approx(10.0, abs=1.5)
    assert "after Holm over 1" in found.reason


def test_a_clear_loss_is_worse() -> None:
    """The mirror of better."""
    found = of(judge(design(), against(0.85)))

    assert (found.verdict, found.candidate) == ("worse", False)


def test_no_effect_with_little_noise_is_equivalent() -> None:
    """The 90 % interval lies within ±5 %."""
    found = of(judge(design(), against(1.0)))

    assert found.verdict == "equivalent"
    assert "inside ±5 %" in found.reason


def test_a_significant_gain_below_the_margin_is_not_better() -> None:
    """+2 % can be sure and still not worth naming."""
    found = of(judge(design(), against(1.02, spread=0.003)))

    assert found.p is not None
    assert found.p < 0.001
    assert found.verdict == "equivalent"


def test_noise_leaves_it_inconclusive_and_says_what_would_decide() -> None:
    """The sentence holds both ends and a number of blocks."""
    found = of(judge(design(), alternating(0.03, 0.06)))

    assert found.verdict == "inconclusive"
    assert found.blocks_to_decide is not None
    assert found.blocks_to_decide > 8
    assert f"about {found.blocks_to_decide} blocks would decide" in found.reason
    assert found.reason.startswith(f"between {found.ci_low_pct:+.1f} % and {found.ci_high_pct:+.1f} %")


def test_the_effect_is_the_log_ratio_to_the_mean_log_of_both_current_arms() -> None:
    """By hand: log 121 - (log 100 + log 110) / 2, in each block."""
    trials = [
        trial(arm, block, {GOODPUT: value})
        for block in range(2)
        for arm, value in (("current", 100.0), ("current-again", 110.0), ("t", 121.0))
    ]
    expected = math.log(121.0) - (math.log(100.0) + math.log(110.0)) / 2

    found = of(judge(design(blocks=2), trials))

    assert [block for block, _ in found.effects] == [0, 1]
    assert [expected, expected] == pytest.approx([effect for _, effect in found.effects])


def test_less_latency_is_better() -> None:
    """The direction comes from the metric's definition; the percentage stays that of the raw value."""
    found = of(judge(design(primary=RTT), against(0.85, metric=RTT)), metric=RTT)

    assert found.verdict == "better"
    assert found.effect_pct == pytest.approx(-15.0, abs=1.5)


MIRROR = {"better": "worse", "worse": "better"}


@settings(max_examples=60, deadline=None)
@given(st.floats(0.8, 1.25), st.sampled_from([0.005, 0.03, 0.08]))
def test_the_same_numbers_of_a_lower_is_better_metric_get_the_mirrored_verdict(gain: float, spread: float) -> None:
    """Direction decides the word and nothing else."""
    higher = of(judge(design(), against(gain, spread=spread)))
    lower = of(judge(design(primary=RTT), against(gain, metric=RTT, spread=spread)), metric=RTT)

    assert MIRROR.get(higher.verdict, higher.verdict) == lower.verdict
    assert (higher.effect_pct, higher.p_holm) == pytest.approx((lower.effect_pct, lower.p_holm))


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(0.8, 1.25), st.sampled_from([0.005, 0.03, 0.08]))
def test_scaling_all_values_changes_nothing(scale: float, gain: float, spread: float) -> None:
    """bit/s or Gbit/s: same effect, same verdict."""
    trials = against(gain, spread=spread)
    scaled = [replace(t, samples=tuple(replace(s, value=s.value * scale) for s in t.samples)) for t in trials]

    before, after = of(judge(design(), trials)), of(judge(design(), scaled))

    assert (before.verdict, before.blocks) == (after.verdict, after.blocks)
    assert (before.effect_pct, before.ci_low_pct, before.p) == pytest.approx(
        (after.effect_pct, after.ci_low_pct, after.p), rel=1e-6, abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(0.8, 1.25), st.sampled_from([0.005, 0.03, 0.08]))
def test_swapping_the_labels_of_treatment_and_current_flips_the_sign(gain: float, spread: float) -> None:
    """With two equal current arms, the effect of the swapped experiment is the negative one."""
    pairs = [(1e9 * wobble("c", b, spread), 1e9 * gain * wobble("t", b, spread)) for b in range(8)]

    def measured(current: int, treated: int) -> list[Trial]:
        return [
            trial(arm, block, {GOODPUT: pair[current] if arm in CURRENT_ARMS else pair[treated]})
            for block, pair in enumerate(pairs)
            for arm in (*CURRENT_ARMS, "t")
        ]

    one, other = of(judge(design(), measured(0, 1))), of(judge(design(), measured(1, 0)))

    assert [-effect for _, effect in one.effects] == pytest.approx([effect for _, effect in other.effects])
    assert one.p == pytest.approx(other.p)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_trials_changes_nothing(shuffler: random.Random) -> None:
    """Trials may come from the store in any order."""
    arms = {"current": 1e9, "current-again": 1e9, "t": 1.06e9, "u": 0.9e9}
    trials = blocks_of(arms, spread=0.02)
    shuffled = list(trials)
    shuffler.shuffle(shuffled)

    assert judge(design(("t", "u")), trials) == judge(design(("t", "u")), shuffled)


def test_dropped_and_skipped_arms_count_in_the_family() -> None:
    """Five treatments planned, one measured: its p is multiplied by five, and the others are reported."""
    alone = of(judge(design(("t",)), against(1.06, spread=0.02)))
    planned = judge(design(("t", "a", "b", "c", "d")), against(1.06, spread=0.02))

    assert alone.p is not None
    assert 5 * alone.p == pytest.approx(of(planned).p_holm)
    assert (of(planned, "a").verdict, of(planned, "a").p_holm) == ("inconclusive", 1.0)
    assert of(planned, "a").reason.startswith("not measured")


def test_topologies_count_in_the_family() -> None:
    """Treatments × topologies, one of which was never measured."""
    found = judge(design(("t",), topologies=("bridge", "vlan")), against(1.06, spread=0.02))
    measured = next(c for c in found.comparisons if c.topology == "bridge")

    assert measured.p is not None
    assert 2 * measured.p == pytest.approx(measured.p_holm)


def test_a_secondary_metric_has_a_word_but_names_no_winner() -> None:
    """Unadjusted p, no Holm, never a candidate."""
    trials = [
        replace(t, samples=(*t.samples, *trial(t.arm, t.block, {RTT: 1e-3 * wobble(t.arm, t.block + 100)}).samples))
        for t in against(1.0)
    ]
    halved = [
        replace(
            t, samples=tuple(replace(s, value=s.value / 2) if s.name == RTT and t.arm == "t" else s for s in t.samples)
        )
        for t in trials
    ]

    judged = judge(design(metrics=(GOODPUT, RTT)), halved)
    found = of(judged, metric=RTT)

    assert (found.verdict, found.primary, found.p_holm, found.candidate) == ("better", False, None, False)
    assert "names no winner" in found.reason
    assert judged.candidates == ()


def test_an_arm_that_fails_in_two_blocks_is_worse() -> None:
    """Failures are outcomes: what the other six blocks say is a selection, however good it looks."""
    found = of(judge(design(), failing(against(1.3), "t", [2, 5])))

    assert (found.verdict, found.failed, found.p_holm, found.candidate) == ("worse", 2, 1.0, False)
    assert found.reason == "failed in 2 blocks in which current did not"


def test_one_failure_is_told_and_does_not_decide() -> None:
    """The other seven blocks speak."""
    found = of(judge(design(), failing(against(1.3), "t", [2])))

    assert (found.verdict, found.failed, found.blocks) == ("better", 1, 7)
    assert "failed in 1 block" in found.reason


def test_failures_in_blocks_where_current_failed_too_are_not_held_against_the_arm() -> None:
    """The path was down for everybody."""
    trials = failing(failing(against(1.0), "t", [2, 5]), "current", [2, 5])

    judged = judge(design(), trials)

    assert (of(judged).failed, of(judged).blocks, of(judged).verdict) == (0, 6, "equivalent")
    assert judged.warnings == ("bridge: a current arm has no result in 2 of 8 blocks; they pair nothing",)


def test_missing_trials_are_no_failures() -> None:
    """Void for a cause of its own: the block is left out for this arm."""
    found = of(judge(design(), failing(against(1.0), "t", [2, 5, 6], "missing")))

    assert (found.failed, found.blocks) == (0, 5)


def test_a_goodput_of_zero_is_a_failure() -> None:
    """Nothing came through: that has no logarithm, and must not vanish."""
    trials = [
        replace(t, samples=(replace(t.samples[0], value=0.0),)) if t.arm == "t" and t.block in (1, 4) else t
        for t in against(1.2)
    ]

    found = of(judge(design(), trials))

    assert (found.verdict, found.failed) == ("worse", 2)


def test_zeros_of_a_counter_leave_no_ratio_and_say_so() -> None:
    """Retransmits are often 0; blocks with zeros are not dropped, as that would select by outcome."""
    metric = "tcp.retransmits"
    trials = [
        trial(arm, block, {metric: float(block % 3) + (2.0 if arm == "t" else 0.0)})
        for block in range(8)
        for arm in (*CURRENT_ARMS, "t")
    ]

    found = of(judge(design(primary=metric), trials), metric=metric)

    assert (found.verdict, found.effect_pct, found.effects) == ("inconclusive", None, ())
    assert found.reason == "0 in 3 of 8 blocks, so no ratio: mean 2.875 against 0.875 of current"


def test_zeros_on_both_sides_throughout_are_equivalent() -> None:
    """0 retransmits in every trial."""
    metric = "tcp.retransmits"
    trials = [trial(arm, block, {metric: 0.0}) for block in range(8) for arm in (*CURRENT_ARMS, "t")]

    found = of(judge(design(primary=metric), trials), metric=metric)

    assert (found.verdict, found.reason) == ("equivalent", "0 in 8 blocks, on both sides")


def test_both_current_arms_are_needed() -> None:
    """A block with one current arm has no reference of the agreed kind."""
    trials = failing(against(1.1), "current-again", [0], "missing")

    assert of(judge(design(), trials)).blocks == 7


@pytest.mark.parametrize("status", ["orphan", "running"])
def test_a_block_cut_short_is_left_out_for_every_arm(status: TrialStatus) -> None:
    """One orphan spoils its whole block."""
    arms = {"current": 1e9, "current-again": 1e9, "t": 1.1e9, "u": 1e9}
    trials = failing(blocks_of(arms), "u", [3], status)

    judged = judge(design(("t", "u")), trials)

    assert [block for block, _ in of(judged).effects] == [0, 1, 2, 4, 5, 6, 7]
    assert judged.warnings == ("bridge: 7 of 8 planned blocks are complete",)


def test_a_topology_that_was_never_begun_is_no_warning() -> None:
    """It was skipped, and its reason stands among the skipped cells."""
    judged = judge(replace(design(), topologies=("bridge", "vlan-10")), against(1.1))

    assert judged.warnings == ()


def test_the_latest_attempt_of_a_block_wins() -> None:
    """A block cut short at attempt 1 counts with attempt 2; the first one's numbers play no part."""
    orphans = [replace(t, status="orphan") for t in against(5.0) if t.block == 3]
    again = [replace(t, attempt=2) if t.block == 3 else t for t in against(1.1)]

    assert judge(design(), again) == judge(design(), [*orphans, *again])


def test_a_later_attempt_cut_short_leaves_the_block_open() -> None:
    """What is being measured afresh is not judged by what it replaces."""
    again = [replace(t, attempt=2, status="running") for t in against(1.1) if t.block == 3 and t.arm == "t"]

    assert of(judge(design(), [*against(1.1), *again])).blocks == 7


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_have_no_effect(n: int) -> None:
    """Inconclusive, in words, with every number None."""
    found = of(judge(design(), against(1.5, n=n)))

    assert (found.verdict, found.effect_pct, found.p, found.blocks_to_decide) == ("inconclusive", None, None, None)


def test_bootstrap_t_stands_beside_from_ten_blocks_on() -> None:
    """None with 8 blocks, an interval around the effect with 12."""
    eight, twelve = of(judge(design(), against(1.1))), of(judge(design(blocks=12), against(1.1, n=12)))

    assert eight.boot_low_pct is None
    assert twelve.boot_low_pct is not None
    assert twelve.effect_pct is not None
    assert twelve.boot_high_pct is not None
    assert twelve.boot_low_pct < twelve.effect_pct < twelve.boot_high_pct


def test_an_unknown_metric_is_refused_by_name() -> None:
    """A word that nobody defined has no direction."""
    with pytest.raises(ValueError, match=r"tcp\.speed: no such metric"):
        judge(design(primary="tcp.speed"), against(1.0))


def test_equal_current_arms_are_shown_as_noise_without_warning() -> None:
    """One row per topology and metric."""
    judged = judge(design(), against(1.0))
    (same,) = judged.same_arms

    assert (same.topology, same.metric, same.blocks, same.excludes_zero) == ("bridge", GOODPUT, 8, False)
    assert judged.warnings == ()


def test_current_arms_that_differ_are_a_warning_and_no_veto() -> None:
    """The second current arm is 10 % faster throughout: an order effect."""
    judged = judge(design(), blocks_of({"current": 1e9, "current-again": 1.1e9, "t": 1.4e9}))

    assert judged.same_arms[0].excludes_zero
    assert of(judged).verdict == "better"
    assert "the two current arms differ in tcp.goodput by +" in judged.warnings[0]


def test_the_run_says_what_it_could_see_and_what_the_margin_takes() -> None:
    """Noisy runs see less and need more blocks for 5 %."""
    quiet = run_visible(design(), judge(design(), against(1.0, spread=0.01)))
    noisy = run_visible(design(), judge(design(), against(1.0, spread=0.05)))

    assert quiet[0] is not None
    assert noisy[0] is not None
    assert quiet[0] < 5.0 < noisy[0]
    assert quiet[1] is not None
    assert noisy[1] is not None
    assert quiet[1] <= 8 < noisy[1]


def test_a_run_without_pairs_could_see_nothing() -> None:
    """No number is better than an invented one."""
    assert run_visible(design(), judge(design(), [])) == (None, None)


def test_verdicts_for_the_screen_are_those_of_the_whole_judgement() -> None:
    """Without secondary metrics and bootstrap, the primary comparisons, noise and warnings stay as they are."""
    made = joined(against(1.10, n=12), against(1.3, n=12, metric=RTT, spread=0.05))
    asked = design(metrics=(GOODPUT, RTT), guards=(Guard(RTT, 0.1),), blocks=12)
    whole, quick = judge(asked, made), judge(asked, made, whole=False)
    (primary,) = [replace(c, boot_low_pct=None, boot_high_pct=None) for c in whole.comparisons if c.primary]

    assert (primary,) == quick.comparisons
    assert (whole.same_arms, whole.warnings) == (quick.same_arms, quick.warnings)
