"""One trial of a density run: so many pairs, all begun together, each with a TCP stream and paced latency probes.

CPU and drops are read inside the window in which all of them send. A pair that fails leaves the others' numbers as they
are, and marks the trial.
"""

import contextlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench import losses
from bench.capacity import baseline, connections
from bench.capacity.connections import Opened
from bench.capacity.dense import Dense, leg_down
from bench.capacity.plan import SETTLING_S, DensityPlan
from bench.capacity.readiness import listening, longer, tcp, udp
from bench.capacity.watching import apart_s, look, watched
from bench.facts import counters
from bench.facts.counters import Counters
from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.host import Host, Running
from bench.probes import irtt
from bench.probes.iperf3 import Tcp
from bench.probes.iperf3_json import Row, parse, rate_bps, rows
from bench.probes.probe import Pair, ProbeFailed, ended
from bench.probes.tcp_numbers import Began, began
from bench.probes.trips import Train, Trips, histogram_bin, percentiles
from bench.together import Armed, Came, Job, armed, skew_s
from results.errors import NotAble
from results.records import Histogram, Sample
from results.scaling.arms import DOWN, PROBE
from results.store import Ended

_EXCHANGE_S = 6.0
SKEW_S = 0.2  # beyond it the trial is flagged
_LATE_S = 1.0  # by which streams may end after their time


@dataclass(frozen=True, slots=True)
class Ports:
    """Of every pair alike: each has namespaces of its own."""

    tcp: int
    client: int
    udp: int
    udp_client: int
    web: int = 23000  # the first of those at which new connections are taken


def trial(lab: Dense, n: int, plan: DensityPlan, ports: Ports, machine: Host) -> Ended:
    """`n` pairs at once, as it is kept. A tool that breaks, or a machine that cannot, makes it missing.

    So does what the lab's watch sees: the load is ended then, and the cause begins with STOPPED.
    """
    began = time.monotonic()
    try:
        found = _measured(lab, n, plan, ports, machine)
    except NotAble as error:
        return Ended("missing", str(error), time.monotonic() - began)
    return replace(found, elapsed_s=time.monotonic() - began)


def _probe(plan: DensityPlan) -> Tcp:
    return Tcp(
        name=PROBE,
        duration_s=plan.traffic_s - plan.warmup_s,
        warmup_s=plan.warmup_s,
        streams=1,
        direction="forward",
        congestion_control=plan.congestion_control,
        window_bytes=0,
        most_bps=plan.rate_mbit * 1e6,
    )


def _measured(lab: Dense, n: int, plan: DensityPlan, ports: Ports, machine: Host) -> Ended:
    each_s = apart_s(lab, plan.duration_s)
    probe, train = _probe(plan), Train(plan.duration_s, plan.probing_s(n), 60)
    ends = list(zip(lab.clients[:n], lab.servers[:n], strict=True))
    streams = [Pair(client, server, ports.tcp, ports.client) for client, server in ends]
    echoes = [Pair(client, server, ports.udp, ports.udp_client) for client, server in ends]
    with ExitStack() as stack:
        servers = [_started(stack, pair, longer(probe.server_command(pair), n)) for pair in streams]
        for pair in echoes:
            _started(stack, pair, longer(irtt.serves(pair, plan.traffic_s + 60.0), n))
        listening([server.host for _, server in ends], (tcp(ports.tcp), udp(ports.udp)), "iperf3 or irtt")
        # A second train has ports of its own: the first may still wait for what was lost.
        trains = [
            [replace(pair, client_port=pair.client_port + k) for pair in echoes] for k in range(1 + plan.leg_down)
        ]
        probing = [stack.enter_context(armed([Job(pair.client.host, longer(irtt.client(pair, train), n))
                                              for pair in each])) for each in trains]  # fmt: skip
        sending = stack.enter_context(armed([Job(pair.client.host, longer(probe.client_command(pair), n))
                                             for pair in streams]))  # fmt: skip
        look(lab)
        sending.release()
        watched(plan.warmup_s, lab, each_s)
        probing[0].release()
        before, after = _inside(lab, plan, machine)
        down = _leg_down(lab, n, plan, probing[1], machine) if plan.leg_down else None
        watched(math.ceil(plan.traffic_s) - plan.traffic_s + _LATE_S, lab, each_s, sending.over)
        came, echoed = sending.awaited(), probing[0].awaited()
        told = [_told(server, each) for server, each in zip(servers, came, strict=True)]
    made = _Made(lab, plan, probe, train)
    for number, pair in enumerate(streams):
        made.stream(pair, came[number], told[number])
        made.echo(echoes[number], echoed[number])
    if down is not None:
        made.leg_down(down, echoes, _machines(lab, machine))
    if plan.connections:
        asking = [Pair(client, server, ports.web, 0) for client, server in ends]
        made.connected(connections.opened(asking, connections.probe(PROBE, plan.connections_s, plan.connections), lab))
    return made.ended(before, after, _machines(lab, machine), came)


