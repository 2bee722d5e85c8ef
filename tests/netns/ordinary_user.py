"""Becomes an ordinary user, whoever runs the tests: what a run without root meets on the real kernel."""

import os
import shlex
import stat
import sys
from pathlib import Path

from bench.facts.machine import in_user_namespace
from bench.hosts.local import Local

ROOT = Path(__file__).parents[2]
UID = 65534  # nobody's, where root becomes an ordinary user; it owns nothing on the machine


def prefix() -> tuple[str, ...]:
    """Goes before the argv that an ordinary user shall run: root drops to UID, anybody else is one already.

    The interpreter and this checkout may lie below a folder that only root may enter. In a mount namespace of its own
    such a folder is covered by an empty one that holds just the two, at the paths that they always had.
    """
    if os.geteuid() != 0:
        return ()
    if in_user_namespace(Local()):  # one other id is all that can be had there
        return ("unshare", "--user", f"--map-user={UID}", f"--map-group={UID}", "--")
    closed = {path: folder for path in _needed() if (folder := _closed_above(path))}
    lines = ["mount -n -t tmpfs -o mode=755 none /mnt"]
    for number, path in enumerate(closed):
        lines += [f"mkdir /mnt/{number}", f"mount -n --rbind {shlex.quote(str(path))} /mnt/{number}"]
    lines += [
        f"mount -n -t tmpfs -o mode=755 none {shlex.quote(str(folder))}" for folder in dict.fromkeys(closed.values())
    ]
    for number, path in enumerate(closed):
        lines += [f"mkdir -p {shlex.quote(str(path))}", f"mount -n --move /mnt/{number} {shlex.quote(str(path))}"]
    lines += ["umount -n /mnt", f'exec setpriv --reuid={UID} --regid={UID} --clear-groups "$@"']
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines), "sh")


def owner() -> int:
    """The id, as this process sees it, of what such a user makes."""
    return UID if prefix()[:2] == ("unshare", "--mount") else os.geteuid()


def _needed() -> list[Path]:
    return list(dict.fromkeys(Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT)))


def _closed_above(path: Path) -> Path | None:
    """The uppermost folder above `path` that others may not enter."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & stat.S_IXOTH), None)
