"""The tables: nothing to find, something to find, what stands in the way of it, and what others would have answered."""

import argparse
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.special import betaincinv

from benchmarks.replay import kept, printed, recordings, spread_out, upper_bound
from benchmarks.search.machine import GOODPUT, Ground, Machine, grounds
from benchmarks.search.peers import PEERS
from benchmarks.search.surfaces import (
    ALWAYS,
    ANCHORS,
    BUFFER,
    BUNDLE,
    COSTLY,
    EITHER,
    FACTORS,
    GOODPUT_ALONE,
    HOSTILE,
    HOSTILE_FACTORS,
    KNEE,
    NULL,
    PLANTED,
    SOMETIMES,
    Surface,
    config_of,
    held,
)
from tuning.search.pipeline import next_step
from tuning.search.stages import Answer, Measured, Prices, Question, Stage

GOAL = 0.06
CHUNK = 25  # searches of one task
TABLES = ("null", "planted", "hostile", "regret")
NO_EFFECT = frozenset({0, 2, 5, 7, 9})
NO_EFFECT_HOSTILE = frozenset({8, 9, 10, 11})
RELINK_TRIALS = 3.0
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """Searches for one process."""

    ground: Ground
    surface: Surface
    numbers: range  # each has a seed of its own
    seed: str
    anchors: bool = False
    peers: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one search, and what the peers would set after as many trials."""

    answer: Answer
    trials: int
    peers: Mapping[str, frozenset[int]]

    @property
    def own(self) -> frozenset[int]:
        """The knobs of the first pick; none where nothing is recommended."""
        return held(self.answer.picks[0].config) if self.answer.picks else frozenset()


def carried_out(task: Task) -> list[Told]:
    """The searches of a task."""
    found = []
    for number in task.numbers:
        dice = random.Random(f"{task.seed}/{number}")
        factors = list(HOSTILE_FACTORS if task.surface is HOSTILE else FACTORS)
        dice.shuffle(factors)
        prices = Prices(relink_s=RELINK_TRIALS)  # in trials: those of a replay take a second
        anchors = {f"anchor-{n}": config_of(on) for n, on in enumerate(ANCHORS, 1)} if task.anchors else {}
        machine = Machine(task.ground, task.surface, dice)
        answer = searched(machine, Question(task.ground.design, tuple(factors), anchors, task.ground.budget, prices))
        peers = {
            name: peer(task.ground, task.surface, machine.trials, random.Random(f"{task.seed}/{number}/{name}"))
            for name, peer in (PEERS.items() if task.peers else ())
        }
        found.append(Told(answer, machine.trials, peers))
    return found


def searched(machine: Machine, question: Question) -> Answer:
    """One whole search; also that it keeps to its budget."""
    done: list[Measured] = []
    while isinstance(step := next_step(question, done), Stage):
        done.append(machine.measure(step))
    assert machine.trials <= question.trials_most
    return step


def many(task: Task, searches: int, processes: int) -> list[Told]:
    """So many searches, over the processes."""
    chunk = 2 if task.peers else CHUNK
    parts = [replace(task, numbers=range(at, min(at + chunk, searches))) for at in range(0, searches, chunk)]
    return [told for some in spread_out(carried_out, parts, processes) for told in some]


def interval(hits: int, n: int) -> tuple[float, float]:
    """Two-sided 95 % interval of a share: Clopper & Pearson 1934, Biometrika 26:404."""
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, 0.025))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 0.975))
    return low, high


def null_row(ground: Ground, searches: int, processes: int, seed: int) -> Row:
    """How often anything is recommended where nothing helps."""
    found = many(Task(ground, NULL, range(0), f"null/{seed}/{ground.name}", anchors=True), searches, processes)
    hits = sum(told.answer.status == "confirmed" for told in found)
    bound = upper_bound(hits, len(found))
    return {
        "noise": ground.name,
        "budget": str(ground.budget),
        "searches": str(len(found)),
        "recommended": str(hits),
        "upper 95 %": f"{100 * bound:.2f} %",
        f"goal {GOAL:.0%}": "held" if bound <= GOAL else "MISSED",
        "refused": str(sum(told.answer.status == "refused" for told in found)),
        "trials": f"{statistics.fmean(told.trials for told in found):.0f}",
    }


def planted_row(ground: Ground, searches: int, processes: int, seed: int) -> Row:
    """What is found of what was planted, and whether the confirmed intervals hold."""
    found = many(Task(ground, PLANTED, range(0), f"planted/{seed}/{ground.name}"), searches, processes)
    picks = [pick for told in found for pick in told.answer.picks]
    balanced = [held(pick.config) for pick in picks if "balanced" in pick.names]
    claims = [pick for pick in picks if pick.metric == GOODPUT]
    covered = sum(pick.gain.low <= PLANTED.gain(held(pick.config)) <= pick.gain.high for pick in claims)
    low, high = interval(covered, len(claims))
    large = sum((4 in on) + bool(on & {3, 6}) for on in balanced)  # of the pair one is to be found, not both
    share = large / (2 * len(found))
    harming = sum(8 in on for on in balanced)
    return {
        "noise": ground.name,
        "budget": str(ground.budget),
        "searches": str(len(found)),
        "balanced confirmed": f"{len(balanced) / len(found):.1%}",
        "≥ 5 % found": f"{share:.1%} {'held' if share >= 0.9 else 'MISSED'}",
        "3 % found": f"{sum(1 in on for on in balanced) / len(found):.0%}",
        "pair kept": str(sum(on >= {3, 6} for on in balanced)),
        "p99-harming kept": f"{harming} {'held' if harming == 0 else 'MISSED'}",
        "no effect kept": f"{sum(bool(on & NO_EFFECT) for on in balanced) / len(found):.1%}",
        "interval holds it": f"{covered / max(1, len(claims)):.1%} [{100 * low:.1f}, {100 * high:.1f}]"
        f" {'held' if low <= 0.95 <= high else 'MISSED'}",
        "trials": f"{statistics.fmean(told.trials for told in found):.0f}",
    }


def hostile_row(ground: Ground, searches: int, processes: int, seed: int) -> Row:
    """What is found beside knobs that break the path, stand in for each other, or do nothing without another."""
    ground = replace(ground, budget=ground.budget * 3 // 2)  # twelve knobs, a third of the trials lost
    found = many(Task(ground, HOSTILE, range(0), f"hostile/{seed}/{ground.name}"), searches, processes)
    picks = [pick for told in found for pick in told.answer.picks]
    throughput = [held(pick.config) for pick in picks if pick.metric == GOODPUT]
    claims = [pick for pick in picks if pick.metric == GOODPUT]
    covered = sum(pick.gain.low <= HOSTILE.gain(held(pick.config)) <= pick.gain.high for pick in claims)
    low, high = interval(covered, len(claims))
    breaking = sum(bool(held(pick.config) & {SOMETIMES, ALWAYS}) for pick in picks)
    least = frozenset({BUFFER, KNEE, KNEE + 100, KNEE + 200})

    def share(holds: Callable[[frozenset[int]], bool]) -> str:
        return f"{sum(map(holds, throughput)) / len(found):.0%}"

    return {
        "noise": ground.name,
        "budget": str(ground.budget),
        "searches": str(len(found)),
        "confirmed": share(bool),
        "breaking recommended": f"{breaking} {'held' if breaking == 0 else 'MISSED'}",
        "one of either": share(lambda on: len(on & set(EITHER)) == 1),
        "both": share(lambda on: on >= set(EITHER)),
        "bundle": share(lambda on: on >= set(BUNDLE)),
        "buffer: found, at its knee": f"{share(lambda on: bool(on & least))}, {share(lambda on: KNEE in on)}",
        "costly": share(lambda on: COSTLY in on),
        "no effect kept": share(lambda on: bool(on & NO_EFFECT_HOSTILE)),
        "interval holds it": f"{covered / max(1, len(claims)):.1%} [{100 * low:.1f}, {100 * high:.1f}]"
        f" {'held' if low <= 0.95 <= high else 'MISSED'}",
        "trials": f"{statistics.fmean(told.trials for told in found):.0f}",
    }


def regret_rows(
    ground: Ground,
    surface: Surface,
    what: str,
    searches: int,
    processes: int,
    seed: int,
    pooled: dict[str, list[float]],
) -> list[Row]:
    """How much of the best configuration's worth is missed, after as many trials; `pooled` gets each search's."""
    task = Task(ground, surface, range(0), f"regret/{seed}/{ground.name}/{what}", peers=True)
    found = many(task, searches, processes)
    chosen = {"nettune": [told.own for told in found]}
    chosen |= {name: [told.peers[name] for told in found] for name in PEERS}
    best, rows = surface.best, []
    for name, sets in chosen.items():
        missed = [best - surface.worth(on) for on in sets]
        error = statistics.stdev(missed) / math.sqrt(len(missed)) if len(missed) > 1 else 0.0
        pooled.setdefault(name, []).extend(missed)
        rows.append(
            {
                "noise": ground.name,
                "surface": what,
                "by": name,
                "searches": str(len(missed)),
                "trials": f"{statistics.fmean(told.trials for told in found):.0f}",
                "mean regret": f"{100 * statistics.fmean(missed):.2f} ± {100 * error:.2f} %",
                "worst": f"{100 * max(missed):.1f} %",
                "p99 harmed": f"{sum(8 in on and bool(surface.p99) for on in sets) / len(sets):.0%}",
                "settings without effect": f"{statistics.fmean(len(on & NO_EFFECT) for on in sets):.1f}",
            }
        )
    return rows


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("tables", nargs="*", help=f"{' '.join(TABLES)}; default: all")
    parser.add_argument("--recordings", type=Path, default=Path(__file__).resolve().parents[1] / "recordings")
    parser.add_argument(
        "--replays", type=int, default=200, help="searches of `null`; a quarter planted, a tenth regret"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="append the figures here as one JSON line")
    chosen = parser.parse_args()
    tables = chosen.tables or TABLES
    made = grounds(recordings(chosen.recordings))
    started = time.monotonic()
    rows: dict[str, list[Row]] = {}
    if "null" in tables:
        rows["null"] = [null_row(each, chosen.replays, chosen.processes, chosen.seed) for each in made]
        printed("ten knobs and two anchors without effect", rows["null"])
    if "planted" in tables:
        searches = max(20, chosen.replays // 4)
        rows["planted"] = [planted_row(each, searches, chosen.processes, chosen.seed) for each in made]
        printed("planted: 3 %, 10 %, two of 5 % that harm each other, 6 % that costs 50 % of p99", rows["planted"])
    if "hostile" in tables:
        searches = max(100, chosen.replays // 4)
        rows["hostile"] = [hostile_row(each, searches, chosen.processes, chosen.seed) for each in made]
        printed("hostile: two knobs that break the path, either of two, a bundle, a buffer, a relink", rows["hostile"])
    if "regret" in tables:
        searches = max(10, chosen.replays // 10)
        rows["regret"], pooled = [], dict[str, list[float]]()
        for ground in made:
            for what, surface in (("with p99", PLANTED), ("goodput alone", GOODPUT_ALONE)):
                found = regret_rows(ground, surface, what, searches, chosen.processes, chosen.seed, pooled)
                printed("regret after equal trials, all of one length", found)
                rows["regret"] += found
        printed("regret over all of these surfaces", [
            {"by": name, "searches": str(len(missed)), "mean regret": f"{100 * statistics.fmean(missed):.2f} %"}
            for name, missed in pooled.items()])  # fmt: skip
    print(f"\n{time.monotonic() - started:.0f} s")
    kept(chosen.json, {"benchmark": "search", "seed": chosen.seed, **rows})
