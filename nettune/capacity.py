"""Joins a density plan, its pairs and the store into a run, and a run into an answer."""

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench import ready
from bench.capacity import connections, dense, density, settings
from bench.capacity import plan as plans
from bench.capacity.ceiling import Busy, Ceiling
from bench.capacity.dense import Dense
from bench.capacity.findings import IDLE, LINE, of_density
from bench.capacity.plan import DensityPlan
from bench.capacity.safety import NO_CARE, Safety, check_here
from bench.document import from_plain
from bench.facts import counters, machine
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs import capability, lease
from bench.labs.namespaces import TRANSFER
from bench.probes.probe import checked_version
from bench.run import FactsMoved, Progress
from nettune import able, unprivileged
from nettune.places import Places
from nettune.wiring import ended_in, revision
from results.errors import NotAble, WrongInput, first_of
from results.records import Run
from results.scaling.arms import PROFILES
from results.store import Store
from tuning.applying import keeping

_IDLE_S = 1.0  # measured before the first trial
_TOOLS = (Command(("iperf3", "--version")), Command(("irtt", "version")))
_SAME = ("kernel", "iperf3", "irtt", "cpus", PROFILES)
_NAMED = 4
_STANDS = "its finished trials stand: --from answers of them; start a new run for this machine as it is now"
# Beside the answer for those who carry it over to other machines.
_NOTES = (
    "Cores per 10 Gbit/s: busy CPU in the window, less what was busy before the run, generators included.",
    "p50 and p99 are over the probes of all pairs; where streams are not paced, they are of a path that is full.",
)


@dataclass(frozen=True, slots=True)
class Order:
    """A new run, or the rest of `resumes`; `line_bps`: goodput that its link is known to carry, kept with it."""

    plan: DensityPlan
    seed: int
    resumes: Run | None = None
    label: str = ""
    safety: Safety = NO_CARE
    line_bps: float = math.inf


def resumed(store: Store, name: str, safety: Safety = NO_CARE) -> Order:
    """The rest of a density run, as careful as it began. Raises WrongInput for one that is over, or of another kind."""
    run = of_density(store, name)
    if run.status == "complete":
        raise WrongInput(f"run {run.run_id} is complete; there is nothing to resume", hint=f"--from {run.run_id}")
    plan = plans.parse(from_plain(dict(run.plan), "the run's plan"))
    return Order(plan, run.seed, run, run.label, safety.going_on(run))


