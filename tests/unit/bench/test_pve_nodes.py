"""The part of a path that lies on nodes of Proxmox VE: found by names, through a firewall, to the way out."""

from pathlib import Path

import pytest

from bench.facts.riding import Riding
from bench.facts.roles import Link, Role, Routes, Stack, resolved, tunnelled
from bench.hosts.host import Host
from bench.hosts.login import Login
from bench.labs.inventory import Machine
from bench.labs.standing import LabBroken
from bench.pve import deployment, nodes
from bench.pve.access import Access
from bench.pve.deployment import Cluster
from bench.pve.machines import Made
from results.errors import WrongInput
from tests.unit.bench.fakes import FakeHost

PLAIN = (Link("tap101i0", "tun", "vmbr0"), Link("vmbr0", "bridge"), Link("eno1", "", "vmbr0"))
WALLED = (
    Link("tap101i0", "tun", "fwbr101i0"), Link("fwbr101i0", "bridge"), Link("fwln101i0", "veth", "fwbr101i0"),
    Link("fwpr101p0", "veth", "vmbr0"), Link("vmbr0", "bridge"), Link("bond0", "bond", "vmbr0"),
    Link("eno1", "", "bond0"), Link("eno2", "", "bond0"), Link("tap900i0", "tun", "vmbr0"),
)  # fmt: skip
TAGGED = (Link("tap101i0", "tun", "vmbr0v5"), Link("vmbr0v5", "bridge"), Link("eno1.5", "vlan", "vmbr0v5", ("eno1",)),
          Link("eno1", "", "vmbr0"), Link("vmbr0", "bridge"))  # fmt: skip
SWITCHED = (Link("tap101i0", "tun", "ovs-system"), Link("ovs-system", "openvswitch"))


@pytest.mark.parametrize(
    ("links", "passed", "out"),
    [
        (PLAIN, ("tap101i0", "vmbr0"), "eno1"),
        (WALLED, ("tap101i0", "fwbr101i0", "fwln101i0", "fwpr101p0", "vmbr0"), "bond0"),
        (TAGGED, ("tap101i0", "vmbr0v5"), "eno1.5"),
        (SWITCHED, ("tap101i0",), ""),
        (PLAIN[1:], (), ""),
        ((*PLAIN, Link("eno2", "", "vmbr0")), ("tap101i0", "vmbr0"), ""),  # which of the two it takes nobody knows
    ],
)
def test_a_vms_way_is_found_by_the_names_of_its_devices(
    links: tuple[Link, ...], passed: tuple[str, ...], out: str
) -> None:
    """With and without the firewall, on a VLAN's own bridge, on Open vSwitch; where the VM is not there is none."""
    stack = Stack(links)

    assert nodes.passed(stack, Made("qemu", "pve1", 101, "a")) == passed
    assert (nodes.uplink(stack, passed[-1]) if passed else "") == out


def test_between_two_nodes_the_ways_out_are_on_the_path_in_order() -> None:
    """From a's tap outwards, and inwards to b's; a node that is not reached is left out."""
    there = tuple(Link(each.name.replace("101", "102"), each.kind, each.master.replace("101", "102")) for each in PLAIN)
    made = [Made("qemu", "pve1", 101, "a"), Made("qemu", "pve2", 102, "b")]
    hosts: dict[str, Host] = {"pve1": FakeHost("pve1"), "pve2": FakeHost("pve2")}
    told = {"pve1": Riding(Stack(WALLED), (), ()), "pve2": Riding(Stack(there), (), ())}
    both = nodes._devices(made, hosts, told)
    one = nodes._devices(made, {"pve2": hosts["pve2"]}, told)
    same = nodes._devices([made[0], Made("qemu", "pve1", 101, "b")], hosts, told)

    changing = nodes._devices(made[:1], hosts, told, ("vm-firewall",))

    assert changing == (("pve1", "tap101i0"), ("pve1", "vmbr0"))  # the rest comes and goes
    assert both == (
        *(("pve1", each) for each in ("tap101i0", "fwbr101i0", "fwln101i0", "fwpr101p0", "vmbr0", "bond0")),
        *(("pve2", each) for each in ("eno1", "vmbr0", "tap102i0")),
    )
    assert one == both[-3:]
    assert ("pve1", "bond0") not in same
    with pytest.raises(LabBroken, match="there is no device tap103i0, which VM 103"):
        nodes._devices([Made("qemu", "pve1", 103, "a")], hosts, told)


