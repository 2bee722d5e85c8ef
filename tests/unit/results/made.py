"""Trials made up for the tests of the judgement: small, seeded, with known effects."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from results.records import CURRENT_ARMS, Comparison, Design, Goal, Guard, Judgement, Sample, Trial, TrialStatus

GOODPUT = "tcp.goodput"
RTT = "latency.rtt_p50"


def trial(
    arm: str,
    block: int,
    values: Mapping[str, float],
    *,
    topology: str = "bridge",
    attempt: int = 1,
    status: TrialStatus = "done",
) -> Trial:
    """One trial with one sample per metric."""
    samples = tuple(
        Sample(name.split(".")[0], name.split(".")[1], value, "-", "b", "a>b", 1.0) for name, value in values.items()
    )
    cause = "" if status == "done" else "for the test"
    return Trial(0, topology, block, attempt, 0, arm, status, cause, 0.0, 1.0, samples)


def design(
    treatments: Sequence[str] = ("t",),
    *,
    blocks: int = 8,
    primary: str = GOODPUT,
    metrics: Sequence[str] = (),
    guards: Sequence[Guard] = (),
    goal: Goal = "throughput",
    topologies: Sequence[str] = ("bridge",),
) -> Design:
    """A fixed design with a margin of 5 %."""
    return Design(
        topologies=tuple(topologies),
        treatments=tuple(treatments),
        primary=primary,
        metrics=tuple(metrics) or (primary,),
        guards=tuple(guards),
        margin_pct=5.0,
        goal=goal,
        blocks=blocks,
        sequential=False,
        block_s=10.0,
    )


def wobble(arm: str, block: int, spread: float = 0.01) -> float:
    """A factor near 1, the same for the same arm and block every time."""
    return math.exp(random.Random(f"{arm}/{block}").gauss(0.0, spread))


def blocks_of(arms: Mapping[str, float], n: int = 8, *, metric: str = GOODPUT, spread: float = 0.01) -> list[Trial]:
    """`n` blocks in which each arm measures its given mean, give or take `spread`."""
    return [
        trial(arm, block, {metric: mean * wobble(arm, block, spread)})
        for block in range(n)
        for arm, mean in arms.items()
    ]


def against(gain: float, *, n: int = 8, metric: str = GOODPUT, spread: float = 0.01) -> list[Trial]:
    """`n` blocks of both current arms and of a treatment `t` that is `gain` times as much."""
    return blocks_of({"current": 1e9, "current-again": 1e9, "t": 1e9 * gain}, n, metric=metric, spread=spread)


def alternating(mean: float, spread: float, metric: str = GOODPUT, n: int = 8) -> list[Trial]:
    """`n` blocks in which both current arms agree and the log ratio of `t` is `mean` ± `spread` in turn."""
    return [
        trial(arm, block, {metric: 1e9 if arm in CURRENT_ARMS else 1e9 * math.exp(mean + spread * (-1) ** block)})
        for block in range(n)
        for arm in (*CURRENT_ARMS, "t")
    ]


def joined(trials: Sequence[Trial], others: Sequence[Trial]) -> list[Trial]:
    """Each trial with the samples of its counterpart added."""
    return [replace(t, samples=(*t.samples, *o.samples)) for t, o in zip(trials, others, strict=True)]


def of(judgement: Judgement, treatment: str = "t", metric: str = GOODPUT) -> Comparison:
    """The one comparison of a treatment and a metric."""
    (found,) = [c for c in judgement.comparisons if (c.treatment, c.metric) == (treatment, metric)]
    return found


def failing(trials: Sequence[Trial], arm: str, blocks: Sequence[int], status: TrialStatus = "failed") -> list[Trial]:
    """The same trials, of which `arm` did not deliver in these blocks."""
    return [
        replace(t, status=status, cause="refused", samples=()) if t.arm == arm and t.block in blocks else t
        for t in trials
    ]
