"""Shares of the machine for tests that run side by side: those that are marked `quiet` have it to themselves."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def share(folder: Path, *, alone: bool) -> Iterator[None]:
    """One share, or all: then it waits until nobody has one, and whoever comes later waits for it."""
    with (folder / "turn").open("w") as turn, (folder / "machine").open("w") as machine:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield
