"""Checks: what a run says of probes whose outcome is pass or fail. They rank nothing and name no winner (ADR 0018).

A check holds under an arm when it held in every trial that could tell. Where the path gave nothing it did not hold; a
trial that is missing, for a cause of its own, says nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from results import series
from results.metrics import METRICS
from results.pairs import better
from results.records import CURRENT, CURRENT_ARMS, Run, Trial
from results.units import quantity, scale

HELD = "held"  # the metric of every check: 1 or 0
_DID_NOT = " did not hold: "


@dataclass(frozen=True, slots=True)
class Check:
    """One check under one arm on one topology; both current arms are one."""

    topology: str
    probe: str
    arm: str
    held: int  # trials
    trials: int  # that could tell
    figures: tuple[str, ...]  # "longest outage: median 104 ms, worst 112 ms"
    reasons: tuple[str, ...]  # why it did not hold, "(n times)" where more often

    @property
    def passed(self) -> bool:
        """True where it held whenever there was an answer, and there was one."""
        return 0 < self.trials == self.held


def reason(probe: str, words: str) -> str:
    """A trial's flag that says why a check did not hold."""
    return f"{probe}{_DID_NOT}{words}"


def checks(run: Run, trials: Sequence[Trial]) -> tuple[Check, ...]:
    """Every check on every topology that was measured, by topology, probe and arm."""
    probes = [name.partition(".")[0] for name in run.design.definitions if name.partition(".")[2] == HELD]
    arms = (CURRENT, *run.design.treatments)
    found = []
    for topology in run.design.topologies:
        here = [each for each in trials if each.topology == topology]
        for probe in probes:
            for arm in arms:
                own = [each for each in here if each.arm in (CURRENT_ARMS if arm == CURRENT else (arm,))]
                if any(each.status in {"done", "failed", "missing"} for each in own):
                    found.append(_check(run, own, topology, probe, arm))
    return tuple(found)


def broken(found: Sequence[Check]) -> tuple[Check, ...]:
    """Those that did not hold under current."""
    return tuple(each for each in found if each.arm == CURRENT and not each.passed)


def _check(run: Run, own: Sequence[Trial], topology: str, probe: str, arm: str) -> Check:
    answers = [value for each in own if each.status == "done" and (value := each.value(f"{probe}.{HELD}")) is not None]
    failed = [each for each in own if each.status == "failed"]
    said = Counter(
        flag.removeprefix(f"{probe}{_DID_NOT}")
        for each in own
        for flag in each.flags
        if flag.startswith(f"{probe}{_DID_NOT}")
    )
    said.update(each.cause for each in failed)
    if not answers and not failed:
        said.update(["no trial could tell"])
    return Check(
        topology,
        probe,
        arm,
        held=sum(value == 1.0 for value in answers),
        trials=len(answers) + len(failed),
        figures=tuple(_figures(run, own, probe)),
        reasons=tuple(f"{words} ({n} times)" if n > 1 else words for words, n in said.items()),
    )


def _figures(run: Run, own: Sequence[Trial], probe: str) -> list[str]:
    """The median and the worst trial of each metric that the probe compares."""
    told = []
    for name in run.design.metrics:
        if name.partition(".")[0] != probe or name.partition(".")[2] not in METRICS:
            continue
        values = [value for each in own if each.status == "done" and (value := each.value(name)) is not None]
        if not values:
            continue
        metric = series.metric_of(name)
        used = scale(name, metric.unit, values)
        worst = min(values) if better(name) == "higher" else max(values)
        shown = [quantity(name, metric.unit, value, to=used) for value in (median(values), worst)]
        alike = f"{shown[0]}" if shown[0] == shown[1] else f"median {shown[0]}, worst {shown[1]}"
        told.append(f"{metric.label}: {alike}")
    return told
