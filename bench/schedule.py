"""Schedule: which arm runs when, on which ports. All of it follows from the seed and can be dealt again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

_SERVER_PORTS = (20000, 29000)
_CLIENT_PORTS = (30000, 60000)  # a stream each above the first: iperf3 counts up from --cport
_STREAMS_AT_MOST = 128


@dataclass(frozen=True, slots=True)
class Ports:
    """The port set of one block: the same for every arm of it, another in the next (RSS and bond hashes differ)."""

    server: int
    client: int


def arms(names: Sequence[str], *, seed: int, topology: str, block: int, attempt: int) -> tuple[str, ...]:
    """The arms of one block in random order."""
    order = list(names)
    random.Random(f"{seed}/{topology}/{block}/{attempt}").shuffle(order)  # noqa: S311 - an experiment, not a key
    return tuple(order)


def ports(probe: int, *, seed: int, block: int, turn: int = 0) -> Ports:
    """The ports of the plan's `probe`th probe in a block.

    `turn` is 0, unless the kernel keeps closed sockets and each arm of the block must take ports of its own.
    """
    dealt = random.Random(f"{seed}/ports/{block}/{turn}" if turn else f"{seed}/ports/{block}")  # noqa: S311 - an experiment, not a key
    server = dealt.randrange(*_SERVER_PORTS) + probe
    client = dealt.randrange(_CLIENT_PORTS[0], _CLIENT_PORTS[1] - 32 * _STREAMS_AT_MOST) + probe * _STREAMS_AT_MOST
    return Ports(server, client)
