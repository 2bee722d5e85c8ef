"""What a density step costs beside its traffic: stood up, started, measured, taken away; and read, to 10,000 pairs."""

import contextlib
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.capacity import dense, step
from bench.capacity.plan import DensityPlan, parse
from bench.document import from_plain
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.labs.lab import Endpoint
from bench.probes.probe import Pair
from bench.probes.trips import Train
from bench.together import Came
from benchmarks.capacity.kept import Asked, Row
from results.records import Sample
from results.scaling.arms import PROBE

_REAL, _SIMULATED = (8, 16, 32, 64, 128), (100, 1_000, 10_000)
STAND_GOAL_S, SKEW_GOAL_S, MEMORY_GOAL_MB = 6.0, 0.2, 400.0


def cost(_: Asked) -> list[Row]:
    """A row per number of pairs; each number is stood once."""
    rows: list[Row] = []
    plan = parse(from_plain({"name": "cost", "pairs": [8], "uplink_mbit": 400, "rate_mbit": 2, "duration_s": 2,
                             "warmup_s": 1}, "a benchmark"))  # fmt: skip
    print("cost: seconds beside the traffic, real pairs")
    for n in _REAL:
        row = _real(n, plan)
        rows.append(row)
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print("cost: reading what simulated probes printed")
    for n in _SIMULATED:
        row = _simulated(n, plan)
        rows.append(row)
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(f"  goals: 32 pairs up in ≤ {STAND_GOAL_S:g} s and begun within {SKEW_GOAL_S:g} s; controller "
          f"≤ {MEMORY_GOAL_MB:g} MB; ms a pair alike at every number")  # fmt: skip
    return rows


@contextlib.contextmanager
def _timed(found: dict[str, object], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    found[name] = round(time.monotonic() - began, 2)


def _real(n: int, plan: DensityPlan) -> dict[str, object]:
    found: dict[str, object] = {"pairs": n}
    traffic_s = plan.duration_s + plan.warmup_s
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        lab = dense.standing(n, layout="across", uplink_mbit=plan.uplink_mbit, leases_folder=Path(folder))
        with _timed(found, "up_s"):
            stood = stack.enter_context(lab)
        made = step.trial(stood, n, plan, step.Ports(21000, 31000, 22000, 42000), Local())
        with _timed(found, "down_s"):
            stack.close()
    samples: dict[str, Sample] = {each.name: each for each in reversed(made.samples)}
    beside_s = made.elapsed_s - traffic_s
    found |= {
        "status": made.status,
        "beside_s": round(beside_s, 2),
        "ms_a_pair": round(1e3 * beside_s / n, 1),
        "skew_s": samples[f"{PROBE}.start_skew"].value if samples else None,
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    return found


def _simulated(n: int, plan: DensityPlan) -> dict[str, object]:
    """The same documents for every pair: what the controller does with the outputs of a step."""
    rows = [{"sum": {"start": k / 10, "end": (k + 1) / 10, "bytes": 25_000, "seconds": 0.1}} for k in range(30)]
    moved = {"retransmits": 0, "bytes": 750_000}
    end = {
        "cpu_utilization_percent": {"host_total": 1.0, "remote_total": 1.0},
        "sum_sent": moved,
        "sum_received": moved,
    }
    stream = json.dumps({"start": {"connected": [{}]}, "intervals": rows, "end": end})
    echo = json.dumps({"round_trips": [{"delay": {"rtt": 100_000 + each}} for each in range(400)]})
    made = step._Made(n, plan, step._probe(plan), Train(plan.duration_s, plan.interval_s, 60))  # noqa: SLF001
    host = Local()
    pair = Pair(Endpoint(host, "eth0", "198.18.0.1"), Endpoint(host, "eth0", "198.19.0.1"), 20000, 30000)
    began = time.process_time()
    for _ in range(n):
        printed = Outcome(Command(("iperf3",)), "c1", 0, stream, "", 3.0)
        made.stream(pair, Came(printed, 1.0, 4.1), printed)
        made.echo(pair, Came(Outcome(Command(("irtt",)), "c1", 0, echo, "", 3.0), 1.0, 4.1))
    seconds = time.process_time() - began
    return {
        "simulated pairs": n,
        "cpu_s": round(seconds, 2),
        "ms_a_pair": round(1e3 * seconds / n, 3),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
