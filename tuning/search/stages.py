"""The nouns of a search: factors, configurations, stages, and the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.labs.lab import Target
from bench.plan import SettingSpec
from results.records import CURRENT_ARMS, Design, GuardResult, Trial
from results.statistics import Estimate

Config = tuple[SettingSpec, ...]  # sorted by setting and target: equal ones are one
Purpose = Literal["noise", "screen", "race", "refine", "combine", "confirm"]
PickName = Literal["throughput", "balanced", "latency", "efficient"]
Status = Literal["confirmed", "nothing", "refused"]

_NAME_MOST = 40  # letters of a treatment's name (bench.document.NAME)


@dataclass(frozen=True, slots=True)
class Factor:
    """One knob that the search may turn. `values` are the candidates in order of strength, without the current one.

    `numeric`: values between them exist too, and a smaller one that does as well is to be preferred.
    """

    knob: str  # its id in the catalogue
    setting: str  # the word of a plan
    values: tuple[str, ...]
    target: Target | None = None
    numeric: bool = False
    why: str = ""  # what let it in

    def at(self, value: str) -> SettingSpec:
        """The setting with that value."""
        return SettingSpec(self.setting, value, self.target)


@dataclass(frozen=True, slots=True)
class Question:
    """What a search is about. `base` is the design of its plan: one path, one primary metric, guards, margin, goal."""

    base: Design
    factors: tuple[Factor, ...]  # the most promising first
    anchors: Mapping[str, Config]  # published profiles, by the name of their arm
    trials_most: int  # the budget, confirmation included


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to be measured next: one run. `current` is in it twice, as in every run."""

    purpose: Purpose
    arms: Mapping[str, Config]
    blocks: int
    sequential: bool = False
    why: str = ""

    @property
    def trials(self) -> int:
        """How many it takes at most."""
        return self.blocks * (len(self.arms) + len(CURRENT_ARMS))

    def design(self, base: Design) -> Design:
        """What the judgement needs of it."""
        return replace(base, treatments=tuple(self.arms), blocks=self.blocks, sequential=self.sequential)


@dataclass(frozen=True, slots=True)
class Measured:
    """A stage that is over: its run, the trials of it, and the design that was fixed when it began."""

    stage: Stage
    design: Design
    trials: Sequence[Trial]
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Pick:
    """One configuration that survived fresh blocks. `gain` is of `metric`, as a log ratio, positive where better."""

    names: tuple[PickName, ...]
    arm: str
    config: Config
    metric: str
    gain: Estimate
    guards: tuple[GuardResult, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search ends with. `said` is for people, one sentence each, in the order of the search."""

    status: Status
    picks: tuple[Pick, ...]
    said: tuple[str, ...]
    trials: int
    visible_pct: float | None = None  # the smallest change that the confirmation could have seen


def config(*settings: SettingSpec) -> Config:
    """The settings as one configuration; of the same setting on the same target the last one stands."""
    kept = {(each.setting, each.target or ""): each for each in settings}
    return tuple(kept[key] for key in sorted(kept))


def named(factor: Factor, value: str, taken: Mapping[str, Config]) -> str:
    """A treatment's name for one factor at a value: short, of the letters that a name may have, and not taken."""
    last = factor.setting.rpartition(".")[2] if "." in factor.setting else factor.setting
    word = "".join(letter if letter.isalnum() else "-" for letter in f"{last}-{value}".lower())
    base = "-".join(part for part in word.split("-") if part)[: _NAME_MOST - 3] or "arm"
    name, turn = base, 1
    while name in taken or name in CURRENT_ARMS:
        turn += 1
        name = f"{base}-{turn}"
    return name
