"""Whether what a plan is measured on can do it: this machine, or those that already stand; and what dead runs left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import ready
from bench.facts import machine
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.ssh import connected
from bench.labs.inventory import load
from bench.labs.lab import Lab
from bench.labs.provider import Provider
from bench.plan import Plan
from bench.probes import share
from bench.pve import deployment
from results.errors import NotAble
from tuning import guard


def check(plan: Plan, local: Local) -> None:
    """Raise NotAble, naming what this machine lacks, before anything is made."""
    if plan.elsewhere:
        check_way(local)
        return
    ready.check_machine(local)
    if plan.guests is None:
        ready.check_ends(local, plan)


def check_way(local: Local) -> None:
    """Raise NotAble where no network leads to other machines.

    A new run is never there (unprivileged.elsewhere), but --resume names no plan.
    """
    if machine.in_user_namespace(local):
        raise NotAble("a run without root has no network that leads to other machines", hint="run it with sudo")


def settled(
    plan: Plan, labs: Sequence[Lab], provider: Provider, local: Local, say: Callable[[str], None]
) -> tuple[Plan, Mapping[Command, str]]:
    """The plan as the tools and kernels at its ends can run it, and what those tools say of themselves."""
    lab = labs[0]
    for host in lab.guarded:
        for line in guard.settled(host):
            say(line)
    if plan.inventory is None:
        ends = provider.ends_run_on(lab, local)
        told = ready.check_ends(ends, plan)
        able = plan.with_congestion_control(machine.available_congestion_controls(ends)).with_tools(told)
        return _held(able, labs), told
    by_end = {end.host.name: ready.check_ends(end.host, plan) for end in lab.endpoints}
    offered = [machine.available_congestion_controls(end.host) for end in lab.endpoints]
    common = [word for word in offered[0] if all(word in each for each in offered)]
    told = by_end[lab.a.host.name]
    return _held(plan.with_congestion_control(common).with_tools(told, by_end), labs), told


def _held(plan: Plan, labs: Sequence[Lab]) -> Plan:
    """The plan as the slowest link bears it that others use. Raises NotAble naming a probe that it cannot.

    The same on every path, though another could bear more: paths are compared.
    """
    lab = min((each for each in labs if each.cap_bps), key=lambda each: each.cap_bps, default=None)
    if lab is None:
        return plan
    return replace(plan, probes=tuple(share.held(each, lab.cap_bps, lab.topology) for each in plan.probes))


def left(inventory: Path | None, cluster: Path | None) -> tuple[str, ...]:
    """What guards of dead runs had left on the machines of an inventory, and on the nodes of a cluster's file.

    Raises NotAble where one is armed.
    """
    machines = {each.name: each.login for each in load(inventory).machines} if inventory else {}
    machines |= deployment.load(cluster).nodes if cluster else {}
    said: list[str] = []
    for name, login in machines.items():
        with connected(name, login) as host:
            said += guard.settled(host)
    return tuple(said)
