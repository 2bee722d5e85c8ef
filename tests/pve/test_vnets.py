"""SDN vnets that nettune makes: the double's zones and vnets, applied on a node by ifupdown2; nobody else's."""

import contextlib
import re
import signal
import subprocess  # noqa: TID251 - a process of the tests' own
import sys
from typing import Any

import pytest

from bench.pve.new_network import NewNetwork
from results.errors import NotAble
from tests.pve.faults import WAYS
from tests.pve.net_node import GUESTS, NODE
from tests.pve.test_networks import Cluster, cluster

__all__ = ["cluster"]  # a fixture
VNET = "nttest0"
SIMPLE = NewNetwork(zone="simple")
REQUESTS = range(1, 60)  # of about 55


def state(of: Cluster) -> Any:  # Any: of several kinds
    """All that must be as before: the node, but for the file that SDN writes anew; the cluster's zones and vnets."""
    return of.node.state(), of.double.tell("sdn")


@pytest.fixture(autouse=True)
def theirs(cluster: Cluster) -> None:
    """A vnet of somebody's that looks like ours, and runs."""
    client = cluster.client()
    client.post("/cluster/sdn/zones", {"zone": "n0000000", "type": "simple"})
    client.post(
        "/cluster/sdn/vnets", {"vnet": "nttest1", "zone": "n0000000", "alias": "made by nettune, lease 00000000"}
    )
    client.done("theirs", client.put("/cluster/sdn"), 30.0)


def test_a_vnet_stands_and_is_gone_without_a_trace(cluster: Cluster) -> None:
    """In a zone of its own; the guests' ports stay, theirs runs on."""
    before = state(cluster)
    with cluster.standing(SIMPLE, name=VNET, mtu=1400):
        devices, masters = cluster.node.devices(), cluster.node.masters()
        runs = cluster.double.tell("sdn")["running"]["vnets"]
        mtu = cluster.node.inside(f"cat /sys/class/net/{VNET}/mtu").stdout.strip()

    assert {VNET, "nttest1"} <= devices
    assert mtu == "1400"
    assert masters.items() >= GUESTS.items()
    assert runs[VNET]["alias"].startswith("made by nettune, lease ")
    assert state(cluster) == before


@pytest.mark.sampled(4)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", REQUESTS)
def test_nothing_is_left_whichever_request_fails(cluster: Cluster, at: int, way: str) -> None:
    """Refused, lost, done without an answer; what the block could not remove, reap does."""
    before = state(cluster)
    with contextlib.suppress(NotAble), cluster.standing(SIMPLE, name=VNET, client=cluster.client(at, way)):
        pass
    problems = cluster.reaped()

    assert problems == []
    assert state(cluster) == before
    assert list((cluster.folder / "leases").glob("*.jsonl")) == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", REQUESTS)
def test_nothing_is_left_of_a_process_that_was_killed(cluster: Cluster, at: int, when: str) -> None:
    """SIGKILL at each request."""
    before = state(cluster)
    words = (sys.executable, "-m", "tests.pve.make_network", str(cluster.double.port), str(cluster.folder), str(at),
             when, cluster.node.host.netns, "vnet")  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    problems = cluster.reaped()

    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    assert problems == []
    assert state(cluster) == before


def test_edits_of_sdn_that_wait_are_named_and_not_applied(cluster: Cluster) -> None:
    """Theirs: a zone that nobody has applied yet; and a node's own edits, which the same apply would take."""
    client = cluster.client()
    client.post("/cluster/sdn/zones", {"zone": "lab", "type": "simple"})
    with pytest.raises(NotAble, match=r"zone lab \(new\)"), cluster.standing(SIMPLE, name=VNET):
        pass
    client.delete("/cluster/sdn/zones/lab")
    client.post(f"/nodes/{NODE}/network", {"iface": "vmbr8", "type": "bridge"})
    with pytest.raises(NotAble, match=r"interfaces.new is there"), cluster.standing(SIMPLE, name=VNET):
        pass

    assert VNET not in str(cluster.double.tell("sdn"))
    assert "vmbr8" not in cluster.node.devices()


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("subnets", {"subnet": "n0-10.0.0.0-24", "vnet": "nttest1", "state": "new"}, "subnet n0-10.0.0.0-24"),
        ("controllers", {"controller": "bgp1", "state": "changed"}, "controller bgp1"),
        ("fabrics/fabric", {"id": "fab1", "state": "new"}, "fabric fab1"),
        ("fabrics/node", {"fabric_id": "fab1", "node_id": "pve1", "state": "deleted"}, "node of a fabric fab1 pve1"),
        ("prefix-lists", {"id": "list1", "state": "changed"}, "prefix list list1"),
        ("route-maps/entries", {"route-map-id": "map1", "order": 10, "state": "new"}, "route map map1 10"),
    ],
)
def test_whatever_else_of_sdn_waits_is_named_and_not_applied(
    cluster: Cluster, kind: str, row: dict[str, Any], said: str
) -> None:
    """Before anything is written; a row that does not wait is in nobody's way."""
    runs = cluster.double.tell("sdn")["running"]
    cluster.double.tell("set", 0, "sdn_waiting", {kind: [row]})
    with pytest.raises(NotAble, match=re.escape(f"{said} ({row['state']})")), cluster.standing(SIMPLE, name=VNET):
        pass
    cluster.double.tell("set", 0, "sdn_waiting", {kind: [{**row, "state": ""}]})
    with cluster.standing(SIMPLE, name=VNET):
        cluster.double.tell("set", 0, "sdn_waiting", {})

    assert cluster.double.tell("sdn")["running"] == runs


def test_a_version_that_knows_no_fabrics_is_asked_for_none(cluster: Cluster) -> None:
    """Before 9 those calls are not implemented: nothing of that kind can wait."""
    before = state(cluster)
    cluster.double.tell("set", 0, "sdn_older", True)
    with cluster.standing(SIMPLE, name=VNET):
        pass

    assert state(cluster) == before


@pytest.mark.parametrize("name", ["nttest1", "vmbr7"])
def test_a_name_that_somebody_has_is_theirs(cluster: Cluster, name: str) -> None:
    """A vnet of theirs, or a device of a node."""
    before = state(cluster)
    with pytest.raises(NotAble, match=f"{name} already"), cluster.standing(SIMPLE, name=name):
        pass

    assert state(cluster) == before


def test_a_node_that_does_not_take_in_sdn_is_refused(cluster: Cluster) -> None:
    """By its file, which lacks the line."""
    text = cluster.node.file.read_text(encoding="utf-8")
    cluster.node.file.write_text(text.replace("source /etc/network/interfaces.d/*\n", ""), encoding="utf-8")
    with pytest.raises(NotAble, match="does not take in what SDN writes"), cluster.standing(SIMPLE, name=VNET):
        pass

    assert VNET not in str(cluster.double.tell("sdn"))


def test_a_vnet_that_does_not_come_up_is_taken_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task ends well, the node's reload does not: all is as it was."""
    monkeypatch.setattr("bench.pve.vnets._SETTLE_S", 1.0)
    before = state(cluster)
    cluster.double.tell("after_reload", NODE, ["ip", "link", "del", VNET])
    with pytest.raises(NotAble, match=f"there is no {VNET}"), cluster.standing(SIMPLE, name=VNET):
        pass

    assert cluster.reaped() == []
    assert state(cluster) == before
