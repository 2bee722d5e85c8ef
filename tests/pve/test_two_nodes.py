"""Networks that nettune makes on two nodes: where one of them fails at the apply, both are as they were."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.labs import lease
from bench.pve import networks, reloading, vnets
from bench.pve.bridges import Wanted
from bench.pve.networks import Way
from bench.pve.new_network import NewNetwork
from bench.pve.vnets import Vnet
from results.errors import NotAble
from tests.netns.standing_hosts import waited
from tests.pve import net_node
from tests.pve.kit import Double
from tests.pve.net_node import NetNode
from tuning.network_guards import NetworkGuards

ONE, OTHER = NODES = ("pve1", "pve2")
VNET = Vnet("nttest0", NewNetwork(zone="simple"), 1500)
BRIDGES = [Wanted(name, "vmbr901", NewNetwork(), 1500) for name in NODES]
# What a reload does to a guest where it goes wrong; once, so that taking the network away goes well.
UNPLUGGED = ["sh", "-c", "[ -e /run/once ] || { touch /run/once; ip link set tap900i0 nomaster; }"]
CUT = ["sh", "-c", "[ -e /run/once ] || { touch /run/once; ip link set lo down; }"]


@dataclass(frozen=True)
class Nodes:
    """The double and its two nodes."""

    double: Double
    nodes: Mapping[str, NetNode]
    folder: Path

    @property
    def way(self) -> Way:
        """To both."""
        logins = {name: node.login for name, node in self.nodes.items()}
        return Way(self.double.client(), logins, NetworkGuards())

    def standing(self, of: Sequence[networks.Wanted]) -> AbstractContextManager[tuple[networks.Made, ...]]:
        """The networks."""
        return networks.standing(self.way, of, leases_folder=self.folder / "leases", cluster=self.folder / "pve.yaml")

    def state(self) -> Any:  # Any: of several kinds
        """All that must be as before, of both nodes and of the cluster's SDN; and the leases."""
        leases = list((self.folder / "leases").glob("*.jsonl"))
        return {name: node.state() for name, node in self.nodes.items()}, self.double.tell("sdn"), leases


@pytest.fixture(scope="session")
def other_root(node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As node_root, for the other one; what lies in its /dev is no file to copy, and is mounted over."""
    root = tmp_path_factory.mktemp("other") / "root"
    devices = str(node_root / "dev")
    shutil.copytree(node_root, root, symlinks=True, ignore=lambda at, names: names if at == devices else [])
    return root


@pytest.fixture
def cluster(
    double: Double, node_root: Path, other_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nodes]:
    """Each node with guests in its bridges."""
    double.tell("add_node", OTHER)
    with (
        net_node.standing(node_root, tmp_path / ONE) as one,
        net_node.standing(other_root, tmp_path / OTHER) as other,
    ):
        nodes = dict(zip(NODES, (one, other), strict=True))

        def reach(name: str, login: Login) -> AbstractContextManager[Ssh]:
            return connected(name, login, dial=net_node.dialer(nodes[name].host.netns))

        monkeypatch.setattr(reloading, "connected", reach)
        for name, node in nodes.items():
            net_node.told(double, node, name)
        yield Nodes(double, nodes, tmp_path)


@pytest.mark.parametrize("of", [[VNET], BRIDGES], ids=["vnet", "bridges"])
def test_a_network_stands_on_both_and_is_gone_without_a_trace(cluster: Nodes, of: list[networks.Wanted]) -> None:
    """Up on each of them; then both are as they were."""
    before = cluster.state()
    with cluster.standing(of) as made:
        there = [made[0].name in node.devices() for node in cluster.nodes.values()]

    assert there == [True, True]
    assert cluster.state() == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("fails", NODES)
@pytest.mark.parametrize("of", [[VNET], BRIDGES], ids=["vnet", "bridges"])
def test_where_one_fails_at_the_apply_both_are_as_before(
    cluster: Nodes, monkeypatch: pytest.MonkeyPatch, of: list[networks.Wanted], fails: str
) -> None:
    """A guest of its own was unplugged there: the error names node and guest, and nothing is left for reap."""
    monkeypatch.setattr(vnets, "_SETTLE_S", 1.0)
    before = cluster.state()
    cluster.double.tell("after_reload", fails, UNPLUGGED)
    with pytest.raises(NotAble) as caught, cluster.standing(of):
        pass

    assert f"on {fails}: after the reload tap900i0 is in no bridge and was in vmbr0" in str(caught.value)
    assert cluster.state() == before


def test_where_one_cannot_be_reached_any_more_the_other_is_put_back_at_once(
    cluster: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one puts itself back, and the error says so; reap takes the rest away."""
    monkeypatch.setattr(reloading, "GUARD_S", 15.0)
    monkeypatch.setattr(reloading, "_NODE_S", 0.0)
    before, _, _ = cluster.state()
    one, other = cluster.nodes.values()
    cluster.double.tell("after_reload", ONE, CUT)
    with pytest.raises(NotAble) as caught, cluster.standing([VNET]):
        pass
    now = other.state()
    waited(lambda: "UP" in one.inside("ip -o link show lo").stdout, 60)
    waited(lambda: VNET.name not in one.devices(), 60)
    reaped = lease.reap(cluster.folder / "leases", lambda _, line: networks.reap(line, lambda _: cluster.way))

    assert any(f"{ONE} puts its network back by itself" in note for note in getattr(caught.value, "__notes__", ()))
    assert now == before[OTHER]
    assert [each.problem for each in reaped if each.problem] == []
    assert cluster.state()[0] == before
