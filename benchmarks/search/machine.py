"""A machine that measures what a surface says, with recorded noise: seeded order within a block, noise in its order."""

import itertools
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.replay import Recording
from benchmarks.search.surfaces import Surface, held
from results.judgement import look
from results.metrics import METRICS
from results.records import CURRENT_ARMS, Design, Goal, Guard, Sample, Trial
from tuning.search.stages import Measured, Stage

TOPOLOGY = "recorded"
GOODPUT, P99, CPU = "tcp.goodput", "latency.rtt_p99", "tcp.cpu_per_10gbit"
_LOOKS = (6, 12)
QUIET_CV, QUIET_P99_CV = 0.02, 0.04  # a host that is left alone: single runs scatter by 1 to 5 % there


@dataclass(frozen=True, slots=True)
class Ground:
    """What a replay stands on: recordings, and factors that scale their scatter.

    No recording has CPU: its noise is that of goodput elsewhere in the recording, upside down, since cores that are
    busy all the time cost each bit the more, the fewer come through. That of p99 is of a recorded median under load.
    """

    name: str
    goodput: Recording
    p99: Recording
    scale: float
    p99_scale: float
    margin_pct: float
    budget: int  # trials
    goal: Goal = "balanced"

    @property
    def design(self) -> Design:
        """The design of the searched plan."""
        guards = (Guard(P99, 0.10), Guard(CPU, 0.10))
        return Design((TOPOLOGY,), (), GOODPUT, (GOODPUT, P99, CPU), guards, self.margin_pct, self.goal, 8,
                      sequential=False, block_s=1.0)  # fmt: skip


class Machine:
    """Measures one surface on one ground; counts its trials."""

    def __init__(self, ground: Ground, surface: Surface, dice: random.Random) -> None:
        self._ground, self._surface, self._dice = ground, surface, dice
        self.trials = 0

    def measure(self, stage: Stage) -> Measured:
        """The stage as the run loop carries it out; arms leave at the looks of a sequential one."""
        design = stage.design(self._ground.design)
        on = {name: held(settings) for name, settings in stage.arms.items()}
        live, trials = [*CURRENT_ARMS, *stage.arms], list[Trial]()
        noise = self.noise(stage.trials)
        for block in range(stage.blocks):
            self._dice.shuffle(live)
            for position, arm in enumerate(live):
                trials.append(self._trial((arm, block, position), on.get(arm, frozenset()), next(noise)))
            stopped = look(design, trials, block + 1) if stage.sequential and block + 1 in _LOOKS else frozenset()
            live = [arm for arm in live if (TOPOLOGY, arm) not in stopped]
            if stage.arms and len(live) == len(CURRENT_ARMS):
                break
        self.trials += len(trials)
        return Measured(stage, design, trials)

    def noise(self, n: int) -> Iterator[tuple[float, float, float]]:
        """So many log deviations of goodput, p99 and CPU in the order of time, each from a random place."""
        ground = self._ground
        series = (
            self._series(ground.goodput, ground.scale, n),
            self._series(ground.p99, ground.p99_scale, n),
            self._series(ground.goodput, -ground.scale, n),
        )
        return zip(*series, strict=False)

    def _series(self, recording: Recording, scale: float, n: int) -> Iterator[float]:
        """A window of a recording; what is longer than half of it goes on at another place."""
        logs = _logs(recording)
        length = min(n, len(logs) // 2)
        starts = [self._dice.randint(0, len(logs) - length) for _ in range(math.ceil(n / length))]
        return itertools.chain.from_iterable([scale * x for x in logs[at : at + length]] for at in starts)

    def _trial(self, place: tuple[str, int, int], on: frozenset[int], noise: Sequence[float]) -> Trial:
        arm, block, position = place
        truth = self._surface
        values = (
            (GOODPUT, 1e10 * math.exp(truth.gain(on) + noise[0])),
            (P99, 1e-3 * math.exp(truth.delay(on) + noise[1])),
            (CPU, math.exp(truth.cost(on) + noise[2])),
        )
        samples = tuple(
            Sample(probe, metric, value, METRICS[metric].unit, "b", "a>b", 1.0)
            for name, value in values
            for probe, _, metric in [name.partition(".")]
        )
        if truth.breaks and self._dice.random() >= truth.stands(on):
            return Trial(0, TOPOLOGY, block, 0, position, arm, "failed", "planted", 0.0, 1.0, ())
        return Trial(0, TOPOLOGY, block, 0, position, arm, "done", "", 0.0, 1.0, samples)


_KNOWN: dict[str, list[float]] = {}


def _logs(recording: Recording) -> list[float]:
    """Its values as logs about their mean."""
    if recording.name not in _KNOWN:
        logs = [math.log(value) for value in recording.values]
        middle = statistics.fmean(logs)
        _KNOWN[recording.name] = [x - middle for x in logs]
    return _KNOWN[recording.name]


def grounds(found: Sequence[Recording]) -> list[Ground]:
    """The recordings scaled to a quiet host, and as they were."""
    by_name = {each.name: each for each in found}
    goodput, p99 = by_name["bbr"], by_name["loaded.rtt_p50"]
    cv, late = (statistics.stdev(_logs(each)) for each in (goodput, p99))
    return [
        Ground(f"quiet: CV {100 * QUIET_CV:g} %", goodput, p99, QUIET_CV / cv, QUIET_P99_CV / late, 2.0, 400),
        Ground(f"as recorded: CV {100 * cv:.1f} %", goodput, p99, 1.0, 1.0, 5.0, 1200),
    ]
