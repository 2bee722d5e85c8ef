"""Forecasts under a CPU quota that is planted: 8, 10 and 12 pairs from 1 … 6, as `live` has it of a link.

All iperf3 of both ends share one quota, and nobody is told its size. On this machine where its cgroups (v1) can, in
namespaces of its own; else in a guest, whose cgroups are v2 and whose CPU may be an emulated one. The guest gets this
checkout on one more read-only disk.
"""

import json
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs import qemu
from bench.labs.guests import Guests
from bench.labs.kit import prepared
from benchmarks.capacity import kept
from benchmarks.capacity.dense import judged, told_of
from nettune.places import places

_ROOT = Path(__file__).resolve().parent.parent.parent
_TREES = ("bench", "benchmarks", "nettune", "profiles", "results", "tuning")
_LARGE = ("matplotlib", "mypy", "pandas", "pyarrow", "ruff", "scipy", "uv")  # that nothing inside imports
_INSIDE, _HELD_OUT, _TRIALS = "/mnt/nettune", (8, 10, 12), 3
_HERE = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_DEADLINE_S = 1800.0  # of one repeat: an emulated CPU takes 45 ms to start a program


def quota(replays: int, file: Path | None = None) -> list[kept.Row]:
    """A row per repeat: quota, pace, model, and for each held-out N what was forecast and what came."""
    rows = kept.rows("quota", replays, _repeat, file)
    judged("quota", rows)
    return rows


def _repeat(number: int) -> kept.Row:
    held_out = ",".join(map(str, _HELD_OUT))
    if _HERE.exists():
        words = _words(number, held_out, window_s=2.0, least=0.3)
        argv = ("unshare", "--mount", "--propagation", "private", "env", f"PYTHONPATH={_ROOT}", sys.executable, *words)
        done = Local().run(Command(argv, deadline_s=_DEADLINE_S)).require()
    else:  # an emulated CPU: within a quota twelve streams begin seconds apart
        with _guest() as host:
            path = f"PYTHONPATH={_INSIDE}:{_INSIDE}/site-packages"
            words = _words(number, held_out, window_s=8.0, least=0.6)
            argv = ("env", "-C", _INSIDE, path, "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp", "python3", *words)
            done = host.run(Command(argv, deadline_s=_DEADLINE_S)).require()
    dealt, *trials = [json.loads(line) for line in done.stdout.splitlines()]
    seen: dict[int, list[float]] = {}
    for each in trials:
        if each["goodput"]:
            seen.setdefault(each["n"], []).append(each["goodput"])
    lost = [each["n"] for each in trials if not each["goodput"]]
    return {
        **dealt,
        **told_of(seen, _HELD_OUT),
        "without a number": lost,
        "seen": {str(n): values for n, values in sorted(seen.items())},
    }


def _words(number: int, held_out: str, *, window_s: float, least: float) -> tuple[str, ...]:
    return ("-P", "-m", "benchmarks.capacity.inside", str(number), str(_TRIALS), held_out, str(window_s), str(least))


@contextmanager
def _guest() -> Iterator[Host]:
    with tempfile.TemporaryDirectory() as text:
        folder, local = Path(text), Local()
        disk = folder / "checkout.squashfs"
        packages = sysconfig.get_paths()["purelib"]
        argv = ("mksquashfs", packages, *(str(_ROOT / name) for name in _TREES), str(disk), "-noappend", "-comp", "lz4",
                "-no-progress", "-quiet", "-e", *_LARGE)  # fmt: skip
        local.run(Command(argv, deadline_s=300.0)).require()
        kit = prepared(Guests(cpus=2, memory_mb=1536), cache=places().cache, local=local, say=print)
        with qemu.alone(kit, leases_folder=folder / "state" / "leases", drives=(disk,)) as host:
            for command in (
                Command(("modprobe", "-a", "veth", "bridge", "tcp_bbr"), deadline_s=60.0),
                Command(("mkdir", "-p", _INSIDE)),
                Command(("mount", "-o", "ro", "-t", "squashfs", "/dev/vdc", _INSIDE)),
            ):
                host.run(command).require()
            yield host
