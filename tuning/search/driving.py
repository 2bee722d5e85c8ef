"""A search, carried out: stage after stage until there is an answer. Who measures and who looks is given."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from results.records import Design
from tuning.search.pipeline import next_step
from tuning.search.stages import Answer, Config, Factor, Measured, Prices, Question, Stage

Measure = Callable[[Stage, int], Measured]  # the stage, and its number from 0
Explore = Callable[[Measured], tuple[tuple[Factor, ...], Mapping[str, Config]]]  # after the noise: factors, anchors


def searched(
    base: Design,
    trials_most: int,
    *,
    measure: Measure,
    explore: Explore,
    watch: Callable[[Stage, int], None],
    prices: Prices,
) -> tuple[Answer, tuple[Measured, ...]]:
    """The answer, and the stages that it rests on. A stage that `measure` has measured before is not measured again."""
    question = Question(base, (), {}, trials_most, prices)
    done: list[Measured] = []
    while isinstance(step := next_step(question, done), Stage):
        watch(step, len(done))
        done.append(measure(step, len(done)))
        if step.purpose == "noise":
            factors, anchors = explore(done[0])
            question = replace(question, factors=factors, anchors=anchors)
    return step, tuple(done)
