"""What a plan asks of a cluster, and whether it is there: privileges, node, storage, bridge, template, pool, agent.

And the commands by which an administrator makes a user, role, pool and token that may do just that. Source of the
privileges: `pveum` of pve-access-control, and the `permissions` of each call in the API's schema.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.labs.topology import Topology
from bench.pve import errors
from bench.pve.client import Client
from bench.pve.deployment import Deployment
from bench.pve.errors import PveFault

Word = Literal["there", "missing", "not seen"]
ROLE = "NettuneBench"
_VMS = ("VM.Allocate", "VM.Audit", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
        "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt")  # fmt: skip

_POOL = ("Pool.Allocate", "Pool.Audit")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is asked for. `command` mends it, by root on a node."""

    what: str
    word: Word
    why: str = ""
    command: str = ""


def checked(client: Client, of: Deployment, topologies: Sequence[Topology], who: str) -> tuple[Row, ...]:
    """All of it, in the order in which an administrator sets it up. Raises PveFault where the API does not answer."""
    version = str(client.get("/version").get("version", ""))
    rows = [Row(f"Proxmox VE {version}", "there"), *_privileges(client, of, topologies, who, _major(version))]
    for node in dict.fromkeys(of.nodes):
        rows += [_node(client, node), _storage(client, node, of)]
        rows += [_bridge(client, node, dict(each.net)["bridge"], each) for each in topologies]
    rows += [_source(client, of), *([_pool(client, of.pool)] if of.pool else [])]
    return tuple(dict.fromkeys(rows))


def setup(of: Deployment, topologies: Sequence[Topology], who: str, version: int) -> tuple[str, ...]:
    """The commands, for root on a node, that make who may do just what the plan asks for. Pure."""
    user, _, token = who.partition("!")
    lines = [f"pveum pool add {of.pool}"] if of.pool else []
    lines += [f"pveum user add {user}", f"pveum user token add {user} {token or 'bench'} --privsep 1"]
    roles: dict[tuple[str, ...], str] = {}
    whom = (f"--users {user}", f"--tokens {shlex.quote(who if token else f'{user}!bench')}")
    for path, privileges in _wanted(of, topologies, version).items():
        if privileges not in roles:
            roles[privileges] = f"{ROLE}{len(roles) + 1}"
            lines.append(f"pveum role add {roles[privileges]} --privs {shlex.quote(' '.join(privileges))}")
        lines += [f"pveum acl modify {path} --roles {roles[privileges]} {each}" for each in whom]
    return tuple(dict.fromkeys(lines))


def _wanted(of: Deployment, topologies: Sequence[Topology], version: int) -> Mapping[str, tuple[str, ...]]:
    """Path -> privileges."""
    vms = (*_VMS, *_agent(version))
    wanted: dict[str, tuple[str, ...]] = {f"/pool/{of.pool}": (*vms, *_POOL)} if of.pool else {"/vms": vms}
    if of.source.isdigit():
        wanted[f"/vms/{of.source}"] = ("VM.Audit", "VM.Clone")
    wanted[f"/storage/{of.storage}"] = ("Datastore.AllocateSpace", "Datastore.Audit")
    if not of.source.isdigit():
        wanted[f"/storage/{of.source.partition(':')[0]}"] = ("Datastore.AllocateSpace", "Datastore.Audit")
    if version >= 8:  # before, whoever may configure a VM's network may use any bridge
        for each in topologies:
            wanted[f"/sdn/zones/localnetwork/{dict(each.net)['bridge']}"] = ("SDN.Use",)
    return wanted


def _agent(version: int) -> tuple[str, ...]:
    return ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted") if version >= 9 else ("VM.Monitor",)


def _privileges(client: Client, of: Deployment, topologies: Sequence[Topology], who: str, version: int) -> list[Row]:
    rows = []
    for path, privileges in _wanted(of, topologies, version).items():
        held: Any = client.get("/access/permissions", {"path": path})  # Any: JSON
        above = held if isinstance(held, dict) else {}
        mine = {name for at, names in above.items() if at == "/" or f"{path}/".startswith(f"{at}/") for name in names}
        missing = [each for each in privileges if each not in mine]
        what = f"privileges on {path}"
        if not missing:
            rows.append(Row(what, "there"))
            continue
        user = who.partition("!")[0]
        command = f"pveum acl modify {path} --roles ROLE-WITH-{'+'.join(missing)} --users {user}" + (
            f" --tokens {shlex.quote(who)}" if "!" in who else "")  # fmt: skip
        rows.append(Row(what, "missing", ", ".join(missing), command))
    return rows


