"""The nouns that every room shares: frozen data, no behaviour beyond their own invariants.

A Run holds a Design (what the judgement needs to know of the plan) and many Blocks; a Block holds one Trial
per live arm; a Trial holds Samples and Histograms. A Comparison is what the judgement says of one treatment.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CURRENT = "current"
CURRENT_ARMS = ("current", "current-again")  # the empty treatment, measured twice per block
TOGETHER = "together"  # the arm of a confirmation that holds all winners at once

TrialStatus = Literal["running", "done", "failed", "missing", "orphan"]
# done: every probe gave its numbers.  failed: the path under this arm gave none (refused, timed out).
# missing: void for a cause independent of the outcome (wrong path, unexplained facts, tool crash).
# orphan: belongs to a block cut short; measured afresh on resume.
RunStatus = Literal["running", "complete", "interrupted"]
VerdictWord = Literal["better", "worse", "equivalent", "inconclusive"]
GuardWord = Literal["ok", "harmed", "not resolved"]
Goal = Literal["throughput", "balanced", "latency"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one trial. `metric` is a key of metrics.METRICS; `end` names where it was read."""

    probe: str
    metric: str
    value: float
    unit: str
    end: str
    direction: str  # "a>b", or "-" where it has none
    interval_s: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise ValueError(f"{self.probe}.{self.metric} = {self.value}: a sample is finite and not negative")
        if not self.interval_s > 0:
            raise ValueError(f"{self.probe}.{self.metric}: an interval of {self.interval_s} s")

    @property
    def name(self) -> str:
        """`probe.metric`, as plans and reports spell it."""
        return f"{self.probe}.{self.metric}"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins of 1 % relative width: bin k covers [1e-9 × 1.01^k, 1e-9 × 1.01^(k+1)) of `unit`.

    Histograms of different trials may be merged by adding counts; percentiles are never averaged.
    """

    probe: str
    metric: str
    unit: str
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Trial:
    """One arm held once, all probes of the plan run in order. The unit of evidence."""

    trial_id: int
    topology: str
    block: int
    attempt: int  # a block cut short is measured afresh under the next attempt
    position: int  # 0 … arms-1 within the block
    arm: str  # a treatment's name, or one of CURRENT_ARMS
    status: TrialStatus
    cause: str  # why it is not done; "" when it is
    started_at: float  # seconds since the epoch, UTC
    elapsed_s: float
    samples: tuple[Sample, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    flags: tuple[str, ...] = ()  # "generator-bound", "zero interval at 0.3 s", …
    _values: Mapping[str, float] = field(init=False, repr=False, compare=False)  # verdicts ask 40 times a trial

    def __post_init__(self) -> None:
        first = {sample.name: sample.value for sample in reversed(self.samples)}
        object.__setattr__(self, "_values", first)

    def value(self, name: str) -> float | None:
        """The one value of `probe.metric`, None where this trial has none; of several ends the first."""
        return self._values.get(name)


@dataclass(frozen=True, slots=True)
class Guard:
    """A secondary metric that a winner must not harm."""

    metric: str  # "latency.rtt_p99"
    limit: float  # relative (0.10 = +10 %) or, with absolute=True, in the metric's own unit
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """What the judgement needs of a plan; fixed when the run starts, so that no look at the data moves it."""

    topologies: tuple[str, ...]
    treatments: tuple[str, ...]  # without the current arms; skipped cells included
    primary: str  # "tcp.goodput"
    metrics: tuple[str, ...]  # every metric to compare, the primary one among them
    guards: tuple[Guard, ...]
    margin_pct: float  # a gain below this is not worth naming
    goal: Goal
    blocks: int  # planned, or the most when sequential
    sequential: bool  # looks at 6, 12, 20
    block_s: float  # estimated duration of one block of one topology, seconds
    definitions: Mapping[str, str] = field(default_factory=dict)  # "latency.rtt_p50" -> how this plan measures it

    @property
    def judged(self) -> tuple[str, ...]:
        """Every metric that a verdict rests on, guards included."""
        return tuple(dict.fromkeys((*self.metrics, *(guard.metric for guard in self.guards))))

    @property
    def family(self) -> int:
        """Comparisons that may name a winner: treatments × topologies × the one primary metric."""
        return len(self.topologies) * len(self.treatments)


@dataclass(frozen=True, slots=True)
class Run:
    """One `nettune run`, as stored."""

    run_id: str
    plan_name: str
    plan: Mapping[str, object]  # the plan as it was read, for `show` and `--resume`
    design: Design
    seed: int
    status: RunStatus
    started_at: float
    ended_at: float | None
    revision: str  # the tool's version and source revision
    skipped: tuple[tuple[str, str], ...]  # (cell, reason)
    machine: Mapping[str, str]  # facts of the machine: kernel, CPU, tool versions
    drawings: Mapping[str, str] = field(default_factory=dict)  # topology -> SVG text
    settings: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)  # treatment -> settings
    notes: tuple[str, ...] = ()  # what the report must say: congestion control in use, what does not transfer
    confirms: str = ""  # the run whose candidates this one measures again
    label: str = ""  # given by the user: `compare` and `trend` gather runs by it
    capacities: Mapping[str, float] = field(default_factory=dict)  # "bridge/tcp.goodput" of current, before block 1


@dataclass(frozen=True, slots=True)
class GuardResult:
    """How one guard came out for one comparison; limits are those of the 90 % interval."""

    metric: str
    word: GuardWord
    change: float | None  # relative, or absolute in the metric's unit; None without data
    low: float | None
    high: float | None
    limit: float
    absolute: bool
    visible: float | None  # smallest change that this many blocks could have seen


@dataclass(frozen=True, slots=True)
class Comparison:
    """A treatment against both current arms over paired blocks. Percentages are of the current value."""

    topology: str
    metric: str  # "tcp.goodput"
    primary: bool
    treatment: str
    verdict: VerdictWord
    reason: str  # one sentence in words, with the interval
    effect_pct: float | None  # None when fewer than two complete pairs
    ci_low_pct: float | None  # 95 % t interval on the mean paired log ratio
    ci_high_pct: float | None
    ci90_low_pct: float | None
    ci90_high_pct: float | None
    boot_low_pct: float | None  # bootstrap-t beside it, from 10 blocks on
    boot_high_pct: float | None
    p: float | None
    p_holm: float | None  # adjusted over the family; None for secondary metrics
    blocks: int  # complete pairs used
    failed: int  # blocks in which this arm failed and current did not
    visible_effect_pct: float | None
    blocks_to_decide: int | None  # None when decided, or when it cannot be said
    screening: bool  # stopped early at a look: the estimate is biased upwards
    effects: tuple[tuple[int, float], ...]  # (block, paired log ratio), in block order
    guards: tuple[GuardResult, ...] = ()
    candidate: bool = False  # a win on the primary metric that no guard forbids for the plan's goal


@dataclass(frozen=True, slots=True)
class SameArms:
    """The two current arms against each other: the noise that this run could not have told from an effect."""

    topology: str
    metric: str
    effect_pct: float | None
    ci_low_pct: float | None
    ci_high_pct: float | None
    p: float | None
    p_holm: float | None
    excludes_zero: bool
    blocks: int
    effects: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that was concluded from a run's trials."""

    comparisons: tuple[Comparison, ...]
    same_arms: tuple[SameArms, ...]
    warnings: tuple[str, ...]

    @property
    def candidates(self) -> tuple[Comparison, ...]:
        """The comparisons that a recommendation may rest on."""
        return tuple(c for c in self.comparisons if c.candidate)
