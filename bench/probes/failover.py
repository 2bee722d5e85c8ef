"""The `failover` probe: how long each way is cut while a leg of a bond fails and while it comes back. A check."""

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bench.document import Node
from bench.hosts.command import Command, Outcome, Overdue
from bench.hosts.host import Host
from bench.labs import legs
from bench.labs.cable import HOWS, How
from bench.labs.lab import Lab
from bench.options import Options, number, whole, word
from bench.probes import irtt, outages
from bench.probes.outages import Outage, Packet, Train, Way
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke, serving, socket_name
from results.checks import reason
from results.records import Sample

MODES = ("active-backup", "802.3ad", "balance-xor")
INTERVAL_S = 0.001
# In which irtt opens its session and the leg that carries it is found: 0.5 s between namespaces; an emulated CPU that
# others contend for took 5 s.
_LEAD_S, _LEAD_AFAR_S = 1.0, 6.0
_WATCHDOG_S = 40.0  # irtt waits for what never comes back, and an emulated CPU writes 4 MB of JSON in 3 s
_SWITCH_S = 4.0  # beside the traffic: processes, clocks, the bond whole again, and half of guests' longer lead
_ATTEMPTS = 3  # at a switch
_CLOCKS = 3  # readings of the client's clock, of which the quickest counts
_WAYS: tuple[Way, ...] = ("forward", "back")


class _Late(ToolBroke):
    """The packets ended before the leg came back."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One failing and coming back of a leg: when, on the client's clock, and what became of the packets meanwhile."""

    leg: str
    cut_s: float
    mended_s: float
    clock_s: float  # by which these two may be wrong
    train: Train

    def outage(self, *ways: Way, returning: bool = False) -> Outage | None:
        """The longest since the leg failed, or since it came back."""
        since = (self.mended_s if returning else self.cut_s) - self.clock_s
        found = [each for way in ways or _WAYS for each in outages.outages(self.train.packets, way)]
        within = [each for each in found if each.since_s >= since] if returning else found
        return outages.longest(within, since_s=since)

    def seconds(self, *ways: Way, returning: bool = False) -> float:
        """How long that was; 0 where nothing was lost."""
        found = self.outage(*ways, returning=returning)
        return 0.0 if found is None else found.seconds


