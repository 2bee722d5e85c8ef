"""What each host of a lab is asked around a probe beside its usual counters, as far as it can tell anything."""

import re
from collections.abc import Mapping

from bench.facts import carriers, counters
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Lab


def beside(lab: Lab, sheets: Sheets) -> Mapping[Host, tuple[Command, ...]]:
    """Queues that can drop, tables of connections, rings of NICs that stand, the threads under guests."""
    found: dict[Host, tuple[Command, ...]] = {}
    for host in queued(lab, sheets):
        found[host] = (counters.QUEUES,)
    for host in tracking(lab):
        found[host] = (*found.get(host, ()), counters.CONNECTIONS)
    for host, devices in ringed(lab, sheets).items():
        found[host] = (*found.get(host, ()), counters.missed(devices))
    if lab.machine is not None and lab.pid_files:
        found[lab.machine] = (*found.get(lab.machine, ()), carriers.question(lab.pid_files))
    return found


def queued(lab: Lab, sheets: Sheets) -> frozenset[Host]:
    """The hosts with a path device whose queue can drop, which are the ones to be asked for queues.

    `noqueue`, which veth and bridges have, never drops: the question (4 ms a host) is not asked where all have it.
    """
    return frozenset(
        each.host
        for each in lab.path
        for name, qdisc in sheets[each.host.name].facts.items()
        if name.startswith(f"qdisc/{each.device}/") and not qdisc.startswith("noqueue ")
    )


def ringed(lab: Lab, sheets: Sheets) -> dict[Host, tuple[str, ...]]:
    """The devices with a ring that can run over, of machines that already stand: what we make ourselves has none."""
    found = {}
    for host in lab.guarded:
        keys = (re.fullmatch(r"ring/([^/]+)/rx", name) for name in sheets[host.name].facts)
        if devices := tuple(key[1] for key in keys if key):
            found[host] = devices
    return found


def tracking(lab: Lab) -> tuple[Host, ...]:
    """The hosts that keep a table of the path's connections; of machines that already stand each may."""
    if lab.guard_s:
        return lab.guarded
    return lab.nodes if lab.topology.tracks else ()
