"""Round-trip time by irtt: small UDP packets sent at a fixed pace, so that a stall is sampled, not waited out.

The figure is user space to user space on one clock, paced: it pays the wake-ups that a paced application pays (median
about 110 µs on an idle path here, where back-to-back ping-pong shows 75 µs). One-way delays are not used.
"""

import json
from collections.abc import Mapping
from typing import Any

from bench.hosts.command import Command, Outcome
from bench.probes.probe import Pair, ProbeFailed, ToolBroke, socket_name
from bench.probes.trips import Tool, Train, Trips

LISTENS = "[ListenerStart]"  # printed after all sockets are bound (irtt's server.go, ListenAndServe)
_WATCHDOG_S = 20.0  # irtt waits 4 s for replies that never come, and 15 s in all to open a session
_ABSURD_NS = 1e15  # 11 days; also keeps out NaN and whole numbers that no float holds


def serves(pair: Pair, deadline_s: float) -> Command:
    """A server's Command. Without a least interval: it would drop what a busy client sends in a bunch."""
    bind = socket_name(pair.server.address, pair.server_port)
    return Command(("irtt", "server", "-i", "0s", "-b", bind), deadline_s=deadline_s)


def server(pair: Pair, train: Train) -> Command:
    """The server's Command of a train."""
    return serves(pair, train.duration_s + 2 * _WATCHDOG_S)


def client(pair: Pair, train: Train) -> Command:
    """The client's Command; a pasteable line in `--dry-run`."""
    return Command(
        ("irtt", "client", "-Q", "-o", "-", "-i", _go_duration(train.interval_s),
         "--tstamp=none", "--stats=none", "-d", _go_duration(train.duration_s), "-l", str(train.size_bytes),
         f"--local={socket_name(pair.client.address, pair.client_port)}",
         socket_name(pair.destination, pair.server_port)),
        deadline_s=train.duration_s + _WATCHDOG_S,
    )  # fmt: skip


def parse(outcome: Outcome, raw: Mapping[str, str], train: Train) -> Trips:
    """The round trips of irtt's JSON document, one at least. Raises ToolBroke or ProbeFailed."""
    found = trips(outcome, raw, train)
    if not found.times_s:
        raise ProbeFailed(f"on {outcome.host}: none of {found.lost} packets came back", raw=raw)
    return found


def trips(outcome: Outcome, raw: Mapping[str, str], train: Train) -> Trips:
    """The same, also where nothing came back. Raises ToolBroke, or ProbeFailed where its server was not met."""
    said = (outcome.stderr or outcome.stdout).strip()[:200]
    try:
        document = json.loads(outcome.stdout)
        sent = document["round_trips"]
        if not isinstance(sent, list):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        if outcome.returncode > 0 and not outcome.stdout.strip():
            raise ProbeFailed(f"on {outcome.host}: irtt exited with {outcome.returncode}: {said}", raw=raw) from None
        raise ToolBroke(f"on {outcome.host}: irtt printed no JSON document but {said!r}", raw=raw) from None
    times_s = [value / 1e9 for value in (_rtt_ns(trip) for trip in sent) if value is not None]
    return Trips(times_s, len(sent) - len(times_s), train.duration_s)


TOOL = Tool(
    definition="user space to user space; sender and receiver sleep between packets (irtt)",
    version=Command(("irtt", "version")),
    fixed_s=0.03,  # start, session opening, wait for the last replies (measured: 0.02 to 0.03 s)
    # The timer of irtt misses a part of the packets at 1 ms (measured: 326 of 400 sent by one build, 330 of 500 by
    # another).
    sends=0.62,
    traffic_s=lambda train: train.duration_s,
    server=server,
    client=client,
    parse=parse,
    says=LISTENS,
)


def _rtt_ns(trip: Any) -> float | None:  # Any: JSON
    delay = trip.get("delay") if isinstance(trip, dict) else None
    value = delay.get("rtt") if isinstance(delay, dict) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _ABSURD_NS
    return float(value) if usable and value is not None else None


def _go_duration(seconds: float) -> str:
    return f"{round(seconds * 1e6)}us"
