"""Round-trip time by sockperf `under-load`: UDP packets at a fixed rate, each answered and logged; for long windows.

It costs 2.2 s per start, so a window below 5 s is irtt's. Its sender spins until the next packet is due, so the
sender's wake-up is not in the RTT; its receiver sleeps. Unless `--full-rtt` is given it prints half of it
(Mellanox/sockperf #172).
"""

import math
import re
from collections.abc import Mapping

from bench.hosts.command import Command, Outcome
from bench.probes.probe import Pair, ProbeFailed, ToolBroke
from bench.probes.trips import Tool, Train, Trips

LEAST_S = 5.0
_CUT_S = 0.5  # of a run's start and end that its statistics leave out (measured: 0.45 s, whatever the duration)
_WATCHDOG_S = 10.0
# One packet of the log: number, seconds of sending and receiving, round trip in microseconds.
_LOGGED = re.compile(r"^\d+, [\d.]+, [\d.]+, (\d{1,12}(?:\.\d+)?)$", re.MULTILINE)
_VALID = re.compile(
    r"\[Valid Duration\] RunTime=(\d{1,9}(?:\.\d+)?) sec; SentMessages=(\d{1,12}); ReceivedMessages=(\d{1,12})"
)


def server(pair: Pair, train: Train) -> Command:
    """The server's Command; it runs until it is stopped."""
    return Command(
        ("sockperf", "server", "-i", pair.server.address, "-p", str(pair.server_port)),
        deadline_s=traffic_s(train) + 2 * _WATCHDOG_S,
    )


def client(pair: Pair, train: Train) -> Command:
    """The client's Command; a pasteable line in `--dry-run`.

    The log goes to standard error, where nothing else is printed: it is opened as a file of its own and would overwrite
    what stands on standard output.
    """
    return Command(
        ("sockperf", "under-load", "-i", pair.destination, "-p", str(pair.server_port),
         "--client_ip", pair.client.address, "--client_port", str(pair.client_port),
         "-t", f"{traffic_s(train):g}", "--mps", str(round(1 / train.interval_s)), "--reply-every", "1",
         "-m", str(train.size_bytes), "--full-rtt", "--full-log", "/dev/stderr"),
        deadline_s=traffic_s(train) + _WATCHDOG_S,
    )  # fmt: skip


def traffic_s(train: Train) -> float:
    """Whole seconds, which is what it takes, that hold the window and what it cuts off."""
    return float(math.ceil(round(train.duration_s + _CUT_S, 6)))


def parse(outcome: Outcome, raw: Mapping[str, str], train: Train) -> Trips:
    """The round trips of the log. Raises ProbeFailed when nothing came back, ToolBroke for anything else."""
    del train  # the window is what it says it was
    said = f"on {outcome.host}: sockperf (exit {outcome.returncode})"
    if "No messages were received from the server" in outcome.stdout + outcome.stderr:
        raise ProbeFailed(f"{said}: none of its packets came back", raw=raw)
    valid = _VALID.search(outcome.stdout)
    if valid is None or outcome.returncode != 0:
        told = " ".join(outcome.stdout.split())[-200:]
        raise ToolBroke(f"{said} printed no statistics but {told!r}", raw=raw)
    seconds, sent, received = float(valid[1]), int(valid[2]), int(valid[3])
    times_s = [micros / 1e6 for micros in map(float, _LOGGED.findall(outcome.stderr)) if micros > 0]
    if len(times_s) != received or not received <= sent or not seconds > 0:
        raise ToolBroke(
            f"{said} logged {len(times_s)} round trips, and counted {received} of {sent} packets in {seconds:g} s",
            raw=raw,
        )
    if not times_s:
        raise ProbeFailed(f"{said}: none of {sent} packets came back", raw=raw)
    return Trips(times_s, sent - received, seconds)


TOOL = Tool(
    definition="user space to user space; the sender spins until a packet is due, the receiver sleeps (sockperf)",
    version=Command(("sockperf", "--version")),
    fixed_s=2.2,
    sends=0.9,  # measured: 1549 of 1549 in 1.549 s at 1 ms; a spinning sender is late only where a core is missing
    traffic_s=traffic_s,
    server=server,
    client=client,
    parse=parse,
)
