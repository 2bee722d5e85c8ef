"""The parts of the benchmark, and where their figures go."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.capacity import shaped
from benchmarks.capacity.cost import cost
from benchmarks.capacity.dense import edge, live
from benchmarks.capacity.forecast import forecast
from benchmarks.capacity.kept import Asked
from benchmarks.capacity.quota import quota
from benchmarks.capacity.rates import rates
from benchmarks.capacity.verdicts import missed

# Each with the number of curves a row, steps, truths or repeats that it takes where nobody says otherwise.
PARTS = {
    "forecast": (forecast, 60),
    "rates": (rates, 60),
    "cost": (cost, 5),
    **{name: (shaped.part(name), 30) for name in shaped.PLANTED},
    "live": (live, 20),
    "edge": (edge, 3),
    "quota": (quota, 20),
}
NAMED = ("edge", "quota", "shaped-bad", "shaped-loss", "shaped-none")  # only when they are: they take long, or a guest


def main() -> None:
    """The parts that are named, or all. Exits with 1 where a goal was missed; one that is not judged is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=" ".join(PARTS))
    parser.add_argument(
        "--replays", type=int, help="curves a row, steps, truths or repeats; each part has its own number"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kept", type=Path, help="where real paths' rows are kept as they are made, and gone on from")
    parser.add_argument("--guest", action="store_true", help="shaped…, quota: in a guest, not on this machine")
    chosen = parser.parse_args()
    found = {}
    for name in chosen.names or [each for each in PARTS if each not in NAMED]:
        part, usual = PARTS[name]
        found[name] = part(Asked(chosen.replays or usual, chosen.kept, chosen.guest))
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "capacity", **found}) + "\n")
    if lines := missed():
        print("goals that were missed:", *lines, sep="\n  ", file=sys.stderr)
        sys.exit(1)
