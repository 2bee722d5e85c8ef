"""Paths against each other: paired by block, current only."""

import pytest

from results.paths import path_differences
from results.records import CURRENT_ARMS, Trial
from tests.unit.results.made import GOODPUT, RTT, design, trial, wobble

BOTH = design((), topologies=("bridge", "routed"))


def _on(topology: str, mean: float, n: int = 8, metric: str = GOODPUT) -> list[Trial]:
    return [
        trial(arm, block, {metric: mean * wobble(arm + topology, block)}, topology=topology)
        for block in range(n)
        for arm in CURRENT_ARMS
    ]


def test_a_slower_path_is_worse_than_the_first_by_what_it_is_slower() -> None:
    """The interval holds the truth, and the plan's first topology is what is compared with."""
    (found,) = path_differences(BOTH, _on("bridge", 20e9) + _on("routed", 15e9))

    assert (found.topology, found.against, found.verdict, found.blocks) == ("routed", "bridge", "worse", 8)
    assert found.ci_low_pct is not None
    assert found.ci_high_pct is not None
    assert found.ci_low_pct < -25.0 < found.ci_high_pct
    assert found.p_holm is not None
    assert found.p_holm < 0.001


def test_equal_paths_are_equivalent_or_open_and_never_a_winner() -> None:
    """1 % of noise over 8 blocks shows equality within 5 %."""
    (found,) = path_differences(BOTH, _on("bridge", 20e9) + _on("routed", 20e9))

    assert found.verdict == "equivalent"


def test_only_blocks_that_both_paths_have_are_paired() -> None:
    """A path whose last blocks are missing is compared over the others."""
    (found,) = path_differences(BOTH, _on("bridge", 20e9, 8) + _on("routed", 15e9, 5))

    assert [block for block, _ in found.effects] == [0, 1, 2, 3, 4]


def test_a_block_with_a_failed_current_pairs_nothing() -> None:
    """It is no evidence of speed."""
    trials = _on("bridge", 20e9, 3) + _on("routed", 15e9, 2)
    trials += [trial("current", 2, {}, topology="routed", status="failed"),
               trial("current-again", 2, {GOODPUT: 15e9}, topology="routed")]  # fmt: skip

    assert path_differences(BOTH, trials)[0].blocks == 2


def test_a_lower_latency_is_better_and_secondary_metrics_have_no_adjusted_p() -> None:
    """Directions are the metric's own."""
    two = design((), topologies=("bridge", "routed"), metrics=(GOODPUT, RTT))
    trials = [
        trial(arm, block, {GOODPUT: 1e9 * wobble(arm, block), RTT: mean * wobble(arm + path, block)}, topology=path)
        for path, mean in (("bridge", 2e-4), ("routed", 1e-4))
        for block in range(6)
        for arm in CURRENT_ARMS
    ]
    latency = path_differences(two, trials)[1]

    assert (latency.metric, latency.primary, latency.verdict, latency.p_holm) == (RTT, False, "better", None)


def test_zeros_give_no_ratio_and_no_crash() -> None:
    """A path without any loss against one without any."""
    (found,) = path_differences(BOTH, _on("bridge", 0.0) + _on("routed", 0.0))

    assert (found.effect_pct, found.verdict, found.blocks) == (None, "equivalent", 8)


@pytest.mark.parametrize("trials", [[], _on("bridge", 20e9)])
def test_one_path_alone_is_compared_with_nothing(trials: list[Trial]) -> None:
    """There is no line to print."""
    assert path_differences(BOTH, trials) == ()
