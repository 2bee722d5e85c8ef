"""Cables: what fails is mended, whatever happens meanwhile; QEMU's monitor is read as it speaks."""

import itertools
import json
import socket
import threading
from pathlib import Path

import pytest

from bench.hosts.command import Command, HostFault
from bench.labs.blueprint import drawn_up
from bench.labs.cable import Cable, Fault, by_commands
from bench.labs.cabling import cabling
from bench.labs.monitor import answered, switch_link
from bench.labs.patching import monitor, patched
from bench.labs.topology import Topology
from bench.labs.veths import of_pairs
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost

BREAK, FIRST, SECOND = (Command((word,)) for word in ("break", "first", "second"))


def _cable(host: FakeHost) -> Cable:
    return Cable("node/leg-1 to far/leg-1", {"silent": by_commands(((host, BREAK),), ((host, FIRST), (host, SECOND)))})


def test_a_cable_is_mended_when_the_block_fails() -> None:
    """What was done in between does not matter."""
    host = FakeHost()
    with pytest.raises(RuntimeError), _cable(host).broken("silent"):
        raise RuntimeError

    assert host.asked == [BREAK, FIRST, SECOND]


def test_a_cable_is_mended_when_it_could_not_be_broken() -> None:
    """Half of it may have been done."""
    host = FakeHost(answer=lambda command: None if command == BREAK else (0, ""))
    with pytest.raises(HostFault, match="break"), _cable(host).broken("silent"):
        pytest.fail("not reached")

    assert host.asked == [BREAK, FIRST, SECOND]


def test_every_step_of_mending_is_done_though_one_failed() -> None:
    """The first failure is told."""
    host = FakeHost(answer=lambda command: (1, "no device") if command == FIRST else (0, ""))
    with pytest.raises(HostFault, match="no device"), _cable(host).broken("silent"):
        pass

    assert host.asked == [BREAK, FIRST, SECOND]


def test_a_way_in_which_a_cable_cannot_fail_is_refused_by_name() -> None:
    """Nothing is done then."""
    host = FakeHost()
    with pytest.raises(NotAble, match="cannot fail as 'tap-removed'") as caught, _cable(host).broken("tap-removed"):
        pass

    assert (host.asked, caught.value.hint) == ([], "here a cable can be silent")


def test_a_fault_is_two_works() -> None:
    """Mending follows breaking."""
    done: list[str] = []
    fault = Fault(lambda: done.append("broken"), lambda: done.append("mended"))
    with Cable("x", {"link-down": fault}).broken("link-down"):
        done.append("between")

    assert done == ["broken", "between", "mended"]


@pytest.mark.parametrize("mode", ["active-backup", "802.3ad", "balance-xor"])
def test_every_leg_between_namespaces_has_a_cable(mode: str) -> None:
    """And the endpoints' too; each is one cable under both of its ends."""
    plan = drawn_up(Topology("bond", bond_mode=mode, legs=3))
    found = of_pairs(plan, {name: FakeHost(name) for name in plan.hosts})

    assert {(host, f"leg-{number}") for host in ("node", "far") for number in (1, 2, 3)} <= set(found)
    assert found["node", "leg-1"] is found["far", "leg-1"]
    assert found["a", "eth0"] is found["node", "port-a"]


def test_a_leg_is_shut_at_its_far_side_and_a_port_at_the_node() -> None:
    """So a bond sees its leg as it sees one of a switch, and no device with an address is set down."""
    plan = drawn_up(Topology("bond", bond_mode="active-backup", legs=2))
    hosts = {name: FakeHost(name) for name in plan.hosts}
    found = of_pairs(plan, hosts)
    for end in (("node", "leg-1"), ("a", "eth0")):
        with found[end].broken("link-down"):
            pass

    assert [str(each) for each in hosts["far"].asked] == ["ip link set leg-1 down", "ip link set leg-1 up"]
    assert [str(each) for each in hosts["node"].asked] == ["ip link set port-a down", "ip link set port-a up"]
    assert hosts["a"].asked == []


