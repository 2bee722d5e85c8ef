"""Before the first trial: is the machine able, which topologies stand, which treatments can be held on each."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs import capability, namespaces
from bench.labs.lab import Lab
from bench.labs.topology import Topology
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


def _lacking(topology: Topology, local: Host, leases_folder: Path) -> str:
    """What the machine lacks for a topology, with the command that would change it; "" when nothing."""
    answers = capability.answers(local, leases_folder, topology.needs)
    missing = next((answer for answer in answers if answer.word != "yes"), None)
    if missing is not None:
        return f"{missing.name}: {missing.reason}. {missing.command}"
    package = {"tc": "iproute2", "nft": "nftables"}
    for tool in topology.tools:
        if not local.run(Command(("sh", "-c", 'command -v "$1"', "sh", tool))).ok:
            return f"{tool} is not installed. apt-get install --no-install-recommends {package.get(tool, tool)}"
    return ""


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


def check_machine(local: Host, plan: Plan) -> dict[Command, str]:
    """What each needed tool says of itself. Raises NotAble, naming what is missing, before anything is made."""
    writable = [local.run(Command(("test", "-w", path))).ok for path in ("/proc/sys/net/ipv4/ip_forward", "/run")]
    if not all(writable):
        raise NotAble("namespaces and their settings need root", hint="run it as root, or with sudo")
    needed = dict.fromkeys(tool for probe in plan.probes for tool in (*probe.tools, *_TOOLS))
    told = {tool: checked_version(local, tool) for tool in needed}
    for probe in plan.probes:
        if isinstance(probe, Tcp):
            limits.check(local, probe)
    return told


def engines(told: Mapping[Command, str]) -> dict[str, str]:
    """The version of each engine among the tools that `check_machine` found, by the engine's name."""
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
    stack: contextlib.ExitStack, plan: Plan, treatments: Sequence[Treatment], *, local: Host, leases_folder: Path
) -> Ready:
    """Stand every topology that this kernel can, until `stack` closes, and ask every treatment about each.

    Raises NotAble when no topology can stand.
    """
    labs: dict[str, Lab] = {}
    skipped = []
    for topology in plan.topologies:
        lacking = _lacking(topology, local, leases_folder)
        if lacking:
            skipped.append((topology.name, lacking))
            continue
        labs[topology.name] = stack.enter_context(namespaces.standing(topology, leases_folder=leases_folder))
    if not labs:
        raise NotAble(f"no topology of plan {plan.name} can stand here: {skipped[0][1]}", hint="`nettune lab check`")
    baselines = {name: lab.read() for name, lab in labs.items()}
    live: dict[str, list[Treatment]] = {name: [] for name in labs}
    for topology_name, lab in labs.items():
        for treatment in treatments:
            reason = treatment.refusal(lab, baselines[topology_name])
            if reason:
                skipped.append((f"{topology_name}/{treatment.name}", reason))
            else:
                live[topology_name].append(treatment)
    return Ready(labs, baselines, live, tuple(skipped))
