"""NDR and PDR: the offered rate up to which a path loses nothing, or 0.5 % of its frames, as bounds and not a point.

The search is FD.io's MLRsearch (PyPI `mlrsearch`, draft-ietf-bmwg-mlrsearch), for both goals at once. What it is fed
with is checked first: a trial whose generator sent less than was asked, whose receiver counted more than was sent, or
where frames that came twice may hide loss, is no measurement of the path. It is kept, told, and run again.

A queue of q seconds passes q / `trial_s` more than its rate in each trial: trials must be long beside it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from results.errors import NotAble

HIDDEN = 0.0005  # of the frames that were sent: loss that may go uncounted, a tenth of PDR's
SENT = 0.998  # of what was asked; RFC 2544's own limit is what the loss goal of 0.5 % leaves room for
_AGAIN = 2  # times that a rejected trial is run afresh
_HELD_BACK = 0.99  # of what a generator reached at its most: where the search begins when it cannot do what was asked
_LOWERED = 6  # times that the most is lowered, each time by some: what a generator reaches comes and goes with its CPU
_LOWER = 0.96
_NEAR = 0.9  # of the most: a generator that falls short below that does so by something else
_LEAST_SHARE = 1e-3  # of the most: where a search gives up to find any rate that passes


@dataclass(frozen=True, slots=True)
class Goal:
    """What is searched: the largest rate with at most this loss; NDR is 0, PDR 0.005."""

    name: str
    loss: float


NDR, PDR = Goal("NDR", 0.0), Goal("PDR", 0.005)


@dataclass(frozen=True, slots=True)
class Effort:
    """What a bound takes. A rate is one where more than half of `sum_s` seconds of its trials say so.

    So one bad trial alone decides nothing, which plain bisection cannot say. CSIT's own is 21 trials of a second.
    """

    trial_s: float = 1.0
    sum_s: float = 3.0
    width: float = 0.01  # between the bounds, relative to the upper
    search_s: float = 600.0  # after which it ends with what it has


@dataclass(frozen=True, slots=True)
class Offered:
    """One trial as counted after sender and receiver had stopped and the path was drained, in frames."""

    rate_fps: float  # asked for
    seconds: float
    sent: int
    received: int
    disordered: int = 0  # frames that came after a later one, or twice: a receiver may not tell one from the other
    moving: bool = False  # frames still arrived when the path should have been drained

    @property
    def loss(self) -> float:
        """The share of the sent frames that did not arrive."""
        return max(0, self.sent - self.received) / self.sent if self.sent else 1.0

    @property
    def sent_fps(self) -> float:
        """Frames a second as the sender sent them."""
        return self.sent / self.seconds

    @property
    def wrong(self) -> str:
        """Why this is no measurement of the path; "" where it is one."""
        if self.received > self.sent:
            return f"{self.received - self.sent} frames came twice: {self.received} received of {self.sent} sent"
        if self.moving and self.received < self.sent:
            return "frames still arrived seconds after the sender had stopped: they are not all counted"
        asked = self.rate_fps * self.seconds
        if self.short:
            return f"the generator sent {100 * self.sent / asked:.1f} % of {self.rate_fps:.0f} frames/s"
        # Each that came twice stands for one that was lost, and one that came late for none. Where PDR is held by both
        # counts or by neither, that decides nothing; nor does it for NDR, where some are missing by either.
        missing, hidden = self.sent - self.received, self.disordered
        if missing > 0 and hidden > HIDDEN * self.sent and missing <= PDR.loss * self.sent < missing + hidden:
            return (
                f"{self.disordered} frames came twice, or after a later one: beside the {missing} "
                "that are missing as many may be lost"
            )
        return ""

    @property
    def short(self) -> bool:
        """Whether the generator sent less than was asked for, by more than a trial may."""
        return self.sent < SENT * self.rate_fps * self.seconds - 1


class Generator(Protocol):
    """Something that offers a rate of frames to a path."""

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """One trial, counted after stop and drain. Raises NotAble where the path or a tool gives nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Frames a second: `low` holds the goal, `high` does not. None: no such rate was found.

    `received_fps` arrived at `low`, by the worst of the trials that count there.
    """

    goal: Goal
    low: float | None
    high: float | None
    received_fps: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Bounds in the order of the goals, and every trial in the order of measurement; of rejected ones why."""

    bounds: tuple[Bounds, ...]
    trials: tuple[Offered, ...]
    rejected: tuple[tuple[Offered, str], ...] = ()
    note: str = ""  # what the search could not do

    @property
    def trial_s(self) -> float:
        """Seconds of all trials, rejected ones too."""
        return _seconds(self.trials, self.rejected)


