"""How the search of `tune` holds: on surfaces whose truth is known, with the noise of real trials replayed.

Noise is that of a recording (benchmarks/recordings), in the order of time within a stage, as it was and scaled down to
the scatter of a quiet host; planted effects are added to it. Every stage is judged by the functions that judge a live
search. `null`: ten knobs without effect, goal: at most 6 % of searches recommend anything, by the upper 95 % bound.
`planted`: 3, 5 and 10 %, a pair that together does harm, and a knob that gains and hurts p99; goals: at least 90 % of
those of 5 % and more found, the p99-harming one never under `balanced`, the confirmed interval covers the truth.
`regret`: how far the answer is from the best configuration, after as many trials, beside Optuna's TPE and random
sampler and one-at-a-time by the best mean.

    python -m benchmarks.search [--replays N] [--processes N] [--json FILE]
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import betaincinv

from benchmarks.replay import Recording, arguments, kept, printed, recordings, spread_out, upper_bound
from results.judgement import look
from results.metrics import METRICS
from results.records import CURRENT_ARMS, Design, Goal, Guard, Sample, Trial
from tuning.search.pipeline import next_step
from tuning.search.stages import Answer, Config, Factor, Measured, Question, Stage

TOPOLOGY = "recorded"
GOODPUT, P99 = "tcp.goodput", "latency.rtt_p99"
_NAMES = {GOODPUT: ("tcp", "goodput"), P99: ("latency", "rtt_p99")}
QUIET_CV = 0.02  # a host that is left alone: tuning.md's range is 1 to 5 %
QUIET_P99_CV = 0.04
BUDGET = 700  # trials
KNOBS = 10


@dataclass(frozen=True, slots=True)
class Surface:
    """The truth: log effects of each knob (0 … KNOBS-1) on goodput and p99, and of pairs on goodput."""

    goodput: Mapping[int, float]
    p99: Mapping[int, float]
    pairs: Mapping[tuple[int, int], float]

    def gain(self, on: frozenset[int]) -> float:
        """The log gain in goodput of these knobs together."""
        own = math.fsum(self.goodput.get(knob, 0.0) for knob in on)
        return own + math.fsum(effect for pair, effect in self.pairs.items() if on >= set(pair))

    def delay(self, on: frozenset[int]) -> float:
        """The log change of p99."""
        return math.fsum(self.p99.get(knob, 0.0) for knob in on)

    @property
    def best(self) -> float:
        """The log gain of the best configuration that does not hurt p99."""
        knobs = [knob for knob in range(KNOBS) if self.p99.get(knob, 0.0) <= 0.0]
        subsets = itertools.chain.from_iterable(itertools.combinations(knobs, n) for n in range(len(knobs) + 1))
        return max(self.gain(frozenset(each)) for each in subsets)


NULL = Surface({}, {}, {})
PLANTED = Surface(
    goodput={1: math.log1p(0.03), 3: math.log1p(0.05), 4: math.log1p(0.10), 6: math.log1p(0.05), 8: math.log1p(0.06)},
    p99={8: math.log1p(0.50)},
    pairs={(3, 6): -math.log1p(0.08)},  # each helps alone; together they do less than either
)
FACTORS = tuple(Factor(f"knob-{k}", f"net.knob{k}", ("1",)) for k in range(KNOBS))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a replay stands on: the recordings of both metrics, and the factors that scale their scatter."""

    name: str
    goodput: Recording
    p99: Recording
    scale: float
    p99_scale: float
    margin_pct: float
    goal: Goal = "balanced"


