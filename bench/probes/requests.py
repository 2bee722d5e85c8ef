"""Requests and connections per second: wrk against HAProxy, which answers every request itself with one byte.

`rr` keeps its connections open (request after answer: the rate is the reciprocal of a round trip that includes both
programs), `crr` opens one for each request, which is what connection tracking, NAT and firewalls pay for. Both are
closed loops, in which a stall stops the asking too (coordinated omission): wrk fills in the requests that the mean pace
would have sent meanwhile (stats_correct in its source), so its times come near paced ones and are none.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.options import Options, number, whole
from bench.probes.iperf3_json import real
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, serving
from bench.probes.trips import P99_SAMPLES, histogram_bin
from results.records import Histogram, Sample

# One address and port has 28,232 client ports (net.ipv4.ip_local_port_range), each of which waits a minute after use:
# 3 s at 9,000 connections per second. New connections go round over these ports of the server.
SERVER_PORTS = 64
_WATCHDOG_S = 8.0
_WAITING_S = 20e-6  # of cleaning up per connection in TIME-WAIT (measured: 0.65 s for 33,000)
_RATE = 10_000  # connections per second, for the estimate
_FILLED = "stalls filled in by wrk with the requests that the mean pace would have sent meanwhile"
_ERRORS = ("connect", "read", "write", "status", "timeout")
_SERVER = """\
global
  nbthread {threads}
  maxconn {most}
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend answers
  bind {address}:{first}-{last}
  http-request return status 200 content-type text/plain string "x"
"""
_ROUND = """\
local at, n = {{}}, 0
function init()
  for k = 0, {ports} - 1 do at[k] = wrk.lookup(wrk.host, tostring({first} + k))[1] end
end
function request()
  n = n + 1
  wrk.thread.addr = at[n % {ports}]
  return wrk.format()
end
"""
# What wrk knows, exactly, as one line of JSON: its own table rounds to three digits.
_DONE = """\
function done(summary, latency, requests)
  local e, bins = summary.errors, {}
  for k = 1, #latency do
    local micros, count = latency(k)
    bins[k] = string.format('[%d,%d]', micros, count)
  end
  local counts = string.format(
    '{"requests":%d,"micros":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"latency":[',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout)
  io.write('\\n', counts, table.concat(bins, ','), ']}\\n')
end
"""


@dataclass(frozen=True, slots=True)
class Requests:
    """The `rr` and `crr` probes: `connections` at a time over `threads` of wrk, and as many threads of HAProxy."""

    name: str
    kind: Literal["rr", "crr"]
    duration_s: float
    connections: int
    threads: int
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
        over = f"{self.connections} connection{'s' if self.connections > 1 else ''}"
        if self.kind == "crr":
            return {
                "connections": f"TCP connections per second, each opened for one request and closed, {over} at a time"
            }
        every = f"requests over {over} kept open, one at a time on each, answered by HAProxy with one byte"
        return {
            "requests": f"{every}, per second",
            "request": f"time of {every}, {_FILLED}",
            "request_p50": f"median time of {every}, {_FILLED}",
            "request_p99": f"99th percentile of the times of {every}, {_FILLED}",
        }

    @property
    def traffic_s(self) -> float:
        """Seconds for which wrk asks; it takes whole ones."""
        return float(math.ceil(round(self.duration_s, 6)))

    @property
    def tool_s(self) -> float:
        """HAProxy's start and wrk's own 0.1 s; for crr taking away the sockets in TIME-WAIT before the next trial."""
        waiting_s = _RATE * self.traffic_s * _WAITING_S if self.kind == "crr" else 0.0
        return 0.25 + waiting_s

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints the versions."""
        return (Command(("wrk", "-v")), Command(("haproxy", "-v")))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement."""
        kept = ("requests", "request_p50", "request_p99") if self.kind == "rr" else ("connections",)
        return tuple(f"{self.name}.{metric}" for metric in kept)

    def measure(self, pair: Pair) -> Measured:
        """One run between the pair. See Probe.measure."""
        with serving(pair.server.host, self.server_command(pair), port=pair.server_port, protocol="tcp"):
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
        """HAProxy in the foreground, its configuration on standard input; it runs until it is stopped."""
        last = pair.server_port + (SERVER_PORTS if self.kind == "crr" else 1) - 1
        return Command(
            ("haproxy", "-db", "-f", "/dev/stdin"),
            stdin=_SERVER.format(
                threads=self.threads,
                most=2 * self.connections + 50,  # its default needs more files than an ordinary limit allows
                address=pair.server.address,
                first=pair.server_port,
                last=last,
            ),
            deadline_s=self.traffic_s + 2 * _WATCHDOG_S,
            loads=True,
        )

    def client_command(self, pair: Pair) -> Command:
        """Wrk, its script on standard input; a pasteable line in `--dry-run`."""
        script, options = _DONE, []
        if self.kind == "crr":
            script = _ROUND.format(ports=SERVER_PORTS, first=pair.server_port) + _DONE
            options = ["-H", "Connection: close"]
        host = f"[{pair.destination}]" if ":" in pair.destination else pair.destination
        return Command(
            ("wrk", "-t", str(self.threads), "-c", str(self.connections), "-d", f"{self.traffic_s:g}s",
             "-s", "/dev/stdin", *options, f"http://{host}:{pair.server_port}/"),
            stdin=script,
            deadline_s=self.traffic_s + _WATCHDOG_S,
            loads=True,
        )  # fmt: skip

    def measured(self, client: Outcome, pair: Pair) -> Measured:
        """What wrk's script printed; pure. Raises ProbeFailed or ToolBroke."""
        raw = {name: text for name, text in (("client", client.stdout), ("client-errors", client.stderr)) if text}
        said = parse(client, raw)
        requests, seconds = float(said["requests"]), float(said["micros"]) / 1e6
        errors = {each: int(said[each]) for each in _ERRORS if said[each]}
        if requests <= errors.get("status", 0):  # answers of another status are counted as requests too
            told = ", ".join(f"{count} {each}" for each, count in errors.items()) or "none was sent"
            raise ProbeFailed(f"on {client.host}: wrk: no request was answered: {told}", raw=raw)
        way = f"{pair.client.host.name}>{pair.server.host.name}"

        def sample(metric: str, value: float, unit: str) -> Sample:
            return Sample(self.name, metric, value, unit, pair.client.host.name, way, seconds)

        rate = (requests - errors.get("status", 0)) / seconds
        samples = [
            sample("requests" if self.kind == "rr" else "connections", rate, "1/s"),
            sample("errors", float(sum(errors.values())), "1"),
        ]
        flags = tuple(f"{self.name}: {count} {each} errors" for each, count in errors.items())
        bins = sorted((micros / 1e6, count) for micros, count in said["latency"])
        if self.kind == "crr":
            return Measured(tuple(samples), raw, flags=flags)
        for metric, share, least in (("request_p50", 0.50, 1), ("request_p99", 0.99, P99_SAMPLES)):
            if sum(count for _, count in bins) >= least:
                samples.append(sample(metric, _percentile(bins, share), "s"))
        counts: dict[int, int] = {}
        for value, count in bins:
            counts[histogram_bin(value)] = counts.get(histogram_bin(value), 0) + count
        return Measured(tuple(samples), raw, (Histogram(self.name, "request", "s", counts),), flags)


