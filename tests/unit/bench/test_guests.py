"""Guests: what they hang on, what QEMU is told, what a plan may say of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.labs import guests as machines
from bench.labs.blueprint import drawn_up
from bench.labs.cabling import PATCH, cables, cabling, needs
from bench.labs.guests import Cable, Guests, Machine, facts, started_with
from bench.labs.names import mac
from bench.labs.topology import BOND_MODES, Kind, Topology

TOPOLOGIES = {
    "direct": Topology("direct"),
    "bridge": Topology("bridge", ends=3),
    "vlan": Topology("vlan", vlan_id=10),
    "tagged": Topology("vlan", vlan_id=10, tagged=True),
    "routed": Topology("routed"),
    "policy": Topology("routed", policy=True),
    "nat": Topology("nat"),
    "firewall": Topology("firewall", rules=10),
    **{mode: Topology("bond", bond_mode=mode, legs=2) for mode in BOND_MODES},
}


def _machine(*cabled: Cable, port: int = 2201, mtu: int = 1500, vhost: bool = False) -> Machine:
    folder = Path("/a,b")
    return Machine("nt-x-a", folder / "k", folder / "i", folder / "r", "quiet", folder / "s", port, cabled, mtu, vhost)


@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_nic_of_a_guest_has_a_tap_of_its_own(topology: Topology, *, nodes: bool) -> None:
    """Each link of the blueprint that touches a guest is a tap, or two that are one cable; no tap serves twice."""
    cabled = cabling(topology, nodes=nodes)
    plan = drawn_up(topology, guests=cabled.guests)
    taps = [*cabled.taps.values()]

    assert len(taps) == len(set(zip((cabled.homes[name] for name, _ in cabled.taps), taps, strict=True)))
    assert {name for name, _ in cabled.taps} == set(cabled.guests) == set(cabled.homes)
    assert set(cabled.homes.values()) <= set(cabled.rooms)
    assert set(cabled.guests) | (set(cabled.rooms) - {PATCH}) == set(plan.hosts)
    made = " ".join(command.stdin for host, command in plan.steps if host not in cabled.guests)
    assert made.count("mode tap") == len(taps) - 2 * len(cabled.patched)
    assert "type veth" not in " ".join(c.stdin for host, c in plan.steps if host in cabled.guests)


def test_between_namespaces_links_stay_what_they_were() -> None:
    """Only what touches a guest changes: the legs of a bond between two nodes are veth pairs still."""
    plan = drawn_up(TOPOLOGIES["802.3ad"], guests=("a", "b"))
    node = " ".join(command.stdin for host, command in plan.steps if host == "node")

    assert node.count("type veth") == 2
    assert "tuntap add dev port-a mode tap" in node


def test_the_machine_needs_only_what_its_own_kernel_does() -> None:
    """Tags that guests put on, and everything of a path of guests, are Debian's kernel's work."""
    assert needs(TOPOLOGIES["tagged"], nodes=False) == ("tun", "bridge", "vlan-aware bridge")
    assert needs(TOPOLOGIES["802.3ad"], nodes=False) == ("tun", "veth", "bridge", "bond")
    assert needs(TOPOLOGIES["802.3ad"], nodes=True) == ("tun", "mirred")
    assert needs(TOPOLOGIES["direct"], nodes=False) == ("tun", "mirred")


def test_a_cable_joins_two_taps_both_ways() -> None:
    """What one receives the other sends; nothing is made where there is no cable."""
    links, rules = cables((("w0a", "w0b"),), 1)

    assert "tuntap add dev w0a mode tap\n" in links.stdin
    assert "dev w0a parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev w0b\n" in rules.stdin
    assert "dev w0b parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev w0a\n" in rules.stdin
    assert cables((), 1) == ()
    assert "mode tap multi_queue\n" in cables((("w0a", "w0b"),), 2)[0].stdin


def test_control_is_on_no_network_and_measured_nics_are_taps() -> None:
    """One port on the namespace's loopback, restricted; a tap is never made or changed by QEMU's own scripts."""
    argv = machines.command(Guests(), _machine(Cable("eth0", "02:00:5e:00:00:0a", "port-a")), "tcg").argv
    line = " ".join(argv)

    assert "user,id=control,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:2201-:22" in argv
    assert "tap,id=net0,ifname=port-a,script=no,downscript=no" in argv
    assert "virtio-net-pci,netdev=net0,mac=02:00:5e:00:00:0a,romfile=,host_mtu=9000" in argv
    assert "-accel tcg,thread=multi -cpu max" in line
    assert "file=/a,,b/r,format=raw" in line
    assert argv[:3] == ("setpriv", "--pdeathsig", "KILL")
    assert "hostfwd" not in " ".join(machines.command(Guests(), _machine(port=0), "tcg").argv)


def test_queues_rings_and_models() -> None:
    """More than one queue takes vectors and a tap of as many; a larger MTU is one that the guest's driver can take."""
    cable = Cable("eth0", "02:00:5e:00:00:0a", "port-a")
    many = " ".join(machines.command(Guests(queues=2, ring=1024), _machine(cable, mtu=65521, vhost=True), "kvm").argv)
    other = " ".join(machines.command(Guests(nic="vmxnet3"), _machine(cable, vhost=True), "kvm").argv)

    assert "script=no,downscript=no,queues=2,vhost=on" in many
    assert "mq=on,vectors=6,rx_queue_size=1024,host_mtu=65521" in many
    assert "-accel kvm -cpu host" in many
    assert "vmxnet3,netdev=net0,mac=02:00:5e:00:00:0a,romfile=" in other
    assert "vhost" not in other


