"""Inventory: machines that already stand, and what of them is measured. A YAML file, validated here alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from bench import document
from bench.document import Node
from bench.facts.roles import WORDS
from bench.hosts.login import Login
from bench.labs import logins
from bench.labs.lab import ENDS

_DEVICE = re.compile(r"[^/\s]{1,15}")  # IFNAMSIZ - 1; dev_valid_name in net/core/dev.c
_HINT = "ends: {a: {ssh: ssh://root@pve1, device: enp1s0, address: 192.0.2.1}, b: {…}}"
SHARED = ("allow", "speed_mbps", "watch")
_MBPS_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: how it is reached, and which of its devices are on the path.

    devices    in the order of the path; of an end, its route's device first and then those below it
    address    of an end: what the probes use; "" for a node
    allow      roles (bench.facts.roles) that may ride on a device whose settings are changed
    speed_mbps  of the link, where no device tells it; 0: they tell
    watch      addresses that must answer it while load passes a shared link
    """

    name: str
    login: Login
    devices: tuple[str, ...]
    address: str = ""
    allow: frozenset[str] = frozenset()
    speed_mbps: int = 0
    watch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Both ends, and the nodes between them in the order of the path.

    grace_s   seconds beyond a trial's own time after which a host restores itself
    """

    ends: tuple[Machine, Machine]
    nodes: tuple[Machine, ...] = ()
    grace_s: int = 30

    @property
    def machines(self) -> tuple[Machine, ...]:
        """All of them, ends first."""
        return (*self.ends, *self.nodes)

    @property
    def ip(self) -> int:
        """The family of the ends' addresses."""
        return ip_address(self.ends[0].address).version


def load(path: Path) -> Inventory:
    """The inventory in a file. Raises WrongInput naming file, line and key."""
    hint = "a path is relative to the folder that nettune runs in; docs/hosts.md has an example"
    return parse(document.load(path, f"inventory {str(path)!r}", hint=hint), folder=path.parent)


def parse(root: Node, *, folder: Path) -> Inventory:
    """The inventory in a document; paths in it are relative to `folder`."""
    top = root.mapping(("ends", "nodes"))
    if "ends" not in top:
        root.wrong("the inventory has no 'ends'", hint=_HINT)
    given = top["ends"].mapping(ENDS[:2])
    for name in ENDS[:2]:
        if name not in given:
            top["ends"].wrong(f"it has no end {name!r}: there are two, a and b", hint=_HINT)
    a, b = (_end(name, given[name], folder) for name in ENDS[:2])
    if ip_address(a.address).version != ip_address(b.address).version:
        given["b"].mapping()["address"].wrong(f"{b.address} is of another family than a's {a.address}")
    if a.address == b.address:
        given["b"].mapping()["address"].wrong(f"{b.address} is a's address too")
    nodes = []
    for name, node in (top["nodes"].mapping() if "nodes" in top else {}).items():
        if not document.NAME.fullmatch(name) or name in ENDS:
            node.wrong(f"{name!r} cannot be a node's name: small letters, digits, . _ -; not {', '.join(ENDS)}")
        nodes.append(_node(name, node, folder))
    return Inventory((a, b), tuple(nodes))


def _end(name: str, node: Node, folder: Path) -> Machine:
    members = node.mapping((*logins.KEYS, "device", "below", "address", *SHARED))
    for key in ("ssh", "device", "address"):
        if key not in members:
            node.wrong(f"end {name} has no {key!r}", hint=_HINT)
    below = tuple(_device(each) for each in members["below"].items()) if "below" in members else ()
    address = members["address"]
    try:
        found = ip_address(address.text())
    except ValueError:
        address.wrong(f"{address.text()!r} is no IP address", hint="without a prefix length: 192.0.2.1")
    if found.is_loopback or found.is_multicast or found.is_unspecified or found.is_link_local:
        address.wrong(f"{found} is of no use between hosts")
    devices = (_device(members["device"]), *below)
    return machine(name, members, folder, devices, str(found))


def _node(name: str, node: Node, folder: Path) -> Machine:
    members = node.mapping((*logins.KEYS, "devices", *SHARED))
    for key in ("ssh", "devices"):
        if key not in members:
            node.wrong(f"node {name} has no {key!r}", hint="{ssh: ssh://root@pve1, devices: [vmbr0, tap100i0]}")
    devices = tuple(_device(each) for each in members["devices"].items())
    if not devices:
        members["devices"].wrong("a node without a device is on no path")
    return machine(name, members, folder, devices, "")


def machine(
    name: str, members: Mapping[str, Node], folder: Path, devices: tuple[str, ...] = (), address: str = ""
) -> Machine:
    """The machine of an entry: how it is reached, and SHARED, which ends, nodes and those of a cluster have alike."""
    speed = members["speed_mbps"].integer(1, _MBPS_MOST, "Mbit/s") if "speed_mbps" in members else 0
    watch = tuple(_watched(each) for each in members["watch"].items()) if "watch" in members else ()
    return Machine(name, logins.login(members, folder), devices, address, _allowed(members), speed, watch)


def _watched(node: Node) -> str:
    try:
        return str(ip_address(node.text()))
    except ValueError:
        node.wrong(f"{node.text()!r} is no IP address", hint="watch: [192.0.2.254]")


def _device(node: Node) -> str:
    if not _DEVICE.fullmatch(node.text()) or node.text() in {".", ".."}:
        node.wrong(f"{node.text()!r} is no name of a network device")
    return node.text()


def _allowed(members: Mapping[str, Node]) -> frozenset[str]:
    return frozenset(each.choice(WORDS) for each in members["allow"].items()) if "allow" in members else frozenset()
