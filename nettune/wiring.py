"""Joins plan, treatments, labs and store into a run; holds no loop over trials and computes no number."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import plan as plans
from bench import run as runs
from bench.document import from_plain
from bench.facts import machine
from bench.facts.sheet import Sheets
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs import capability, lease, namespaces
from bench.labs.lab import Lab
from bench.labs.topology import drawing
from bench.plan import Plan
from bench.probes.probe import checked_version
from nettune import __version__
from nettune.places import Places
from results.errors import NotAble
from results.records import Run
from results.store import Store
from tuning.journal import kept
from tuning.knobs.table import check
from tuning.treatments import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: a new run, or the rest of `resumes`."""

    plan: Plan
    seed: int
    confirms: str = ""
    resumes: Run | None = None


def load_plan(name: str, overrides: Sequence[str]) -> Plan:
    """The plan of that name or file."""
    return plans.load(name, check=check, overrides=overrides)


def stored_plan(document: Mapping[str, object], overrides: Sequence[str] = ()) -> Plan:
    """The plan that a run was made from."""
    return plans.parse(from_plain(dict(document), "the run's plan"), check=check, overrides=overrides)


def carry_out(order: Order, places: Places, store: Store, watch: Callable[[runs.Progress], None]) -> str:
    """Stand the labs, measure, keep; the run's id. An interruption leaves the run resumable and the machine clean."""
    local = Local()
    run_id = order.resumes.run_id if order.resumes else time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    with lease.only_run(places.state, f"run {run_id}"), contextlib.ExitStack() as stack:
        check_machine(local, order.plan)
        plan = order.plan.with_congestion_control(machine.available_congestion_controls(local))
        journal = stack.enter_context(kept(places.journals / f"{run_id}-{secrets.token_hex(2)}.jsonl"))
        labs, skipped = _labs(stack, plan, local, places)
        baselines = {name: lab.read() for name, lab in labs.items()}
        treatments = {name: Settings(name, specs, journal) for name, specs in plan.treatments.items()}
        live, refused = _live(treatments, labs, baselines)
        if order.resumes:
            for name, baseline in baselines.items():
                runs.check_baseline(store, run_id, name, baseline)
            store.end_run(run_id, "running")
        else:
            run = _run(order, plan, run_id, labs, (*skipped, *refused), local)
            store.begin_run(replace(run, settings=_settings(live, labs, baselines)))
        campaign = runs.Campaign(run_id, plan, order.seed, labs, baselines, live, store, watch)
        with ended_in(store, run_id):
            runs.measure(campaign)
    return run_id


@contextlib.contextmanager
def ended_in(store: Store, run_id: str) -> Iterator[None]:
    """Whatever ends the measuring, the store says how it stands."""
    try:
        yield
    except BaseException:
        store.end_run(run_id, "interrupted")
        raise
    store.end_run(run_id, "complete")


def check_machine(local: Local, plan: Plan) -> None:
    """Raise NotAble, naming what is missing, before anything is made."""
    if (
        not local.run(Command(("test", "-w", "/proc/sys/net/ipv4/ip_forward"))).ok
        or not local.run(Command(("test", "-w", "/run"))).ok
    ):
        raise NotAble("namespaces and their settings need root", hint="run it as root, or with sudo")
    for probe in plan.probes:
        for tool in (*probe.tools, Command(("ethtool", "--version")), Command(("ip", "-V")), Command(("ss", "-V"))):
            checked_version(local, tool)


def _labs(
    stack: contextlib.ExitStack, plan: Plan, local: Local, places: Places
) -> tuple[dict[str, Lab], tuple[tuple[str, str], ...]]:
    labs: dict[str, Lab] = {}
    skipped = []
    for topology in plan.topologies:
        lacking = [
            answer for answer in capability.answers(local, places.leases, topology.needs) if answer.word != "yes"
        ]
        if lacking:
            skipped.append((topology.name, f"{lacking[0].name}: {lacking[0].reason}. {lacking[0].command}"))
            continue
        labs[topology.name] = stack.enter_context(namespaces.standing(topology, leases_folder=places.leases))
    if not labs:
        raise NotAble(f"no topology of plan {plan.name} can stand here: {skipped[0][1]}", hint="`nettune lab check`")
    return labs, tuple(skipped)


def _live(
    treatments: Mapping[str, Settings], labs: Mapping[str, Lab], baselines: Mapping[str, Sheets]
) -> tuple[dict[str, list[Settings]], list[tuple[str, str]]]:
    live: dict[str, list[Settings]] = {name: [] for name in labs}
    refused = []
    for topology, lab in labs.items():
        for name, treatment in treatments.items():
            reason = treatment.refusal(lab, baselines[topology])
            if reason:
                refused.append((f"{topology}/{name}", reason))
            else:
                live[topology].append(treatment)
    return live, refused


def _settings(
    live: Mapping[str, Sequence[Settings]], labs: Mapping[str, Lab], baselines: Mapping[str, Sheets]
) -> dict[str, tuple[Mapping[str, str], ...]]:
    """Each treatment's settings with the value that current has, as its first topology tells it."""
    found: dict[str, tuple[Mapping[str, str], ...]] = {}
    for topology, treatments in live.items():
        for treatment in treatments:
            found.setdefault(treatment.name, treatment.described(labs[topology], baselines[topology]))
    return found


def _run(
    order: Order, plan: Plan, run_id: str, labs: Mapping[str, Lab], skipped: tuple[tuple[str, str], ...], local: Local
) -> Run:
    controls = {
        probe.name: control for probe in plan.probes if (control := str(getattr(probe, "congestion_control", "")))
    }
    chosen = tuple(f"Congestion control {control} in every arm ({name})." for name, control in controls.items())
    return Run(
        run_id=run_id,
        plan_name=plan.name,
        plan=plan.document,
        design=plan.design,
        seed=order.seed,
        status="running",
        started_at=time.time(),
        ended_at=None,
        revision=revision(local),
        skipped=skipped,
        machine=machine.read(local),
        drawings={name: drawing(lab.topology, lab.a.address, lab.b.address) for name, lab in labs.items()},
        notes=(*chosen, *namespaces.TRANSFER),
        confirms=order.confirms,
    )


def revision(local: Local) -> str:
    """The tool's version, with its commit where it runs from a checkout."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return __version__
    told = local.run(Command(("git", "-C", str(folder), "describe", "--always", "--dirty")))
    return f"{__version__}+{told.stdout.strip()}" if told.ok else __version__


def reap(places: Places) -> tuple[lease.Reaped, ...]:
    """Remove what dead runs left: labs first, then the journals of hosts that are gone with them."""
    local = Local()
    done = lease.reap(places.leases, lambda kind, name: kind == "netns" and lease.remove_namespace(local, name))
    with contextlib.suppress(NotAble), lease.only_run(places.state, "lab reap"):
        if not any(each.problem for each in done):
            for journal in places.journals.glob("*.jsonl"):
                journal.unlink(missing_ok=True)  # its hosts were namespaces of the labs that are gone
    return done
