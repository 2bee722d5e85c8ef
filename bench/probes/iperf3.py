"""TCP goodput by the iperf3 executable at both ends, one fresh server and client per trial.

iperf3's own `-O` and its sender's rate are not used: the receiver's 0.1 s intervals are cut by time here (esnet/iperf
#236, #443). `-t` takes whole seconds, so the next whole one is asked for and the rest cut off as warm-down.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.hosts.host import Running
from bench.options import Option, Options, number, whole, word
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, serving
from results.records import Sample

_INTERVAL_S = 0.1
_SLACK_S = 0.02  # by which iperf3's timer misses its intervals (seen: up to 2 ms; a stalled core: more)
_WATCHDOG_S = 6.0  # beyond the traffic: control connection, result exchange, a slow machine
_EXCHANGE_S = 3.0  # after a client that ended well, its server has printed everything (measured: 2 ms)
_BUSY_PCT = 95.0
_ABSURD = 1e18  # bytes, seconds or per cent: what is above is a broken number


@dataclass(frozen=True, slots=True)
class Tcp:
    """The `tcp` probe. Direction forward: a sends, b receives; `window_bytes` 0 leaves buffers to the kernel."""

    name: str
    duration_s: float
    warmup_s: float
    streams: int
    direction: Literal["forward", "reverse"]
    congestion_control: str  # "" leaves it to the kernel
    window_bytes: int
    ends: tuple[str, str] = ("a", "b")  # client, server
    preferred: tuple[str, ...] = ()  # congestion controls, the first that the kernel has being taken

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
        """Compared by the judgement; the trial holds more."""
        return tuple(f"{self.name}.{metric}" for metric in ("goodput", "retransmits", "cpu_per_10gbit", "drops"))

    def measure(self, pair: Pair) -> Measured:
        """One test between the pair. See Probe.measure."""
        with serving(pair.server.host, self.server_command(pair), port=pair.server_port, protocol="tcp") as running:
            try:
                client = pair.client.host.run(self.client_command(pair))
            except Overdue as error:
                raise ProbeFailed(str(error), raw=_raw(error.outcome, running.stop())) from error
            ended = _ended(running, client.elapsed_s + _EXCHANGE_S) if _sound(client) else running.stop()
        return self.measured(client, ended, pair)

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
        )  # fmt: skip

    def client_command(self, pair: Pair) -> Command:
        """The client's Command; a pasteable line in `--dry-run`."""
        options = []
        if self.direction == "reverse":
            options.append("--reverse")
        if self.congestion_control:
            options += ["--congestion", self.congestion_control]
        if self.window_bytes:
            options += ["--window", str(self.window_bytes)]
        return Command(
            ("iperf3", "--client", pair.destination, "--port", str(pair.server_port),
             "--bind", pair.client.address, "--cport", str(pair.client_port),
             "--time", f"{self.traffic_s:g}", "--interval", f"{_INTERVAL_S}", "--parallel", str(self.streams),
             "--json", *options),
            deadline_s=self.traffic_s + _WATCHDOG_S,
        )  # fmt: skip

    def measured(self, client: Outcome, server: Outcome, pair: Pair) -> Measured:
        """What the two outputs say; pure. Raises ProbeFailed or ToolBroke."""
        raw = _raw(client, server)
        sending, receiving = parse(client, raw), parse(server, raw)
        forward = self.direction == "forward"
        if not forward:
            sending, receiving = receiving, sending
        sender, receiver = (pair.client, pair.server) if forward else (pair.server, pair.client)
        way = f"{sender.host.name}>{receiver.host.name}"
        received, seconds, flags = self._window(receiving, raw)
        sent, sent_seconds, _ = self._window(sending, raw)
        whole = _number(receiving, "end", "sum_received", "bytes", raw=raw)
        busy = max(
            _number(each, "end", "cpu_utilization_percent", "host_total", raw=raw) for each in (sending, receiving)
        )
        # From 3.16 on each stream has a thread; below, the whole process is one (esnet/iperf release notes).
        if busy / (self.streams if _threaded(sending) else 1) >= _BUSY_PCT:
            flags = (*flags, "generator-bound")
        resent = _at(sending, "end", "sum_sent", "retransmits")

        def sample(metric: str, value: float, unit: str, end: str, span_s: float) -> Sample:
            return Sample(self.name, metric, value, unit, end, way, span_s)

        samples = [
            sample("goodput", received * 8 / seconds, "bit/s", "receiver", seconds),
            sample("sent", sent * 8 / sent_seconds, "bit/s", "sender", sent_seconds),
            sample("generator_busy", busy, "%", "both", self.traffic_s),
        ]
        if _real(resent):
            samples.append(sample("retransmits", float(resent), "1", "sender", self.traffic_s))
        return Measured(tuple(samples), raw, flags=flags, receiver=receiver.host.name, delivered_bytes=int(whole))

    def _window(self, document: Mapping[str, Any], raw: Mapping[str, str]) -> tuple[float, float, tuple[str, ...]]:
        """Bytes, seconds and flags of the intervals that lie inside the window."""
        first, last = self.warmup_s - _SLACK_S, self.warmup_s + self.duration_s + _SLACK_S
        rows = [
            (float(row["start"]), float(row["end"]), float(row["bytes"]))
            for row in _sums(document)
            if float(row["start"]) >= first and float(row["end"]) <= last
        ]
        seconds = sum(end - start for start, end, _ in rows)
        if seconds < self.duration_s / 2:
            raise ProbeFailed(
                f"{self.name}: only {seconds:.2f} s of the {self.duration_s:g} s window came: the test broke off",
                raw=raw,
            )
        flags = tuple(f"zero interval at {start:.1f} s" for start, _, size in rows if size == 0)
        total = sum(size for _, _, size in rows)
        if total <= 0:
            raise ProbeFailed(f"{self.name}: nothing arrived in the window of {self.duration_s:g} s", raw=raw)
        return total, seconds, flags


