"""Whose a guest is, VM or container, and its removal: never of one that is not ours.

A guest is ours where two things agree: its id stands in our lease file, and its own configuration carries that lease's
id. An id is on disk before the guest is asked for: what a dead run left behind is found, and what somebody else made
meanwhile under the same id is not touched.
"""

import re
import time
from typing import Literal

from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.wire import Value

Kind = Literal["qemu", "lxc"]  # as paths of the API have it
WORDS: dict[Kind, str] = {"qemu": "VM", "lxc": "container"}
MARK = "made by nettune, lease "
_TAG = "nettune"
_STOP_S, _DELETE_S = 60.0, 300.0
_UNLOCKED_S = 120.0  # for a clone or create that goes on in the cluster though who asked for it is gone
_GONE = re.compile(r"does not exist|no such VM|unable to find configuration file", re.IGNORECASE)


def path(kind: Kind, node: str, vmid: int) -> str:
    """Of a guest in the API."""
    return f"/nodes/{node}/{kind}/{vmid}"


def words(lease_id: str) -> dict[str, Value]:
    """The keys of a configuration that say whose it is."""
    return {"tags": f"{_TAG};{_TAG}-{lease_id}", "description": f"{MARK}{lease_id}"}


def remove(client: Client, kind: Kind, node: str, vmid: int, lease_id: str) -> bool:
    """The guest is gone with its disks; False where there is none, or where it is another's. Raises PveFault.

    `node` is where it was made; it is removed where it is.
    """
    at = _found(client, kind, node, vmid, lease_id)
    if not at:
        return False
    where, word = path(kind, at, vmid), WORDS[kind]
    state = client.get(f"{where}/status/current")
    if state.get("status") != "stopped":
        client.done(f"stop {word} {vmid} on {at}", client.post(f"{where}/status/stop"), _STOP_S)
    config = client.get(f"{where}/config")
    if not _marked(config, lease_id):  # asked once more right before: ids are given out again
        return False
    if str(config.get("protection", 0)) not in {"0", ""}:  # a template's, which a clone copies
        client.put(f"{where}/config", {"protection": False})
    # Not destroy-unreferenced-disks: of another guest that had this id once, a disk may be left that is somebody's.
    client.done(f"remove {word} {vmid} on {at}", client.delete(where, {"purge": True}), _DELETE_S)
    return True


def is_ours(client: Client, kind: Kind, node: str, vmid: int, lease_id: str) -> bool | None:
    """False where there is none, or where it is another's; None where it is still being made and does not say yet.

    Raises PveFault where that cannot be asked, or where there is one that may not be seen: it may be ours.
    """
    at, config = _seen(client, kind, node, vmid)
    if at and _in_the_making(config):
        return None
    return bool(at) and _marked(config, lease_id)


def _found(client: Client, kind: Kind, node: str, vmid: int, lease_id: str) -> str:
    """The node on which our guest is; "" where there is none of ours. Waits for one that is still being made.

    Raises PveFault where there is one that may be ours and that may not be seen, or that does not come to its end.
    """
    until = time.monotonic() + _UNLOCKED_S
    while True:
        at, config = _seen(client, kind, node, vmid)
        if not at or not (lock := _in_the_making(config)):
            return at if _marked(config, lease_id) else ""
        if time.monotonic() > until:
            raise PveFault(f"GET {path(kind, at, vmid)}/config", 0, f"{WORDS[kind]} {vmid} is still locked ({lock})",
                           hint="once that is over: nettune lab reap")  # fmt: skip
        time.sleep(0.5)


def _seen(client: Client, kind: Kind, node: str, vmid: int) -> tuple[str, object]:
    """The node on which that guest is, and its configuration; "" and {} where there is none. Raises as `_found`."""
    while True:
        try:
            return node, client.get(f"{path(kind, node, vmid)}/config")
        except PveFault as error:
            # A clone to another node, or one that was moved, is not where it was asked for; rights by a pool are
            # none to an id that is not in it.
            if not (_GONE.search(error.said) or error.status == 403):
                raise
            node = _elsewhere(client, kind, node, vmid, error)
            if not node:
                return "", {}


def _in_the_making(config: object) -> str:
    """The lock of a guest that is being made: until then it is empty beside, and says nothing of whose it is."""
    lock = config.get("lock") if isinstance(config, dict) else None
    return lock if lock in {"clone", "create"} else ""


def _elsewhere(client: Client, kind: Kind, node: str, vmid: int, error: PveFault) -> str:
    """The other node that has the id; "" where the id is free, or a guest's of the other kind.

    Raises `error` where it has one that we do not see.
    """
    try:
        client.get("/cluster/nextid", {"vmid": vmid})  # whoever logs in may ask
    except PveFault as taken:
        if taken.status not in {400, 500} or taken.passes:
            raise
        rows = client.get("/cluster/resources", {"type": "vm"})
        found = next((row for row in rows if row.get("vmid") == vmid), None)
        if found is not None and found.get("type", kind) != kind:
            return ""
        if found is None or found.get("node") == node:
            raise error from taken
        return str(found["node"])
    return ""


def _marked(config: object, lease_id: str) -> bool:
    """Our words with our lease, whose id nobody guesses, and no tag of another lease. A clone has its template's."""
    if not isinstance(config, dict):
        return False
    tags = set(re.split(r"[;, ]+", str(config.get("tags", ""))))
    others = {each for each in tags if each.startswith(f"{_TAG}-")} - {f"{_TAG}-{lease_id}"}
    return str(config.get("description", "")).strip() == f"{MARK}{lease_id}" and not others
