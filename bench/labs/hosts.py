"""A Lab of machines that already stand: nothing is built. The path is checked to be what the plan says, or refused.

What is on the path was there before, and others use it: the facts of their devices are left out, the roles of ours are
kept for whoever wants to change or load them, and `Lab.guard_s` asks for a guard behind every change.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.facts import hardware, irqs, riding, roles, tailed
from bench.facts.riding import Riding
from bench.facts.roles import Role, Stack
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.ssh import connected
from bench.hosts.watched import Watch, Watched
from bench.labs import sharing
from bench.labs.inventory import Inventory, Machine
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology

INSTEAD = "measure on a link of its own, or run with --shared-link: load is held to a share of it then"
_NOTES = (
    (
        "Measured between machines that already stood. What else they do, and who else uses their links, is in the "
        "numbers; CPU figures are those of end a alone."
    ),
    "Every change was guarded: a machine that had lost its controller would have put itself back.",
)


def notes(share_pct: float) -> tuple[str, ...]:
    """What is true of all results from here; `share_pct` of a shared link was load's at most, 0: no link was shared."""
    return (*_NOTES, sharing.note(share_pct)) if share_pct else _NOTES


@contextlib.contextmanager
def standing(
    topology: Topology, inventory: Inventory, *, trial_s: float, share_pct: float = 0.0, instead: str = INSTEAD
) -> Iterator[Lab]:
    """The Lab; nothing of it is made or removed. `trial_s` is the longest that one trial may take.

    With `share_pct` load may pass links that others use, at most at that share of the slowest. Raises LabBroken where
    the path is another than the plan's, or where load on it would meet somebody else's traffic: `instead` is its hint,
    "" where no load is meant.
    """
    with contextlib.ExitStack() as stack:
        bare: dict[str, Host] = {}
        for machine in inventory.machines:
            bare[machine.name] = stack.enter_context(connected(machine.name, machine.login))
            riding.able(bare[machine.name])
        told: dict[str, Riding] = {}
        for machine in inventory.machines:
            told[machine.name] = riding.asked(bare[machine.name], machine.devices)
            _devices_there(bare[machine.name], machine, told[machine.name].stack)
        for here, there in (inventory.ends, inventory.ends[::-1]):
            check_route(bare[here.name], here, there)
        up = {}
        for machine in inventory.machines:
            up[machine.name] = devices_fit(bare[machine.name], machine, topology)
            if instead and not share_pct:
                _not_shared(machine, told[machine.name].stack, told[machine.name].ridden, instead)
        hosts, loads = _loaded(inventory, bare, told, up, share_pct)
        stacks = {name: each.stack for name, each in told.items()}
        yield Lab(
            topology=topology,
            endpoints=tuple(Endpoint(hosts[end.name], end.devices[0], end.address) for end in inventory.ends),
            nodes=tuple(hosts[node.name] for node in inventory.nodes),
            path=path_of(inventory, hosts, stacks),
            machine=hosts[inventory.ends[0].name],
            guard_s=trial_s + inventory.grace_s,
            roles={each.name: kept(each, told[each.name].ridden) for each in inventory.machines},
            interrupts=frozenset(name for name, host in bare.items() if not host.run(irqs.BALANCER).ok),
            scope={each.name: near(each.devices, stacks[each.name]) for each in inventory.machines},
            cap_bps=loads.cap_bps,
            trouble=lambda: loads.watch.seen,
            told=loads.told,
        )


@dataclass(frozen=True, slots=True)
class _Loads:
    """What holds for load on the lab."""

    cap_bps: float
    watch: Watch
    told: Mapping[str, str]