@dataclass(frozen=True, slots=True)
class Task:
    """Searches for one process."""

    ground: Ground
    surface: Surface
    searches: int
    seed: str
    peers: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one search."""

    answer: Answer
    trials: int


def held(settings: Config) -> frozenset[int]:
    """The knobs that a configuration sets."""
    return frozenset(int(each.setting.removeprefix("net.knob")) for each in settings)


def designed(ground: Ground) -> Design:
    """The design of the searched plan."""
    return Design((TOPOLOGY,), (), GOODPUT, (GOODPUT, P99), (Guard(P99, 0.10),), ground.margin_pct, ground.goal, 8,
                  sequential=False, block_s=1.0)  # fmt: skip


class Machine:
    """Measures as a run would: seeded order within a block, noise in the order of time, arms that leave at looks."""

    def __init__(self, ground: Ground, surface: Surface, dice: random.Random) -> None:
        self._ground, self._surface, self._dice = ground, surface, dice
        self.trials = 0

    def measure(self, stage: Stage) -> Measured:
        """The stage, carried out."""
        design = stage.design(designed(self._ground))
        on = {name: held(settings) for name, settings in stage.arms.items()}
        live, trials = [*CURRENT_ARMS, *stage.arms], list[Trial]()
        noise = self._noise(self._ground.goodput, self._ground.scale, stage.trials)
        for block in range(stage.blocks):
            self._dice.shuffle(live)
            late = self._noise(self._ground.p99, self._ground.p99_scale, len(live))
            for position, arm in enumerate(live):
                trials.append(self._trial((arm, block, position), on.get(arm, frozenset()), next(noise), next(late)))
            stopped = look(design, trials, block + 1) if stage.sequential and block + 1 in (6, 12) else frozenset()
            live = [arm for arm in live if (TOPOLOGY, arm) not in stopped]
            if stage.arms and len(live) == len(CURRENT_ARMS):
                break
        self.trials += len(trials)
        return Measured(stage, design, trials)

    def one(self, on: frozenset[int], noise: float) -> float:
        """The log goodput of one trial."""
        self.trials += 1
        return self._surface.gain(on) + noise

    def _noise(self, recording: Recording, scale: float, n: int) -> "itertools.chain[float]":
        """So many values in the order of time from a random place; a longer stage goes on at another place."""
        logs = _logs(recording)
        length = min(n, len(logs) // 2)
        starts = [self._dice.randint(0, len(logs) - length) for _ in range(math.ceil(n / length))]
        return itertools.chain.from_iterable([scale * x for x in logs[at : at + length]] for at in starts)

    def _trial(self, place: tuple[str, int, int], on: frozenset[int], noise: float, late: float) -> Trial:
        arm, block, position = place
        values = ((GOODPUT, 1e10 * math.exp(self._surface.gain(on) + noise)),
                  (P99, 1e-3 * math.exp(self._surface.delay(on) + late)))  # fmt: skip
        samples = tuple(
            Sample(*_NAMES[metric], value, METRICS[_NAMES[metric][1]].unit, "b", "a>b", 1.0) for metric, value in values
        )
        return Trial(0, TOPOLOGY, block, 0, position, arm, "done", "", 0.0, 1.0, samples)


_KNOWN: dict[str, list[float]] = {}


def _logs(recording: Recording) -> list[float]:
    """Its values as logs about their mean."""
    if recording.name not in _KNOWN:
        logs = [math.log(value) for value in recording.values]
        middle = statistics.fmean(logs)
        _KNOWN[recording.name] = [x - middle for x in logs]
    return _KNOWN[recording.name]


def searched(machine: Machine, question: Question) -> Told:
    """One whole search."""
    done: list[Measured] = []
    while isinstance(step := next_step(question, done), Stage):
        done.append(machine.measure(step))
    return Told(step, machine.trials)


def carried_out(task: Task) -> list[tuple[Told, dict[str, float]]]:
    """The searches of a task, and what the peers' answers are worth after as many trials."""
    found = []
    for number in range(task.searches):
        dice = random.Random(f"{task.seed}/{number}")
        factors = list(FACTORS)
        dice.shuffle(factors)
        question = Question(designed(task.ground), tuple(factors), {}, BUDGET)
        told = searched(Machine(task.ground, task.surface, dice), question)
        peers = {}
        if task.peers:
            peers = {name: peer(task, told.trials, random.Random(f"{task.seed}/{number}/{name}")) for name, peer in
                     PEERS.items()}  # fmt: skip
        found.append((told, peers))
    return found


