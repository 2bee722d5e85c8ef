"""Goodput against the receiving interface's own byte counter, less headers, over the same window.

A process in the receiver's namespace reads rx_bytes and rx_packets every 2 ms. The test's start is the first reading
in which data moved; the counter's rate from warm-up to the window's end is set against what the probe reported.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench.hosts.command import Command
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair

GOAL_PCT = 1.0
HEADER_BYTES = 14 + 20 + 32  # Ethernet, IPv4, TCP with timestamps: once per packet that the device counted
SAMPLER = """\
import time
folder = "/sys/class/net/eth0/statistics/"
files = [open(folder + name) for name in ("rx_bytes", "rx_packets")]
end = time.monotonic() + 4
while time.monotonic() < end:
    row = [str(time.monotonic())]
    for file in files:
        file.seek(0)
        row.append(file.read().strip())
    print(*row)
    time.sleep(0.002)
"""


def one_trial(lab: Lab, tcp: Tcp, index: int) -> float:
    """Probe over counter, as a ratio less one, in percent."""
    with lab.b.host.start(Command((sys.executable, "-c", SAMPLER), deadline_s=20)) as sampler:
        measured = tcp.measure(Pair(lab.a, lab.b, 21000 + index, 31000 + index))
        rows = [tuple(float(word) for word in line.split()) for line in sampler.wait().stdout.splitlines()]
    moved = [row for row in rows if row[1] - rows[0][1] > 50_000]
    begin = moved[0][0]
    inside = [row for row in rows if begin + tcp.warmup_s <= row[0] <= begin + tcp.warmup_s + tcp.duration_s]
    first, last = inside[0], inside[-1]
    payload = (last[1] - first[1]) - HEADER_BYTES * (last[2] - first[2])
    counted = payload * 8 / (last[0] - first[0])
    goodput = next(sample.value for sample in measured.samples if sample.metric == "goodput")
    return (goodput / counted - 1) * 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, standing(Topology("bridge"), leases_folder=Path(folder)) as lab:
        tcp = Tcp("tcp", 1.6, 0.2, 1, "forward", "", 0)
        off = [one_trial(lab, tcp, index) for index in range(chosen.trials)]
    mean, worst = statistics.fmean(off), max(off, key=abs)
    word = "held" if abs(mean) <= GOAL_PCT else "MISSED"
    print(f"goodput against the byte counter less headers, {len(off)} trials of {tcp.duration_s} s")
    print(f"  mean {mean:+.2f} %, worst {worst:+.2f} %   goal ±{GOAL_PCT:g} %: {word}")
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"benchmark": "agreement", "mean_pct": mean, "worst_pct": worst, "n": len(off)}) + "\n"
            )


if __name__ == "__main__":
    main()