def _loaded(
    inventory: Inventory,
    bare: Mapping[str, Host],
    told: Mapping[str, Riding],
    carrier: Mapping[str, frozenset[str]],
    share_pct: float,
) -> tuple[dict[str, Host], _Loads]:
    """The hosts as load is put on them: near the NIC, and with a share of a link that others use, held and watched."""
    facts: dict[str, str] = {}
    watched: dict[str, tuple[str, ...]] = {}
    slowest: sharing.Speed | None = None
    hosts: dict[str, Host] = {}
    watch = Watch(watched, [bare[each.name] for each in inventory.nodes])
    others = {each.name: [other.address for other in inventory.ends if other is not each] for each in inventory.ends}
    for machine in inventory.machines:
        name, host, known = machine.name, bare[machine.name], told[machine.name]
        through = passed(machine, known.stack)
        nics = sharing.hardware(known.stack, through)
        files = tailed.files(host.run(sharing.question(nics)).stdout)
        facts |= hardware.of_run(host, nics)
        near = sharing.near(host, nics, files) if machine.address else sharing.Near()
        hosts[name] = Watched(host, pin=sharing.pin(near), watch=watch)
        facts |= {f"load on {name}": near.why} if near.why else {}
        if share_pct:
            found = sharing.speed(machine, nics, files, leaves=bool(machine.address))
            slowest = min((each for each in (slowest, found) if each), key=lambda each: each.mbps, default=None)
            up = [each for each in through if each in carrier[name]]
            watched[name] = sharing.looks(host, machine, up, known.gateways, others.get(name, []))
            facts[f"watched on {name}"] = sharing.in_words(watched[name])
    cap_bps = slowest.mbps * 1e6 * share_pct / 100 if slowest else 0.0
    if slowest:
        facts["max share"] = sharing.share(share_pct, slowest)
    return hosts, _Loads(cap_bps, watch, facts)


def path_of(inventory: Inventory, hosts: Mapping[str, Host], stacks: Mapping[str, Stack]) -> tuple[PathDevice, ...]:
    """From a to b. Bridges between the ends do not count what they forward; those with an end's address do."""
    a, b = inventory.ends
    ends = {a.name: a.devices, b.name: b.devices[::-1]}  # a's route device first, b's last
    ordered = [(a.name, each) for each in ends[a.name]]
    ordered += [(node.name, each) for node in inventory.nodes for each in node.devices]
    ordered += [(b.name, each) for each in ends[b.name]]
    found = []
    for name, device in ordered:
        link = stacks[name].links.get(device) if name in stacks else None
        forwards = name not in ends and link is not None and link.kind == "bridge"
        found.append(PathDevice(hosts[name], device, counts=not forwards))
    return tuple(found)


def commands(inventory: Inventory) -> list[tuple[str, str]]:
    """(machine, line) of what is asked before the first trial, for `--dry-run`."""
    found = [(each.name, str(question)) for each in inventory.machines for question in roles.QUESTIONS]
    a, b = inventory.ends
    return [*found, (a.name, str(_way(a, b))), (b.name, str(_way(b, a)))]


def near(devices: Collection[str], stack: Stack) -> frozenset[str]:
    """The devices whose facts are kept: these, those above and below them, but no stranger's."""
    found: set[str] = {"lo", *devices}
    for device in devices:
        found |= stack.above(device) | stack.below(device)
    strangers = {name for name in found if stack.links[name].kind in {"tun", "veth"}} - set(devices)
    return frozenset(found - strangers)


def kept(machine: Machine, ridden: Sequence[Role]) -> tuple[Role, ...]:
    """The roles of a machine's path devices that forbid a change there."""
    return tuple(each for each in ridden if each.device in machine.devices and each.role not in machine.allow)


def _devices_there(host: Host, machine: Machine, stack: Stack) -> None:
    """Every named device is there, and those of an end lie below its first. Raises LabBroken."""
    for device in machine.devices:
        if device not in stack.links:
            raise LabBroken(
                f"on {host.name}: there is no device {device!r}", hint=f"there are {', '.join(sorted(stack.links))}"
            )
    if machine.address:
        route, *below = machine.devices
        for device in below:
            if device not in stack.below(route):
                raise LabBroken(f"on {host.name}: {device} does not lie below {route}", hint="leave it out of `below`")
            beside = [each for each in below if each != device and _share_a_bond(stack, device, each)]
            if beside:
                raise LabBroken(
                    f"on {host.name}: {device} and {beside[0]} are ports of one bond, and the path takes one of them",
                    hint="name the one that carries the traffic",
                )


