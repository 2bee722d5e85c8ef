"""What the API tells of a link between nodes that nobody sees by SSH: whether corosync is on it."""

from dataclasses import replace
from typing import Any

import pytest

from bench.hosts.login import Login
from bench.labs.inventory import Machine
from bench.labs.topology import Topology
from bench.pve import link_check
from bench.pve.access import Access
from bench.pve.deployment import Cluster
from bench.pve.errors import Forbidden
from results.errors import NotAble
from tests.unit.bench.pve_api import Api

UNSEEN = Cluster(Access("pve1", "nettune@pve!bench", ""), {})
BY_SSH = replace(UNSEEN, machines={"pve1": Machine("pve1", Login("pve1"), ())})
ALLOWED = replace(UNSEEN, machines={"pve1": Machine("pve1", Login("pve1"), (), allow=frozenset({"corosync"}))})
PATH = Topology("pve", net=(("bridge", "vmbr0"),))
NICS = [{"iface": f"eno{number}", "type": "eth"} for number in (1, 2, 3)]
VMBR0 = {"iface": "vmbr0", "type": "bridge", "bridge_ports": "eno1"}
BOND = {"iface": "bond0", "type": "bond", "slaves": "eno1 eno2"}
ON_BOND = {**VMBR0, "bridge_ports": "bond0.7"}
AT = {"cidr": "192.0.2.1/24"}
SWITCH = {"iface": "vmbr0", "type": "OVSBridge", "ovs_ports": "eno1 mgmt"}


def words(
    rows: Any, rings: Any, cluster: Cluster = UNSEEN, path: Topology = PATH
) -> list[tuple[str, str]]:  # Any: JSON
    """(what is said of it, why) of pve1's link."""
    nodes = rings if isinstance(rings, Exception) else [{"node": "pve1", **rings}, {"node": "pve2"}]
    there = {f"/nodes/{node}/network": [*NICS, *rows] for node in ("pve1", "pve2")}
    asked = link_check.asked(Api({**there, "/cluster/config/nodes": nodes}), [("pve1", "pve2")], [path], cluster)
    return [(word, why) for what, word, why, _ in asked if what.endswith("pve1")]


TAGGED = {"iface": "vmbr0.50", "type": "vlan", "vlan-raw-device": "vmbr0", **AT}
ON_TOO = {"iface": "vmbr1", "type": "bridge", "bridge_ports": "bond0.9", **AT}
PORT = {"iface": "mgmt", "type": "OVSIntPort", "ovs_bridge": "vmbr0", **AT}
APART = {"iface": "vmbr1", "type": "bridge", "bridge_ports": "eno2", "cidr6": "2001:db8::1/64"}
MINE = "192.0.2.1"


@pytest.mark.parametrize(
    ("rows", "rings", "word", "why"),
    [
        ([{**VMBR0, **AT}], MINE, "missing", "192.0.2.1 is on vmbr0, over eno1"),
        ([VMBR0, {**NICS[0], **AT}], MINE, "missing", "is on eno1, over eno1"),
        ([VMBR0, TAGGED], MINE, "missing", "is on vmbr0.50, over eno1"),
        ([BOND, ON_BOND, ON_TOO], MINE, "missing", "is on vmbr1, over eno1, eno2"),
        ([SWITCH, PORT], MINE, "missing", "is on mgmt, over eno1"),
        ([VMBR0, APART], "2001:db8::1", "there", "whether storage or migration uses it is not seen"),
        ([VMBR0], MINE, "not seen", "on which NIC corosync's 192.0.2.1 lies"),
        ([{**VMBR0, **AT}], "pve1.example", "not seen", "corosync's pve1.example"),
        ([VMBR0, {"iface": "wg0", "type": "unknown", **AT}], MINE, "not seen", "on which NIC"),
        ([{**VMBR0, "bridge_ports": "gre1"}, APART], "2001:db8::1", "not seen", "gre1 is no NIC"),
        ([], MINE, "not seen", "what it lies on is not told"),
    ],
)  # fmt: skip
def test_corosync_is_looked_for_below_the_bridge(rows: list[Any], rings: str, word: str, why: str) -> None:
    """By its address, on the bridge itself, its NICs, a VLAN or another bridge over them."""
    ((found, said),) = words(rows, {"ring0_addr": rings})

    assert found == word
    assert why in said


def test_every_ring_counts_and_what_may_not_be_asked_is_not_seen() -> None:
    """One of several links is enough; a token without Sys.Audit is told so."""
    ((both, _),) = words(
        [{**VMBR0, **AT}, {**APART, "cidr": "192.0.2.9/24"}], {"ring0_addr": "192.0.2.9", "ring1_addr": "192.0.2.1"}
    )
    ((unasked, why),) = words([VMBR0], Forbidden("GET /cluster/config/nodes", "Permission check failed (/, Sys.Audit)"))
    ((none, _),) = words([VMBR0], {})

    assert (both, unasked, none) == ("missing", "not seen", "not seen")
    assert "Sys.Audit" in why


def test_where_ssh_shows_it_nobody_else_is_asked() -> None:
    """But for Open vSwitch, until corosync is allowed there."""
    ring = {"ring0_addr": "192.0.2.1"}
    switch = [{**SWITCH, **AT}]

    assert words([{**VMBR0, **AT}], ring, BY_SSH) == []
    assert [word for word, _ in words(switch, ring, BY_SSH)] == ["missing"]
    assert words(switch, ring, ALLOWED) == []


def test_what_is_passed_through_is_seen_by_nobody() -> None:
    """Its load leaves by another way than the bridge."""
    ((word, _),) = words([{**VMBR0, **AT}], {"ring0_addr": "192.0.2.1"}, path=replace(PATH, device="ens16"))

    assert word == "not seen"


def test_vms_on_one_node_load_no_link() -> None:
    """Nothing is asked; between two it is refused with what instead, or kept with the run."""
    there = {f"/nodes/{node}/network": [*NICS, {**VMBR0, **AT}] for node in ("pve1", "pve2")}
    there["/cluster/config/nodes"] = [{"node": "pve1", "ring0_addr": "192.0.2.1"}]
    with pytest.raises(NotAble, match=r"the link by which vmbr0 leaves pve1: corosync's address") as refused:
        link_check.told(Api(there), [("pve1", "pve2")], [PATH], UNSEEN)
    there["/cluster/config/nodes"] = []
    kept = link_check.told(Api(there), [("pve1", "pve1"), ("pve1", "pve2")], [PATH], UNSEEN)

    assert link_check.told(Api({}), [("pve1", "pve1"), ("pve2", "pve2")], [PATH], UNSEEN) == {}
    assert link_check.notes([("pve1", "pve1")], UNSEEN) == ()
    assert "VMs on one node" in refused.value.hint
    assert list(kept) == ["the link by which vmbr0 leaves pve1", "the link by which vmbr0 leaves pve2"]
    assert "on pve2 it was not seen" in link_check.notes([("pve1", "pve2")], BY_SSH)[0]
