"""How fast the payload check of offload validation is, beside iperf3 on the same path, in turn. Goal: at least 80 %.

Goodput is that of the receiver: bytes that were read and compared, over the time from the first to the last.

    python benchmarks/offload.py [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, not installed

from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair
from tuning.offload import exchange
from tuning.offload.cases import Case, judged
from tuning.offload.exchange import End

GOAL = 0.8
BULK_BYTES = 2_000_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    plain, compared = [], []
    case = Case("tcp4", "tcp", "out", 4, BULK_BYTES)
    with (
        tempfile.TemporaryDirectory() as folder,
        standing(Topology("direct"), leases_folder=Path(folder)) as lab,
    ):
        ends = [End(end.host, end.device, {4: end.address}, "") for end in (lab.a, lab.b)]
        for number in range(chosen.rounds):
            pair = Pair(lab.a, lab.b, 20001 + number, 30001 + number, lab.reached(lab.a, lab.b))
            measured = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0).measure(pair)
            plain.append(next(each.value for each in measured.samples if each.metric == "goodput"))
            [result] = exchange.run(ends[0], ends[1], [case], 1500, number)
            if judged(result)[0] != "ok":
                raise SystemExit(f"the payload check said {judged(result)}")
            compared.append(result.taker["got"] * 8 / result.taker["took_s"])
    share = statistics.median(compared) / statistics.median(plain)
    shown = [f"{statistics.median(each) / 1e9:.1f} Gbit/s" for each in (compared, plain)]
    word = "held" if share >= GOAL else "MISSED"
    print(f"  payload compared {shown[0]}, iperf3 {shown[1]}, n = {chosen.rounds}")
    print(f"  share {share:.0%}   goal ≥ {GOAL:.0%}: {word}")
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"benchmark": "offload", "share": share, "plain": plain, "compared": compared}) + "\n"
            )


if __name__ == "__main__":
    main()
