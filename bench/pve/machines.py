"""Test guests of one kind or the other, made of an image or a template and started; whose they are: ownership.py."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote

from bench.hosts.command import Command
from bench.pve import containers, errors, ownership
from bench.pve.client import Client
from bench.pve.errors import PveFault, Refused, TaskFailed
from bench.pve.ownership import WORDS, Kind
from bench.pve.shells import NodeShells
from bench.pve.wanted import Origin, Wanted
from bench.pve.wire import Parameters, Value

Answer = TypeVar("Answer")

_CREATE_S = 900.0
_TRIES = 8  # for an id that somebody else took between the question and the guest
_YOUNG = {"ciupgrade"}  # Proxmox VE 7 upgrades no packages at the first boot
_UNKNOWN = "not defined in schema"  # PVE::JSONSchema
_TAKEN = re.compile(r"already exists|config file .* exists", re.IGNORECASE)


class Ids(Protocol):
    """The ids of one lease."""

    def claim(self, kind: Kind, node: str, lowest: int) -> int:
        """One from there on that is no sibling's; on disk when it returns."""
        ...

    def theirs(self, kind: Kind, node: str, vmid: int) -> None:
        """Somebody else had it first."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A guest that runs; `nic` is the number of the measured one, `notes` are warnings of its tasks."""

    kind: Kind
    node: str
    vmid: int
    name: str
    notes: tuple[str, ...] = ()
    nic: int = 0

    @property
    def path(self) -> str:
        """In the API."""
        return ownership.path(self.kind, self.node, self.vmid)

    def __str__(self) -> str:
        return f"{WORDS[self.kind]} {self.vmid} ({self.name}) on {self.node}"


def make(client: Client, wanted: Wanted, origin: Origin, lease_id: str, ids: Ids, shells: NodeShells) -> Made:
    """A guest that is started. Raises PveFault, HostFault; what was begun stands in the lease, to be removed by it."""
    vmid, notes = _created(client, wanted, origin, lease_id, ids, shells)
    made = Made(origin.kind, wanted.node, vmid, wanted.name, nic=len(wanted.nics) - 1)
    with errors.doing(f"the firewall of {made}"):
        _filtered(client, f"{made.path}/firewall", wanted.rules)
    if wanted.affinity:  # "only root can set 'affinity' config", and no token is root
        why = "only root on the node may pin a VM to CPUs (affinity)"
        shells.run(wanted.node, Command(("qm", "set", str(vmid), "--affinity", wanted.affinity)), why).require()
    with errors.doing(f"start {made}"):
        started = client.done(f"start {made}", client.post(f"{made.path}/status/start"), wanted.ready_s)
    if origin.kind == "lxc" and origin.home:
        containers.let_in(shells, made.node, vmid, wanted.key)
    return replace(made, notes=(*notes, *started.notes))


def _filtered(client: Client, path: str, rules: int) -> None:
    """The VM's firewall on, with so many rules that no packet matches, each of them evaluated."""
    for number in range(rules):  # RFC 5737: nobody sends from there
        client.post(f"{path}/rules", {"type": "in", "action": "DROP", "enable": 1, "proto": "tcp",
                                      "source": "203.0.113.0/24", "dport": str(20_000 + number)})  # fmt: skip
    if rules:
        client.put(f"{path}/options", {"enable": True, "policy_in": "ACCEPT", "policy_out": "ACCEPT"})


def origin(client: Client, source: str) -> Origin:
    """What a source makes, and where it is. Raises PveFault where there is no such template."""
    if not source.isdigit():
        return Origin("lxc" if containers.archive(source) else "qemu")
    for row in client.get("/cluster/resources", {"type": "vm"}):
        if row.get("vmid") == int(source):
            kind: Kind = "lxc" if row.get("type") == "lxc" else "qemu"
            if not row.get("template"):
                tool = "pct" if kind == "lxc" else "qm"
                raise PveFault("GET /cluster/resources", 0, f"{WORDS[kind]} {source} is no template",
                               hint=f"{tool} template {source}, or name another one")  # fmt: skip
            return Origin(kind, str(row["node"]))
    raise PveFault("GET /cluster/resources", 0, f"there is no template {source}, or it may not be seen",
                   hint=f"pveum acl modify /vms/{source} needs VM.Clone and VM.Audit")  # fmt: skip


def _created(client: Client, wanted: Wanted, of: Origin, lease_id: str, ids: Ids, shells: NodeShells
             ) -> tuple[int, tuple[str, ...]]:  # fmt: skip
    """Its id, and the warnings of the task that made it.

    Of several that ask at once one gets an id, and the others ask for the next.
    """
    for number in range(1, _TRIES + 1):
        lowest = int(client.get("/cluster/nextid")) + (secrets.randbelow(8 * number) if number > 1 else 0)
        vmid = ids.claim(of.kind, wanted.node, lowest)
        try:
            with errors.doing(f"make {WORDS[of.kind]} {vmid} ({wanted.name}) on {wanted.node}"):
                notes = _asked_for(client, wanted, of, vmid, lease_id, shells)
        except PveFault as error:
            again = (
                isinstance(error, TaskFailed) and error.passes
            )  # a storage's lock; what was begun is taken back there
            taken = _TAKEN.search(str(error)) is not None
            ours = taken and _is_ours(client, of.kind, wanted.node, vmid, lease_id, error)
            if number == _TRIES or not (again or (taken and not ours)):
                raise
            if taken and ours is False:  # else it stays in the lease, which removes nobody else's
                ids.theirs(of.kind, wanted.node, vmid)
            continue
        return vmid, notes
    raise AssertionError("the last try returns or raises")


