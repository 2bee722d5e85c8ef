"""Networks that nettune makes on a node: the API is the double's, its reload ifupdown2's own, the SSH a real sshd's."""

import contextlib
import functools
import signal
import subprocess  # noqa: TID251 - a process of the tests' own
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.ssh import connected
from bench.labs import lease
from bench.labs.topology import Topology
from bench.pve import network_check, networks, reloading
from bench.pve.bridges import Wanted
from bench.pve.client import Client
from bench.pve.networks import Way
from bench.pve.new_network import NewNetwork
from bench.pve.vnets import Vnet
from bench.pve.wire import Https
from results.errors import NotAble
from tests.netns.standing_hosts import waited
from tests.pve import net_node
from tests.pve.faults import WAYS, Faulty
from tests.pve.kit import Double
from tests.pve.net_node import GUESTS, INTERFACES, NODE, NetNode
from tuning.network_guards import NetworkGuards

BRIDGE = "vmbr901"
PLAIN = NewNetwork()


@dataclass(frozen=True)
class Cluster:
    """The double and its node."""

    double: Double
    node: NetNode
    folder: Path

    def client(self, at: int = 0, way: str = "") -> Client:
        """A Client whose request number `at` fails."""
        return Client(Faulty(Https(self.double.access()), at, way), sleep=lambda _: None)

    def way(self, client: Client | None = None, say: Callable[[str], None] = lambda _: None) -> Way:
        """To it."""
        return Way(client or self.client(), {NODE: self.node.login}, NetworkGuards(), say)

    def standing(self, new: NewNetwork = PLAIN, *, client: Client | None = None, mtu: int = 1500, name: str = BRIDGE,
                 say: Callable[[str], None] = lambda _: None) -> Any:  # fmt: skip  # Any: a context manager
        """A network on the node."""
        of = Vnet(name, new, mtu) if new.zone else Wanted(NODE, name, new, mtu)
        return networks.standing(
            self.way(client, say), [of], leases_folder=self.folder / "leases", cluster=self.folder / "pve.yaml"
        )

    def reaped(self) -> list[str]:
        """What `lab reap` could not remove."""

        def remove(kind: str, line: str) -> str:
            assert kind == networks.KIND
            return networks.reap(line, lambda _: self.way())

        return [each.problem for each in lease.reap(self.folder / "leases", remove) if each.problem]


