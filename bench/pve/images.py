"""An image that lies here: put where a cluster's nodes import it from, and taken away again.

By the API where a storage takes images (content `import`, Proxmox VE 8.4 and later); else onto the node, by its SSH,
for `qm importdisk`. What is put there carries its lease's id in its name, and only that is taken away.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.hosts.command import Command, HostFault
from bench.labs import lease
from bench.pve import leaving
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.shells import NodeShells
from results.errors import NotAble

VOLUME, FILE = "pve-volume", "pve-file"  # kinds of a lease's lines
KINDS = (VOLUME, FILE)
_FOLDER = "/var/tmp"  # noqa: S108 - of the node: its disk, and the name is nobody else's
_CREATE_S, _REMOVE_S, _PUT_S = 3600.0, 300.0, 3600.0
_WHY = "this Proxmox VE imports images by its node's SSH alone (its storage has no content 'import')"
_PIECE = 1 << 20
Opens = Callable[[Path], contextlib.AbstractContextManager[NodeShells]]  # of a cluster's file


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image is put: a storage by the API, or "", the node's own disk; `nodes` are those that see it there."""

    storage: str
    nodes: tuple[str, ...]


@contextlib.contextmanager
def brought(client: Client, by: NodeShells, image: Path, storage: str, nodes: Sequence[str], *, leases_folder: Path,
            cluster: Path) -> Iterator[Mapping[str, str]]:  # fmt: skip
    """Node -> the source of its guests. Raises PveFault, HostFault, NotAble; a lease stays where something is left."""
    with lease.held(leases_folder) as held:
        name = f"nettune-{held.lease_id}{image.suffix}"
        ours: list[tuple[str, str, str]] = []

        def removed() -> list[str]:
            left = []
            for kind, source, node in ours:
                try:
                    _remove(client, by, kind, source, node, held.lease_id)
                except (PveFault, HostFault, NotAble) as error:
                    left.append(f"{source} on {node}: {error}")
            return left

        with leaving.removing(held, removed, "nettune lab reap, once the cluster answers again"):
            sources: dict[str, str] = {}
            for place in _places(client, storage, nodes):
                node = place.nodes[0]
                source = f"{place.storage}:import/{name}" if place.storage else f"{_FOLDER}/{name}"
                if not place.storage:
                    by.login(node, _WHY)
                line = (VOLUME if place.storage else FILE, source, node)
                held.note(line[0], f"{source} {node} {held.lease_id} {cluster.absolute()}")
                ours.append(line)
                if place.storage:
                    _uploaded(client, image, node, place.storage, name)
                else:
                    by.put(node, image, source, _WHY, deadline_s=_PUT_S)
                sources |= dict.fromkeys(place.nodes, source)
            yield sources


def reap(kind: str, line: str, client_of: Callable[[Path], Client], shells_of: Opens) -> bool:
    """Remove what a line of a lease names; False where it is not there. Raises PveFault, HostFault, NotAble."""
    source, node, lease_id, cluster = line.split(" ", 3)
    with shells_of(Path(cluster)) as by:
        return _remove(client_of(Path(cluster)), by, kind, source, node, lease_id)


def _places(client: Client, storage: str, nodes: Sequence[str]) -> list[_Place]:
    """One for all nodes where the storage is shared, else one a node."""
    found: dict[tuple[str, str], _Place] = {}
    for node in dict.fromkeys(nodes):
        rows = client.get(f"/nodes/{node}/storage", {"enabled": 1})
        row: Mapping[str, Any] = next((each for each in rows if each.get("storage") == storage), {})  # Any: JSON
        takes = "import" in str(row.get("content", "")).split(",")
        key = ("", "") if takes and row.get("shared") else (node, storage if takes else "")
        known = found[key].nodes if key in found else ()
        found[key] = _Place(storage if takes else "", (*known, node))
    return list(found.values())


def _uploaded(client: Client, image: Path, node: str, storage: str, name: str) -> None:
    digest = hashlib.sha256()
    with image.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    fields = {"content": "import", "checksum-algorithm": "sha256", "checksum": digest.hexdigest()}
    upid = client.upload(f"/nodes/{node}/storage/{storage}/upload", fields, image, name)
    client.done(f"upload {name} to {storage} on {node}", upid, _CREATE_S)


def _remove(client: Client, by: NodeShells, kind: str, source: str, node: str, lease_id: str) -> bool:
    """False where it is not there, or does not carry the lease's id."""
    place = Path(source)
    if not place.name.startswith(f"nettune-{lease_id}.") or (kind == FILE and str(place.parent) != _FOLDER):
        return False
    if kind == FILE:
        # Half of it stands beside it while it is written (bench.hosts.ssh).
        there = by.run(node, Command(("ls", "-1", source, f"{source}.nettune-part")), _WHY).stdout.split()
        by.run(node, Command(("rm", "-f", "--", source, f"{source}.nettune-part")), _WHY).require()
        return bool(there)
    storage = source.partition(":")[0]
    rows = client.get(f"/nodes/{node}/storage/{storage}/content", {"content": "import"})
    if not any(row.get("volid") == source for row in rows):
        return False
    upid = client.delete(f"/nodes/{node}/storage/{storage}/content/{source}")
    client.done(f"remove {source} on {node}", upid, _REMOVE_S)
    return True