def _node(client: Client, node: str) -> Row:
    states = {str(row.get("node")): row.get("status") for row in client.get("/nodes")}
    if node not in states:
        return Row(f"node {node}", "missing", f"the cluster has {', '.join(sorted(states))}")
    online = states[node] == "online"
    return Row(f"node {node}", "there" if online else "missing", "" if online else f"it is {states[node]}")


def _storage(client: Client, node: str, of: Deployment) -> Row:
    what = f"storage {of.storage} on {node}"
    try:
        rows = client.get(f"/nodes/{node}/storage", {"enabled": 1})
    except PveFault as error:
        return Row(what, "not seen", error.said)
    found = next((row for row in rows if row.get("storage") == of.storage), None)
    if found is None:
        return Row(what, "missing", f"there are {', '.join(str(row.get('storage')) for row in rows) or 'none'}")
    if "images" not in str(found.get("content", "")).split(","):
        return Row(what, "missing", f"it takes no disks of VMs (content {found.get('content')})",
                   f"pvesm set {of.storage} --content images,{found.get('content')}")  # fmt: skip
    return Row(what, "there") if found.get("active", 1) else Row(what, "missing", "it is not active")


def _bridge(client: Client, node: str, bridge: str, topology: Topology) -> Row:
    what = f"bridge {bridge} on {node}"
    try:
        rows = client.get(f"/nodes/{node}/network", {"type": "any_bridge"})
    except PveFault as error:
        return Row(what, "not seen", error.said)
    found = next((row for row in rows if row.get("iface") == bridge), None)
    if found is None:
        known = ", ".join(str(row.get("iface")) for row in rows)
        return Row(what, "missing", f"there are {known or 'none that may be seen'}")
    mtu = int(found.get("mtu") or 1500)
    if mtu < topology.mtu:
        return Row(what, "missing", f"its MTU of {mtu} is below the plan's {topology.mtu}: a VM would not start")
    return Row(what, "there")


def _source(client: Client, of: Deployment) -> Row:
    return _template(client, of) if of.source.isdigit() else _image(client, of)


def _image(client: Client, of: Deployment) -> Row:
    store, _, volume = of.source.partition(":")
    what = f"image {of.source}"
    try:
        rows = client.get(f"/nodes/{of.nodes[0]}/storage/{store}/content", {"content": "import"})
    except PveFault as error:
        return Row(what, "not seen", error.said)
    if any(str(row.get("volid")) == of.source for row in rows):
        return Row(what, "there")
    return Row(what, "missing", f"{store} has no {volume}", "nettune image build --disk, and upload its qcow2 there")


def _template(client: Client, of: Deployment) -> Row:
    what = f"template {of.source}"
    rows = client.get("/cluster/resources", {"type": "vm"})
    found = next((row for row in rows if str(row.get("vmid")) == of.source), None)
    if found is None:
        return Row(what, "not seen", "there is none, or VM.Audit on it is missing")
    if not found.get("template"):
        return Row(what, "missing", f"VM {of.source} is no template", f"qm template {of.source}")
    try:
        config = client.get(f"/nodes/{found['node']}/qemu/{of.source}/config")
    except errors.Forbidden as error:
        return Row(what, "not seen", error.said)
    if "cloudinit" in " ".join(str(value) for value in config.values()):
        return Row(what, "there")
    return Row(what, "missing", "it has no cloud-init drive, by which a VM gets its key and address",
               f"qm set {of.source} --ide2 {of.storage}:cloudinit")  # fmt: skip


def _pool(client: Client, pool: str) -> Row:
    known = {str(row.get("poolid")) for row in client.get("/pools")}
    return (
        Row(f"pool {pool}", "there") if pool in known else Row(f"pool {pool}", "missing", "", f"pveum pool add {pool}")
    )


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 8
