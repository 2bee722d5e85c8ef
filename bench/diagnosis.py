"""Symptoms: what limits a path, from the counters and the tools' own output that every trial keeps anyway. Pure.

A symptom is named where most trials of current show it, with the figures that do; one that nothing here could show is
named too, with the reason. They decide which knobs a search may turn: a cure without its illness is not tried.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.evidence import LISTENING, RINGS, SOCKETS, Evidence, done, in_flight, kib, most_share, total

SYMPTOMS = ("softirq-bound", "rx-ring-drops", "time-squeeze", "backlog-drops", "receive-window", "send-buffer",
            "retransmits", "vhost-bound", "sender-cpu-bound", "one-flow-bound", "line-rate", "qdisc-drops",
            "conntrack", "mtu-black-hole", "udp-buffer", "listen-overflow")  # fmt: skip

MOST_TRIALS = 2 / 3  # of them have to show a symptom
RETRANSMITTED = 0.005  # of the segments sent: at 0.5 % loss reno's window is about 17 segments (Mathis et al. 1997)
SQUEEZED_PER_S = 1.0  # of one kernel; below it is every busy machine's
OF_A_CPU = 0.85  # of one CPU's time in interrupts: what is left is the tick's own error and the timer's work
OF_SEND_BUFFER = 0.4  # in flight of tcp_wmem's most: half of it is the skbs' own overhead (sk_wmem_queued, truesize)
OF_LINE_RATE = 0.95  # of what the headers leave of a shaped link
OF_HEADERS = 1448 / 1514  # a full segment's payload of what a shaper counts: Ethernet, IPv4, TCP with timestamps
OF_TABLE = 0.7  # of nf_conntrack_max: from there on a burst can fill it
MANY_STREAMS = 1.5  # times one stream's goodput: several of them get more than noise adds
_HOLE = "mtu-black-hole"


@dataclass(frozen=True, slots=True)
class Path:
    """What is known of the path beside its trials."""

    send_buffer_most: int = 0  # bytes, tcp_wmem's last number at the sender; 0: not known
    rate_bps: float = 0.0  # of the slowest link; 0: not known
    streams: Mapping[str, int] = field(default_factory=dict)  # probe -> how many it sends; all of one direction


@dataclass(frozen=True, slots=True)
class Finding:
    """A symptom, and the figures that show it. `hosts`: whose own counters do; () where other figures do."""

    symptom: str
    evidence: str
    hosts: tuple[str, ...] = ()


def diagnose(trials: Sequence[Evidence], path: Path) -> tuple[Finding, ...]:
    """The symptoms that most of the trials show, in the order of SYMPTOMS, each with what its median trial says."""
    found: dict[str, Finding] = {}
    for symptom, shows in _RULES.items():
        asked = trials if symptom == _HOLE else done(trials)
        said = [words for each in asked if (words := shows(each, path))]
        if asked and len(said) >= MOST_TRIALS * len(asked):
            hosts = _hosts(shows, asked, path)
            words = f"{said[len(said) // 2]}; in {len(said)} of {len(asked)} trials"
            found[symptom] = Finding(symptom, words + (f", on {', '.join(hosts)}" if hosts else ""), hosts)
    return tuple(found[symptom] for symptom in SYMPTOMS if symptom in found)


def _hosts(shows: Callable[[Evidence, Path], str], trials: Sequence[Evidence], path: Path) -> tuple[str, ...]:
    """Whose counters show it: in most trials, or else in any."""
    if any(shows(replace(each, grown=()), path) for each in trials):
        return ()
    times: dict[str, int] = {}
    for trial in trials:
        for host in dict.fromkeys(str(each.get("host", "")) for each in trial.grown):
            own = replace(trial, grown=[each for each in trial.grown if each.get("host", "") == host])
            times[host] = times.get(host, 0) + bool(shows(own, path))
    most = [host for host, number in times.items() if number >= MOST_TRIALS * len(trials)]
    return tuple(host for host in most or (host for host, number in times.items() if number) if host)


def unseen(trials: Sequence[Evidence], path: Path) -> tuple[tuple[str, str], ...]:
    """(symptom, why) of those that nothing here could have shown."""
    missing: dict[str, str] = {}
    if not any(each.intervals for each in trials):
        if not any(each.swept or each.holes for each in trials):
            missing[_HOLE] = "no packet size was looked for: neither path-mtu nor a TCP stream is among the probes"
        missing |= dict.fromkeys(("receive-window", "send-buffer"), "no probe tells of TCP's windows (iperf3 does)")
    if not path.rate_bps:
        missing["line-rate"] = "the rate of the link is not known"
    if not any("connections" in each for trial in trials for each in trial.grown):
        missing["conntrack"] = "no node of the path is known to track connections"
    if not any("busiest_carrier" in each for trial in trials for each in trial.grown):
        missing["vhost-bound"] = "no guest of the path is known to stand on a machine that tells of it"
    if len(set(path.streams.values())) < 2 or min(path.streams.values()) > 1:
        missing["one-flow-bound"] = "the plan does not measure several streams beside one"
    return tuple((symptom, missing[symptom]) for symptom in SYMPTOMS if symptom in missing)


def _receive_window(trial: Evidence, path: Path) -> str:
    """The receiver offers less than the congestion window would send (RFC 9293, section 3.8)."""
    del path
    closed = [each for each in trial.intervals if 0 < each.window_bytes < each.cwnd_bytes]
    if not trial.intervals or len(closed) < 0.9 * len(trial.intervals):
        return ""
    window, cwnd = (
        statistics.median(getattr(each, name) for each in closed) for name in ("window_bytes", "cwnd_bytes")
    )
    return f"the receiver's window is {kib(window)}, the congestion window {kib(cwnd)}"


def _send_buffer(trial: Evidence, path: Path) -> str:
    flying = in_flight(trial)
    if not flying or not path.send_buffer_most:
        return ""
    middle = statistics.median(flying)
    if middle < OF_SEND_BUFFER * path.send_buffer_most:
        return ""
    return f"{kib(middle)} are in flight, and the send buffer is {kib(path.send_buffer_most)} at most"


def _retransmits(trial: Evidence, path: Path) -> str:
    del path
    again, sent = (max((total([each], "stack", name) for each in trial.grown), default=0) for name in
                   ("Tcp.RetransSegs", "Tcp.OutSegs"))  # fmt: skip
    return f"{again} of {sent} segments were sent again" if sent and again >= RETRANSMITTED * sent else ""


def _squeezed(trial: Evidence, path: Path) -> str:
    del path
    rates = [total([each], "softnet", "squeezed") / max(float(each.get("seconds", 0)), 0.01) for each in trial.grown]
    most = max(rates, default=0.0)
    return f"softnet_stat: {most:.0f} times a second the budget was used up" if most > SQUEEZED_PER_S else ""


def _softirq(trial: Evidence, path: Path) -> str:
    """The CPU that takes packets has no time left. In a namespace it is the machine's, whoever keeps it busy."""
    del path
    share, cpu = most_share(trial, "busiest_softirq", "cpu")
    return f"{cpu} spent {100 * share:.0f} % of its time in interrupts" if share >= OF_A_CPU else ""