_CONTROL = re.compile(r"[a-z0-9_]{1,15}")
_CONTROL_SCHEMA = {"type": "string", "pattern": f"^{_CONTROL.pattern}$", "examples": ["bbr", "cubic", "reno"]}


def _controls(node: Node) -> tuple[str, ...]:
    words = node.items() if isinstance(node.value, list) else (node,)
    for each in words:
        if not _CONTROL.fullmatch(each.text()):
            each.wrong(f"{each.text()!r} is no name of a congestion control")
    return tuple(each.text() for each in words)


OPTIONS: Options = {
    "duration_s": number(0.3, 3600, "seconds", 10.0, "seconds that are measured"),
    "warmup_s": number(0, 60, "seconds", 0.0, "seconds before them that are cut off"),
    "streams": whole(1, 128, "streams", 1, "parallel streams"),
    "direction": word(("forward", "reverse"), "forward"),
    "congestion_control": Option(
        {
            "anyOf": [_CONTROL_SCHEMA, {"type": "array", "items": _CONTROL_SCHEMA}],
            "description": "one, or several in order of preference: the first that the kernel has, in every arm",
        },
        _controls,
        (),
    ),
    "window_bytes": whole(4096, 1 << 30, "bytes", 0, "bytes of socket buffer; left to the kernel when not given"),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Tcp:  # Any: as in Options
    """The `tcp` probe of a plan. Raises WrongInput where options contradict each other."""
    del node  # nothing contradicts yet
    return Tcp(
        name=name,
        duration_s=given["duration_s"],
        warmup_s=given["warmup_s"],
        streams=given["streams"],
        direction=given["direction"],
        congestion_control="",
        window_bytes=given["window_bytes"],
        ends=ends,
        preferred=given["congestion_control"],
    )


def parse(outcome: Outcome, raw: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON
    """iperf3's JSON document. Raises ToolBroke for garbage or a crash, ProbeFailed for an error iperf3 reports."""
    try:
        document = json.loads(outcome.stdout)
        if not isinstance(document, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        said = (outcome.stderr or outcome.stdout).strip()[:200]
        raise ToolBroke(
            f"on {outcome.host}: iperf3 (exit {outcome.returncode}) printed no JSON document but {said!r}", raw=raw
        ) from None
    if "Address already in use" in str(document.get("error", "")):
        # A port of ours is taken: nothing that an arm could have done.
        raise ToolBroke(f"on {outcome.host}: iperf3: {document['error']}", raw=raw)
    if "error" in document:
        raise ProbeFailed(f"on {outcome.host}: iperf3: {document['error']}", raw=raw)
    if outcome.returncode != 0:
        raise ToolBroke(f"on {outcome.host}: iperf3 exited with {outcome.returncode} and named no error", raw=raw)
    if not isinstance(document.get("end"), dict) or not _sums(document):
        raise ToolBroke(f"on {outcome.host}: iperf3's JSON has no intervals or no end", raw=raw)
    return document


def _sums(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The sum over all streams per interval; rows that lack a number or end before they start are left out."""
    intervals = document.get("intervals")
    rows = [row.get("sum") for row in intervals if isinstance(row, dict)] if isinstance(intervals, list) else []
    return [
        row
        for row in rows
        if isinstance(row, dict)
        and all(_real(row.get(key)) for key in ("start", "end", "bytes"))
        and row["end"] > row["start"]
    ]


def _real(value: object) -> bool:
    """A count or time that can be: JSON knows NaN, and whole numbers that no float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _ABSURD


def _at(document: Mapping[str, Any], *path: str) -> Any:  # Any: JSON
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(document: Mapping[str, Any], *path: str, raw: Mapping[str, str]) -> float:
    value = _at(document, *path)
    if not _real(value):
        raise ToolBroke(f"iperf3's JSON has no number at {'.'.join(path)}", raw=raw)
    return float(value)


def _threaded(document: Mapping[str, Any]) -> bool:
    version = str(_at(document, "start", "version"))
    numbers = [int(word) for word in version.removeprefix("iperf ").split("+")[0].split(".") if word.isdigit()]
    return numbers >= [3, 16]


def _sound(client: Outcome) -> bool:
    """True when the client tells of a test; otherwise its server waits for nobody."""
    try:
        parse(client, {})
    except ProbeFailed:
        return False
    return True


def _ended(server: Running, deadline_s: float) -> Outcome:
    """The server's Outcome; one that does not end by itself never met a client, and says so by its empty output."""
    try:
        return server.wait(deadline_s)
    except Overdue as error:
        return error.outcome


def _raw(client: Outcome, server: Outcome) -> dict[str, str]:
    named = {"client": client.stdout, "client-errors": client.stderr, "server": server.stdout,
             "server-errors": server.stderr}  # fmt: skip
    return {name: text for name, text in named.items() if text}
