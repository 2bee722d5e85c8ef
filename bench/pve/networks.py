"""Networks that are made for a test: bridges of nodes, SDN vnets; all of them gone when the block ends, or by reap."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import HostFault
from bench.hosts.login import Login
from bench.labs import lease
from bench.labs.topology import Topology
from bench.pve import bridges, leaving, reloading, vnets
from bench.pve.client import Client
from bench.pve.guarding import Guards
from bench.pve.reloading import Node
from bench.pve.vnets import Vnet
from results.errors import NotAble

KIND = "pve-network"
Wanted = bridges.Wanted | Vnet
_APPLIED = (
    "PUT /nodes/{node}/network: apply, once nobody else's edits wait; the diff of {node}'s file is Proxmox VE's to "
    "tell once these edits wait there, and a run prints it before this call"
)


@dataclass(frozen=True, slots=True)
class Way:
    """How a cluster is spoken to: its API, its nodes by SSH, and the guards that are armed on them.

    `say` is told what is about to be applied.
    """

    client: Client
    logins: Mapping[str, Login]
    guards: Guards
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Made:
    """A network that stands; `changes` is what was applied for it, as a person reads it."""

    name: str
    where: str
    changes: str


def wanted(topology: Topology, placed: Sequence[str]) -> tuple[Wanted, ...]:
    """What a path asks for, of VMs on those nodes."""
    new, name = topology.create, dict(topology.net).get("bridge", "")
    if new is None:
        return ()
    if new.zone:
        return (Vnet(name, new, topology.mtu),)
    return tuple(bridges.Wanted(node, name, new, topology.mtu) for node in dict.fromkeys(placed))


@contextlib.contextmanager
def standing(way: Way, of: Sequence[Wanted], *, leases_folder: Path, cluster: Path) -> Iterator[tuple[Made, ...]]:
    """The networks, up on their nodes. `cluster` is the file by which reap finds API and nodes again.

    Raises NotAble where one cannot be made: those before it are removed. What cannot be removed stays in the lease, and
    the error names it.
    """
    if not of:
        yield ()
        return
    with lease.held(leases_folder) as held:
        noted: list[dict[str, object]] = []

        def note(node: str, names: Sequence[str]) -> None:
            line: dict[str, object] = {
                "node": node, "names": list(names), "lease": held.lease_id, "cluster": str(cluster.absolute()),
            }  # fmt: skip
            held.note(KIND, json.dumps(line))
            noted.append(line)

        def removed() -> list[str]:
            return [said for line in reversed(noted) if (said := _gone(way, line))]

        with leaving.removing(held, removed, "nettune lab reap, once that is set right"):
            yield tuple(_made(way, each, held.lease_id, note) for each in of)


def _made(way: Way, of: Wanted, lease_id: str, note: Callable[[str, Sequence[str]], None]) -> Made:
    if isinstance(of, Vnet):
        with _opened(way, vnets.online(way.client)) as nodes:
            changes = vnets.make(nodes, of, lease_id, lambda names: note("", names), way.say)
        return Made(of.name, ", ".join(node.name for node in nodes), changes)
    with _opened(way, (of.node,)) as (node,):
        changes = bridges.make(node, of, lease_id, lambda names: note(of.node, names), way.say)
    return Made(of.name, of.node, changes)


@contextlib.contextmanager
def _opened(way: Way, names: Sequence[str]) -> Iterator[tuple[Node, ...]]:
    with contextlib.ExitStack() as stack:
        yield tuple(
            stack.enter_context(reloading.opened(name, way.client, way.logins, way.guards)) for name in names
        )  # fmt: skip


def _removed(way: Way, line: Mapping[str, object]) -> bool:
    """What a line of a lease names is gone; False where nothing of ours was there. Raises NotAble."""
    listed = line["names"]
    names = [str(each) for each in listed] if isinstance(listed, list) else []
    lease_id, node = str(line["lease"]), str(line["node"])
    with _opened(way, (node,) if node else vnets.online(way.client)) as nodes:
        return bridges.remove(nodes[0], names, lease_id) if node else vnets.remove(nodes, names, lease_id)


def _gone(way: Way, line: Mapping[str, object]) -> str:
    """What could not be removed, in words."""
    try:
        _removed(way, line)
    except (NotAble, HostFault) as error:
        return f"{_named(line)}: {error}"
    return ""


def reap(line: str, way_of: Callable[[Path], Way]) -> str:
    """Remove what a line of a lease names; what it was in words, "" where nothing of ours is there. Raises NotAble."""
    told = json.loads(line)
    return _named(told) if _removed(way_of(Path(told["cluster"])), told) else ""


def _named(line: Mapping[str, object]) -> str:
    names = line["names"]
    listed = ", ".join(map(str, names)) if isinstance(names, list) else ""
    return f"{listed} on {line['node']}" if line["node"] else f"{listed} of SDN"


def told(made: Sequence[Made]) -> dict[str, str]:
    """What the run keeps of them."""
    return {f"network {each.name}": f"made on {each.where} for this run; applied:\n{each.changes}" for each in made}


def commands(topology: Topology, placed: Sequence[str]) -> list[tuple[str, str]]:
    """(node, line) of what would be asked, for `--dry-run`.

    The diff is Proxmox VE's to tell, once edits wait: a run shows it right before it applies them.
    """
    found = []
    for each in wanted(topology, placed):
        if isinstance(each, Vnet):
            found += [("cluster", f"make {each.name}: {each.new.words}, mtu {each.mtu}; apply SDN on every node")]
            found += [("cluster", f"POST {path} {json.dumps(given)}")
                      for path, given in vnets.requests(each, "nLEASE", "made by nettune, lease LEASE")]  # fmt: skip
            continue
        rows: dict[str, Mapping[str, object]] = {port: {"type": "eth"} for port in each.new.ports}
        bond = "bondN" if each.new.bond else ""
        calls = bridges.requests(f"/nodes/{each.node}/network", each, bond, rows, "made by nettune, lease LEASE")
        found += [(each.node, f"make {each.name}: {each.new.words}, mtu {each.mtu}, under a guard on {each.node}")]
        found += [(each.node, f"{method} {path} {json.dumps(given)}") for method, path, given in calls]
        found += [(each.node, _APPLIED.format(node=each.node))]
    return found
