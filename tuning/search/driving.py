"""A search, carried out: stage after stage until there is an answer. Who measures and who looks is given."""

from collections.abc import Callable
from dataclasses import replace

from results.records import Design
from tuning.search.clock import Clock
from tuning.search.pipeline import next_step, so_far
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Prices, Question, Stage

Measure = Callable[[Stage, int], Measured]  # the stage, and its number from 0
Explore = Callable[[Measured], Explored]  # after the noise


def searched(
    base: Design,
    trials_most: int,
    *,
    measure: Measure,
    explore: Explore,
    watch: Callable[[Stage, int], None],
    prices: Prices,
    clock: Clock | None = None,
) -> tuple[Answer, tuple[Measured, ...]]:
    """The answer, and the stages that it rests on. A stage that `measure` has measured before is not measured again.

    With a `clock` the budget is in time. An interruption carries a note of what there is to say so far.
    """
    question = Question(base, (), {}, trials_most, prices)
    done: list[Measured] = []
    try:
        while isinstance(step := next_step(question, done), Stage):
            watch(step, len(done))
            if clock is not None:
                clock.begin(step)
            measured = measure(step, len(done)).as_far_as_it_goes()
            if clock is not None:
                clock.over(measured)
            if step.purpose == "noise":
                found = explore(measured)
                full = found.full(base.primary)
                question = replace(question, factors=found.factors, anchors=found.anchors, full=full)
            done.append(measured if clock is None else clock.read(measured, len(done)))
    except BaseException as error:
        if not isinstance(error, Exception):  # what went wrong says so itself
            answer = so_far(question, done)
            error.add_note(f"so far ({answer.trials} trials) nothing is claimed. {' '.join(answer.said[-2:])}")
        raise
    return step, tuple(done)
