"""PDR through a real token bucket whose rate is known, beside plain bisection over the same trials' length.

The bucket's burst is four of iperf3's pacing intervals; the queue behind it holds what a stalled scheduler bunches
together. Truth and result are frames a second at Ethernet: a qdisc counts the header, not the checksum.
"""

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.capacity.datagrams import Datagrams
from bench.capacity.rates import PDR, Effort, Offered, searched
from bench.hosts.command import Command
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.probe import Pair
from benchmarks.capacity import kept

_FRAME, _BURST_S, _QUEUE_S = 1518, 0.004, 0.03
_TRIAL_S = 4.0  # what bucket and queue pass beyond the rate is 0.9 % of it
_ROOM = 3.0  # the search begins at so many times the rate, which it is not told
EXACT, GOAL = 0.02, 0.95
_BISECTED = 5  # truths, the first, by bisection too: twice the time


@dataclass(slots=True)
class _Seconds:
    """A path whose trials' seconds are counted."""

    path: Datagrams
    seconds: float = 0.0

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer."""
        self.seconds += seconds
        return self.path.offer(rate_fps, seconds)


def shaped(replays: int, file: Path | None = None) -> list[kept.Row]:
    """A row per truth: rate, PDR's bounds over the truth, trials rejected, seconds; bisection's for the first five."""
    dice = random.Random("shaped")
    rates = [round(dice.uniform(10.0, 120.0), 1) for _ in range(replays)]
    with tempfile.TemporaryDirectory() as folder, standing(Topology("bridge"), leases_folder=Path(folder)) as lab:
        rows = kept.rows("shaped", replays, lambda number: _truth(lab, number, rates[number]), file)
    within = sum(abs(float(str(row["low"])) - 1) <= EXACT for row in rows)
    word = "held" if within >= GOAL * len(rows) else "MISSED"
    seconds = sum(float(str(row["s"])) for row in rows) / max(len(rows), 1)
    print(f"shaped: {within} of {len(rows)} truths within {EXACT:.0%}, {seconds:.0f} trial seconds each: {word}")
    return rows


def _truth(lab: Lab, number: int, mbit: float) -> kept.Row:
    began = time.monotonic()
    rate_bytes, truth = mbit * 1e6 / 8, mbit * 1e6 / 8 / (_FRAME - 4)
    words = ("rate", f"{mbit}mbit", "burst", str(round(rate_bytes * _BURST_S)), "limit",
             str(round(rate_bytes * (_BURST_S + _QUEUE_S))))  # fmt: skip
    command = Command(("tc", "qdisc", "replace", "dev", "port-b", "root", "tbf", *words))
    lab.named("node").run(command).require()
    path = _Seconds(Datagrams(Pair(lab.a, lab.b, 21000 + number, 31000 + number), _FRAME))
    effort = Effort(_TRIAL_S, _TRIAL_S)
    found = searched(path, most_fps=_ROOM * truth, goals=(PDR,), effort=effort)
    low, high = found.bounds[0].low or 0.0, found.bounds[0].high or 0.0
    row: kept.Row = {"mbit": mbit, "low": low / truth, "high": high / truth, "s": path.seconds,
                     "rejected": len(found.rejected), "took_s": round(time.monotonic() - began, 1)}  # fmt: skip
    if number < _BISECTED:
        path.seconds = 0.0
        row["bisection"] = _bisected(path, _ROOM * truth, effort.width) / truth
        row["bisection_s"] = path.seconds
    shown = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print("  " + ", ".join(shown), flush=True)
    return row


def _bisected(path: _Seconds, most: float, width: float) -> float:
    low, high = 0.0, most
    while high - low > width * high:
        middle = (low + high) / 2
        low, high = (middle, high) if path.offer(middle, _TRIAL_S).loss <= PDR.loss else (low, middle)
    return low
