"""The link between VMs of two nodes, where no SSH shows what else rides on it: what the API tells of it, before load.

With a node's SSH nodes.py sees that itself, but for a bridge of Open vSwitch, whose ports are hidden from the kernel's
tools. The API has corosync's addresses and the node's devices; of storage and migration it tells nothing here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Any

from bench.labs.topology import Topology
from bench.pve.client import Client
from bench.pve.deployment import Cluster
from bench.pve.errors import PveFault
from bench.pve.network_check import Asked
from results.errors import NotAble

_NOTE = (
    "Load passed the link between {nodes}, on which others may ride: on {unseen} it was not seen whether storage or "
    "migration does, nor by SSH whether corosync does."
)
_ELSEWHERE = "corosync's addresses are on other links; whether storage or migration uses it is not seen"
_BELOW = ("bridge_ports", "ovs_ports", "ovs_bonds", "slaves", "vlan-raw-device", "ovs_bridge")
_Rows = Mapping[str, Mapping[str, Any]]  # Any: JSON; the devices of a node by name
Place = tuple[str, str]


def notes(places: Sequence[Place], cluster: Cluster) -> tuple[str, ...]:
    """What a result says of a link that nobody looked at."""
    nodes = _crossed(places)
    unseen = [each for each in nodes if each not in cluster.nodes]
    return (_NOTE.format(nodes=" and ".join(nodes), unseen=" and ".join(unseen)),) if unseen else ()


def told(
    client: Client, places: Sequence[Place], topologies: Sequence[Topology], cluster: Cluster
) -> Mapping[str, str]:
    """What a run is to keep of links that it loads without seeing them. Raises NotAble for one that carries corosync.

    Nothing where all VMs of a pair are on one node, or where the nodes show it themselves.
    """
    found = {}
    for what, word, why, hint in asked(client, places, topologies, cluster):
        if word == "missing":
            raise NotAble(f"{what}: {why}", hint=hint)
        found[what] = why
    return found


def asked(client: Client, places: Sequence[Place], topologies: Sequence[Topology], cluster: Cluster) -> Iterator[Asked]:
    """Of each node that load leaves, and each bridge by which it does; the last word is what else one may do."""
    bridges = dict.fromkeys(name for each in topologies if not each.create for name in _leaves_by(each))
    for node in _crossed(places):
        rows: _Rows = {}
        try:
            rows = {str(row.get("iface")): row for row in client.get(f"/nodes/{node}/network")}
            rings, why = _rings(client, node), ""
        except PveFault as error:
            rings, why = (), f"what else rides on it is not seen: {error.said}; with Sys.Audit on / corosync would be"
        for bridge in bridges:
            switched = str(rows.get(bridge, {}).get("type", "")).startswith("OVS")
            if node in cluster.nodes and not switched:
                continue  # nodes.py sees it
            if node in cluster.machines and "corosync" in cluster.machines[node].allow:
                continue
            what = f"the link by which {bridge} leaves {node}"
            if why or bridge not in rows:
                yield what, "not seen", why or "what it lies on is not told, nor what else rides there", ""
                continue
            yield _judged(what, bridge, node, rows, rings, by_ssh=node in cluster.nodes)


def _judged(what: str, bridge: str, node: str, rows: _Rows, rings: Sequence[str], *, by_ssh: bool) -> Asked:
    loaded, unknown = _lies_on(bridge, rows), list[str]()
    for ring in rings:
        device = _device_of(ring, rows)
        below = _lies_on(device, rows)
        if common := loaded & below:
            instead = f"of {node} in the cluster's file: allow: [corosync]" if by_ssh else (
                f"SSH of {node} in the cluster's file (nodes: {{{node}: {{ssh: ssh://root@{node}}}}}) and `nettune run "
                "--shared-link`, which holds load to a share of it"
            )  # fmt: skip
            why = (f"corosync's address {ring} is on {device}, over {', '.join(sorted(common))} as {bridge} is, and "
                   "load between the VMs would pass it")  # fmt: skip
            return what, "missing", why, f"a bridge on links of its own, VMs on one node, or {instead}"
        unknown += [] if _are_nics(below, rows) else [ring]
    if unknown or not rings:
        said = f"corosync's {', '.join(unknown)}" if unknown else "corosync's addresses"
        return what, "not seen", f"on which NIC {said} lies is not told: corosync may ride on it", ""
    if not _are_nics(loaded, rows):
        return what, "not seen", f"{', '.join(sorted(loaded))} is no NIC: what rides below it is not told", ""
    return what, "there", _ELSEWHERE, ""


def _crossed(places: Sequence[Place]) -> tuple[str, ...]:
    """The nodes that load leaves."""
    return tuple(dict.fromkeys(node for place in places for node in place if len(set(place)) > 1))


def _leaves_by(topology: Topology) -> tuple[str, ...]:
    """The bridges by which load of a path leaves its nodes; what is passed through has no name in Proxmox VE."""
    names = (topology.device,) if topology.device else (dict(topology.net)["bridge"], topology.peer)
    return tuple(each for each in names if each)


def _rings(client: Client, node: str) -> tuple[str, ...]:
    """Corosync's addresses of a node, as its configuration has them: names, too. Raises PveFault."""
    rows = client.get("/cluster/config/nodes")
    row: Mapping[str, Any] = next((row for row in rows if row.get("node", row.get("name")) == node), {})  # Any: JSON
    return tuple(str(value) for key, value in sorted(row.items()) if re.fullmatch(r"ring\d+_addr", key) and value)


def _device_of(ring: str, rows: _Rows) -> str:
    """The device with that address; "" where none is told, or where it is a name."""
    try:
        address = ip_address(ring)
    except ValueError:
        return ""
    return next((name for name, row in rows.items() if address in _addresses(row)), "")


def _addresses(row: Mapping[str, Any]) -> frozenset[IPv4Address | IPv6Address]:  # Any: JSON
    given = (row.get(key) for key in ("cidr", "cidr6", "address", "address6"))
    return frozenset(ip_interface(str(each)).ip for each in given if each)


def _are_nics(devices: frozenset[str], rows: _Rows) -> bool:
    return all(rows.get(each, {}).get("type") == "eth" for each in devices)


def _lies_on(device: str, rows: _Rows) -> frozenset[str]:
    """The devices at the bottom of one: NICs, by way of bridges, bonds, VLANs and ports of Open vSwitch."""
    found, waiting, passed = set(), [device], set[str]()
    while waiting:
        name = waiting.pop()
        if name in passed:
            continue
        passed.add(name)
        row = rows.get(name, {})
        below = [each for key in _BELOW for each in str(row.get(key) or "").split()]
        base = name.partition(".")[0]  # eno1.50
        below += [base] if base != name and not below else []
        waiting += below
        if not below:
            found.add(name)
    return frozenset(found)
