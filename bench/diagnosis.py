"""Symptoms: what limits a path, from the counters and the tools' own output that every trial keeps anyway. Pure.

A symptom is named where most trials of current show it, with the figures that do; one that nothing here could show is
named too, with the reason. They decide which knobs a search may turn: a cure without its illness is not tried.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from results.statistics import student

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


@dataclass(frozen=True, slots=True)
class Interval:
    """What iperf3's client says of one stream in one interval, the kernel's tcp_info: bytes, and round trip in s."""

    sent_bytes: float
    seconds: float
    cwnd_bytes: float
    window_bytes: float  # that the receiver offers
    rtt_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One trial of current, as far as a diagnosis reads it. `grown`: host -> kind -> counter -> growth."""

    values: Mapping[str, float]  # "tcp.goodput" -> bit/s
    flags: Sequence[str]
    intervals: Sequence[Interval]
    grown: Sequence[Mapping[str, Any]]  # one a probe and host; Any: JSON of bench.facts.counters.growth


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


def evidence(values: Mapping[str, float], flags: Sequence[str], raw: Mapping[tuple[str, str], str]) -> Evidence:
    """The evidence of a trial from its raw output; what cannot be read is left out."""
    grown: list[Mapping[str, Any]] = []  # Any: as above
    intervals: list[Interval] = []
    for (_, name), text in raw.items():
        document = _document(text) if name in {"counters", "client"} else None
        if document is None:
            continue
        if name == "counters":
            grown += [{**each, "host": host} for host, each in document.items() if isinstance(each, dict)]
        else:
            intervals += _intervals(document)
    return Evidence(values, flags, tuple(intervals), tuple(grown))


def diagnose(trials: Sequence[Evidence], path: Path) -> tuple[Finding, ...]:
    """The symptoms that most of the trials show, in the order of SYMPTOMS, each with what its median trial says."""
    found: dict[str, Finding] = {}
    for symptom, shows in _RULES.items():
        said = [words for each in trials if (words := shows(each, path))]
        if trials and len(said) >= MOST_TRIALS * len(trials):
            hosts = _hosts(shows, trials, path)
            words = f"{said[len(said) // 2]}; in {len(said)} of {len(trials)} trials"
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


def moved(current: Sequence[Evidence], treated: Sequence[Evidence]) -> tuple[str, ...]:
    """What the kernel's own figures say of a treatment: those that differ clearly from current's, the most moved first.

    Medians of each trial, compared unpaired (results.statistics.student, p < 0.01), half as much again or more.
    """
    found = [each for name in _FIGURES if (each := _moved(name, current, treated)) is not None]
    return tuple(words for _, words in sorted(found, reverse=True))


def moved_with(symptom: str, current: Sequence[Evidence], treated: Sequence[Evidence]) -> str:
    """The figure by which that symptom is known, where it moved as in `moved`; "" otherwise, and where it has none."""
    name = _OF_SYMPTOM.get(symptom, "")
    found = _moved(name, current, treated) if name else None
    return "" if found is None else found[1]


def _moved(name: str, current: Sequence[Evidence], treated: Sequence[Evidence]) -> tuple[float, str] | None:
    sides = [[x for each in side if (x := _figure(each, name)) > 0] for side in (current, treated)]
    made = student(*([math.log(x) for x in side] for side in sides))
    if made is None or made.p >= 0.01 or abs(made.mean) <= math.log(1.5):
        return None
    before, after = (statistics.median(side) for side in sides)
    words = _FIGURES.get(name, "what is in flight")
    return abs(made.mean), f"{words} from {_told(name, before)} to {_told(name, after)}"


_FIGURES: Mapping[str, str] = {
    "window_bytes": "the receiver's window",
    "cwnd_bytes": "the congestion window",
    "rtt_s": "the round trip under load",
    "retransmitted": "segments sent again, of all",
    "drops": "packets that queues dropped",
}
_OF_SYMPTOM: Mapping[str, str] = {
    "receive-window": "window_bytes",
    "send-buffer": "flying_bytes",
    "retransmits": "retransmitted",
    "qdisc-drops": "drops",
}


def _figure(trial: Evidence, name: str) -> float:
    """One trial's figure; 0 where it tells none."""
    if name == "retransmitted":
        sent = max((_sum([each], "stack", "Tcp.OutSegs") for each in trial.grown), default=0)
        return max((_sum([each], "stack", "Tcp.RetransSegs") for each in trial.grown), default=0) / max(sent, 1)
    if name == "flying_bytes":
        return statistics.median(flying) if (flying := _flying(trial)) else 0.0
    if name == "drops":
        return float(sum(sum(each.get("queue_drops", {}).values()) for each in trial.grown))
    return statistics.median(getattr(each, name) for each in trial.intervals) if trial.intervals else 0.0


