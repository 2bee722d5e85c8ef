"""A search by Optuna's samplers, for spaces that no design covers, and for several workers that share one study.

The engine of the distributed path is Optuna's: its storage (SQLite in a file, or PostgreSQL by URL) holds the study,
each worker asks it for a configuration, measures that beside `current` in a few blocks, and tells the gain. What the
study calls its best is a candidate and nothing more: the same confirmation on fresh blocks makes the claim.
"""

import math
import time
from collections.abc import Callable

from results.errors import NotAble, WrongInput, first_of
from results.pairs import complete_blocks
from results.records import CURRENT_ARMS, Design
from results.statistics import percent
from tuning.search import drift
from tuning.search.clock import Clock
from tuning.search.confirming import confirmed
from tuning.search.driving import Explore, Measure
from tuning.search.noise import BLOCKS, CONFIRM_BLOCKS
from tuning.search.pareto import Picked
from tuning.search.stages import Answer, Config, Factor, Measured, Stage, Status, config, nothing_left, worded
from tuning.search.standing import gained

SAMPLE_BLOCKS = 2  # the fewest that a run has: a gain of its own for each, and their mean is told
_ATTEMPTS = 3  # to open a study
_KEPT = "as it is"  # a factor's first choice in a study
_CHOICES = "nettune: choices"  # attribute of a study: setting -> candidates, of the worker that began it
_CONFIRMS = "nettune: confirms"  # attribute of a study, with a worker: the number of the trial that it confirms
_TURN = "nettune: turn"  # attribute of a trial: [worker, its turn]


def sampled(
    base: Design,
    trials_most: int,
    *,
    storage: str,
    study: str,
    worker: str,
    seed: int,
    measure: Measure,
    explore: Explore,
    watch: Callable[[Stage, int], None],
    clock: Clock | None = None,
) -> tuple[Answer, tuple[Measured, ...]]:
    """The answer of this worker, and the stages that it measured itself. With a `clock` its budget is in time.

    `trials_most` is this worker's own budget; the study lives on, and another worker may go on with it. A `worker` that
    was cut short is given what it was given before, in the same turns. Raises NotAble without Optuna, or where its
    storage cannot be reached; WrongInput where the study chooses among other knobs or values than this path has.
    """
    stages: list[Measured] = []

    def made(stage: Stage) -> Measured:
        watch(stage, len(stages))
        number = len(stages)
        stages.append(measure(stage, number) if clock is None else clock.around(measure, stage, number))
        return stages[-1]

    asked = _Study(storage, study, worker, seed)  # before anything is measured for it
    noise = made(Stage("noise", {}, BLOCKS, why="how much two equal arms differ"))
    found = explore(noise)
    if not found.factors:
        return Answer("nothing", (), (nothing_left(found.full(base.primary)),), _spent(stages)), tuple(stages)
    asked.over(found.factors)
    reserve = CONFIRM_BLOCKS[0] * (1 + len(CURRENT_ARMS))
    margin = math.log1p(base.margin_pct / 100.0)
    turns = 0  # those that ask for current cost no trial, and a study that finds nothing asks for little else
    while turns < trials_most and SAMPLE_BLOCKS * (1 + len(CURRENT_ARMS)) + reserve <= _left(stages, trials_most):
        ticket, settings = asked.ask(turns)
        arms = {"sample": settings} if settings else {}
        stage = Stage("sample", arms, SAMPLE_BLOCKS, why=f"asked for by {study}", kept_back=float(reserve))
        asked.tell(ticket, _gain(made(stage), base.primary) if settings else 0.0)
        turns += 1
    told = [f"{turns} configurations were measured here, {asked.count()} in the study {study}."]
    best, gain = asked.best()
    if not best or gain <= 0.0:
        told.extend(drift.moved(stages, base.primary, margin))
        return Answer("nothing", (), (*told, "None of them gained."), _spent(stages)), tuple(stages)
    told.append(f"The study's best, a candidate: {_words(best)}, {percent(gain):+.1f} % in {SAMPLE_BLOCKS} blocks.")
    confirm = made(Stage("confirm", {"best": best}, CONFIRM_BLOCKS[0], why="fresh blocks, which alone make a claim"))
    if confirm.blocks < CONFIRM_BLOCKS[0]:
        told.append("The time ended before its confirmation did: nothing is claimed.")
        return Answer("nothing", (), tuple(told), _spent(stages)), tuple(stages)
    picks, more = confirmed(confirm, [Picked((base.goal,), best, base.primary)])
    told.extend(drift.moved(stages, base.primary, margin))
    status: Status = "confirmed" if picks else "nothing"
    return Answer(status, picks, (*told, *more), _spent(stages)), tuple(stages)


