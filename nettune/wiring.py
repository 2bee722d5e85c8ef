"""Joins plan, treatments, labs and store into a run; holds no loop over trials and computes no number."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import calibrate, ready
from bench import plan as plans
from bench import run as runs
from bench.document import from_plain
from bench.facts import machine
from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.drawing import drawing
from bench.labs.provider import Provider, provided
from bench.plan import Plan
from nettune import __version__, able, unprivileged
from nettune.places import Places
from results.errors import NotAble
from results.records import Run
from results.store import Store
from tuning import measured
from tuning import treatments as settings
from tuning.journal import kept
from tuning.knobs.table import check
from tuning.network_guards import NetworkGuards
from tuning.profile import Profile


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: a new run, or the rest of `resumes`."""

    plan: Plan
    seed: int
    confirms: str = ""
    resumes: Run | None = None
    label: str = ""
    share_pct: float = 0.0  # of a link that others use, which load may take; 0: none
    profiles: tuple[Profile, ...] = ()  # treatments of the plan, to be cut down to what its labs have


def load_plan(name: str, overrides: Sequence[str], *, sited: bool = True) -> Plan:
    """The plan of that name or file; see plan.load."""
    return plans.load(name, check=check, overrides=overrides, sited=sited)


def stored_plan(document: Mapping[str, object], overrides: Sequence[str] = ()) -> Plan:
    """The plan that a run was made from."""
    return plans.parse(from_plain(dict(document), "the run's plan"), check=check, overrides=overrides)


def carry_out(
    order: Order,
    places: Places,
    store: Store,
    watch: Callable[[runs.Progress], None],
    *,
    say: Callable[[str], None] = lambda _: None,
    enough: Callable[[int], bool] = lambda _: False,
) -> str:
    """Stand the labs, measure, keep; the run's id. An interruption leaves the run resumable and the machine clean.

    `enough` is asked before each block whether the run ends there.
    """
    local = Local()
    run_id = order.resumes.run_id if order.resumes else time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    with lease.only_run(places.state, f"run {run_id}"), contextlib.ExitStack() as stack:
        able.check(order.plan, local)
        provider = provided(
            order.plan.deployed,
            trial_s=order.plan.trial_most_s,
            cache=places.cache,
            local=local,
            say=say,
            share_pct=order.share_pct,
            guards=NetworkGuards(),
        )
        folder = places.journals_of_hosts if order.plan.changes_others else places.journals
        journal = stack.enter_context(kept(folder / f"{run_id}-{secrets.token_hex(2)}.jsonl"))
        labs, skipped = ready.standing(stack, order.plan, provider, local=local, leases_folder=places.leases)
        plan, left_out, of_profiles = measured.settled(order.plan, order.profiles, labs, journal)
        treatments = settings.treatments(plan.treatments, journal)
        plan, told = able.settled(plan, tuple(labs.values()), provider, local, say)
        there = ready.asked(labs, treatments, [*skipped, *left_out])
        if order.resumes:
            ready.same_engines(order.resumes, told)
            for name, baseline in there.baselines.items():
                runs.check_baseline(store, run_id, name, baseline, order.plan.made_anew)
            store.end_run(run_id, "running")
        else:
            store.begin_run(_run(order, plan, run_id, there, (local, provider), told, of_profiles))
        with ended_in(store, run_id):
            campaign = runs.Campaign(run_id, plan, order.seed, there.labs, there.baselines, there.live, store, watch)
            known = calibrate.capacities(campaign, order.resumes.capacities if order.resumes else {})
            runs.measure(replace(campaign, capacities=known, enough=enough))
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


def _run(
    order: Order,
    plan: Plan,
    run_id: str,
    there: ready.Ready,
    made_by: tuple[Local, Provider],
    told: Mapping[Command, str],
    of_profiles: tuple[str, ...] = (),
) -> Run:
    local, provider = made_by
    controls = {each.name: str(getattr(each, "congestion_control", "")) for each in plan.probes}
    chosen = tuple(f"Congestion control {word} in every arm ({name})." for name, word in controls.items() if word)
    tools = tuple(note for each in plan.probes if (note := str(getattr(each, "note", ""))))
    labs = there.labs.values()
    # Of several paths the least share holds (able.settled): the last word of a name is the one that is kept.
    in_order = sorted(labs, key=lambda each: -each.cap_bps)
    labs_tell = {name: words for lab in in_order for name, words in lab.told.items()}
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
        skipped=there.skipped,
        machine={
            **machine.read(provider.machine(next(iter(labs)), local)),
            **provider.facts,
            **ready.engines(told),
            **labs_tell,
        },
        drawings={lab.topology.name: drawing(lab.topology, plan.deployed) for lab in labs},
        settings=there.settings(),
        notes=(*of_profiles, *chosen, *tools, *unprivileged.notes(local), *provider.notes),
        confirms=order.confirms,
        label=order.label,
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

    def remove(kind: str, name: str) -> bool | str:
        if kind == "netns":
            return lease.remove_namespace(local, name)
        if kind == "folder":
            return lease.remove_folder(places.state, Path(name))
        if kind == "node":
            from bench.labs import remote_node  # noqa: PLC0415 - paramiko takes its time to import

            return remote_node.remove(name)
        if kind.startswith("pve-"):
            from bench.pve import lab  # noqa: PLC0415 - requests, which most runs need not pay for

            return lab.reap(kind, name, NetworkGuards())
        raise HostFault(f"{name} is a {kind}, which this nettune does not make", hint="reap with the newer one")

    done = lease.reap(places.leases, remove)
    with contextlib.suppress(NotAble), lease.only_run(places.state, "lab reap"):
        if not any(each.problem for each in done):
            for journal in places.journals.glob("*.jsonl"):
                journal.unlink(missing_ok=True)  # its hosts were namespaces of the labs that are gone
    return done
