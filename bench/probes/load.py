"""A load beside a latency probe: one paced iperf3 flow at a stated share of a capacity that was measured.

Latency at full load measures the queue, not the path. A share of what the same arm carries shows the path under load;
the same share of what current carries compares arms under equal load. The load starts before the probe, runs through
its whole window and ends after it; its settling is cut. What its receiver got in that window is told beside what was
asked for.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.hosts.command import Command
from bench.hosts.host import Running
from bench.labs.lab import ENDS
from bench.options import Option, Options, number, word
from bench.probes.iperf3_json import printed, rate_bps, rows
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, ended, serving
from results.records import Sample

SETTLE_S = 0.5  # slow start and first pacing (measured at 10 Gbit/s: the third interval of 0.1 s is within 1 %)
_TAIL_S = 0.12  # after the probe, so that the load's last interval of 0.1 s in the window is complete
_WATCHDOG_S = 6.0
_EXCHANGE_S = 6.0  # from the end of the probe to that of the load's server, its own start included
_REACHED = 0.95  # of what was asked; a load below it is flagged
FIXED_S = SETTLE_S + _TAIL_S + 0.03


@dataclass(frozen=True, slots=True)
class Load:
    """`pct` per cent of `of` ("tcp.goodput"), as this arm reached it in this trial or as current did before the run."""

    pct: float
    of: str
    capacity: Literal["arm", "current"]
    protocol: Literal["tcp", "udp"]
    ends: tuple[str, str]  # client (which sends), server
    congestion_control: str = ""  # that of the probe that measured the capacity; "" leaves it to the kernel

    @property
    def known_as(self) -> str:
        """The name in Pair.known of the capacity that it takes a share of."""
        return self.of if self.capacity == "arm" else f"current/{self.of}"

    @property
    def definition(self) -> str:
        """The state of the path, for the definitions of what is measured beside it."""
        whose = "the same arm's" if self.capacity == "arm" else "current's"
        put_on = f"put on by paced {self.protocol.upper()} from {self.ends[0]} to {self.ends[1]}"
        return f"under {self.pct:g} % of {whose} {self.of}, {put_on}"

    def rate_bps(self, pair: Pair) -> float:
        """What it asks for. Raises ToolBroke when the capacity is not known."""
        try:
            return self.pct / 100 * pair.known[self.known_as]
        except KeyError:
            raise ToolBroke(f"the load is {self.pct:g} % of {self.known_as}, and that was not measured") from None

    def server_command(self, pair: Pair, probe_s: float) -> Command:
        """The receiver's Command; it serves one test and ends."""
        return Command(
            ("iperf3", "--server", "--one-off", "--json", "--interval", "0.1", "--bind", pair.server.address,
             "--port", str(pair.server_port)),
            deadline_s=probe_s + 2 * _WATCHDOG_S,
            loads=True,
        )  # fmt: skip

    def client_command(self, pair: Pair, probe_s: float) -> Command:
        """The sender's Command, told to send for longer than needed: it is stopped when the probe has ended.

        TCP is paced by the kernel (SO_MAX_PACING_RATE), UDP by iperf3; without a measured capacity the rate is a word.
        """
        known = pair.known.get(self.known_as)
        asked = f"{self.pct:g}%-of-{self.known_as}" if known is None else str(round(self.pct / 100 * known))
        paced = ["--fq-rate", asked] if self.protocol == "tcp" else ["--udp", "--bitrate", asked]
        if self.congestion_control and self.protocol == "tcp":
            paced += ["--congestion", self.congestion_control]
        return Command(
            ("iperf3", "--client", pair.destination, "--port", str(pair.server_port), "--bind", pair.client.address,
             "--cport", str(pair.client_port), "--time", str(round(probe_s + FIXED_S + _WATCHDOG_S)),
             "--interval", "0.1", "--json", *paced),
            deadline_s=probe_s + 2 * _WATCHDOG_S,
            loads=True,
        )  # fmt: skip


