"""What load may take of a link that others use, what is watched meanwhile, and the CPUs that are near its NIC.

The questions are asked of machines that already stand (bench.labs.hosts); their answers are read by pure functions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.facts.hardware import NO_SPEED, kept_of_nics
from bench.facts.roles import Link, Stack
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.inventory import Inventory, Machine
from bench.labs.standing import LabBroken

SHARE_RANGE = (1.0, 90.0)  # per cent
_DEVICE = "/sys/class/net/{}/{}"
_NODES = "/sys/devices/system/node/online"
_NODE_CPUS = "/sys/devices/system/node/node{}/cpulist"
QUORUM = Command(("corosync-quorumtool", "-s"))
QUORATE = re.compile(r"^Quorate:\s*Yes", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Speed:
    """Mbit/s of the slowest device that load passes on a machine, and in words whose that is."""

    mbps: int
    whose: str


@dataclass(frozen=True, slots=True)
class Near:
    """The CPUs of the NUMA node that a machine's NIC is on, as the kernel lists them; "" where it does not matter."""

    cpus: str = ""
    why: str = ""


def question(devices: Sequence[str]) -> Command:
    """Speed and NUMA node of some devices, and the nodes of the machine."""
    asked = [_DEVICE.format(each, what) for each in devices for what in ("speed", "device/numa_node")]
    return Command(("tail", "-v", "-n", "+1", *asked, _NODES))


def hardware(stack: Stack, passed: Sequence[str]) -> tuple[str, ...]:
    """Those of the passed devices that are no construction of the kernel: they alone have a speed, and a place."""
    return tuple(each for each in passed if not stack.links[each].kind)


def speed(machine: Machine, nics: Sequence[str], told: Mapping[str, str], *, leaves: bool) -> Speed | None:
    """Of a machine that load leaves, or else passes; None where it passes devices of the kernel alone.

    What the machine's entry states wins. Otherwise every NIC must tell its speed: a veth's 10000 is a constant of the
    kernel (drivers/net/veth.c), virtio tells -1. Raises LabBroken naming the device.
    """
    if machine.speed_mbps:
        return Speed(machine.speed_mbps, f"{machine.name}'s speed_mbps, as its entry states")
    found = []
    for each in nics:
        text = told.get(_DEVICE.format(each, "speed"), "").strip()
        if not text.isdecimal() or not int(text):
            raise _unknown(machine, each, f"tells no speed ({text or 'nothing'})")
        found.append(Speed(int(text), f"{each} on {machine.name}"))
    if not found and leaves:
        raise _unknown(machine, machine.devices[0], "has no NIC below it whose speed could be trusted")
    return min(found, key=lambda each: each.mbps) if found else None


def path_mbps(inventory: Inventory, kept: Mapping[str, str]) -> int:
    """Mbit/s that the slowest machine of a path can pass at most, by the facts that a run keeps; 0: none tells.

    The ports of a bond below an end carry the traffic together; of a node each named device carries all of it.
    """
    speeds, drivers = (kept_of_nics(kept, word) for word in ("speed", "driver"))
    found = []
    for machine in inventory.machines:
        own = [int(speed) for (host, _), speed in speeds.items() if host == machine.name]
        made_up = any(host == machine.name and driver in NO_SPEED for (host, _), driver in drivers.items())
        if machine.speed_mbps:
            found.append(machine.speed_mbps)
        elif own and not made_up:
            found.append(sum(own) if machine.address else min(own))
    return min(found, default=0)


def _unknown(machine: Machine, device: str, why: str) -> LabBroken:
    return LabBroken(
        f"on {machine.name}: {device} {why}, so nobody knows what share of it a load takes",
        hint=f"in the entry of {machine.name}: speed_mbps: 1000, or what the link really carries",
    )


def numa_node(nics: Sequence[str], told: Mapping[str, str]) -> str:
    """The node that all NICs of a machine of several nodes are on; "" where there is no such one."""
    nodes = {told.get(_DEVICE.format(each, "device/numa_node"), "-1").strip() for each in nics}
    several = re.search(r"[-,]", told.get(_NODES, "0"))
    node = nodes.pop() if len(nodes) == 1 and several else "-1"
    return node if node.isdecimal() else ""


def near(host: Host, nics: Sequence[str], told: Mapping[str, str]) -> Near:
    """The CPUs that a load's processes are pinned to."""
    node = numa_node(nics, told)
    if not node:
        return Near()
    cpus = host.run(Command(("cat", _NODE_CPUS.format(node)))).stdout.strip()
    where = f"node {node}, where {', '.join(nics)} is"
    if not cpus:
        return Near(why=f"not pinned: {where}, has no CPU")
    tried = host.run(Command(("taskset", "-c", cpus, "true")))
    if not tried.ok:
        return Near(why=f"not pinned to CPUs {cpus} of {where}: {tried.stderr.strip()[:200]}")
    return Near(cpus, f"pinned to CPUs {cpus} of {where}")


def pin(found: Near) -> tuple[str, ...]:
    """What goes before a load's own words."""
    return ("taskset", "-c", found.cpus) if found.cpus else ()


def ping(address: str) -> Command:
    """An echo, tried for a second: one that is lost says nothing."""
    return Command(("ping", "-n", "-c", "1", "-i", "0.2", "-w", "1", address))


def looks(
    host: Host, machine: Machine, up: Sequence[str], gateways: Sequence[str], others: Sequence[str]
) -> tuple[str, ...]:
    """What is watched on a machine while load runs: each of it is well now.

    `up` are the devices with carrier that load passes. Addresses are the inventory's `watch:`, else the default
    gateways; and the other end, whose way is the nodes' too. Raises LabBroken for a `watch:` address that is silent.
    """
    asked = [*(machine.watch or gateways), *others]
    pings = tuple(ping(each) for each in asked)
    *answers, quorum = host.run_all((*pings, QUORUM))
    for address, answer in zip(asked, answers, strict=True):
        if not answer.ok and address in machine.watch:
            raise LabBroken(
                f"on {machine.name}: {address}, which is to be watched, does not answer a ping before any load: "
                f"{(answer.stderr or answer.stdout).strip()[-200:]}",
                hint="an address that answers; is ping (iputils) installed?",
            )
    found = [f"carrier:{each}" for each in up]
    found += [f"ping:{each}" for each, answer in zip(asked, answers, strict=True) if answer.ok]
    return tuple(dict.fromkeys((*found, *(("quorum",) if QUORATE.search(quorum.stdout) else ()))))


def share(share_pct: float, of: Speed) -> str:
    """As a run keeps it: `30 %: 300 of 1000 Mbit/s (eth0 on a)`."""
    return f"{share_pct:g} %: {of.mbps * share_pct / 100:g} of {of.mbps} Mbit/s ({of.whose})"


def note(share_pct: float) -> str:
    """What is true of results whose load was held to that share."""
    return (
        f"Load was held to {share_pct:g} % of the link, because others use it. A rate that reached its limit "
        '(the trial is flagged "capped") is no capacity, and two arms that reached it need not be equal.'
    )


def in_words(watched: Sequence[str]) -> str:
    """`eth0's carrier, 192.0.2.9, corosync's quorum`."""
    words = {"carrier": "{}'s carrier", "ping": "{}", "quorum": "corosync's quorum"}
    return ", ".join(words[what].format(each) for what, _, each in (look.partition(":") for look in watched))


def is_strangers(link: Link, machine: Machine) -> bool:
    """A port of a bridge below ours that belongs to somebody's guest: our traffic does not pass it."""
    return link.kind in {"tun", "veth"} and link.name not in machine.devices