def _seconds(trials: Sequence[Offered], rejected: Sequence[tuple[Offered, str]]) -> float:
    return math.fsum(each.seconds for each in (*trials, *(trial for trial, _ in rejected)))


class GeneratorShort(NotAble):
    """The generator did not offer the `asked_fps`, several times; `reached_fps` is the most that it sent."""

    def __init__(self, message: str, asked_fps: float, reached_fps: float) -> None:
        super().__init__(message, hint="a lower rate, larger frames, or a generator with more CPU")
        self.asked_fps, self.reached_fps = asked_fps, reached_fps


@dataclass(slots=True)
class _Judged:
    """The generator, its trials judged."""

    generator: Generator
    watch: Callable[[Offered, str], None]
    trials: list[Offered] = field(default_factory=list)
    rejected: list[tuple[Offered, str]] = field(default_factory=list)

    @property
    def spent_s(self) -> float:
        """Seconds of all trials so far."""
        return _seconds(self.trials, self.rejected)

    def trial(self, rate_fps: float, seconds: float) -> Offered:
        """One that is a measurement of the path. Raises GeneratorShort, or NotAble for frames that come twice."""
        reached, why = 0.0, ""
        for _ in range(_AGAIN + 1):
            made = self.generator.offer(rate_fps, seconds)
            why = made.wrong
            self.watch(made, why)
            if not why:
                self.trials.append(made)
                return made
            self.rejected.append((made, why))
            reached = max(reached, made.sent_fps)
        if made.received > made.sent or not made.short:
            raise NotAble(
                f"{_AGAIN + 1} trials in a row are no measurement: {why}",
                hint="a queue of seconds is on the path: a lower most_mbit, or a smaller queue"
                if made.moving
                else "is there a loop on the path, or does it deal one flow to several links?",
            )
        raise GeneratorShort(f"{_AGAIN + 1} trials in a row: {why}", rate_fps, reached)


def searched(
    generator: Generator,
    *,
    most_fps: float,
    goals: Sequence[Goal] = (NDR, PDR),
    effort: Effort | None = None,
    watch: Callable[[Offered, str], None] = lambda _made, _why: None,
) -> Found:
    """The bounds of each goal below `most_fps`; `watch` sees every trial and why it was rejected ("": it counts).

    A generator that cannot send `most_fps`, or not always, is asked for less, and the result says so. A search that
    runs out of time, or whose generator fails on the way, gives the bounds that its trials show. Raises NotAble where
    the first trial already gives nothing.
    """
    effort = effort or Effort()
    judged = _Judged(generator, watch)
    asked_fps, reached_fps = most_fps, 0.0
    for left in reversed(range(_LOWERED + 1)):
        try:
            found, cut_short = _by_library(
                judged, most_fps, goals, effort, lowers=left > 0 and judged.spent_s < effort.search_s / 2
            )
            break
        except GeneratorShort as error:
            if error.reached_fps <= 0 or not left:
                if not judged.trials:
                    raise
                found, cut_short = _by_trials(judged, goals, effort, error)
                break
            reached_fps = max(reached_fps, error.reached_fps)
            most_fps = min(_HELD_BACK * error.reached_fps, most_fps * (_LOWER if most_fps < asked_fps else 1.0))
    note = ""
    if reached_fps:
        note = (f"the generator reached {reached_fps:.0f} of {asked_fps:.0f} frames/s: "
                "above that nothing is known of the path")  # fmt: skip
    note = "; ".join(filter(None, (note, cut_short)))
    return Found(tuple(found), tuple(judged.trials), tuple(judged.rejected), note)