@dataclass(slots=True)
class Beside:
    """A load on its way: when the probe began and ended on its clock, then what both of its ends printed."""

    begun_s: float = 0.0
    ended_s: float = 0.0
    client: str = ""
    server: str = ""

    @property
    def raw(self) -> dict[str, str]:
        """What the tools printed, by name, as in Measured."""
        return {"load-client": self.client, "load-server": self.server}


@contextlib.contextmanager
def running(load: Load, pair: Pair, probe_s: float) -> Iterator[Beside]:
    """The load on the path while the block runs; afterwards the Beside holds what it gave.

    Raises ProbeFailed when it ended before the probe did, ToolBroke when its capacity is not known.
    """
    load.rate_bps(pair)
    beside = Beside()
    receiving, sending = load.server_command(pair, probe_s), load.client_command(pair, probe_s)
    with (
        serving(pair.server.host, receiving, port=pair.server_port, protocol="tcp") as server,
        pair.client.host.start(sending) as client,
    ):
        started = time.monotonic()
        time.sleep(SETTLE_S)
        _check_on(client, pair)
        beside.begun_s = time.monotonic() - started
        yield beside
        beside.ended_s = time.monotonic() - started
        _check_on(client, pair)
        time.sleep(_TAIL_S)
        # Told to stop, both ends print what they have, with an "error" that says so (iperf 3.12).
        beside.client = client.stop().stdout
        beside.server = ended(server, beside.ended_s + _EXCHANGE_S).stdout  # measured: 2 ms after its sender has gone


def _check_on(client: Running, pair: Pair) -> None:
    if client.finished():
        outcome = client.wait()
        said = printed(outcome.stdout).get("error") or outcome.stderr.strip() or "it named no error"
        raise ProbeFailed(
            f"on {pair.client.host.name}: the load broke off: {said}", raw={"load-client": outcome.stdout}
        )


def told(load: Load, pair: Pair, beside: Beside, probe: str) -> Measured:
    """The load as samples of `probe`: asked and reached, in bit/s at the receiver, over the probe's window; pure.

    Raises ProbeFailed when it never got through, ToolBroke when only its receiver printed nothing that can be read.
    """
    found = rows(printed(beside.server))
    if not found and not rows(printed(beside.client)):
        raise ProbeFailed(f"on {pair.client.host.name}: the load never reached {pair.destination}", raw=beside.raw)
    if not found:
        raise ToolBroke(f"on {pair.server.host.name}: the load's iperf3 printed no intervals", raw=beside.raw)
    asked = load.rate_bps(pair)
    reached = rate_bps(found, beside.begun_s, beside.ended_s)
    way, seconds = f"{pair.client.host.name}>{pair.server.host.name}", beside.ended_s - beside.begun_s
    samples = (
        Sample(probe, "load_asked", asked, "bit/s", "sender", way, seconds),
        Sample(probe, "load_rate", reached, "bit/s", "receiver", way, seconds),
    )
    short = reached < _REACHED * asked
    flags = (f"{probe}: the load reached {100 * reached / asked:.0f} % of what was asked",) if short else ()
    return Measured(samples, beside.raw, flags=flags)


OPTIONS: Options = {
    "pct": number(1, 100, "per cent", 50.0, "per cent of the capacity"),
    "of": Option(
        {
            "type": "string",
            "examples": ["tcp.goodput"],
            "description": "the capacity: a rate that an earlier probe has",
        },
        lambda node: node.text(),
        "",
    ),
    "capacity": word(
        ("arm", "current"), "arm", "the same arm's in the same trial, or current's as measured before the run"
    ),
    "protocol": word(("tcp", "udp"), "tcp"),
    "from": word(ENDS, "", "the endpoint that sends; the probe's own when not given"),
    "to": word(ENDS, "", "the endpoint that receives; the probe's own when not given"),
}
