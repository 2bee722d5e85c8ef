"""The largest packet that passes: what ping says, the search, and which hop is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.sheet import FactSheet, Sheets
from bench.probes.path_mtu import Way, addresses, too_small, ways
from bench.probes.probe import Pair
from bench.probes.sweep import Reply, Swept, largest, ping, reply
from tests.unit.bench import fakes
from tests.unit.bench.recorded import answered, outcomes

LOW, HIGH = 576, 9000
sizes = st.integers(LOW - 50, HIGH)


def _path(mtu: int, *, speaks: bool, asked: list[int]) -> "object":
    def send(size: int) -> Reply:
        asked.append(size)
        if size <= mtu:
            return Reply(passed=True)
        return Reply(passed=False, mtu_bytes=mtu, by="198.18.0.254") if speaks else Reply(passed=False)

    return send


@given(sizes, st.booleans(), st.lists(st.integers(0, 10_000), max_size=3))
def test_the_largest_size_that_passes_is_found(mtu: int, speaks: bool, hints: list[int]) -> None:
    """Whoever speaks, and whatever is hinted; no size is tried twice, and none outside the range."""
    asked: list[int] = []
    found = largest(_path(mtu, speaks=speaks, asked=asked), LOW, HIGH, hints)  # type: ignore[arg-type]  # a closure

    assert found.size_bytes == (mtu if mtu >= LOW else 0)
    assert len(asked) == len(set(asked)) <= 15 + 2 * len(hints)
    assert all(LOW <= size <= HIGH for size in asked)
    assert found.silent == (mtu < HIGH and not speaks)


@pytest.mark.parametrize(("speaks", "hints"), [(True, ()), (False, (1400,))])
def test_what_is_told_or_hinted_is_tried_at_once(speaks: bool, hints: tuple[int, ...]) -> None:
    """Three packets in place of eleven, most of which would be waited for."""
    asked: list[int] = []
    largest(_path(1400, speaks=speaks, asked=asked), LOW, 1500, hints)  # type: ignore[arg-type]  # a closure

    assert sorted(asked) == [1400, 1401, 1500]


@given(st.integers(0, HIGH), st.integers(LOW, HIGH))
def test_a_router_that_lies_misleads_nobody(said: int, mtu: int) -> None:
    """What it says is tried, not believed."""
    found = largest(lambda size: Reply(size <= mtu, 0 if size <= mtu else said, "x"), LOW, HIGH)

    assert found.size_bytes == mtu


def test_what_ping_says_is_read() -> None:
    """Recorded: told by the router, passed, known by our own kernel, in both families; and silence."""
    found = [reply(outcome) for outcome in outcomes("ping", "sizes")]

    assert found == [
        Reply(passed=False, mtu_bytes=1400, by="198.18.0.254"),
        Reply(passed=True),
        Reply(passed=False, mtu_bytes=1400),
        Reply(passed=False, mtu_bytes=1400, by="2001:2::fe"),
        Reply(passed=True),
        Reply(passed=False, mtu_bytes=1400),
        Reply(passed=False),
    ]


@given(st.text(), st.text())
def test_any_output_is_some_reply(stdout: str, stderr: str) -> None:
    """What is not understood is silence."""
    assert isinstance(reply(answered(stdout, stderr=stderr)), Reply)


def test_a_port_that_takes_a_tag_more_than_its_mtu_is_found_in_four_questions() -> None:
    """Each that fails is a second of silence; a veth takes 1404 bytes at an MTU of 1400."""
    asked: list[int] = []

    def send(size: int) -> Reply:
        asked.append(size)
        return Reply(passed=size <= 1404)

    assert largest(send, 576, 1500, [1400]).size_bytes == 1404
    assert asked == [1500, 1401, 1405, 1404]
    assert largest(lambda size: Reply(passed=size <= 1400), 576, 1500, [1400]).size_bytes == 1400


def test_sizes_are_those_of_ip_packets() -> None:
    """1500 bytes are 1472 of an IPv4 echo, 1452 of an IPv6 one."""
    assert [ping("x", 1500, family).argv[-2] for family in (4, 6)] == ["1472", "1452"]


LAB = fakes.lab()
PAIR = Pair(LAB.a, LAB.b, 20001, 30001, lab=LAB)


def _sheets(port_b: int = 1500) -> Sheets:
    ends = {
        name: {"link/eth0/mtu": "1500", f"address/eth0/198.18.0.{place}/24": "scope global",
               f"address/eth0/2001:2::{place}/64": "scope global nodad", "address/eth0/fe80::1/64": "scope link"}
        for place, name in enumerate(("a", "b"), start=1)
    }  # fmt: skip
    node = {"link/port-a/mtu": "1500", "link/port-b/mtu": str(port_b), "link/br0/mtu": "1500"}
    return {name: FactSheet(name, facts) for name, facts in {**ends, "node": node}.items()}


def test_both_ends_send_in_both_families() -> None:
    """To addresses of global scope, from their own MTU on."""
    found = ways(PAIR, _sheets())

    assert [(way.name, way.address, way.mtu_bytes) for way in found] == [
        ("IPv4 a>b", "198.18.0.2", 1500),
        ("IPv6 a>b", "2001:2::2", 1500),
        ("IPv4 b>a", "198.18.0.1", 1500),
        ("IPv6 b>a", "2001:2::1", 1500),
    ]
    assert addresses(_sheets(), "a") == [("198.18.0.1", 4), ("2001:2::1", 6)]


def test_a_narrow_device_is_named_and_a_black_hole_too() -> None:
    """By host and device, from the facts."""
    way = Way(LAB.a, LAB.b, 4, "198.18.0.2", 1500)

    narrow = "IPv4 a>b carries 1404 of 1500 bytes: node/port-b has an MTU of 1400"
    assert too_small(way, Swept(1404), (), LAB, _sheets(port_b=1400)) == narrow
    assert too_small(way, Swept(1400, (), silent=True), (), LAB, _sheets(port_b=1400)) == (
        "IPv4 a>b carries 1400 of 1500 bytes: node/port-b has an MTU of 1400; "
        "larger packets vanish without a word (a black hole)"
    )


def test_who_says_so_is_named_with_its_host() -> None:
    """A router of nobody's lab by its address alone; the last hop that still carries all is told."""
    way = Way(LAB.a, LAB.b, 4, "198.18.0.2", 1500)
    told = (Reply(passed=False, mtu_bytes=1400, by="198.18.0.2"), Reply(passed=False, mtu_bytes=1400, by="192.0.2.7"))
    hops = (("192.0.2.6", Swept(1500)), ("192.0.2.7", Swept(1400)))

    assert too_small(way, Swept(1400, told), hops, LAB, _sheets()) == (
        "IPv4 a>b carries 1400 of 1500 bytes, beyond 192.0.2.6 (not of this lab); "
        "198.18.0.2 (b), 192.0.2.7 (not of this lab) says so"
    )
