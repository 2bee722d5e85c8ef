"""Test VMs: made from an image or a template, started, and removed; never one that is not ours.

A VM is ours where two things agree: its id stands in our lease file, and its own configuration carries that lease's id.
An id is on disk before the VM is asked for: what a dead run left behind is found, and what somebody else made meanwhile
under the same id is not touched.
"""

import re
import secrets
import time
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from bench.pve.client import Client
from bench.pve.errors import PveFault, TaskFailed
from bench.pve.wire import Value

MARK = "made by nettune, lease "
_TAG = "nettune"
_CREATE_S, _START_S, _STOP_S, _DELETE_S = 900.0, 120.0, 60.0, 300.0
_UNLOCKED_S = 120.0  # for a clone or create that goes on in the cluster though who asked for it is gone
_TRIES = 8  # for an id that somebody else took between the question and the VM
_TAKEN = re.compile(r"already exists|config file .* exists", re.IGNORECASE)
_GONE = re.compile(r"does not exist|no such VM|unable to find configuration file", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A VM as it is to be.

    source    "9000" clones that template; "local:import/nettune.qcow2" imports that image
    net       net0 as the API takes it, without a MAC
    address   "192.0.2.10/24", or "" for DHCP; `gateway` "" for none
    key       a public key, as authorized_keys has it, for root
    """

    name: str
    node: str
    source: str
    storage: str
    net: str
    key: str
    address: str = ""
    gateway: str = ""
    cores: int = 2
    memory_mb: int = 1024
    pool: str = ""


class Ids(Protocol):
    """The ids of one lease."""

    def claim(self, node: str, lowest: int) -> int:
        """One from there on that is no sibling's; on disk when it returns."""
        ...

    def theirs(self, node: str, vmid: int) -> None:
        """Somebody else had it first."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A VM that runs; `notes` are warnings of its tasks."""

    node: str
    vmid: int
    name: str
    notes: tuple[str, ...] = ()


def make(client: Client, wanted: Wanted, lease_id: str, ids: Ids) -> Made:
    """A VM that is started. Raises PveFault; what was begun stands in the lease, and `remove` takes it away."""
    vmid = _created(client, wanted, lease_id, ids)
    path = f"/nodes/{wanted.node}/qemu/{vmid}"
    started = client.done(f"start VM {vmid} ({wanted.name})", client.post(f"{path}/status/start"), _START_S)
    return Made(wanted.node, vmid, wanted.name, started.notes)


def remove(client: Client, node: str, vmid: int, lease_id: str) -> bool:
    """The VM is gone with its disks; False where there is none, or where it is another's. Raises PveFault.

    `node` is where it was made; it is removed where it is.
    """
    at = _found(client, node, vmid, lease_id)
    if not at:
        return False
    path = f"/nodes/{at}/qemu/{vmid}"
    state = client.get(f"{path}/status/current")
    if state.get("status") != "stopped":
        client.done(f"stop VM {vmid}", client.post(f"{path}/status/stop"), _STOP_S)
    config = client.get(f"{path}/config")
    if not _marked(config, lease_id):  # asked once more right before: ids are given out again
        return False
    if str(config.get("protection", 0)) not in {"0", ""}:  # a template's, which a clone copies
        client.put(f"{path}/config", {"protection": False})
    # Not destroy-unreferenced-disks: of another VM that had this id once, a disk may be left that is somebody's.
    client.done(f"remove VM {vmid}", client.delete(path, {"purge": True}), _DELETE_S)
    return True


def _created(client: Client, wanted: Wanted, lease_id: str, ids: Ids) -> int:
    """Its id. Of several that ask at once one gets an id, and the others ask for the next."""
    for number in range(1, _TRIES + 1):
        lowest = int(client.get("/cluster/nextid")) + (secrets.randbelow(8 * number) if number > 1 else 0)
        vmid = ids.claim(wanted.node, lowest)
        try:
            _asked_for(client, wanted, vmid, lease_id)
        except PveFault as error:
            again = (
                isinstance(error, TaskFailed) and error.passes
            )  # a storage's lock; what was begun is taken back there
            taken = _TAKEN.search(str(error)) and not _is_ours(client, wanted.node, vmid, lease_id)
            if number == _TRIES or not (again or taken):
                raise
            if taken:
                ids.theirs(wanted.node, vmid)
            continue
        return vmid
    raise AssertionError("the last try returns or raises")


def _asked_for(client: Client, wanted: Wanted, vmid: int, lease_id: str) -> None:
    call = f"make VM {vmid} ({wanted.name}) on {wanted.node}"
    if not wanted.source.isdigit():
        disks: dict[str, Value] = {
            "vmid": vmid, "name": wanted.name, "ostype": "l26", "scsihw": "virtio-scsi-pci",
            "scsi0": f"{wanted.storage}:0,import-from={wanted.source}", "boot": "order=scsi0", "serial0": "socket",
            "ide2": f"{wanted.storage}:cloudinit", **({"pool": wanted.pool} if wanted.pool else {}),
        }  # fmt: skip
        given = {**disks, **_settings(wanted, lease_id)}
        client.done(call, client.post(f"/nodes/{wanted.node}/qemu", given), _CREATE_S)
        return
    clone: dict[str, Value] = {
        "newid": vmid, "name": wanted.name, "description": f"{MARK}{lease_id}",
        **({"pool": wanted.pool} if wanted.pool else {}),
    }  # fmt: skip
    home = _home(client, int(wanted.source))
    if home != wanted.node:
        clone["target"] = wanted.node
    client.done(call, client.post(f"/nodes/{home}/qemu/{wanted.source}/clone", clone), _CREATE_S)
    # Asked for at once and not as a task: nothing of it needs the VM to run.
    client.put(f"/nodes/{wanted.node}/qemu/{vmid}/config", _settings(wanted, lease_id))


def _settings(wanted: Wanted, lease_id: str) -> dict[str, Value]:
    """What a VM of an image and one of a template have alike."""
    way = f"ip={wanted.address}" if wanted.address else "ip=dhcp"
    return {
        "cores": wanted.cores, "memory": wanted.memory_mb, "agent": "enabled=1", "net0": wanted.net,
        "tags": f"{_TAG};{_TAG}-{lease_id}", "description": f"{MARK}{lease_id}",
        "protection": False, "ciuser": "root", "ciupgrade": 0,
        "ipconfig0": way + (f",gw={wanted.gateway}" if wanted.gateway else ""),
        # URL-encoded by us, once more by the form: the API wants it so (format `urlencoded`).
        "sshkeys": quote(wanted.key.strip(), safe=""),
    }  # fmt: skip


def _home(client: Client, template: int) -> str:
    """The node that a template is on. Raises PveFault where there is none."""
    for row in client.get("/cluster/resources", {"type": "vm"}):
        if row.get("vmid") == template:
            if not row.get("template"):
                raise PveFault("GET /cluster/resources", 0, f"VM {template} is no template",
                               hint=f"qm template {template}, or name another one")  # fmt: skip
            return str(row["node"])
    raise PveFault("GET /cluster/resources", 0, f"there is no template {template}, or it may not be seen",
                   hint=f"pveum acl modify /vms/{template} needs VM.Clone and VM.Audit")  # fmt: skip


def _is_ours(client: Client, node: str, vmid: int, lease_id: str) -> bool:
    """False where somebody else has the id."""
    try:
        return _marked(client.get(f"/nodes/{node}/qemu/{vmid}/config"), lease_id)
    except PveFault:
        return False  # on another node of the cluster, or not ours to see


def _found(client: Client, node: str, vmid: int, lease_id: str) -> str:
    """The node on which our VM is; "" where there is none of ours. Waits for one that is still being made.

    Raises PveFault where there is one that may be ours and that may not be seen, or that does not come to its end.
    """
    until = time.monotonic() + _UNLOCKED_S
    while True:
        try:
            config = client.get(f"/nodes/{node}/qemu/{vmid}/config")
        except PveFault as error:
            # A clone to another node, or one that was moved, is not where it was asked for; rights by a pool are
            # none to an id that is not in it.
            if not (_GONE.search(error.said) or error.status == 403):
                raise
            elsewhere = _elsewhere(client, node, vmid, error)
            if not elsewhere:
                return ""
            node = elsewhere
            continue
        # While it is being made its configuration is empty but for the lock, and says nothing of whose it is.
        lock = config.get("lock")
        if lock not in {"clone", "create"}:
            return node if _marked(config, lease_id) else ""
        if time.monotonic() > until:
            raise PveFault(f"GET /nodes/{node}/qemu/{vmid}/config", 0, f"VM {vmid} is still locked ({lock})",
                           hint="once that is over: nettune lab reap")  # fmt: skip
        time.sleep(0.5)


def _elsewhere(client: Client, node: str, vmid: int, error: PveFault) -> str:
    """The other node that has the id; "" where the id is free. Raises `error` where it has one that we do not see."""
    try:
        client.get("/cluster/nextid", {"vmid": vmid})  # whoever logs in may ask
    except PveFault as taken:
        if taken.status not in {400, 500} or taken.passes:
            raise
        rows = client.get("/cluster/resources", {"type": "vm"})
        found = next((str(row.get("node")) for row in rows if row.get("vmid") == vmid), "")
        if not found or found == node:
            raise error from taken
        return found
    return ""


def _marked(config: object, lease_id: str) -> bool:
    """Our words with our lease, whose id nobody guesses, and no tag of another lease. A clone has its template's."""
    if not isinstance(config, dict):
        return False
    tags = set(re.split(r"[;, ]+", str(config.get("tags", ""))))
    others = {each for each in tags if each.startswith(f"{_TAG}-")} - {f"{_TAG}-{lease_id}"}
    return str(config.get("description", "")).strip() == f"{MARK}{lease_id}" and not others
