"""The `isolation` probe: frames that are what they are called, and what captures of them amount to."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from bench.labs.blueprint import drawn_up
from bench.labs.topology import Topology
from bench.plan import Plan, parse
from bench.probes.frames import KINDS, Station, checksum, framed, seen
from bench.probes.isolation import Isolation, trips
from results.errors import WrongInput
from tuning.knobs.table import check

A = Station("02:00:5e:00:00:0a", "198.18.0.1", "2001:2::1", 10)
C = Station("02:00:5e:00:00:0c", "198.18.0.3", "2001:2::3", 20)
VLANS = Topology("vlan", vlan_id=10, ends=4, vlans=(("c", 20), ("d", 20)))
ENDS = ("a", "b", "c", "d")


@given(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 2**32 - 1), max_size=5), st.binary(max_size=16))
def test_a_token_is_found_in_a_capture(kind: str, numbers: list[int], between: bytes) -> None:
    """Of every kind of frame, whatever stands between, in bytes that are no text."""
    capture = between + between.join(framed(kind, A, C, 20, number) for number in numbers) + between

    assert seen(capture.decode("utf-8", "backslashreplace")) == frozenset(numbers)


def test_frames_are_of_the_kind_that_they_are_called() -> None:
    """Destination and type of each."""
    found = {kind: framed(kind, A, C, 20, 1) for kind in KINDS}
    heads = {kind: (frame[:6].hex(":"), frame[12:14].hex()) for kind, frame in found.items()}

    assert heads["ARP"] == ("ff:ff:ff:ff:ff:ff", "0806")
    assert heads["DHCP"] == ("ff:ff:ff:ff:ff:ff", "0800")
    assert heads["ND"] == ("33:33:ff:00:00:03", "86dd")
    assert heads["IPv4"] == (C.mac, "0800")
    assert heads["IPv6"] == (C.mac, "86dd")
    assert struct.unpack("!HHHHH", found["two tags"][12:22]) == (0x8100, 10, 0x8100, 20, 0x0800)
    assert struct.unpack("!HHH", found["tag of the other VLAN"][12:18]) == (0x8100, 20, 0x0800)
    assert struct.unpack("!HHH", found["priority tag"][12:18]) == (0x8100, 0, 0x0800)
    assert all(len(frame) >= 60 for frame in found.values())


def test_checksums_of_headers_hold() -> None:
    """The sum over a header with its checksum is 0 (RFC 1071)."""
    ip4 = framed("IPv4", A, C, 20, 1)[14:34]
    nd = framed("ND", A, C, 20, 1)[14:]
    payload = nd[40 : 40 + struct.unpack("!H", nd[4:6])[0]]

    assert checksum(ip4) == 0
    assert checksum(nd[8:40] + struct.pack("!II", len(payload), 58) + payload) == 0


def test_every_pair_in_different_vlans_is_tried_both_ways() -> None:
    """With every kind, and a twin to the other end of the sender's own VLAN."""
    planned = trips(VLANS, ENDS)

    assert len(planned) == 8 * len(KINDS)
    assert {(trip.here, trip.there) for trip in planned} == {
        (here, there) for here in ENDS for there in ENDS if (here in "ab") != (there in "ab")
    }
    assert {(trip.here, trip.control) for trip in planned} == {("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")}
    assert len({trip.number for trip in planned} | {trip.number + 1 for trip in planned}) == 2 * len(planned)


def _held(lost: str = "", leaked: str = "") -> tuple[float, tuple[str, ...]]:
    """The outcome where every twin arrived but `lost`, and nothing passed but `leaked`."""
    planned = trips(VLANS, ENDS)
    came: dict[str, set[int]] = {end: set() for end in ENDS}
    for trip in planned:
        if trip.name != lost:
            came[trip.control].add(trip.number + 1)
        if trip.name == leaked:
            came[trip.there].add(trip.number)
    measured = Isolation("isolation").measured(planned, {end: frozenset(numbers) for end, numbers in came.items()})
    return next(sample.value for sample in measured.samples if sample.metric == "held"), measured.flags


def test_what_is_kept_apart_holds_only_with_its_proof() -> None:
    """Nothing at the forbidden end is no proof where the permitted end saw nothing either."""
    assert _held() == (1.0, ())
    assert _held(lost="a>c ND") == (
        0.0,
        ("isolation did not hold: nothing is proven of a>c ND: the twin did not arrive either",),
    )


def test_a_leak_is_named_by_pair_direction_and_kind() -> None:
    """Also where the twin is lost: it passed."""
    expected = (0.0, ("isolation did not hold: 1 of 80 frames passed: d>a two tags",))

    assert _held(leaked="d>a two tags") == expected
    assert _held(leaked="d>a two tags", lost="d>a two tags") == expected


def test_ports_are_in_the_vlans_that_the_plan_says() -> None:
    """A trunk carries all of them."""
    plan = drawn_up(Topology("vlan", vlan_id=10, ends=4, vlans=(("c", 20), ("d", 20)), trunk=True))
    lines = [line for _, command in plan.steps if command.argv[0] == "bridge" for line in command.stdin.splitlines()]

    assert lines == [
        "vlan add dev port-a vid 10 pvid untagged",
        "vlan add dev port-c vid 20 pvid untagged",
        "vlan add dev port-d vid 20 pvid untagged",
        "vlan add dev leg-1 vid 10",
        "vlan add dev leg-1 vid 20",
        "vlan add dev port-b vid 10 pvid untagged",
        "vlan add dev leg-1 vid 10",
        "vlan add dev leg-1 vid 20",
    ]


PLAN = """\
name: apart
topologies: [{kind: vlan, id: 10, ends: 4, vlans: {c: 20, d: 20}}]
probes: [{kind: isolation}]
primary: isolation.leaks
blocks: 2
"""


def _plan(old: str = "", new: str = "") -> Plan:
    return parse(document.read(PLAN.replace(old, new) if old else PLAN, "apart.yaml"), check=check)


def test_a_plan_says_who_is_in_which_vlan() -> None:
    """And it is in the topology's name."""
    assert [each.name for each in _plan().topologies] == ["vlan-10-c20-d20-ends4"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("d: 20", "d: 30", "c is alone in VLAN 20"),
        (", vlans: {c: 20, d: 20}", "", "may reach each other"),
        ("d: 20", "b: 20", "b is in VLAN 10, which probes run in"),
        ("d: 20", "d: 10", "d is in VLAN 10 anyway"),
        ("d: 20", "e: 20", "there is no endpoint e"),
        ("d: 20", "d: 4095", "4095 is outside"),
        ("ends: 4", "ends: 4, tagged: on", "chooses its VLAN itself"),
        ("{kind: isolation}", "{kind: isolation}, {kind: tcp, to: c}", "a and c are in different VLANs"),
    ],
)
def test_who_cannot_be_kept_apart_is_refused_by_name(old: str, new: str, words: str) -> None:
    """With line and key."""
    with pytest.raises(WrongInput, match=words):
        _plan(old, new)
