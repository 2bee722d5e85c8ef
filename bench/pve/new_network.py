"""A network that is made for a test: `create` of a path of kind pve. What a plan may say of it; asks nobody.

A bridge of the nodes, with a NIC or a bond of free ones below it or with none; or an SDN vnet in a zone of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from bench.document import Node
from bench.options import SWITCH, Option, Options, switch, taken, whole, word
from results.json_schema import Schema, listed, mapping

ZONES = ("simple", "vlan", "vxlan")
# Of PVE::API2::Network; what Open vSwitch alone has is left out.
MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
# Before version 9 a device is a bridge by that name alone (pve-common, PVE::INotify); names of SDN: at most 8 letters.
_BRIDGE, _VNET = r"vmbr\d{1,4}", r"[a-z][a-z0-9]{1,7}"
_NIC = r"[A-Za-z][A-Za-z0-9_.-]{0,14}"
_VID_MOST, _VNI_MOST = 4094, 16_777_215


@dataclass(frozen=True, slots=True)
class NewNetwork:
    """A bridge, or with `zone` an SDN vnet.

    ports   free NICs of the node: one is the bridge's port, several are in a bond of the mode `bond`
    over    of a vlan zone: the bridge whose VLAN `id` the vnet is
    peers   of a vxlan zone: the nodes' addresses
    """

    vlan_aware: bool = False
    ports: tuple[str, ...] = ()
    bond: str = ""
    zone: str = ""
    id: int = 0
    over: str = ""
    peers: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For a person: "VLAN-aware bridge over active-backup of eno3, eno4"."""
        if self.zone:
            more = {"simple": "", "vlan": f" {self.id} of {self.over}", "vxlan": f" {self.id}"}[self.zone]
            return f"{'VLAN-aware ' if self.vlan_aware else ''}vnet in a {self.zone} zone{more}"
        below = f"{self.bond} of {', '.join(self.ports)}" if self.bond else ", ".join(self.ports)
        return f"{'VLAN-aware ' if self.vlan_aware else ''}bridge" + (f" over {below}" if below else " without a port")


def _ports(node: Node) -> tuple[str, ...]:
    found = tuple(each.text() for each in node.items())
    for number, each in enumerate(node.items()):
        if not re.fullmatch(_NIC, each.text()):
            each.wrong(f"{each.text()!r} names no NIC", hint="ports: [eno3]")
        if each.text() in found[:number]:
            each.wrong(f"{each.text()} stands twice")
    return found


def _peers(node: Node) -> tuple[str, ...]:
    found = []
    for each in node.items():
        try:
            found.append(str(ip_address(each.text())))
        except ValueError:
            each.wrong(f"{each.text()!r} is no IP address", hint="peers: [192.0.2.1, 192.0.2.2]")
    return tuple(found)


def _over(node: Node) -> str:
    if not re.fullmatch(_NIC, node.text()):
        node.wrong(f"{node.text()!r} names no bridge", hint="over: vmbr0")
    return node.text()


_TEXT: Schema = {"type": "string", "minLength": 1}
KEYS: Options = {
    "vlan_aware": switch("it passes VLANs"),
    "ports": Option({**listed(_TEXT), "description": "free NICs of the node below the bridge"}, _ports, ()),
    "bond": word(MODES, "", "the mode of a bond of the ports"),
    "zone": word(ZONES, "", "an SDN vnet in a zone of that type of its own, in place of a bridge"),
    "id": whole(1, _VNI_MOST, "(a VLAN's or VXLAN's id)", 0, "of the vnet in a vlan or vxlan zone"),
    "over": Option({**_TEXT, "description": "of a vlan zone: the bridge that carries it"}, _over, ""),
    "peers": Option({**listed(_TEXT), "description": "of a vxlan zone: the nodes' addresses"}, _peers, ()),
}
_NEEDS: Mapping[str, tuple[str, ...]] = {"": (), "simple": (), "vlan": ("id", "over"), "vxlan": ("id", "peers")}
_OF_BRIDGES = ("ports", "bond")


def _read(node: Node) -> NewNetwork | None:
    if not isinstance(node.value, dict):
        if node.setting() not in {"on", "off"}:
            node.wrong(f"{node.text()!r} is neither on nor off, nor keys", hint="create: on, or {ports: [eno3]}")
        return NewNetwork() if node.setting() == "on" else None
    members = node.mapping(KEYS)
    made = NewNetwork(**taken(members, KEYS))
    _consistent(made, members, node)
    return made


def _consistent(made: NewNetwork, members: Mapping[str, Node], node: Node) -> None:
    """What one key allows, another may forbid. Raises WrongInput."""
    for key in ("id", "over", "peers"):
        if key in members and key not in _NEEDS[made.zone]:
            zones = ", ".join(each for each in ZONES if key in _NEEDS[each])
            members[key].wrong(f"{key} belongs to a zone of type {zones}", hint=f"zone: {zones.split(', ')[0]}")
    for key in _NEEDS[made.zone]:
        if key not in members:
            node.wrong(f"a {made.zone} zone needs its {key}")
    if made.zone == "vlan" and made.id > _VID_MOST:
        members["id"].wrong(f"{made.id} is no VLAN's id: 1 to {_VID_MOST}")
    for key in _OF_BRIDGES if made.zone else ():
        if key in members:
            members[key].wrong(f"{key} belongs to a bridge, not to a vnet")
    if made.bond and not made.ports:
        members["bond"].wrong("a bond has ports", hint="ports: [eno3, eno4]")
    if len(made.ports) > 1 and not made.bond:
        members["ports"].wrong("two ports of one bridge make a loop where they lead to the same switch",
                               hint="bond: active-backup, or one port")  # fmt: skip


def check_name(made: NewNetwork, name: Node) -> None:
    """Such a network may have that name. Raises WrongInput."""
    if made.zone and not re.fullmatch(_VNET, name.text()):
        name.wrong(f"{name.text()!r} cannot be a vnet's name: 2 to 8 small letters and digits", hint="bridge: nttest0")
    if not made.zone and not re.fullmatch(_BRIDGE, name.text()):
        name.wrong(f"a bridge that is made is vmbr and a number, not {name.text()!r}", hint="bridge: vmbr901")


def check_joins(made: NewNetwork, nodes: tuple[str, ...], item: Node) -> None:
    """It joins the VMs of those nodes. Raises WrongInput."""
    if len(set(nodes)) > 1 and (made.zone == "simple" or not (made.zone or made.ports)):
        item.wrong(f"{made.words} of {nodes[0]} does not lead to {nodes[-1]}", hint="ports: [eno3], or zone: vxlan")


OPTION: Option[Any] = Option(  # Any: as Options has it
    {
        "oneOf": [{**SWITCH}, mapping({key: each.schema for key, each in KEYS.items()}, optional=tuple(KEYS))],
        "description": "the network is made for the run and removed (docs/proxmox.md)",
    },
    _read,
    None,
)
