"""The largest packet that passes: what ping says of one packet, and the search for the size. Pure.

Sizes are those of whole IP packets in bytes. iputils' ping, with `-M do`, so that nobody on the way may fragment.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.hosts.command import Command, Outcome

HEADERS_BYTES = {4: 28, 6: 48}  # of IP and ICMP, which ping's -s does not count
LEAST_BYTES = {4: 576, 6: 1280}  # RFC 791, RFC 8200: every path carries these
_EVERY_S = 0.2  # again and again, as an echo may be lost for another reason
_WAIT_S = 1
TAG_BYTES = 4  # a veth or bridge port takes a frame with a VLAN tag, so an untagged packet of so much more (VLAN_HLEN)
_FROM = re.compile(r"^From (\S+) .*(?:Frag needed and DF set \(mtu = |Packet too big: mtu=)(\d+)", re.MULTILINE)
_LOCAL = re.compile(r"message too long, mtu[=:] ?(\d+)")
_PASSED = re.compile(r"^\d+ bytes from ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of packets of one size; `mtu_bytes`: what somebody said would fit; `by` whom ("": our own kernel)."""

    passed: bool
    mtu_bytes: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Swept:
    """The largest size that passes (0: none does); `told`: who said so; `silent`: a larger one vanished wordlessly."""

    size_bytes: int
    told: tuple[Reply, ...] = ()
    silent: bool = False


def ping(address: str, size_bytes: int, family: int) -> Command:
    """An echo of that size. With -w the first answer ends it, or what somebody says of the size, or the time."""
    return Command(
        ("ping", f"-{family}", "-n", "-c", "1", "-i", str(_EVERY_S), "-w", str(_WAIT_S), "-M", "do",
         "-s", str(size_bytes - HEADERS_BYTES[family]), address)
    )  # fmt: skip


def reply(outcome: Outcome) -> Reply:
    """What ping's output says."""
    if _PASSED.search(outcome.stdout):
        return Reply(passed=True)
    if found := _FROM.search(outcome.stdout):
        return Reply(passed=False, mtu_bytes=int(found[2]), by=found[1])
    if found := _LOCAL.search(outcome.stderr + outcome.stdout):
        return Reply(passed=False, mtu_bytes=int(found[1]))
    return Reply(passed=False)


def largest(send: Callable[[int], Reply], low: int, high: int, hints: Iterable[int] = ()) -> Swept:
    """The largest size in [low, high] that passes, where smaller ones pass whenever a larger one does.

    `high` is tried first, then sizes that a router says would fit and `hints`, which save waiting for silence; where
    none of them is right it is found by halving.
    """
    told: list[Reply] = []
    silent = False
    passes, fails = low - 1, high + 1  # the answer lies between
    edges = [edge for hint in sorted(hints, reverse=True) for edge in (hint, hint + TAG_BYTES)]
    likely = [high, *(size for edge in edges for size in (edge + 1, edge))]
    while passes + 1 < fails:
        likely = [size for size in likely if passes < size < fails]
        size = likely[0] if likely else (passes + fails) // 2
        answer = send(size)
        if answer.passed:
            passes = size
            continue
        fails = size
        if answer.mtu_bytes:
            told.append(answer)
            likely[:0] = [answer.mtu_bytes, answer.mtu_bytes + 1]
        else:
            silent = True
    return Swept(passes if passes >= low else 0, tuple(told), silent)
