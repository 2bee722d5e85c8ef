"""How often an interval excludes 0 for an arm on restarted guests that is like current, by how its blocks are made.

A trial's log is a level of its block, one of its guests' start (two starts differ), what a trial so soon after a start
lacks, and its own noise; all measured on guests of an emulated CPU (docs/adr/0021-restarting-settings.md). Rows: our
blocks, the same with one and with no trial that is not counted after a start, and plain guests that are started once
for the whole run. Goal of the first: at most 6 %, by the upper 95 % bound.

    python benchmarks/starts.py [--replays N] [--json FILE]
"""

import argparse
import json
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from bench import schedule
from bench.restarts import UNCOUNTED
from benchmarks.replay import upper_bound
from results.records import CURRENT_ARMS
from results.statistics import estimate

GOAL = 0.06
BLOCKS = (8, 20)
BLOCK_SD, START_SD, TRIAL_SD = 0.10, 0.06, 0.08  # of logs
LACKS = (-0.17, -0.05)  # the first trial after a start, the second; later ones lack nothing
ARMS = {**dict.fromkeys((*CURRENT_ARMS, "plain"), ""), "anew": "vm-queues=2"}


@dataclass(frozen=True, slots=True)
class Way:
    """How a block is made: trials after each start that are not counted, and whether plain guests are started too."""

    name: str
    uncounted: int
    plain_too: bool = True


WAYS = (
    Way("as nettune does", UNCOUNTED),
    Way("one trial is not counted", 1),
    Way("every trial counts", 0),
    Way("plain guests are started once", UNCOUNTED, plain_too=False),
)


def excluded(way: Way, blocks: int, dice: random.Random) -> bool:
    """One made run: whether the 95 % interval of `anew` against current excludes 0."""
    once = dice.gauss(0, START_SD)
    effects = []
    seed = dice.randrange(10**9)
    for block in range(blocks):
        level = dice.gauss(0, BLOCK_SD)
        logs: dict[str, float] = {}
        for group in schedule.groups(ARMS, seed=seed, topology="bridge", block=block, attempt=0):
            fresh = way.plain_too or ARMS[group[0]] != ""
            start = dice.gauss(0, START_SD) if fresh else once
            for place, arm in enumerate(group, way.uncounted if fresh else len(LACKS)):
                lacks = LACKS[place] if place < len(LACKS) else 0.0
                logs[arm] = level + start + lacks + dice.gauss(0, TRIAL_SD)
        effects.append(logs["anew"] - statistics.fmean(logs[arm] for arm in CURRENT_ARMS))
    found = estimate(effects)
    return found is not None and not found.low <= 0 <= found.high


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    for way in WAYS:
        for blocks in BLOCKS:
            dice = random.Random(f"{way.name}/{blocks}")
            errors = sum(excluded(way, blocks, dice) for _ in range(chosen.replays))
            share, bound = errors / chosen.replays, upper_bound(errors, chosen.replays)
            goal = f"   goal ≤ {GOAL:.0%}: {'held' if bound <= GOAL else 'MISSED'}" if way is WAYS[0] else ""
            print(f"  {way.name:<32}{blocks:>3} blocks  {share:6.1%}  (at most {bound:.1%}){goal}")
            rows.append({"way": way.name, "blocks": blocks, "share": share, "bound": bound})
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "starts", "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
