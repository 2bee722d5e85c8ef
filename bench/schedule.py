"""Schedule: which arm runs when, on which ports. All of it follows from the seed and can be dealt again."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SERVER_PORTS = (20000, 29000)
_CLIENT_PORTS = (30000, 60000)  # a stream each above the first: iperf3 counts up from --cport
_STREAMS_AT_MOST = 128
PROBES_AT_MOST = 16  # of a plan; the load beside the i-th takes the ports of the (i + 16)-th


@dataclass(frozen=True, slots=True)
class Ports:
    """The port set of one block: the same for every arm of it, another in the next (RSS and bond hashes differ).

    Each is the first of 128 that the probe may take: one a stream or process.
    """

    server: int
    client: int


def groups(
    states: Mapping[str, str], *, seed: int, topology: str, block: int, attempt: int
) -> tuple[tuple[str, ...], ...]:
    """The arms of one block by the state that they run in (`states`: of each arm): groups in random order, arms too.

    Every state is one group: a costly one is brought about once a block, at a random place in it.
    """
    dealt = random.Random(f"{seed}/{topology}/{block}/{attempt}")  # noqa: S311 - an experiment, not a key
    found: dict[str, list[str]] = {}
    for arm, state in states.items():
        found.setdefault(state, []).append(arm)
    order = list(found.values())
    dealt.shuffle(order)
    for each in order:
        dealt.shuffle(each)
    return tuple(tuple(each) for each in order)


def topologies(names: Sequence[str], *, seed: int, block: int) -> tuple[str, ...]:
    """The topologies of one round in random order, so that no path always goes first."""
    order = list(names)
    random.Random(f"{seed}/topologies/{block}").shuffle(order)  # noqa: S311 - an experiment, not a key
    return tuple(order)


def ports(probe: int, *, seed: int, block: int, turn: int = 0) -> Ports:
    """The ports of the plan's `probe`th probe in a block.

    `turn` is 0, unless the kernel keeps closed sockets and each arm of the block must take ports of its own.
    """
    dealt = random.Random(f"{seed}/ports/{block}/{turn}" if turn else f"{seed}/ports/{block}")  # noqa: S311 - an experiment, not a key
    room = 2 * PROBES_AT_MOST * _STREAMS_AT_MOST  # probes, then their loads
    server = dealt.randrange(_SERVER_PORTS[0], _SERVER_PORTS[1] - room) + probe * _STREAMS_AT_MOST
    client = dealt.randrange(_CLIENT_PORTS[0], _CLIENT_PORTS[1] - room) + probe * _STREAMS_AT_MOST
    return Ports(server, client)