def optuna_peer(task: Task, trials: int, dice: random.Random, sampler: str) -> float:
    """The true gain of the best trial of an Optuna study, which measures one configuration a trial."""
    import optuna  # noqa: PLC0415 - the peers alone need it

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    machine = Machine(task.ground, task.surface, dice)
    noise = machine._noise(task.ground.goodput, task.ground.scale, trials)  # noqa: SLF001 - the same noise

    def objective(trial: "optuna.Trial") -> float:
        on = frozenset(k for k in range(KNOBS) if trial.suggest_categorical(f"k{k}", [False, True]))
        return machine.one(on, next(noise))

    seed = dice.randrange(2**31)
    made = optuna.samplers.TPESampler(seed=seed) if sampler == "tpe" else optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=made)
    study.optimize(objective, n_trials=trials)
    return task.surface.gain(frozenset(k for k in range(KNOBS) if study.best_params[f"k{k}"]))


def one_at_a_time(task: Task, trials: int, dice: random.Random) -> float:
    """The true gain of all knobs whose mean, measured one after the other, is above that of current."""
    machine = Machine(task.ground, task.surface, dice)
    noise = machine._noise(task.ground.goodput, task.ground.scale, trials)  # noqa: SLF001 - as above
    each = trials // (KNOBS + 1)
    base = statistics.fmean(machine.one(frozenset(), next(noise)) for _ in range(each))
    means = {k: statistics.fmean(machine.one(frozenset({k}), next(noise)) for _ in range(each)) for k in range(KNOBS)}
    return task.surface.gain(frozenset(k for k, mean in means.items() if mean > base))


PEERS = {
    "Optuna TPE": lambda task, trials, dice: optuna_peer(task, trials, dice, "tpe"),
    "Optuna random": lambda task, trials, dice: optuna_peer(task, trials, dice, "random"),
    "one at a time": one_at_a_time,
}


def interval(hits: int, n: int) -> tuple[float, float]:
    """Two-sided 95 % interval of a share: Clopper & Pearson 1934, Biometrika 26:404."""
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, 0.025))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 0.975))
    return low, high


def grounds(found: Sequence[Recording]) -> list[Ground]:
    """The recordings as they were, and scaled to a quiet host."""
    by_name = {each.name: each for each in found}
    goodput, p99 = by_name["bbr"], by_name["loaded.rtt_p50"]
    cv, late = (statistics.stdev(_logs(each)) for each in (goodput, p99))
    return [
        Ground(f"quiet: CV {100 * QUIET_CV:g} %", goodput, p99, QUIET_CV / cv, QUIET_P99_CV / late, 2.0),
        Ground(f"as recorded: CV {100 * cv:.1f} %", goodput, p99, 1.0, 1.0, 5.0),
    ]


def tasks(ground: Ground, surface: Surface, searches: int, seed: str, *, chunk: int, peers: bool = False) -> list[Task]:
    """The work in pieces, each with a seed of its own."""
    return [
        Task(ground, surface, min(chunk, searches - start), f"{seed}/{ground.name}/{start}", peers)
        for start in range(0, searches, chunk)
    ]


def null_rows(made: Sequence[Ground], replays: int, processes: int, seed: int) -> list[dict[str, str]]:
    """How often anything is recommended where nothing helps."""
    rows = []
    for ground in made:
        lists = spread_out(carried_out, tasks(ground, NULL, replays, f"null/{seed}", chunk=50), processes)
        found = [told for each in lists for told, _ in each]
        hits = sum(told.answer.status == "confirmed" for told in found)
        bound = upper_bound(hits, len(found))
        rows.append({"noise": ground.name, "searches": str(len(found)), "recommended": str(hits),
                     "upper 95 %": f"{100 * bound:.2f} %", "goal 6 %": "held" if bound <= 0.06 else "MISSED",
                     "refused": str(sum(told.answer.status == "refused" for told in found)),
                     "trials": f"{statistics.fmean(told.trials for told in found):.0f}"})  # fmt: skip
    return rows


