"""Round-trip time by irtt: small UDP packets sent at a fixed pace, so that a stall is sampled, not waited out.

The figure is user space to user space on one clock, idle path, paced: it pays the wake-ups that a paced application
pays (median about 110 µs here, where back-to-back ping-pong shows 75 µs). One-way delays are not used.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.options import Options, number, whole
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, serving, socket_name
from results.records import Histogram, Sample

_WATCHDOG_S = 20.0  # irtt waits 4 s for replies that never come, and 15 s in all to open a session
_ABSURD_NS = 1e15  # 11 days; also keeps out NaN and whole numbers that no float holds
P99_SAMPLES = 368  # the least n with 0.99^n <= 0.025: a two-sided 95 % interval of p99 has an upper end


@dataclass(frozen=True, slots=True)
class Latency:
    """The `latency` probe: a client at a, a server at b, one packet every `interval_s`."""

    name: str
    duration_s: float
    interval_s: float
    size_bytes: int  # UDP payload; irtt's own header takes 60
    ends: tuple[str, str] = ("a", "b")  # client, server

    @property
    def load_ends(self) -> tuple[str, str] | None:
        """See Probe.load_ends."""
        return None

    @property
    def calibrates(self) -> tuple[str, ...]:
        """See Probe.calibrates."""
        return ()

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        return {}

    @property
    def traffic_s(self) -> float:
        """Seconds for which packets are sent."""
        return self.duration_s

    @property
    def tool_s(self) -> float:
        """Start, session opening, wait for the last replies (measured: 0.02 to 0.03 s)."""
        return 0.03

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints irtt's version."""
        return (Command(("irtt", "version")),)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement; p99 only where a trial can hold enough samples."""
        kept = ["rtt_p50", "rtt_mean", "loss"]
        # The timer of irtt misses a part of the packets at 1 ms (measured: 326 of 400 sent by one build, 330 of 500 by
        # another).
        if self.duration_s / self.interval_s * 0.62 >= P99_SAMPLES:
            kept.insert(1, "rtt_p99")
        return tuple(f"{self.name}.{metric}" for metric in kept)

    def measure(self, pair: Pair) -> Measured:
        """One paced train between the pair. See Probe.measure."""
        with serving(pair.server.host, self.server_command(pair), port=pair.server_port, protocol="udp"):
            try:
                client = pair.client.host.run(self.client_command(pair))
            except Overdue as error:
                raise ProbeFailed(str(error), raw={"client": error.outcome.stdout}) from error
        return self.measured(client, pair)

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands."""
        return (
            (pair.server.host.name, self.server_command(pair)),
            (pair.client.host.name, self.client_command(pair)),
        )

    def server_command(self, pair: Pair) -> Command:
        """The server's Command; its least interval must be told (10 ms otherwise)."""
        bind = socket_name(pair.server.address, pair.server_port)
        return Command(
            ("irtt", "server", "-i", _go_duration(self.interval_s), "-b", bind),
            deadline_s=self.duration_s + 2 * _WATCHDOG_S,
        )

    def client_command(self, pair: Pair) -> Command:
        """The client's Command; a pasteable line in `--dry-run`."""
        return Command(
            ("irtt", "client", "-Q", "-o", "-", "-i", _go_duration(self.interval_s),
             "--tstamp=none", "--stats=none", "-d", _go_duration(self.duration_s), "-l", str(self.size_bytes),
             f"--local={socket_name(pair.client.address, pair.client_port)}",
             socket_name(pair.destination, pair.server_port)),
            deadline_s=self.duration_s + _WATCHDOG_S,
        )  # fmt: skip

    def measured(self, client: Outcome, pair: Pair) -> Measured:
        """What irtt's JSON says; pure. Raises ProbeFailed or ToolBroke."""
        raw = {name: text for name, text in (("client", client.stdout), ("client-errors", client.stderr)) if text}
        round_trips_s, lost = parse(client, raw)
        sent = len(round_trips_s) + lost
        ordered = sorted(round_trips_s)
        way = f"{pair.client.host.name}>{pair.server.host.name}"

        def sample(metric: str, value: float, unit: str) -> Sample:
            return Sample(self.name, metric, value, unit, pair.client.host.name, way, self.duration_s)

        samples = [
            sample("rtt_mean", sum(ordered) / len(ordered), "s"),
            sample("loss", lost / sent, "1"),
        ]
        flags: tuple[str, ...] = ()
        for metric, share, least in (("rtt_p50", 0.50, 1), ("rtt_p99", 0.99, P99_SAMPLES)):
            value = percentile(ordered, lost, share)
            if value is None:
                flags = (*flags, f"{metric} is beyond the lost packets")
            elif sent >= least:
                samples.append(sample(metric, value, "s"))
        counts = Counter(histogram_bin(value) for value in ordered)
        return Measured(tuple(samples), raw, (Histogram(self.name, "rtt", "s", dict(counts)),), flags)


OPTIONS: Options = {
    "duration_s": number(0.05, 3600, "seconds", 1.0),
    "interval_s": number(0.0002, 10, "seconds", 0.001, "seconds between packets"),
    "size_bytes": whole(60, 65000, "bytes", 60, "bytes of a packet"),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Latency:  # Any: as in Options
    """The `latency` probe of a plan."""
    del node  # nothing contradicts
    return Latency(name, given["duration_s"], given["interval_s"], given["size_bytes"], ends)


def parse(outcome: Outcome, raw: Mapping[str, str]) -> tuple[list[float], int]:
    """Round-trip times in seconds and the number of lost packets. Raises ToolBroke or ProbeFailed."""
    said = (outcome.stderr or outcome.stdout).strip()[:200]
    try:
        document = json.loads(outcome.stdout)
        trips = document["round_trips"]
        if not isinstance(trips, list):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        if outcome.returncode > 0 and not outcome.stdout.strip():
            raise ProbeFailed(f"on {outcome.host}: irtt exited with {outcome.returncode}: {said}", raw=raw) from None
        raise ToolBroke(f"on {outcome.host}: irtt printed no JSON document but {said!r}", raw=raw) from None
    times_s = [value / 1e9 for value in (_rtt_ns(trip) for trip in trips) if value is not None]
    if not times_s:
        raise ProbeFailed(f"on {outcome.host}: none of {len(trips)} packets came back", raw=raw)
    return times_s, len(trips) - len(times_s)


def percentile(ordered: Sequence[float], lost: int, share: float) -> float | None:
    """Nearest-rank percentile over all packets sent, a lost one counting as later than any; None when it is lost."""
    rank = max(1, math.ceil(share * (len(ordered) + lost)))
    return ordered[rank - 1] if rank <= len(ordered) else None


def histogram_bin(seconds: float) -> int:
    """The bin of records.Histogram that holds a time."""
    return math.floor(math.log(max(seconds, 1e-9) / 1e-9) / math.log(1.01))


def _rtt_ns(trip: Any) -> float | None:  # Any: JSON
    delay = trip.get("delay") if isinstance(trip, dict) else None
    value = delay.get("rtt") if isinstance(delay, dict) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _ABSURD_NS
    return float(value) if usable and value is not None else None


def _go_duration(seconds: float) -> str:
    return f"{round(seconds * 1e6)}us"