def devices_fit(host: Host, machine: Machine, topology: Topology) -> frozenset[str]:
    """Every named device has carrier, and room for the plan's packets; all with carrier. Raises LabBroken."""
    rows = _rows(host.run(Command(("ip", "-j", "link", "show"))).require().stdout, host)
    links = {str(row.get("ifname")): row for row in rows}
    for device in machine.devices:
        row = links.get(device, {})
        if not {"UP", "LOWER_UP"} <= set(row.get("flags", ())):
            raise LabBroken(
                f"on {host.name}: {device} has no carrier (flags {' '.join(row.get('flags', ()))})",
                hint=f"is the cable in, and is it up? ip link set {device} up",
            )
        least, found = topology.mtu, int(row.get("mtu", 0))
        exact = bool(machine.address) and device == machine.devices[0]
        if found < least or (exact and found != least):
            raise LabBroken(
                f"on {host.name}: the plan's path has an MTU of {least}, and {device} has {found}",
                hint=f"topologies: [{{kind: standing, mtu: {found}}}], or set the device's",
            )
    return frozenset(name for name, row in links.items() if {"UP", "LOWER_UP"} <= set(row.get("flags", ())))


def check_route(host: Host, here: Machine, there: Machine) -> None:
    """Traffic between the ends' addresses leaves by the named device. Raises LabBroken with the one that it takes."""
    outcome = host.run(_way(here, there))
    device = here.devices[0]
    if not outcome.ok:
        raise LabBroken(
            f"on {here.name}: there is no way from {here.address} to {there.address}: {outcome.stderr.strip()[:200]}",
            hint=f"has {device} the address {here.address}?",
        )
    row = (_rows(outcome.stdout, host) or [{}])[0]
    if row.get("type") == "local":
        raise LabBroken(
            f"on {here.name}: {there.address} is an address of {here.name} itself", hint="a and b are two machines"
        )
    if row.get("dev") != device:
        raise LabBroken(
            f"on {here.name}: traffic from {here.address} to {there.address} leaves by {row.get('dev')}, "
            f"not by {device}",
            hint="name the device that the route takes, or change the route",
        )


def _not_shared(machine: Machine, stack: Stack, ridden: Sequence[Role], instead: str = INSTEAD) -> None:
    """No load on a link that somebody else's traffic needs. Raises LabBroken naming the device and who that is."""
    for device in passed(machine, stack):
        for role in ridden:
            if role.device == device and role.role in roles.LOADED:
                raise LabBroken(
                    f"on {machine.name}: {device} carries somebody else's traffic ({role.role}): {role.why}",
                    hint=instead,
                )


def passed(machine: Machine, stack: Stack) -> tuple[str, ...]:
    """The devices that load passes: of an end those below its own too, of a node the named ones are all of them."""
    found = list(machine.devices)
    if machine.address:
        found += [each for each in sorted(stack.below(machine.devices[0])) if each not in found]
    return tuple(each for each in found if not sharing.is_strangers(stack.links[each], machine))


def _share_a_bond(stack: Stack, one: str, other: str) -> bool:
    master = stack.links[one].master
    return bool(master) and master == stack.links[other].master and stack.links[master].kind in roles.BONDS


def _way(here: Machine, there: Machine) -> Command:
    return Command(("ip", "-j", "route", "get", there.address, "from", here.address))


def _rows(text: str, host: Host) -> list[Mapping[str, Any]]:  # Any: JSON
    try:
        return roles.rows(text)
    except ValueError as error:
        raise LabBroken(f"on {host.name}: ip did not answer in JSON: {error}") from error
