"""An SDN vnet in a zone of its own, made for a test and removed: for the cluster, under a guard on every node.

`PUT /cluster/sdn` applies everybody's edits of SDN and reloads every online node, with the edits that wait there.
A vnet is ours where its name stands in our lease and its alias carries that lease; a zone has no words of its own: ours
is named after the lease. The nodes' /etc/network/interfaces is not touched.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.pve import interfaces, reloading
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.interfaces import FILE, Seen
from bench.pve.new_network import NewNetwork
from bench.pve.ownership import MARK
from bench.pve.reloading import Expected, Held, Node
from bench.pve.wire import Value
from results.errors import NotAble

_SDN = "/cluster/sdn"
_KINDS = {"zones": "zone", "vnets": "vnet", "controllers": "controller"}  # what waits for the same apply, by its key
# What version 9 and later have beside (pve-network, PVE/API2/Network/SDN): for a person, and the keys that name one.
_LATER = {
    "fabrics/fabric": ("fabric", ("id",)), "fabrics/node": ("node of a fabric", ("fabric_id", "node_id")),
    "prefix-lists": ("prefix list", ("id",)), "route-maps/entries": ("route map", ("route-map-id", "order")),
}  # fmt: skip
_ABSENT = {404, 501}  # of a call that this version does not have
# The task reloads one node after the other, and one that was passed on may end after it.
_SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Vnet:
    """A vnet as it is to be."""

    name: str
    new: NewNetwork
    mtu: int


def online(client: Client) -> tuple[str, ...]:
    """The nodes that an apply reloads."""
    return tuple(sorted(str(row["node"]) for row in client.get("/nodes") if row.get("status") == "online"))


def zone_of(lease_id: str) -> str:
    """The name of a lease's zone: 8 letters at most, the first one no digit."""
    return f"n{lease_id[:7]}"


def make(nodes: Sequence[Node], wanted: Vnet, lease_id: str, note: Callable[[Sequence[str]], None],
         say: Callable[[str], None]) -> str:  # fmt: skip
    """The vnet, up on every node; what was written, for a person, which `say` is told before it is applied.

    Raises NotAble; `remove` takes away what was begun.
    """
    client, zone = nodes[0].client, zone_of(lease_id)
    _alone(client, ())
    held = []
    for node in nodes:
        was = reloading.ready(node.host)
        if not was.sources_sdn:
            raise NotAble(f"on {node.name}: {FILE} does not take in what SDN writes, so no vnet would stand there",
                          hint="its last line: source /etc/network/interfaces.d/*")  # fmt: skip
        if wanted.name in was.nics:
            raise NotAble(f"on {node.name}: there is a device {wanted.name} already, and it is not ours")
        held.append(Held(node, was, {}))
    for kind, name in (("vnets", wanted.name), ("zones", zone)):
        if name in _rows(client, kind):
            raise NotAble(f"there is a {_KINDS[kind]} {name} already, and it is not ours",
                          hint="choose another name for the vnet")  # fmt: skip
    note((wanted.name, zone))
    with reloading.guarded(held, lease_id) as renewed:
        calls = requests(wanted, zone, f"{MARK}{lease_id}")
        changes = "\n".join(f"+ {path.rpartition('/')[2]} {json.dumps(parameters)}" for path, parameters in calls)
        for path, parameters in calls:
            client.post(path, parameters)
        say(f"in SDN, to be applied now on {', '.join(node.name for node in nodes)}:\n{changes}")
        renewed()
        _apply(held, (wanted.name, zone), Expected(ours=[wanted.name], there=[wanted.name]))
    return changes


def requests(wanted: Vnet, zone: str, mark: str) -> list[tuple[str, dict[str, Value]]]:
    """The calls that write it: the zone, then its vnet. Pure."""
    new = wanted.new
    of_zone: dict[str, Value] = {"zone": zone, "type": new.zone, "mtu": wanted.mtu}
    of_zone |= {"bridge": new.over} if new.over else {}
    of_zone |= {"peers": ",".join(new.peers)} if new.peers else {}
    of_vnet: dict[str, Value] = {"vnet": wanted.name, "zone": zone, "alias": mark}
    of_vnet |= {"tag": new.id} if new.id else {}
    of_vnet |= {"vlanaware": True} if new.vlan_aware else {}
    return [(f"{_SDN}/zones", of_zone), (f"{_SDN}/vnets", of_vnet)]


