"""What every probe shares: the pair it runs between, what it gives, how it fails, and a server that is ready."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.host import Host, Running
from bench.labs.lab import Endpoint, Lab
from results.errors import NotAble
from results.records import Histogram, Sample

_READY_S = 3.0
_TOLD_S = 0.5  # that a server is given to say so itself, before the kernel is asked
_TOLD = (0, 1)  # wrk prints its version and exits with 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a probe runs: its server at `server`, its client at `client`, on ports of this block.

    `known` has what this trial has measured so far ("tcp.goodput"), and current's capacities as measured before the
    first block ("current/tcp.goodput"), in the metrics' units.
    """

    client: Endpoint
    server: Endpoint
    server_port: int
    client_port: int
    server_address: str = ""  # where the client meets the server, "" for its own address (no NAT between)
    known: Mapping[str, float] = field(default_factory=dict)
    beside: "Pair | None" = None  # where the load of this probe runs
    lab: Lab | None = None  # what it stands in; None where only the ends are known

    @property
    def destination(self) -> str:
        """The address that the client connects to."""
        return self.server_address or self.server.address


@dataclass(frozen=True, slots=True)
class Datagrams:
    """How many were sent and received in a whole test, for the account of where the others were lost."""

    sender: Endpoint
    receiver: Endpoint
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a probe gave. `delivered_bytes` of application data arrived at `receiver` (0: the probe moves none).

    `returned_bytes` of it arrived at the other end meanwhile, where both ways are measured at once.
    """

    samples: tuple[Sample, ...]
    raw: Mapping[str, str]  # what the tools printed, by name
    histograms: tuple[Histogram, ...] = ()
    flags: tuple[str, ...] = ()
    receiver: str = ""
    delivered_bytes: int = 0
    returned_bytes: int = 0
    datagrams: Datagrams | None = None


class ProbeFailed(NotAble):
    """The path gave no number under this arm: refused, cut or stalled. Counts against the arm. `raw` as in Measured."""

    def __init__(self, message: str, *, hint: str = "", raw: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.raw = dict(raw or {})


class ToolBroke(ProbeFailed):
    """The tool itself crashed or printed garbage: no number, and not the arm's doing. The trial is missing."""


class Probe(Protocol):
    """One kind of measurement, with its options from the plan."""

    @property
    def name(self) -> str:
        """As the plan calls it; the first part of its metrics' names."""
        ...

    @property
    def ends(self) -> tuple[str, str]:
        """The endpoints (client, server) that it runs between."""
        ...

    @property
    def load_ends(self) -> tuple[str, str] | None:
        """The endpoints (client, server) of the load that it puts beside itself, None without one."""
        ...

    @property
    def calibrates(self) -> tuple[str, ...]:
        """Metrics of current ("tcp.goodput") that must be known before the first block: its load is a share of them."""
        ...

    @property
    def traffic_s(self) -> float:
        """Seconds in which it sends, warm-up included: what it cannot do without."""
        ...

    @property
    def tool_s(self) -> float:
        """Fixed seconds that its tools take beside the traffic, measured once; for the estimate."""
        ...

    @property
    def tools(self) -> tuple[Command, ...]:
        """Commands that print the versions of the programs it needs at both ends."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Full names of the metrics that the judgement compares."""
        ...

    @property
    def definitions(self) -> Mapping[str, str]:
        """Metric ("rtt_p50") -> how exactly this probe measures it; only where METRICS' own words do not suffice."""
        ...

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """(endpoint's name, Command) of everything that it runs, servers first; for `--dry-run`."""
        ...

    def measure(self, pair: Pair) -> Measured:
        """Run it once. Raises ProbeFailed, or ToolBroke when the tool is at fault."""
        ...


def socket_name(address: str, port: int) -> str:
    """`198.18.0.1:20001`, `[2001:2::1]:20001`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@contextlib.contextmanager
def serving(host: Host, command: Command, *, port: int, protocol: str, says: str = "") -> Iterator[Running]:
    """A server that listens on `port` ("tcp" or "udp") from the first line of the block on; ended on leaving.

    `says` is what it prints once it listens: hearing that takes nothing from the server, as a question does which runs
    beside it (30 ms on an emulated CPU).
    """
    with host.start(command) as server:
        question = Command(("ss", "-Hln", f"--{protocol}", "sport", "=", f":{port}"))
        started = time.monotonic()
        while not (says and _heard(server, says, started + _TOLD_S)):
            if host.run_all((question,))[0].require().stdout.strip():
                break
            if server.finished():
                outcome = server.wait()
                raise ToolBroke(
                    f"on {host.name}: `{command}` ended before it listened on {protocol} port {port} "
                    f"(exit {outcome.returncode}): {(outcome.stderr or outcome.stdout).strip()[:300]}",
                    raw={"server": outcome.stdout, "server-errors": outcome.stderr},
                )
            if time.monotonic() > started + _READY_S:
                raise ToolBroke(f"on {host.name}: `{command}` did not listen on {protocol} port {port} in {_READY_S} s")
        yield server


def _heard(server: Running, words: str, by: float) -> bool:
    """Whether it says that, by then or before it ends."""
    while words not in server.output():
        if time.monotonic() > by or server.finished():
            return words in server.output()
        time.sleep(0.002)
    return True


def ended(server: Running, deadline_s: float) -> Outcome:
    """The Outcome of a server of one test; one that does not end by itself never met a client: its output is empty."""
    try:
        return server.wait(deadline_s)
    except Overdue as error:
        return error.outcome


def checked_version(host: Host, command: Command) -> str:
    """The first line that a tool prints about itself; raises HostFault when the host lacks it."""
    outcome = host.run(command)
    text = (outcome.stdout or outcome.stderr).strip()
    if outcome.returncode not in _TOLD or not text:
        tool = command.argv[0]
        library = "libiperf_child.py" in str(command)  # bench.probes.engine: our own program, somebody else's library
        raise HostFault(
            f"on {host.name}: {'libiperf' if library else tool} is needed and not there "
            f"(`{command}` exited with {outcome.returncode}{': ' + text[:200] if library else ''})",
            hint=f"Debian: apt-get install --no-install-recommends {'libiperf0' if library else tool}",
        )
    return text.splitlines()[0]
