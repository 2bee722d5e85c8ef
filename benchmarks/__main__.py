"""`make bench`: every figure that the project promises, with the machine that it was measured on.

Needs root and the tools. About 20 minutes, most of them replays of the recordings in benchmarks/recordings.
"""

import argparse
import importlib
import json
import statistics
import subprocess  # noqa: TID251 - times whole programs from outside
import sys
import tempfile
import time
from pathlib import Path

from bench.facts import machine
from bench.hosts.local import Local
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from benchmarks.record import record

HELP_GOAL_S, QUICK_GOAL_S, LAB_GOAL_S = 0.5, 100.0, 0.5


def timed(*words: str) -> float:
    """Seconds of one run of the console program; its output is shown when it fails."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "nettune", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"nettune {' '.join(words)} exited with {done.returncode}: {done.stderr}")
    return time.monotonic() - started


def told(what: str, values: list[float], goal: float) -> None:
    """One line: least, median, most, and the goal."""
    middle = statistics.median(values)
    word = "held" if middle <= goal else "MISSED"
    figures = f"{min(values):.2f} / {middle:.2f} / {max(values):.2f} s (n = {len(values)})"
    print(f"  {what:<32}{figures:<30} goal ≤ {goal:g} s: {word}")


ALL = (
    "durations",
    "overhead",
    "agreement",
    "live",
    "false_winners",
    "paths",
    "between",
    "trend",
    "failures",
    "lossy",
    "power",
    "starts",
    "search",
    "capacity",
    "plans",
    "store",
    "guests",
    "applying",
    "deploying",
    "offload",
)

NAMED = ("wan_lossy",)  # half an hour each: run where they are named


def durations() -> None:
    """The program as a whole: --help, a lab up and down, quick."""
    print("durations, least / median / most")
    told("nettune --help", [timed("--help") for _ in range(7)], HELP_GOAL_S)
    labs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(7):
            started = time.monotonic()
            with standing(Topology("bridge"), leases_folder=Path(folder)):
                pass
            labs.append(time.monotonic() - started)
        told("lab bridge, up and down", labs, LAB_GOAL_S)
        whole = timed("run", "quick", "--store", f"{folder}/quick.db", "--out", f"{folder}/out")
        told("nettune run quick, report too", [whole], QUICK_GOAL_S)
        document = json.loads((Path(folder) / "out" / "show.json").read_text())
    for each in document["treatments"]:
        if each["primary"]:
            print(f"    {each['treatment']:<16}{each['verdict']:<14}{each['reason']}")


def live(trials: int) -> None:
    """Sixty fresh identical trials per congestion control beside the recordings, judged the same way."""
    with tempfile.TemporaryDirectory() as folder:
        for control in ("bbr", "cubic"):
            if control not in machine.available_congestion_controls(Local()):
                print(f"live {control}: this kernel does not offer it")
                continue
            document = record(control, trials)
            Path(folder, f"{control}.json").write_text(json.dumps(document), encoding="utf-8")
            values = [float(value) for value in document["values"]]  # type: ignore[attr-defined]  # a list, by record()
            spread = statistics.stdev(values) / statistics.fmean(values) * 100
            middle = statistics.median(values) / 1e9
            print(f"live {control}: {len(values)} trials, median {middle:.1f} Gbit/s, CV {spread:.1f} %")
        run("false_winners", "--recordings", folder, "--replays", "500")


def run(name: str, *words: str) -> None:
    """One benchmark with its own options."""
    print(f"\n== {name} {' '.join(words)}", flush=True)
    sys.argv = [name, *words]
    importlib.import_module(f"benchmarks.{name}").main()  # not runpy: other processes must find its functions


def main() -> None:
    """All of them, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=" ".join((*ALL, *NAMED)))
    parser.add_argument("--json", type=Path, help="append the figures here, one JSON line per benchmark")
    chosen = parser.parse_args()
    names = chosen.names or ALL
    facts = machine.read(Local())
    print(
        ", ".join(f"{name} {facts[name]}" for name in ("cpuinfo", "cpus", "memory", "kernel", "os", "iperf3", "irtt"))
    )
    extra = ["--json", str(chosen.json)] if chosen.json else []
    for name in names:
        if name == "durations":
            durations()
        elif name == "live":
            print("\n== live", flush=True)
            live(60)
        else:
            run(name, *(extra if name not in {"failures", "lossy", *NAMED} else []))


if __name__ == "__main__":
    main()