def _told(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return _kib(value)
    return {"rtt_s": f"{1e3 * value:.2f} ms", "retransmitted": f"{100 * value:.2f} %"}.get(name, f"{value:.0f}")


def _receive_window(trial: Evidence, path: Path) -> str:
    """The receiver offers less than the congestion window would send (RFC 9293, section 3.8)."""
    del path
    closed = [each for each in trial.intervals if 0 < each.window_bytes < each.cwnd_bytes]
    if not trial.intervals or len(closed) < 0.9 * len(trial.intervals):
        return ""
    window, cwnd = (
        statistics.median(getattr(each, name) for each in closed) for name in ("window_bytes", "cwnd_bytes")
    )
    return f"the receiver's window is {_kib(window)}, the congestion window {_kib(cwnd)}"


def _send_buffer(trial: Evidence, path: Path) -> str:
    flying = _flying(trial)
    if not flying or not path.send_buffer_most:
        return ""
    middle = statistics.median(flying)
    if middle < OF_SEND_BUFFER * path.send_buffer_most:
        return ""
    return f"{_kib(middle)} are in flight, and the send buffer is {_kib(path.send_buffer_most)} at most"


def _flying(trial: Evidence) -> list[float]:
    """Bytes in flight of each interval: its rate times its round trip."""
    return [each.sent_bytes / each.seconds * each.rtt_s for each in trial.intervals if each.seconds and each.rtt_s]


def _retransmits(trial: Evidence, path: Path) -> str:
    del path
    again, sent = (max((_sum([each], "stack", name) for each in trial.grown), default=0) for name in
                   ("Tcp.RetransSegs", "Tcp.OutSegs"))  # fmt: skip
    return f"{again} of {sent} segments were sent again" if sent and again >= RETRANSMITTED * sent else ""


def _squeezed(trial: Evidence, path: Path) -> str:
    del path
    rates = [_sum([each], "softnet", "squeezed") / max(float(each.get("seconds", 0)), 0.01) for each in trial.grown]
    most = max(rates, default=0.0)
    return f"softnet_stat: {most:.0f} times a second the budget was used up" if most > SQUEEZED_PER_S else ""


def _softirq(trial: Evidence, path: Path) -> str:
    """The CPU that takes packets has no time left. In a namespace it is the machine's, whoever keeps it busy."""
    del path
    share, cpu = _most(trial, "busiest_softirq", "cpu")
    return f"{cpu} spent {100 * share:.0f} % of its time in interrupts" if share >= OF_A_CPU else ""


def _carrier(trial: Evidence, path: Path) -> str:
    """The thread under a guest that moves its packets runs all the time: vhost's, or QEMU's main loop without it."""
    del path
    share, thread = _most(trial, "busiest_carrier", "thread")
    return f"{thread} ran for {100 * share:.0f} % of the time" if share >= OF_A_CPU else ""


def _most(trial: Evidence, kind: str, name: str) -> tuple[float, str]:
    """The largest share of the traffic's own time, and whose. Around the traffic a probe starts and ends its tools."""
    found = [(0.0, "")]
    for each in trial.grown:
        if kind in each:
            seconds = float(each.get("seconds", 1.0))
            stretched = seconds / max(float(each.get("traffic_s", seconds)), 0.01)
            found.append((min(1.0, float(each[kind]["share"]) * max(1.0, stretched)), str(each[kind][name])))
    return max(found)


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
        most = {name: max((_sum([each], kind, name) for each in trial.grown), default=0) for name in names}
        return ", ".join(f"{name} grew by {number}" for name, number in most.items() if number > 0)

    return shows


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
    "udp-buffer": _counted("stack", "Udp.RcvbufErrors", "Udp.SndbufErrors", "Udp6RcvbufErrors", "Udp6SndbufErrors"),
    "listen-overflow": _counted("stack", "TcpExt.ListenOverflows", "TcpExt.ListenDrops"),
    "mtu-black-hole": _counted("stack", "TcpExt.TCPMTUPFail", "Ip.FragFails"),
    "rx-ring-drops": _devices("rx_fifo", "rx_missed"),
    "conntrack": _connections,
    "one-flow-bound": _one_flow,
    "qdisc-drops": _queues,
}


def _sum(grown: Sequence[Mapping[str, Any]], kind: str, name: str) -> int:  # Any: as above
    return sum(int(each.get(kind, {}).get(name, 0)) for each in grown)


def _kib(size_bytes: float) -> str:
    return f"{size_bytes / 1024:.0f} KiB"


def _document(text: str) -> dict[str, Any] | None:  # Any: JSON
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _intervals(document: Mapping[str, Any]) -> list[Interval]:  # Any: JSON
    """Those of iperf3's document in which a stream tells of its windows; the sender's alone does."""
    found = []
    listed = document.get("intervals")
    for each in listed if isinstance(listed, list) else []:
        streams = each.get("streams") if isinstance(each, dict) else None
        for stream in streams if isinstance(streams, list) else []:
            try:
                seconds, omitted = float(stream["seconds"]), bool(stream.get("omitted"))
                one = Interval(float(stream["bytes"]), seconds, float(stream["snd_cwnd"]), float(stream["snd_wnd"]),
                               float(stream["rtt"]) / 1e6)  # fmt: skip
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
            if not omitted:
                found.append(one)
    return found
