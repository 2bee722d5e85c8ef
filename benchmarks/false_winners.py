"""How often a winner is named among arms that are all alike: the judgement against "means of three runs".

Every trial of a recording is the same, so every winner is false. A row replays the whole judgement many times;
the goal is at most 6 % of replays with any winner, by the upper 95 % bound. The bound takes the recording as
given: replays deal its trials anew, they do not make new recordings. The naive rule sees the same interleaved
trials, which flatters it: in practice all runs of one setting are made in a row, and drift adds to its errors.

    python benchmarks/false_winners.py [--recordings DIR] [--replays N] [--json FILE]
"""

import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from benchmarks.replay import (
    Chunk,
    Recording,
    arguments,
    chunks,
    designed,
    kept,
    printed,
    recordings,
    replayed,
    spread_out,
    trials_needed,
    upper_bound,
)
from results.judgement import judge
from results.metrics import METRICS
from results.records import CURRENT, Trial

GOAL = 0.06
NAIVE_RUNS = 3
DESIGNS = [(k, blocks, sequential) for blocks, sequential in ((8, False), (20, True)) for k in (3, 6, 12)]


def tallied(chunk: Chunk) -> tuple[int, int, int, int, float]:
    """Replays with a winner, with a winner by the naive rule at 5 % and at 10 %, trials used, seconds in judge."""
    dice = random.Random(chunk.seed)
    winners = naive5 = naive10 = used = 0
    judging_s = 0.0
    for _ in range(chunk.replays):
        trials = replayed(chunk, dice)
        started = time.perf_counter()
        judgement = judge(chunk.design, trials)
        judging_s += time.perf_counter() - started
        winners += any(c.verdict == "better" for c in judgement.comparisons)
        gain = naive_gain(trials, chunk.design.treatments)
        naive5 += gain > 0.05
        naive10 += gain > 0.10
        used += len(trials)
    return winners, naive5, naive10, used, judging_s


def naive_gain(trials: Sequence[Trial], treatments: Sequence[str]) -> float:
    """The largest gain of any arm by the means of its first three trials against those of `current`."""
    first: dict[str, list[float]] = {}
    for trial in trials:
        runs = first.setdefault(trial.arm, [])
        if len(runs) < NAIVE_RUNS:
            runs.append(trial.samples[0].value)
    means = {arm: statistics.fmean(runs) for arm, runs in first.items()}
    higher = METRICS[trials[0].samples[0].metric].better == "higher"
    gains = [means[arm] / means[CURRENT] - 1.0 if means[CURRENT] else 0.0 for arm in treatments]
    return max(gains) if higher else -min(gains)


def row(
    recording: Recording, k: int, blocks: int, *, sequential: bool, replays: int, seed: int, processes: int
) -> dict[str, object]:
    """One row's figures; with `short` when the recording cannot fill a replay."""
    design = designed(k, blocks, sequential=sequential, primary=recording.metric)
    figures: dict[str, object] = {
        "recording": recording.name,
        "design": f"looks at 6, 12, {blocks}" if sequential else f"{blocks} blocks",
        "treatments": k,
    }
    if trials_needed(design) > len(recording.values):
        return figures | {"short": trials_needed(design)}
    tallies = spread_out(tallied, chunks(recording, design, 1.0, replays, seed), processes)
    winners, naive5, naive10, used, judging_s = (sum(column) for column in zip(*tallies, strict=True))
    return figures | {
        "replays": replays,
        "winners": winners / replays,
        "winners_upper95": upper_bound(int(winners), replays),
        "naive_5pct": naive5 / replays,
        "naive_10pct": naive10 / replays,
        "trials": used / replays,
        "judge_ms": 1000.0 * judging_s / replays,
    }


def shown(figures: dict[str, object]) -> dict[str, str]:
    """A row as text."""
    text = {name: str(figures[name]) for name in ("recording", "design", "treatments")}
    if "short" in figures:
        empty = dict.fromkeys(("winner named", "≤ (95 %)", "goal", "3 vs 3 > 5 %", "> 10 %", "trials", "judge"), "")
        return text | empty | {"winner named": f"needs {figures['short']} trials"}
    share = {name: float(str(figures[name])) for name in figures if name not in text}
    return text | {
        "winner named": f"{share['winners']:.2%}",
        "≤ (95 %)": f"{share['winners_upper95']:.2%}",
        "goal": "held" if share["winners_upper95"] <= GOAL else "MISSED",
        "3 vs 3 > 5 %": f"{share['naive_5pct']:.1%}",
        "> 10 %": f"{share['naive_10pct']:.1%}",
        "trials": f"{share['trials']:.0f}",
        "judge": f"{share['judge_ms']:.2f} ms",
    }


def main() -> None:
    """Every recording × design × number of treatments, as a table."""
    given = arguments(__doc__ or "", replays=10_000)
    found = recordings(given.recordings)
    for recording in found:
        print(f"{recording.name}: {len(recording.values)} trials, {recording.machine}")
    rows = [
        row(
            recording,
            k,
            blocks,
            sequential=sequential,
            replays=given.replays,
            seed=given.seed,
            processes=given.processes,
        )
        for recording in found
        for k, blocks, sequential in DESIGNS
    ]
    printed(f"replays with a winner among identical arms (goal: at most {GOAL:.0%})", [shown(r) for r in rows])
    kept(given.json, {"benchmark": "false_winners", "seed": given.seed, "goal": GOAL, "rows": rows})


if __name__ == "__main__":
    main()
