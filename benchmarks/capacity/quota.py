"""Forecasts under a CPU quota that is planted: 8, 10 and 12 pairs from 1 … 6, as `live` has it of a link.

All iperf3 of both ends share one quota, and nobody is told its size: with the receivers alone in it the senders took
what is left of the machine's CPUs, a second limit, and the sum fell where the quota alone would have kept it level. On
this machine where its cgroups are v1, in namespaces of its own; else, and with --guest, in a guest, whose cgroups are
v2 and whose CPU may be an emulated one.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from benchmarks.capacity import guest, kept
from benchmarks.capacity.dense import AGAIN, judged, told_of
from benchmarks.capacity.points import HELD_OUT

_TRIALS = 3
_HERE = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_DEADLINE_S = 1800.0  # of one repeat: an emulated CPU takes 45 ms to start a program


def quota(asked: kept.Asked) -> list[kept.Row]:
    """A row per repeat: quota, pace, model, and for each held-out N what was forecast and what came."""
    asked = replace(asked, guest=asked.guest or not _HERE.exists())
    with guest.at_need() as host:
        rows = kept.rows("quota", asked, lambda number: _repeat(number, host if asked.guest else None))
    judged("quota", rows)
    return rows


def _repeat(number: int, host: Callable[[], Host] | None) -> kept.Row:
    held_out = ",".join(map(str, HELD_OUT))
    if host is None:
        words = _words(number, held_out, window_s=2.0, least=0.3)
        alone = ("unshare", "--mount", "--propagation", "private", "env", f"PYTHONPATH={guest.ROOT}")
        argv = (*alone, sys.executable, "-P", "-m", *words)
        done = Local().run(Command(argv, deadline_s=_DEADLINE_S)).require()
    else:  # an emulated CPU: within a quota twelve streams begin seconds apart
        words = _words(number, held_out, window_s=8.0, least=0.6)
        done = host().run(guest.module(*words, deadline_s=_DEADLINE_S)).require()
    dealt, *trials = [json.loads(line) for line in done.stdout.splitlines()]
    seen: dict[int, list[float]] = {}
    for each in trials:
        if each["goodput"]:
            seen.setdefault(each["n"], []).append(each["goodput"])
    lost = [each["n"] for each in trials if not each["goodput"]]
    return {
        **dealt,
        **told_of(seen),
        "without a number": lost,
        AGAIN: sum(each["again"] for each in trials),
        "seen": {str(n): values for n, values in sorted(seen.items())},
    }


def _words(number: int, held_out: str, *, window_s: float, least: float) -> tuple[str, ...]:
    return ("benchmarks.capacity.inside", str(number), str(_TRIALS), held_out, str(window_s), str(least))
