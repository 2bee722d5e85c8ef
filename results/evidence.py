"""What one run says when runs are compared: a value per topology, arm and metric, and what it was measured with.

Between runs the unit of evidence is the run: the trials in it share an hour, a boot and a machine, so their spread
says nothing of how runs differ.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from results.looks import FAILURES
from results.pairs import CompleteBlock, better, complete_blocks
from results.records import CURRENT, CURRENT_ARMS, Run, Trial

# Keys of a plan that change neither what is measured nor how: the number of blocks only narrows a run's value.
# Everything else matters, also keys that a newer plan has. Treatments are compared one by one.
_IMMATERIAL = frozenset({"name", "about", "blocks", "margin_pct", "goal", "treatments"})

_NOTHING = "nothing"  # stands for a key that one plan does not have


@dataclass(frozen=True, slots=True)
class Measured:
    """A run with its trials."""

    run: Run
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class RunValue:
    """One run's value of one arm: the mean over its complete blocks."""

    run_id: str
    log: float | None  # mean of the logs; None without a usable block, or where a value is 0
    mean: float | None  # arithmetic mean, for values that may be 0
    blocks: int  # that have a value
    failed: int  # in which the path under this arm gave nothing

    @property
    def failing(self) -> bool:
        """Whether the arm failed too often for what survived to stand for it."""
        return self.failed >= FAILURES or (self.failed > 0 and not self.blocks)

    @property
    def shown(self) -> float | None:
        """The value in the metric's own unit: geometric mean where there is one."""
        return self.mean if self.log is None else math.exp(self.log)


def values(measured: Measured, arms: Sequence[str], metrics: Sequence[str]) -> dict[tuple[str, str, str], RunValue]:
    """(topology, arm, metric) -> the run's value, for every topology of its design; the arm `current` is both arms."""
    blocks = complete_blocks(measured.trials)
    return {
        (topology, arm, metric): run_value(measured.run.run_id, blocks.get(topology, ()), arm, metric)
        for topology in measured.run.design.topologies
        for arm in arms
        for metric in metrics
    }


def run_value(run_id: str, blocks: Sequence[CompleteBlock], arm: str, metric: str) -> RunValue:
    """The mean over complete blocks; a block of `current` counts where both current arms have a value."""
    names = CURRENT_ARMS if arm == CURRENT else (arm,)
    higher = better(metric) == "higher"
    found: list[tuple[float, ...]] = []
    failed = 0
    for block in blocks:
        trials = [block.trials[name] for name in names if name in block.trials]
        numbers = [value for each in trials if each.status == "done" and (value := each.value(metric)) is not None]
        gave_nothing = any(each.status == "failed" for each in trials) or (higher and 0.0 in numbers)
        failed += gave_nothing
        if len(numbers) == len(names) and not gave_nothing:
            found.append(tuple(numbers))
    flat = [number for numbers in found for number in numbers]
    return RunValue(
        run_id=run_id,
        log=math.fsum(map(math.log, flat)) / len(flat) if flat and min(flat) > 0.0 else None,
        mean=math.fsum(flat) / len(flat) if flat else None,
        blocks=len(found),
        failed=failed,
    )


def middle(side: Sequence[RunValue]) -> float | None:
    """The mean over runs in the metric's own unit: the geometric one, or the arithmetic one where a value is 0."""
    logs = [each.log for each in side if each.log is not None]
    means = [each.mean for each in side if each.mean is not None]
    if logs and len(logs) == len(means):
        return math.exp(math.fsum(logs) / len(logs))
    return math.fsum(means) / len(means) if means else None


def facts(run: Run) -> dict[str, str]:
    """What a run was made with, by name: the machine's facts, the version of nettune, the congestion control in use."""
    control = " ".join(note for note in run.notes if note.startswith("Congestion control"))
    version = run.revision.partition("+")[0]
    return {**run.machine, "nettune": version, "congestion control": control.rstrip(".") or "none named"}


def plan_difference(first: Run, second: Run) -> tuple[str, str, str] | None:
    """(key, value, other value) of the first place where two plans measure different things; None where they agree."""
    return next(_differences(_material(first), _material(second), ""), None)


def treatment_difference(first: Run, second: Run, treatment: str) -> tuple[str, str, str] | None:
    """The same for the settings of one treatment that both plans have."""
    pair = [_treatments(run).get(treatment) for run in (first, second)]
    return next(_differences(pair[0], pair[1], f"treatments.{treatment}"), None)


def _material(run: Run) -> Mapping[str, object]:
    return {key: value for key, value in run.plan.items() if key not in _IMMATERIAL}


def _treatments(run: Run) -> Mapping[str, object]:
    found = run.plan.get("treatments")
    return found if isinstance(found, Mapping) else {}


def _differences(first: object, second: object, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys((*first, *second)):
            yield from _differences(first.get(key, _NOTHING), second.get(key, _NOTHING), f"{path}.{key}".lstrip("."))
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        for index, (one, other) in enumerate(itertools.zip_longest(first, second, fillvalue=_NOTHING)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif first != second:
        yield path, _shown(first), _shown(second)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
