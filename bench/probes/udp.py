"""UDP at a stated rate by the iperf3 executable at both ends: offered, sent, received, and what the receiver missed.

iperf3's own `-O` is not used (with it, servers of 3.12 and below report no loss to clients of 3.21, esnet/iperf #2055):
the receiver's 0.1 s intervals are cut by time here. Loss goes by sequence numbers; where datagrams were lost is told by
the counters of the kernel around the probe (bench.losses), which also check iperf3's own count.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench import options
from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.options import Options, switch, word
from bench.probes import capped, versions
from bench.probes.iperf3_json import Row, at, number, parse, rows, told, whole
from bench.probes.probe import Datagrams, Measured, Pair, ProbeFailed, ended, serving
from bench.probes.tcp_numbers import Ran, raw_of
from results.records import Sample

HEADERS_BYTES = {4: 28, 6: 48}  # of IP and UDP, without options, by family
_INTERVAL_S = 0.1
_WATCHDOG_S = 8.0  # beyond the traffic: the control connection shares the path with a flood
_EXCHANGE_S = 3.0
_SENT = 0.99  # of what was offered; a sender below it did not ask the path what the plan asks
_BUSY_PCT = 95.0


@dataclass(frozen=True, slots=True)
class Udp:
    """The `udp` probe. `rate_mbit` 0 sends as fast as the sender can; `size_bytes` is a datagram's payload."""

    name: str
    rate_mbit: float
    size_bytes: int
    duration_s: float
    warmup_s: float
    direction: Literal["forward", "reverse"]
    window_bytes: int = 0  # 0 leaves buffers to the kernel
    fragments: bool = False
    ends: tuple[str, str] = ("a", "b")  # client, server
    capped: bool = False  # `rate_mbit` is not the plan's but the share that a shared link leaves it

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
        rate = f"offered at {self.rate_mbit:g} Mbit/s" if self.rate_mbit else "sent as fast as the sender can"
        every = f"datagrams of {self.size_bytes} bytes, {rate}"
        return {
            "goodput": f"payload of {every}, that the receiver read in the window, times 8, over the window's seconds",
            "sent": f"payload of {every}, that the sender wrote in the window, times 8, over the window's seconds",
            "loss": f"share of {every}, that the receiver missed in the window, by sequence numbers",
        }

    @property
    def traffic_s(self) -> float:
        """Seconds for which iperf3 sends."""
        return float(math.ceil(round(self.duration_s + self.warmup_s, 6)))

    @property
    def tool_s(self) -> float:
        """Start, control connection, result exchange (measured: 0.02 to 0.03 s)."""
        return 0.03

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints iperf3's version."""
        return (Command(("iperf3", "--version")),)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement; the trial holds more. A flood drops by design, so its drops guard nothing."""
        kept = ("goodput", "loss", "jitter", "cpu_per_10gbit", *(("drops",) if self.rate_mbit else ()))
        return tuple(f"{self.name}.{each}" for each in kept)

    def settled(self, client: str, server: str) -> "Udp":
        """The probe, which any version can run. Raises NotAble for a pair of versions that is known to be bad."""
        versions.check(self.name, {"udp"}, versions.parse(client), versions.parse(server))
        return self

    def measure(self, pair: Pair) -> Measured:
        """One test between the pair. See Probe.measure."""
        made = self.ran(pair)
        return self.measured(made.client, made.server, pair)

    def ran(self, pair: Pair) -> Ran:
        """What both ends printed of one test. Raises ProbeFailed where the client hangs, or as `serving` does."""
        with serving(pair.server.host, self.server_command(pair), port=pair.server_port, protocol="tcp") as running:
            try:
                client = pair.client.host.run(self.client_command(pair))
            except Overdue as error:
                raise ProbeFailed(str(error), raw=raw_of([Ran(error.outcome, running.stop())])) from error
            server = ended(running, client.elapsed_s + _EXCHANGE_S) if client.ok else running.stop()
        return Ran(client, server)

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands."""
        return (
            (pair.server.host.name, self.server_command(pair)),
            (pair.client.host.name, self.client_command(pair)),
        )

    def server_command(self, pair: Pair) -> Command:
        """The server's Command; it serves one test and ends."""
        return Command(
            ("iperf3", "--server", "--one-off", "--json", "--interval", f"{_INTERVAL_S}",
             "--bind", pair.server.address, "--port", str(pair.server_port)),
            deadline_s=self.traffic_s + 2 * _WATCHDOG_S,
            loads=True,
        )  # fmt: skip

    def client_command(self, pair: Pair) -> Command:
        """The client's Command; a pasteable line in `--dry-run`."""
        options = ["--reverse"] if self.direction == "reverse" else []
        if self.window_bytes:
            options += ["--window", str(self.window_bytes)]
        return Command(
            ("iperf3", "--client", pair.destination, "--port", str(pair.server_port),
             "--bind", pair.client.address, "--cport", str(pair.client_port), "--udp", "--udp-counters-64bit",
             "--bitrate", str(round(self.rate_mbit * 1e6)), "--length", str(self.size_bytes),
             "--time", f"{self.traffic_s:g}", "--interval", f"{_INTERVAL_S}", "--json", *options),
            deadline_s=self.traffic_s + _WATCHDOG_S,
            loads=True,
        )  # fmt: skip

    def measured(self, client: Outcome, server: Outcome, pair: Pair) -> Measured:
        """What the two outputs say; pure. Raises ProbeFailed or ToolBroke."""
        raw = raw_of([Ran(client, server)])
        sending, receiving = parse(client, raw), parse(server, raw)
        forward = self.direction == "forward"
        if not forward:
            sending, receiving = receiving, sending
        sender, receiver = (pair.client, pair.server) if forward else (pair.server, pair.client)
        way = f"{sender.host.name}>{receiver.host.name}"
        got, wrote = self._window(receiving, raw), self._window(sending, raw)
        counted, missed = sum(each.datagrams for each in got), sum(each.lost for each in got)
        if counted <= 0 or missed >= counted:
            raise ProbeFailed(f"{self.name}: nothing arrived in the window of {self.duration_s:g} s", raw=raw)

        def sample(metric: str, value: float, unit: str, end: str, span_s: float | None = None) -> Sample:
            return Sample(self.name, metric, value, unit, end, way, span_s or _seconds(got))

        sent_bps = _bps(wrote)
        samples = [
            sample("goodput", _bps(got), "bit/s", "receiver"),
            sample("sent", sent_bps, "bit/s", "sender", _seconds(wrote)),
            sample("loss", missed / counted, "1", "receiver"),
        ]
        flags = tuple(f"{self.name}: zero interval at {each.start_s:.1f} s" for each in got if not each.size_bytes)
        if self.rate_mbit:
            offered = self.rate_mbit * 1e6
            samples.append(sample("offered", offered, "bit/s", "sender", _seconds(wrote)))
            if sent_bps < _SENT * offered:
                flags = (*flags, f"{self.name}: under-sent, {100 * sent_bps / offered:.0f} % of what was offered")
        samples += [sample(*each, "receiver", self.traffic_s) for each in _whole(receiving, raw)]
        busy = [told(each, "end", "cpu_utilization_percent", "host_total") for each in (sending, receiving)]
        if self.rate_mbit and max(each or 0.0 for each in busy) >= _BUSY_PCT:
            flags = (*flags, "generator-bound")  # without a rate it is so by design
        if self.capped:
            flags = (*flags, *capped.flags(self.name, sent_bps, self.rate_mbit * 1e6))
        received = sum(each.size_bytes for each in rows(receiving))
        datagrams = Datagrams(
            sender=sender,
            receiver=receiver,
            sent=round(told(sending, "end", "sum", "packets") or 0),
            received=round(received / self.size_bytes),
        )
        return Measured(
            tuple(samples), raw, flags=flags, receiver=receiver.host.name, delivered_bytes=int(received),
            datagrams=datagrams,
        )  # fmt: skip

    def _window(self, found: Mapping[str, Any], raw: Mapping[str, str]) -> list[Row]:
        """The intervals that lie inside the window."""
        inside = whole(rows(found), self.warmup_s, self.warmup_s + self.duration_s)
        if _seconds(inside) < self.duration_s / 2:
            raise ProbeFailed(
                f"{self.name}: only {_seconds(inside):.2f} s of the {self.duration_s:g} s window came: "
                "the test broke off",
                raw=raw,
            )
        return inside


