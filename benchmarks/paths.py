"""How often two paths that are alike are called different: current on one against current on another, paired by block.

Trials of a recording, which are all alike, are dealt to two or six topologies in the order that `nettune run` deals
(rounds of all topologies, shuffled; both current arms in each). Goal: any path called better or worse in at most 6 %
of replays, by the upper 95 % bound.

    python benchmarks/paths.py [--recordings DIR] [--replays N] [--json FILE]
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from benchmarks.replay import Recording, arguments, kept, printed, recordings, sampled, upper_bound
from results.paths import path_differences
from results.records import CURRENT_ARMS, Design, Trial

GOAL = 0.06
BLOCKS = 8
PATHS = (2, 6)


def designed(paths: int, metric: str) -> Design:
    """A plan of that many topologies and no treatment."""
    names = tuple(f"path-{k}" for k in range(1, paths + 1))
    return Design(
        topologies=names,
        treatments=(),
        primary=metric,
        metrics=(metric,),
        guards=(),
        margin_pct=5.0,
        goal="throughput",
        blocks=BLOCKS,
        sequential=False,
        block_s=1.0,
    )


def dealt(recording: Recording, design: Design, dice: random.Random) -> list[Trial]:
    """The trials of one replay, in the order of time."""
    needed = BLOCKS * len(design.topologies) * len(CURRENT_ARMS)
    at = dice.randint(0, len(recording.values) - needed)
    trials: list[Trial] = []
    for block in range(BLOCKS):
        paths = list(design.topologies)
        dice.shuffle(paths)
        for topology in paths:
            arms = list(CURRENT_ARMS)
            dice.shuffle(arms)
            for position, arm in enumerate(arms):
                trials.append(sampled(recording, at + len(trials), topology, (arm, block, position)))
    return trials


def row(recording: Recording, paths: int, replays: int, seed: int) -> dict[str, object]:
    """One row's figures; with `short` when the recording cannot fill a replay."""
    design = designed(paths, recording.metric)
    figures: dict[str, object] = {"recording": recording.name, "paths": paths}
    needed = BLOCKS * paths * len(CURRENT_ARMS)
    if needed > len(recording.values):
        return figures | {"short": needed}
    dice = random.Random(f"{seed}/{recording.name}/{paths}")
    wrong = sum(
        any(found.verdict in {"better", "worse"} for found in path_differences(design, dealt(recording, design, dice)))
        for _ in range(replays)
    )
    return figures | {"replays": replays, "called": wrong / replays, "called_upper95": upper_bound(wrong, replays)}


def shown(figures: dict[str, object]) -> dict[str, str]:
    """A row as text."""
    text = {"recording": str(figures["recording"]), "paths": str(figures["paths"])}
    if "short" in figures:
        return text | {"called different": f"needs {figures['short']} trials", "≤ (95 %)": "", "goal": ""}
    upper = float(str(figures["called_upper95"]))
    return text | {
        "called different": f"{float(str(figures['called'])):.2%}",
        "≤ (95 %)": f"{upper:.2%}",
        "goal": "held" if upper <= GOAL else "MISSED",
    }


def main() -> None:
    """Every recording × number of paths, as a table."""
    given = arguments(__doc__ or "", replays=4_000)
    found = recordings(given.recordings)
    rows = [row(recording, paths, given.replays, given.seed) for recording in found for paths in PATHS]
    printed(f"replays that call equal paths different (goal: at most {GOAL:.0%})", [shown(each) for each in rows])
    kept(given.json, {"benchmark": "paths", "seed": given.seed, "goal": GOAL, "rows": rows})


if __name__ == "__main__":
    main()
