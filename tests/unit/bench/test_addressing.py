"""Addresses of a lab: planned from a prefix, never overlapping, refused where there is no room."""

import itertools
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.labs.addressing import PREFIX_4, PREFIX_6, NoRoom, planned

PREFIXES = (PREFIX_4, PREFIX_6)


def test_the_prefixes_for_benchmarks_are_cut_as_people_write_them() -> None:
    """One subnet: the first; two: the first of either half; a gateway at .254 and ::fe."""
    one = planned(("all",), 2, PREFIXES, {})["all"]
    two = planned(("a", "b"), 1, PREFIXES, {})

    assert (one.text(4), one.text(6)) == ("198.18.0.0/24", "2001:2::/64")
    assert [two[name].text(4) for name in "ab"] == ["198.18.0.0/24", "198.19.0.0/24"]
    assert (two["b"].address(1, 4), two["b"].gateway(4), two["b"].length(4)) == ("198.19.0.1", "198.19.0.254", 24)
    assert (two["b"].address(1, 6), two["b"].gateway(6)) == ("2001:2:0:8000::1", "2001:2:0:8000::fe")


@given(st.integers(1, 10), st.integers(1, 8), st.integers(8, 30), st.integers(32, 126), st.integers(0, 2**24))
def test_subnets_lie_in_their_prefix_and_never_overlap(
    count: int, members: int, bits: int, bits6: int, where: int
) -> None:
    """Whatever is asked: no two share an address, everybody's lies inside, or there is no room and it says so."""
    prefixes = (
        str(ip_network((where << 8, bits), strict=False)),
        str(ip_network(((0x2001_0002 << 96) + (where << 100) % 2**96, bits6), strict=False)),
    )
    names = [f"n{number}" for number in range(count)]
    try:
        made = planned(names, members, prefixes, {})
    except NoRoom as error:
        assert "small" in str(error) or "cut" in str(error)  # noqa: PT017 - either is a right answer here
        return

    for family, prefix in zip((4, 6), prefixes, strict=True):
        whole = ip_network(prefix)
        nets = [ip_network(made[name].text(family)) for name in names]
        taken = [made[name].address(place, family) for name in names for place in range(1, members + 1)]
        taken += [made[name].gateway(family) for name in names]
        assert all(net.network_address in whole and net.prefixlen >= whole.prefixlen for net in nets)
        assert not any(one.overlaps(other) for one, other in itertools.combinations(nets, 2))
        assert len(set(taken)) == len(taken)
        assert all(any(ip_address(each) in net for net in nets) for each in taken)


def test_what_a_plan_fixes_stands_and_is_checked_against_the_rest() -> None:
    """A fixed subnet keeps its place; one that overlaps a planned one is named."""
    fixed = {("a", 4): ip_network("10.0.0.0/30")}
    made = planned(("a", "b"), 1, PREFIXES, fixed)

    assert (made["a"].text(4), made["a"].gateway(4), made["b"].text(4)) == ("10.0.0.0/30", "10.0.0.2", "198.18.0.0/24")
    with pytest.raises(NoRoom, match=r"subnets 198.18.0.128/25 of a and 198.18.0.0/24 of b overlap"):
        planned(("a", "b"), 1, PREFIXES, {("a", 4): ip_network("198.18.0.128/25")})
    with pytest.raises(NoRoom, match=r"subnet 10.0.0.0/30 of all is too small for 3 endpoints and a gateway"):
        planned(("all",), 3, PREFIXES, {("all", 4): ip_network("10.0.0.0/30")})
    with pytest.raises(NoRoom, match=r"prefix 10.0.0.0/32 cannot be cut into 2 subnets"):
        planned(("a", "b"), 1, ("10.0.0.0/32", PREFIX_6), {})
