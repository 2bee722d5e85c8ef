"""The order of arms and the ports: all of it follows from the seed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.schedule import arms, ports, topologies

NAMES = st.lists(st.text("abc-", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)
SEEDS = st.integers(0, 10**6)
STREAMS = 128
FEW = settings(max_examples=40, deadline=None)


@FEW
@given(names=NAMES, seed=SEEDS, block=st.integers(0, 50), attempt=st.integers(0, 3))
def test_every_arm_runs_exactly_once_and_the_order_can_be_dealt_again(
    names: list[str], seed: int, block: int, attempt: int
) -> None:
    """A block is complete, and the same seed gives the same block."""
    first = arms(names, seed=seed, topology="bridge", block=block, attempt=attempt)

    assert sorted(first) == sorted(names)
    assert arms(names, seed=seed, topology="bridge", block=block, attempt=attempt) == first


@FEW
@given(seed=SEEDS)
def test_another_block_attempt_or_topology_has_another_order_somewhere(seed: int) -> None:
    """Over twenty blocks of six arms no two sequences of orders are alike."""
    names = tuple("abcdef")
    orders = {
        (topology, attempt): tuple(
            arms(names, seed=seed, topology=topology, block=block, attempt=attempt) for block in range(20)
        )
        for topology in ("bridge", "direct")
        for attempt in (0, 1)
    }

    assert len(set(orders.values())) == 4
    assert all(len(set(order)) > 1 for order in orders.values())


def test_every_arm_runs_first_about_equally_often() -> None:
    """Six arms over 600 blocks: each first about 100 times (the seed is fixed, so this is no chance)."""
    first = [arms("abcdef", seed=1, topology="bridge", block=block, attempt=0)[0] for block in range(600)]

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
