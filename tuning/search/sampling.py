"""A search by Optuna's samplers, for spaces that no design covers, and for several workers that share one study.

The engine of the distributed path is Optuna's: its storage (SQLite in a file, or PostgreSQL by URL) holds the study,
each worker asks it for a configuration, measures that beside `current` in a few blocks, and tells the gain. What the
study calls its best is a candidate and nothing more: the same confirmation on fresh blocks makes the claim. A study has
one, whatever the number of its workers: of k at .05 each one would hold by chance oftener than that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from results.errors import NotAble, WrongInput, first_of
from results.pairs import complete_blocks
from results.records import Design
from results.statistics import percent
from tuning.search import noise
from tuning.search.clock import Clock
from tuning.search.closing import SPARE_BLOCKS
from tuning.search.confirming import confirmed
from tuning.search.course import PAIR, Course
from tuning.search.driving import Explore, Measure
from tuning.search.noise import BLOCKS
from tuning.search.pareto import Picked
from tuning.search.pipeline import weighed
from tuning.search.stages import (
    Answer,
    Config,
    Factor,
    Measured,
    Question,
    Stage,
    Status,
    config,
    together,
    worded,
    words,
)
from tuning.search.standing import gained

SAMPLE_BLOCKS = 2  # the fewest that a run has: a gain of its own for each, and their mean is told
_ATTEMPTS = 3  # to open a study
_KEPT = "as it is"  # a factor's first choice in a study
_CHOICES = "nettune: choices"  # attribute of a study: setting -> candidates, of the worker that began it
_CONFIRMS = "nettune: confirms"  # attribute of a claim: [worker, the number of the trial that it confirms]
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
    first = made(Stage("noise", {}, BLOCKS, why="how much two equal arms differ"))
    found = explore(first)
    course = Course(Question(base, found.factors, {}, trials_most, full=found.full(base.primary)))
    course.pay(first)
    ended = weighed(course, first)
    if ended is not None:
        return ended, tuple(stages)
    asked.over(found.factors)
    turns = 0  # those that ask for current cost no trial, and a study that finds nothing asks for little else
    while turns < trials_most and course.left - course.set_up >= SAMPLE_BLOCKS * (1 + PAIR) + course.reserve:
        ticket, settings = asked.ask(turns)
        gain: float | None = 0.0
        if settings:
            arms = {"sample": settings}
            why = f"asked for by {study}"
            course.pay(made(Stage("sample", arms, SAMPLE_BLOCKS, why=why, kept_back=course.reserve)))
            gain = _gain(stages[-1], base.primary)
        asked.tell(ticket, gain)
        turns += 1
    course.told.append(f"{turns} configurations were measured here, {asked.count()} in the study {study}.")
    claim = asked.claimed()
    if claim is None:
        return course.answer("nothing", "None of them gained."), tuple(stages)
    course.told.append(f"The study's best, a candidate: {words(claim.best)}, {percent(claim.gain):+.1f} % in "
                       f"{SAMPLE_BLOCKS} blocks.")  # fmt: skip
    if claim.worker != worker:
        said = (
            f"{claim.worker} confirms it for the whole study, and nothing is claimed here; "
            f"`nettune tune --resume {claim.worker}` goes on with it where that was begun."
        )
        return course.answer("nothing", said), tuple(stages)
    return _confirmed(course, claim.best, made), tuple(stages)


def _confirmed(course: Course, best: Config, made: Callable[[Stage], Measured]) -> Answer:
    """The study's one confirmation, of as many blocks as one of nettune's own search."""
    base, arms = course.question.base, {"best": best}
    course.sds = noise.spreads(course.over, base.judged)
    wanted = max(noise.CONFIRM_BLOCKS[0], noise.confirming(base, course.sds)) + SPARE_BLOCKS
    blocks = min(wanted, course.room(arms))
    if blocks < noise.CONFIRM_BLOCKS[0]:
        return course.answer("nothing", "The budget ended before a confirmation: nothing is claimed.")
    confirm = made(Stage("confirm", arms, blocks, why="fresh blocks, which alone make a claim"))
    course.pay(confirm)
    if confirm.blocks < noise.CONFIRM_BLOCKS[0]:
        return course.answer("nothing", "The time ended before its confirmation did: nothing is claimed.")
    picks, said = confirmed(confirm, [Picked((base.goal,), best, base.primary)])
    status: Status = "confirmed" if picks else "nothing"
    seen = percent(noise.visible(course.sd, blocks))
    return Answer(status, picks, (*course.told, *course.drift, *said), course.trials, seen)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who makes the study's confirmation, of which configuration, and what that was told to gain."""

    worker: str
    best: Config
    gain: float


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
        self._failed, self._made = optuna.trial.TrialState.FAIL, optuna.trial.create_trial
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
        """Configurations that the study asked for, those of others included."""
        return sum(_TURN in each.user_attrs for each in self._study.get_trials(deepcopy=False))

    def claimed(self) -> _Claim | None:
        """The study's one confirmation: this worker's, where no other claimed it before; None where nothing gained.

        A claim is a trial of the study that failed, made with worker and candidate in one transaction; the storage
        numbers them in the order in which they were made, and the first one holds. The candidate is the study's best at
        that moment: what is found later is for another study.
        """
        if (claim := self._first_claim()) is None:
            try:
                best = self._study.best_trial
            except ValueError:  # none is complete
                return None
            if not best.params or (best.value or 0.0) <= 0.0:
                return None
            made = self._made(state=self._failed, user_attrs={_CONFIRMS: [self._worker, best.number]})
            self._study.add_trial(made)
            claim = self._first_claim()
        assert claim is not None  # noqa: S101 - for mypy
        worker, number = claim
        found = next(each for each in self._study.get_trials(deepcopy=False) if each.number == number)
        return _Claim(worker, self._config(found.params), float(found.value or 0.0))

    def _first_claim(self) -> tuple[str, int] | None:
        """(worker, number of the trial that it confirms) of the claim that was made first."""
        there = [each for each in self._study.get_trials(deepcopy=False) if _CONFIRMS in each.user_attrs]
        if not there:
            return None
        worker, number = min(there, key=lambda each: each.number).user_attrs[_CONFIRMS]
        return str(worker), int(number)

    def _config(self, params: dict[str, str]) -> Config:
        if strange := sorted(params.keys() - self._factors.keys()):
            raise self._another(f"it sets {', '.join(strange)}, which is no knob to try here")
        chosen = together((self._factors[name], value) for name, value in params.items() if value != _KEPT)
        return config(*(spec for factor, value in chosen.values() for spec in factor.config(value)))

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