@pytest.fixture
def cluster(double: Double, node_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """One node with guests in its bridges."""
    with net_node.standing(node_root, tmp_path / "sshd") as node:
        net_node.told(double, node)
        reach = functools.partial(connected, dial=net_node.dialer(node.host.netns))
        monkeypatch.setattr(reloading, "connected", reach)
        yield Cluster(double, node, tmp_path)


def test_a_bridge_stands_and_is_gone_without_a_trace(cluster: Cluster) -> None:
    """Up with our comment in it; the diff is kept; afterwards file, ports and devices are as they were, to the byte."""
    before = cluster.node.state()
    with cluster.standing() as (made,):
        file, masters, devices, _ = cluster.node.state()
        row = cluster.client().get(f"/nodes/{NODE}/network/{BRIDGE}")
    after = cluster.node.state()

    assert (made.name, made.where) == (BRIDGE, NODE)
    assert BRIDGE in devices
    assert masters == before[1]
    assert f"+auto {BRIDGE}" in made.changes
    assert "address 192.0.2.1/24" in file
    assert row["comments"].startswith("made by nettune, lease ")
    assert after == before
    assert before[0] == INTERFACES
    assert list((cluster.folder / "leases").glob("*.jsonl")) == []


@pytest.mark.parametrize(
    ("new", "name", "line"),
    [(PLAIN, BRIDGE, f"+auto {BRIDGE}"), (NewNetwork(zone="simple"), "nttest0", '+ vnets {"vnet": "nttest0"')],
)
def test_what_is_applied_is_told_before_it_is_applied(cluster: Cluster, new: NewNetwork, name: str, line: str) -> None:
    """The node's diff, or what is written to SDN: nothing of it stands there yet."""
    told: list[tuple[str, bool]] = []
    with cluster.standing(new, name=name, say=lambda said: told.append((said, name in cluster.node.devices()))):
        there = name in cluster.node.devices()

    ((said, early),) = told
    assert line in said
    assert f"{NODE}" in said.partition(":")[0]
    assert (early, there) == (False, True)


REQUESTS = range(1, 13)


def test_a_free_nic_is_its_port_and_free_again(cluster: Cluster) -> None:
    """Its MTU is raised before the bridge's, and is what it was afterwards, as is whether it was up."""
    before = cluster.node.state()
    link = "ip -o link show eno3 | sed 's/ qdisc .*//'"
    nic = cluster.node.inside(link).stdout
    with cluster.standing(NewNetwork(ports=("eno3",)), mtu=9000):
        masters = cluster.node.masters()
        mtu = cluster.node.inside(f"cat /sys/class/net/{BRIDGE}/mtu /sys/class/net/eno3/mtu").stdout.split()
    after = cluster.node.state()

    assert masters["eno3"] == BRIDGE
    assert mtu == ["9000", "9000"]
    assert after == before
    assert cluster.node.inside(link).stdout == nic


@pytest.mark.sampled(4)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", REQUESTS)
def test_nothing_is_left_whichever_request_fails(cluster: Cluster, at: int, way: str) -> None:
    """Refused, lost, done without an answer; what the block could not remove, reap does; look-alikes are untouched."""
    before = cluster.node.state()
    with contextlib.suppress(NotAble), cluster.standing(NewNetwork(ports=("eno3",)), client=cluster.client(at, way)):
        pass
    problems = cluster.reaped()

    assert problems == []
    assert cluster.node.state() == before
    assert list((cluster.folder / "leases").glob("*.jsonl")) == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", REQUESTS)
def test_nothing_is_left_of_a_process_that_was_killed(cluster: Cluster, at: int, when: str) -> None:
    """SIGKILL at each request; its guard is put back at once, since its lease is dead."""
    before = cluster.node.state()
    words = (sys.executable, "-m", "tests.pve.make_network", str(cluster.double.port), str(cluster.folder), str(at),
             when, cluster.node.host.netns, "bridge")  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    problems = cluster.reaped()

    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    assert problems == []
    assert cluster.node.state() == before


def test_edits_that_wait_and_drift_are_named_and_nothing_is_written(cluster: Cluster) -> None:
    """Somebody's edits would be applied, somebody's device would be moved: both are told at once."""
    cluster.client().post(f"/nodes/{NODE}/network", {"iface": "vmbr8", "type": "bridge"})
    cluster.node.inside("ip addr add 192.0.2.77/24 dev vmbr0").require()
    before = cluster.node.state()
    with pytest.raises(NotAble) as caught, cluster.standing():
        pass

    assert "interfaces.new is there" in str(caught.value)
    assert "vmbr0 is not as /etc/network/interfaces has it (address)" in str(caught.value)
    assert cluster.node.state() == before
    assert cluster.reaped() == []


@pytest.mark.parametrize(
    ("line", "port", "said"),
    [
        ("ip addr add 198.51.100.1/24 dev eno3", "eno3", "it has 198.51.100.1/24"),
        ("ip link set eno3 master vmbr7", "eno3", "vmbr7 is not as"),
        ("true", "eno1", "it is in vmbr0"),
        ("ip link set eno4 up; ip route add default dev eno4", "eno4", "the default route leaves by eno4"),
        ("true", "eno9", "there is no NIC eno9"),
        ("true", "vmbr7", "it is of type bridge"),
    ],
)
def test_a_nic_that_carries_anything_is_not_taken(cluster: Cluster, line: str, port: str, said: str) -> None:
    """It is named, with what it carries; nothing is written."""
    cluster.node.inside(line)
    before = cluster.node.state()
    with pytest.raises(NotAble) as caught, cluster.standing(NewNetwork(ports=(port,))):
        pass

    assert said in str(caught.value)
    assert cluster.node.state() == before


def test_check_tells_of_a_nic_that_is_not_free(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is refused later: a port of another bridge, an address of its own; a free one is there."""
    monkeypatch.setattr(network_check, "connected", vars(reloading)["connected"])
    cluster.node.inside("ip address add 198.51.100.1/24 dev eno3; ip link set eno3 up").require()
    found = {}
    for port in ("eno1", "eno3", "eno4"):
        path = Topology("pve", net=(("bridge", BRIDGE),), create=NewNetwork(ports=(port,)))
        rows = network_check.asked(cluster.client(), [path], (NODE, NODE), {NODE: cluster.node.login})
        found[port] = next(row for row in rows if row[0] == f"{BRIDGE} on {NODE}, to be made")

    assert [row[1] for row in found.values()] == ["missing", "missing", "there"]
    assert "eno1 is no free NIC: it is in vmbr0" in found["eno1"][2]
    assert "eno3 is no free NIC: it has 198.51.100.1" in found["eno3"][2]


def test_a_name_that_somebody_has_is_theirs(cluster: Cluster) -> None:
    """By the file, or by the kernel alone."""
    cluster.node.inside("ip link add vmbr905 type bridge").require()
    before = cluster.node.state()
    for name in ("vmbr7", "vmbr905"):
        with pytest.raises(NotAble, match=f"a device {name} already"), cluster.standing(name=name):
            pass

    assert cluster.node.state() == before


def test_a_reload_that_unplugs_guests_is_taken_back(cluster: Cluster) -> None:
    """With Debian's ifupdown2: every guest is where it was, and is named."""
    net_node.condone(cluster.node.root, on=False)
    before = cluster.node.state()
    with pytest.raises(NotAble) as caught, cluster.standing():
        pass
    after = cluster.node.state()

    assert all(f"{port} is in no bridge and was in {bridge}" in str(caught.value) for port, bridge in GUESTS.items())
    assert after == before
    assert cluster.reaped() == []


def test_a_node_whose_way_is_cut_puts_itself_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can reach it any more: its own guard restores the file and reloads, by which the way is there again."""
    monkeypatch.setattr(reloading, "GUARD_S", 12.0)
    before = cluster.node.state()
    cluster.double.tell("after_reload", NODE, ["ip", "link", "set", "lo", "down"])
    with pytest.raises(NotAble) as caught, cluster.standing():
        pass
    cluster.double.tell("after_reload", NODE, [])
    waited(lambda: cluster.node.file.read_text(encoding="utf-8") == INTERFACES, 60)
    waited(lambda: "UP" in cluster.node.inside("ip -o link show lo").stdout, 60)
    problems = cluster.reaped()

    assert any("puts its network back by itself" in note for note in getattr(caught.value, "__notes__", ()))
    assert problems == []
    assert cluster.node.state() == before


def test_somebody_who_edits_meanwhile_is_not_applied(cluster: Cluster) -> None:
    """Between our writes and the reload: nothing is applied; ours no longer waits, theirs does."""
    _, *before = cluster.node.state()

    class Meddling(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if method == "POST":
                self.wire.call("POST", path, {"iface": "vmbr8", "type": "bridge"})
            return reply

    client = Client(Meddling(Https(cluster.double.access()), 0, ""), sleep=lambda _: None)
    new = NewNetwork(ports=("eno3",))
    with pytest.raises(NotAble, match=r"vmbr8 \(new\)"), cluster.standing(new, client=client, mtu=9000):
        pass
    waits = {row["iface"]: row for row in cluster.client().get(f"/nodes/{NODE}/network")}
    problems = cluster.reaped()
    cluster.client().delete(f"/nodes/{NODE}/network")
    file, *after = cluster.node.state()

    assert "vmbr8" in waits
    assert BRIDGE not in waits
    assert "mtu" not in waits["eno3"]
    assert problems == []
    assert (file, after) == (INTERFACES, before)


def test_edits_that_wait_at_the_end_are_not_applied(cluster: Cluster) -> None:
    """Somebody's, written while ours stood: they are named, the lease stays, and reap removes ours once they go."""
    before = cluster.node.state()
    with pytest.raises(NotAble, match=r"vmbr8 \(new\)"), cluster.standing():
        cluster.client().post(f"/nodes/{NODE}/network", {"iface": "vmbr8", "type": "bridge"})
    still = cluster.reaped()
    devices = cluster.node.devices()
    cluster.client().delete(f"/nodes/{NODE}/network")
    last = cluster.reaped()

    assert "vmbr8 (new)" in still[0]
    assert BRIDGE in devices
    assert "vmbr8" not in devices
    assert last == []
    assert cluster.node.state() == before


def test_an_apply_that_comes_too_late_is_not_begun(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard's time is over before the apply, by writes that took long: nothing is applied without one."""
    monkeypatch.setattr(reloading, "GUARD_S", 3.0)
    before = cluster.node.state()

    class Slow(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if method == "POST":
                time.sleep(8.0)
            return reply

    client = Client(Slow(Https(cluster.double.access()), 0, ""), sleep=lambda _: None)
    with pytest.raises(NotAble, match="the guard had fired"), cluster.standing(client=client):
        pass
    asked = [each for each in cluster.double.tell("requests") if each == ["PUT", f"/api2/json/nodes/{NODE}/network"]]

    assert asked == []
    assert cluster.reaped() == []
    assert cluster.node.state() == before


def test_what_somebody_applied_meanwhile_stays(cluster: Cluster) -> None:
    """Their bridge, made while ours stood: ours alone goes, and the file is as Proxmox VE writes it."""
    with cluster.standing():
        cluster.client().post(f"/nodes/{NODE}/network", {"iface": "vmbr8", "type": "bridge", "autostart": True})
        client = cluster.client()
        client.done("theirs", client.put(f"/nodes/{NODE}/network"), 30.0)
    file, masters, devices, left = cluster.node.state()

    assert "iface vmbr8" in file
    assert BRIDGE not in file
    assert {"vmbr8"} <= devices
    assert BRIDGE not in devices
    assert {port: masters[port] for port in GUESTS} == GUESTS
    assert left == []


def test_a_guest_that_is_plugged_in_keeps_its_bridge(cluster: Cluster) -> None:
    """Somebody's: it is named, the lease stays, and reap removes the bridge once the guest is elsewhere."""
    before = cluster.node.state()
    with pytest.raises(NotAble, match="tap900i0 is plugged into"), cluster.standing():
        cluster.node.inside(f"ip link set tap900i0 master {BRIDGE}").require()
    still = cluster.reaped()
    cluster.node.inside("ip link set tap900i0 master vmbr0").require()
    last = cluster.reaped()

    assert "tap900i0" in still[0]
    assert last == []
    assert cluster.node.state() == before


def test_a_node_without_ssh_is_refused(cluster: Cluster) -> None:
    """With the line that the cluster's file lacks; nothing is asked of the API."""
    way = Way(cluster.client(), {}, NetworkGuards())
    of = networks.standing(
        way, [Wanted(NODE, BRIDGE, PLAIN, 1500)], leases_folder=cluster.folder / "leases", cluster=Path("pve.yaml")
    )
    with pytest.raises(NotAble, match="no SSH of pve1") as caught, of:
        pass

    assert NODE in caught.value.hint


def test_a_bond_that_the_kernel_lacks_is_taken_back(cluster: Cluster) -> None:
    """Where it has bonds the bridge stands on one; else the task fails, and the node is as it was."""
    before = cluster.node.state()
    new = NewNetwork(vlan_aware=True, ports=("eno3", "eno4"), bond="active-backup")
    there = cluster.node.inside("ip link add nt-bond type bond && ip link del nt-bond").ok
    with contextlib.nullcontext() if there else pytest.raises(NotAble, match="ifreload"), cluster.standing(new):
        masters = cluster.node.masters()

        assert masters[masters["eno3"]] == BRIDGE
    problems = cluster.reaped()

    assert problems == []
    assert cluster.node.state() == before
