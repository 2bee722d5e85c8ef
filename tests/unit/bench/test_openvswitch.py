"""Open vSwitch: what rides on the ports of its bridges and bonds, by OVSDB's own words, and without them.

The words are those of ovs-vswitchd 3.1 in user space with two bridges, a bond of two legs, a VXLAN tunnel and a patch
between them.
"""

import json
from collections.abc import Sequence

import pytest

from bench.facts import openvswitch, riding, roles
from bench.facts.openvswitch import QUESTION, Bridge, Interface, Port, joined
from bench.facts.riding import Riding
from bench.facts.roles import OVS_BOND, Link, Stack, routes
from bench.hosts.command import Command
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import FOLDER

BRIDGES = (FOLDER / "openvswitch" / "bridges.txt").read_text(encoding="utf-8")
KERNELS = BRIDGES.replace('"netdev"', '""')  # of the kernel's switch all other words are the same
BY = routes([{"dst": "default", "gateway": "192.0.2.1", "dev": "vlan10"}, {"dst": "192.0.2.0/24", "dev": "vlan10"}])
PORT, NONE = {"master": "ovs-system"}, dict[str, str]()
# (name, kind, what else, address) as iproute2 tells them of the kernel's switch.
DEVICES = (
    ("eno1", "", PORT, ""), ("eno2", "", PORT, ""), ("eno3", "", PORT, ""), ("eno4", "", NONE, "198.51.100.1"),
    ("tap100i0", "tun", PORT, ""), ("ovs-system", "openvswitch", NONE, ""), ("vmbr0", "openvswitch", NONE, ""),
    ("vmbr1", "openvswitch", NONE, ""), ("vlan10", "openvswitch", NONE, "192.0.2.10"),
    ("vxlan_sys_4789", "vxlan", PORT, ""),
)  # fmt: skip


def links(rows: Sequence[tuple[str, str, dict[str, str], str]] = DEVICES) -> str:
    """`ip -d -j addr show` of them."""
    return json.dumps([
        {"ifname": name, **more, "linkinfo": {"info_kind": kind},
         "addr_info": [{"local": address, "prefixlen": 24}] if address else []}
        for name, kind, more, address in rows
    ])  # fmt: skip


def told(vsctl: str | None, rows: str = "") -> Riding:
    """What such a host says, over an SSH connection to vlan10; `vsctl` None where OVSDB is not to be reached."""

    def answer(command: Command) -> tuple[int, str]:
        said = {
            roles.CONNECTION: "192.0.2.50 51000 192.0.2.10 22",
            roles.QUESTIONS[0]: rows or links(),
            roles.QUESTIONS[1]: '[{"dst": "default", "gateway": "192.0.2.1", "dev": "vlan10"},'
            ' {"dst": "192.0.2.0/24", "dev": "vlan10"}]',
            roles.QUESTIONS[3]: "==> /etc/pve/corosync.conf <==\nring0_addr: 192.0.2.11\n",
        }
        if command == QUESTION:
            return (1, "unix:/run/openvswitch/db.sock: database connection failed") if vsctl is None else (0, vsctl)
        return 0, said.get(command, "")

    return riding.asked(FakeHost(answer=answer, local=False))


def ridden(found: Riding, device: str) -> set[str]:
    """The roles on a device."""
    return {each.role for each in found.ridden if each.device == device}


def test_what_rides_on_a_bridge_of_open_vswitch_rides_on_its_uplink() -> None:
    """An internal port has no master and nothing below it in the kernel: SSH and corosync pass the bond's legs."""
    found = told(KERNELS)

    for leg in ("eno1", "eno2"):
        assert ridden(found, leg) == {"ssh", "default-route", "corosync", "guests"}, leg
        assert found.stack.links[leg].master == "bond0"
    assert found.stack.links["bond0"] == Link("bond0", OVS_BOND, "vmbr0")
    assert found.stack.above("eno1") >= {"bond0", "vmbr0", "vlan10"}
    assert ridden(found, "eno4") == set()


