"""The run: blocks of trials, each block every number of pairs once in random order, each trial kept when it ends.

As in `bench.run`: a block that is cut short is measured afresh, complete blocks never again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bench import schedule
from bench.capacity import baseline, step
from bench.capacity.dense import Dense
from bench.capacity.plan import PROBES_PER_S, DensityPlan
from bench.capacity.step import Ports
from bench.capacity.watching import STOPPED
from bench.hosts.host import Host
from bench.probes.probe import Pair
from bench.probes.trips import P99_SAMPLES
from bench.run import Progress
from results.errors import NotAble
from results.records import Design, Sample
from results.scaling.arms import PROBE, arm, pairs
from results.store import Store

_PRIMARY = f"{PROBE}.goodput"


def design(plan: DensityPlan) -> Design:
    """What the store knows of the plan: one topology, an arm for each number of pairs, nothing that is compared."""
    return Design(
        topologies=(plan.layout,),
        treatments=(),
        primary=_PRIMARY,
        metrics=(_PRIMARY,),
        guards=(),
        margin_pct=5.0,
        goal="throughput",
        blocks=plan.repeats,
        sequential=False,
        block_s=plan.estimate_s / plan.repeats,
        definitions={f"{PROBE}.{metric}": words for metric, words in _definitions(plan).items()},
    )


def _definitions(plan: DensityPlan) -> dict[str, str]:
    load = f"paced to {plan.rate_mbit:g} Mbit/s each" if plan.rate_mbit else "as fast as they can"
    every = (
        f"paced UDP packets of every pair, one every {1e3 * plan.interval_s:g} ms or, of many pairs, "
        f"{PROBES_PER_S:g} a second in all, while all pairs send TCP {load}, user space to user space (irtt)"
    )
    return {
        "goodput": f"application bytes that the receivers of all pairs read in {plan.duration_s:g} s, as bits a second",
        "rtt_p50": f"median round-trip time of {every}",
        "rtt_p99": f"99th percentile of the round-trip times of {every}; only with {P99_SAMPLES} samples or more",
        "loss": f"share of {every}, that never came back",
    }


@dataclass(frozen=True, slots=True)
class Density:
    """One run ready to go; `climbs`: the first block goes from few pairs to many, where a watch may end the load."""

    run_id: str
    plan: DensityPlan
    seed: int
    lab: Dense
    machine: Host
    store: Store
    watch: Callable[[Progress], None]
    climbs: bool = False
    base_rtt_s: float | None = None  # of the idle path, kept with every trial
    facts: Mapping[str, str] = field(default_factory=dict)  # host -> digest of what it is set to, kept as well


class Full(NotAble):
    """Not even the smallest number of pairs may run."""


def measure(run: Density) -> None:
    """Every block that is not complete yet. An interruption passes through: its block becomes an orphan.

    A step whose load was stopped is not begun again, nor is one with more pairs. Raises Full where none is left.
    """
    topology, plan = run.plan.layout, run.plan
    attempts: dict[int, int] = {}
    over: set[int] = set()
    for _, block, attempt, status in run.store.blocks(run.run_id):
        attempts[block] = max(attempt, attempts.get(block, -1))
        over |= {block} if status == "complete" else set()
    done, in_all, note = len(over) * len(plan.pairs), plan.repeats * len(plan.pairs), ""
    allowed, climbs = plan.pairs, run.climbs
    for block in range(plan.repeats):
        if block in over:
            continue
        attempt = attempts.get(block, -1) + 1
        states = {arm(n): "" for n in allowed}
        done += len(plan.pairs) - len(allowed)
        ((*order,),) = schedule.groups(states, seed=run.seed, topology=topology, block=block, attempt=attempt)
        if climbs:
            order, climbs = sorted(order, key=pairs), False
        run.store.begin_block(run.run_id, topology, block, attempt, order)
        for position, name in enumerate(order):
            if pairs(name) not in allowed:
                done += 1
                continue
            run.watch(Progress(topology, block, plan.repeats, name, done, in_all, note))
            trial_id = run.store.begin_trial(run.run_id, topology, block, attempt, position, name)
            ended = step.trial(run.lab, pairs(name), plan, _ports(run.seed, block, position), run.machine)
            if run.base_rtt_s is not None:
                base = Sample(PROBE, "base_rtt", run.base_rtt_s, "s", "sender", "-", plan.duration_s)
                ended = replace(ended, samples=(*ended.samples, base))
            run.store.end_trial(trial_id, replace(ended, facts_before=run.facts))
            note = "" if ended.status == "done" else f"{name}: {ended.status}: {ended.cause}"
            done += 1
            if ended.cause.startswith(STOPPED):
                allowed = tuple(n for n in allowed if n < pairs(name))
                if not allowed:
                    raise Full(
                        f"{ended.cause}; that was the smallest number of pairs",
                        hint="what was measured is kept; a smaller number, a lower rate_mbit, or another hour",
                    )
        run.store.end_block(run.run_id, topology, block, attempt)


def idle_rtt_s(lab: Dense, seed: int) -> float | None:
    """The round trip of the first pair's path while nothing else is on it, on ports that no trial has."""
    own = schedule.ports(3, seed=seed, block=0)
    return baseline.base_rtt_s(Pair(lab.clients[0], lab.servers[0], own.server, own.client))


def _ports(seed: int, block: int, position: int) -> Ports:
    """Of one trial; those of the trial before may still be held by closed sockets."""
    tcp, udp, web = (schedule.ports(row, seed=seed, block=block, turn=position + 1) for row in (0, 1, 2))
    return Ports(tcp.server, tcp.client, udp.server, udp.client, web.server)
