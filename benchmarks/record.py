"""Records identical trials: nothing is changed between them, so whatever differs is noise.

One file per metric of a plan without treatments (root, quiet machine):

    python -m benchmarks.record --control cubic --trials 600          # tcp.goodput, 12 minutes -> cubic.json
    python -m benchmarks.record --plan benchmarks/probes.yaml --trials 240  # every primary of that plan's probes
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.run import Progress
from nettune.places import Places
from nettune.wiring import Order, carry_out, load_plan
from results.records import Run, Trial
from results.store import opened

GOODPUT = "tcp.goodput"


def record(control: str, trials: int) -> dict[str, object]:
    """A recording of that many trials of the `noise` plan under one congestion control, in time order."""
    run, kept = measured("noise", [f"tcp.congestion_control={control}"], trials)
    return recording(run, kept, GOODPUT, control)


def measured(name: str, overrides: Sequence[str], trials: int) -> tuple[Run, tuple[Trial, ...]]:
    """A run of a plan without treatments that has this many trials, and its trials."""
    plan = load_plan(name, [*overrides, f"blocks={(trials + 1) // 2}"])

    def tell(now: Progress) -> None:
        if now.trials_done % 20 == 0:
            print(f"  {now.trials_done} of {now.trials_in_all}", flush=True)

    with tempfile.TemporaryDirectory() as folder, opened(f"{folder}/store.db") as store:
        run_id = carry_out(Order(plan, seed=1), Places(Path(folder), ""), store, tell)
        return store.run(run_id), store.trials(run_id)


def recording(run: Run, trials: Sequence[Trial], metric: str, name: str) -> dict[str, object]:
    """The document of one metric: its values in time order, trials without one left out and counted."""
    values = [value for trial in trials if (value := trial.value(metric)) is not None]
    return {
        "name": name,
        "metric": metric,
        "machine": f"{run.machine['cpuinfo']}, {run.machine['cpus']} CPUs, {run.machine['kernel']}",
        "recorded": time.strftime("%Y-%m-%d", time.gmtime(run.started_at)),
        "tools": {tool: run.machine[tool] for tool in ("iperf3", "irtt") if tool in run.machine},
        "plan": run.plan,
        "trial_s": round(sum(trial.elapsed_s for trial in trials) / len(trials), 3),
        "without_value": len(trials) - len(values),
        "values": [float(f"{value:.6g}") for value in values],
    }


def main() -> None:
    """Parse, record, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", default="bbr")
    parser.add_argument("--plan", default="", help="in place of --control: a plan without treatments")
    parser.add_argument("--metrics", nargs="*", default=[], help="of that plan; default: all of its design")
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent / "recordings")
    chosen = parser.parse_args()
    if chosen.plan:
        run, trials = measured(chosen.plan, [], chosen.trials)
        metrics = chosen.metrics or run.design.metrics
        found = [recording(run, trials, metric, metric) for metric in metrics]
    else:
        found = [record(chosen.control, chosen.trials)]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for each in found:
        path = chosen.folder / f"{each['name']}.json"
        path.write_text(json.dumps(each) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
