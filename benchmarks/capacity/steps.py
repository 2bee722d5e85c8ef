"""One density step of so many pairs, real or of what simulated probes printed, in a process of its own. See `cost`.

So the most memory that the process ever had is that step's, as the kernel tells of it (VmHWM, proc(5)): rusage would
count what its parent had when it began it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.capacity import dense, density, step
from bench.capacity.plan import DensityPlan, parse
from bench.document import from_plain
from bench.facts import counters
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from bench.labs.lab import Endpoint
from bench.probes.probe import Pair
from bench.probes.trips import Train
from bench.together import Came
from benchmarks.capacity.kept import Row
from results.records import Run, Sample
from results.scaling.arms import PROBE, arm
from results.store import Ended, Store, opened

_ROWS, _TRIPS = 30, 40  # intervals of a stream, and probes that 100 pairs send each in two seconds


def real(n: int, plan: DensityPlan) -> Row:
    """The pairs stood up, started, measured, kept and taken away: seconds beside the traffic, and what is left."""
    found: Row = {"pairs": n}
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder = Path(text)
        lab = dense.standing(n, layout="across", uplink_mbit=plan.uplink_mbit, leases_folder=folder / "leases")
        with _timed(found, "up_s"):
            stood = stack.enter_context(lab)
        store = stack.enter_context(_store(folder, plan))
        began = time.monotonic()
        made = step.trial(stood, n, plan, step.Ports(21000, 31000, 22000, 42000), Local())
        _kept(store, n, plan, made)
        beside_s = time.monotonic() - began - plan.duration_s - plan.warmup_s
        hosts = [*stood.nodes, *(end.host for end in (*stood.clients, *stood.servers))]
        with _timed(found, "down_s"):
            stack.close()
        left = [each.name for each in hosts if isinstance(each, Namespace) and Path("/run/netns", each.netns).exists()]
    samples: dict[str, Sample] = {each.name: each for each in reversed(made.samples)}
    skew = samples.get(f"{PROBE}.start_skew")
    return found | {
        "status": made.status,
        "beside_s": round(beside_s, 2),
        "ms_a_pair": round(1e3 * beside_s / n, 1),
        "skew_s": skew.value if skew else None,
        "left": len(left),
        "memory_mb": _most_mb(),
    }


@contextmanager
def _timed(found: Row, name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    found[name] = round(time.monotonic() - began, 2)


def simulated(n: int, plan: DensityPlan) -> Row:
    """What the controller does with the outputs of a step, all of which are there at once, each pair's its own."""
    host = Local()
    made = step._Made(dense.Dense((), (), ()), plan, step._probe(plan), Train(plan.duration_s, plan.interval_s, 60))  # noqa: SLF001
    before = counters.read((host,), {host: (counters.QUEUES,)})
    pairs = [_pair(number) for number in range(n)]
    streams, echoes = [_streamed(pair, k) for k, pair in enumerate(pairs)], list(map(_echoed, pairs, range(n)))
    with tempfile.TemporaryDirectory() as folder, _store(Path(folder), plan) as store:
        began = time.process_time()
        for pair, stream, echo in zip(pairs, streams, echoes, strict=True):
            made.stream(pair, stream, stream.outcome)
            made.echo(pair, echo)
        ended = made.ended(before, counters.read((host,), {host: (counters.QUEUES,)}), (host,), streams)
        _kept(store, n, plan, ended)
        seconds = time.process_time() - began
    return {
        "simulated pairs": n,
        "status": ended.status,
        "cpu_s": round(seconds, 2),
        "ms_a_pair": round(1e3 * seconds / n, 3),
        "memory_mb": _most_mb(),
    }


def _pair(number: int) -> Pair:
    low = f"{number >> 8}.{number & 255}"
    client = Endpoint(Local(f"c{number}"), "eth0", f"198.18.{low}")
    return Pair(client, Endpoint(Local(f"s{number}"), "eth0", f"198.19.{low}"), 20000, 30000)


def _streamed(pair: Pair, number: int) -> Came:
    """As iperf3 prints a stream of three seconds; its bytes are the pair's own."""
    size = 25_000 + number
    rows = []
    for k in range(_ROWS):
        row = {"start": k / 10, "end": (k + 1) / 10, "seconds": 0.1, "bytes": size, "bits_per_second": size * 80.0,
               "retransmits": 0, "omitted": False, "sender": True}  # fmt: skip
        tcp = {"socket": 5, "snd_cwnd": 75_296 + number, "rtt": 100 + k, "rttvar": 20 + k, "pmtu": 1500}
        rows.append({"streams": [{**tcp, **row}], "sum": row})
    moved = {"retransmits": 0, "bytes": _ROWS * size}
    used = {"host_total": 1.0, "remote_total": 1.0}
    end = {"streams": [{"sender": {"mean_rtt": 100 + number % 900}}], "cpu_utilization_percent": used,
           "sum_sent": moved, "sum_received": moved}  # fmt: skip
    text = json.dumps({"start": {"connected": [{}], "tcp_mss_default": 1448}, "intervals": rows, "end": end})
    return _came(pair, "iperf3", text)


def _echoed(pair: Pair, number: int) -> Came:
    trips = [{"seqno": k, "lost": "false", "delay": {"rtt": 100_000 + 1000 * k + number}} for k in range(_TRIPS)]
    return _came(pair, "irtt", json.dumps({"round_trips": trips}))


def _came(pair: Pair, tool: str, text: str) -> Came:
    return Came(Outcome(Command((tool,)), pair.client.host.name, 0, text, "", 3.0), 1.0, 4.1)


@contextmanager
def _store(folder: Path, plan: DensityPlan) -> Iterator[Store]:
    """With a run on its way: opened once in a run, not in each step."""
    design = density.design(plan)
    with opened(str(folder / "cost.db")) as store:
        store.begin_run(Run("cost", plan.name, plan.document, design, 1, "running", time.time(), None, "", (), {}))
        yield store


def _kept(store: Store, n: int, plan: DensityPlan, made: Ended) -> None:
    """As a run keeps a block of one trial."""
    store.begin_block("cost", plan.layout, 0, 0, [arm(n)])
    store.end_trial(store.begin_trial("cost", plan.layout, 0, 0, 0, arm(n)), made)
    store.end_block("cost", plan.layout, 0, 0)


def _most_mb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024)


def main(kind: str, n: str) -> None:
    """A row as one line of JSON."""
    plan = parse(from_plain({"name": "cost", "pairs": [8], "uplink_mbit": 400, "rate_mbit": 2, "duration_s": 2,
                             "warmup_s": 1}, "a benchmark"))  # fmt: skip
    print(json.dumps({"real": real, "simulated": simulated}[kind](int(n), plan)))


if __name__ == "__main__":
    main(*sys.argv[1:])
