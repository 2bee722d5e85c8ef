"""Open vSwitch: which devices its bridges and bonds join. Pure.

The kernel shows one device above all ports of all bridges (ovs-system), and none above or below a bridge's own device:
what lies on what only OVSDB tells. Tables and columns: ovs-vswitchd.conf.db(5).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from bench.facts.roles import OVS_BOND, Link, Routes
from bench.hosts.command import Command, Outcome

KIND = "openvswitch"  # of ovs-system, bridges and internal ports (net/openvswitch/vport-internal_dev.c)
DATAPATH = "ovs-system"  # the kernel's one switch behind all bridges (lib/dpif-netlink.c)
_USERSPACE = "ovs-netdev"  # of a bridge with datapath_type netdev, whose ports have no master
_OF_TUNNELS = re.compile(r"\w+_sys(_\d+)?")  # vxlan_sys_4789: a device for all tunnels of a kind (lib/netdev-vport.c)
QUESTION = Command((
    "ovs-vsctl", "--timeout=5", "--format=json", "--", "--columns=_uuid,name,ports,datapath_type", "list", "Bridge",
    "--", "--columns=_uuid,name,interfaces", "list", "Port",
    "--", "--columns=_uuid,name,type,options", "list", "Interface",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interface:
    """`type`: "" or "system" of a device of the kernel; internal, patch, vxlan, ..."""

    name: str
    type: str = ""
    options: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A bond where it has several interfaces."""

    name: str
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """`userspace`: its ports have no master in the kernel."""

    name: str
    ports: tuple[Port, ...]
    userspace: bool = False


def there(found: Iterable[Link]) -> bool:
    """Whether a host has an Open vSwitch, so that QUESTION is to be asked."""
    return any(link.kind == KIND or link.name == _USERSPACE for link in found)


def hidden(found: Iterable[Link]) -> bool:
    """Whether some of its ports are told by OVSDB alone: those of a switch in user space have no master."""
    return any(link.name == _USERSPACE for link in found)


def told(answer: Outcome) -> tuple[Bridge, ...] | None:
    """What QUESTION answered; None where it cannot be told."""
    if not answer.ok:
        return None
    try:
        return parse(answer.stdout)
    except (ValueError, KeyError, TypeError):
        return None


def parse(text: str) -> tuple[Bridge, ...]:
    """Three tables, each a document of RFC 7047 on a line. Raises ValueError, KeyError or TypeError for others."""
    bridges, ports, interfaces = (_rows(json.loads(line)) for line in text.splitlines() if line.strip())
    of_interface = {
        _one(row["_uuid"]): Interface(row["name"], row["type"], dict(map(tuple, row["options"][1])))
        for row in interfaces
    }
    of_port = {
        _one(row["_uuid"]): Port(row["name"], tuple(of_interface[each] for each in _several(row["interfaces"])))
        for row in ports
    }
    return tuple(
        Bridge(row["name"], tuple(of_port[each] for each in _several(row["ports"])), row["datapath_type"] == "netdev")
        for row in bridges
    )


def joined(found: Sequence[Link], bridges: Sequence[Bridge] | None, by: Routes) -> tuple[Link, ...]:
    """The same links, ports with their bridge or bond as master, and internal ports on their bridge.

    A bond is a link of kind OVS_BOND, which the kernel has not. Bridges that a patch joins lie on each other; one with
    tunnels lies on what leads to their ends. Of a port of the kernel's switch that is not told, the master stays, and
    all internal ports lie on that: any of them may send by it.
    """
    links = {link.name: link for link in found}
    for bridge in bridges or ():
        links[bridge.name] = replace(links.get(bridge.name, Link(bridge.name)), kind=KIND)
    of_patch = {each.name: bridge.name for bridge in bridges or () for port in bridge.ports for each in port.interfaces}
    for bridge in bridges or ():
        for port in bridge.ports:
            for each in port.interfaces:
                if each.type == "internal":
                    _put_on(links, each.name, bridge.name, kind=KIND)
                elif each.type == "patch":
                    _put_on(links, bridge.name, of_patch.get((each.options or {}).get("peer", ""), ""))
                elif far := (each.options or {}).get("remote_ip"):
                    for way in (*_towards(by, far), *filter(_OF_TUNNELS.fullmatch, links)):
                        _put_on(links, bridge.name, way)
                elif each.name in links and (bridge.userspace or _is_port(links, each.name)):
                    links[each.name] = replace(links[each.name], master=_master(links, bridge, port))
    names = {bridge.name for bridge in bridges or ()}
    left = {link.master for link in links.values() if _is_port(links, link.name) and link.master not in names
            and not _OF_TUNNELS.fullmatch(link.name)}  # fmt: skip
    for system in left:
        for link in [each for each in links.values() if each.kind == KIND and each.name != system]:
            _put_on(links, link.name, system)
    return tuple(links.values())


def _is_port(links: Mapping[str, Link], name: str) -> bool:
    master = links.get(links[name].master)
    return master is not None and master.kind == KIND


def _master(links: dict[str, Link], bridge: Bridge, port: Port) -> str:
    if len(port.interfaces) == 1:
        return bridge.name
    # No name of a device has a colon in it, where one of the kernel's has the bond's.
    free = port.name not in links or links[port.name].kind == OVS_BOND
    name = port.name if free else f"{bridge.name}:{port.name}"
    links[name] = Link(name, OVS_BOND, bridge.name)
    return name


def _put_on(links: dict[str, Link], name: str, below: str, *, kind: str = "") -> None:
    """One link on another; `kind` is what it is said to be besides. Nothing lies on itself."""
    if name in links:
        link = links[name]
        on = tuple(dict.fromkeys((*link.below, below))) if below not in {"", name} else link.below
        links[name] = replace(link, below=on, kind=kind or link.kind)


def _towards(by: Routes, far: str) -> tuple[str, ...]:
    """The devices that lead to the end of a tunnel; all of them where a flow tells it, or it is a name."""
    try:
        return by.towards(str(ip_address(far)))
    except ValueError:
        return tuple(dict.fromkeys(device for _, device in by.hops))


def _rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:  # Any: JSON
    return [dict(zip(document["headings"], row, strict=True)) for row in document["data"]]


def _one(value: Sequence[str]) -> str:
    return value[1]


def _several(value: Sequence[Any]) -> list[str]:  # Any: JSON
    """A set of one is written as its member."""
    return [each[1] for each in value[1]] if value[0] == "set" else [value[1]]
