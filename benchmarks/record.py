"""Records identical trials: nothing is changed between them, so whatever differs is noise.

`python -m benchmarks.record --control cubic --trials 600 --output benchmarks/recordings/cubic.json` (root, 12 minutes).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.run import Progress
from nettune.places import Places
from nettune.wiring import Order, carry_out, load_plan
from results.store import opened


def record(control: str, trials: int) -> dict[str, object]:
    """A recording of that many trials of the `noise` plan under one congestion control, in time order."""
    plan = load_plan("noise", [f"tcp.congestion_control={control}", f"blocks={(trials + 1) // 2}"])

    def tell(now: Progress) -> None:
        if now.trials_done % 20 == 0:
            print(f"  {now.trials_done} of {now.trials_in_all}", flush=True)

    with tempfile.TemporaryDirectory() as folder, opened(f"{folder}/store.db") as store:
        run_id = carry_out(Order(plan, seed=1), Places(Path(folder), ""), store, tell)
        run, kept = store.run(run_id), store.trials(run_id)
    values = [trial.value("tcp.goodput") for trial in kept]
    return {
        "congestion_control": control,
        "machine": f"{run.machine['cpuinfo']}, {run.machine['cpus']} CPUs, {run.machine['kernel']}",
        "recorded": time.strftime("%Y-%m-%d", time.gmtime(run.started_at)),
        "iperf3": run.machine["iperf3"],
        "path": "two network namespaces over a Linux bridge, MTU 1500, 1 stream, window 0.2 to 1.0 s",
        "trial_s": round(sum(trial.elapsed_s for trial in kept) / len(kept), 3),
        "goodput_bps": [round(value) for value in values if value is not None][:trials],
    }


def main() -> None:
    """Parse, record, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", default="bbr")
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    document = record(chosen.control, chosen.trials)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