@pytest.mark.parametrize(
    ("device", "role", "allow", "refused"),
    [
        ("eno1", "corosync", (), True),
        ("eno1", "storage", (), True),
        ("eno1", "corosync", ("corosync",), False),
        ("eno1", "guests", (), False),  # VMs share a bridge by design
        ("vmbr0", "corosync", (), False),  # between VMs of one node load passes the bridge and no link
        ("eno7", "corosync", (), False),
    ],
)
def test_load_on_what_a_cluster_lives_on_is_refused_until_that_is_allowed(
    device: str, role: str, allow: tuple[str, ...], refused: bool
) -> None:
    """On the way out alone."""
    machine = Machine("pve1", Login("pve1"), ("tap101i0", "vmbr0", "eno1"), allow=frozenset(allow))
    both = [Made("qemu", "pve1", 101, "a"), Made("qemu", "pve2", 102, "b")]
    rides = Riding(Stack((*PLAIN, Link("eno7"))), (Role(device, role, "it is so"),), ())  # type: ignore[arg-type]  # a role
    try:
        nodes._not_needed_by_others(machine, rides, nodes._leaving("pve1", both, rides.stack))
        said = ""
    except LabBroken as error:
        said = f"{error} {error.hint}"

    assert bool(said) == refused
    assert not refused or (f"eno1 carries {role}" in said and f"allow: [{role}]" in said)


# Corosync is on another VLAN of the bond, or on the NIC below a bridge that is no port of the VMs' own.
ON_BOND = (Link("tap101i0", "tun", "vmbr1"), Link("vmbr1", "bridge"), Link("bond0.100", "vlan", "vmbr1", ("bond0",)),
           Link("bond0.50", "vlan", "", ("bond0",)), Link("bond0", "bond"), Link("eno1", "", "bond0"))  # fmt: skip
VLAN_ZONE = (Link("tap101i0", "tun", "vnet1"), Link("vnet1", "bridge"), Link("vmbr7.20", "vlan", "vnet1", ("vmbr7",)),
             Link("vmbr7", "bridge"), Link("tap900i0", "tun", "vmbr7"), Link("eno1", "", "vmbr7"),
             Link("vmbr7.50", "vlan", "", ("vmbr7",)))  # fmt: skip
UNAWARE_ZONE = (Link("tap101i0", "tun", "vnet1"), Link("vnet1", "bridge"), Link("ln_vnet1", "veth", "vnet1"),
                Link("pr_vnet1", "veth", "vmbr0v20"), Link("vmbr0v20", "bridge"),
                Link("eno1.20", "vlan", "vmbr0v20", ("eno1",)), Link("eno1", "", "vmbr0"), Link("vmbr0", "bridge"),
                Link("eno1.50", "vlan", "", ("eno1",)))  # fmt: skip
VXLAN_ZONE = (Link("tap101i0", "tun", "vnet1"), Link("vnet1", "bridge"), Link("vxlan_vnet1", "vxlan", "vnet1"),
              Link("eno1", "", "vmbr0"), Link("vmbr0", "bridge"), Link("vmbr0.50", "vlan", "", ("vmbr0",)))  # fmt: skip
TWO_WAYS = (*PLAIN, Link("eno2", "", "vmbr0"), Link("eno2.50", "vlan", "", ("eno2",)))
FDB = [{"mac": "00:00:00:00:00:00", "ifname": "vxlan_vnet1", "dst": "192.0.2.2"}, {"mac": "x", "ifname": "vmbr0"}]
BY = Routes((("0.0.0.0/0", "eno9"), ("192.0.2.0/24", "vmbr0")))


