"""What guests of the vm tier are made of: the image of the cache, built once, and where state and cache lie."""

import functools
from pathlib import Path

from bench.hosts.local import Local
from bench.labs.guests import Guests
from bench.labs.kit import Kit, prepared
from nettune.places import places


@functools.cache
def kit(guests: Guests) -> Kit:
    """Everything that starting such guests needs; the image is built where it is not there."""
    return prepared(guests, cache=places().cache, local=Local(), say=print)


def leases(folder: Path) -> Path:
    """Below a test's own state folder."""
    return folder / "state" / "leases"
