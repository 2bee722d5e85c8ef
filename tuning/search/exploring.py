"""Before a search and after it: what limits the path, what it has to turn, and what moved with what was found."""

import re
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field

from bench import diagnosis, figures, ready
from bench.evidence import Evidence, evidence
from bench.facts import hardware
from bench.facts.sheet import comparable, differences
from bench.labs import sharing
from bench.labs.lab import Lab, Target
from bench.plan import Plan, SettingSpec
from bench.probes.iperf3 import Tcp
from bench.run import FactsMoved
from results.records import CURRENT_ARMS
from results.store import Store
from tuning import measured, shelf, standings
from tuning.journal import Journal
from tuning.knobs import presence
from tuning.knobs.catalogue import catalogue, entries_for
from tuning.knobs.entry import Disruption
from tuning.profile import load
from tuning.search import combine
from tuning.search.anchoring import Anchor, Rules, anchored, unfit
from tuning.search.planned import Explored
from tuning.search.space import space
from tuning.search.stages import Config, Measured, Pick, worded
from tuning.treatments import treatments

_WMEM = "sysctl/net.ipv4.tcp_wmem"
_MACHINE = ("kernel", "cpuinfo", "cpus", "virtualisation", "governor")  # of bench.facts.machine: what moves everything

# Of bench.facts.hardware: a driver or firmware that was changed in mid-search, a link that came up at another speed.
_OF_HOST = re.compile(rf"(kernel|virtualisation) of \S+|({'|'.join(hardware.OF_NIC)}) of \S+ on \S+")


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits a path."""

    symptoms: tuple[tuple[str, str], ...]  # (name, evidence)
    unseen: tuple[tuple[str, str], ...]  # (name, why nothing here could have shown it)
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> hosts whose counters do, where some do


def limits(plan: Plan, noise: Measured, store: Store) -> Limits:
    """What limits the path, by the trials of current; that one failed may be the sign of it."""
    path = path_of(plan, noise, store)
    trials = _evidence(noise, store, CURRENT_ARMS)
    found = diagnosis.diagnose(trials, path)
    return Limits(tuple((each.symptom, each.evidence) for each in found), diagnosis.unseen(trials, path),
                  {each.symptom: each.hosts for each in found})  # fmt: skip


def path_of(plan: Plan, measured: Measured, store: Store, own: Config = ()) -> diagnosis.Path:
    """What is known of the path beside its trials, with a configuration's own send buffer where it sets one."""
    baseline = store.baseline(measured.run_id, measured.design.topologies[0])
    buffers = [facts[_WMEM].split()[-1] for facts in baseline.values() if _WMEM in facts]
    buffers = [each.value.split()[-1] for each in own if f"sysctl/{each.setting}" == _WMEM] or buffers
    tcp = [each for each in plan.probes if isinstance(each, Tcp) and each.direction != "both" and not each.window_bytes]
    alike = [each for each in tcp if (each.direction, each.ends) == (tcp[0].direction, tcp[0].ends)]
    streams = {each.name: each.streams * each.processes for each in alike}
    rate_mbit: float = plan.topologies[0].shape.rate_mbit
    if not rate_mbit and plan.inventory is not None:
        rate_mbit = sharing.path_mbps(plan.inventory, store.run(measured.run_id).machine)
    return diagnosis.Path(min(map(int, buffers), default=0), rate_mbit * 1e6, streams)


def unmoved(first: Measured, later: Measured, store: Store, anew: Container[str] = ()) -> None:
    """Two stages stood on the same path of the same machine. Raises FactsMoved naming what differs.

    What guests are started with, and which CPUs serve their interrupts, is told by those stages alone that turn it; and
    where several CPUs may, the kernel may choose another. `anew` are hosts that each stage made once more.
    """
    name = first.design.topologies[0]
    kept = [
        {
            host: {key: value for key, value in facts.items() if not key.startswith(("vm/", "irq/"))}
            for host, facts in store.baseline(each.run_id, name).items()
        }
        for each in (first, later)
    ]
    sheets = [comparable(each, anew) for each in kept]
    machines = [store.run(each.run_id).machine for each in (first, later)]
    of_nics = [word for word in machines[0] if _OF_HOST.fullmatch(word) and word in machines[1]]
    told = [
        f"{word}: {old!r} -> {new!r}"
        for word in (*_MACHINE, *of_nics)
        if (old := machines[0].get(word)) != (new := machines[1].get(word))
    ]
    told += [str(each) for each in differences(*sheets)] if all(sheets) else []  # none: no trial of current was done
    if told:
        raise FactsMoved(
            f"{name} is not what it was when the search began ({len(told)} facts differ): {'; '.join(told[:4])}",
            hint="its stages stay; start a new search for the machine as it is now",
        )


def full(found: Limits, primary: str) -> Explored | None:
    """Nothing to turn where the link is full and goodput is what is to be gained; else None."""
    nothing = Explored((), {}, found.symptoms, (("all knobs", "nothing to gain: the link is full"),), found.unseen)
    return nothing if nothing.full(primary) else None