class _Study:
    """An Optuna study whose parameters are the factors: each as it is, or one of its candidates."""

    def __init__(self, storage: str, name: str, worker: str, seed: int) -> None:
        try:
            import optuna  # noqa: PLC0415 - an extra, and half a second
        except ImportError as error:
            raise NotAble(
                f"--search optuna needs Optuna: {error}", hint="pipx inject nettune optuna, or nettune[search]"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._name, self._worker = name, worker
        self._factors: dict[str, Factor] = {}
        self._space: dict[str, optuna.distributions.BaseDistribution] = {}
        self._choice = optuna.distributions.CategoricalDistribution
        self._failed = optuna.trial.TrialState.FAIL
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # others are being measured meanwhile
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._study = optuna.create_study(
                    storage=storage, study_name=name, direction="maximize", sampler=sampler, load_if_exists=True
                )
                break
            except Exception as error:  # SQLAlchemy's and the driver's, which this room does not know
                if left:  # two workers that make its tables at once: one of them finds them half made
                    time.sleep(1.0)
                    continue
                where = storage.rpartition("@")[2]
                raise NotAble(
                    f"the study {name} at …{where} cannot be opened: {str(error)[:300]}",
                    hint="is the database up, its driver installed, and does the study have a database of its own? A "
                    "store of results is another one",
                ) from error

    def over(self, factors: tuple[Factor, ...]) -> None:
        """What it chooses among: what its first worker had. Raises WrongInput where that is something else here."""
        self._factors = {worded(each): each for each in factors}
        self._space = {worded(each): self._choice((_KEPT, *each.values)) for each in factors}
        if _CHOICES not in self._study.user_attrs:
            self._study.set_user_attr(_CHOICES, {worded(each): list(each.values) for each in factors})
        there: dict[str, list[str]] = self._study.user_attrs[_CHOICES]
        here = {worded(each): list(each.values) for each in factors}
        differing = [
            f"{name} among {_choices(there.get(name))} there, {_choices(here.get(name))} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differing:
            raise self._another(first_of(differing, 3, between="; "))

    def ask(self, turn: int) -> tuple[int, Config]:
        """The number of the trial of the study that is this worker's turn, and its configuration; () for current.

        A turn that was asked for before gets what it got then: the study would choose something else now, and the run
        of that turn is there already.
        """
        mine = [self._worker, turn]
        for each in self._study.get_trials(deepcopy=False):
            if each.user_attrs.get(_TURN) == mine:
                return each.number, self._config(each.params)
        try:
            trial = self._study.ask(self._space)
        except ValueError as error:  # two workers that began it at once: the storage takes the choices of one
            raise self._another(str(error)) from error
        trial.set_user_attr(_TURN, mine)
        return trial.number, self._config(trial.params)

    def tell(self, number: int, gain: float | None) -> None:
        """What it gained as a log ratio; None where it gave no number. What was told before stays as it is."""
        if gain is None:
            self._study.tell(number, state=self._failed, skip_if_finished=True)
        else:
            self._study.tell(number, gain, skip_if_finished=True)

    def count(self) -> int:
        """Trials of the study, those of others included."""
        return len(self._study.get_trials(deepcopy=False))

    def best(self) -> tuple[Config, float]:
        """The best when this worker first asked for it, and what it was told to gain: one candidate is confirmed."""
        kept = f"{_CONFIRMS} {self._worker}"
        if kept not in self._study.user_attrs:
            try:
                self._study.set_user_attr(kept, self._study.best_trial.number)
            except ValueError:  # none is complete
                return (), 0.0
        number = self._study.user_attrs[kept]
        found = next(each for each in self._study.get_trials(deepcopy=False) if each.number == number)
        return self._config(found.params), float(found.value or 0.0)

    def _config(self, params: dict[str, str]) -> Config:
        if strange := sorted(params.keys() - self._factors.keys()):
            raise self._another(f"it sets {', '.join(strange)}, which is no knob to try here")
        return config(*(self._factors[name].at(value) for name, value in params.items() if value != _KEPT))

    def _another(self, what: str) -> WrongInput:
        return WrongInput(
            f"the study {self._name} does not choose among what this path has: {what}",
            hint="the workers of a study need the same knobs with the same present values: make the hosts alike, name "
            "knobs that are (--knob), or begin another study (--study NAME)",
        )


def _choices(values: list[str] | None) -> str:
    return ", ".join(values) if values else "nothing"


def _gain(measured: Measured, metric: str) -> float | None:
    """The mean gain of a sample; None where it has none."""
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    found = gained(blocks, "sample", metric)
    return None if found is None else found.mean


def _spent(stages: list[Measured]) -> int:
    return sum(len(each.trials) for each in stages)


def _left(stages: list[Measured], trials_most: int) -> float:
    """The trials that the budget has left; of one in time beside the labs of one more stage and the confirmation."""
    pace = stages[-1].pace
    if pace is None:
        return trials_most - _spent(stages)
    return (pace.left_s - 2 * pace.set_up_s) / pace.prices.trial_s


def _words(settings: Config) -> str:
    return ", ".join(f"{worded(each)} {each.value}" for each in settings)