def test_the_kernels_own_words_are_read() -> None:
    """Of Linux 6.1 with the same switch in the kernel, veths for NICs; the tunnel of vmbr1 is routed by vlan10."""
    addresses, vsctl = ((FOLDER / "openvswitch" / f"kernel-{each}").read_text(encoding="utf-8")
                        for each in ("addr.json", "bridges.txt"))  # fmt: skip
    by = routes([{"dst": "198.51.100.0/24", "dev": "vlan10"}])
    stack = Stack(joined(roles.links(json.loads(addresses)), openvswitch.parse(vsctl), by))
    untold = Stack(joined(roles.links(json.loads(addresses)), None, by))

    assert stack.below("vlan10") == {"vmbr0", "bond0", "eno1", "eno2", "tap100i0"}
    assert stack.below("vmbr1") == {"eno3", "vxlan_sys_4789", "vlan10", *stack.below("vlan10")}
    assert untold.below("vlan10") == {"ovs-system", "eno1", "eno2", "eno3", "tap100i0", "vxlan_sys_4789"}


def test_a_patch_leads_from_one_bridge_to_the_other_and_a_tunnel_over_its_route() -> None:
    """eno3 is vmbr1's port; what vmbr0 carries may leave by it; and the tunnels' device carries vmbr0."""
    found = told(KERNELS)

    assert ridden(found, "eno3") == {"ssh", "default-route", "corosync", "guests"}
    assert "vmbr0" in found.stack.above("vxlan_sys_4789")
    assert "vlan10" in found.stack.below("vmbr0")


@pytest.mark.parametrize("vsctl", [None, "", "no JSON", '{"data": []}'])
def test_where_it_cannot_be_told_every_port_carries_what_any_internal_port_carries(vsctl: str | None) -> None:
    """Never less careful than the truth: the NIC of another bridge has it too."""
    found = told(vsctl)

    for port in ("eno1", "eno2", "eno3"):
        assert ridden(found, port) == {"ssh", "default-route", "corosync", "guests"}, port
    assert ridden(found, "eno4") == set()


def test_of_two_bridges_that_nothing_joins_each_has_its_own() -> None:
    """A guest of one does not ride on the NIC of the other, though ovs-system is above both."""
    two = (
        Bridge("vmbr0", (Port("vmbr0", (Interface("vmbr0", "internal"),)), Port("eno1", (Interface("eno1"),)))),
        Bridge("vmbr1", (Port("eno3", (Interface("eno3"),)), Port("tap100i0", (Interface("tap100i0"),)))),
    )
    made = roles.links(json.loads(links([each for each in DEVICES if each[0] not in {"eno2", "vlan10"}])))
    stack = Stack(joined(made, two, BY))
    found = roles.resolved(stack, [*roles.began(stack, BY, {}, ()), roles.Role("vmbr0", "ssh", "")])

    assert {(each.device, each.role) for each in found if each.device.startswith("eno")} == {
        ("eno1", "ssh"), ("eno3", "guests"),
    }  # fmt: skip


def test_a_port_that_ovsdb_does_not_know_is_taken_for_every_bridges() -> None:
    """A switch that another program fills, too."""
    made = roles.links(json.loads(links((*DEVICES, ("eno9", "", PORT, "")))))
    stack = Stack(joined(made, openvswitch.parse(KERNELS), BY))

    assert stack.above("eno9") >= {"ovs-system", "vmbr0", "vmbr1", "vlan10"}
    assert stack.links["eno1"].master == "bond0"


def test_a_switch_in_user_space_is_known_by_ovsdb_alone() -> None:
    """Its ports have no master: without OVSDB's word nothing is changed there."""
    rows = links([
        (name, kind.replace("openvswitch", "tun"), NONE, address)
        for name, kind, _, address in DEVICES if not name.endswith(("system", "4789"))
    ] + [("ovs-netdev", "tun", NONE, "")])  # fmt: skip

    assert ridden(told(BRIDGES, rows), "eno1") == {"ssh", "default-route", "corosync", "guests"}
    with pytest.raises(NotAble, match="does not tell which devices its bridges join"):
        told(None, rows)


def test_a_host_without_open_vswitch_is_not_asked() -> None:
    """One question less for all others."""
    rows = links([each for each in DEVICES if each[1] != "openvswitch"])
    host = FakeHost(answer=lambda command: (0, rows if command == roles.QUESTIONS[0] else ""))
    riding.asked(host)

    assert QUESTION not in host.asked
