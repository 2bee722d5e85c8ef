"""Recorded identical trials, dealt out as if they had been arms: the ground on which the method is checked.

A recording holds the goodput of trials that were all alike, in the order of time, with the drift and the bad
minutes of a real machine. A replay cuts a contiguous window at a random start, deals the labels of the arms at
random inside each block, and asks `results.judgement.judge` itself. Recordings shorter than a replay are not
wrapped around: a seam would be a jump that never happened, so such a row is left out and said to be.
"""

import argparse
import json
import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scipy.special import betaincinv

from results.judgement import look
from results.metrics import METRICS
from results.records import CURRENT_ARMS, Design, Sample, Trial

PRIMARY = "tcp.goodput"
TOPOLOGY = "recorded"
MARGIN_PCT = 5.0
WINDOW = 16  # trials of one arm in a run: both current arms over 8 blocks
CHUNK = 250  # replays per task: each has its own seed, so that the result does not depend on --processes
Task = TypeVar("Task")
Tally = TypeVar("Tally")


@dataclass(frozen=True, slots=True)
class Recording:
    """One metric of identical trials in the order of time."""

    name: str
    metric: str
    machine: str
    trial_s: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A task for one process: `replays` replays of one row, from their own seed."""

    recording: Recording
    design: Design
    gain: float  # true effect on the first treatment, 1.0 = none
    replays: int
    seed: str


def designed(treatments: int, blocks: int, *, sequential: bool, primary: str = PRIMARY) -> Design:
    """A design as a plan with this many treatments on one topology has it."""
    return Design(
        topologies=(TOPOLOGY,),
        treatments=tuple(f"t{k}" for k in range(1, treatments + 1)),
        primary=primary,
        metrics=(primary,),
        guards=(),
        margin_pct=MARGIN_PCT,
        goal="throughput",
        blocks=blocks,
        sequential=sequential,
        block_s=1.0,
    )


def trials_needed(design: Design) -> int:
    """The longest window that a replay of this design may take."""
    return (len(design.treatments) + len(CURRENT_ARMS)) * design.blocks


def replayed(chunk: Chunk, dice: random.Random) -> list[Trial]:
    """The trials of one replay; in a sequential design, arms that a look has stopped get no further trials."""
    design = chunk.design
    at = dice.randint(0, len(chunk.recording.values) - trials_needed(design))
    live = [*CURRENT_ARMS, *design.treatments]
    trials: list[Trial] = []
    for block in range(design.blocks):
        dice.shuffle(live)
        for position, arm in enumerate(live):
            gain = chunk.gain if arm == design.treatments[0] else 1.0
            trials.append(sampled(chunk.recording, at, TOPOLOGY, (arm, block, position), gain))
            at += 1
        stopped = look(design, trials, block + 1) if design.sequential and block + 1 in (6, 12) else frozenset()
        live = [arm for arm in live if (TOPOLOGY, arm) not in stopped]
        if len(live) == len(CURRENT_ARMS):
            break
    return trials


def sampled(recording: Recording, at: int, topology: str, place: tuple[str, int, int], gain: float = 1.0) -> Trial:
    """The recording's trial number `at`, dealt to a place: (arm, block, position)."""
    probe, metric = recording.metric.split(".")
    arm, block, position = place
    trial_s = recording.trial_s
    sample = Sample(probe, metric, recording.values[at] * gain, METRICS[metric].unit, "b", "a>b", trial_s)
    return Trial(at, topology, block, 1, position, arm, "done", "", at * trial_s, trial_s, (sample,))


def run_log(recording: Recording, between: float, dice: random.Random) -> float:
    """One run's mean log: a window of the recording at a random place, plus a difference of its own between runs."""
    at = dice.randint(0, len(recording.values) - WINDOW)
    window = recording.values[at : at + WINDOW]
    return math.fsum(map(math.log, window)) / WINDOW + dice.gauss(0.0, between)


def chunks(recording: Recording, design: Design, gain: float, replays: int, seed: int) -> list[Chunk]:
    """The tasks of one row."""
    label = f"{seed}/{recording.name}/{design.family}/{design.blocks}/{design.sequential}/{gain}"
    return [
        Chunk(recording, design, gain, min(CHUNK, replays - start), f"{label}/{start}")
        for start in range(0, replays, CHUNK)
    ]


def spread_out(work: Callable[[Task], Tally], tasks: Sequence[Task], processes: int) -> list[Tally]:
    """The work on every task, in order, over this many processes."""
    if processes == 1:
        return [work(task) for task in tasks]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(work, tasks))


def recordings(folder: Path) -> list[Recording]:
    """Every recording of a folder; ends the program with a word when there is none."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise SystemExit(f"no recording (*.json) in {folder}")
    return [
        Recording(r["name"], r["metric"], r["machine"], float(r["trial_s"]), tuple(map(float, r["values"])))
        for r in found
    ]


def upper_bound(hits: int, n: int) -> float:
    """One-sided 95 % upper bound of a share: Clopper & Pearson 1934, Biometrika 26:404."""
    return 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, 0.95))


def arguments(description: str, *, replays: int) -> argparse.Namespace:
    """What both benchmarks take from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--recordings", type=Path, default=Path(__file__).resolve().parent / "recordings")
    parser.add_argument("--replays", type=int, default=replays, help="per row")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="append the figures here as one JSON line")
    return parser.parse_args()


def printed(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """A plain table whose columns are aligned, its heads taken from the first row."""
    print(f"\n{title}")
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    for line in (dict(zip(heads, heads, strict=True)), *rows):
        print("  ".join(line[head].rjust(width) for head, width in zip(heads, widths, strict=True)))


def kept(path: Path | None, figures: Mapping[str, object]) -> None:
    """The figures as one JSON line, appended to `path` if there is one."""
    if path is not None:
        with path.open("a") as out:
            out.write(json.dumps(figures) + "\n")