@dataclass(frozen=True, slots=True)
class Failover:
    """`switches` times a leg fails for `hold_s` and then has `recover_s`, while packets go both ways every 1 ms."""

    name: str
    how: How
    switches: int
    hold_s: float
    recover_s: float
    limit_s: float  # the longest outage with which the check holds
    leg: int = 0  # 0: the one that carries the packets
    ends: tuple[str, str] = ("a", "b")

    load_ends = None
    calibrates: tuple[str, ...] = ()

    @property
    def traffic_s(self) -> float:
        """Seconds for which packets are sent."""
        return self.switches * self._session_s(local=True)

    @property
    def tool_s(self) -> float:
        """See Probe.tool_s."""
        return self.switches * _SWITCH_S

    @property
    def tools(self) -> tuple[Command, ...]:
        """See Probe.tools."""
        return (Command(("irtt", "version")),)

    @property
    def metrics(self) -> tuple[str, ...]:
        """See Probe.metrics: `held` is not compared, but counted."""
        return tuple(f"{self.name}.{each}" for each in ("outage_max", "outage_p50", "outage_return_max"))

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        leg = f"leg-{self.leg}" if self.leg else "the leg that carried them"
        every = f"over {self.switches} times that {leg} failed ({self.how}) for {self.hold_s:g} s and came back"
        what = "longest time from a packet that arrived to the next that did, by when they were sent, either way"
        return {
            "outage_max": f"the {what}; the longest {every}",
            "outage_p50": f"the {what}; the median {every}",
            "outage_return_max": f"the same for what began after the leg had come back; the longest {every}",
            "held": f"1 where the longest outage was at most {self.limit_s:g} s, else 0; {every}",
        }

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands."""
        return ((pair.server.host.name, self.server(pair)), (pair.client.host.name, self.client(pair)))

    def server(self, pair: Pair) -> Command:
        """The server. It must not have a least interval: it would drop what a busy client sends in a bunch."""
        return irtt.serves(pair, self.switches * (self.hold_s + self.recover_s + 2 * _WATCHDOG_S))

    def client(self, pair: Pair) -> Command:
        """One session: from before the leg fails until it has come back."""
        seconds = self._session_s(local=pair.client.host.local)
        return Command(
            ("irtt", "client", "-Q", "-o", "-", "-i", f"{1e3 * INTERVAL_S:g}ms", "-d", f"{1e3 * seconds:.0f}ms",
             "-l", "60", "--stats=both", "--tstamp=none",
             f"--local={socket_name(pair.client.address, pair.client_port)}",
             socket_name(pair.destination, pair.server_port)),
            deadline_s=seconds + _WATCHDOG_S,
        )  # fmt: skip

    def measure(self, pair: Pair) -> Measured:
        """See Probe.measure. Raises ProbeFailed too where a leg does not come back."""
        if pair.lab is None:
            raise ToolBroke(f"{self.name}: without its lab nothing can fail")
        listening = serving(
            pair.server.host, self.server(pair), port=pair.server_port, protocol="udp", says=irtt.LISTENS
        )
        with legs.active_kept(pair.lab), listening:
            made = [self._in_time(pair, pair.lab, turn) for turn in range(self.switches)]
        return self.measured(made, pair)

    def _in_time(self, pair: Pair, lab: Lab, turn: int) -> Switch:
        """A switch that was over before the packets were: on a busy machine irtt begins late, and it is done again."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                made = self._switched(pair, lab, turn)
                legs.whole(lab)
            except _Late:
                if not left:
                    raise
                legs.whole(lab)
            except legs.NotWhole as error:
                raise ProbeFailed(f"switch {turn + 1}: {error}") from error
            else:
                return made
        raise AssertionError

    def _switched(self, pair: Pair, lab: Lab, turn: int) -> Switch:
        """One leg failing once, and what irtt says of it."""
        ahead_s, error_s = _clock(pair.client.host)
        with pair.client.host.start(self.client(pair)) as job:
            began = time.monotonic()
            leg = legs.carrying(lab)
            found_s = time.monotonic() - began
            leg = f"leg-{self.leg}" if self.leg else leg
            cut_s = time.time()
            with self._broken(lab, leg):
                time.sleep(self.hold_s)
            mended_s = time.time()
            late_s = time.monotonic() - began - self._session_s(local=pair.client.host.local) + self.recover_s
            try:
                outcome = job.wait()
            except Overdue as error:
                raise ProbeFailed(f"{leg}, switch {turn + 1}: {error}") from error
        if late_s > self.recover_s:
            raise _Late(
                f"{leg} came back {late_s - self.recover_s:.1f} s after the packets had ended: it took {found_s:.1f} s "
                "until they were seen on a leg",
                hint="is the machine busy? a longer recover_s leaves more room",
            )
        return Switch(leg, cut_s + ahead_s, mended_s + ahead_s, error_s, _train(outcome))

    def _session_s(self, *, local: bool) -> float:
        return (_LEAD_S if local else _LEAD_AFAR_S) + self.hold_s + self.recover_s

    def _broken(self, lab: Lab, leg: str) -> AbstractContextManager[None]:
        cable = lab.cables.get((legs.BONDED, leg))
        if cable is None:
            raise ToolBroke(f"the cable of {legs.BONDED}/{leg} is none that this lab can make fail")
        return cable.broken(self.how)

    def measured(self, made: Sequence[Switch], pair: Pair) -> Measured:
        """What the switches amount to; pure."""
        forward = f"{pair.client.host.name}>{pair.server.host.name}"
        back = f"{pair.server.host.name}>{pair.client.host.name}"
        client, seconds = pair.client.host.name, self.hold_s + self.recover_s

        def sample(metric: str, value: float, unit: str, direction: str) -> Sample:
            return Sample(self.name, metric, value, unit, client, direction, seconds)

        samples: list[Sample] = []
        sides: tuple[tuple[str, tuple[Way, ...]], ...] = (("-", _WAYS), (forward, ("forward",)), (back, ("back",)))
        for direction, ways in sides:
            found = [each.seconds(*ways) for each in made]
            returning = [each.seconds(*ways, returning=True) for each in made]
            samples += [
                sample("outage_max", max(found), "s", direction),
                sample("outage_p50", statistics.median(found), "s", direction),
                sample("outage_return_max", max(returning), "s", direction),
                sample("lost_packets", _lost(made, ways), "1", direction),
            ]
        pace_s = statistics.median(each.train.pace_s for each in made)
        reasons = self._reasons(made)
        samples += [sample("pace", pace_s, "s", forward), sample("held", 0.0 if reasons else 1.0, "1", "-")]
        flags = [reason(self.name, each) for each in reasons]
        if pace_s > 2 * INTERVAL_S:
            flags.append(f"{self.name}: a packet every {1e3 * pace_s:.1f} ms, not every {1e3 * INTERVAL_S:g} ms")
        raw = {f"switch-{n}": f"# {each.leg}, failed at {each.cut_s:.6f}, back at {each.mended_s:.6f}, each "
               f"+- {each.clock_s:.3f}\n{outages.compact(each.train)}" for n, each in enumerate(made, 1)}  # fmt: skip
        return Measured(tuple(samples), raw, flags=tuple(flags))

    def _reasons(self, made: Sequence[Switch]) -> tuple[str, ...]:
        """Why the check did not hold; nothing where it did."""
        over = [(number, each) for number, each in enumerate(made, 1) if each.seconds() > self.limit_s]
        if not over:
            return ()
        number, worst = max(over, key=lambda each: each[1].seconds())
        outage = worst.outage()
        never = "" if outage is None or outage.over else ", until the packets ended"
        return ((f"{len(over)} of {len(made)} outages were longer than {self.limit_s:g} s; the longest took "
                f"{worst.seconds():.2f} s ({worst.leg}, {self.how}, switch {number}){never}"),)  # fmt: skip


