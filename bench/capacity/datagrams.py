"""A rate of UDP datagrams by iperf3: how many were sent, and how many the path delivered.

iperf3's own counts are of our datagrams alone, and end with its test: those that are still in a queue then are counted
by nobody. So the receiver's kernel is asked after the sender has stopped and no more arrive, for what it handed up and
no program read. What arrived and found its socket's buffer full, or the socket closed, was delivered by the path: it is
no loss of it. What other programs read and send there, as DNS or multicast DNS, is in neither count.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.capacity.rates import Offered
from bench.facts import counters
from bench.facts.counters import Counters, grown
from bench.hosts.command import Outcome
from bench.hosts.host import Host
from bench.probes.iperf3_json import parse, rows, told
from bench.probes.probe import Pair, ProbeFailed
from bench.probes.tcp_numbers import raw_of
from bench.probes.udp import HEADERS_BYTES, Udp, out_of_order

FRAMES = (64, 128, 256, 512, 1024, 1280, 1518)  # bytes with the checksum: RFC 2544, section 9.1
ETHERNET_BYTES = 18  # header and checksum
_LEAST_PAYLOAD = 18  # bytes; iperf3 takes 16 at least
DRAIN_S, _BEGIN_S, _STILL_S = 2.0, 0.5, 0.05
LEAST_FRAME_BYTES = {4: 64, 6: 84}  # that hold such a datagram
_GREETING = 1  # datagram that iperf3's client sends before its test


def payload_bytes(frame_bytes: int, family: int) -> int:
    """The UDP payload of an Ethernet frame of so many bytes, checksum included; ValueError where none fits."""
    size = frame_bytes - ETHERNET_BYTES - HEADERS_BYTES[family]
    if size < _LEAST_PAYLOAD:
        raise ValueError(f"a frame of {frame_bytes} bytes holds no datagram of {_LEAST_PAYLOAD} bytes by IPv{family}")
    return size


@dataclass(frozen=True, slots=True)
class Datagrams:
    """A generator (bench.capacity.rates.Generator) from the pair's client to its server."""

    pair: Pair
    frame_bytes: int = 1518

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer; iperf3 sends for whole seconds. Raises ProbeFailed or ToolBroke."""
        probe = self.probe(rate_fps, seconds)
        six = ":" in self.pair.client.address
        sender, receiver = self.pair.client.host, self.pair.server.host
        before = begun((sender, receiver), six=six)
        made = probe.ran(self.pair)
        client = parse(made.client, raw_of([made]))
        read = read_by(made.server, probe.size_bytes)

        def got(now: Mapping[str, Counters]) -> int:
            return arrived(before[receiver.name], now[receiver.name], read, six=six)

        after, still = drained((sender, receiver), got)
        sent = told(client, "end", "sum", "packets")
        if sent is None:
            grew = grown(before[sender.name].stack, after[sender.name].stack)
            sent = max(0, grew.get("Udp6OutDatagrams" if six else "Udp.OutDatagrams", 0) - _GREETING)
        return Offered(rate_fps, probe.traffic_s, round(sent), got(after), disordered(made.server), not still)

    def probe(self, rate_fps: float, seconds: float) -> Udp:
        """What sends and takes the datagrams of a trial."""
        family = 6 if ":" in self.pair.client.address else 4
        size = payload_bytes(self.frame_bytes, family)
        return Udp("rate", rate_fps * size * 8 / 1e6, size, seconds, 0.0, "forward")


def read_by(server: Outcome, size_bytes: int) -> int | None:
    """How many datagrams of that payload iperf3's receiver read, by their bytes; None where it does not tell."""
    try:
        found = rows(parse(server, {}))
    except ProbeFailed:
        return None
    return round(math.fsum(each.size_bytes for each in found) / size_bytes) if found else None


def arrived(before: Counters, after: Counters, read: int | None, *, six: bool) -> int:
    """Datagrams of ours that a host's IP handed up, of which iperf3 read so many, the greeting left out.

    The others found no room in their socket, or it closed, or were in it when it was closed; of other programs'
    datagrams none of these is to be expected. A multicast one is counted with each of its readers: that makes the last
    less at most. Where it is not told how many were read, all that were handed up are taken for ours.
    """
    handed = delivered(before, after, six=six)
    if read is None:
        return max(0, handed - _GREETING)
    grew = grown(before.stack, after.stack)
    group = "Udp6" if six else "Udp."
    taken, closed, full, ignored = (
        max(0, grew.get(group + name, 0)) for name in ("InDatagrams", "NoPorts", "InErrors", "IgnoredMulti")
    )
    return read + closed + full + max(0, handed - taken - closed - full - ignored)


def disordered(server: Outcome) -> int:
    """How many datagrams iperf3's receiver saw after a later one, or twice; 0 where it does not tell."""
    try:
        return round(out_of_order(parse(server, {})) or 0.0)
    except ProbeFailed:
        return 0


def begun(ends: Sequence[Host], *, six: bool) -> Mapping[str, Counters]:
    """The counters to begin with, read until they stand still.

    The kernel prints a file's lines one after another: a segment of the connection that asks, come in between, is
    counted by TCP and not yet by IP. Read once, that is a datagram too many or too few. Where others' traffic never
    stands still, the last reading is taken.
    """
    return drained(ends, lambda now: {name: _handed_up(each, six=six) for name, each in now.items()}, _BEGIN_S)[0]


def drained(
    ends: Sequence[Host], counted: Callable[[Mapping[str, Counters]], object], most_s: float = DRAIN_S
) -> tuple[Mapping[str, Counters], bool]:
    """The counters of these hosts once what is counted of them stands still, and whether it does."""
    deadline = time.monotonic() + most_s
    last = counters.read(ends)
    while True:
        time.sleep(_STILL_S)
        now = counters.read(ends)
        if (still := counted(now) == counted(last)) or time.monotonic() > deadline:
            return now, still
        last = now


def delivered(before: Counters, after: Counters, *, six: bool) -> int:
    """Datagrams that a host's IP handed up.

    UDP's own count is of what a program has read. What is still in its socket when it is closed is in none of UDP's;
    IP's has all that it handed up, of which TCP's and ICMP's are known.
    """
    return max(0, _handed_up(after, six=six) - _handed_up(before, six=six))


def _handed_up(now: Counters, *, six: bool) -> int:
    names = ("Ip6InDelivers", "Tcp.InSegs", "Icmp6InMsgs") if six else ("Ip.InDelivers", "Tcp.InSegs", "Icmp.InMsgs")
    all_of_ip, tcp, icmp = (now.stack.get(name, 0) for name in names)
    return all_of_ip - tcp - icmp
