"""From trials to paired effects: which blocks count, and what one block says of one arm and one metric."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.metrics import METRICS, Better
from results.records import CURRENT_ARMS, Trial


@dataclass(frozen=True, slots=True)
class CompleteBlock:
    """One round over the arms of a topology, of which every trial ended; at least the two current arms."""

    number: int
    trials: Mapping[str, Trial]  # by arm


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the complete blocks say of one arm against both current arms, in block order.

    `values` holds (block, arm's value, current's value) of the usable blocks, current's being the mean of both
    arms: the geometric mean where `effects` has logs, else the arithmetic one.
    """

    effects: tuple[tuple[int, float], ...]  # paired log ratios; empty where a value is 0
    differences: tuple[tuple[int, float], ...]  # arm minus the mean of both current arms, in the metric's unit
    values: tuple[tuple[int, float, float], ...]
    failures: tuple[int, ...]  # blocks in which this arm failed and current did not
    zeros: int  # usable blocks in which a value is 0, so that no ratio exists

    @property
    def logs(self) -> tuple[float, ...]:
        """The paired log ratios alone."""
        return tuple(effect for _, effect in self.effects)

    @property
    def all_zero(self) -> bool:
        """Whether there are blocks, and every value in them is 0."""
        return bool(self.values) and all(arm == current == 0.0 for _, arm, current in self.values)


def better(metric: str) -> Better:
    """The good direction of `probe.metric`; raises ValueError for a metric that nobody defined."""
    name = metric.rpartition(".")[2]
    if name not in METRICS:
        raise ValueError(f"{metric}: no such metric; known are {', '.join(METRICS)}")
    return METRICS[name].better


def complete_blocks(trials: Sequence[Trial]) -> dict[str, tuple[CompleteBlock, ...]]:
    """The blocks that count, by topology and in order: latest attempt, both current arms there, all trials ended."""
    rounds: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        known = rounds.setdefault((trial.topology, trial.block), [])
        if known and known[0].attempt > trial.attempt:
            continue
        if known and known[0].attempt < trial.attempt:
            known.clear()
        known.append(trial)
    found: dict[str, list[CompleteBlock]] = {}
    for (topology, number), members in sorted(rounds.items()):
        arms = {trial.arm: trial for trial in members}
        ended = all(trial.status not in ("running", "orphan") for trial in members)
        if ended and all(arm in arms for arm in CURRENT_ARMS):
            found.setdefault(topology, []).append(CompleteBlock(number, arms))
    return {topology: tuple(blocks) for topology, blocks in found.items()}


def against_current(blocks: Sequence[CompleteBlock], arm: str, metric: str) -> Pairs:
    """What `blocks` say of `arm` against the mean of both current arms, both of them needed."""
    return _pairs(blocks, arm, CURRENT_ARMS, metric)


def current_against_itself(blocks: Sequence[CompleteBlock], metric: str) -> Pairs:
    """What `blocks` say of the second current arm against the first: the noise."""
    return _pairs(blocks, CURRENT_ARMS[1], CURRENT_ARMS[:1], metric)


def _pairs(blocks: Sequence[CompleteBlock], arm: str, against: tuple[str, ...], metric: str) -> Pairs:
    higher = better(metric) == "higher"
    usable: list[tuple[int, float, tuple[float, ...]]] = []
    failures: list[int] = []
    for block in blocks:
        trial = block.trials.get(arm)
        if trial is None:
            continue
        references = [block.trials[name] for name in against]
        if _gave_nothing(trial, metric, higher=higher):
            if _stands([r for r in references if r.status != "missing"], metric, higher=higher):
                failures.append(block.number)
            continue
        value = trial.value(metric) if trial.status == "done" else None
        if value is None or not _stands(references, metric, higher=higher):
            continue
        currents = [r.value(metric) for r in references]
        if None not in currents:
            usable.append((block.number, value, tuple(v for v in currents if v is not None)))
    zeros = sum(1 for _, value, currents in usable if min(value, *currents) == 0.0)
    means = [(number, value, math.fsum(currents) / len(currents)) for number, value, currents in usable]
    differences = tuple((number, value - mean) for number, value, mean in means)
    if zeros:
        return Pairs((), differences, tuple(means), tuple(failures), zeros)
    logs = [(n, v, math.fsum(map(math.log, currents)) / len(currents)) for n, v, currents in usable]
    return Pairs(
        effects=tuple((number, math.log(value) - log) for number, value, log in logs),
        differences=differences,
        values=tuple((number, value, math.exp(log)) for number, value, log in logs),
        failures=tuple(failures),
        zeros=0,
    )


def _gave_nothing(trial: Trial, metric: str, *, higher: bool) -> bool:
    """Whether the path under this arm failed; a goodput of exactly 0 is that too, and has no logarithm."""
    return trial.status == "failed" or (trial.status == "done" and higher and trial.value(metric) == 0.0)


def _stands(currents: Sequence[Trial], metric: str, *, higher: bool) -> bool:
    """Whether there are current trials, and each of them was carried through."""
    return bool(currents) and all(
        current.status == "done" and not _gave_nothing(current, metric, higher=higher) for current in currents
    )