def explored(
    plan: Plan, lab: Lab, journal: Journal, found: Limits, *, most: Disruption, only: Collection[str], anchors: bool
) -> Explored:
    """What a standing lab has: the knobs that its symptoms let in, the anchors as far as they raise anything.

    Each was held for a moment and put back: what a driver refuses is known before the search.
    """
    lab = ready.with_interrupts(lab)
    now = lab.read()

    def refusal(*specs: SettingSpec) -> str:
        (alone,) = treatments({"alone": specs}, journal)
        return ready.tried(alone, lab, now)

    own = any(isinstance(each, Tcp) and each.preferred for each in plan.probes)
    names = [name for name, _ in found.symptoms]
    owned = {name: host.name for host in lab.guarded for name in presence.owners(host)}
    made = space(
        catalogue().values(),
        lab,
        now,
        symptoms={name: places(lab, found.shown.get(name, ())) for name in names},
        refusal=refusal,
        most=most,
        probes_own=own,
        only=only,
        owned=owned,
        virtio=_virtio(lab),
    )
    published = _published(plan, lab, standings.of_lab(lab, now)) if anchors else {}
    arms, cut = anchored(published, Rules(most, owned, own, refusal))
    return Explored(made.factors, arms, found.symptoms, (*made.left_out, *cut), found.unseen)


def _published(plan: Plan, lab: Lab, readings: standings.Readings) -> dict[str, Anchor]:
    """The anchors that ship, each as it would act on the lab."""
    questions = hardware.QUESTIONS
    told = {
        host.name: hardware.parse(dict(zip(questions, host.run_all(tuple(questions.values())), strict=True)))
        for host in lab.hosts
    }
    found = {}
    for name, path in shelf.anchors().items():
        profile = measured.placed(load(path), plan, (lab,))
        treated = measured.treated(profile, plan, lab, readings)
        found[name] = Anchor(profile, treated, unfit(profile, treated, readings, told))
    return found


def places(lab: Lab, hosts: Collection[str]) -> frozenset[Target]:
    """The parts of a lab that these hosts are: where a cure acts. Both, where nobody tells which.

    The machine under guests is none of them itself: nodes that share its kernel stand for it.
    """
    found: set[Target] = set()
    if any(end.host.name in hosts for end in lab.endpoints):
        found.add("guest")
    under = lab.machine is not None and lab.machine.name in hosts and "guest" not in found
    if any(node.name in hosts or (under and (node.local or node.name in lab.namespaces)) for node in lab.nodes):
        found.add("node")
    return frozenset(found) or frozenset(("guest", "node"))


def _virtio(lab: Lab) -> bool:
    """Whether the NICs at the path's ends are all virtio's: what resets another NIC for seconds costs these nothing."""
    names = [(end.host, {each.device for each in lab.path if each.host is end.host}) for end in lab.endpoints]
    found = [hardware.drivers(host, sorted(devices)) for host, devices in names]
    return all(drivers and set(drivers) == {"virtio_net"} for drivers in found)


def explanations(
    plan: Plan, stages: Sequence[Measured], pick: Pick, before: Explored | None, store: Store
) -> dict[str, str]:
    """What `worded` says of a setting -> what moved with it: its own symptom gone, or the figures that moved most.

    Of one setting alone these are the confirmation's; of several those between all of them and all but this one, where
    the search looked for passengers.
    """
    current, treated = (_evidence(stages[-1], store, arms) for arms in (CURRENT_ARMS, (pick.arm,)))
    of_all = figures.moved(current, treated)
    gone = {name for name, _ in before.symptoms} if before else set()
    path = path_of(plan, stages[-1], store, pick.config)
    gone -= {each.symptom for each in diagnosis.diagnose(treated, path)}
    found = {}
    for spec in pick.config:
        own = {entry.symptom for entry in entries_for(spec.setting)} & gone
        if own:
            shown = "; ".join(each for name in sorted(own) if (each := figures.moved_with(name, current, treated)))
            found[worded(spec)] = f"{', '.join(sorted(own))} is gone{f': {shown}' if shown else ''}"
        elif own_figures := of_all if len(pick.config) == 1 else _with_it(stages, pick, spec, store):
            found[worded(spec)] = "; ".join(own_figures[:2])
    return found


def _with_it(stages: Sequence[Measured], pick: Pick, spec: SettingSpec, store: Store) -> tuple[str, ...]:
    """What moved with a setting among the others of the pick, by the last round without each of them that holds it."""
    for stage in reversed(stages):
        arms = stage.stage.arms
        whole = arms.get(combine.ALL, ())
        without = next((name for name, settings in arms.items() if set(whole) - set(settings) == {spec}), "")
        if without and set(pick.config) <= set(whole):
            return figures.moved(_evidence(stage, store, (without,)), _evidence(stage, store, (combine.ALL,)))
    return ()


def _evidence(measured: Measured, store: Store, arms: Sequence[str]) -> list[Evidence]:
    return [
        evidence({each.name: each.value for each in trial.samples}, trial.flags, store.raw(trial.trial_id),
                 failed=trial.status == "failed")
        for trial in measured.trials
        if trial.arm in arms and trial.status in {"done", "failed"}
    ]  # fmt: skip
