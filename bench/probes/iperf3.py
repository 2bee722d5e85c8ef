"""TCP goodput by iperf3 at both ends: the executable or libiperf, one process or several, one way or both.

Server and client are fresh in each trial. iperf3's own `-O` and its sender's rate are not used: the receiver's 0.1 s
intervals are cut by time here (esnet/iperf #236, #443). `-t` takes whole seconds, so the next whole one is asked for
and the rest cut off as warm-down.
"""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.hosts.command import Command, Outcome, Overdue
from bench.hosts.host import Running
from bench.probes import capped, versions
from bench.probes.engine import ENGINES, EngineName
from bench.probes.iperf3_json import parse as parse  # noqa: PLC0414 - other probes drive iperf3 too
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, ended, serving
from bench.probes.tcp_numbers import Asked, Ran, numbers, raw_of
from bench.probes.versions import Use, Version
from results.metrics import METRICS
from results.records import Sample

_INTERVAL_S = 0.1
_WATCHDOG_S = 6.0  # beyond the traffic: control connection, result exchange, a slow machine
_PROCESS_S = 0.1  # more for each process above the first: all of them start on the same cores
_EXCHANGE_S = 3.0  # after a client that ended well, its server has printed everything (measured: 2 ms)


@dataclass(frozen=True, slots=True)
class Tcp:
    """The `tcp` probe. Direction forward: the client sends; `both` sends both ways at once.

    `window_bytes`, `write_bytes` and `mss_bytes` of 0 leave it to the kernel or iperf3. `cpus` are dealt in turn: the
    first process's client, its server, the second's client, and so on.
    """

    name: str
    duration_s: float
    warmup_s: float
    streams: int
    direction: Literal["forward", "reverse", "both"]
    congestion_control: str  # "" leaves it to the kernel
    window_bytes: int
    ends: tuple[str, str] = ("a", "b")  # client, server
    preferred: tuple[str, ...] = ()  # congestion controls, the first that the kernel has being taken
    processes: int = 1
    cpus: tuple[int, ...] = ()
    write_bytes: int = 0
    mss_bytes: int = 0
    zerocopy: bool = False
    engine: EngineName = "iperf3"
    single_threaded: str = ""  # the version of iperf3 that made processes of its streams
    most_bps: float = 0.0  # goodput that each way may have, all streams together (bench.probes.share); 0: no limit

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
        told = [f"writes of {self.write_bytes} bytes"] if self.write_bytes else []
        told += [f"an MSS of at most {self.mss_bytes} bytes"] if self.mss_bytes else []
        told += ["zero copy (sendfile)"] if self.zerocopy else []
        told += ["libiperf through its Python wrapper"] if self.engine == "libiperf" else []
        told += [f"both ends held to {self.most_bps / 1e6:.4g} Mbit/s each way"] if self.most_bps else []
        told += [f"CPUs {', '.join(map(str, self.cpus))} dealt to clients and servers"] if self.cpus else []
        with_ = f"; with {', '.join(told)}" if told else ""
        what = METRICS["goodput"].definition
        if self.direction == "both":
            # The mean of the slower way, a minimum of two noisy numbers, would fall with noise alone.
            what = (
                "application bytes that both ends read in the window while both sent, times 8, over the window's "
                "seconds: both ways together, each way beside it"
            )
        if self.processes > 1:
            why = f" (iperf3 {self.single_threaded} has one thread for all streams)" if self.single_threaded else ""
            what += (
                f"; summed over {self.processes} iperf3 processes{why}, the window lying where all of them ran, "
                "their starts known to within `alignment`"
            )
        return {"goodput": what + with_} if (what + with_) != METRICS["goodput"].definition else {}

    @property
    def note(self) -> str:
        """What a reader of the run must know beside its plan, "" for nothing."""
        if self.single_threaded:
            return (
                f"{self.name}: {self.processes} streams run as {self.processes} processes, because iperf3 "
                f"{self.single_threaded} has one thread for all streams (3.16 has one for each)."
            )
        return f"{self.name} is driven by libiperf, not by the iperf3 executable." if self.engine != "iperf3" else ""

    @property
    def traffic_s(self) -> float:
        """Seconds for which iperf3 sends."""
        return float(math.ceil(round(self.duration_s + self.warmup_s, 6)))

    @property
    def tool_s(self) -> float:
        """Start, control connection, result exchange; measured."""
        return ENGINES[self.engine].tool_s * self.processes

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints the engine's version."""
        return (ENGINES[self.engine].version,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement; the trial holds more."""
        ways = ("goodput_forward", "goodput_reverse") if self.direction == "both" else ()
        kept = ("goodput", *ways, "retransmits", "cpu_per_10gbit", "drops")
        return tuple(f"{self.name}.{metric}" for metric in kept)

    @property
    def uses(self) -> frozenset[Use]:
        """What it asks of iperf3 that pairs of versions are known to get wrong."""
        found: set[Use] = {"both"} if self.direction == "both" else set()
        if self.zerocopy and self.direction != "forward":
            found.add("zerocopy at the server")
        return frozenset(found)

    def settled(self, client: str, server: str) -> "Tcp":
        """The probe as the versions at its ends can run it; each is what the engine's version command printed.

        Below 3.16 streams become processes. Raises NotAble for a pair of versions that is known to be bad.
        """
        here, there = versions.parse(client), versions.parse(server)
        versions.check(self.name, self.uses, here, there)
        oldest: Version = min(here, there)
        if self.streams == 1 or oldest >= versions.THREADED:
            return self
        return replace(self, streams=1, processes=self.streams, single_threaded=versions.shown(oldest))

    def measure(self, pair: Pair) -> Measured:
        """One test between the pair. See Probe.measure."""
        if ENGINES[self.engine].local and not (pair.client.host.local and pair.server.host.local):
            raise ToolBroke(
                f"{self.name}: {self.engine} runs on this machine only, and {pair.client.host.name} or "
                f"{pair.server.host.name} is another",
                hint="engine: iperf3",
            )
        began_s = time.monotonic()
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(
                    serving(pair.server.host, self.server_command(pair, index), port=pair.server_port + index,
                            protocol="tcp")
                )
                for index in range(self.processes)
            ]  # fmt: skip
            clients: list[tuple[float, Running]] = []
            for index in range(self.processes):
                now_s = time.monotonic()
                clients.append((now_s, stack.enter_context(pair.client.host.start(self.client_command(pair, index)))))
            told = [(since_s, self._end_of(client, servers), time.monotonic()) for since_s, client in clients]
            ran = []
            for (since_s, client, until_s), server in zip(told, servers, strict=True):
                exchange_s = time.monotonic() - began_s + _EXCHANGE_S
                printed = ended(server, exchange_s) if _sound(client) else server.stop()
                ran.append(Ran(client, printed, since_s, until_s))
        return self._measured(ran, pair)

    def _end_of(self, client: Running, servers: list[Running]) -> Outcome:
        """A client's Outcome. Raises ProbeFailed where it hangs, with what it and the servers had printed."""
        try:
            return client.wait()
        except Overdue as error:
            told = [Ran(error.outcome, server.stop()) for server in servers]
            raise ProbeFailed(str(error), hint=error.hint, raw=raw_of(told)) from error

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands."""
        numbered = range(self.processes)
        return (
            *((pair.server.host.name, self.server_command(pair, index)) for index in numbered),
            *((pair.client.host.name, self.client_command(pair, index)) for index in numbered),
        )

    def server_command(self, pair: Pair, process: int = 0) -> Command:
        """A server's Command; it serves one test and ends."""
        return Command(
            (*ENGINES[self.engine].argv, "--server", "--one-off", "--json", "--interval", f"{_INTERVAL_S}",
             "--bind", pair.server.address, "--port", str(pair.server_port + process)),
            deadline_s=self._deadline_s + _WATCHDOG_S,
            loads=True,
        )  # fmt: skip

    def client_command(self, pair: Pair, process: int = 0) -> Command:
        """A client's Command; a pasteable line in `--dry-run`."""
        options = {"forward": [], "reverse": ["--reverse"], "both": ["--bidir"]}[self.direction].copy()
        for word, value in (
            ("--congestion", self.congestion_control),
            ("--window", self.window_bytes),
            ("--length", self.write_bytes),
            ("--set-mss", self.mss_bytes),
        ):
            if value:
                options += [word, str(value)]
        if self.zerocopy:
            options.append("--zerocopy")
        if self.most_bps:
            # iperf3's own limit makes up for a stall at full speed; the kernel's pacing, which it sets too, does not.
            each = str(math.floor(self.most_bps / (self.streams * self.processes)))
            options += ["--bitrate", each, "--fq-rate", each]
        if self.cpus:
            mine, its = (self.cpus[(2 * process + end) % len(self.cpus)] for end in (0, 1))
            options += ["--affinity", f"{mine},{its}"]  # client, server
        port = pair.client_port + process * self.streams * (2 if self.direction == "both" else 1)
        return Command(
            (*ENGINES[self.engine].argv, "--client", pair.destination, "--port", str(pair.server_port + process),
             "--bind", pair.client.address, "--cport", str(port),
             "--time", f"{self.traffic_s:g}", "--interval", f"{_INTERVAL_S}", "--parallel", str(self.streams),
             "--json", *options),
            deadline_s=self._deadline_s,
            loads=True,
        )  # fmt: skip

    @property
    def _deadline_s(self) -> float:
        return self.traffic_s + _WATCHDOG_S + _PROCESS_S * (self.processes - 1)

    def measured(self, client: Outcome, server: Outcome, pair: Pair) -> Measured:
        """What the two outputs of one process say; pure. Raises ProbeFailed or ToolBroke."""
        return self._measured([Ran(client, server)], pair)

    def _measured(self, ran: list[Ran], pair: Pair) -> Measured:
        names = (pair.client.host.name, pair.server.host.name)
        asked = Asked(self.name, self.duration_s, self.warmup_s, self.traffic_s, self.streams, self.direction)
        found = numbers(ran, asked, names)
        return Measured(
            found.samples,
            raw_of(ran),
            flags=(*found.flags, *self._capped(found.samples)),
            receiver=names[0] if self.direction == "reverse" else names[1],
            delivered_bytes=found.delivered_bytes,
            returned_bytes=found.returned_bytes,
        )

    def _capped(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """A flag where a way reached what it was held to."""
        ways = ("goodput_forward", "goodput_reverse") if self.direction == "both" else ("goodput",)
        most = max((each.value for each in samples if each.metric in ways), default=0.0)
        return capped.flags(self.name, most, self.most_bps)


def _sound(client: Outcome) -> bool:
    """True when the client tells of a test; otherwise its server waits for nobody."""
    try:
        parse(client, {})
    except ProbeFailed:
        return False
    return True
