"""Links that others use: their speed, what is watched, the CPUs near a NIC, and what becomes of each probe."""

from dataclasses import replace

import pytest

from bench.facts import tailed
from bench.facts.roles import Link, Stack, gateways
from bench.hosts.command import Command
from bench.hosts.login import Login
from bench.labs import hosts, sharing
from bench.labs.inventory import Inventory, Machine
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.probes import capped, share
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from bench.probes.probe import Pair
from bench.probes.requests import Requests
from bench.probes.udp import Udp
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost, lab

# A VLAN on a bridge on a bond of two ports; a guest's tap is a port of the bridge too.
STACK = Stack(
    (
        Link("eno1", master="bond0"),
        Link("eno2", master="bond0"),
        Link("bond0", kind="bond", master="vmbr0"),
        Link("tap100i0", kind="tun", master="vmbr0"),
        Link("vmbr0", kind="bridge"),
        Link("vmbr0.10", kind="vlan", below=("vmbr0",)),
    )
)
END = Machine("pve1", Login("pve1"), ("vmbr0.10",), "192.0.2.1")
NICS = ("eno1", "eno2")
# Written by hand after what a machine of two sockets prints: those that test this have one node.
TRANSCRIPT = """\
==> /sys/class/net/eno1/speed <==
25000

==> /sys/class/net/eno1/device/numa_node <==
1

==> /sys/class/net/eno2/speed <==
10000

==> /sys/class/net/eno2/device/numa_node <==
1

==> /sys/devices/system/node/online <==
0-1
"""
CPUS = "8-15,24-31"
PATH = Topology("standing")


def _told(speed: str = "10000") -> dict[str, str]:
    """The transcript, with another speed of eno2."""
    return tailed.files(TRANSCRIPT.replace("10000", speed))


def test_load_passes_the_whole_stack_below_but_no_guests_port() -> None:
    """So the NICs are found below VLAN, bridge and bond."""
    through = hosts.passed(END, STACK)

    assert sorted(through) == ["bond0", "eno1", "eno2", "vmbr0", "vmbr0.10"]
    assert sorted(sharing.hardware(STACK, through)) == ["eno1", "eno2"]


def test_the_slowest_nic_decides() -> None:
    """Of a bond that is its slowest port: one flow takes one of them."""
    assert sharing.speed(END, NICS, _told(), leaves=True) == sharing.Speed(10000, "eno2 on pve1")


@pytest.mark.parametrize("speed", ["-1", "", "0", "unknown", "4294967295x"])
def test_a_nic_that_tells_no_speed_is_refused_by_name(speed: str) -> None:
    """Virtio says -1; reading others fails."""
    told = _told(speed)
    with pytest.raises(LabBroken, match="on pve1: eno2 tells no speed") as raised:
        sharing.speed(END, NICS, told, leaves=True)

    assert "speed_mbps: 1000" in raised.value.hint
    assert sharing.speed(replace(END, speed_mbps=2500), NICS, told, leaves=True) == sharing.Speed(
        2500, "pve1's speed_mbps, as its entry states"
    )


def test_an_end_without_a_nic_is_refused_and_a_node_without_one_limits_nothing() -> None:
    """Taps and bridges have no speed of their own."""
    with pytest.raises(LabBroken, match=r"vmbr0\.10 has no NIC below it"):
        sharing.speed(END, (), {}, leaves=True)

    assert sharing.speed(replace(END, address=""), (), {}, leaves=False) is None


def test_loads_are_pinned_to_the_cpus_of_the_nics_node() -> None:
    """On a transcript that was written by hand; the prefix is what goes before iperf3's words."""
    host = FakeHost("pve1", lambda command: (0, f"{CPUS}\n") if command.argv[0] == "cat" else (0, ""))
    near = sharing.near(host, NICS, _told())

    assert sharing.pin(near) == ("taskset", "-c", CPUS)
    assert near.why == f"pinned to CPUs {CPUS} of node 1, where eno1, eno2 is"
    assert host.asked[0] == Command(("cat", "/sys/devices/system/node/node1/cpulist"))


def test_where_it_does_not_matter_or_cannot_be_told_nothing_is_pinned() -> None:
    """One node, NICs on two, a NIC without; and what taskset refuses is said."""
    one = tailed.files(TRANSCRIPT.replace("0-1", "0"))
    two = tailed.files(TRANSCRIPT.replace("\n1\n", "\n0\n", 1))
    none = tailed.files(TRANSCRIPT.replace("\n1\n", "\n-1\n"))
    refusing = FakeHost("pve1", lambda command: (0, CPUS) if command.argv[0] == "cat" else (1, "no such CPU"))

    assert [sharing.numa_node(NICS, each) for each in (one, two, none, {})] == ["", "", "", ""]
    assert sharing.near(refusing, NICS, _told()).cpus == ""
    assert "not pinned to CPUs 8-15,24-31 of node 1" in sharing.near(refusing, NICS, _told()).why


def test_what_is_well_before_any_load_is_watched() -> None:
    """A gateway that answers no ping is left out; what the inventory names must answer."""
    silent = FakeHost("pve1", lambda command: (1, "") if command.argv[-1] == "192.0.2.254" else (0, "Quorate:   Yes\n"))
    found = sharing.looks(silent, END, ["eno1"], ["192.0.2.254"], ["192.0.2.2"])

    assert found == ("carrier:eno1", "ping:192.0.2.2", "quorum")
    assert sharing.in_words(found) == "eno1's carrier, 192.0.2.2, corosync's quorum"
    with pytest.raises(LabBroken, match=r"on pve1: 192\.0\.2\.254, which is to be watched, does not answer"):
        sharing.looks(silent, replace(END, watch=("192.0.2.254",)), ["eno1"], [], [])


