"""The parts of the benchmark, and where their figures go."""

import argparse
import json
from pathlib import Path

from benchmarks.capacity.cost import cost
from benchmarks.capacity.dense import live
from benchmarks.capacity.forecast import forecast
from benchmarks.capacity.quota import quota
from benchmarks.capacity.rates import rates
from benchmarks.capacity.shaped import shaped

# Each with the number of curves a row, truths or repeats that it takes where nobody says otherwise.
PARTS = {
    "forecast": (forecast, 60),
    "rates": (rates, 60),
    "cost": (cost, 1),
    "shaped": (shaped, 30),
    "live": (live, 20),
    "quota": (quota, 20),
}


def main() -> None:
    """The parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=" ".join(PARTS))
    parser.add_argument("--replays", type=int, help="curves a row, truths or repeats; each part has its own number")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kept", type=Path, help="where `shaped`, `live` and `quota` keep each row, and go on from")
    chosen = parser.parse_args()
    found = {}
    for name in chosen.names or [each for each in PARTS if each != "quota"]:  # which takes long, or a guest
        part, usual = PARTS[name]
        found[name] = part(chosen.replays or usual, chosen.kept)
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "capacity", **found}) + "\n")
