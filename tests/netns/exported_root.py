"""A Debian of the test's own with the tools that read our exports (ifupdown2, tuned, udev), entered in a namespace."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from bench.images import sources
from bench.images.debian import ROOT_ALONE

PACKAGES = ("ifupdown2", "tuned", "udev", "dbus", "procps", "iproute2", "ethtool", "systemd", "kmod")


def made(folder: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """The tree, by mmdebstrap; about 25 s."""
    root = folder / "root"
    command = Command(
        (
            *ROOT_ALONE,
            *("mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(packages)}"),
            *('--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"),
            *(f"--aptopt={line}" for line in sources.options(Local())),
            *("", str(root), *sources.sources(Local())),
        ),
        deadline_s=600.0,
    )
    Local().run(command).require()
    return root


def copied(root: Path, to: Path) -> Path:
    """Another such tree; what lies in its /dev is no file to copy, and is mounted over."""
    devices = str(root / "dev")
    return shutil.copytree(root, to, symlinks=True, ignore=lambda at, names: names if at == devices else [])


def entered(host: Namespace, root: Path) -> None:
    """Give the namespace's own /proc, /sys, /dev and /run to the tree; they end with it."""
    for kind, place in (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "run")):
        host.run(Command(("mount", "-t", kind, kind, f"{root}/{place}"))).require()
    host.run(Command(("mount", "--bind", "/dev", f"{root}/dev"))).require()


def inside(host: Namespace, root: Path, line: str, deadline_s: float = 60.0) -> Outcome:
    """A line of shell there."""
    words = ("chroot", str(root), "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "sh", "-c", line)
    return host.run(Command(words, deadline_s=deadline_s))


def put(root: Path, path: str, text: str) -> None:
    """A file of the tree."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
