"""A guest that has this checkout on one more read-only disk: Debian's kernel with netem, and cgroups v2."""

import functools
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs import qemu
from bench.labs.guests import Guests
from bench.labs.kit import prepared
from nettune.places import places

ROOT = Path(__file__).resolve().parent.parent.parent
_TREES = ("bench", "benchmarks", "nettune", "profiles", "results", "tuning")
_LARGE = ("matplotlib", "mypy", "pandas", "pyarrow", "ruff", "scipy", "uv")  # that nothing inside imports
_MODULES = ("veth", "bridge", "tcp_bbr", "sch_tbf", "sch_netem")
_INSIDE = "/mnt/nettune"
_SYSCTLS = (
    # Frames in a queue of this machine count for the socket that sent them until they are out, and the default of
    # 212,992 bytes is less than some queues that are planted: the sender would be held back and not the path be full.
    f"net.core.wmem_default={4 << 20}",
    # A CPU takes so much of a quota at once: by 5 ms, the default, a few hand out all of a period of 20 ms.
    "kernel.sched_cfs_bandwidth_slice_us=1000",
)


@contextmanager
def booted() -> Iterator[Host]:
    """The guest, gone on leaving. Raises NotAble where there is no QEMU or no image can be made."""
    with tempfile.TemporaryDirectory() as text:
        folder, local = Path(text), Local()
        disk = folder / "checkout.squashfs"
        packages = sysconfig.get_paths()["purelib"]
        argv = ("mksquashfs", packages, *(str(ROOT / name) for name in _TREES), str(disk), "-noappend", "-comp", "lz4",
                "-no-progress", "-quiet", "-e", *_LARGE)  # fmt: skip
        local.run(Command(argv, deadline_s=300.0)).require()
        kit = prepared(Guests(cpus=2, memory_mb=1536), cache=places().cache, local=local, say=print)
        with qemu.alone(kit, leases_folder=folder / "state" / "leases", drives=(disk,)) as host:
            for command in (
                Command(("modprobe", "-a", *_MODULES), deadline_s=60.0),
                Command(("sysctl", "-w", *_SYSCTLS)),
                Command(("mkdir", "-p", _INSIDE)),
                Command(("mount", "-o", "ro", "-t", "squashfs", "/dev/vdc", _INSIDE)),
            ):
                host.run(command).require()
            yield host


@contextmanager
def at_need() -> Iterator[Callable[[], Host]]:
    """One guest for all who ask, booted for the first: for rows that are all kept there is none."""
    with ExitStack() as stack:
        yield functools.cache(lambda: stack.enter_context(booted()))


def module(*words: str, deadline_s: float) -> Command:
    """`python -m WORDS` in the guest, by the checkout that it has."""
    path = f"PYTHONPATH={_INSIDE}:{_INSIDE}/site-packages"
    argv = ("env", "-C", _INSIDE, path, "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp", "python3", "-P", "-m", *words)
    return Command(argv, deadline_s=deadline_s)
