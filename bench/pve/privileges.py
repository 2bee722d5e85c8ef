"""The privileges that a plan asks for, and the commands by which root on a node gives them to a token.

Source: `pveum` of pve-access-control, and the `permissions` of each call in the API's schema.
"""

import re
import shlex
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench.labs.topology import Topology
from bench.pve import network_check, storage_check
from bench.pve.deployment import Deployment

LOCAL = "localnetwork"  # the zone of whatever is no vnet
TOKEN = "nettune@pve!bench"  # noqa: S105 - the name of one, for who has none yet
_VMS = ("VM.Allocate", "VM.Audit", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
        "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt")  # fmt: skip
_POOL = ("Pool.Allocate", "Pool.Audit")
_DISKS = ("Datastore.AllocateSpace", "Datastore.Audit")
# By major version: before 9 one privilege had the whole agent, and a role with another version's words cannot be made.
_OLD_AGENT, _AGENT = ("VM.Monitor",), ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
_A_BRIDGE = re.compile(r"vmbr\d+(v\d+)?")  # no vnet: its name has no more than eight letters and may be anything else
# Of a vnet that may not be seen: its zone, by root on a node; nothing where that name is no vnet's.
_ZONE = "sed -n '/^vnet: {vnet}$/,/^$/s/^[[:space:]]*zone //p' /etc/pve/sdn/vnets.cfg"
NO_VNETS: Mapping[str, str] = MappingProxyType({})
Wanted = Mapping[str, tuple[str, ...]]  # path -> privileges
Config = Mapping[str, Any]  # Any: JSON
NOT_SEEN: Config = MappingProxyType({})


def wanted(of: Deployment, topologies: Sequence[Topology], version: int, vnets: Mapping[str, str] = NO_VNETS,
           template: Config = NOT_SEEN) -> Wanted:  # fmt: skip
    """Path -> privileges. `version` 0: not known yet, as 9; `vnets`: the zones of those that are seen. Pure.

    `template`: its configuration. On its disks' storages those of linked clones lie; and whoever clones it may use what
    it has, though the plan plugs its NICs in elsewhere (check_bridge_access, check_mapping_access of qemu-server).
    """
    vms = (*_VMS, *(_OLD_AGENT if 0 < version < 9 else _AGENT))
    found: dict[str, tuple[str, ...]] = {f"/pool/{of.pool}": (*vms, *_POOL)} if of.pool else {"/vms": vms}
    if of.source.isdigit():
        found[f"/vms/{of.source}"] = ("VM.Audit", "VM.Clone")
    found |= {f"/storage/{each}": _DISKS for each in storage_check.disks(of, template)}
    if of.source.startswith("/"):  # uploaded, and removed afterwards
        found[f"/storage/{of.image_storage}"] = ("Datastore.Allocate", "Datastore.AllocateSpace",
                                                 "Datastore.AllocateTemplate", "Datastore.Audit")  # fmt: skip
    elif not of.source.isdigit():
        found[f"/storage/{of.source.partition(':')[0]}"] = _DISKS
    if not 0 < version < 8:  # before, whoever may configure a VM's network may use any bridge
        for name in dict.fromkeys((*_bridges(of, topologies), *_named(template, r"net\d+", "bridge"))):
            # A vnet is listed only to who may audit it (PVE::API2::Network::SDN::Vnets), a bridge to who may use it.
            plain = name not in vnets and _A_BRIDGE.fullmatch(name)
            found[f"/sdn/zones/{vnets.get(name, LOCAL)}/{name}"] = ("SDN.Use",) if plain else ("SDN.Audit", "SDN.Use")
    found |= {f"/mapping/pci/{name}": ("Mapping.Use",) for name in _named(template, r"hostpci\d+", "mapping")}
    if any(each.rules for each in topologies):
        found["/"] = ("Sys.Audit",)  # GET /cluster/firewall/options
    return {**found, **network_check.privileges(topologies, of.placed)}


def setup(of: Deployment, topologies: Sequence[Topology], who: str, version: int,
          vnets: Mapping[str, str] = NO_VNETS, template: Config = NOT_SEEN) -> tuple[str, ...]:  # fmt: skip
    """The commands, for root on a node, that make who may do just what the plan asks for. As `wanted`. Pure.

    For root itself, who may do everything, they make a token of another user.
    """
    who = TOKEN if who.partition("!")[0] == "root@pam" else who
    user, _, token = who.partition("!")
    lines = [f"pveum pool add {of.pool}"] if of.pool else []
    lines += [f"pveum user add {user}", f"pveum user token add {user} {token or 'bench'} --privsep 1"]
    for path, privileges in wanted(of, topologies, version, vnets, template).items():
        lines += given(path, privileges, who if token else f"{user}!bench", version)
    return tuple(dict.fromkeys(lines))


def given(path: str, privileges: Sequence[str], who: str, version: int) -> tuple[str, ...]:
    """The commands by which a token, or a user, has these privileges there. Pure."""
    role = _role(path, privileges)
    made = _made(role, privileges)
    if not version and set(_AGENT) <= set(privileges):  # the version that does not know one of these has the other
        older = [each for each in privileges if each not in _AGENT]
        made += f" || {_made(role, [*older, *_OLD_AGENT])}"
    user = who.partition("!")[0]
    whom = [f"--users {user}", *([f"--tokens {shlex.quote(who)}"] if "!" in who else [])]
    before, place = _place(path)
    return (made, *before, *(f"pveum acl modify {place} --roles {role} {each}" for each in whom))


def _made(role: str, privileges: Sequence[str]) -> str:
    return f"pveum role add {role} --privs {shlex.quote(' '.join(privileges))}"


def _role(path: str, privileges: Sequence[str]) -> str:
    """Named by what it holds: one of that name has these privileges, whichever plan it was made for."""
    kind = path.strip("/").partition("/")[0] or "cluster"
    return f"Nettune-{kind}-{zlib.crc32(' '.join(sorted(privileges)).encode()) & 0xFFFF:04x}"


def _place(path: str) -> tuple[tuple[str, ...], str]:
    """What goes before, and the path as a shell has it: the zone of a vnet that is not seen is looked up there."""
    head, _, name = path.rpartition("/")
    if head != f"/sdn/zones/{LOCAL}" or _A_BRIDGE.fullmatch(name):
        return (), path
    return (f"zone=$({_ZONE.format(vnet=name)})",), f'"/sdn/zones/${{zone:-{LOCAL}}}/{name}"'


def _named(config: Config, keys: str, option: str) -> tuple[str, ...]:
    """The values of an option of those keys of a configuration."""
    words = [word for key, value in sorted(config.items()) if re.fullmatch(keys, key) for word in str(value).split(",")]
    return tuple(dict.fromkeys(word.partition("=")[2] for word in words if word.startswith(f"{option}=")))


def _bridges(of: Deployment, topologies: Sequence[Topology]) -> tuple[str, ...]:
    """Those that VMs are plugged into, but for vnets that are made in a zone of their own."""
    named = [of.management]
    for each in topologies:
        if not (each.create and each.create.zone):
            named += [dict(each.net)["bridge"], each.peer]
    return tuple(dict.fromkeys(each for each in named if each))