def test_a_tap_whose_number_of_queues_is_to_change_takes_many_from_the_start() -> None:
    """It was made for one or for many; a NIC of one queue uses the first of two."""
    cable = Cable("eth0", "02:00:5e:00:00:0a", "port-a")
    changing = Guests(settings=("vm-queues",))
    one = " ".join(machines.command(changing, _machine(cable), "tcg").argv)
    four = " ".join(machines.command(started_with(changing, {"vm/vm-queues": "4"}), _machine(cable), "tcg").argv)

    assert "downscript=no,queues=2 " in one
    assert "mq=on" not in one
    assert "downscript=no,queues=4 " in four
    assert "mq=on,vectors=10" in four
    assert (Guests().tap_queues, Guests(settings=("vm-host-mtu",)).tap_queues, changing.tap_queues) == (1, 1, 2)


def test_what_guests_were_started_with_are_facts() -> None:
    """As QEMU has it; back and forth gives the same; another model has none that can be chosen."""
    wanted = {"vm/vm-queues": "4", "vm/vm-rx-queue-size": "1024", "vm/vm-host-mtu": "1500"}
    usual = {"vm/vm-queues": "1", "vm/vm-rx-queue-size": "256", "vm/vm-host-mtu": "9000"}
    nic = {"vm/nic": "virtio-net"}

    assert facts(Guests(), 1500) == nic | usual
    assert facts(started_with(Guests(), wanted), 1500) == nic | wanted
    assert facts(started_with(started_with(Guests(), wanted), usual), 1500) == nic | usual
    assert facts(Guests(nic="vmxnet3"), 1500) == {"vm/nic": "vmxnet3"}


def test_what_a_result_of_guests_is_worth_is_said() -> None:
    """An emulated CPU is named as such; with KVM nothing is said of one."""
    assert any("Emulated CPU" in note for note in machines.notes(Guests(), "tcg"))
    assert not any("Emulated CPU" in note for note in machines.notes(Guests(), "kvm"))
    assert any(
        note.startswith("The node between them was a guest too.") for note in machines.notes(Guests(nodes=True), "kvm")
    )


@given(st.sampled_from(["bridge", "routed", "bond"]), st.integers(2, 8))
def test_no_two_nics_of_a_lab_share_an_address(kind: Kind, ends: int) -> None:
    """MAC addresses go by host and device, whether the other end is a veth or a wire."""
    topology = Topology(kind, ends=ends, bond_mode="802.3ad" if kind == "bond" else "", legs=2 if kind == "bond" else 0)
    taken = [mac(*nic) for nic in cabling(topology, nodes=True).taps]

    assert len(taken) == len(set(taken))
