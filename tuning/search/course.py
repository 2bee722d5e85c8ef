"""Where a search stands: what was asked, what is over, what there is to say so far, and what the budget has left."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from results.looks import EARLY_LOOKS
from results.records import CURRENT_ARMS
from tuning.search import drift, noise
from tuning.search.combine import Known
from tuning.search.stages import (
    Answer,
    Config,
    Cost,
    Measured,
    Pace,
    Prices,
    Purpose,
    Question,
    Stage,
    Status,
    worded,
)

PAIR = len(CURRENT_ARMS)
RESERVE_SHARE = 0.35  # of the budget: the most that is kept back for a confirmation of more than its 12 blocks


@dataclass(slots=True)
class Course:
    """One search under way. `told` grows as it goes: a sentence for each thing that was decided."""

    question: Question
    used: float = 0.0  # trials, a relink or a restart as the trials that it takes the time of
    trials: int = 0
    told: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)  # settings that were tried and gave too few numbers to be judged
    sds: Mapping[str, float] = field(default_factory=dict)  # scatter of a block's effect, by metric
    over: list[Measured] = field(default_factory=list)
    confirming: int = noise.CONFIRM_BLOCKS[0]  # blocks that are kept back for a confirmation
    leading: Config = ()  # what would be confirmed if the search ended here; () where nothing is worth it
    known: Known = field(default_factory=dict)  # what screening says that each of its settings adds

    @property
    def margin(self) -> float:
        """The least gain worth naming, as a log ratio."""
        return math.log1p(self.question.base.margin_pct / 100.0)

    @property
    def pace(self) -> Pace | None:
        """That of the last stage, where the budget is in time."""
        return self.over[-1].pace if self.over else None

    @property
    def prices(self) -> Prices:
        """What a trial takes, as this search has shown or, before it has, as is known of its kind."""
        return self.pace.prices if self.pace else self.question.prices

    @property
    def set_up(self) -> float:
        """What a stage takes beside its blocks, in trials; a budget in trials pays for blocks alone."""
        return self.pace.set_up_s / self.prices.trial_s if self.pace else 0.0

    @property
    def left(self) -> float:
        """The trials that the budget still has."""
        if self.pace:
            return max(0.0, self.pace.left_s / self.prices.trial_s)
        return self.question.trials_most - self.used

    @property
    def most(self) -> int:
        """The whole budget in trials, what is used of it too."""
        return int(self.used + self.left) if self.pace else self.question.trials_most

    @property
    def sd(self) -> float:
        """The scatter of a block's effect in the primary metric."""
        return self.sds[self.question.base.primary]

    @property
    def reserve(self) -> float:
        """What is kept back for the confirmation of one configuration: of what leads, or of the costliest that may.

        A knob whose 12 blocks take more than RESERVE_SHARE of the budget is left out: little would be left to find it.
        """
        if self.leading:
            return self.reserve_for({"": self.leading})
        paid = {each.knob: each.config(each.values[0]) for each in self.question.factors}
        most = RESERVE_SHARE * self.most
        return self.reserve_for({
            name: settings
            for name, settings in paid.items()
            if noise.CONFIRM_BLOCKS[0] * self.price({"": settings}) <= most
        })  # fmt: skip

    def reserve_for(self, arms: Mapping[str, Config]) -> float:
        """What the confirmation of any one of these takes; of time more, as no two labs take the same."""
        price = max((self.price({name: settings}) for name, settings in arms.items()), default=float(PAIR + 1))
        blocks = max(noise.CONFIRM_BLOCKS[0], min(self.confirming, int(RESERVE_SHARE * self.most / price)))
        return blocks * price + 1.5 * self.set_up

    @property
    def drift(self) -> tuple[str, ...]:
        """Whether current moved while the search ran, in a sentence."""
        return drift.moved(self.over, self.question.base.primary, self.margin)

    def ask(self, stage: Stage) -> Generator[Stage, Measured, Measured]:
        """Ask for a stage, and count it. Noise and confirmation may use all that is left."""
        costs = {name: cost for name, cost in self.costs(stage.arms).items() if cost != "none"}
        kept_back = 0.0 if stage.purpose in {"noise", "confirm"} else self.reserve
        measured = yield replace(stage, costs=costs, kept_back=kept_back)
        self.pay(measured)
        return measured

    def fits(
        self, purpose: Purpose, arms: Mapping[str, Config], wanted: int, least: int, why: str
    ) -> Generator[Stage, Measured, Measured | None]:
        """The stage over as many blocks as are wanted and paid for; None where that is less than `least`."""
        blocks = min(wanted, self.room(arms, self.reserve)) if arms else 0
        return None if blocks < least else (yield from self.ask(Stage(purpose, arms, blocks, why=why)))

    def pay(self, measured: Measured) -> None:
        """Count a stage that is over."""
        self.over.append(measured)
        self.trials += len(measured.trials)
        if measured.cut_short:
            stage = measured.stage
            self.told.append(
                f"The time has room for {measured.blocks} of the {stage.blocks} blocks to {stage.purpose}."
            )
        self.used += len(measured.trials)
        costs = self.costs(measured.stage.arms)
        blocks: dict[str, int] = {}
        for each in measured.trials:
            blocks[each.arm] = blocks.get(each.arm, 0) + 1
        self.used += sum(self.prices.added(cost) * blocks.get(arm, 0) for arm, cost in costs.items() if cost != "none")
        if "restart" in costs.values():  # guests that stay as they are get a fresh start too: ADR 0021
            self.used += self.prices.added("restart") * max(blocks.values(), default=0)

    def costs(self, arms: Mapping[str, Config]) -> dict[str, Cost]:
        """What each arm takes: the costliest of its settings. An anchor's other settings are taken to cost nothing."""
        of = {(each.setting, each.target): each.cost for each in self.question.factors if each.cost != "none"}
        found: dict[str, Cost] = {}
        for name, settings in arms.items():
            costs = {of.get((each.setting, each.target), "none") for each in settings}
            found[name] = "restart" if "restart" in costs else "relink" if "relink" in costs else "none"
        return found

    def price(self, arms: Mapping[str, Config]) -> float:
        """What a block of these arms and both current ones takes."""
        return block_price(list(self.costs(arms).values()), self.prices)

    def room(self, arms: Mapping[str, Config], reserve: float = 0.0) -> int:
        """The blocks of these arms that the budget pays for beside a reserve."""
        return max(0, int((self.left - self.set_up - reserve) / self.price(arms) + 1e-9))

    def answer(self, status: Status, *said: str, visible_pct: float | None = None) -> Answer:
        """The answer without a pick."""
        return Answer(status, (), (*self.told, *self.drift, *said), self.trials, visible_pct)

    def nothing(self, said: str, visible_pct: float | None) -> Answer:
        """Change nothing; with the smallest gain that could have been seen, and the knobs that no arm has set."""
        tried = {worded(each) for stage in self.over for arm in stage.stage.arms.values() for each in arm}
        factors = self.question.factors
        left = [word for each in factors if (word := worded(each)) not in tried]
        unseen = "what could have been seen is not known"
        if visible_pct is not None:
            unseen = f"a gain below {visible_pct:.1f} % could not have been seen"
        words = "Every knob was tried" if factors else "There was no knob to try beside published profiles"
        if left:
            words = f"{len(left)} of {len(factors)} knobs were not tried ({', '.join(left)})"
        if broken := dict.fromkeys(each for each in self.unjudged if each not in left):
            words += f", but these gave too few numbers to be judged: {', '.join(broken)}"
        return self.answer("nothing", said, f"{words}; {unseen}.", visible_pct=visible_pct)


def block_price(costs: Sequence[Cost], prices: Prices) -> float:
    """What a block of arms with these costs takes, in trials."""
    extra = sum(prices.added(cost) for cost in costs)
    return PAIR + len(costs) + extra + (prices.added("restart") if "restart" in costs else 0.0)


def least_trials(arms: int) -> int:
    """The fewest trials with which a search of so many arms can claim anything: noise, shortest race, confirmation."""
    return noise.BLOCKS * PAIR + EARLY_LOOKS[0][0] * (arms + PAIR) + noise.CONFIRM_BLOCKS[0] * (1 + PAIR)