def _carrier(trial: Evidence, path: Path) -> str:
    """The thread under a guest that moves its packets runs all the time: vhost's, or QEMU's main loop without it."""
    del path
    share, thread = most_share(trial, "busiest_carrier", "thread")
    return f"{thread} ran for {100 * share:.0f} % of the time" if share >= OF_A_CPU else ""


def _line_rate(trial: Evidence, path: Path) -> str:
    goodput = max((value for name, value in trial.values.items() if name.endswith(".goodput")), default=0.0)
    most = path.rate_bps * OF_HEADERS
    if not most or goodput < OF_LINE_RATE * most:
        return ""
    return f"{goodput / 1e6:.0f} of {most / 1e6:.0f} Mbit/s that headers leave of the link"


def _generator(trial: Evidence, path: Path) -> str:
    del path
    return next((f"iperf3 itself: {flag}" for flag in trial.flags if "generator-bound" in flag), "")


def _connections(trial: Evidence, path: Path) -> str:
    """The table of connections is nearly full, or the kernel already drops for want of room in it.

    Two CPUs that insert the same connection at once count a drop too, and with it an insert_failed.
    """
    del path
    for each in trial.grown:
        table = each.get("connections", {})
        count, most = int(table.get("count", 0)), int(table.get("max", 0))
        raced = min(int(table.get("drop", 0)), int(table.get("insert_failed", 0)))
        lost = {name: number for name in ("drop", "early_drop")
                if (number := int(table.get(name, 0)) - (raced if name == "drop" else 0)) > 0}  # fmt: skip
        if lost or (most and count >= OF_TABLE * most):
            dropped = "".join(f", {name} grew by {number}" for name, number in lost.items())
            return f"{count} of {most} connections are tracked{dropped}"
    return ""


