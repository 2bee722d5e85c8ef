"""What others would answer after as many trials on the same surface: Optuna by its own library, and one at a time.

A study measures one configuration a trial and takes its best one. All are given the same number: the measured gain,
less what the measured p99 exceeds its guard by, with the truth of current for nothing. `constrained` gets p99 as a
constraint instead, by Optuna's own way.
"""

import math
import random
import statistics
from collections.abc import Callable, Mapping

from benchmarks.search.machine import Ground, Machine
from benchmarks.search.surfaces import GUARD, KNOBS, Surface, worth

Peer = Callable[[Ground, Surface, int, random.Random], frozenset[int]]


def _study(ground: Ground, surface: Surface, trials: int, dice: random.Random, kind: str) -> frozenset[int]:
    """The best trial's knobs of an Optuna study."""
    import optuna  # noqa: PLC0415 - the peers alone need it

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    noise = list(Machine(ground, surface, dice).noise(trials))

    def objective(trial: "optuna.Trial") -> float:
        on = frozenset(k for k in range(KNOBS) if trial.suggest_categorical(f"k{k}", [False, True]))
        gain, delay = surface.gain(on) + noise[trial.number][0], surface.delay(on) + noise[trial.number][1]
        if kind != "constrained":
            return worth(gain, delay)
        trial.set_constraint("p99", delay - GUARD)
        return gain

    seed = dice.randrange(2**31)
    samplers = optuna.samplers
    made = samplers.RandomSampler(seed=seed) if kind == "random" else samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=made)
    study.optimize(objective, n_trials=trials)
    able = [each for each in study.trials if all(value <= 0.0 for value in each.constraints.values())]
    best = max(able or study.trials, key=lambda each: each.value if each.value is not None else -math.inf)
    return frozenset(k for k in range(KNOBS) if best.params[f"k{k}"])


def _one_at_a_time(ground: Ground, surface: Surface, trials: int, dice: random.Random) -> frozenset[int]:
    """All knobs whose mean, measured one knob after the other, is above that of current."""
    noise = Machine(ground, surface, dice).noise(trials)
    each = trials // (KNOBS + 1)

    def mean(on: frozenset[int]) -> float:
        found = [next(noise) for _ in range(each)]
        return statistics.fmean(worth(surface.gain(on) + x[0], surface.delay(on) + x[1]) for x in found)

    base = mean(frozenset())
    return frozenset(knob for knob in range(KNOBS) if mean(frozenset({knob})) > base)


PEERS: Mapping[str, Peer] = {
    "Optuna TPE": lambda ground, surface, n, dice: _study(ground, surface, n, dice, "tpe"),
    "Optuna TPE, constrained": lambda ground, surface, n, dice: _study(ground, surface, n, dice, "constrained"),
    "Optuna random": lambda ground, surface, n, dice: _study(ground, surface, n, dice, "random"),
    "one at a time": _one_at_a_time,
}