OPTIONS: Options = {
    "duration_s": number(1, 3600, "seconds", 1.0, "seconds that are measured; the next whole one is"),
    "connections": whole(1, 1000, "connections", 1, "connections at a time"),
    "threads": whole(1, 64, "threads", 1, "threads of the client, and of the server"),
}


def read_rr(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Requests:  # Any: as in Options
    """The `rr` probe of a plan. Raises WrongInput where options contradict each other."""
    return _read("rr", name, ends, given, node)


def read_crr(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Requests:  # Any: as above
    """The `crr` probe of a plan. Raises WrongInput where options contradict each other."""
    return _read("crr", name, ends, given, node)


def _read(
    kind: Literal["rr", "crr"], name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node
) -> Requests:  # Any: as above
    if given["threads"] > given["connections"]:
        node.mapping()["threads"].wrong(
            f"{given['threads']} threads have {given['connections']} connections to share", hint="more connections"
        )
    return Requests(name, kind, given["duration_s"], given["connections"], given["threads"], ends)


def parse(outcome: Outcome, raw: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON
    """The line of JSON that the script prints, every count checked. Raises ProbeFailed or ToolBroke."""
    lines = [line for line in outcome.stdout.splitlines() if line.startswith('{"requests"')]
    said = (outcome.stderr or outcome.stdout).strip()[:200]
    try:
        found = json.loads(lines[-1])
        counts = [found[key] for key in ("requests", "micros", *_ERRORS)]
        bins = [number for micros, count in found["latency"] for number in (micros, count)]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        if outcome.returncode == 1 and "unable to connect" in said:
            raise ProbeFailed(f"on {outcome.host}: wrk: {said}", raw=raw) from None
        raise ToolBroke(
            f"on {outcome.host}: wrk (exit {outcome.returncode}) told no result but {said!r}", raw=raw
        ) from None
    if not all(map(real, (*counts, *bins))) or not found["micros"] >= 1:  # it prints whole ones
        raise ToolBroke(f"on {outcome.host}: wrk told numbers that cannot be: {lines[-1][:200]!r}", raw=raw)
    return dict(found)


def _percentile(bins: list[tuple[float, int]], share: float) -> float:
    """Nearest rank over (seconds, count) in order."""
    rank = max(1, math.ceil(share * sum(count for _, count in bins)))
    for value, count in bins:
        rank -= count
        if rank <= 0:
            return value
    return bins[-1][0]