def _one_flow(trial: Evidence, path: Path) -> str:
    """One stream is held back by what several share: a CPU, a queue, a leg of a bond, a window."""
    rates: dict[bool, tuple[float, int]] = {}
    for probe, streams in path.streams.items():
        rate = trial.values.get(f"{probe}.goodput", 0.0)
        rates[streams > 1] = max(rates.get(streams > 1, (0.0, 0)), (rate, streams))
    (one, _), (several, streams) = rates.get(False, (0.0, 0)), rates.get(True, (0.0, 0))
    if not one or several < MANY_STREAMS * one:
        return ""
    return f"one stream carries {one / 1e6:.0f} Mbit/s, {streams} of them {several / 1e6:.0f}"


def _counted(kind: str, *names: str) -> Callable[[Evidence, Path], str]:
    """A rule: any of these counters grew."""

    def shows(trial: Evidence, path: Path) -> str:
        del path
        most = {name: max((total([each], kind, name) for each in trial.grown), default=0) for name in names}
        return ", ".join(f"{name} grew by {number}" for name, number in most.items() if number > 0)

    return shows


def _hole(trial: Evidence, path: Path) -> str:
    """Packets of the sender's MTU vanish: a sweep saw it, a stream hangs, or TCP's own probes of the size are lost.

    Ip.FragFails grows where a router says "fragmentation needed", which is no hole but its opposite.
    """
    return "; ".join(trial.holes[:2]) or _counted("stack", "TcpExt.TCPMTUPFail")(trial, path)


def _devices(*names: str) -> Callable[[Evidence, Path], str]:
    """A rule: one of these counters grew on a device."""

    def shows(trial: Evidence, path: Path) -> str:
        del path
        found = [
            f"{device}: {name} grew by {moved[name]}"
            for each in trial.grown
            for device, moved in each.get("devices", {}).items()
            for name in names
            if moved.get(name, 0) > 0
        ]
        return ", ".join(found[:3])

    return shows


def _queues(trial: Evidence, path: Path) -> str:
    del path
    found = [f"{device}: its queue dropped {number}" for each in trial.grown
             for device, number in each.get("queue_drops", {}).items() if number > 0]  # fmt: skip
    return ", ".join(found[:3])


_RULES: Mapping[str, Callable[[Evidence, Path], str]] = {
    "receive-window": _receive_window,
    "send-buffer": _send_buffer,
    "retransmits": _retransmits,
    "softirq-bound": _softirq,
    "vhost-bound": _carrier,
    "time-squeeze": _squeezed,
    "line-rate": _line_rate,
    "sender-cpu-bound": _generator,
    "backlog-drops": _counted("softnet", "dropped"),
    "udp-buffer": _counted("stack", *SOCKETS),
    "listen-overflow": _counted("stack", *LISTENING),
    _HOLE: _hole,
    "rx-ring-drops": _devices(*RINGS),
    "conntrack": _connections,
    "one-flow-bound": _one_flow,
    "qdisc-drops": _queues,
}