def _lost(made: Sequence[Switch], ways: tuple[Way, ...]) -> float:
    forward = sum(each.train.lost_forward for each in made) if "forward" in ways else 0
    return float(forward + (sum(each.train.lost_back for each in made) if "back" in ways else 0))


def _train(outcome: Outcome) -> Train:
    if not outcome.stdout.strip():
        raise ProbeFailed(f"on {outcome.host}: irtt exited with {outcome.returncode}: {outcome.stderr.strip()[:200]}")
    try:
        found = outages.parsed(outcome.stdout)
    except ValueError as error:
        raise ToolBroke(f"on {outcome.host}: irtt's output cannot be read: {error}",
                        raw={"client": outcome.stdout[:10_000]}) from error  # fmt: skip
    if not found.packets:
        raise ToolBroke(f"on {outcome.host}: irtt sent nothing")
    return found


def _clock(host: Host) -> tuple[float, float]:
    """(seconds by which the host's clock is ahead of ours, by how much that may be wrong)."""
    found = []
    for _ in range(_CLOCKS):
        before = time.time()
        told = host.run(Command(("date", "+%s.%N"))).require().stdout
        after = time.time()
        found.append(((after - before) / 2, float(told) - (before + after) / 2))
    error_s, ahead_s = min(found)
    return ahead_s, error_s


OPTIONS: Options = {
    "how": word(HOWS, "link-down", "link-down: no carrier; tap-removed, silent: carrier stays, nothing passes"),
    "switches": whole(1, 1000, "switches", 10, "how many times a leg fails and comes back"),
    "hold_s": number(0.2, 600, "seconds", 2.0, "seconds for which a leg is cut"),
    "recover_s": number(0.2, 600, "seconds", 2.0, "seconds that are watched after it has come back"),
    "limit_ms": number(1, 600_000, "ms", 1000.0, "ms: the check holds when no outage was longer"),
    "leg": whole(1, 8, "(a leg's number)", 0, "which leg; the one that carries the packets when not given"),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Failover:  # Any: as in Options
    """The `failover` probe of a plan."""
    del node
    return Failover(name, given["how"], given["switches"], given["hold_s"], given["recover_s"],
                    given["limit_ms"] / 1e3, given["leg"], ends)  # fmt: skip


__all__ = ["MODES", "OPTIONS", "Failover", "Packet", "Switch", "read"]