def planted_rows(made: Sequence[Ground], replays: int, processes: int, seed: int) -> list[dict[str, str]]:
    """What is found of what was planted, and whether the confirmed intervals hold."""
    rows = []
    for ground in made:
        lists = spread_out(carried_out, tasks(ground, PLANTED, replays, f"planted/{seed}", chunk=25), processes)
        found = [told for each in lists for told, _ in each]
        picks = [pick for told in found for pick in told.answer.picks]
        balanced = [held(pick.config) for pick in picks if "balanced" in pick.names]
        covered = sum(pick.gain.low <= PLANTED.gain(held(pick.config)) <= pick.gain.high for pick in picks
                      if pick.metric == GOODPUT)  # fmt: skip
        claims = sum(pick.metric == GOODPUT for pick in picks)
        low, high = interval(covered, claims) if claims else (0.0, 1.0)
        # of the pair that does harm together one is to be found, not both
        large = sum((4 in on) + bool(on & {3, 6}) for on in balanced)
        rows.append({
            "noise": ground.name, "searches": str(len(found)), "confirmed": str(len(balanced)),
            "of ≥ 5 % found": f"{100 * large / (2 * len(found)):.1f} %",
            "3 % found": f"{100 * sum(1 in on for on in balanced) / len(found):.0f} %",
            "harmful pair kept": str(sum(on >= {3, 6} for on in balanced)),
            "p99-harming kept": str(sum(8 in on for on in balanced)),
            "no effect kept": str(sum(len(on & {0, 2, 5, 7, 9}) for on in balanced)),
            "covers": f"{covered}/{claims} [{100 * low:.1f}, {100 * high:.1f}] %",
            "trials": f"{statistics.fmean(told.trials for told in found):.0f}",
        })  # fmt: skip
    return rows


def regret_rows(made: Sequence[Ground], searches: int, processes: int, seed: int) -> list[dict[str, str]]:
    """How much of the best configuration's gain is missed, after as many trials."""
    rows = []
    for ground in [replace(each, goal="throughput") for each in made]:
        lists = spread_out(
            carried_out, tasks(ground, GAINS, searches, f"regret/{seed}", chunk=5, peers=True), processes
        )
        found = [each for some in lists for each in some]
        own = [max((GAINS.gain(held(pick.config)) for pick in told.answer.picks), default=0.0) for told, _ in found]
        missed = {"nettune": [GAINS.best - gain for gain in own]}
        missed |= {name: [GAINS.best - peers[name] for _, peers in found] for name in PEERS}
        for name, values in missed.items():
            rows.append({"noise": ground.name, "by": name, "searches": str(len(values)),
                         "mean regret": f"{100 * math.expm1(statistics.fmean(values)):.2f} %",
                         "worst": f"{100 * math.expm1(max(values)):.2f} %",
                         "worse than current": str(sum(value > GAINS.best + 1e-9 for value in values))})  # fmt: skip
    return rows


# For regret p99 is left out: the peers know one number.
GAINS = Surface(PLANTED.goodput, {}, PLANTED.pairs)


def main() -> None:
    """Print the three tables."""
    chosen = arguments(__doc__.split("\n", 1)[0] if __doc__ else "", replays=200)
    made = grounds(recordings(chosen.recordings))
    started = time.monotonic()
    null = null_rows(made, chosen.replays, chosen.processes, chosen.seed)
    printed(f"Ten knobs without effect, budget {BUDGET} trials", null)
    planted = planted_rows(made, max(20, chosen.replays // 4), chosen.processes, chosen.seed)
    printed("Planted: 3 %, 5 %, 5 %, 10 %, a harmful pair of the 5 %, 6 % that costs 50 % p99", planted)
    regret = regret_rows(made, max(10, chosen.replays // 20), chosen.processes, chosen.seed)
    printed("Regret after equal trials", regret)
    print(f"\n{time.monotonic() - started:.0f} s")
    kept(chosen.json, {"what": "search", "null": null, "planted": planted, "regret": regret})


if __name__ == "__main__":
    main()