def _machines(lab: Dense, machine: Host) -> tuple[Host, ...]:
    """Whose CPUs carry the pairs."""
    return (machine,) if lab.machines is None else lab.machines


def _told(server: Running, came: Came) -> Outcome:
    """What a pair's server printed; where its machine is lost, nothing with that as its words."""
    try:
        return ended(server, came.outcome.elapsed_s + _EXCHANGE_S) if came.outcome.ok else server.stop()
    except HostFault as error:
        return replace(came.outcome, returncode=-1, stdout="", stderr=str(error))


@dataclass(frozen=True, slots=True)
class _Down:
    """What was seen with one leg down: since when on the machine's clock, and as of the first window."""

    since_s: float  # that the leg was taken
    settled_s: float
    before: Mapping[str, Counters]
    after: Mapping[str, Counters]
    echoed: Sequence[Came]


def _leg_down(lab: Dense, n: int, plan: DensityPlan, probing: Armed, machine: Host) -> _Down:
    """The second window, a leg taken away while all send."""
    since_s = time.clock_gettime(time.CLOCK_BOOTTIME)  # what /proc/uptime tells of
    with leg_down(lab, n):
        time.sleep(SETTLING_S)
        settled_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        probing.release()
        before, after = _inside(lab, plan, machine)
        return _Down(since_s, settled_s, before, after, probing.awaited())


def _started(stack: ExitStack, pair: Pair, command: Command) -> Running:
    return stack.enter_context(pair.server.host.start(command))


