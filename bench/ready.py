"""Before the first trial: is the machine able, which topologies stand, which treatments can be held on each."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.facts import irqs
from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Lab
from bench.labs.provider import Provider
from bench.plan import Plan
from bench.probes import limits
from bench.probes.engine import ENGINES
from bench.probes.iperf3 import Tcp
from bench.probes.probe import checked_version
from bench.run import FactsMoved
from bench.treatment import Treatment
from results.errors import NotAble
from results.records import Run

_TOOLS = (Command(("ethtool", "--version")), Command(("ip", "-V")), Command(("ss", "-V")))


@dataclass(frozen=True, slots=True)
class Ready:
    """What a run may measure: `live` by topology; `skipped` as (cell, reason)."""

    labs: Mapping[str, Lab]
    baselines: Mapping[str, Sheets]
    live: Mapping[str, Sequence[Treatment]]
    skipped: tuple[tuple[str, str], ...]

    def settings(self) -> dict[str, tuple[Mapping[str, str], ...]]:
        """Each treatment's settings with the value that current has, as its first topology tells it."""
        found: dict[str, tuple[Mapping[str, str], ...]] = {}
        for topology, treatments in self.live.items():
            for treatment in treatments:
                lab, baseline = self.labs[topology], self.baselines[topology]
                found.setdefault(treatment.name, treatment.described(lab, baseline))
        return found


def check_tools(host: Host) -> None:
    """Raise HostFault where one of ours is missing that every host needs."""
    for tool in _TOOLS:
        checked_version(host, tool)


def check_machine(local: Host) -> None:
    """Raise NotAble, naming what is missing, before anything is made."""
    writable = [local.run(Command(("test", "-w", path))).ok for path in ("/proc/sys/net/ipv4/ip_forward", "/run")]
    if not all(writable):
        raise NotAble("namespaces and their settings need root", hint="run it as root, or with sudo")
    check_tools(local)


def check_ends(host: Host, plan: Plan) -> dict[Command, str]:
    """What each tool that the probes need says of itself at the endpoints. Raises NotAble, naming what is missing."""
    told = {
        tool: checked_version(host, tool) for tool in dict.fromkeys(t for probe in plan.probes for t in probe.tools)
    }
    for probe in plan.probes:
        if isinstance(probe, Tcp):
            limits.check(host, probe)
    return told


def engines(told: Mapping[Command, str]) -> dict[str, str]:
    """The version of each engine among the tools that `check_ends` found, by the engine's name."""
    return {name: told[each.version] for name, each in ENGINES.items() if each.version in told}


def same_engines(run: Run, told: Mapping[Command, str]) -> None:
    """Raise FactsMoved where an engine is not the version that the run began with: streams may be other processes."""
    for name, now in engines(told).items():
        if (was := run.machine.get(name, now)) != now:
            raise FactsMoved(
                f"run {run.run_id} cannot go on: {name} was {was!r} and is {now!r}",
                hint="its finished blocks stand; start a new run for this machine as it is now",
            )


def standing(
    stack: contextlib.ExitStack, plan: Plan, provider: Provider, *, local: Host, leases_folder: Path
) -> tuple[dict[str, Lab], list[tuple[str, str]]]:
    """Every topology that can stand here, until `stack` closes; the others as (topology, reason).

    Raises NotAble when no topology can stand.
    """
    labs: dict[str, Lab] = {}
    skipped = []
    provider.fit(plan.topologies)
    for topology in plan.topologies:
        lacking = provider.lacking(topology, local, leases_folder)
        if lacking:
            skipped.append((topology.name, lacking))
            continue
        lab = stack.enter_context(provider.standing(topology, leases_folder=leases_folder))
        labs[topology.name] = with_interrupts(lab) if _moves_interrupts(plan) else lab
    if not labs:
        raise NotAble(f"no topology of plan {plan.name} can stand here: {skipped[0][1]}", hint="`nettune lab check`")
    return labs, skipped


def with_interrupts(lab: Lab) -> Lab:
    """The lab with the CPUs of its guests' interrupts among its facts; machines that stand have theirs there already.

    A guest is asked for them only where something turns them: the question takes a process, on an emulated CPU 30 ms.
    """
    ours = (host.name for host in lab.hosts if not (host.local or host in lab.guarded))
    return replace(lab, interrupts=lab.interrupts | frozenset(ours))


def _moves_interrupts(plan: Plan) -> bool:
    settings = [spec for specs in plan.treatments.values() for spec in specs]
    return any(each.setting == irqs.SETTING or (each.setting, each.value) == irqs.AROUND for each in settings)


def asked(labs: Mapping[str, Lab], treatments: Sequence[Treatment], skipped: Sequence[tuple[str, str]]) -> Ready:
    """Every treatment asked about each lab: what may be measured, and what is left out.

    Those that start guests anew are asked on guests that were: what QEMU refuses is known before the first trial.
    """
    skipped = list(skipped)
    baselines = {name: lab.read() for name, lab in labs.items()}
    live: dict[str, list[Treatment]] = {}
    for topology_name, lab in labs.items():
        refused = _refusals(lab, baselines[topology_name], treatments)
        skipped += [(f"{topology_name}/{name}", reason) for name, reason in refused.items() if reason]
        live[topology_name] = [each for each in treatments if not refused[each.name]]
    return Ready(labs, baselines, live, tuple(skipped))


def tried(treatment: Treatment, lab: Lab, baseline: Sheets) -> str:
    """Why it cannot be held, found out by holding it for a moment; "" where it was held and undone.

    A driver that has a setting may still refuse, clamp or mislay a value. Raises NotAble where it could not be undone.
    """
    if why := treatment.refusal(lab, baseline):
        return why
    if treatment.outer(lab, baseline) is not None:
        return ""  # guests are not started anew for that
    try:
        with treatment.holds(lab, baseline) as held:
            unexplained = [each for each in differences(baseline, held.within) if not treatment.explains(each)]
    except NotAble as error:
        if differences(baseline, lab.read()):
            raise
        return str(error)
    return f"it moves what it should not: {unexplained[0]}" if unexplained else ""


def _refusals(lab: Lab, baseline: Sheets, treatments: Sequence[Treatment]) -> dict[str, str]:
    """Why each cannot be held, "" where it can, in the plan's order."""
    outer = {each.name: around for each in treatments if (around := each.outer(lab, baseline)) is not None}
    found = {each.name: "" if each.name in outer else each.refusal(lab, baseline) for each in treatments}
    for around in {each.name: each for each in outer.values()}.values():
        of_it = [each for each in treatments if each.name in outer and outer[each.name].name == around.name]
        if reason := around.refusal(lab, baseline):
            found |= {each.name: reason for each in of_it}
            continue
        try:
            with around.holds(lab, baseline) as held:
                found |= {each.name: each.refusal(lab, baseline, held.within) for each in of_it}
        except NotAble as error:
            if differences(baseline, lab.read()):
                raise
            found |= {each.name: str(error) for each in of_it}
    return found
