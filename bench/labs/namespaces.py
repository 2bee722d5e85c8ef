"""Stands a Topology in network namespaces of this machine; nothing of the machine's own namespace is touched.

Every link is made inside the lab's namespaces, by the commands of labs.blueprint.
"""

import contextlib
import functools
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.namespace import entered
from bench.labs import lease as leases
from bench.labs.blueprint import Blueprint, drawn_up
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Topology
from bench.shield import carried_through
from results.errors import NotAble

_HINT = "namespaces need root (CAP_NET_ADMIN and CAP_SYS_ADMIN)"
_NFT_LINES = 12  # of a ruleset, shown by --dry-run
_READY_S = 3.0
_AGREE_S = 5.0  # for LACP to bundle all legs (seen: 0.5 s with lacp_rate fast, 1.6 s at most)
# What a result from here says of other machines, and what it cannot.
TRANSFER = (
    (
        "Measured between network namespaces of one machine: every packet is CPU work. There is no NIC, no DMA, no "
        "interrupt and no driver, so nothing here about offloads, rings, interrupt moderation or packet rates "
        "transfers to hardware; it shows what the kernel's own software path does."
    ),
    (
        "Both ends share the machine's CPUs, so the generator competes with the path; a trial whose iperf3 used 95 % "
        "of a core or more is marked generator-bound."
    ),
    (
        "TCP settings act where the sockets are. On a hypervisor that only bridges its guests, the host's tcp_* have "
        "no effect on guest traffic: set them in the guests."
    ),
)


class LabBroken(NotAble):
    """The lab could not be stood, or is not what it should be."""


@contextlib.contextmanager
def standing(topology: Topology, *, leases_folder: Path) -> Iterator[Lab]:
    """The Lab, removed on leaving; what a SIGKILL leaves is in the lease."""
    local = Local()
    names = drawn_up(topology).hosts
    with leases.held(leases_folder) as lease:
        netns = {name: f"nt-{lease.lease_id}-{name}" for name in names}
        try:
            for name in names:
                lease.note("netns", netns[name])
            made = Command(("ip", "-batch", "-"), stdin="".join(f"netns add {netns[name]}\n" for name in names))
            local.run(made).require(_HINT)
            with contextlib.ExitStack() as stack:
                hosts: dict[str, Host] = {name: stack.enter_context(entered(name, netns[name])) for name in names}
                plan = drawn_up(topology, netns)
                for host, command in plan.steps:
                    hosts[host].run(command).require(_HINT)
                lab = _lab(topology, plan, hosts)
                _check(lab)
                yield lab
        finally:
            carried_through(functools.partial(_remove, local, netns.values(), lease))


def _remove(local: Host, names: Iterable[str], lease: leases.Lease) -> None:
    """Every one is tried though another fails; the first failure is raised, and the lease stays."""
    failed: HostFault | None = None
    for name in names:
        try:
            leases.remove_namespace(local, name)
        except HostFault as error:
            failed = failed or error
    if failed is not None:
        raise failed
    lease.release()


def imagined(topology: Topology) -> Lab:
    """The Lab as it would be, on hosts that do not stand: for `--dry-run`."""
    plan = drawn_up(topology)
    return _lab(topology, plan, {name: Local(name) for name in plan.hosts})


def _lab(topology: Topology, plan: Blueprint, hosts: Mapping[str, Host]) -> Lab:
    return Lab(
        topology=topology,
        endpoints=tuple(Endpoint(hosts[end.host], end.device, end.address) for end in plan.ends),
        nodes=tuple(hosts[name] for name in plan.nodes),
        path=tuple(PathDevice(hosts[port.host], port.device, port.counts, port.serves) for port in plan.path),
        met=plan.met,
    )


def commands(topology: Topology) -> list[tuple[str, str]]:
    """(host, line) of everything that makes a Topology, for `--dry-run`; peers' namespaces have their hosts' names."""
    found = []
    for host, command in drawn_up(topology).steps:
        lines = command.stdin.splitlines()
        match command.argv[0]:
            case "tee":
                found.append((host, f"sysctl -w {command.argv[1].removeprefix('/proc/sys/')}={command.stdin}"))
            case "ethtool":
                found.append((host, str(command)))
            case "nft":
                shown = [*lines[:_NFT_LINES], f"    … {len(lines) - _NFT_LINES} more lines"]
                found += [(host, f"nft: {line}") for line in (lines if len(lines) <= _NFT_LINES else shown)]
            case _:
                tool = " ".join(word for word in command.argv if word not in {"-batch", "-"})
                found += [(host, f"{tool} {line}") for line in lines]
    return found


def _check(lab: Lab) -> None:
    """Every device up, bonds agreed with their partners, and netlink and sysfs of one namespace."""
    deadline = time.monotonic() + _READY_S
    while True:
        sheets = lab.read()
        waiting = [
            f"{each.host.name}/{each.device} is {sheets[each.host.name].facts.get(f'link/{each.device}/operstate')}"
            for each in lab.path
            if sheets[each.host.name].facts.get(f"link/{each.device}/operstate") != "UP"
        ]
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise LabBroken(f"lab {lab.topology.name} did not come up in {_READY_S:g} s: {', '.join(waiting)}")
        time.sleep(0.01)
    if lab.topology.bond_mode == "802.3ad":
        _agreed(lab)
    for each in lab.path:
        index = each.host.run(Command(("cat", f"/sys/class/net/{each.device}/ifindex"))).require().stdout.strip()
        shown = each.host.run(Command(("ip", "-o", "link", "show", each.device))).require().stdout.partition(":")[0]
        if index != shown:
            raise LabBroken(
                f"on {each.host.name}: {each.device} is {shown} by netlink and {index} by sysfs: "
                "its sysfs is another namespace's"
            )


def _agreed(lab: Lab) -> None:
    """LACP has put every leg into one aggregator, on both sides; a bond of one leg would be another topology."""
    question = Command(("cat", "/sys/class/net/bond0/bonding/ad_num_ports"))
    deadline = time.monotonic() + _AGREE_S
    while True:
        told = {node.name: node.run(question).require().stdout.strip() for node in lab.nodes}
        if set(told.values()) == {str(lab.topology.legs)}:
            return
        if time.monotonic() > deadline:
            raise LabBroken(
                f"lab {lab.topology.name}: LACP bundled {told} of {lab.topology.legs} legs in {_AGREE_S:g} s"
            )
        time.sleep(0.05)
