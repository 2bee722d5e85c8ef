"""Trials of pairs that share a CPU quota, here or in a guest; a line of JSON each. See `quota`."""

import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.capacity import dense
from bench.capacity.plan import DensityPlan, parse
from bench.document import from_plain
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host, Running
from bench.hosts.local import Local
from bench.labs.lab import Endpoint
from benchmarks.capacity.dense import goodput

_GROUPS = "/run/cgroup-of-quota"  # not below /sys, of which each network namespace has its own
_NAME = f"nettune-quota-{os.getpid()}"
_JOIN = f'echo 0 >{_GROUPS}/{_NAME}/cgroup.procs && exec "$@"'
# A stream that stands still for a retransmission timeout (0.2 s at least) measures TCP and no longer the quota.
_PERIOD_US = 20_000
# $1 the folder, $2 the group, $3 its share of a period, $4 the period, in microseconds. With cgroup v1 the hierarchy is
# the machine's, mounted once more.
_MAKE = """\
set -e
mkdir -p "$1"
if [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
  mount -t cgroup -o cpu none "$1" && mkdir "$1/$2" && echo "$4" >"$1/$2/cpu.cfs_period_us"
  echo "$3" >"$1/$2/cpu.cfs_quota_us"
else
  mount -t cgroup2 none "$1" && echo +cpu >"$1/cgroup.subtree_control" && mkdir "$1/$2"
  echo "$3 $4" >"$1/$2/cpu.max"
fi
"""
_END = 'rmdir "$1/$2"; umount "$1"; rmdir "$1"'


@dataclass(frozen=True, slots=True)
class Capped:
    """A host whose iperf3 runs within the quota, by itself or behind a gate (bench.together).

    The shell at the gate does not: when its program began and ended is noted by a clock that nothing holds back.
    """

    of: Host

    @property
    def name(self) -> str:
        """See Host.name."""
        return self.of.name

    @property
    def local(self) -> bool:
        """See Host.local."""
        return self.of.local

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        return self.of.run(command)

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return self.of.run_all(commands)

    def start(self, command: Command) -> Running:
        """See Host.start."""
        return self.of.start(replace(command, argv=joining(command.argv)))


def joining(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command with its iperf3, where it runs one, put into the quota's group right before it begins."""
    if "iperf3" not in argv:
        return argv
    at = argv.index("iperf3")
    return (*argv[:at], "sh", "-c", _JOIN, "sh", *argv[at:])


def _capped(ends: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(replace(each, host=Capped(each.host)) for each in ends)


def _plan(n: int, rate_mbit: float, window_s: float) -> DensityPlan:
    """All pairs together send as many probes as one would: those cost CPU, too, and are not what is to be limited."""
    paced = {"rate_mbit": rate_mbit} if rate_mbit else {}
    return parse(from_plain({"name": "quota", "layout": "same", "pairs": [n], "duration_s": window_s,
                             "warmup_s": max(1.0, 0.4 * window_s), "latency_interval_s": round(n * window_s / 600, 4),
                             **paced}, "a benchmark"))  # fmt: skip


def main(seed: str, repeats: str, held_out: str, window_s: str, least: str) -> None:
    """The quota and pace that are dealt, then {"n", "goodput", "again"} of every trial in random order.

    The quota is dealt between `least` CPUs and five thirds of it.
    """
    dice = random.Random(f"quota {seed}")
    quota = round(float(least) * dice.uniform(1.0, 5.0 / 3.0), 3)
    words = (_GROUPS, _NAME, str(round(quota * _PERIOD_US)), str(_PERIOD_US))
    Local().run(Command(("sh", "-c", _MAKE, "sh", *words))).require()
    try:
        _measured(dice, quota, int(repeats), [int(n) for n in held_out.split(",")], float(window_s))
    finally:
        Local().run(Command(("sh", "-c", _END, "sh", _GROUPS, _NAME)))


def _measured(dice: random.Random, quota: float, repeats: int, others: Sequence[int], window_s: float) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        dense.standing(max(others), layout="same", uplink_mbit=0.0, leases_folder=Path(folder)) as stood,
    ):
        lab = replace(stood, clients=_capped(stood.clients), servers=_capped(stood.servers))
        alone, _ = goodput(lab, 1, _plan(1, 0.0, window_s), 0)
        if not alone:
            raise SystemExit("one pair alone gave no number")
        pace = round(alone / 1e6 / dice.uniform(2.0, 4.5), 2)
        print(json.dumps({"quota": quota, "alone_mbit": alone / 1e6, "pace": pace}), flush=True)
        order = [*[n for n in range(1, 7) for _ in range(repeats)], *others]
        dice.shuffle(order)
        for number, n in enumerate(order, 1):
            value, again = goodput(lab, n, _plan(n, pace, window_s), number)
            print(json.dumps({"n": n, "goodput": value, "again": again}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
