"""A made-up machine for the tests of the search: known effects, seeded noise, ordinary trials."""

import math
import random
from collections.abc import Callable, Collection, Mapping

from results.judgement import look
from results.records import CURRENT_ARMS, Design, Goal, Guard, Sample, Trial, TrialStatus
from tuning.search.pipeline import next_step
from tuning.search.stages import Answer, Config, Factor, Measured, Question, Stage

GOODPUT, P99, CPU = "tcp.goodput", "latency.rtt_p99", "tcp.cpu_per_10gbit"
Truth = Callable[[Config], Mapping[str, float]]  # settings -> log effects by metric


def design(*, margin_pct: float = 5.0, goal: Goal = "balanced", guards: bool = True) -> Design:
    """One path, goodput first, p99 and CPU beside it."""
    limits = (Guard(P99, 0.10), Guard(CPU, 0.10)) if guards else ()
    return Design(("path",), (), GOODPUT, (GOODPUT, P99, CPU), limits, margin_pct, goal, 8, False, 1.0)


def factors(number: int) -> tuple[Factor, ...]:
    """Factors with one candidate each."""
    return tuple(Factor(f"knob-{n}", f"net.knob{n}", ("1",)) for n in range(number))


def adding(effects: Mapping[str, float], metric: str = GOODPUT) -> Truth:
    """Settings whose gains (fractions) multiply: {"net.knob1": 0.10}."""
    return lambda settings: {metric: math.fsum(math.log1p(effects.get(each.setting, 0.0)) for each in settings)}


class Machine:
    """Carries out stages; every number follows from the seed, the stage's place and the trial's."""

    def __init__(
        self,
        truth: Truth,
        *,
        sd: float = 0.01,
        seed: int = 0,
        failing: Collection[str] = (),
        share: float = 1.0,
        late: Truth | None = None,
    ) -> None:
        self._truth, self._sd, self._seed, self._failing, self._share = truth, sd, seed, failing, share
        self._late = late or (lambda _: {})
        self._stages = 0

    def measure(self, stage: Stage, base: Design) -> Measured:
        """All blocks; arms of a sequential stage leave at its looks; what breaks the path fails, in its share."""
        made = stage.design(base)
        dice = random.Random(f"{self._seed}/{self._stages}/{stage.purpose}")
        self._stages += 1
        live, trials = [*CURRENT_ARMS, *stage.arms], list[Trial]()
        for block in range(stage.blocks):
            level = dice.gauss(0.0, 0.05)
            for position, arm in enumerate(live):
                trials.append(self._trial((arm, block, position), stage.arms.get(arm, ()), level, dice))
            gone = look(made, trials, block + 1) if stage.sequential and block + 1 in {6, 12} else frozenset()
            live = [arm for arm in live if ("path", arm) not in gone]
            if stage.arms and len(live) == len(CURRENT_ARMS):
                break
        return Measured(stage, made, trials, f"run-{self._stages}")

    def _trial(self, place: tuple[str, int, int], settings: Config, level: float, dice: random.Random) -> Trial:
        arm, block, position = place
        effects = {**self._truth(settings), **self._late(settings)}
        samples = tuple(
            Sample(probe, metric, 1e3 * math.exp(effects.get(f"{probe}.{metric}", 0.0) + level
                                                 + dice.gauss(0.0, self._sd)), "-", "b", "a>b", 1.0)
            for probe, metric in (("tcp", "goodput"), ("latency", "rtt_p99"), ("tcp", "cpu_per_10gbit"))
        )  # fmt: skip
        breaks = any(each.setting in self._failing for each in settings)
        failed = breaks and (self._share >= 1.0 or dice.random() < self._share)
        status: TrialStatus = "failed" if failed else "done"
        return Trial(0, "path", block, 0, position, arm, status, "refused" if failed else "", 0.0, 1.0,
                     () if failed else samples)  # fmt: skip


def searched(question: Question, machine: Machine) -> tuple[Answer, list[Measured]]:
    """The answer of a whole search, and its stages."""
    done: list[Measured] = []
    while isinstance(step := next_step(question, done), Stage):
        done.append(machine.measure(step, question.base))
    return step, done
