"""Load between test VMs over links that others use: held to a share of the slowest, watched by the nodes it leaves.

As between machines that stand (bench.labs.hosts, ADR 0020). Here the loads run in the VMs, which see one another alone
and end their load by themselves; what the nodes see ends it through us.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.facts import tailed
from bench.facts.riding import Riding
from bench.hosts.host import Host
from bench.hosts.watched import Watch, Watched
from bench.labs import sharing
from bench.labs.inventory import Machine
from bench.labs.lab import Lab
from bench.labs.standing import LabBroken


@dataclass(frozen=True, slots=True)
class Leaving:
    """A node, the devices by which load may leave it, and which of its devices have carrier."""

    host: Host
    machine: Machine
    told: Riding
    devices: Sequence[str]
    carrier: frozenset[str]


def held(lab: Lab, leaving: Sequence[Leaving], share_pct: float) -> Lab:
    """The lab whose loads are held to that share, and ended when a node sees trouble.

    Raises LabBroken naming the node where the way out, or its speed, is not known; HostFault.
    """
    watched, facts, speeds = {}, {}, []
    for each in leaving:
        if not each.devices:
            raise LabBroken(
                f"on {each.host.name}: by which link load between the VMs leaves it is not seen, so nobody knows what "
                "share of it that takes",
                hint="a Linux bridge with a port that leads out (Open vSwitch hides its ports); without --shared-link "
                "on links of its own",
            )
        nics = sharing.hardware(each.told.stack, each.devices)
        files = tailed.files(each.host.run(sharing.question(nics)).stdout)
        machine = replace(each.machine, devices=tuple(each.devices))
        speed = sharing.speed(machine, nics, files, leaves=True)
        speeds += [speed] if speed else []
        up = [device for device in each.devices if device in each.carrier]
        watched[each.host.name] = sharing.looks(each.host, machine, up, each.told.gateways, ())
        facts[f"{lab.topology.name} watched on {each.host.name}"] = sharing.in_words(watched[each.host.name])
    for one, other in (lab.endpoints, lab.endpoints[::-1]):  # also where nettune hangs, or its way is in trouble
        if one.host.run(sharing.ping(other.address)).ok:
            watched[one.host.name] = (f"ping:{other.address}",)
    slowest = min(speeds, key=lambda each: each.mbps)
    watch = Watch(watched, [each.host for each in leaving])
    hosts = {end.host.name: Watched(end.host, watch=watch) for end in lab.endpoints}
    return replace(
        lab,
        endpoints=tuple(replace(each, host=hosts[each.host.name]) for each in lab.endpoints),
        path=tuple(replace(each, host=hosts.get(each.host.name, each.host)) for each in lab.path),
        machine=hosts.get(lab.machine.name, lab.machine) if lab.machine else None,
        cap_bps=slowest.mbps * 1e6 * share_pct / 100,
        trouble=lambda: watch.seen,
        told={**lab.told, **facts, "max share": sharing.share(share_pct, slowest)},
    )