OPTIONS: Options = {
    "rate_mbit": options.number(
        0.1, 400_000, "Mbit/s", 0.0, "Mbit/s of payload; as fast as the sender can when not given"
    ),
    "size_bytes": options.whole(16, 65507, "bytes", 1400, "bytes of a datagram's payload"),
    "duration_s": options.number(0.3, 3600, "seconds", 10.0, "seconds that are measured"),
    "warmup_s": options.number(0, 60, "seconds", 0.0, "seconds before them that are cut off"),
    "direction": word(("forward", "reverse"), "forward"),
    "window_bytes": options.whole(
        2048, 1 << 30, "bytes", 0, "bytes of socket buffer; left to the kernel when not given"
    ),
    "fragments": switch("datagrams above the path's MTU are meant"),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Udp:  # Any: as in Options
    """The `udp` probe of a plan."""
    del node  # what contradicts is the topologies' (bench.plan)
    return Udp(
        name=name,
        rate_mbit=given["rate_mbit"],
        size_bytes=given["size_bytes"],
        duration_s=given["duration_s"],
        warmup_s=given["warmup_s"],
        direction=given["direction"],
        window_bytes=given["window_bytes"],
        fragments=given["fragments"],
        ends=ends,
    )


def _whole(receiving: Mapping[str, Any], raw: Mapping[str, str]) -> list[tuple[str, float, str]]:  # Any: JSON
    """(metric, value, unit) of what iperf3 tells of the whole test only."""
    found = [("jitter", number(receiving, "end", "sum", "jitter_ms", raw=raw) / 1e3, "s")]
    if (disordered := out_of_order(receiving)) is not None:
        found.append(("out_of_order", disordered, "1"))
    return found


def out_of_order(receiving: Mapping[str, Any]) -> float | None:  # Any: JSON
    """Datagrams that came after a later one, or twice: iperf3 counts both alike. None where it does not tell."""
    streams = at(receiving, "end", "streams")
    flows = [each.get("udp") for each in streams if isinstance(each, dict)] if isinstance(streams, list) else []
    counts = [told(each, "out_of_order") for each in flows if isinstance(each, dict)]
    return math.fsum(each or 0.0 for each in counts) if counts and None not in counts else None


def _seconds(found: list[Row]) -> float:
    return sum(each.end_s - each.start_s for each in found)


def _bps(found: list[Row]) -> float:
    return 8 * sum(each.size_bytes for each in found) / _seconds(found)
