"""A rate of UDP datagrams by iperf3, counted by the kernels at both ends: what was sent and what the path delivered.

iperf3's own counts end with its test; datagrams that are still in a queue then are counted by nobody. So both kernels'
counters are read after the sender has stopped and no more arrive. What arrived and found its socket's buffer full, or
the socket closed, was delivered by the path: it is no loss of it. Other traffic of the two ends would be counted too:
the ends are ours alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.capacity.rates import Offered
from bench.facts import counters
from bench.facts.counters import Counters, grown
from bench.hosts.command import Outcome
from bench.hosts.host import Host
from bench.probes.iperf3_json import parse
from bench.probes.probe import Pair, ProbeFailed
from bench.probes.tcp_numbers import raw_of
from bench.probes.udp import HEADERS_BYTES, Udp, out_of_order

FRAMES = (64, 128, 256, 512, 1024, 1280, 1518)  # bytes with the checksum: RFC 2544, section 9.1
ETHERNET_BYTES = 18  # header and checksum
_LEAST_PAYLOAD = 18  # bytes; iperf3 takes 16 at least
_DRAIN_S, _STILL_S = 2.0, 0.05
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
        before = begun((self.pair.client.host, self.pair.server.host), six=":" in self.pair.client.address)
        made = probe.ran(self.pair)
        parse(made.client, raw_of([made]))
        after = self._drained(before)
        return Offered(rate_fps, probe.traffic_s, *self._counted(before, after), disordered(made.server))

    def probe(self, rate_fps: float, seconds: float) -> Udp:
        """What sends and takes the datagrams of a trial."""
        family = 6 if ":" in self.pair.client.address else 4
        size = payload_bytes(self.frame_bytes, family)
        return Udp("rate", rate_fps * size * 8 / 1e6, size, seconds, 0.0, "forward")

    def _drained(self, before: Mapping[str, Counters]) -> Mapping[str, Counters]:
        ends = (self.pair.client.host, self.pair.server.host)
        return drained(ends, lambda now: self._counted(before, now))

    def _counted(self, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> tuple[int, int]:
        """(sent, delivered) datagrams, the greeting left out of both."""
        six = ":" in self.pair.client.address
        sender, receiver = self.pair.client.host.name, self.pair.server.host.name
        grew = grown(before[sender].stack, after[sender].stack)
        sent = grew.get("Udp6OutDatagrams" if six else "Udp.OutDatagrams", 0)
        got = delivered(before[receiver], after[receiver], six=six)
        return max(0, sent - _GREETING), max(0, got - _GREETING)


def disordered(server: Outcome) -> int:
    """How many datagrams iperf3's receiver saw after a later one, or twice; 0 where it does not tell."""
    try:
        return round(out_of_order(parse(server, {})) or 0.0)
    except ProbeFailed:
        return 0


def begun(ends: Sequence[Host], *, six: bool) -> Mapping[str, Counters]:
    """The counters to begin with, read until they stand still.

    The kernel prints a file's lines one after another: a segment of the connection that asks, come in between, is
    counted by TCP and not yet by IP. Read once, that is a datagram too many or too few.
    """
    return drained(ends, lambda now: {name: _handed_up(each, six=six) for name, each in now.items()})


def drained(ends: Sequence[Host], counted: Callable[[Mapping[str, Counters]], object]) -> Mapping[str, Counters]:
    """The counters of these hosts once what is counted of them stands still."""
    deadline = time.monotonic() + _DRAIN_S
    last = counters.read(ends)
    while True:
        time.sleep(_STILL_S)
        now = counters.read(ends)
        if counted(now) == counted(last) or time.monotonic() > deadline:
            return now
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
