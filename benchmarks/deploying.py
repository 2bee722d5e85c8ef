"""How long eight test VMs take that are made side by side, against the slowest of them made alone.

Against the double of Proxmox VE's API that tests/pve has: 50 ms to every answer, a second for a clone, two for a start.
Goal: at most 1.5 times as long.

    python -m benchmarks.deploying [--times N] [--json FILE]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.pve.client import Client
from bench.pve.deploying import deployed
from bench.pve.wanted import Wanted
from bench.pve.wire import Https
from tests.pve.kit import Double, running

GOAL = 1.5
COUNT, LATENCY_S, CLONE_S, START_S = 8, 0.05, 1.0, 2.0
TEMPLATE = {"scsi0": "ceph-pool:base-9000-disk-0,size=2G"}


def wanted() -> list[Wanted]:
    """Eight of one template."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5c2tleQ== somebody"
    return [
        Wanted(
            f"nettune-{number}", "pve1", "9000", "ceph-pool", (("virtio,bridge=vmbr0", f"192.0.2.{number}/24"),), key
        )
        for number in range(1, COUNT + 1)
    ]


def timed(double: Double, vms: list[Wanted], folder: Path) -> float:
    """Seconds until all of them run."""
    client = Client(Https(double.access()))
    began = time.monotonic()
    with deployed(client, vms, leases_folder=folder, cluster=folder / "pve.yaml"):
        return time.monotonic() - began


def main() -> None:
    """Print both, and what one is of the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as double:
        double.tell("add_ceph_storage")
        double.tell("add_vm", 9000, "template", template=True, config=TEMPLATE)
        double.tell("slow_network", LATENCY_S)
        double.tell("ceph_slow", CLONE_S)
        double.tell("set", 0, "starts_last_s", START_S - CLONE_S)  # a start reads the disk, too
        double.tell("set", 0, "time_scale", 1)
        alone, together = [], []
        for _ in range(chosen.times):
            alone.append(max(timed(double, [each], Path(name)) for each in wanted()[:2]))
            together.append(timed(double, wanted(), Path(name)))
    ratios = [wall / one for wall, one in zip(together, alone, strict=True)]
    middle = statistics.median(ratios)
    for what, values in ((f"{COUNT} VMs, s", together), ("one VM alone, s", alone), ("ratio", ratios)):
        shown = f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"
        print(f"  {what:<20}{shown} (n = {len(values)})")
    print(f"  goal ≤ {GOAL:g}: {'held' if middle <= GOAL else 'MISSED'}")
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            row = {"benchmark": "deploying", "alone_s": alone, "together_s": together, "ratio": middle}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
