"""Roles: what rides on a device, found through the whole stack: VLANs, bridges, bonds, macvlans, tunnels. Pure.

A role begins at one device (the one with the address that our SSH connection came to, a guest's tap) and holds for
every device below it. `bench/labs/hosts.py` asks QUESTIONS and CONNECTION; the functions here read the answers.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Literal, get_args

from bench.hosts.command import Command

Word = Literal["ssh", "default-route", "corosync", "storage", "migration", "guests"]
WORDS: tuple[str, ...] = get_args(Word)
LOADED = frozenset(WORDS) - {"default-route"}  # what suffers where we put load
_FILES = ("/etc/pve/corosync.conf", "/etc/corosync/corosync.conf", "/etc/pve/storage.cfg", "/etc/pve/ceph.conf",
          "/etc/pve/datacenter.cfg", "/etc/hosts")  # fmt: skip
# Prints "client port server port" as sshd(8) sets it. sudo takes it out of the environment, so that of the processes
# above is read too.
CONNECTION = Command(("sh", "-c", """\
[ -z "${SSH_CONNECTION:-}" ] || { printf '%s\\n' "$SSH_CONNECTION"; exit 0; }
up=$$
while [ "$up" -gt 1 ]; do
  found=$(tr '\\0' '\\n' <"/proc/$up/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')
  [ -z "$found" ] || { printf '%s\\n' "$found"; exit 0; }
  up=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$up/status")
done
exit 1"""))  # fmt: skip
QUESTIONS: tuple[Command, ...] = (
    Command(("ip", "-d", "-j", "addr", "show")),
    Command(("ip", "-j", "route", "show")),
    Command(("ip", "-j", "-6", "route", "show")),
    Command(("tail", "-v", "-n", "+1", *_FILES)),  # those that are not there are left out
)
# What a VXLAN device lies on is not in QUESTIONS where it has no `dev`, as Proxmox VE makes them: who it sends to is.
TUNNELLED = Command(("bridge", "-j", "fdb", "show"))
# What a guest's or container's end of a link is: tap100i0 (tun), veth100i0, fwpr100p0 (veth), vnet0 (tun).
GUEST_KINDS = frozenset({"tun", "veth"})
# Whose ports are legs: the kernel's, and Open vSwitch's, which is no device of the kernel (bench/facts/openvswitch.py).
OVS_BOND = "ovs-bond"
BONDS = frozenset({"bond", OVS_BOND})
_BRIDGES = frozenset({"bridge", "openvswitch"})
_PRIVATE_KINDS = frozenset({"macvlan", "macvtap", "ipvlan", "ipvtap"})


@dataclass(frozen=True, slots=True)
class Link:
    """One device: its kind ("" for hardware), its master, what it lies on, its addresses with prefix lengths."""

    name: str
    kind: str = ""
    master: str = ""
    below: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """What rides on a device, and in words how that is known."""

    device: str
    role: Word
    why: str


class Stack:
    """The devices of one host and how they lie on each other."""

    def __init__(self, links: Iterable[Link]) -> None:
        self.links: Mapping[str, Link] = {link.name: link for link in links}
        self._up: dict[str, set[str]] = {name: set() for name in self.links}
        self._down: dict[str, set[str]] = {name: set() for name in self.links}
        for link in self.links.values():
            for lower, upper in ((link.name, link.master), *((each, link.name) for each in link.below)):
                if lower in self.links and upper in self.links:
                    self._up[lower].add(upper)
                    self._down[upper].add(lower)

    def above(self, device: str) -> frozenset[str]:
        """Every device whose traffic passes this one; itself not."""
        return _closure(device, self._up)

    def below(self, device: str) -> frozenset[str]:
        """Every device that this one's traffic may pass; itself not."""
        return _closure(device, self._down)

    def ports(self, device: str) -> frozenset[str]:
        """The devices whose master it is."""
        return frozenset(name for name, link in self.links.items() if device and link.master == device)

    def holding(self, address: str) -> str:
        """The device with that address; "" when none has it."""
        wanted = ip_address(address)
        for link in self.links.values():
            if any(ip_interface(each).ip == wanted for each in link.addresses):
                return link.name
        return ""

    def connected(self, network: str) -> tuple[str, ...]:
        """The devices with an address inside that network."""
        wanted = ip_network(network, strict=False)
        return tuple(
            link.name for link in self.links.values() if any(ip_interface(each).ip in wanted for each in link.addresses)
        )


@dataclass(frozen=True, slots=True)
class Routes:
    """(destination, device) of every next hop of the main table, both families."""

    hops: tuple[tuple[str, str], ...]

    def towards(self, address: str) -> tuple[str, ...]:
        """The devices by which the longest prefix that holds an address leads there."""
        wanted = ip_address(address)
        fitting = [(ip_network(to).prefixlen, device) for to, device in self.hops if wanted in ip_network(to)]
        longest = max((length for length, _ in fitting), default=-1)
        return tuple(dict.fromkeys(device for length, device in fitting if length == longest))

    @property
    def default(self) -> tuple[str, ...]:
        """The devices of default routes."""
        return tuple(dict.fromkeys(device for to, device in self.hops if to in {"0.0.0.0/0", "::/0"}))


def _closure(start: str, edges: Mapping[str, set[str]]) -> frozenset[str]:
    found: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        device = ahead.pop()
        if device not in found:
            found.add(device)
            ahead += edges[device]
    return frozenset(found - {start})


def links(rows: Sequence[Mapping[str, Any]]) -> tuple[Link, ...]:  # Any: JSON
    """`ip -d -j addr show`. A veth's `link` is its peer, which is no device below it."""
    found = []
    for row in rows:
        info = row.get("linkinfo", {})
        kind = str(info.get("info_kind", ""))
        below = [row.get("link"), info.get("info_data", {}).get("link")] if kind != "veth" else []
        addresses = tuple(
            f"{each['local']}/{each['prefixlen']}" for each in row.get("addr_info", ()) if "local" in each
        )
        found.append(
            Link(
                name=str(row["ifname"]),
                kind=kind,
                master=str(row.get("master", "")),
                below=tuple(dict.fromkeys(str(each) for each in below if each)),
                addresses=addresses,
            )
        )
    return tuple(found)


def untold(found: Iterable[Link]) -> frozenset[str]:
    """The VXLAN devices of which it is not told what they lie on."""
    return frozenset(link.name for link in found if link.kind == "vxlan" and not link.below)


def tunnelled(found: Iterable[Link], by: Routes, fdb: Sequence[Mapping[str, Any]]) -> tuple[Link, ...]:  # Any: JSON
    """The same links, VXLAN devices on those by which their remotes are reached. `fdb`: what TUNNELLED answers."""
    of = untold(found := tuple(found))
    below: dict[str, list[str]] = {}
    for row in fdb:
        if row.get("ifname") in of and "dst" in row:
            below.setdefault(str(row["ifname"]), []).extend(by.towards(str(row["dst"])))
    return tuple(replace(link, below=tuple(dict.fromkeys(below.get(link.name, link.below)))) for link in found)


def routes(*tables: Sequence[Mapping[str, Any]]) -> Routes:  # Any: JSON
    """`ip -j route show` and `ip -j -6 route show`, in that order."""
    hops = []
    for everywhere, rows in zip(("0.0.0.0/0", "::/0"), tables, strict=False):
        for row in rows:
            to = everywhere if row.get("dst") == "default" else str(row.get("dst"))
            hops += [(to, str(hop["dev"])) for hop in (row, *row.get("nexthops", ())) if "dev" in hop]
    return Routes(tuple(hops))


def gateways(*tables: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:  # Any: JSON
    """The neighbours that default routes of the same tables lead to; a link-local one with its device."""
    defaults = [row for rows in tables for row in rows if row.get("dst") == "default"]
    hops = [hop for row in defaults for hop in (row, *row.get("nexthops", ())) if "gateway" in hop]
    found = [(str(hop["gateway"]), str(hop.get("dev"))) for hop in hops]
    return tuple(dict.fromkeys(f"{to}%{device}" if to.startswith("fe80:") else to for to, device in found))


def began(stack: Stack, by: Routes, told: Mapping[str, str], ssh: Sequence[str]) -> tuple[Role, ...]:
    """Where roles begin. `told` are the files of QUESTIONS, `ssh` the four words of CONNECTION."""
    found = [*_ours(stack, by, ssh)]
    found += [Role(device, "default-route", f"the default route leaves by {device}") for device in by.default]
    found += [
        Role(device, "corosync", f"{address} is on corosync's network, which {device} leads to")
        for address in _rings(told)
        for device in by.towards(address)
    ]
    found += [*_storage(stack, by, told), *_migration(stack, told)]
    found += [
        Role(link.name, "guests", f"{link.name} ({link.kind}) belongs to a guest or container")
        for link in stack.links.values()
        if link.kind in _PRIVATE_KINDS or (link.kind in GUEST_KINDS and _is_bridged(stack, link))
    ]
    return tuple(dict.fromkeys(found))


def peers(stack: Stack, by: Routes, told: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(address, device that leads there) of servers of storage and of other nodes' rings, by the files of QUESTIONS."""
    return tuple(
        (address, device)
        for address in dict.fromkeys((*_servers(told), *_rings(told)))
        if not stack.holding(address)
        for device in by.towards(address)
    )


def resolved(stack: Stack, begun: Sequence[Role], *, ours: Iterable[str] = ()) -> tuple[Role, ...]:
    """Every device with what rides on it; guests whose devices are `ours` are the ones being measured.

    A bridge's ports carry one another's traffic: a guest on the bridge rides on each of them that is no guest's.
    """
    measured = frozenset(ours)
    by_device: dict[str, list[Role]] = {}
    for role in begun:
        by_device.setdefault(role.device, []).append(role)
    found: list[Role] = []
    for device in stack.links:
        carried = [device, *sorted(stack.above(device))]
        guest = any(role.role == "guests" for role in by_device.get(device, ()))
        bridges = [] if guest else [each for each in carried if stack.links[each].kind in _BRIDGES]
        beside = [port for bridge in bridges for port in sorted(stack.ports(bridge)) if port not in carried]
        for each in (*carried, *beside):
            for role in by_device.get(each, ()):
                if (role.role == "guests" and each in measured) or (role.role != "guests" and each in beside):
                    continue
                how = role.why if each == device else f"{role.why}, and rides on {device}"
                found.append(Role(device, role.role, how))
    return tuple(dict.fromkeys(found))


def _is_bridged(stack: Stack, link: Link) -> bool:
    return stack.links[link.master].kind in _BRIDGES if link.master in stack.links else False


def _ours(stack: Stack, by: Routes, ssh: Sequence[str]) -> Iterator[Role]:
    if not ssh:  # this machine itself
        return
    client, _, server, _ = ssh
    client, server = (_plain(each) for each in (client, server))
    if device := stack.holding(server):
        yield Role(device, "ssh", f"{device} has {server}, the address that our SSH connection came to")
    for device in by.towards(client):
        yield Role(device, "ssh", f"our SSH connection is answered by {device}")


def _plain(address: str) -> str:
    """Without a scope, and an IPv4 address as such also where a socket of both families took it."""
    bare = ip_address(address.partition("%")[0])
    return str(getattr(bare, "ipv4_mapped", None) or bare)


def _addresses(words: Iterable[str], told: Mapping[str, str]) -> Iterator[str]:
    """Addresses as they are, names by /etc/hosts; what is neither is left out."""
    known: dict[str, str] = {}
    for line in told.get("/etc/hosts", "").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            known.setdefault(name, address)
    for word in words:
        bare = re.sub(r"^\[?([0-9a-fA-F:.]+?)\]?(?::\d+)?$", r"\1", word) if "." in word or "[" in word else word
        for each in (bare, known.get(word, "")):
            try:
                yield str(ip_address(each))
            except ValueError:
                continue
            break


def _rings(told: Mapping[str, str]) -> Iterator[str]:
    text = told.get("/etc/pve/corosync.conf", "") + told.get("/etc/corosync/corosync.conf", "")
    yield from _addresses(dict.fromkeys(re.findall(r"^\s*ring\d_addr:\s*(\S+)", text, re.MULTILINE)), told)


def _servers(told: Mapping[str, str]) -> Iterator[str]:
    listed = re.findall(r"^\s*(?:server2?|monhost|portal)\s+(.+)$", told.get("/etc/pve/storage.cfg", ""), re.MULTILINE)
    yield from _addresses(re.split(r"[\s,;]+", " ".join(listed)), told)


def _storage(stack: Stack, by: Routes, told: Mapping[str, str]) -> Iterator[Role]:
    for address in _servers(told):
        for device in by.towards(address):
            yield Role(device, "storage", f"the storage at {address} is reached by {device}")
    ceph = re.findall(
        r"^\s*(?:public|cluster)[_ ]network\s*=\s*(.+)$", told.get("/etc/pve/ceph.conf", ""), re.MULTILINE
    )
    for network in re.split(r"[\s,]+", " ".join(ceph).strip()):
        for device in stack.connected(network) if _is_network(network) else ():
            yield Role(device, "storage", f"{device} is on Ceph's network {network}")


def _migration(stack: Stack, told: Mapping[str, str]) -> Iterator[Role]:
    line = re.search(r"^migration:.*\bnetwork=([^,\s]+)", told.get("/etc/pve/datacenter.cfg", ""), re.MULTILINE)
    if line and _is_network(line[1]):
        for device in stack.connected(line[1]):
            yield Role(device, "migration", f"{device} is on the migration network {line[1]}")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def rows(text: str) -> list[Mapping[str, Any]]:  # Any: JSON
    """A list of objects; [] for no output. Raises ValueError for anything else."""
    document = json.loads(text or "[]")
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise ValueError("no list of objects")
    return [row for row in document if row]
