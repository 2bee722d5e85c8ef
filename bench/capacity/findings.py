"""What a run of pairs says: its trials, the answer to a service level, and what the counters name as the limit."""

import math
from collections.abc import Mapping, Sequence

from bench import diagnosis
from bench.evidence import evidence
from results.errors import WrongInput
from results.records import Run, Trial
from results.scaling import arms, kept
from results.scaling.answer import answered
from results.scaling.counted import Counted, splits
from results.scaling.page import Findings
from results.scaling.slo import Term
from results.scaling.transfers import transfers
from results.store import Store

IDLE, LINE = "idle CPU cores", "line rate"  # facts of the run's machine


def of_density(store: Store, name: str) -> Run:
    """The run of that name. Raises WrongInput for one of another kind."""
    run = store.run(name)
    if not arms.is_density(run):
        raise WrongInput(f"run {run.run_id} is one of `nettune run`: it says nothing of capacity", hint="nettune runs")
    return run


def findings(
    store: Store, name: str, terms: Sequence[Term], *, line_bps: float = math.inf, asked: Sequence[int] = ()
) -> Findings:
    """What a run says of a service level. Raises WrongInput for a run of another kind or without a trial.

    `line_bps`: goodput that its link carries; where it is not told, as the run's own user told it. `asked`: numbers of
    pairs that have rows, too.
    """
    run = of_density(store, name)
    line_bps = line_bps if math.isfinite(line_bps) else float(run.machine.get(LINE, "inf").partition(" ")[0])
    trials = store.trials(run.run_id, histograms=False)
    known = kept.loaded(trials)
    if not known:
        why = next((why for _, why in kept.lost(trials)), "none was finished")
        raise WrongInput(f"run {run.run_id} has no trial to answer from: {why}", hint=f"--resume {run.run_id}")
    failed = kept.failing(trials)
    answer = answered(terms, known, line_rate=line_bps, failed=failed, asked=asked)
    counted = Counted(
        kept.costs(trials, float(run.machine.get(IDLE, "0"))),
        transfers(trials, pace_bps=_mbit(run, "rate_mbit") * 1e6, line_bps=_line_bps(run, line_bps)),
        splits(trials),
    )
    at = _limit_seen(answer.most.value if answer.most else max(each.n for each in known), [each.n for each in known])
    legs = int(str(run.plan.get("legs", 1)))
    down = kept.loaded(trials, arms.DOWN)
    return Findings(
        run, known, tuple(terms), answer, counted, _symptoms(store, run, trials, at, line_bps), at, kept.lost(trials),
        [pause for each in trials if (pause := each.value(f"{arms.DOWN}.outage")) is not None],
        answered(terms, down, line_rate=line_bps * (legs - 1) / legs, failed=failed) if down else None,
        kept.noted(trials),
    )  # fmt: skip


def _mbit(run: Run, key: str) -> float:
    return float(str(run.plan.get(key, 0) or 0))


def _link_bps(run: Run) -> float:
    """Of all legs together; 0 where it is not known."""
    return _mbit(run, "uplink_mbit") * 1e6 * int(str(run.plan.get("legs", 1)))


def _line_bps(run: Run, told: float) -> float:
    """What headers leave of the link: as somebody says, or of its known rate; 0 where neither is known."""
    return told if math.isfinite(told) else _link_bps(run) * diagnosis.OF_HEADERS


def _limit_seen(most: int, measured: Sequence[int]) -> int:
    """The least measured number of pairs above the answer, where the limit shows; else the largest."""
    return min((n for n in measured if n > most), default=max(measured))


def _symptoms(store: Store, run: Run, trials: Sequence[Trial], n: int, line_bps: float) -> tuple[str, ...]:
    """`softirq-bound: cpu3 spent 99 % …`, by bench.diagnosis, of the trials with so many pairs."""
    found = []
    for each in trials:
        if each.status == "done" and arms.pairs(each.arm) == n:
            values: Mapping[str, float] = {sample.name: sample.value for sample in reversed(each.samples)}
            found.append(evidence(values, each.flags, store.raw(each.trial_id)))
    path = diagnosis.Path(rate_bps=_line_bps(run, line_bps) / diagnosis.OF_HEADERS)
    return tuple(f"{each.symptom}: {each.evidence}" for each in diagnosis.diagnose(found, path))