@pytest.mark.parametrize(
    ("links", "corosync", "named"),
    [
        (ON_BOND, "bond0.50", "bond0"),
        (VLAN_ZONE, "vmbr7.50", "eno1"),
        (UNAWARE_ZONE, "eno1.50", "eno1"),
        (VXLAN_ZONE, "vmbr0.50", "eno1"),
        (TWO_WAYS, "eno2.50", "eno2"),
    ],
)
def test_load_is_refused_wherever_below_the_way_out_corosync_rides(
    links: tuple[Link, ...], corosync: str, named: str
) -> None:
    """A VLAN on a bond, an SDN's VLAN zone of either kind, a VXLAN's underlay; not between two VMs of one node."""
    stack = Stack(tunnelled(links, BY, FDB))
    rides = Riding(stack, resolved(stack, [Role(corosync, "corosync", f"{corosync} is on corosync's network")]), ())
    machine = Machine("pve1", Login("pve1"), ())
    a, b, near = (Made("qemu", node, vmid, "a") for node, vmid in (("pve1", 101), ("pve2", 102), ("pve1", 103)))
    with pytest.raises(LabBroken, match=f"{named} carries corosync, .* rides on {named}"):
        nodes._not_needed_by_others(machine, rides, nodes._leaving("pve1", [a, b], stack))

    assert nodes._leaving("pve1", [a, near], stack) == ()
    assert not any(each.startswith("tap") for each in nodes._leaving("pve1", [a, b], stack))


def test_from_behind_nat_load_leaves_by_the_other_ends_bridge() -> None:
    """A's bridge has no port: its node leads what comes from there into b's."""
    behind = Stack((Link("tap101i0", "tun", "nat0"), Link("nat0", "bridge"), *PLAIN[1:]))
    made = [Made("qemu", "pve1", 101, "a"), Made("qemu", "pve2", 102, "b")]

    assert nodes._leaving("pve1", made, behind) == ()
    assert nodes._leaving("pve1", made, behind, "vmbr0") == ("eno1",)


def test_what_was_seen_of_the_nodes_is_told_and_what_was_not() -> None:
    """One of two by SSH."""
    reached = Cluster(Access("pve1", "x@pve!y", "s"), {"pve1": Machine("pve1", Login("pve1"), ())})
    both = nodes.notes(("pve1", "pve2"), reached)

    assert len(both) == 2
    assert "CPU figures are those of the whole of pve1" in both[0]
    assert "Of pve2 " in both[1]
    assert "vhost" in both[1]
    assert len(nodes.notes(("pve1", "pve1"), reached)) == 1
    assert nodes.host_name("a") == "node-a"
    assert nodes.host_name("pve1") == "pve1"


def test_a_nodes_entry_is_read_with_what_it_allows(tmp_path: Path) -> None:
    """Which nodes are reached is known without the secret; a role that is none is named by line."""
    path = tmp_path / "pve.yaml"
    entry = "{ssh: 'root@pve1', allow: [guests], speed_mbps: 1000}"
    text = f"api: pve1\ntoken: a@pve!b\nsecret_file: secret\nnodes:\n  pve1: {entry}\n"
    path.write_text(text, encoding="utf-8")
    reached = deployment.reached(path)
    (tmp_path / "secret").write_text("x\n", encoding="utf-8")
    (tmp_path / "secret").chmod(0o600)
    loaded = deployment.load(path)
    path.write_text(text.replace("guests", "guest"), encoding="utf-8")
    with pytest.raises(WrongInput, match=r"pve\.yaml:5: .*guest"):
        deployment.load(path)

    assert reached == {"pve1"}
    assert (loaded.machines["pve1"].allow, loaded.machines["pve1"].speed_mbps) == (frozenset({"guests"}), 1000)
