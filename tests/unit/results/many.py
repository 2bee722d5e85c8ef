"""Runs made up for the tests between runs: each with its own offset, blocks of all arms, and the plan behind them."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from results.evidence import Measured
from results.records import CURRENT_ARMS, Run, Trial
from results.store import Ended, Store
from tests.unit.results.example import example_run
from tests.unit.results.made import GOODPUT, design, trial

PLAN: Mapping[str, object] = {
    "name": "quick",
    "topologies": ["bridge"],
    "probes": [{"kind": "tcp", "duration_s": "0.8"}],
    "primary": GOODPUT,
    "treatments": {"t": {"tso": "off"}},
    "blocks": "4",
}
MACHINE = {"kernel": "Linux 6.8", "cpuinfo": "EPYC", "iperf3": "3.18", "CPU accounting": "tick-sampled"}


def a_run(run_id: str, **changes: object) -> Run:
    """A complete run of PLAN with the treatment `t`; `changes` replace fields."""
    base = example_run(
        run_id=run_id, plan_name="quick", plan=PLAN, design=design(blocks=4), machine=MACHINE, settings={}, drawings={},
        skipped=(), notes=("Congestion control bbr in every arm (tcp).",),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # fields are named by the test that changes them


def trials_of(arms: Mapping[str, float], *, metric: str = GOODPUT, seed: str = "", blocks: int = 4) -> list[Trial]:
    """Blocks in which each arm measures its given value, give or take 1 % of its own."""
    dice = random.Random(seed)
    return [
        trial(arm, block, {metric: value * math.exp(dice.gauss(0.0, 0.01)) if value else 0.0})
        for block in range(blocks)
        for arm, value in arms.items()
    ]


def side(
    name: str,
    factors: Sequence[float],
    changes: Mapping[str, object] | None = None,
    *,
    t: float = 1.0,
    metric: str = GOODPUT,
) -> list[Measured]:
    """One run per factor: both current arms at 1e10 × factor, the treatment at `t` times that; `changes` of the run."""
    found = []
    for number, factor in enumerate(factors):
        run = a_run(f"{name}{number}", **{"started_at": 1e9 + 1000.0 * number, **(changes or {})})
        arms = {**dict.fromkeys(CURRENT_ARMS, 1e10 * factor), "t": 1e10 * factor * t}
        found.append(Measured(run, tuple(trials_of(arms, metric=metric, seed=run.run_id))))
    return found


def keep(store: Store, measured: Measured) -> None:
    """Write a run with its trials, as a run on its way does."""
    run = measured.run
    store.begin_run(replace(run, status="running", ended_at=None))
    by_block: dict[tuple[str, int], list[Trial]] = {}
    for each in measured.trials:
        by_block.setdefault((each.topology, each.block), []).append(each)
    for (topology, block), members in by_block.items():
        store.begin_block(run.run_id, topology, block, 0, [each.arm for each in members])
        for position, each in enumerate(members):
            trial_id = store.begin_trial(run.run_id, topology, block, 0, position, each.arm)
            store.end_trial(trial_id, Ended(each.status, each.cause, each.elapsed_s, each.samples, each.histograms))
        store.end_block(run.run_id, topology, block, 0)
    store.end_run(run.run_id, run.status)
