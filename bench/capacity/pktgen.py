"""Frames by the kernel's own generator, pktgen, where it is loaded: no socket, no copy.

It hands frames to the sender's device itself, past that end's own queue. It keeps to a rate, not to a time, so a trial
takes as long as it takes; a generator that is too slow is seen by that. The receiver's kernel counts them as datagrams
to a port that nobody listens on, which others hardly send. No receiver reads their numbers: such as came twice would
hide as many that were lost.
"""

import json
import re
import time
from dataclasses import dataclass

from bench.capacity.datagrams import begun, drained
from bench.capacity.rates import Offered
from bench.facts.counters import Counters, grown
from bench.hosts.command import Command, Overdue
from bench.hosts.host import Host
from bench.probes.probe import Pair, ProbeFailed, ToolBroke

_CHECKSUM_BYTES = 4  # pktgen's sizes are without it
_PORT = 9  # RFC 863: nobody listens there, so nothing is woken
_SLOW = 4.0  # times the seconds of a trial that it may take
_LISTENS = Command(("ss", "-Hlun", "sport", "=", f":{_PORT}"))
UNNUMBERED = "no receiver reads the numbers of pktgen's frames: such as came twice would hide as many that were lost"
_THERE = Command(("test", "-w", "/proc/net/pktgen/pgctrl"))
# $1 device, $2 frames, $3 bytes, $4 frames a second, $5 address, $6 MAC, $7 port. Written as pktgen reads it, line by
# line (Documentation/networking/pktgen.rst); `start` returns when all are sent, or when a signal comes.
_SEND = """\
set -e
all=/proc/net/pktgen
echo rem_device_all >$all/kpktgend_0
trap 'echo rem_device_all >$all/kpktgend_0' EXIT
echo "add_device $1" >$all/kpktgend_0
for word in "count $2" "pkt_size $3" "ratep $4" "dst $5" "dst_mac $6" "udp_dst_min $7" "udp_dst_max $7"; do
  echo "$word" >"$all/$1"
done
echo start >$all/pgctrl
cat "$all/$1"
"""
_RESULT = re.compile(r"Result: OK: (\d{1,15})\(c[^)]*\) usec, (\d{1,15}) \(")


@dataclass(frozen=True, slots=True)
class Pktgen:
    """A generator (bench.capacity.rates.Generator) from the pair's client to its server, by IPv4."""

    pair: Pair
    frame_bytes: int = 1518

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer. Raises ToolBroke where pktgen is not there, ProbeFailed where nobody is found."""
        sender, receiver = self.pair.client.host, self.pair.server.host
        if ":" in self.pair.client.address:
            raise ToolBroke("generator pktgen is for paths of IPv4", hint="generator: iperf3")
        if not sender.run(_THERE).ok:
            raise ToolBroke(
                f"on {sender.name}: the kernel's pktgen is not here: not built, not loaded, or not ours to write",
                hint=f"modprobe pktgen on {sender.name}; or generator: iperf3",
            )
        command = self.command(rate_fps, seconds, next_mac(self.pair))
        if receiver.run(_LISTENS).stdout.strip():
            raise ToolBroke(f"on {receiver.name}: somebody listens on UDP's port {_PORT}, to which pktgen sends",
                            hint="generator: iperf3")  # fmt: skip
        before = begun((receiver,), six=False)[receiver.name]
        try:
            told = sender.run(command)
        except Overdue as error:
            raise ProbeFailed(
                f"{error}: {rate_fps:.0f} frames/s were not sent in {_SLOW:g} times their time"
            ) from error
        found = _RESULT.search(told.stdout)
        if not told.ok or found is None:
            raise ToolBroke(f"on {sender.name}: pktgen: {(told.stderr or told.stdout).strip()[-200:]!r}")
        after, still = drained((receiver,), lambda now: _unread(before, now[receiver.name]))
        took_s, sent = int(found[1]) / 1e6, int(found[2])
        return Offered(rate_fps, max(took_s, 1e-6), sent, _unread(before, after[receiver.name]), moving=not still)

    def command(self, rate_fps: float, seconds: float, mac: str) -> Command:
        """What sends the frames of a trial."""
        rate = max(1, round(rate_fps))
        words = (self.pair.client.device, str(max(1, round(rate * seconds))), str(self.frame_bytes - _CHECKSUM_BYTES),
                 str(rate), self.pair.destination, mac, str(_PORT))  # fmt: skip
        return Command(("sh", "-c", _SEND, "sh", *words), deadline_s=_SLOW * seconds + 5.0, loads=True)


def _unread(before: Counters, after: Counters) -> int:
    return max(0, grown(before.stack, after.stack).get("Udp.NoPorts", 0))


def next_mac(pair: Pair) -> str:
    """That of the next hop towards the server. Raises ProbeFailed where nobody answers."""
    host, goal = pair.client.host, pair.destination
    until = time.monotonic() + 3.0
    while True:
        host.run(Command(("ping", "-c1", "-W1", "-I", pair.client.address, goal)))
        route = _rows(host, ("ip", "-j", "route", "get", goal))
        hop = str(route[0].get("gateway", goal)) if route else goal
        found = [
            str(each["lladdr"]) for each in _rows(host, ("ip", "-j", "neigh", "show", "to", hop)) if "lladdr" in each
        ]
        if found:
            return found[0]
        if time.monotonic() > until:
            raise ProbeFailed(f"on {host.name}: nobody answers at {hop}, which is the way to {goal}")


def _rows(host: Host, argv: tuple[str, ...]) -> list[dict[str, object]]:
    try:
        found = json.loads(host.run(Command(argv)).stdout or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
