"""How often `nettune compare` calls two sides that are the same worse, and how often it finds what is worse.

A run is a contiguous window of a recording's identical trials (both current arms over 8 blocks), its start at random,
times a factor of its own, log-normal with a given spread: what differs from boot to boot and day to day, which a
recording of one hour does not hold. Each cell of a run (topology or treatment) has a window of its own and shares the
run's factor, as cells of one run share its machine and hour. Goal: any cell worse in at most 6 % of comparisons of
equal sides, by the upper 95 % bound; what fails a release is half of what any verdict errs in.

    python benchmarks/between.py [--recordings DIR] [--replays N] [--json FILE]
"""

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from benchmarks.replay import (
    WINDOW,
    Recording,
    arguments,
    kept,
    printed,
    recordings,
    sampled,
    spread_out,
    upper_bound,
)
from results.between import between
from results.evidence import Measured
from results.records import CURRENT_ARMS, Design, Run

GOAL = 0.06
SIDES = (3, 4, 5, 8)
CELLS = (1, 3, 6)
BETWEEN = (0.0, 0.02, 0.05)  # standard deviation of the logs of the runs' own factors
LOSSES_PCT = (-5.0, -10.0, -20.0)
POWER_CELLS = 3
CHUNK = 50


@dataclass(frozen=True, slots=True)
class Sides:
    """Two sides of `runs` runs with `cells` cells; in every run of the second, the first cell is `loss_pct` off."""

    runs: int
    cells: int
    between: float
    loss_pct: float = 0.0

    def side(self, recording: Recording, name: str, dice: random.Random) -> list[Measured]:
        """The runs of one side; only the one named `candidate` has the loss."""
        design = _design(self.cells, recording.metric)
        factors = dict.fromkeys(design.topologies, 1.0)
        if name == "candidate":
            factors[design.topologies[0]] = 1.0 + self.loss_pct / 100.0
        return [_run(f"{name}{k}", design, recording, factors, math.exp(dice.gauss(0.0, self.between)), dice)
                for k in range(self.runs)]  # fmt: skip


def _design(cells: int, metric: str) -> Design:
    names = tuple(f"path-{k}" for k in range(1, cells + 1))
    blocks = WINDOW // len(CURRENT_ARMS)
    return Design(names, (), metric, (metric,), (), 5.0, "throughput", blocks, sequential=False, block_s=1.0)


def _run(
    run_id: str, design: Design, recording: Recording, factors: Mapping[str, float], own: float, dice: random.Random
) -> Measured:
    run = Run(run_id, "replay", {}, design, 1, "complete", 0.0, 0.0, "0", (), {})
    trials = []
    for topology in design.topologies:
        start = dice.randint(0, len(recording.values) - WINDOW)
        for number in range(WINDOW):
            block, position = divmod(number, len(CURRENT_ARMS))
            place = (CURRENT_ARMS[position], block, position)
            trials.append(sampled(recording, start + number, topology, place, own * factors[topology]))
    return Measured(run, tuple(trials))


def tallied(sides: Sides, task: tuple[Recording, int, str]) -> Counter[str]:
    """Comparisons with any cell worse, any better, the first cell worse; and microseconds spent in `between`."""
    recording, replays, seed = task
    dice = random.Random(seed)
    count: Counter[str] = Counter()
    for _ in range(replays):
        pair = [sides.side(recording, name, dice) for name in ("baseline", "candidate")]
        started = time.perf_counter()
        found = between(*pair)
        count["us"] += round(1e6 * (time.perf_counter() - started))
        verdicts = [each.verdict for each in found.changes]
        count["worse"] += "worse" in verdicts
        count["better"] += "better" in verdicts
        count["found"] += verdicts[0] == "worse"
        count["equivalent"] += verdicts[0] == "equivalent"
    return count


def row(recording: Recording, sides: Sides, *, replays: int, seed: int, processes: int) -> dict[str, object]:
    """One row's figures."""
    label = f"{seed}/{recording.name}/{sides}"
    tasks = [(recording, min(CHUNK, replays - at), f"{label}/{at}") for at in range(0, replays, CHUNK)]
    count = sum(spread_out(partial(tallied, sides), tasks, processes), Counter[str]())
    return {
        "recording": recording.name,
        "runs": sides.runs,
        "cells": sides.cells,
        "between_pct": 100.0 * sides.between,
        "loss_pct": sides.loss_pct,
        "replays": replays,
        "worse_upper95": upper_bound(count["worse"], replays),
        "compare_ms": count["us"] / replays / 1000.0,
        **{name: count[name] / replays for name in ("worse", "better", "found", "equivalent")},
    }


def _first(figures: Mapping[str, object]) -> dict[str, str]:
    return {
        "recording": str(figures["recording"]),
        "runs a side": str(figures["runs"]),
        "cells": str(figures["cells"]),
        "between": f"{figures['between_pct']:.0f} %",
    }


def same(figures: Mapping[str, object]) -> dict[str, str]:
    """A row of equal sides as text."""
    upper = float(str(figures["worse_upper95"]))
    return _first(figures) | {
        "any worse": f"{figures['worse']:.2%}",
        "≤ (95 %)": f"{upper:.2%}",
        "goal": "held" if upper <= GOAL else "MISSED",
        "any better": f"{figures['better']:.2%}",
        "first equivalent": f"{figures['equivalent']:.0%}",
    }


def lost(figures: Mapping[str, object]) -> dict[str, str]:
    """A row with a loss as text."""
    return _first(figures) | {
        "true change": f"{figures['loss_pct']:+.0f} %",
        "found worse": f"{figures['found']:.0%}",
        "called equivalent": f"{figures['equivalent']:.1%}",
    }


def main() -> None:
    """Equal sides by runs, cells and spread; then a loss in one of three cells."""
    given = arguments(__doc__ or "", replays=500)
    found = recordings(given.recordings)

    def rows(every: list[Sides]) -> list[dict[str, object]]:
        options = {"replays": given.replays, "seed": given.seed, "processes": given.processes}
        return [row(recording, sides, **options) for recording in found for sides in every]

    equal = rows([Sides(runs, cells, spread) for spread in BETWEEN for cells in CELLS for runs in SIDES])
    losses = rows([Sides(runs, POWER_CELLS, 0.02, loss) for loss in LOSSES_PCT for runs in SIDES])
    printed(f"comparisons that call equal sides worse (goal: at most {GOAL:.0%})", [same(each) for each in equal])
    printed(f"a loss in one of {POWER_CELLS} cells, margin 5 %", [lost(each) for each in losses])
    kept(given.json, {"benchmark": "between", "seed": given.seed, "goal": GOAL, "rows": equal + losses})


if __name__ == "__main__":
    main()
