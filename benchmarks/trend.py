"""How often `nettune trend` calls a change in a history without one, and how often it finds one that is there.

A run's value is the mean log of a contiguous window of a recording (16 trials: both current arms over 8 blocks), its
start at random, plus a difference between runs of its own, normal with a given spread, which no recording of one
hour holds. Rows: histories of 12 and 30 runs without a change, with three last runs that only differ more from each
other (our t takes one spread for all), with a step in the middle or three runs before the end, and with a slower mode
that a share of the runs meets by luck. Beside our rule stands jumpavg's own: any group
of it is a change. Goal: at most 5 % of histories without a change have one called, by the upper 95 % bound.

    python benchmarks/trend.py [--recordings DIR] [--replays N] [--json FILE]
"""

import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from jumpavg import classify

from benchmarks.replay import (
    MARGIN_PCT,
    Recording,
    arguments,
    kept,
    printed,
    recordings,
    run_log,
    spread_out,
    upper_bound,
)
from results.steps import levels, modes

GOAL = 0.05
RUNS = (12, 30)
BETWEEN = (0.0, 0.02, 0.05)  # standard deviation of the logs between runs, beside what the recording itself drifts
STEPS_PCT = (-10.0, -20.0)
SHARES = (0.5, 0.2)  # of runs in the slower mode
MODE_PCT = -30.0
CHUNK = 100


@dataclass(frozen=True, slots=True)
class History:
    """A made history: `change_pct` from run number `at` on, or in a `share` of the runs by luck."""

    runs: int
    between: float
    change_pct: float = 0.0
    at: int | None = None
    share: float = 0.0
    wider: float = 1.0  # the last three runs differ by `between` times this

    @property
    def name(self) -> str:
        """As the table has it."""
        if self.share:
            return f"{self.share:.0%} of runs {self.change_pct:+.0f} %"
        if self.wider != 1.0:
            return f"no change, last 3 runs {self.wider:.0f} × wider"
        return "no change" if self.at is None else f"{self.change_pct:+.0f} % from run {self.at + 1} on"

    def logs(self, recording: Recording, dice: random.Random) -> list[float]:
        """One history."""
        change = math.log1p(self.change_pct / 100.0)
        found = []
        for place in range(self.runs):
            slower = dice.random() < self.share or (self.at is not None and place >= self.at)
            between = self.between * (self.wider if place >= self.runs - 3 else 1.0)
            found.append(run_log(recording, between, dice) + (change if slower else 0.0))
        return found


def tallied(history: History, task: tuple[Recording, int, str]) -> Counter[str]:
    """Histories in which jumpavg alone and our rule call a change, call it at the right run, and name two modes."""
    recording, replays, seed = task
    dice = random.Random(seed)
    count: Counter[str] = Counter()
    for _ in range(replays):
        logs = history.logs(recording, dice)
        steps = [step.at for step in levels(logs, margin_log=math.log1p(MARGIN_PCT / 100.0)).steps]
        two = modes(logs) is not None
        count["jumpavg"] += len(classify([math.exp(log) for log in logs])) > 1
        count["stepped"] += bool(steps)
        count["called"] += bool(steps) and not two
        count["right"] += not two and any(abs(at - (history.at or 0)) <= 1 for at in steps)
        count["modes"] += two
    return count


def row(recording: Recording, history: History, *, replays: int, seed: int, processes: int) -> dict[str, object]:
    """One row's figures."""
    label = f"{seed}/{recording.name}/{history}"
    tasks = [(recording, min(CHUNK, replays - at), f"{label}/{at}") for at in range(0, replays, CHUNK)]
    count = sum(spread_out(partial(tallied, history), tasks, processes), Counter[str]())
    shares = {name: count[name] / replays for name in ("jumpavg", "stepped", "called", "right", "modes")}
    changed = history.at is not None or history.share > 0
    upper = None if changed else upper_bound(count["called"], replays)
    return {
        "recording": recording.name,
        "runs": history.runs,
        "between_pct": 100.0 * history.between,
        "history": history.name,
        "replays": replays,
        "called_upper95": upper,
        "step_at": history.at,
        **shares,
    }


def shown(figures: dict[str, object]) -> dict[str, str]:
    """A row as text."""
    text = {name: str(figures[name]) for name in ("recording", "runs", "history")}
    share = {name: float(str(figures[name])) for name in ("jumpavg", "called", "right", "modes")}
    upper = figures["called_upper95"]
    return text | {
        "between": f"{figures['between_pct']:.0f} %",
        "jumpavg alone": f"{share['jumpavg']:.1%}",
        "called": f"{share['called']:.1%}",
        "≤ (95 %)": "" if upper is None else f"{float(str(upper)):.1%}",
        "goal": "" if upper is None else "held" if float(str(upper)) <= GOAL else "MISSED",
        "at its run ±1": "" if figures["step_at"] is None else f"{share['right']:.1%}",
        "two modes": f"{share['modes']:.1%}",
    }


def histories() -> list[History]:
    """What is looked at, in the order of the table."""
    still = [History(runs, between) for runs in RUNS for between in BETWEEN]
    still += [History(runs, 0.02, wider=3.0) for runs in RUNS]
    stepped = [History(runs, 0.02, pct, at) for runs in RUNS for pct in STEPS_PCT for at in (runs // 2, runs - 3)]
    return still + stepped + [History(runs, 0.02, MODE_PCT, share=share) for runs in RUNS for share in SHARES]


def main() -> None:
    """Every recording × history, as a table."""
    given = arguments(__doc__ or "", replays=1_000)
    rows = [
        row(recording, history, replays=given.replays, seed=given.seed, processes=given.processes)
        for recording in recordings(given.recordings)
        for history in histories()
    ]
    printed(f"histories in which a change is called (goal without one: at most {GOAL:.0%})", [shown(r) for r in rows])
    kept(given.json, {"benchmark": "trend", "seed": given.seed, "goal": GOAL, "rows": rows})


if __name__ == "__main__":
    main()