def _is_ours(
    client: Client, kind: Kind, node: str, vmid: int, lease_id: str, taken: PveFault
) -> bool | None:  # fmt: skip
    """As ownership.is_ours; what may not be seen is another's where ours was refused before it was begun."""
    try:
        return ownership.is_ours(client, kind, node, vmid, lease_id)
    except errors.Forbidden:
        if isinstance(taken, TaskFailed):
            raise
        return False


def _asked_for(client: Client, wanted: Wanted, of: Origin, vmid: int, lease_id: str, shells: NodeShells
               ) -> tuple[str, ...]:  # fmt: skip
    """The warnings of the task that makes it."""
    call = f"make {WORDS[of.kind]} {vmid} ({wanted.name}) on {wanted.node}"
    pooled: dict[str, Value] = {"pool": wanted.pool} if wanted.pool else {}
    place = ownership.path(of.kind, wanted.node, vmid)
    whose = ownership.words(lease_id)
    if of.home:
        named = "hostname" if of.kind == "lxc" else "name"
        clone = {"newid": vmid, named: wanted.name, "description": whose["description"], **pooled}
        if of.home != wanted.node:
            clone["target"] = wanted.node
        template = ownership.path(of.kind, of.home, int(wanted.source))
        done = client.done(call, client.post(f"{template}/clone", clone), _CREATE_S)
        settings = containers.settings(wanted) if of.kind == "lxc" else _settings(wanted)
        # Asked for at once and not as a task: nothing of it needs the guest to run.
        _understood(lambda known: client.put(f"{place}/config", known), {**settings, **whose})
        return done.notes
    if of.kind == "lxc":
        given = {"vmid": vmid, **containers.anew(wanted), **containers.settings(wanted), **whose, **pooled}
        return client.done(call, client.post(f"/nodes/{wanted.node}/lxc", given), _CREATE_S).notes
    given = {"vmid": vmid, **_anew(wanted), **_settings(wanted), **whose, **pooled}
    upid = _understood(lambda known: client.post(f"/nodes/{wanted.node}/qemu", known), given)
    done = client.done(call, upid, _CREATE_S)
    if wanted.from_file:
        _imported(client, wanted, vmid, shells)
    return done.notes


def _understood(send: Callable[[Parameters], Answer], given: Parameters) -> Answer:
    """What was sent, without those options of Proxmox VE 8 that the one there does not know."""
    try:
        return send(given)
    except Refused as error:
        if not error.fields.keys() <= _YOUNG or any(_UNKNOWN not in why for why in error.fields.values()):
            raise
        return send({key: value for key, value in given.items() if key not in error.fields})


def _anew(wanted: Wanted) -> dict[str, Value]:
    """What a VM has that is no clone."""
    disk: dict[str, Value] = {"scsi0": f"{wanted.storage}:0,import-from={wanted.source}", "boot": "order=scsi0"}
    return {
        "name": wanted.name, "ostype": "l26", "scsihw": "virtio-scsi-pci", "serial0": "socket",
        "ide2": f"{wanted.storage}:cloudinit", **({} if wanted.from_file else disk),
    }  # fmt: skip


def _imported(client: Client, wanted: Wanted, vmid: int, shells: NodeShells) -> None:
    """A disk from a file on the node, where the API of that version has no import. Raises PveFault, HostFault."""
    command = Command(("qm", "importdisk", str(vmid), wanted.source, wanted.storage), deadline_s=_CREATE_S)
    shells.run(wanted.node, command, "this Proxmox VE takes an image by its node's SSH alone").require()
    place = f"{ownership.path('qemu', wanted.node, vmid)}/config"
    config = client.get(place)
    disk = next((str(value) for key, value in sorted(config.items()) if re.fullmatch(r"unused\d+", key)), "")
    if not disk:
        raise PveFault(f"GET {place}", 0, f"after `{command.brief}` VM {vmid} on {wanted.node} has no unused disk")
    client.put(place, {"scsi0": disk, "boot": "order=scsi0"})


def _settings(wanted: Wanted) -> dict[str, Value]:
    """What a VM of an image and one of a template have alike."""
    nics: dict[str, Value] = {}
    for number, (net, address) in enumerate(wanted.nics):
        way = f"{'ip6' if ':' in address else 'ip'}={address}"
        gateway = f",{'gw6' if ':' in address else 'gw'}={wanted.gateway}" if wanted.gateway and not number else ""
        nics |= {f"net{number}": net, f"ipconfig{number}": f"{way}{gateway}"}
    return {
        "cores": wanted.cores, "memory": wanted.memory_mb, "agent": "enabled=1", **nics,
        "protection": False, "ciuser": "root", "ciupgrade": 0,
        # URL-encoded by us, once more by the form: the API wants it so (format `urlencoded`).
        "sshkeys": quote(wanted.key.strip(), safe=""),
    }  # fmt: skip
