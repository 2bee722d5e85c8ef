"""Where a search stands: what was asked, what is over, what there is to say so far, and what the budget has left."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from results.looks import EARLY_LOOKS
from results.records import CURRENT_ARMS
from tuning.search.stages import Answer, Config, Measured, Purpose, Question, Stage, Status

NOISE_BLOCKS = 6
CONFIRM_BLOCKS = 12  # at least
PAIR = len(CURRENT_ARMS)
_PICKS = 2  # that the reserve for the confirmation has room for


@dataclass(frozen=True, slots=True)
class Course:
    """One look at a search. `told` grows while the next step is found: a sentence for each thing that was decided."""

    question: Question
    done: Sequence[Measured]
    told: list[str] = field(default_factory=list)

    @property
    def margin(self) -> float:
        """The least gain worth naming, as a log ratio."""
        return math.log1p(self.question.base.margin_pct / 100.0)

    @property
    def used(self) -> int:
        """The trials that were spent."""
        return sum(len(each.trials) for each in self.done)

    @property
    def left(self) -> int:
        """The trials that the budget still has."""
        return self.question.trials_most - self.used

    def stage(self, purpose: Purpose) -> Measured | None:
        """The stage of that purpose, where it is over."""
        return next((each for each in self.done if each.stage.purpose == purpose), None)

    def fits(self, purpose: Purpose, arms: Mapping[str, Config], blocks: int, why: str) -> Stage | None:
        """The stage, where the budget has it beside the confirmation's reserve."""
        stage = Stage(purpose, arms, blocks, why=why)
        return stage if arms and stage.trials + CONFIRM_BLOCKS * (_PICKS + PAIR) <= self.left else None

    def answer(self, status: Status, *said: str) -> Answer:
        """The answer without a pick."""
        return Answer(status, (), (*self.told, *said), self.used)

    def refused(self) -> Answer:
        """The answer where no claim can be made with what is left."""
        arms = max(1, min(len(self.question.factors), 4) + len(self.question.anchors))
        return self.answer(
            "refused",
            f"A budget of {self.question.trials_most} trials is too small for any claim: noise, a race and a "
            f"confirmation take {least_trials(1)} for one arm, {least_trials(arms)} for the {arms} of this search.",
        )


def least_trials(arms: int) -> int:
    """The fewest trials with which a search of so many arms can claim anything: noise, shortest race, confirmation."""
    return NOISE_BLOCKS * PAIR + EARLY_LOOKS[0][0] * (arms + PAIR) + CONFIRM_BLOCKS * (1 + PAIR)
