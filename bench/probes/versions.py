"""Versions of iperf3 at the two ends: what they make of a probe's streams, and the pairs that are known to be bad."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from results.errors import NotAble

Version = tuple[int, ...]
Use = Literal["udp", "both", "zerocopy at the server"]  # what a probe asks of iperf3
THREADED: Version = (3, 16)  # the first with a thread per stream (RELNOTES of iperf 3.16, esnet/iperf #1591)


def parse(text: str) -> Version:
    """(3, 12) of "iperf 3.12 (cJSON 1.7.15)"; () when it tells no version, which is taken for the oldest."""
    found = re.match(r"iperf (\d+(?:\.\d+)*)", text)
    return tuple(int(word) for word in found[1].split(".")) if found else ()


def shown(version: Version) -> str:
    """As iperf3 writes it; "an unknown version" for ()."""
    return ".".join(map(str, version)) or "an unknown version"


@dataclass(frozen=True, slots=True)
class Span:
    """The versions from `since` on and before `until`; () leaves an end open."""

    since: Version = ()
    until: Version = ()

    def holds(self, version: Version) -> bool:
        """Whether a version lies in it."""
        return version >= self.since and (not self.until or version < self.until)


@dataclass(frozen=True, slots=True)
class BadPair:
    """A pair of versions that gives a wrong number, or none, for one use of iperf3."""

    use: Use
    client: Span
    server: Span
    what: str
    source: str


ANY = Span()
BAD_PAIRS = (
    BadPair(
        "udp",
        Span(since=(3, 20)),
        Span(until=(3, 13)),
        "the client reports no loss where there is loss: the server does not tell what it omitted",
        "esnet/iperf #1984 and #2055",
    ),
    BadPair(
        "both",
        Span(until=(3, 12)),
        ANY,
        "--bidir binds the port of --cport twice and fails: Address already in use",
        "esnet/iperf #1249, mended in 3.12",
    ),
    BadPair("both", ANY, Span(until=(3, 7)), "the server knows no --bidir", "RELNOTES of iperf 3.7"),
    BadPair(
        "zerocopy at the server",
        Span(until=(3, 11)),
        ANY,
        "the client does not tell the sending server of --zerocopy, which then copies",
        "esnet/iperf #1204, mended in 3.11",
    ),
    BadPair(
        "zerocopy at the server",
        ANY,
        Span(until=(3, 11)),
        "the server does not heed the client's --zerocopy, and copies",
        "esnet/iperf #1204, mended in 3.11",
    ),
)


def check(probe: str, uses: Collection[Use], client: Version, server: Version) -> None:
    """Raise NotAble naming the first known-bad pair that a probe would meet. A version that is not told is let pass."""
    for bad in BAD_PAIRS:
        known = client and server
        if known and bad.use in uses and bad.client.holds(client) and bad.server.holds(server):
            raise NotAble(
                f"probe {probe}: iperf3 {shown(client)} at the client with {shown(server)} at the server: {bad.what} "
                f"({bad.source})",
                hint="install one version of iperf3 at both ends, 3.16 or later where there is a choice",
            )
