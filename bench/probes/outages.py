"""Outages: from a train of numbered packets, of which some never arrived, to how long each way was cut. Pure.

irtt's server acknowledges with every reply which of the 64 packets before it has received, so the way on which a packet
was lost is known near the end of an outage and not in its middle. What is not known counts as lost both ways: an
outage told here is never shorter than the real one, but for less than the time between two packets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Way = Literal["forward", "back"]  # client to server, server to client
_LOST = {"false": (False, False), "true_up": (True, False), "true_down": (False, True), "true": (True, True)}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: when the client sent it (seconds of its own clock), and on which way it may have been lost."""

    sent_s: float
    forward: bool
    back: bool

    def lost(self, way: Way) -> bool:
        """True where it may have been lost on that way."""
        return self.forward if way == "forward" else self.back

    def says_nothing(self, way: Way) -> bool:
        """True of what was lost on the way there: nobody tried to send it back."""
        return way == "back" and self.forward and not self.back


@dataclass(frozen=True, slots=True)
class Outage:
    """Packets lost in a row, and the time from the one sent before the first of them to the one sent after the last."""

    since_s: float
    until_s: float
    packets: int
    over: bool  # False where no later packet arrived

    @property
    def seconds(self) -> float:
        """How long it was, at most."""
        return self.until_s - self.since_s


@dataclass(frozen=True, slots=True)
class Train:
    """One session: its packets in the order in which they were sent, and how many of them the server received."""

    packets: tuple[Packet, ...]
    received: int
    returned: int

    @property
    def lost_forward(self) -> int:
        """Packets that the server did not receive, by its own count."""
        return max(0, len(self.packets) - self.received)

    @property
    def lost_back(self) -> int:
        """Packets that the server received and the client did not get back."""
        return max(0, self.received - self.returned)

    @property
    def pace_s(self) -> float:
        """The median time between two packets."""
        gaps = sorted(b.sent_s - a.sent_s for a, b in zip(self.packets, self.packets[1:], strict=False))
        return gaps[len(gaps) // 2] if gaps else 0.0


def outages(packets: Sequence[Packet], way: Way) -> tuple[Outage, ...]:
    """Every outage of a way, in order."""
    found: list[Outage] = []
    first = last = -1  # of the packets lost in a row
    count = 0
    for place, packet in enumerate(packets):
        if packet.lost(way):
            first, last, count = (place if first < 0 else first), place, count + 1
        elif first >= 0 and not packet.says_nothing(way):
            found.append(_outage(packets, first, last, count, over=True))
            first, count = -1, 0
    if first >= 0:
        found.append(_outage(packets, first, last, count, over=False))
    return tuple(found)


def longest(found: Sequence[Outage], *, since_s: float, until_s: float = float("inf")) -> Outage | None:
    """The longest one that goes on after `since_s` and began before `until_s`; None where nothing was lost then."""
    within = [each for each in found if each.until_s > since_s and each.since_s < until_s]
    return max(within, key=lambda each: each.seconds, default=None)


def _outage(packets: Sequence[Packet], first: int, last: int, count: int, *, over: bool) -> Outage:
    before, after = packets[max(0, first - 1)], packets[min(len(packets) - 1, last + 1)]
    return Outage(before.sent_s, after.sent_s, count, over)


def parsed(document: str) -> Train:
    """The train in irtt's JSON document. Raises ValueError where it is not what irtt writes."""
    try:
        told = json.loads(document)
        packets = tuple(_packet(trip) for trip in told["round_trips"])
        stats = told["stats"]
        return Train(packets, int(stats["server_packets_received"]), int(stats["packets_received"]))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a document of irtt with --stats=both: {error!r}") from error


def _packet(trip: Any) -> Packet:  # Any: JSON
    forward, back = _LOST[trip["lost"]]
    return Packet(int(trip["timestamps"]["client"]["send"]["wall"]) / 1e9, forward, back)


def compact(train: Train) -> str:
    """What is kept of a session: a line a packet, microseconds since the first and what became of it.

    `.` came back, `u` was lost on the way there, `d` on the way back, `x` on one of both.
    """
    marks = {(False, False): ".", (True, False): "u", (False, True): "d", (True, True): "x"}
    first = train.packets[0].sent_s if train.packets else 0.0
    head = f"# first sent at {first:.6f}, server received {train.received}, returned {train.returned}\n"
    return head + "".join(
        f"{(each.sent_s - first) * 1e6:.0f} {marks[each.forward, each.back]}\n" for each in train.packets
    )
