"""A Lab of machines that already stand: nothing is built. The path is checked to be what the plan says, or refused.

What is on the path was there before, and others use it: the facts of their devices are left out, the roles of ours are
kept for whoever wants to change or load them, and `Lab.guard_s` asks for a guard behind every change.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.facts import roles, tailed
from bench.facts.roles import Role, Stack
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.ssh import connected
from bench.labs.inventory import Inventory, Machine
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology

# What every machine needs beside a shell: reading state, changing it, and the guard behind a change.
TOOLS = ("ip", "tc", "bridge", "ethtool", "ss", "grep", "tail", "tee", "flock", "setsid", "sync")
_LACKING = 'for tool do command -v "$tool" >/dev/null || echo "$tool"; done'
_PACKAGES = "apt-get install --no-install-recommends iproute2 ethtool util-linux coreutils grep"
NOTES = (
    (
        "Measured between machines that already stood. What else they do, and who else uses their links, is in the "
        "numbers; CPU figures are those of end a alone."
    ),
    "Every change was guarded: a machine that had lost its controller would have put itself back.",
)


@contextlib.contextmanager
def standing(topology: Topology, inventory: Inventory, *, trial_s: float) -> Iterator[Lab]:
    """The Lab; nothing of it is made or removed. `trial_s` is the longest that one trial may take.

    Raises LabBroken where the path is another than the plan's, or where load on it would meet somebody else's traffic.
    """
    with contextlib.ExitStack() as stack:
        hosts: dict[str, Host] = {}
        for machine in inventory.machines:
            hosts[machine.name] = stack.enter_context(connected(machine.name, machine.login))
            _able(hosts[machine.name])
        stacks, ridden = {}, {}
        for machine in inventory.machines:
            host = hosts[machine.name]
            stacks[machine.name], ridden[machine.name] = _asked(host, machine)
            _devices_there(host, machine, stacks[machine.name])
        for here, there in (inventory.ends, inventory.ends[::-1]):
            check_route(hosts[here.name], here, there)
        for machine in inventory.machines:
            _devices_fit(hosts[machine.name], machine, topology)
            _not_shared(machine, stacks[machine.name], ridden[machine.name])
        yield Lab(
            topology=topology,
            endpoints=tuple(Endpoint(hosts[end.name], end.devices[0], end.address) for end in inventory.ends),
            nodes=tuple(hosts[node.name] for node in inventory.nodes),
            path=path_of(inventory, hosts, stacks),
            machine=hosts[inventory.ends[0].name],
            guard_s=trial_s + inventory.grace_s,
            roles={each.name: kept(each, ridden[each.name]) for each in inventory.machines},
            scope={each.name: scope(each, stacks[each.name]) for each in inventory.machines},
        )


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


def scope(machine: Machine, stack: Stack) -> frozenset[str]:
    """The devices whose facts are kept: those on the path, those above and below them, but no stranger's."""
    near: set[str] = {"lo", *machine.devices}
    for device in machine.devices:
        near |= stack.above(device) | stack.below(device)
    strangers = {name for name in near if stack.links[name].kind in {"tun", "veth"}} - set(machine.devices)
    return frozenset(near - strangers)


def kept(machine: Machine, ridden: Sequence[Role]) -> tuple[Role, ...]:
    """The roles of a machine's path devices that forbid a change there."""
    return tuple(each for each in ridden if each.device in machine.devices and each.role not in machine.allow)


def _able(host: Host) -> None:
    """Raise LabBroken where a tool is missing, or where we are not root."""
    missing, user = host.run_all((Command(("sh", "-c", _LACKING, "sh", *TOOLS)), Command(("id", "-u"))))
    if words := missing.require().stdout.split():
        raise LabBroken(f"on {host.name}: not installed: {', '.join(words)}", hint=_PACKAGES)
    if user.stdout.strip() != "0":
        raise LabBroken(f"on {host.name}: changes and their guard need root", hint="ssh: ssh://root@…, or sudo: on")


def _asked(host: Host, machine: Machine) -> tuple[Stack, tuple[Role, ...]]:
    """The devices of a host, and what rides on each. Raises LabBroken where that cannot be told."""
    told = host.run(roles.CONNECTION).stdout.split()
    if len(told) != 4:
        raise LabBroken(
            f"on {host.name}: it cannot be told over which device our SSH connection comes "
            f"(SSH_CONNECTION is {' '.join(told)!r})",
            hint="does its sshd set SSH_CONNECTION? A forced command may take it away",
        )
    addresses, four, six, texts = host.run_all(roles.QUESTIONS)
    try:
        stack = Stack(roles.links(roles.rows(addresses.require().stdout)))
        by = roles.routes(roles.rows(four.require().stdout), roles.rows(six.stdout))
        begun = roles.began(stack, by, tailed.files(texts.stdout), told)
        ridden = roles.resolved(stack, begun, ours=machine.devices)
    except (ValueError, KeyError, TypeError) as error:
        raise LabBroken(
            f"on {host.name}: its devices cannot be told: {error!r}", hint="iproute2 of 5.0 or later prints JSON"
        ) from error
    return stack, ridden


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


def _devices_fit(host: Host, machine: Machine, topology: Topology) -> None:
    """Every named device has carrier, and room for the plan's packets. Raises LabBroken."""
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


def _not_shared(machine: Machine, stack: Stack, ridden: Sequence[Role]) -> None:
    """No load on a link that somebody else's traffic needs. Raises LabBroken naming the device and who that is.

    An end's load passes what lies below its device too; of a node the named devices are all that it passes.
    """
    passed = list(machine.devices)
    if machine.address:
        passed += sorted(stack.below(machine.devices[0]))
    for device in passed:
        if stack.links[device].kind in {"tun", "veth"} and device not in machine.devices:
            continue  # a stranger's port of the bridge below: our traffic does not pass it
        for role in ridden:
            if role.device == device and role.role in roles.LOADED:
                raise LabBroken(
                    f"on {machine.name}: {device} carries somebody else's traffic ({role.role}): {role.why}",
                    hint="measure on a link of its own; this version puts no load on shared ones",
                )


def _share_a_bond(stack: Stack, one: str, other: str) -> bool:
    master = stack.links[one].master
    return bool(master) and master == stack.links[other].master and stack.links[master].kind == "bond"


def _way(here: Machine, there: Machine) -> Command:
    return Command(("ip", "-j", "route", "get", there.address, "from", here.address))


def _rows(text: str, host: Host) -> list[Mapping[str, Any]]:  # Any: JSON
    try:
        return roles.rows(text)
    except ValueError as error:
        raise LabBroken(f"on {host.name}: ip did not answer in JSON: {error}") from error