@pytest.mark.parametrize("topology", [Topology("routed"), Topology("nat"), Topology("direct")], ids=str)
def test_where_both_ends_have_addresses_nothing_is_cut(topology: Topology) -> None:
    """A device that is set down loses those of IPv6."""
    plan = drawn_up(topology)

    assert of_pairs(plan, {name: FakeHost(name) for name in plan.hosts}) == {}


GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}
EVENT = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NIC_RX_FILTER_CHANGED", "data": {"name": "n"}}


def _said(*told: object) -> "itertools.chain[bytes]":
    return itertools.chain(json.dumps(each).encode() + b"\n" for each in told)


def test_greeting_and_events_are_passed_over() -> None:
    """The answer is the line that returns something."""
    assert answered("a", "set_link", _said(GREETING, EVENT, {"return": {}})) == {}


def test_what_qemu_refuses_is_told_in_its_words() -> None:
    """With the guest's name."""
    refused = {"error": {"class": "DeviceNotFound", "desc": "Device 'net9' not found"}}
    with pytest.raises(HostFault, match=r"guest a: QEMU refused set_link: Device 'net9' not found"):
        answered("a", "set_link", _said(GREETING, refused))


def test_a_monitor_that_closes_is_no_answer() -> None:
    """As where the guest has ended meanwhile."""
    with pytest.raises(HostFault, match="closed its monitor"):
        answered("a", "set_link", _said(GREETING))


def test_a_link_is_switched_over_a_socket(tmp_path: Path) -> None:
    """Capabilities are negotiated first, as QMP asks; the arguments are the netdev and its state."""
    asked: list[object] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.qmp"))
        listening.listen(1)

        def answer() -> None:
            channel, _ = listening.accept()
            with channel, channel.makefile("rwb") as lines:
                lines.write(json.dumps(GREETING).encode() + b"\n")
                lines.flush()
                for line in iter(lines.readline, b""):
                    asked.append(json.loads(line))
                    lines.write(b'{"return": {}}\n')
                    lines.flush()

        thread = threading.Thread(target=answer)
        thread.start()
        switch_link("a", tmp_path / "a.qmp", "net1", up=False)
        thread.join(5)

    assert asked == [
        {"execute": "qmp_capabilities"},
        {"execute": "set_link", "arguments": {"name": "net1", "up": False}},
    ]


def test_a_monitor_that_is_not_there_is_told_with_the_guest(tmp_path: Path) -> None:
    """As where QEMU has ended."""
    with pytest.raises(HostFault, match=r"guest a: QEMU did not answer set_link on a\.qmp"):
        switch_link("a", tmp_path / "a.qmp", "net0", up=True)


def test_a_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    """With what to do about it; QEMU would end without a guest."""
    with pytest.raises(NotAble, match="too long for a socket") as caught:
        monitor(tmp_path / ("x" * 100), "far")

    assert "NETTUNE_STATE" in caught.value.hint


def test_guests_cables_fail_at_their_monitors_and_taps(tmp_path: Path) -> None:
    """Every leg between two guests, three ways; the taps are those that carry it."""
    bond = Topology("bond", bond_mode="active-backup", legs=2)
    cabled = cabling(bond, nodes=True)
    patch = FakeHost("patch")
    found = patched(drawn_up(bond, guests=cabled.guests), cabled, patch, tmp_path)
    with found["node", "leg-2"].broken("silent"):
        pass
    pair = [cabled.taps[end] for end in (("node", "leg-2"), ("far", "leg-2"))]

    assert set(found["node", "leg-2"].faults) == {"link-down", "tap-removed", "silent"}
    assert [each.stdin.split() for each in patch.asked] == [
        [word for tap in pair for word in ("link", "set", tap, state)] for state in ("down", "up")
    ]
    assert len(found) == 8