def carry_out(
    order: Order,
    places: Places,
    store: Store,
    watch: Callable[[Progress], None],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """Stand the pairs, measure, keep; the run's id. An interruption leaves the run resumable, the machine clean.

    `say`: what is to be known of other machines before anything is made there.
    """
    local, plan = Local(), order.plan
    run_id = order.resumes.run_id if order.resumes else time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    with lease.only_run(places.state, f"capacity {run_id}"):
        if plan.vms is not None:
            able.check_way(local)
        else:
            check_here(local, order.safety)
            _check(plan, local, places)
        with _goes_on(run_id) if order.resumes else contextlib.nullcontext(), _standing(order, places, say) as lab:
            end = lab.clients[0].host if plan.vms or plan.guests else local
            if end is not local:
                _check_ends(plan, end)
            machines = (local,) if lab.machines is None or plan.guests else lab.machines
            sheets = settings.read(machines)
            if order.resumes:
                same_machine(order.resumes, {**machine.read(end), **_profiles(machines)})
                same_settings(order.resumes, store, sheets)
                store.end_run(run_id, "running")
            else:
                store.begin_run(_run(order, run_id, lab, end, _profiles(machines)))
            for sheet in sheets.values():
                store.keep_facts(sheet.digest, sheet.host, sheet.facts)
            climbs = bool(order.safety.cpu_most or order.safety.shared_host or plan.vms)
            with _goes_on(run_id) if not order.resumes else contextlib.nullcontext(), ended_in(store, run_id):
                base_s = density.idle_rtt_s(lab, order.seed)
                density.measure(density.Density(run_id, plan, order.seed, lab, local, store, watch, climbs, base_s,
                                                {name: sheet.digest for name, sheet in sheets.items()}))  # fmt: skip
    return run_id


@contextlib.contextmanager
def _standing(order: Order, places: Places, say: Callable[[str], None]) -> Iterator[Dense]:
    plan = order.plan
    if plan.vms is not None:
        from bench.capacity import vms  # noqa: PLC0415 - requests and paramiko, which namespaces need not pay

        with vms.standing(
            plan.vms, (plan.warmup_s, plan.duration_s), leases_folder=places.leases, safety=order.safety, say=say
        ) as lab:
            yield lab
        return
    if plan.guests is not None:
        from bench.capacity import guests  # noqa: PLC0415 - as above

        with guests.standing(plan.guests, max(plan.pairs), cache=places.cache, local=Local(),
                             leases_folder=places.leases, say=say) as lab:  # fmt: skip
            yield _watched(lab, order)
        return
    with dense.standing(
        max(plan.pairs), layout=plan.layout, uplink_mbit=plan.uplink_mbit, leases_folder=places.leases, legs=plan.legs
    ) as lab:
        yield _watched(lab, order)


def _watched(lab: Dense, order: Order) -> Dense:
    """With the ceiling of this machine's CPUs, where one was asked for."""
    if not order.safety.cpu_most:
        return lab
    return replace(lab, trouble=Ceiling(order.safety.cpu_most, [Busy((Local(),))]))


def same_machine(run: Run, now: Mapping[str, str]) -> None:
    """Raise FactsMoved where a run would go on with another kernel, tool or profile than it began with."""
    for name in _SAME:
        if (was := run.machine.get(name)) and (found := now.get(name, was)) != was:
            raise FactsMoved(f"run {run.run_id} cannot go on: {name} was {was!r} and is {found!r}", hint=_STANDS)


def same_settings(run: Run, store: Store, now: Mapping[str, FactSheet]) -> None:
    """Raise FactsMoved where sysctls or NICs are set otherwise than before the run's first trial."""
    if found := settings.moved(store.baseline(run.run_id, run.design.topologies[0], arm=""), now):
        raise FactsMoved(f"run {run.run_id} cannot go on: {first_of(found, _NAMED)}", hint=_STANDS)


@contextlib.contextmanager
def _goes_on(run_id: str) -> Iterator[None]:
    """Whatever ends the measuring, its error says how to go on."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the machine is as it was. `nettune capacity --resume {run_id}` goes on")
        raise


def _check(plan: DensityPlan, local: Local, places: Places) -> None:
    """Raise NotAble, naming what is missing, before anything is made."""
    ready.check_machine(local)
    if plan.guests is not None:
        from bench.capacity import guests  # noqa: PLC0415 - paramiko, which namespaces need not pay

        guests.check_memory(plan.guests, max(plan.pairs), local)
        return
    _check_tools(plan, local)
    dense.check_memory(max(plan.pairs), local)
    wanted = ("veth", "bridge", *(("tbf",) if plan.uplink_mbit else ()))
    for answer in capability.answers(local, places.leases, wanted):
        if answer.word != "yes":
            raise NotAble(f"{plan.name} needs {answer.name}: {answer.reason}", hint=answer.command)
    _check_control(plan, local)


def _check_ends(plan: DensityPlan, end: Host) -> None:
    """Raise NotAble, naming what the guests lack: they are all made of one."""
    _check_tools(plan, end)
    _check_control(plan, end)


def _check_tools(plan: DensityPlan, host: Host) -> None:
    for tool in (*_TOOLS, *(connections.probe("", 1.0, 1).tools if plan.connections else ())):
        checked_version(host, tool)


def _check_control(plan: DensityPlan, host: Host) -> None:
    control, known = plan.congestion_control, machine.available_congestion_controls(host)
    if control and control not in known:
        raise WrongInput(f"congestion_control: this kernel has no {control!r}", hint=f"it has: {', '.join(known)}")


def _idle(hosts: tuple[Host, ...]) -> float:
    """Cores that are busy before any load."""
    before = counters.read(hosts)
    time.sleep(_IDLE_S)
    after = counters.read(hosts)
    return sum(counters.cores(before[name], after[name])["busy"] for name in after)


def _notes(plan: DensityPlan, lab: Dense, local: Local) -> tuple[str, ...]:
    if lab.notes:
        return (*_NOTES, *lab.notes)
    if plan.vms is None:
        return (*_NOTES, *unprivileged.notes(local), *TRANSFER)
    from bench.capacity import vms  # noqa: PLC0415 - as above

    return (*_NOTES, *vms.notes(plan.vms))


def profiles_applied(hosts: Sequence[Host]) -> str:
    """`pve1: mine`, or `none`: what nettune applied to these machines and stands there. What cannot be read is told."""
    found = []
    for host in hosts:
        try:
            names = [each.profile for each in keeping.changes(host) if each.stands]
        except NotAble as error:
            names = [f"not known ({error})"]
        found += [f"{host.name}: {', '.join(names)}"] if names else []
    return "; ".join(found) or "none"


def _profiles(machines: Sequence[Host]) -> Mapping[str, str]:
    return {PROFILES: profiles_applied(machines)} if machines else {}


def _run(order: Order, run_id: str, lab: Dense, end: Host, applied: Mapping[str, str]) -> Run:
    """Of its machine: of this one, or of a guest, the nodes' own being told beside it."""
    plan, local = order.plan, Local()
    machines = (local,) if lab.machines is None else lab.machines
    return Run(
        run_id=run_id,
        plan_name=plan.name,
        plan=plan.document,
        design=density.design(plan),
        seed=order.seed,
        status="running",
        started_at=time.time(),
        ended_at=None,
        revision=revision(local),
        skipped=(),
        machine={
            **machine.read(end),
            IDLE: f"{_idle(machines):.2f}",
            **applied,
            **lab.told,
            **order.safety.told,
            **({LINE: f"{order.line_bps:.0f} bit/s"} if math.isfinite(order.line_bps) else {}),
        },
        notes=_notes(plan, lab, local),
        label=order.label,
    )
