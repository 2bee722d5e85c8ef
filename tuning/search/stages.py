"""The nouns of a search: factors, configurations, stages, and the answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.labs.lab import Target
from bench.plan import SettingSpec
from results.looks import look
from results.records import CURRENT_ARMS, Design, GuardResult, Trial
from results.statistics import Estimate

Config = tuple[SettingSpec, ...]  # sorted by setting and target: equal ones are one
Purpose = Literal["noise", "screen", "race", "refine", "combine", "sample", "confirm"]
PickName = Literal["throughput", "balanced", "latency", "efficient"]
Status = Literal["confirmed", "nothing", "refused", "open"]  # open: the search is not over
Cost = Literal["none", "relink", "restart"]

_NAME_MOST = 40  # letters of a treatment's name (bench.document.NAME)


@dataclass(frozen=True, slots=True)
class Factor:
    """One knob that the search may turn. `values` are the candidates in order of strength, without the current one.

    `target` is None where it is the knob's own. `numeric`: values between them exist too, and a smaller one that does
    as well is to be preferred. `cost`: what setting it takes; what is not "none" is tried alone, once a block.
    `beside`: what is set with it at every value, because neither does anything without the other. Raises ValueError
    without candidates that differ.
    """

    knob: str  # its id in the catalogue
    setting: str  # the word of a plan
    values: tuple[str, ...]
    target: Target | None = None
    numeric: bool = False
    why: str = ""  # what let it in
    cost: Cost = "none"
    beside: Config = ()

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"{self.knob}: candidates that differ are needed, not {list(self.values)}")

    @property
    def tried(self) -> tuple[str, ...]:
        """The candidates that are tried at first: the strongest of a grid, which is refined later, or every word."""
        return self.values[-1:] if self.numeric else self.values

    def at(self, value: str) -> SettingSpec:
        """The setting with that value."""
        return SettingSpec(self.setting, value, self.target)

    def config(self, value: str) -> Config:
        """The setting with that value, and what is set with it."""
        return config(self.at(value), *self.beside)


@dataclass(frozen=True, slots=True)
class Prices:
    """Seconds of a trial, and what a relink and a restart (with the trials after it that do not count) add."""

    trial_s: float = 1.0
    relink_s: float = 0.0
    restart_s: float = 0.0

    def trials(self, seconds: float) -> int:
        """How many trials a budget in seconds pays for."""
        return int(seconds / self.trial_s)

    def added(self, cost: Cost) -> float:
        """What such an arm takes once a block beside its trial, in trials."""
        return {"none": 0.0, "relink": self.relink_s, "restart": self.restart_s}[cost] / self.trial_s


@dataclass(frozen=True, slots=True)
class Pace:
    """How the clock of a search stood when a stage was over, and what this very search has shown that things take."""

    left_s: float  # of the budget
    set_up_s: float  # of a stage beside its blocks: its lab up and down
    prices: Prices


@dataclass(frozen=True, slots=True)
class Question:
    """What a search is about. `base` is the design of its plan: one path, one primary metric, guards, margin, goal.

    The budget is in trials, and a relink or a restart counts as the trials that could be made meanwhile. One in seconds
    is that many trials at first (Prices.trials); from the first stage on the pace of each says what is left of it.
    Raises ValueError where two factors set the same.
    """

    base: Design
    factors: tuple[Factor, ...]  # the most promising first
    anchors: Mapping[str, Config]  # published profiles, by the name of their arm
    trials_most: int  # the budget, confirmation included
    prices: Prices = Prices()
    full: str = ""  # what shows that the link is full: then nothing is to be gained

    def __post_init__(self) -> None:
        set_ = [(each.setting, each.target) for each in self.factors]
        if twice := sorted({setting for setting, target in set_ if set_.count((setting, target)) > 1}):
            raise ValueError(f"two factors set the same: {', '.join(twice)}; leave one of them out")


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to be measured next: one run. `current` is in it twice, as in every run."""

    purpose: Purpose
    arms: Mapping[str, Config]
    blocks: int
    sequential: bool = False
    why: str = ""
    costs: Mapping[str, Cost] = field(default_factory=dict)  # of the arms that take more than a trial
    kept_back: float = 0.0  # trials that a clock must leave for the confirmation

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
    pace: Pace | None = None  # where the budget is in time; kept, so that a search that goes on decides the same

    @property
    def blocks(self) -> int:
        """Those that are over."""
        return len({each.block for each in self.trials if each.status not in {"running", "orphan"}})

    @property
    def cut_short(self) -> bool:
        """Whether it ended before its blocks, with arms that no look had decided."""
        done = self.blocks
        whole = done >= self.stage.blocks
        return not whole and (not self.stage.sequential or self._undecided(done))

    def _undecided(self, done: int) -> bool:
        design = self.stage.design(self.design)
        return len(look(design, self.trials, done)) < len(self.stage.arms)

    def as_far_as_it_goes(self) -> "Measured":
        """The same; one that was cut short is judged by a last look at the blocks that it has, when it ended."""
        if not self.blocks or not self.cut_short:
            return self
        return replace(self, design=replace(self.design, blocks=self.blocks))


