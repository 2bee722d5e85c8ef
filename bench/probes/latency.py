"""The `latency` probe: round-trip times of paced UDP packets by irtt or sockperf, on an idle path or beside a load."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.options import Options, nested, number, whole, word
from bench.probes import irtt, load, sockperf
from bench.probes.load import Load
from bench.probes.probe import Measured, Pair, ProbeFailed, serving
from bench.probes.trips import P99_SAMPLES, Tool, Train, histogram_bin, percentiles, unindented
from results.records import Histogram, Sample

_TOOLS: Mapping[str, Tool] = {"irtt": irtt.TOOL, "sockperf": sockperf.TOOL}


@dataclass(frozen=True, slots=True)
class Latency:
    """A client at the first end, a server at the second, one packet of `size_bytes` every `interval_s`."""

    name: str
    duration_s: float
    interval_s: float
    size_bytes: int  # UDP payload; irtt's own header takes 60, sockperf's 14
    ends: tuple[str, str] = ("a", "b")  # client, server
    tool: Literal["irtt", "sockperf"] = "irtt"
    load: Load | None = None

    @property
    def load_ends(self) -> tuple[str, str] | None:
        """See Probe.load_ends."""
        return self.load.ends if self.load else None

    @property
    def calibrates(self) -> tuple[str, ...]:
        """See Probe.calibrates."""
        return (self.load.of,) if self.load and self.load.capacity == "current" else ()

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        state = self.load.definition if self.load else "on an idle path"
        every = f"paced UDP packets, one every {1e3 * self.interval_s:g} ms, {state}, {self._tool.definition}"
        return {
            "rtt": f"round-trip time of {every}",
            "rtt_p50": f"median round-trip time of {every}",
            "rtt_p99": f"99th percentile of the round-trip times of {every}; only with {P99_SAMPLES} samples or more",
            "rtt_mean": f"mean round-trip time of {every}",
            "loss": f"share of {every}, that never came back",
        }

    @property
    def traffic_s(self) -> float:
        """Seconds for which packets are sent."""
        return self._tool.traffic_s(self._train)

    @property
    def tool_s(self) -> float:
        """The tool's own, and where there is a load its start, settling and end."""
        return self._tool.fixed_s + (load.FIXED_S if self.load else 0.0)

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints the versions."""
        return (self._tool.version, Command(("iperf3", "--version"))) if self.load else (self._tool.version,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement; p99 only where a trial can hold enough samples."""
        kept = ["rtt_p50", "rtt_mean", "loss"]
        if self.duration_s / self.interval_s * self._tool.sends >= P99_SAMPLES:
            kept.insert(1, "rtt_p99")
        return tuple(f"{self.name}.{metric}" for metric in kept)

    def measure(self, pair: Pair) -> Measured:
        """One paced train between the pair. See Probe.measure."""
        if self.load is None or pair.beside is None:
            return self.measured(self._run(pair), pair)
        with load.running(self.load, pair.beside, self.traffic_s + self.tool_s) as beside:
            outcome = self._run(pair)
        loaded = load.told(self.load, pair.beside, beside, self.name)
        own = self.measured(outcome, pair)
        return Measured(
            (*own.samples, *loaded.samples), {**own.raw, **loaded.raw}, own.histograms, (*own.flags, *loaded.flags)
        )

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands."""
        own = (
            (pair.server.host.name, self._tool.server(pair, self._train)),
            (pair.client.host.name, self._tool.client(pair, self._train)),
        )
        if self.load is None or pair.beside is None:
            return own
        beside, probe_s = pair.beside, self.traffic_s + self.tool_s
        return (
            (beside.server.host.name, self.load.server_command(beside, probe_s)),
            (beside.client.host.name, self.load.client_command(beside, probe_s)),
            *own,
        )

    def measured(self, client: Outcome, pair: Pair) -> Measured:
        """What the tool's output says; pure. Raises ProbeFailed or ToolBroke."""
        kept = (("client", unindented(client.stdout)), ("client-errors", client.stderr))
        raw = {name: text for name, text in kept if text}
        trips = self._tool.parse(client, raw, self._train)
        sent = len(trips.times_s) + trips.lost
        ordered = sorted(trips.times_s)
        way = f"{pair.client.host.name}>{pair.server.host.name}"

        def sample(metric: str, value: float, unit: str) -> Sample:
            return Sample(self.name, metric, value, unit, pair.client.host.name, way, trips.seconds)

        samples = [
            sample("rtt_mean", sum(ordered) / len(ordered), "s"),
            sample("loss", trips.lost / sent, "1"),
        ]
        found, flags = percentiles(ordered, trips.lost)
        samples += [sample(metric, value, "s") for metric, value in found.items()]
        counts = Counter(histogram_bin(value) for value in ordered)
        return Measured(tuple(samples), raw, (Histogram(self.name, "rtt", "s", dict(counts)),), flags)

    def _run(self, pair: Pair) -> Outcome:
        server, client = self._tool.server(pair, self._train), self._tool.client(pair, self._train)
        with serving(pair.server.host, server, port=pair.server_port, protocol="udp", says=self._tool.says):
            try:
                return pair.client.host.run(client)
            except Overdue as error:
                raise ProbeFailed(str(error), raw={"client": error.outcome.stdout}) from error

    @property
    def _tool(self) -> Tool:
        return _TOOLS[self.tool]

    @property
    def _train(self) -> Train:
        return Train(self.duration_s, self.interval_s, self.size_bytes)


OPTIONS: Options = {
    "duration_s": number(0.05, 3600, "seconds", 1.0),
    "interval_s": number(0.0002, 10, "seconds", 0.001, "seconds between packets"),
    "size_bytes": whole(60, 65000, "bytes", 60, "bytes of a packet"),
    "tool": word(tuple(_TOOLS), "", f"irtt below {sockperf.LEAST_S:g} s and sockperf from there on when not given"),
    "load": nested(load.OPTIONS, "a paced flow beside it", required=("pct", "of")),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Latency:  # Any: as in Options
    """The `latency` probe of a plan. Raises WrongInput where options contradict each other."""
    long = given["duration_s"] >= sockperf.LEAST_S
    tool: Literal["irtt", "sockperf"] = given["tool"] or ("sockperf" if long and given["interval_s"] <= 1 else "irtt")
    if tool == "sockperf" and not long:
        node.mapping()["tool"].wrong(
            f"sockperf takes 2.2 s to start, so its window is {sockperf.LEAST_S:g} s or more, "
            f"not {given['duration_s']:g} s",
            hint="tool: irtt, or a longer duration_s",
        )
    if tool == "sockperf" and given["interval_s"] > 1:
        node.mapping()["interval_s"].wrong("sockperf sends once a second or more often", hint="tool: irtt")
    return Latency(
        name, given["duration_s"], given["interval_s"], given["size_bytes"], ends, tool, _load(ends, given, node)
    )


def _load(ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Load | None:  # Any: as in Options
    asked = given["load"]
    if asked is None:
        return None
    between = (asked["from"] or ends[0], asked["to"] or ends[1])
    if between[0] == between[1]:
        node.mapping()["load"].wrong(f"it runs from {between[0]} to itself", hint="from: a and to: b")
    return Load(asked["pct"], asked["of"], asked["capacity"], asked["protocol"], between)
