"""From what the ends of a tcp probe printed to its numbers: one process or many, one way or both. Pure.

Processes are laid on one clock by what was seen of them from outside: a client's test begins after the client was
started, and ends, as long as it says, before the client's end was noticed. The middle of what that leaves open is taken
for its beginning, half of it is the error, and both are kept. iperf3's own time stamps are whole seconds before 3.20.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.hosts.command import Outcome
from bench.probes import versions
from bench.probes.iperf3_json import BACK, at, number, parse, parts, real, rows, whole
from bench.probes.probe import ProbeFailed, ToolBroke
from results.records import Sample

_BUSY_PCT = 95.0
_ALIGNED_S = 0.1  # beyond an interval the error of the starts is flagged (measured: 0.03 to 0.06 s, two busy cores)

Document = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Ran:
    """One process: what both ends printed, and on our monotonic clock when its client was started and seen to end."""

    client: Outcome
    server: Outcome
    started_s: float = 0.0
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a probe's options its numbers depend on."""

    name: str
    duration_s: float
    warmup_s: float
    traffic_s: float
    streams: int  # of one process
    direction: Literal["forward", "reverse", "both"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the processes gave together; delivered and returned bytes are those of the whole test, each way."""

    samples: tuple[Sample, ...]
    flags: tuple[str, ...]
    delivered_bytes: int
    returned_bytes: int  # of the way back, where both ways are measured


@dataclass(frozen=True, slots=True)
class _Way:
    """One way of the traffic: its name in samples, and where the documents have it."""

    metric: str
    told: str  # "a>b"
    key: str  # ends the names of its sums
    forward: bool  # the client sends

    def ends(self, one: "_Read") -> tuple[Document, Document]:
        """The documents of its sender and receiver."""
        return (one.client, one.server) if self.forward else (one.server, one.client)


@dataclass(frozen=True, slots=True)
class Began:
    """When a test began on a common clock, which iperf3 does not say: between `since_s` and `until_s`."""

    since_s: float
    until_s: float

    @property
    def at_s(self) -> float:
        """The middle of what is open."""
        return (self.since_s + self.until_s) / 2

    @property
    def error_s(self) -> float:
        """Half of what is open."""
        return (self.until_s - self.since_s) / 2

    def off(self, seconds: float) -> "Began":
        """The same where the clock may be off by so much."""
        return Began(self.since_s - seconds, self.until_s + seconds)


def began(client: Document, started_s: float, ended_s: float) -> Began:
    """Of a client that was started and seen to end then: not before it was, nor after its end less what it reports."""
    return Began(started_s, max(started_s, ended_s - rows(client)[-1].end_s))


@dataclass(frozen=True, slots=True)
class _Read:
    """One process's documents, and when its test began on the common clock."""

    client: Document
    server: Document
    began: Began

    @property
    def lasts_s(self) -> float:
        """The end of the last interval that both ends have whole, since the test began."""
        return min(rows(self.client)[-1].end_s, rows(self.server)[-1].end_s)


@dataclass(frozen=True, slots=True)
class _Cut:
    """What lies in the window of one way at one end, all processes together."""

    rate_bytes: float  # per second
    span_s: float
    flags: tuple[str, ...]


def raw_of(ran: Sequence[Ran]) -> dict[str, str]:
    """What was printed, by name; numbered from 1 where there are several processes."""
    named: dict[str, str] = {}
    for index, each in enumerate(ran, 1):
        mark = f"-{index}" if len(ran) > 1 else ""
        named |= {f"client{mark}": each.client.stdout, f"client{mark}-errors": each.client.stderr,
                  f"server{mark}": each.server.stdout, f"server{mark}-errors": each.server.stderr}  # fmt: skip
    return {name: text for name, text in named.items() if text}


def numbers(ran: Sequence[Ran], asked: Asked, ends: tuple[str, str]) -> Numbers:
    """The samples of one trial; `ends` are the hosts' names, client's first. Raises ProbeFailed or ToolBroke."""
    raw = raw_of(ran)
    read = _read(ran, raw)
    there, back = f"{ends[0]}>{ends[1]}", f"{ends[1]}>{ends[0]}"
    ways = {
        "forward": (_Way("goodput", there, "", forward=True),),
        "reverse": (_Way("goodput", back, "", forward=False),),
        "both": (
            _Way("goodput_forward", there, "", forward=True),
            _Way("goodput_reverse", back, BACK, forward=False),
        ),
    }[asked.direction]
    told = ways[0].told if len(ways) == 1 else f"{ends[0]}<>{ends[1]}"
    samples: list[Sample] = []

    def add(metric: str, value: float, unit: str, end: str, span_s: float, direction: str = told) -> None:
        samples.append(Sample(asked.name, metric, value, unit, end, direction, span_s))

    first_s, last_s = _window(read, asked, raw)
    received = [_cut(read, way, "receiver", (first_s, last_s), asked, raw) for way in ways]
    sent = [_cut(read, way, "sender", (first_s, last_s), asked, raw) for way in ways]
    span_s = min(each.span_s for each in received)
    add("goodput", 8 * sum(each.rate_bytes for each in received), "bit/s", "receiver", span_s)
    if len(ways) > 1:
        for way, cut in zip(ways, received, strict=True):
            add(way.metric, 8 * cut.rate_bytes, "bit/s", "receiver", cut.span_s, way.told)
    add("sent", 8 * sum(each.rate_bytes for each in sent), "bit/s", "sender", min(each.span_s for each in sent))
    busy, bound = _busy(read, asked, raw)
    add("generator_busy", busy, "%", "both", asked.traffic_s)
    resent = [at(way.ends(one)[0], "end", f"sum_sent{way.key}", "retransmits") for way in ways for one in read]
    if all(real(each) for each in resent):
        add("retransmits", float(sum(resent)), "1", "sender", asked.traffic_s)
    flags = [flag for each in received for flag in each.flags] + ["generator-bound"] * bound
    if len(read) > 1:
        error_s = max(each.began.error_s for each in read)
        add("alignment", error_s, "s", "client", span_s)
        if error_s > _ALIGNED_S:
            flags.append(f"the starts of the processes are known to ±{error_s:.2f} s only")
    whole_bytes = [
        sum(int(number(way.ends(one)[1], "end", f"sum_received{way.key}", "bytes", raw=raw)) for one in read)
        for way in ways
    ]
    return Numbers(tuple(samples), tuple(flags), whole_bytes[0], whole_bytes[1] if len(ways) > 1 else 0)


def _read(ran: Sequence[Ran], raw: Mapping[str, str]) -> list[_Read]:
    """The documents. Clients first: one that reports an error is the cause, its server only has nothing to say."""
    clients = [parse(each.client, raw) for each in ran]
    servers = [parse(each.server, raw) for each in ran]
    return [
        _Read(client, server, began(client, each.started_s, each.ended_s))
        for each, client, server in zip(ran, clients, servers, strict=True)
    ]


def _window(read: Sequence[_Read], asked: Asked, raw: Mapping[str, str]) -> tuple[float, float]:
    """When the measured window begins and ends: for one process since its start, for several on the common clock."""
    if len(read) == 1:
        return asked.warmup_s, asked.warmup_s + asked.duration_s
    first_s = max(each.began.at_s for each in read) + asked.warmup_s
    last_s = min(first_s + asked.duration_s, *(each.began.at_s + each.lasts_s for each in read))
    if last_s - first_s < asked.duration_s / 2:
        raise ToolBroke(
            f"{asked.name}: all {len(read)} processes ran together for only {max(0.0, last_s - first_s):.2f} s of the "
            f"{asked.duration_s:g} s window: they started too far apart",
            hint="a longer duration_s, or fewer processes",
            raw=raw,
        )
    return first_s, last_s


def _cut(
    read: Sequence[_Read],
    way: _Way,
    end: Literal["sender", "receiver"],
    window: tuple[float, float],
    asked: Asked,
    raw: Mapping[str, str],
) -> _Cut:
    """The window of one way as one end saw it. Raises ProbeFailed where too little of it came."""
    first_s, last_s = window
    rate_bytes = 0.0
    spans: list[float] = []
    flags: list[str] = []
    for index, one in enumerate(read, 1):
        found = rows(way.ends(one)[0 if end == "sender" else 1], way.key)
        mine = whole(found, first_s, last_s)
        mark = ""
        if len(read) > 1:
            mine = parts(found, first_s - one.began.at_s, last_s - one.began.at_s)
            mark = f" in process {index}"
        span_s = sum(row.end_s - row.start_s for row in mine)
        if span_s < asked.duration_s / 2:
            raise ProbeFailed(
                f"{asked.name}: only {span_s:.2f} s of the {asked.duration_s:g} s window came{mark}: "
                "the test broke off",
                raw=raw,
            )
        rate_bytes += sum(row.size_bytes for row in mine) / span_s
        spans.append(span_s)
        flags += [f"zero interval at {row.start_s:.1f} s{mark}" for row in mine if not row.size_bytes]
    if rate_bytes <= 0:
        told = f" {way.told}" if asked.direction == "both" else ""
        raise ProbeFailed(f"{asked.name}: nothing arrived{told} in the window of {asked.duration_s:g} s", raw=raw)
    return _Cut(rate_bytes, min(spans), tuple(flags))


def _busy(read: Sequence[_Read], asked: Asked, raw: Mapping[str, str]) -> tuple[float, bool]:
    """CPU of the busiest process in percent of a core, and whether a thread of any process was at its limit.

    From 3.16 on each stream has a thread; below, the whole process is one (RELNOTES of iperf 3.16).
    """
    busiest, bound = 0.0, False
    for one in read:
        busy = max(number(each, "end", "cpu_utilization_percent", "host_total", raw=raw)
                   for each in (one.client, one.server))  # fmt: skip
        threaded = versions.parse(str(at(one.client, "start", "version"))) >= versions.THREADED
        streams = asked.streams * (2 if asked.direction == "both" else 1)
        bound = bound or busy / (streams if threaded else 1) >= _BUSY_PCT
        busiest = max(busiest, busy)
    return busiest, bound