@dataclass(frozen=True, slots=True)
class Pick:
    """One configuration that survived fresh blocks. `gain` is of `metric`, as a log ratio, positive where better."""

    names: tuple[PickName, ...]
    arm: str
    config: Config
    metric: str
    gain: Estimate
    guards: tuple[GuardResult, ...]
    on_front: bool = True  # no other arm of the confirmation beats it in one objective and keeps up in all


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search ends with. `said` is for people, one sentence each, in the order of the search."""

    status: Status
    picks: tuple[Pick, ...]
    said: tuple[str, ...]
    trials: int
    visible_pct: float | None = None  # the smallest change that its last word could have seen
    trials_needed: int | None = None  # of a refused one: the least budget for any claim, where more would help


def nothing_left(full: str) -> str:
    """Why there is nothing to search, in a sentence."""
    return f"Nothing to gain: the link is full ({full})." if full else "No knob that may help here is left to try."


def worded(of: SettingSpec | Factor) -> str:
    """The word of a plan, with the target where that is another than the knob's own."""
    return f"{of.setting} on the {of.target}" if of.target else of.setting


def words(settings: Iterable[SettingSpec]) -> str:
    """What is set, with commas between."""
    return ", ".join(f"{worded(each)} {each.value}" for each in settings)


def config(*settings: SettingSpec) -> Config:
    """The settings as one configuration; of the same setting on the same target the last one stands."""
    kept = {(each.setting, each.target or ""): each for each in settings}
    return tuple(kept[key] for key in sorted(kept))


def together(chosen: Iterable[tuple[Factor, str]]) -> dict[str, tuple[Factor, str]]:
    """By word, of these factors at a value those that can be held at once; of two that set the same the first."""
    found: dict[str, tuple[Factor, str]] = {}
    taken: set[tuple[str, Target | None]] = set()
    for factor, value in chosen:
        sets = {(each.setting, each.target) for each in factor.config(value)}
        if not sets & taken:
            taken |= sets
            found[worded(factor)] = (factor, value)
    return found


def named(factor: Factor, value: str, taken: Mapping[str, Config]) -> str:
    """A treatment's name for one factor at a value: short, of the letters that a name may have, and not taken."""
    last = factor.setting.rpartition(".")[2] if "." in factor.setting else factor.setting
    end = f"-{factor.target}" if factor.target else ""
    word = "".join(letter if letter.isalnum() else "-" for letter in f"{last}-{value}".lower())
    base = ("-".join(part for part in word.split("-") if part)[: _NAME_MOST - 3 - len(end)] or "arm") + end
    name, turn = base, 1
    while name in taken or name in CURRENT_ARMS:
        turn += 1
        name = f"{base}-{turn}"
    return name
