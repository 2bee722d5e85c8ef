"""The order of arms and the ports: all of it follows from the seed."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.schedule import groups, ports, topologies

NAMES = st.lists(st.text("abc-", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)
SEEDS = st.integers(0, 10**6)
STREAMS = 128
FEW = settings(max_examples=40, deadline=None)


def _arms(names: Iterable[str], *, seed: int, topology: str, block: int, attempt: int) -> tuple[str, ...]:
    """The order of arms of which none starts guests anew."""
    (only,) = groups(dict.fromkeys(names, ""), seed=seed, topology=topology, block=block, attempt=attempt)
    return only


@FEW
@given(names=NAMES, seed=SEEDS, block=st.integers(0, 50), attempt=st.integers(0, 3))
def test_every_arm_runs_exactly_once_and_the_order_can_be_dealt_again(
    names: list[str], seed: int, block: int, attempt: int
) -> None:
    """A block is complete, and the same seed gives the same block."""
    first = _arms(names, seed=seed, topology="bridge", block=block, attempt=attempt)

    assert sorted(first) == sorted(names)
    assert _arms(names, seed=seed, topology="bridge", block=block, attempt=attempt) == first


@FEW
@given(seed=SEEDS)
def test_another_block_attempt_or_topology_has_another_order_somewhere(seed: int) -> None:
    """Over twenty blocks of six arms no two sequences of orders are alike."""
    names = tuple("abcdef")
    orders = {
        (topology, attempt): tuple(
            _arms(names, seed=seed, topology=topology, block=block, attempt=attempt) for block in range(20)
        )
        for topology in ("bridge", "direct")
        for attempt in (0, 1)
    }

    assert len(set(orders.values())) == 4
    assert all(len(set(order)) > 1 for order in orders.values())


def test_every_arm_runs_first_about_equally_often() -> None:
    """Six arms over 600 blocks: each first about 100 times (the seed is fixed, so this is no chance)."""
    first = [_arms("abcdef", seed=1, topology="bridge", block=block, attempt=0)[0] for block in range(600)]

    assert all(70 < first.count(arm) < 130 for arm in "abcdef")


@FEW
@given(seed=SEEDS, block=st.integers(0, 200), probes=st.integers(1, 20))
def test_the_ports_of_a_block_are_usable_and_do_not_overlap(seed: int, block: int, probes: int) -> None:
    """Above 1024 and below 65536, one for each of 128 streams of each probe; no two probes or servers share one."""
    dealt = [ports(index, seed=seed, block=block) for index in range(probes)]
    taken = [port for each in dealt for port in (each.server, *range(each.client, each.client + STREAMS))]

    assert len(taken) == len(set(taken))
    assert min(taken) > 1024
    assert max(taken) < 65536
    assert [ports(index, seed=seed, block=block) for index in range(probes)] == dealt


@FEW
@given(seed=SEEDS)
def test_blocks_have_different_ports(seed: int) -> None:
    """One lucky or unlucky hash of a flow does not last for a run; no two of 50 blocks share both ports."""
    dealt = [ports(0, seed=seed, block=block) for block in range(50)]

    assert len(set(dealt)) == 50


@given(st.integers(0, 10**6), st.integers(0, 1000))
def test_a_round_measures_every_topology_once_in_an_order_of_its_own(seed: int, block: int) -> None:
    """So that no path always goes first; the same seed deals the same order."""
    names = ("direct", "bridge", "routed")
    order = topologies(names, seed=seed, block=block)

    assert sorted(order) == sorted(names)
    assert order == topologies(names, seed=seed, block=block)


@pytest.mark.parametrize(
    ("seed", "topology", "block", "attempt", "order"), [(1, "bridge", 0, 0, "fbdcea"), (7, "direct", 3, 1, "abcedf")]
)
def test_plans_that_start_no_guests_are_dealt_as_they_always_were(
    seed: int, topology: str, block: int, attempt: int, order: str
) -> None:
    """A run of an earlier version is resumed in the order that it was begun in."""
    assert _arms("abcdef", seed=seed, topology=topology, block=block, attempt=attempt) == tuple(order)


@FEW
@given(states=st.dictionaries(st.text("abc", min_size=1), st.sampled_from(["", "x", "y"]), min_size=1), seed=SEEDS)
def test_each_state_is_brought_about_once_a_block(states: dict[str, str], seed: int) -> None:
    """Every arm once, those of one state together, and the same seed deals the same."""
    dealt = groups(states, seed=seed, topology="bridge", block=2, attempt=0)

    assert sorted(arm for group in dealt for arm in group) == sorted(states)
    assert [len({states[arm] for arm in group}) for group in dealt] == [1] * len(set(states.values()))
    assert groups(states, seed=seed, topology="bridge", block=2, attempt=0) == dealt


def test_every_state_and_every_arm_of_one_comes_first_about_equally_often() -> None:
    """Three states over 600 blocks: each first about 200 times, and each of two arms first in its own 300 times."""
    states = {"current": "", "current-2": "", "x": "x", "y": "y"}
    dealt = [groups(states, seed=1, topology="bridge", block=block, attempt=0) for block in range(600)]
    first = [states[order[0][0]] for order in dealt]
    plain = [next(group for group in order if len(group) == 2)[0] for order in dealt]

    assert all(150 < first.count(state) < 250 for state in ("", "x", "y"))
    assert 250 < plain.count("current") < 350
