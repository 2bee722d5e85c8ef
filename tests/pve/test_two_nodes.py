"""Networks that nettune makes on two nodes: where one of them fails at the apply, both are as they were."""

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
from bench.pve.client import Client
from bench.pve.interfaces import FILE
from bench.pve.networks import Way
from bench.pve.new_network import NewNetwork
from bench.pve.vnets import Vnet
from bench.pve.wire import Https
from results.errors import NotAble
from tests.netns import exported_root
from tests.netns.standing_hosts import waited
from tests.pve import net_node
from tests.pve.faults import Faulty
from tests.pve.kit import Double
from tests.pve.net_node import INTERFACES, NetNode
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

    def way(self, client: Client | None = None) -> Way:
        """To both."""
        logins = {name: node.login for name, node in self.nodes.items()}
        return Way(client or self.double.client(), logins, NetworkGuards())

    def standing(
        self, of: Sequence[networks.Wanted], client: Client | None = None
    ) -> AbstractContextManager[tuple[networks.Made, ...]]:
        """The networks."""
        places = {"leases_folder": self.folder / "leases", "cluster": self.folder / "pve.yaml"}
        return networks.standing(self.way(client), of, **places)

    def reaped(self) -> list[str]:
        """What `lab reap` could not remove."""
        done = lease.reap(self.folder / "leases", lambda _, line: networks.reap(line, lambda _: self.way()))
        return [each.problem for each in done if each.problem]

    def state(self) -> Any:  # Any: of several kinds
        """All that must be as before, of both nodes and of the cluster's SDN; and the leases."""
        leases = list((self.folder / "leases").glob("*.jsonl"))
        return {name: node.state() for name, node in self.nodes.items()}, self.double.tell("sdn"), leases


@pytest.fixture(scope="session")
def other_root(node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As node_root, for the other one."""
    return exported_root.copied(node_root, tmp_path_factory.mktemp("other") / "root")


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


@pytest.mark.sampled(1)
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
    problems = cluster.reaped()

    assert any(f"{ONE} puts its network back by itself" in note for note in getattr(caught.value, "__notes__", ()))
    assert now == before[OTHER]
    assert problems == []
    assert cluster.state()[0] == before


@pytest.mark.parametrize("of", [[VNET], BRIDGES[1:]], ids=["vnet", "bridge"])
def test_somebody_who_writes_the_file_before_the_apply_keeps_it(cluster: Nodes, of: list[networks.Wanted]) -> None:
    """By hand, on one of them: nothing is applied on either, and what they wrote is not put back."""
    _, sdn, _ = before = cluster.state()
    theirs = f"{INTERFACES}# theirs\n"

    class Writing(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            if method == "POST":
                cluster.nodes[OTHER].file.write_text(theirs, encoding="utf-8")
            return self.wire.call(method, path, parameters)

    client = Client(Writing(Https(cluster.double.access()), 0, ""), sleep=lambda _: None)
    standing = cluster.standing(of, client)
    with pytest.raises(NotAble, match=f"on {OTHER}: somebody else has changed {FILE} meanwhile"), standing:
        pass
    applied = [path for method, path in cluster.double.tell("requests") if method == "PUT"]
    devices = cluster.nodes[OTHER].devices()
    cluster.double.client().delete(f"/nodes/{OTHER}/network")  # what waits there, as the error asks for
    problems = cluster.reaped()
    nodes, *after = cluster.state()

    assert applied == []
    assert not {"nttest0", "vmbr901"} & devices
    assert problems == []
    assert nodes[ONE] == before[0][ONE]
    assert nodes[OTHER] == (theirs, *before[0][OTHER][1:])
    assert after == [sdn, []]
