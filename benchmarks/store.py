"""What a store of 100,000 trials costs: appending to it, `runs` and `show`, and the report of a run of 2,000 trials.

A run of `quick` (8 blocks, 5 arms; samples, histogram, raw output of both tools and fact sheets of the sizes that a
real run left) is written through the Store and copied by SQL until the store is full; filling it all by the Store
would time the same loop fifty times. Then a run of 2,000 trials is appended through the Store and timed, first with
what verdicts need, then a part with its raw output too, of which zlib is most. The program is timed as its users start
it, each time in a new process. The processor's seconds stand beside those of the clock: on a busy machine only they
say something.

    python -m benchmarks.store [--trials N] [--folder DIR] [--json FILE]
"""

import argparse
import json
import math
import os
import random
import sqlite3
import statistics
import subprocess  # noqa: TID251 - times whole programs from outside
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.probes.trips import unindented
from nettune.wiring import load_plan
from results.metrics import METRICS
from results.records import CURRENT_ARMS, Histogram, Run, Sample
from results.store import Ended, Store, opened

ROOT = Path(__file__).resolve().parent.parent
APPEND_GOAL, READ_GOAL_S, REPORT_GOAL_S, REPORT_GOAL_MB = 500.0, 1.0, 20.0, 700.0
LARGE = (5, 8, 40)  # topologies, treatments, blocks: 2,000 trials with both current arms
WITH_RAW = 400  # trials
TIMES = 5
PACKETS = 600  # of a latency probe
SHEETS, FACTS = 12, 1000  # fact sheets of a run (each arm changes some), facts of one
BUSY = {"cpu_busy": 1.9, "cpu_softirq": 0.6, "cpu_system": 1.0, "cpu_user": 0.1, "cpu_guest": 0.1, "cpu_steal": 0.1}
SAMPLED = {  # probe -> metric: mean, as a run of quick on a bridge left them
    "tcp": {"goodput": 2e10, "sent": 2e10, "retransmits": 40.0, "cpu_per_10gbit": 0.9, "drops": 1e-6}
    | {"generator_busy": 90.0, **BUSY},
    "latency": {"rtt_p50": 1.1e-4, "rtt_p99": 4e-4, "rtt_mean": 1.3e-4, "loss": 1e-3, **BUSY},
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mb: float  # never less than this benchmark's own 86 MB, which the process begins with (wait4 counts from fork)


def a_run(run_id: str, started_at: float, *, large: bool) -> Run:
    """A run of `quick`, or one of 2,000 trials over the same probes."""
    plan = load_plan("quick", ())
    design = plan.design
    if large:
        topologies, treatments, blocks = LARGE
        names = tuple(f"path-{k}" for k in range(topologies)), tuple(f"t{k}" for k in range(treatments))
        design = replace(design, topologies=names[0], treatments=names[1], blocks=blocks)
    machine = {"kernel": "Linux 6.8", "cpuinfo": "a processor", "cpus": "8"}
    return Run(run_id, plan.name, plan.document, design, 1, "running", started_at, None, "0.1.0", (), machine)


def ended(arm: str, dice: random.Random, raw: Mapping[tuple[str, str], str]) -> Ended:
    """A trial as a run of quick leaves it: 22 numbers, one histogram, its sheets by digest."""
    gain = 1.0 if arm in CURRENT_ARMS else 1.0 + (hash_of(arm) % 40 - 20) / 100.0
    samples = tuple(
        Sample(probe, metric, mean * gain * math.exp(dice.gauss(0.0, 0.05)), METRICS[metric].unit, "b", "a>b", 1.0)
        for probe, metrics in SAMPLED.items()
        for metric, mean in metrics.items()
    )
    bins = Counter(1170 + round(dice.gauss(0.0, 40.0)) for _ in range(PACKETS))
    sheets = {host: f"{hash_of(arm) % (SHEETS // 3) * 3 + k:064d}" for k, host in enumerate(("a", "b", "node"))}
    return Ended("done", "", 2.4, samples, (Histogram("latency", "rtt", "s", bins),), (), raw, sheets, sheets)


def hash_of(word: str) -> int:
    """A number that is the same in every process."""
    return sum(map(ord, word))


def raw_output() -> dict[tuple[str, str], str]:
    """What the tools printed, from the transcripts, in the sizes that a run of quick left (150 kB of irtt)."""
    irtt, iperf3 = (
        json.loads((ROOT / "tests" / "transcripts" / name).read_text(encoding="utf-8"))["outcomes"][0]["stdout"]
        for name in ("irtt/paced.json", "iperf3/forward.json")
    )
    return {
        ("latency", "client"): a_paced_second(irtt),
        ("tcp", "client"): iperf3[:8000],
        ("tcp", "server"): iperf3[:6700],
    }


def a_paced_second(printed: str) -> str:
    """Irtt's document as the probe keeps it, with 490 round trips in place of the few that it has; no two alike."""
    document, dice = json.loads(printed), random.Random(1)

    def moved(value: object) -> object:
        if isinstance(value, dict):
            return {key: moved(inner) for key, inner in value.items()}
        return value + dice.randrange(900_000) if isinstance(value, int) else value

    first = document["round_trips"][0]
    document["round_trips"] = [{key: moved(value) for key, value in first.items()} for _ in range(490)]
    return unindented(json.dumps(document, indent=4))


def written(store: Store, run: Run, raw: Mapping[tuple[str, str], str], most: int) -> Iterator[int]:
    """Write a run as `nettune run` does, up to `most` trials; the count after each block."""
    dice = random.Random(run.run_id)
    arms = (*CURRENT_ARMS, *run.design.treatments)
    facts = {f"sysctl/net.some.thing.number{n}": str(n) for n in range(FACTS)}
    made = {arm: [ended(arm, dice, raw) for _ in range(5)] for arm in arms}
    store.begin_run(run)
    count = 0
    for block in range(run.design.blocks):
        for topology in run.design.topologies:
            if count >= most:
                return
            store.begin_block(run.run_id, topology, block, 0, arms)
            for position, arm in enumerate(arms):
                trial_id = store.begin_trial(run.run_id, topology, block, 0, position, arm)
                trial = made[arm][block % 5]
                for host, digest in (*trial.facts_before.items(), *trial.facts_after.items()):
                    store.keep_facts(digest, host, facts)
                store.end_trial(trial_id, trial)
                count += 1
            store.end_block(run.run_id, topology, block, 0)
            yield count


def copied(path: Path, run_id: str, copies: int) -> None:
    """The run that is the only one in the store, `copies` times more, each under an id and trial ids of its own."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    columns = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("runs", "settings", "blocks", "trials", "trial_history", "samples", "histograms", "raw")
    }
    (trials,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    new = {"run_id": "run_id || '-' || :k", "trial_id": f"trial_id + :k * {trials}", "started_at": "started_at + :k"}
    for k in range(1, copies + 1):
        for table, names in columns.items():
            chosen = ", ".join(new.get(name, f'"{name}"') for name in names)
            which = "run_id = :run" if "run_id" in names else f"trial_id <= {trials}"
            copy = f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {which}"  # noqa: S608 - our own tables
            connection.execute(copy, {"k": k, "run": run_id})
        if k % 100 == 0:
            connection.commit()
    connection.commit()
    connection.close()
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # else the first checkpoints that are timed wait for gigabytes of the copies


def appended(store: Store, run: Run, raw: Mapping[tuple[str, str], str], most: int) -> tuple[float, float]:
    """Trials per second of the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = 0
    for done in written(store, run, raw, most):
        count = done
    rates = count / (time.perf_counter() - wall), count / (time.process_time() - cpu)
    store.end_run(run.run_id, "complete")
    return rates


def cost(*words: str, compiled: Path) -> Cost:
    """One run of the console program; it must succeed. Modules are compiled (below `compiled`), as when installed."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""}
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        argv = [sys.executable, "-m", "nettune", *words]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise SystemExit(f"nettune {' '.join(words)} exited with {process.returncode}: {said.read().decode()}")
    return Cost(time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0)


def told(what: str, costs: Sequence[Cost], goal_s: float, goal_mb: float | None = None) -> dict[str, object]:
    """One line with the goals; the figures."""
    wall, cpu = (statistics.median(values) for values in ([c.wall_s for c in costs], [c.cpu_s for c in costs]))
    peak = max(each.peak_mb for each in costs)
    held = wall <= goal_s and (goal_mb is None or peak <= goal_mb)
    more = "" if goal_mb is None else f" and {goal_mb:g} MB"
    print(
        f"  {what:<34}{wall:6.2f} s (processor {cpu:.2f} s), {peak:4.0f} MB, n = {len(costs)}"
        f"   goal ≤ {goal_s:g} s{more}: {'held' if held else 'MISSED'}"
    )
    return {"what": what, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak, "n": len(costs)}


def measured(folder: Path, trials: int) -> dict[str, object]:
    """Fill, append, read; prints as it goes."""
    path, raw = folder / "store.db", raw_output()
    small = a_run("20260101-000000-aaaa", 1_767_225_600.0, large=False)
    with opened(str(path)) as store:
        for _ in written(store, small, raw, 10**9):
            pass
        store.end_run(small.run_id, "complete")
    each = small.design.blocks * (len(small.design.treatments) + len(CURRENT_ARMS))
    copied(path, small.run_id, trials // each - 1)
    size_gb = path.stat().st_size / 1e9
    print(f"store: {trials // each} runs of {each} trials, {size_gb:.1f} GB, {size_gb * 1e6 / trials:.0f} kB a trial")
    rates: dict[str, tuple[float, float]] = {}
    with opened(str(path)) as store:
        rates["without raw output"] = appended(store, a_run("large", time.time(), large=True), {}, 10**9)
        rates["with raw output"] = appended(store, a_run("raw", time.time() - 60, large=True), raw, WITH_RAW)
    for what, (wall, cpu) in rates.items():
        word = "held" if wall >= APPEND_GOAL else "MISSED"
        print(
            f"  append {what:<27}{wall:6.0f} trials/s ({cpu:.0f} per second of processor)"
            f"   goal ≥ {APPEND_GOAL:g}: {word}"
        )
    place = ("--store", str(path))
    read = [("runs",), ("show", f"{small.run_id}-7"), ("show", "large"), ("show", "large", "--json")]
    compiled = folder / "compiled"
    cost("show", "large", *place, compiled=compiled)
    lines = [
        told(" ".join(words), [cost(*words, *place, compiled=compiled) for _ in range(TIMES)], READ_GOAL_S)
        for words in read
    ]
    page = ("report", "large", "-o", str(folder / "report.html"), *place)
    lines.append(told("report large", [cost(*page, compiled=compiled)], REPORT_GOAL_S, REPORT_GOAL_MB))
    print(f"  the page has {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")
    return {"benchmark": "store", "trials": trials, "size_gb": size_gb, "append_per_s": rates, "rows": lines}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="on a local disk with room for the store (3.6 GB), in place of TMPDIR"
    )
    parser.add_argument("--json", type=Path, help="append the figures here as one JSON line")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        figures = measured(Path(folder), chosen.trials)
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
