"""Networks that nettune makes on a node whose kernel has them all: bonds, VLAN-aware bridges, vnets of VLAN and VXLAN.

The API is the double's, the node a guest of its own, its reload ifupdown2's.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.pve import networks, reloading
from bench.pve.bridges import Wanted
from bench.pve.networks import Way
from bench.pve.new_network import MODES, NewNetwork
from bench.pve.vnets import Vnet
from results.errors import NotAble
from tests.pve.kit import Double, running
from tests.pve.net_node import NODE
from tests.vm import node_guest
from tests.vm.node_guest import AWARE, PLAIN, NodeGuest
from tuning.network_guards import NetworkGuards

BRIDGE, VNET = "vmbr901", "nttest0"
_BOND = (
    f"cd /sys/class/net/{BRIDGE}; cat bridge/vlan_filtering mtu; ls brif; "
    "cd ../bond90; cat mtu bonding/mode bonding/slaves"  # the first name that is free
)
_VXLAN = (
    f"cd /sys/class/net/{VNET}; cat mtu; ls brif; ip -d link show vxlan_{VNET} | grep -o 'vxlan id [0-9]*'; "
    f"bridge fdb show dev vxlan_{VNET} | grep -o 'dst [^ ]*'"
)
# A network, what is asked of the node while it stands, and what the node says.
CASES: Mapping[str, tuple[networks.Wanted, str, list[str]]] = {
    **{
        mode: (
            Wanted(NODE, BRIDGE, NewNetwork(vlan_aware=True, ports=("eno3", "eno4"), bond=mode), 9000),
            _BOND,
            ["1", "9000", "bond90", "9000", mode, str(MODES.index(mode)), "eno3", "eno4"],
        )
        for mode in MODES
    },
    "vlan of a bridge that passes VLANs": (
        Vnet(VNET, NewNetwork(zone="vlan", id=20, over=AWARE), 1400),
        f"cd /sys/class/net/{VNET}; cat mtu; ls brif; grep -o 'VID: [0-9]*' /proc/net/vlan/{AWARE}.20",
        ["1400", f"{AWARE}.20", "VID:", "20"],
    ),
    "vlan of one that does not": (
        Vnet(VNET, NewNetwork(zone="vlan", id=20, over=PLAIN), 1500),
        f"cd /sys/class/net/{VNET}; cat mtu; ls brif; ls ../{PLAIN}v20/brif",
        ["1500", f"ln_{VNET}", "eno1.20", f"pr_{VNET}"],
    ),
    "vxlan": (
        Vnet(VNET, NewNetwork(zone="vxlan", id=900, peers=("192.0.2.1", "192.0.2.2")), 1450),
        _VXLAN,
        ["1450", f"vxlan_{VNET}", "vxlan", "id", "900", "dst", "192.0.2.2"],
    ),
}


@dataclass(frozen=True)
class Site:
    """The guest and the double of its API."""

    node: NodeGuest
    double: Double
    folder: Path


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulated node on a busy machine takes its time; guards whose time is over are tests/pve's."""
    monkeypatch.setattr(reloading, "GUARD_S", 600.0)
    monkeypatch.setattr(reloading, "APPLY_S", 300.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For all tests: each leaves the node as it was."""
    folder = tmp_path_factory.mktemp("node")
    with node_guest.standing(folder) as node, running(folder) as double:
        node_guest.told(double, node)
        yield Site(node, double, folder)


def standing(site: Site, of: networks.Wanted) -> AbstractContextManager[tuple[networks.Made, ...]]:
    """The network on the node."""
    way = Way(site.double.client(), {NODE: site.node.login}, NetworkGuards())
    return networks.standing(way, [of], leases_folder=site.folder / "leases", cluster=site.folder / "pve.yaml")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", CASES)
def test_a_network_stands_and_is_gone_without_a_trace(site: Site, case: str) -> None:
    """In the node's kernel, as asked; then all of its state is what it was, files to the byte."""
    of, asked, said = CASES[case]
    before = site.node.state()
    with standing(site, of):
        stands = site.node.inside(asked).require().stdout.split()

    assert stands == said
    assert site.node.state() ^ before == set()
    assert list((site.folder / "leases").glob("*.jsonl")) == []


@pytest.mark.sampled(2)  # cases are dealt by this number: with another one it is not among those above
def test_a_bond_that_is_lost_in_the_reload_is_taken_back(site: Site) -> None:
    """The task ends well, and the bond is not there: its NICs are free again, all is as it was."""
    before = site.node.state()
    site.double.tell("after_reload", NODE, ["ip", "link", "delete", "bond90"])
    with pytest.raises(NotAble, match="there is no bond90"), standing(site, CASES["802.3ad"][0]):
        pass
    site.double.tell("after_reload", NODE, [])

    assert site.node.state() ^ before == set()
    assert list((site.folder / "leases").glob("*.jsonl")) == []
