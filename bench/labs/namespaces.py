"""Stands a Topology in network namespaces of this machine; nothing of the machine's own namespace is touched.

Every link is made inside the lab's namespaces, by the commands of labs.blueprint.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace, entered
from bench.labs import lease as leases
from bench.labs import standing as stood
from bench.labs.blueprint import drawn_up
from bench.labs.cable import all_of
from bench.labs.lab import Lab
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.labs.veths import of_pairs
from bench.shield import carried_through

__all__ = ["TRANSFER", "LabBroken", "commands", "imagined", "rooms", "standing"]

HINT = "namespaces need root (CAP_NET_ADMIN and CAP_SYS_ADMIN)"
_READY_S = 3.0
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


@contextlib.contextmanager
def standing(topology: Topology, *, leases_folder: Path) -> Iterator[Lab]:
    """The Lab, removed on leaving; what a SIGKILL leaves is in the lease."""
    with leases.held(leases_folder) as lease, rooms(lease, drawn_up(topology).hosts) as found:
        plan = drawn_up(topology, {name: each.netns for name, each in found.items()})
        hosts: dict[str, Host] = dict(found)
        stood.run_steps(plan, hosts, HINT)
        lab = stood.lab_of(topology, plan, hosts, cables=of_pairs(plan, hosts))
        stood.check(lab, within_s=_READY_S)
        yield lab


@contextlib.contextmanager
def rooms(lease: leases.Lease, names: Sequence[str]) -> Iterator[dict[str, Namespace]]:
    """A namespace for each name, entered; removed on leaving with everything in them, and the lease released."""
    local = Local()
    netns = {name: f"nt-{lease.lease_id}-{name}" for name in names}
    try:
        for name in names:
            lease.note("netns", netns[name])
        # It ends with us: one that outlived a kill would make them after its lease was reaped.
        alone = ("setpriv", "--pdeathsig", "KILL", "ip", "-batch", "-")
        lines = "".join(f"netns add {netns[name]}\n" for name in names)
        local.run(Command(alone, stdin=lines)).require(HINT)
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(entered(name, netns[name])) for name in names}
    finally:
        carried_through(functools.partial(_remove, local, netns.values(), lease))


def _remove(local: Host, names: Iterable[str], lease: leases.Lease) -> None:
    """Every one is tried though another fails; the first failure is raised, and the lease stays."""
    all_of([functools.partial(leases.remove_namespace, local, name) for name in names])
    lease.release()


def imagined(topology: Topology) -> Lab:
    """The Lab as it would be, on hosts that do not stand: for `--dry-run`."""
    plan = drawn_up(topology)
    return stood.lab_of(topology, plan, {name: Local(name) for name in plan.hosts})


def commands(topology: Topology) -> list[tuple[str, str]]:
    """(host, line) of everything that makes a Topology, for `--dry-run`."""
    return stood.lines(drawn_up(topology))