def remove(nodes: Sequence[Node], names: Sequence[str], lease_id: str) -> bool:
    """Vnet and zone are gone from the cluster and every node; False where nothing of ours was there. Raises NotAble."""
    client = nodes[0].client
    for node in nodes:
        reloading.settled(node, lease_id)
    ours = _ours(_rows(client, "vnets"), _rows(client, "zones"), names, lease_id)
    runs = _ours(_rows(client, "vnets", running=True), _rows(client, "zones", running=True), names, lease_id)
    # A node that has put itself back, after an apply of which no answer came, has what the cluster no longer knows.
    seen = {node.name: interfaces.seen(node.host) for node in nodes}
    stale = [name for name, each in seen.items() if _stands(each, names, lease_id)]
    if not (ours or runs or stale):
        return False
    _alone(client, names)
    held = []
    for node in nodes if runs or stale else ():
        was = reloading.alone(node.name, seen[node.name], interfaces.stanzas(seen[node.name].sdn))
        plugged = [device for device, master in was.masters.items() if master in names]
        if plugged:
            raise NotAble(f"on {node.name}: {', '.join(plugged)} is plugged into {names[0]}, and not ours to unplug",
                          hint="move that guest to another bridge, then: nettune lab reap")  # fmt: skip
        held.append(Held(node, was, {}))
    with reloading.guarded(held, lease_id) as renewed:
        for kind, name in ours:  # the vnet first: a zone that has one cannot go
            client.delete(f"{_SDN}/{kind}/{name}")
        if held:
            renewed()
            gone = names if stale else [name for kind, name in runs if kind == "vnets"]
            _apply(held, names, Expected(gone=gone))
    return True


def _stands(seen: Seen, names: Sequence[str], lease_id: str) -> bool:
    """A node's own file has a vnet of ours, with the alias that Proxmox VE writes there."""
    there = bool(interfaces.stanzas(seen.sdn) & set(names))
    return there and f"{MARK}{lease_id}" in (seen.sdn or b"").decode(errors="replace")


def _ours(vnets: Mapping[str, Mapping[str, object]], zones: Iterable[str], names: Sequence[str], lease_id: str
          ) -> list[tuple[str, str]]:  # fmt: skip
    """(kind, name) of what stands in the lease and carries it."""
    mark, zone = f"{MARK}{lease_id}", zone_of(lease_id)
    found = [("vnets", name) for name, row in vnets.items()
             if name in names and row.get("zone") == zone and str(row.get("alias", "")).strip() == mark]  # fmt: skip
    return [*found, *(("zones", name) for name in zones if name in names and name == zone)]


def _apply(held: Sequence[Held], ours: Collection[str], expected: Expected) -> None:
    client = held[0].node.client
    _alone(client, ours)
    for each in held:
        reloading.same(each.node, each.was)
    reloading.reloaded(held, lambda: client.put(_SDN), expected, _SETTLE_S)


def _alone(client: Client, ours: Collection[str]) -> None:
    """Nobody else's edits of SDN wait. Raises NotAble naming them."""
    waiting = []
    for kind, key in _KINDS.items():
        rows = _pending(client, kind)
        waiting += [_said(key, (key,), row) for row in rows if row.get("state") and row.get(key) not in ours]
        for vnet in (str(row["vnet"]) for row in rows if kind == "vnets" and row.get("state") != "deleted"):
            subnets = _pending(client, f"vnets/{vnet}/subnets")
            waiting += [f"{_said('subnet', ('subnet',), row)} of {vnet}" for row in subnets if row.get("state")]
    for kind, (word, keys) in _LATER.items():
        try:
            waiting += [_said(word, keys, row) for row in _pending(client, kind) if row.get("state")]
        except PveFault as error:
            if error.status not in _ABSENT:
                raise
    if waiting:
        raise NotAble(f"an apply of SDN would apply what is not ours: {'; '.join(waiting)}",
                      hint="apply or take back those edits: Datacenter, SDN")  # fmt: skip


def _pending(client: Client, kind: str) -> Sequence[Mapping[str, object]]:
    """Rows with their `state` where they wait: new, changed or deleted."""
    rows = client.get(f"{_SDN}/{kind}", {"pending": True})
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _said(word: str, keys: Sequence[str], row: Mapping[str, object]) -> str:
    return f"{word} {' '.join(str(row.get(key)) for key in keys)} ({row['state']})"


def _rows(client: Client, kind: str, *, running: bool = False) -> dict[str, Mapping[str, object]]:
    """Name -> row; as it is written, or as it was last applied."""
    key = _KINDS[kind]
    rows = client.get(f"{_SDN}/{kind}", {"running": True} if running else {})
    return {str(row[key]): row for row in rows}