def _inside(lab: Dense, plan: DensityPlan, machine: Host) -> tuple[Mapping[str, Counters], Mapping[str, Counters]]:
    """Counters at the beginning and the end of the window. Raises LoadStopped."""
    hosts = dict.fromkeys((*_machines(lab, machine), *lab.nodes))
    beside = {host: (*([counters.QUEUES] if host in lab.nodes else []), *lab.beside.get(host, ())) for host in hosts}
    before = counters.read(hosts, beside)
    watched(plan.duration_s, lab, apart_s(lab, plan.duration_s))
    return before, counters.read(hosts, beside)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A pair's stream as its receiver saw it, and when its test began on the machine's clock."""

    way: str
    rows: Sequence[Row]
    began: Began


class _Made:
    """Samples, flags and raw output of a trial, pair by pair."""

    def __init__(self, lab: Dense, plan: DensityPlan, probe: Tcp, train: Train) -> None:
        self._lab, self._plan, self._probe, self._train = lab, plan, probe, train
        self._streams: list[_Stream] = []
        self._times: dict[str, list[float]] = {}  # by window
        self._lost: Counter[str] = Counter()
        self._sent_bytes: list[tuple[float, float]] = []  # of each pair, and of it what was sent again
        self._rtts: list[float] = []
        self._samples: list[Sample] = []
        self._flags: list[str] = []
        self._failed: list[str] = []
        self._raw: dict[tuple[str, str], str] = {}

    def stream(self, pair: Pair, came: Came, server: Outcome) -> None:
        """A pair's TCP stream."""
        way = f"{pair.client.host.name}>{pair.server.host.name}"
        self._raw[way, "client"] = came.outcome.stdout
        if server.stdout:
            self._raw[way, "server"] = server.stdout
        try:
            if came.lost:
                raise ProbeFailed(came.lost)
            if came.overdue:
                raise ProbeFailed("its stream did not end in time")
            client, receiver = parse(came.outcome, {}), parse(server, {})
        except ProbeFailed as error:
            self._failed.append(f"pair {way}: {error}")
            return
        self._streams.append(_Stream(way, rows(receiver), began(client, came.released_s, came.ended_s).off(came.off_s)))
        self._sent_bytes += filter(None, [baseline.sent_bytes(client)])
        self._rtts += filter(None, [baseline.mean_rtt_s(client)])
        with contextlib.suppress(ProbeFailed):  # where nothing arrived there is nothing beside it
            found = self._probe.measured(came.outcome, server, pair)
            beside = [each for each in found.samples if each.metric == "retransmits"]
            self._samples += [replace(each, direction=way) for each in beside]
            self._flags += [f"{way}: {flag}" for flag in found.flags if "capped" not in flag]

    def echo(self, pair: Pair, came: Came, window: str = PROBE) -> None:
        """A pair's latency probes."""
        way = f"{pair.client.host.name}>{pair.server.host.name}"
        try:
            if came.lost:
                raise ProbeFailed(came.lost)
            trips: Trips = irtt.trips(came.outcome, {}, self._train)
        except ProbeFailed as error:
            self._failed.append(f"pair {way}: {error}")
            return
        if not trips.times_s:  # of a path or machine that is full; the pair's stream says whether it failed
            self._flags.append(f"{way}: none of {trips.lost} probes came back")
        self._times.setdefault(window, []).extend(trips.times_s)
        self._lost[window] += trips.lost

    def leg_down(self, down: _Down, echoes: Sequence[Pair], machines: Sequence[Host]) -> None:
        """The window with one leg down."""
        for pair, came in zip(echoes, down.echoed, strict=True):
            self.echo(pair, came, DOWN)
        self._load(down.before, down.after, machines, DOWN, down.settled_s)
        self._latency(DOWN)
        pauses = [pause_s(each.rows, down.since_s - each.began.at_s) for each in self._streams]
        if pauses:
            self._all("outage", max(pauses), "s", DOWN)

    def connected(self, found: Opened) -> None:
        """New connections, after the streams."""
        self._samples += found.samples
        self._flags += found.flags
        self._raw |= found.raw

    def ended(
        self, before: Mapping[str, Counters], after: Mapping[str, Counters], machines: Sequence[Host],
        came: Sequence[Came],
    ) -> Ended:  # fmt: skip
        """Everything as it is kept; failed where a pair failed, the others' numbers standing."""
        skew = skew_s(came)
        if skew > SKEW_S:
            self._flags.append(f"the pairs began {skew:.2f} s apart")
        self._all("start_skew", skew, "s")
        self._load(before, after, machines)
        self._latency()
        self._tcp()
        status, cause = "done", ""
        if self._failed:
            rest = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
            status, cause = "failed", f"{self._failed[0]}{rest}; the other pairs' numbers stand"
        grown = {name: counters.growth(before[name], after[name]) for name in after}
        self._raw[PROBE, "counters"] = json.dumps(grown)
        bins = [Histogram(window, "rtt", "s", dict(Counter(map(histogram_bin, times))))
                for window, times in self._times.items() if times]  # fmt: skip
        return Ended(
            status="failed" if status == "failed" else "done",
            cause=cause,
            elapsed_s=0.0,
            samples=tuple(self._samples),
            histograms=tuple(bins),
            flags=tuple(self._flags),
            raw=self._raw,
        )

    def _cpu(
        self, before: Mapping[str, Counters], after: Mapping[str, Counters], machines: Sequence[Host], window: str
    ) -> float | None:
        """What it took of the machines' CPUs, in cores: of all of them; the share is the fullest's. None: not seen."""
        if not machines:
            return None
        used = [counters.cores(before[each.name], after[each.name]) for each in machines]
        for name in ("busy", "softirq", "system", "user", "guest", "steal"):
            self._all(f"cpu_{name}", math.fsum(each[name] for each in used), "cores", window)
        counts = [max(1, len(after[each.name].each_cpu)) for each in machines]
        self._all(
            "cpu_share", min(1.0, max(u["busy"] / count for u, count in zip(used, counts, strict=True))), "1", window
        )
        if carried := [each.name for each in machines if after[each.name].carriers]:
            grown = (counters.grown(before[name].carriers, after[name].carriers) for name in carried)
            ticks = sum(max(0, value) for each in grown for value in each.values())
            seconds = max(after[carried[0]].uptime_s - before[carried[0]].uptime_s, 1 / counters.USER_HZ)
            self._all("cpu_vhost", ticks / counters.USER_HZ / seconds, "cores", window)
        return math.fsum(each["busy"] for each in used)

    def _load(
        self, before: Mapping[str, Counters], after: Mapping[str, Counters], machines: Sequence[Host],
        window: str = PROBE, since_s: float | None = None,
    ) -> None:  # fmt: skip
        """Goodput of all, how even it is, what it took of the CPUs, what the nodes' queues dropped."""
        busy = self._cpu(before, after, machines, window)
        if after:
            self._all("dropped_packets", float(dropped(self._lab, machines, before, after)), "1", window)
        goodput = self._goodput(window, since_s)
        if not goodput:
            return
        total = math.fsum(goodput)
        self._all("goodput", total, "bit/s", window)
        self._all("goodput_least", min(goodput), "bit/s", window)
        if total > 0:
            self._all("fairness", jain(goodput), "1", window)
            if busy is not None:
                self._all("cpu_per_10gbit", busy / (total / 1e10), "cores", window)

    def _goodput(self, window: str = PROBE, since_s: float | None = None) -> list[float]:
        """Of each pair, all in one window on the machine's clock: rates of different moments have no sum.

        The window begins at `since_s`, or once all are warm. A pair that got nothing of a full path has 0, and is told.
        """
        if not self._streams:
            return []
        first_s = since_s or max(each.began.at_s for each in self._streams) + self._plan.warmup_s
        last_s = min(
            first_s + self._plan.duration_s, *(each.began.at_s + each.rows[-1].end_s for each in self._streams)
        )
        self._all("alignment", max(each.began.error_s for each in self._streams), "s", window)
        if last_s - first_s < self._plan.duration_s / 2:
            self._failed.append("the pairs sent together for less than half of the window: they began too far apart")
            return []
        found = []
        for each in self._streams:
            value = rate_bps(each.rows, first_s - each.began.at_s, last_s - each.began.at_s)
            found.append(value)
            self._samples.append(Sample(window, "goodput", value, "bit/s", "receiver", each.way, last_s - first_s))
            if not value:
                self._flags.append(f"{each.way}: nothing arrived in the window")
        return found

    def _latency(self, window: str = PROBE) -> None:
        """Percentiles over all pairs' probes: a bound is for each VM, and all of them are looked at."""
        ordered, lost = sorted(self._times.get(window, ())), self._lost[window]
        if not (ordered or lost):
            return
        self._all("loss", lost / (len(ordered) + lost), "1", window)
        found, flags = percentiles(ordered, lost)
        self._flags += [flag if window == PROBE else f"with one leg down {flag}" for flag in flags]
        for metric, value in found.items():
            self._all(metric, value, "s", window)

    def _tcp(self) -> None:
        """What RFC 6349 makes its metrics of, over the whole test."""
        sent = math.fsum(each for each, _ in self._sent_bytes)
        if sent > 0:
            again = math.fsum(each for _, each in self._sent_bytes)
            self._all("tcp_efficiency", sent / (sent + again), "1")
        if self._rtts:
            self._all("tcp_rtt", math.fsum(self._rtts) / len(self._rtts), "s")

    def _all(self, metric: str, value: float, unit: str, window: str = PROBE) -> None:
        """A sample of all pairs together; first of its name, so that Trial.value finds it."""
        made = Sample(window, metric, value, unit, "all", "-", self._plan.duration_s)
        self._samples.insert(0, made)


