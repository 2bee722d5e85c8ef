"""What was observed, and what it amounts to: the records that judging, document and page share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.facts.sheet import Difference
from tuning.offload.arms import Arm
from tuning.offload.bitmaps import Bits
from tuning.offload.cases import Result
from tuning.offload.features import Direction
from tuning.offload.inventory import Nic

Level = Literal["inventory", "negotiation", "function", "engaged", "benefit", "stability", "restored"]
LEVELS: tuple[Level, ...] = (
    "inventory", "negotiation", "function", "engaged", "benefit", "stability", "restored",
)  # fmt: skip
Verdict = Literal[
    "works and helps", "works, no visible effect", "works", "works but harms", "claimed but not engaged",
    "engaged though off", "corrupts", "drops", "hangs", "refused", "not present", "can't be judged here",
]  # fmt: skip
GOOD: frozenset[Verdict] = frozenset({"works and helps", "works, no visible effect", "works"})
# What ends with exit code 1 where nothing is asked for by name: the NIC is no use, or cannot be told what to do.
BAD: frozenset[Verdict] = frozenset({"corrupts", "drops", "hangs", "engaged though off"})
Outcome = Literal["ok", "failed", "can't be judged here", "not asked"]
# What a toggle came to: what was asked is so; it reads otherwise; it did not end, or took the link with it; not tried.
Toggled = Literal["ok", "refused", "hangs", "not tried"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One arm held: how the toggle went, what else moved, and the exchange under it."""

    arm: Arm
    toggled: Toggled = "ok"
    said: str = ""  # why it is not ok
    moved: tuple[Difference, ...] = ()
    bits: Bits = field(default_factory=dict)  # what moved in the NIC's bitmaps
    flaps: int = 0  # changes of carrier while it was set
    took_s: float = 0.0
    results: tuple[Result, ...] = ()
    repeated: tuple[Result, ...] = ()  # once more, what went otherwise than on its ground
    restored: str = ""  # what could not be put back, in words; "": all was


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """One row of the matrix. `evidence` by level, in words; `at`: the position, on or off, in which it goes wrong.

    `ill`: it cannot be judged because payload of its kind goes wrong. `effect_pct`: what having it on is worth, of the
    run's primary metric: estimate, low, high; () where that was not measured.
    """

    feature: str
    direction: Direction
    verdict: Verdict
    evidence: Mapping[Level, str]
    at: str = ""
    ill: bool = False
    effect_pct: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LevelVerdict:
    """One level of the whole NIC."""

    level: Level
    outcome: Outcome
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Benefit:
    """What having a feature on is worth, as a run judged it: effect in percent with interval, and what it could see."""

    word: Literal["helps", "no visible effect", "harms", "can't be judged here"]
    said: str
    effect_pct: tuple[float, ...] = ()  # of having it on against off: estimate, low, high


@dataclass(frozen=True, slots=True)
class Soaked:
    """A soak: how long, how much, and what went wrong, in words."""

    seconds: float
    bytes: int
    faults: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # of whom the kernel's log could not be read, and why


@dataclass(frozen=True, slots=True)
class Toggle:
    """How one arm's setting went. `moved`: facts "host: key" as they were before and while it was held.

    `bits`: what came into the NIC's bitmaps meanwhile (`+feature`) and what went (`-feature`).
    """

    arm: str
    outcome: str  # one of Toggled
    said: str
    took_s: float
    flaps: int
    moved: Mapping[str, tuple[str, str]]
    bits: Bits
    restored: str  # what could not be put back; "": all was


@dataclass(frozen=True, slots=True)
class Validation:
    """All of it. `path` is the topology's name; `run_id` that of the benefit's run."""

    nic: Nic
    other: Nic
    path: str
    levels: tuple[LevelVerdict, ...]
    features: tuple[FeatureVerdict, ...]
    hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    toggles: tuple[Toggle, ...] = ()
    run_id: str = ""
