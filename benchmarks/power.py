"""What the judgement finds when there is something to find, and what the answer costs in traffic.

One of three treatments gets a true effect, multiplied into recorded trials that are otherwise alike. Told: how
often it is named better, how often a verdict points the wrong way, how often the 95 % interval holds the truth
(goal 93-97 %), and the seconds of traffic. An effect below the margin of 5 % is not meant to be named; what counts
there is the interval.

    python benchmarks/power.py [--recordings DIR] [--replays N] [--json FILE]
"""

import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from benchmarks.replay import (
    PRIMARY,
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
)
from results.judgement import judge

TREATMENTS = 3
EFFECTS_PCT = (3.0, 5.0, 10.0, 20.0)
BLOCKS = (8, 20)
COVERAGE = (0.93, 0.97)


def tallied(chunk: Chunk) -> Counter[str]:
    """How many replays gave the treated arm each verdict, and held the truth in the interval."""
    dice = random.Random(chunk.seed)
    count: Counter[str] = Counter()
    truth_pct = 100.0 * (chunk.gain - 1.0)
    for _ in range(chunk.replays):
        judgement = judge(chunk.design, replayed(chunk, dice))
        treated = next(c for c in judgement.comparisons if c.treatment == chunk.design.treatments[0])
        count[treated.verdict] += 1
        if treated.ci_low_pct is not None and treated.ci_high_pct is not None:
            count["covered"] += treated.ci_low_pct <= truth_pct <= treated.ci_high_pct
    return count


def row(
    recording: Recording, blocks: int, effect_pct: float, *, replays: int, seed: int, processes: int
) -> dict[str, object]:
    """One row's figures; with `short` when the recording cannot fill a replay."""
    design = designed(TREATMENTS, blocks, sequential=False)
    figures: dict[str, object] = {
        "recording": recording.name,
        "blocks": blocks,
        "effect_pct": effect_pct,
    }
    if trials_needed(design) > len(recording.values):
        return figures | {"short": trials_needed(design)}
    tasks = chunks(recording, design, 1.0 + effect_pct / 100.0, replays, seed)
    count = sum(spread_out(tallied, tasks, processes), Counter[str]())
    decided = count["better"] + count["worse"]
    return figures | {
        "replays": replays,
        "better": count["better"] / replays,
        "worse": count["worse"] / replays,
        "equivalent": count["equivalent"] / replays,
        "right_direction": count["better"] / decided if decided else None,
        "covered": count["covered"] / replays,
        "traffic_s": trials_needed(design) * recording.trial_s,
    }


def shown(figures: dict[str, object]) -> dict[str, str]:
    """A row as text."""
    text = {
        "recording": str(figures["recording"]),
        "blocks": str(figures["blocks"]),
        "true effect": f"+{figures['effect_pct']:g} %",
    }
    heads = ("found", "equivalent", "named worse", "right direction", "interval holds it", "goal", "traffic")
    if "short" in figures:
        return text | dict.fromkeys(heads, "") | {"found": f"needs {figures['short']} trials"}
    right, covered = figures["right_direction"], float(str(figures["covered"]))
    return text | {
        "found": f"{figures['better']:.1%}",
        "equivalent": f"{figures['equivalent']:.1%}",
        "named worse": f"{figures['worse']:.2%}",
        "right direction": "-" if right is None else f"{right:.2%}",
        "interval holds it": f"{covered:.1%}",
        "goal": "held" if COVERAGE[0] <= covered <= COVERAGE[1] else "MISSED",
        "traffic": f"{figures['traffic_s']:.0f} s",
    }


def main() -> None:
    """Every recording × number of blocks × true effect, as a table."""
    given = arguments(__doc__ or "", replays=2_000)
    found = [each for each in recordings(given.recordings) if each.metric == PRIMARY]
    for recording in found:
        print(f"{recording.name}: {len(recording.values)} trials, {recording.machine}")
    rows = [
        row(recording, blocks, effect_pct, replays=given.replays, seed=given.seed, processes=given.processes)
        for recording in found
        for blocks in BLOCKS
        for effect_pct in EFFECTS_PCT
    ]
    printed(f"one of {TREATMENTS} treatments with a true effect, margin 5 %", [shown(r) for r in rows])
    kept(given.json, {"benchmark": "power", "seed": given.seed, "coverage_goal": COVERAGE, "rows": rows})


if __name__ == "__main__":
    main()
