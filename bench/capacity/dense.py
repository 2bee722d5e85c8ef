"""Pairs of endpoints in network namespaces, as many as are asked for, stood up and taken away together.

`same`: all on one bridge of one node. `across`: clients on one node, servers on another, all traffic over the one link
between, whose rate may be limited each way: the common bottleneck of a host's uplink.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from bench.capacity.readiness import awaited
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host, ask_everywhere
from bench.labs import lease as leases
from bench.labs.lab import Endpoint
from bench.labs.namespaces import HINT, rooms
from bench.labs.shaping import lines as shaping
from bench.labs.topology import Shape
from results.errors import NotAble

Layout = Literal["same", "across", "mixed"]  # mixed: of VMs on nodes, by turns
NODE, FAR, UPLINK = "node", "far", "uplink"
PAIRS_MOST = 500  # two ports each on a bridge, which has 1023 (BR_MAX_PORTS)
_CLIENTS, _SERVERS = int(IPv4Address("198.18.0.0")), int(IPv4Address("198.19.0.0"))
LENGTH = 15  # RFC 2544's prefix, whole
# A pair's two namespaces, the shells that hold and enter them, and the four programs of a trial: 23 MiB of memory that
# is not shared (measured at 32 pairs), and as much again for what a busy kernel keeps in socket buffers.
PAIR_BYTES, KEPT_BYTES = 46 << 20, 512 << 20

# What is available, and what each memory cgroup over this program allows, has in use, and could drop of that: those of
# v2 and of v1. $1 is before /proc and /sys.
_FREE = """\
grep -m1 '^MemAvailable:' "$1/proc/meminfo"
while IFS=: read -r number kinds path; do
case $number:,$kinds, in
0:,,) at=$1/sys/fs/cgroup most=memory.max used=memory.current cache=inactive_file ;;
*,memory,*) at=$1/sys/fs/cgroup/memory most=memory.limit_in_bytes used=memory.usage_in_bytes
cache=total_inactive_file ;;
*) continue ;;
esac
while :; do
[ -r "$at$path/$most" ] && echo cgroup "$(cat "$at$path/$most")" "$(cat "$at$path/$used")" \
"$(sed -n "s/^$cache //p" "$at$path/memory.stat")"
[ -n "$path" ] || break
path=${path%/*}
done
done <"$1/proc/self/cgroup"
:"""


@dataclass(frozen=True, slots=True)
class Dense:
    """What stands. Client n sends to server n; traffic passes `nodes`, whose queues may drop.

    machines  whose CPUs carry it, as far as they are seen; None: this machine's
    devices   by node or machine a pattern of the devices there that are the pairs' own, whose drops count
    beside    what one is asked beside its counters: the threads that carry its guests' packets
    trouble   what a watch sees now, in words, for which all load is to end; "" nothing
    look_s    seconds in which the watch has nothing new to see
    notes     what a reader must know of it
    told      what a run keeps of it beside the machine's own facts
    """

    clients: tuple[Endpoint, ...]
    servers: tuple[Endpoint, ...]
    nodes: tuple[Host, ...]
    machines: tuple[Host, ...] | None = None
    devices: Mapping[Host, str] = field(default_factory=dict)
    beside: Mapping[Host, Sequence[Command]] = field(default_factory=dict)
    trouble: Callable[[], str] = str
    look_s: float = 0.0
    told: Mapping[str, str] = field(default_factory=dict)
    legs: int = 1
    notes: tuple[str, ...] = ()


def names(pairs: int, layout: Layout) -> tuple[str, ...]:
    """Every host: clients, servers, nodes."""
    ends = tuple(f"{side}{number}" for side in ("c", "s") for number in range(1, pairs + 1))
    return (*ends, NODE, *((FAR,) if layout == "across" else ()))


def address(name: str) -> str:
    """An endpoint's address: 198.18.0.n of client n, 198.19.0.n of server n, and so on through the prefix."""
    base = _CLIENTS if name[0] == "c" else _SERVERS
    return str(IPv4Address(base + int(name[1:])))


def mac(name: str) -> str:
    """An endpoint's: fixed by its name, so that no bridge learns anything new in another run."""
    number = int(name[1:])
    return f"02:00:5e:{0x10 if name[0] == 'c' else 0x20:02x}:{number >> 8:02x}:{number & 0xFF:02x}"


def steps(
    pairs: int, layout: Layout, uplink_mbit: float, netns: dict[str, str], legs: int = 1
) -> tuple[tuple[tuple[str, Command], ...], ...]:
    """(host, Command) in rounds: within a round hosts do not depend on each other; `netns` names their namespaces.

    Each leg is a link of its own between bridges of its own, and pair n takes leg n modulo `legs`: as evenly as a bond
    deals flows at best.
    """
    ends = names(pairs, layout)[: 2 * pairs]
    home = {end: FAR if layout == "across" and end[0] == "s" else NODE for end in ends}
    first: dict[str, list[str]] = {}
    for node in dict.fromkeys(home.values()):
        first[node] = ["link set lo up"]
        for leg in range(legs):
            first[node] += [
                f"link add br{leg} type bridge mcast_snooping 0",
                f"link set br{leg} addrgenmode none up",
            ]
    links = [uplink(leg, legs) for leg in range(legs)] if layout == "across" else []
    first[NODE] += [f"link add {link} type veth peer name {link} netns {netns[FAR]}" for link in links]
    for end, node in home.items():
        port = f"port-{end}"
        peer = f"peer name eth0 address {mac(end)} netns {netns[end]}"
        first[node] += [
            f"link add {port} type veth {peer}",
            f"link set {port} addrgenmode none master br{leg_of(end, legs)} up",
        ]
    rounds = [tuple((node, _batch(lines)) for node, lines in first.items())]
    if links:
        joined = [f"link set {link} addrgenmode none master br{leg} up" for leg, link in enumerate(links)]
        rounds.append(tuple((node, _batch(joined)) for node in (NODE, FAR)))
        if limits := [line for link in links for line in shaping(Shape(rate_mbit=uplink_mbit), link)]:
            text = "\n".join(limits) + "\n"
            rounds.append(tuple((node, Command(("tc", "-batch", "-"), stdin=text)) for node in (NODE, FAR)))
    rounds.append(tuple((end, _batch(_own(end))) for end in ends))
    return tuple(rounds)


def uplink(leg: int, legs: int) -> str:
    """The device of a leg, counted from 0."""
    return UPLINK if legs == 1 else f"{UPLINK}-{leg}"


def leg_of(end: str, legs: int) -> int:
    """The leg that an endpoint's traffic takes."""
    return (int(end[1:]) - 1) % legs


@contextlib.contextmanager
def leg_down(lab: Dense, pairs: int) -> Iterator[None]:
    """The last leg has lost its link, and what took it of so many pairs takes the first; as it was on leaving.

    So flows move where a leg of a bond fails, and VMs where a node does. Raises HostFault.
    """
    last = lab.legs - 1
    moved = [end for side in ("c", "s") for number in range(1, pairs + 1)
             if leg_of(end := f"{side}{number}", lab.legs) == last]  # fmt: skip
    link = uplink(last, lab.legs)
    try:
        _moved(lab, [f"link set {link} down"], moved, 0)
        yield
    finally:
        _moved(lab, [f"link set {link} up"], moved, last)
        passing(lab.nodes)


def _moved(lab: Dense, before: list[str], ends: list[str], leg: int) -> None:
    near, far = lab.nodes
    lines = {
        node: [*before, *(f"link set port-{end} master br{leg}" for end in ends if end[0] == side)]
        for node, side in ((near, "c"), (far, "s"))
    }
    for (outcome,) in ask_everywhere({node: (_batch(each),) for node, each in lines.items()}).values():
        outcome.require()


def passing(hosts: Iterable[Host]) -> None:
    """Wait until every device of these hosts is up and every port of a bridge forwards. Raises HostFault naming one.

    The kernel takes note of a link that came up within a second (net/core/link_watch.c), and drops what it is given
    until then: a stream whose first packet came earlier began a second after the others.
    """

    def lacking(told: Sequence[Outcome]) -> str:
        found = not_passing(told[0].require().stdout)
        return f"{found[0]} did not come up" if found else ""

    awaited(hosts, (Command(("ip", "-d", "-j", "link", "show")),), lacking)


def not_passing(told: str) -> list[str]:
    """Of what `ip -d -j link show` told: the devices that are not up, or are ports that do not forward."""
    found = []
    for row in json.loads(told):
        port = row.get("linkinfo", {}).get("info_slave_data", {})
        if row["ifname"] != "lo" and (row["operstate"] != "UP" or port.get("state", "forwarding") != "forwarding"):
            found.append(row["ifname"])
    return found


def _own(end: str) -> list[str]:
    up = ["link set lo up", "link set eth0 addrgenmode none up"]
    return [*up, f"address add {address(end)}/{LENGTH} dev eth0"]


def _batch(lines: list[str]) -> Command:
    return Command(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n", deadline_s=60.0)


@contextlib.contextmanager
def standing(pairs: int, *, layout: Layout, uplink_mbit: float, leases_folder: Path, legs: int = 1) -> Iterator[Dense]:
    """So many pairs, removed on leaving; what a SIGKILL leaves is in the lease. Raises NotAble."""
    every = names(pairs, layout)
    with leases.held(leases_folder) as lease, rooms(lease, every) as hosts:
        for each in steps(pairs, layout, uplink_mbit, {name: host.netns for name, host in hosts.items()}, legs):
            told = ask_everywhere({hosts[name]: (command,) for name, command in each})
            for (outcome,) in told.values():
                outcome.require(HINT)
        passing(hosts.values())
        ends = {name: Endpoint(hosts[name], "eth0", address(name)) for name in every[: 2 * pairs]}
        nodes = tuple(hosts[name] for name in every[2 * pairs :])
        yield Dense(
            clients=tuple(ends[f"c{number}"] for number in range(1, pairs + 1)),
            servers=tuple(ends[f"s{number}"] for number in range(1, pairs + 1)),
            nodes=nodes,
            devices=dict.fromkeys(nodes, rf"port-.*|{UPLINK}.*"),
            legs=legs,
        )


def fitting(free_bytes: int, each_bytes: int = PAIR_BYTES, kept_bytes: int = KEPT_BYTES) -> int:
    """How many pairs fit so much free memory."""
    return max(0, free_bytes - kept_bytes) // each_bytes


def check_memory(pairs: int, local: Host) -> None:
    """Raise NotAble where the machine has no memory for so many pairs, saying how many fit."""
    check_fit(pairs, PAIR_BYTES, KEPT_BYTES, local)


def check_fit(pairs: int, each_bytes: int, kept_bytes: int, local: Host, root: str = "") -> None:
    """The same of pairs that take `each_bytes`; `root`: where the machine's /proc and /sys are."""
    told = local.run(Command(("sh", "-c", _FREE, "sh", root))).stdout
    free, where = _free(told)
    fit = fitting(free, each_bytes, kept_bytes)
    if pairs > fit:
        raise NotAble(
            f"{pairs} pairs need about {_gib(kept_bytes + pairs * each_bytes)} of memory and {_gib(free)} are free"
            f"{where}: {fit} pairs fit",
            hint=f"pairs up to {fit}" if fit else "smaller ones, or end something else first",
        )


def _free(told: str) -> tuple[int, str]:
    """Bytes, and where so few are left, in words; a kernel that does not tell has enough: the lab will show it."""
    free, where = 1 << 62, ""
    for line in told.splitlines():
        word, *numbers = line.split()
        if word == "MemAvailable:":
            free = min(free, int(numbers[0]) << 10)
        elif len(numbers) == 3 and all(each.isdecimal() for each in numbers):  # cgroup v2 has no number for no limit
            most, used, cache = map(int, numbers)
            if (left := max(0, most - max(0, used - cache))) < free:
                free, where = left, " in this program's memory cgroup"
    return free, where


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