def _by_library(
    judged: _Judged, most_fps: float, goals: Sequence[Goal], effort: Effort, *, lowers: bool
) -> tuple[list[Bounds], str]:
    """MLRsearch over the judged trials; what ended it early, "" where nothing did. It begins with a trial at the most.

    Raises NotAble where the first trial gives nothing, and GeneratorShort where `lowers`: near the most it fell short.
    """
    import MLRsearch as mlr  # noqa: N813, PLC0415 - the one door to it; most verbs never search a rate

    time_s = max(effort.search_s - judged.spent_s, effort.search_s / 2)
    first: Offered | None = judged.trial(most_fps, effort.trial_s)

    class Measurer(mlr.AbstractMeasurer):  # type: ignore[misc]  # the library is untyped
        """The judged generator, as the library asks for it."""

        def measure(self, intended_duration: float, intended_load: float) -> Any:  # Any: the library's own record
            nonlocal first
            made = judged.trial(intended_load, intended_duration) if first is None else first
            first = None
            return mlr.MeasurementResult(
                intended_duration=intended_duration,
                intended_load=intended_load,
                offered_count=made.sent,
                forwarding_count=made.received,
            )

    wanted = {goal: _goal(mlr, goal, effort) for goal in goals}
    config = mlr.Config()
    config.goals = tuple(wanted.values())
    config.min_load, config.max_load = _LEAST_SHARE * most_fps, most_fps
    config.search_duration_max = time_s
    config.warmup_duration = 0.0
    search = mlr.MultipleLossRatioSearch(config)
    try:
        by_goal = search.search(Measurer(), debug=lambda _: None)
    except (NotAble, RuntimeError) as error:  # RuntimeError: the library's word for a search that takes too long
        if lowers and isinstance(error, GeneratorShort) and error.asked_fps >= _NEAR * most_fps:
            raise
        return _by_trials(judged, goals, effort, error)
    return [_told(goal, by_goal[each], most_fps) for goal, each in wanted.items()], ""


def _goal(mlr: Any, goal: Goal, effort: Effort) -> Any:  # Any: the untyped library, and its record
    return mlr.SearchGoal(
        loss_ratio=goal.loss,
        exceed_ratio=0.5,
        relative_width=effort.width,
        initial_trial_duration=effort.trial_s,
        final_trial_duration=effort.trial_s,
        duration_sum=effort.sum_s,
        preceding_targets=1,
        expansion_coefficient=2,
        fail_fast=False,
    )


def _told(goal: Goal, found: Any, most_fps: float) -> Bounds:  # Any: the library's record
    low, high = found.relevant_lower_bound, found.relevant_upper_bound
    if low is None:
        return Bounds(goal, None, float(high), None, f"no rate down to {float(high):.0f} frames/s has a loss that low")
    received = float(found.conditional_throughput)
    if high is None:
        note = f"{most_fps:.0f} frames/s, the most that was offered, still passes"
        return Bounds(goal, float(low), None, received, note)
    return Bounds(goal, float(low), float(high), received)


def _by_trials(judged: _Judged, goals: Sequence[Goal], effort: Effort, error: Exception) -> tuple[list[Bounds], str]:
    """What the trials of a search show that an error cut short, and the words for that."""
    return [_shown(goal, judged.trials, effort) for goal in goals], f"the search was cut short: {error}"


def _shown(goal: Goal, trials: Sequence[Offered], effort: Effort) -> Bounds:
    """Of rates with more than half of their seconds on one side."""
    seconds: dict[float, list[float]] = {}
    for each in trials:
        good, bad = seconds.setdefault(each.rate_fps, [0.0, 0.0])
        passed = each.loss <= goal.loss
        seconds[each.rate_fps] = [good + each.seconds * passed, bad + each.seconds * (not passed)]
    half = effort.sum_s / 2
    high = min((rate for rate, (_, bad) in seconds.items() if bad > half), default=None)
    low = max((rate for rate, (good, _) in seconds.items() if good > half and (high is None or rate < high)),
              default=None)  # fmt: skip
    received = min((each.received / each.seconds for each in trials if each.rate_fps == low and each.loss <= goal.loss),
                   default=None)  # fmt: skip
    return Bounds(goal, low, high, received, "by the trials of a search that was cut short")