def test_a_machine_without_corosync_has_no_quorum_to_lose() -> None:
    """Nor has a node of a cluster that is not quorate already."""
    answer = FakeHost("pve1", lambda command: (0, "Quorate: No") if command == sharing.QUORUM else (0, ""))

    assert sharing.looks(answer, END, ["eno1"], [], []) == ("carrier:eno1",)


def test_gateways_are_those_of_default_routes() -> None:
    """Of several next hops and of both families; a link-local one needs its device."""
    four: list[dict[str, object]] = [
        {"dst": "default", "nexthops": [{"gateway": "192.0.2.254", "dev": "eth0"}]},
        {"dst": "198.51.100.0/24"},
    ]
    six: list[dict[str, object]] = [{"dst": "default", "gateway": "fe80::1", "dev": "vmbr0"}]

    assert gateways(four, six) == ("192.0.2.254", "fe80::1%vmbr0")


def _pair() -> Pair:
    stands = lab("direct")
    return Pair(stands.a, stands.b, 5201, 40000)


def test_tcp_is_held_to_the_wires_share_all_streams_together() -> None:
    """By iperf3 and by the kernel; headers count, and every stream has its part."""
    probe = Tcp("tcp", 1, 0, 4, "forward", "", 0)
    held = share.held(probe, 300e6, PATH)
    words = str(held.commands(_pair())[1][1])

    assert "--bitrate 70611183 --fq-rate 70611183" in words
    assert "held to 282.4 Mbit/s each way" in held.definitions["goodput"]
    assert "--bitrate" not in str(probe.commands(_pair())[1][1])


def test_a_flood_becomes_the_share_and_a_rate_above_it_is_refused() -> None:
    """What was asked for is not quietly another."""
    flood = Udp("udp", 0.0, 1400, 1, 0, "forward")
    held = share.held(flood, 300e6, PATH)
    assert isinstance(held, Udp)
    with pytest.raises(NotAble, match="probe udp: 400 Mbit/s, and the share of the link is 300 Mbit/s") as raised:
        share.held(replace(flood, rate_mbit=400), 300e6, PATH)

    assert (round(held.rate_mbit, 1), held.capped) == (286.5, True)
    assert share.held(replace(flood, rate_mbit=100), 300e6, PATH) == replace(flood, rate_mbit=100)
    assert "udp.rate_mbit=286" in raised.value.hint


def test_fragments_have_headers_of_their_own() -> None:
    """A datagram of 8000 bytes takes six packets of an MTU of 1500."""
    assert share.wire_bytes(1400, PATH) == 1400 + 8 + 20 + 38
    assert share.wire_bytes(8000, PATH) == 8000 + 8 + 6 * (20 + 38)


REFUSED = {
    "a dense train": (Latency("latency", 1, 0.0002, 9000), "its packets make", "interval_s"),
    "a crowd": (Requests("rr", "rr", 1, 7, 1), "7 connections may make 336 Mbit/s", "connections=6"),
}


@pytest.mark.parametrize(("probe", "words", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_rate_is_refused_where_it_may_pass_the_share(
    probe: Latency | Requests, words: str, hint: str
) -> None:
    """By its name and with what would fit; below that it is left as it is."""
    with pytest.raises(NotAble) as raised:
        share.held(probe, 300e6, PATH)

    assert words in str(raised.value)
    assert hint in raised.value.hint
    assert share.held(probe, 10e9, PATH) == probe


def test_only_a_rate_that_reached_its_limit_is_flagged() -> None:
    """What stays below it is a number of the path."""
    assert capped.flags("tcp", 296e6, 300e6) == ("tcp: capped at 300 Mbit/s",)
    assert capped.flags("tcp", 200e6, 300e6) == ()
    assert capped.flags("tcp", 200e6, 0.0) == ()


def _end(name: str, address: str, speed_mbps: int = 0) -> Machine:
    return Machine(name, Login(name), ("vmbr0",), address, speed_mbps=speed_mbps)


RATES = {
    "the slower end": ({"speed of eno1 on a": "10000", "speed of eno1 on b": "1000"}, 1000),
    "ports of a bond carry it together": (
        {"speed of eno1 on a": "10000", "speed of eno2 on a": "10000", "speed of eno1 on b": "25000"}, 20000
    ),
    "each port of a node carries all of it": (
        {"speed of eno1 on a": "25000", "speed of p1 on node": "25000", "speed of p2 on node": "10000"}, 10000
    ),
    "a hypervisor's figure is none": (
        {"speed of eth0 on a": "10000", "driver of eth0 on a": "vmxnet3", "speed of eno1 on b": "25000"}, 25000
    ),
    "nobody tells": ({"driver of eno1 on a": "ixgbe"}, 0),
}  # fmt: skip


@pytest.mark.parametrize(("kept", "mbps"), RATES.values(), ids=RATES)
def test_the_rate_of_a_path_is_what_its_slowest_machine_can_pass(kept: dict[str, str], mbps: int) -> None:
    """By the speeds that its NICs tell; never below what the path carries."""
    node = Machine("node", Login("node"), ("p1", "p2"))
    inventory = Inventory((_end("a", "192.0.2.1"), _end("b", "192.0.2.2")), (node,))

    assert sharing.path_mbps(inventory, kept) == mbps


def test_what_the_inventory_says_of_a_speed_goes_before_what_devices_tell() -> None:
    """A limit that only its owner knows: a provider's, or a switch's."""
    inventory = Inventory((_end("a", "192.0.2.1", speed_mbps=500), _end("b", "192.0.2.2")), ())

    assert sharing.path_mbps(inventory, {"speed of eno1 on a": "10000", "speed of eno1 on b": "10000"}) == 500
