"""How many guests a cluster has room for, asked before the first is made: memory of nodes, free ids.

Proxmox VE has no limits of a pool; a node starts more vCPUs than it has CPUs, and more memory than it has until it
kills somebody. So memory is refused, CPUs are told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.pve.client import Client
from bench.pve.deployment import Deployment
from bench.pve.errors import PveFault
from results.errors import NotAble

# Beside a guest's own memory: QEMU's, and what vhost and socket buffers keep of a busy one. A node's own, beside.
_OVER_MB, _KEPT_MB = 160, 1024
_LOWEST, _HIGHEST = 100, 1_000_000  # of /cluster/nextid where the datacenter's options say nothing (PVE::Cluster)


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has: free MB and CPUs; None where it may not be seen."""

    free_mb: int | None
    cpus: int | None


def nodes(client: Client) -> Mapping[str, Node]:
    """Of every node. Raises PveFault."""
    found = {}
    for row in client.get("/nodes"):
        seen = row.get("maxmem") and row.get("mem") is not None
        free = (int(row["maxmem"]) - int(row["mem"])) >> 20 if seen else None
        found[str(row.get("node"))] = Node(free, int(row["maxcpu"]) if row.get("maxcpu") else None)
    return found


def fitting(places: Sequence[tuple[str, str]], of: Deployment, there: Mapping[str, Node]) -> tuple[int, str]:
    """How many of these pairs memory holds, in their order, and the node that has none for the next; "" for all."""
    used: Counter[str] = Counter()
    for number, place in enumerate(places):
        for node in place:
            used[node] += of.memory_mb + _OVER_MB
            free = there[node].free_mb if node in there else None
            if free is not None and used[node] > free - _KEPT_MB:
                return number, node
    return len(places), ""


def check(
    client: Client, of: Deployment, places: Sequence[tuple[str, str]], word: str = "pairs"
) -> tuple[str, ...]:  # fmt: skip
    """What is to be known of the room there, in sentences. Raises NotAble saying how many pairs fit; PveFault.

    `word`: what a plan calls two guests; its "paths" stand at the same time too.
    """
    there = nodes(client)
    fit, full = fitting(places, of, there)
    if fit < len(places):
        count = sum(place.count(full) for place in places)
        free = there[full].free_mb
        raise NotAble(
            f"{len(places)} {word} put {count} guests of {of.memory_mb} MB on {full}, which has {free} MB free, "
            f"{_KEPT_MB} of them its own: {fit} {word} fit",
            hint=f"{word} up to {fit}, or less memory_mb" if fit else "less memory_mb, or another node",
        )
    _ids(client, 2 * len(places), word)
    return tuple(_said(node, places, of, there) for node in dict.fromkeys(each for place in places for each in place))


def _said(node: str, places: Sequence[tuple[str, str]], of: Deployment, there: Mapping[str, Node]) -> str:
    count = sum(place.count(node) for place in places)
    found = there.get(node, Node(None, None))
    memory = "memory not seen" if found.free_mb is None else f"{found.free_mb} MB free"
    vcpus = count * of.cores
    cpus = "CPUs not seen" if found.cpus is None else f"{vcpus} vCPUs on {found.cpus} CPUs"
    shared = ", which they share" if found.cpus is not None and vcpus > found.cpus else ""
    return f"{node}: {count} guests, {count * of.memory_mb} MB of memory ({memory}), {cpus}{shared}"


def _ids(client: Client, count: int, word: str = "pairs") -> None:
    """Enough ids are free in the range that the datacenter's options give out, as far as seen. Raises NotAble."""
    lowest, highest = span(client)
    taken = sum(lowest <= each < highest for each in used(client))
    if (free := highest - lowest - taken) < count:
        raise NotAble(
            f"{count} guests take {count} ids, and of {lowest} to {highest - 1} {free} are free: "
            f"{free // 2} {word} fit",
            hint="Datacenter, Options, Next Free VMID Range",
        )


def used(client: Client) -> frozenset[int]:
    """The ids of all guests that may be seen. Raises PveFault."""
    return frozenset(int(row["vmid"]) for row in client.get("/cluster/resources", {"type": "vm"}) if "vmid" in row)


def span(client: Client) -> tuple[int, int]:
    """The first id that is given out, and the one after the last; the usual ones where that may not be seen."""
    try:
        told: Any = client.get("/cluster/options")  # Any: JSON
    except PveFault:
        return _LOWEST, _HIGHEST
    given = told.get("next-id") if isinstance(told, dict) else None
    words = dict(each.partition("=")[::2] for each in given.split(",")) if isinstance(given, str) else given or {}
    return int(words.get("lower", _LOWEST)), int(words.get("upper", _HIGHEST))