def dropped(lab: Dense, machines: Sequence[Host], before: Mapping[str, Counters], after: Mapping[str, Counters]) -> int:
    """Packets that the nodes' queues, the pairs' own devices there and the kernels' backlogs dropped."""
    queues = sum(max(0, each) for name in after
                 for each in counters.grown(before[name].queues, after[name].queues).values())  # fmt: skip
    own = sum(losses.device_dropped(before[host.name], after[host.name], device)
              for host, pattern in lab.devices.items() if host.name in after
              for device in after[host.name].devices if re.fullmatch(pattern, device))  # fmt: skip
    kernels = dict.fromkeys((*machines, *(node for node in lab.nodes if not node.local)))
    return queues + own + losses.softnet_dropped((each for each in kernels if each.name in after), before, after)


def pause_s(found: Sequence[Row], since_s: float) -> float:
    """The longest time without a byte since then, to the length of a row; 0 where every row has some."""
    longest = now = 0.0
    for row in found:
        now = now + row.end_s - row.start_s if not row.size_bytes and row.end_s > since_s else 0.0
        longest = max(longest, now)
    return longest


def jain(values: Sequence[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has all (Jain, Chiu & Hawe 1984, DEC-TR-301)."""
    total = math.fsum(values)
    return total * total / (len(values) * math.fsum(each * each for each in values))
