"""Guards on a node, as whatever changes its network needs them. tuning has them, which bench may not know."""

from collections.abc import Sequence
from typing import Protocol

from bench.hosts.host import Host


class Guarded(Protocol):
    """A guard that is armed on a node: it runs its lines there by itself, unless it is disarmed in time."""

    def renew(self, seconds: float) -> None:
        """The node waits that long from now on. Raises HostFault where it has run the lines meanwhile."""
        ...

    def put_back(self) -> None:
        """Run the lines now, to their end, and leave nothing of the guard. Raises HostFault."""
        ...

    def disarm(self) -> None:
        """Nothing of it is left. Raises HostFault where the node has run the lines meanwhile."""
        ...


class Guards(Protocol):
    """Arms them, and finds those of dead runs."""

    def arm(self, host: Host, about: str, lines: Sequence[str], looks: Sequence[str], seconds: float) -> Guarded:
        """A guard that runs `lines` (POSIX sh) in so many seconds, or once a look is ill for a while.

        Raises HostFault where it cannot be armed: nothing is left there then.
        """
        ...

    def left(self, host: Host, about: str) -> Sequence[Guarded]:
        """Those on a node that were armed with these words, fired or not. Raises HostFault."""
        ...
