"""What one trial tells a diagnosis: read from the raw output that every trial keeps anyway. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Counters that have one meaning, or of which a driver or family uses one.
RINGS = ("rx_fifo", "rx_missed")
SOCKETS = ("Udp.RcvbufErrors", "Udp.SndbufErrors", "Udp6RcvbufErrors", "Udp6SndbufErrors")
LISTENING = ("TcpExt.ListenOverflows", "TcpExt.ListenDrops")


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
    """One trial, as far as a diagnosis reads it. `grown`: host -> kind -> counter -> growth.

    Of a failed one only what it says of large packets counts: its probes did not come to their end.
    """

    values: Mapping[str, float]  # "tcp.goodput" -> bit/s
    flags: Sequence[str]
    intervals: Sequence[Interval]
    grown: Sequence[Mapping[str, Any]]  # one a probe and host; Any: JSON of bench.facts.counters.growth
    holes: Sequence[str] = ()  # what shows that packets of the sender's MTU vanish, in words
    swept: bool = False  # whether path-mtu looked for the largest that passes
    failed: bool = False


def evidence(
    values: Mapping[str, float], flags: Sequence[str], raw: Mapping[tuple[str, str], str], *, failed: bool = False
) -> Evidence:
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
    sweeps = [_rows(_json(text)) for (_, name), text in raw.items() if name == "sweeps"]
    holes = [words for rows in sweeps for words in _vanished(rows)] + _hung(raw)
    return Evidence(values, flags, tuple(intervals), tuple(grown), tuple(holes), bool(sweeps), failed)


def done(trials: Sequence[Evidence]) -> list[Evidence]:
    """Those whose probes came to their end."""
    return [each for each in trials if not each.failed]


def in_flight(trial: Evidence) -> list[float]:
    """Bytes in flight of each interval: its rate times its round trip."""
    return [each.sent_bytes / each.seconds * each.rtt_s for each in trial.intervals if each.seconds and each.rtt_s]


def most_share(trial: Evidence, kind: str, name: str) -> tuple[float, str]:
    """The largest share of the traffic's own time, and whose. Around the traffic a probe starts and ends its tools."""
    found = [(0.0, "")]
    for each in trial.grown:
        if kind in each:
            seconds = float(each.get("seconds", 1.0))
            stretched = seconds / max(float(each.get("traffic_s", seconds)), 0.01)
            found.append((min(1.0, float(each[kind]["share"]) * max(1.0, stretched)), str(each[kind][name])))
    return max(found)


def total(grown: Sequence[Mapping[str, Any]], kind: str, name: str) -> int:  # Any: as above
    """How much a counter grew, all together."""
    return sum(int(each.get(kind, {}).get(name, 0)) for each in grown)


def kib(size_bytes: float) -> str:
    """In words."""
    return f"{size_bytes / 1024:.0f} KiB"


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _document(text: str) -> dict[str, Any] | None:  # Any: JSON
    found = _json(text)
    return found if isinstance(found, dict) else None


def _rows(found: object) -> list[dict[str, Any]]:  # Any: JSON
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _vanished(sweeps: Sequence[Mapping[str, Any]]) -> list[str]:  # Any: JSON of bench.probes.path_mtu
    """Ways on which larger packets were lost and nobody said a word."""
    return [
        f"{each.get('way')} carries {each.get('passes')} of {each.get('mtu')} bytes, and larger packets vanish"
        for each in sweeps
        if each.get("silent") and each.get("passes") != each.get("mtu")
    ]


def _hung(raw: Mapping[tuple[str, str], str]) -> list[str]:
    """A failed stream that opened and then stood still, while its control connection went on to the end.

    That one sends small packets over the same path: it is the full segments that are lost.
    """
    ends = [_document(raw.get(("failed", name), "")) for name in ("client", "server")]
    if not all(each and each.get("end") and "error" not in each for each in ends):
        return []
    rows = [each for end in ends for each in _streams(end or {})]
    try:
        again = sum(int(each.get("retransmits", 0)) for each in rows if each.get("sender"))
        arrived = [float(each.get("bytes", 0)) for each in rows if not each.get("sender")]
    except (TypeError, ValueError):
        return []
    if not again or not arrived or any(arrived[len(arrived) // 2 :]):
        return []
    words = f"TCP opens and then hangs: {again} segments were sent again and none arrived any more"
    return [f"{words}, while the small packets of its control connection did"]


def _streams(document: Mapping[str, Any]) -> list[dict[str, Any]]:  # Any: JSON of iperf3
    """What it tells of each stream in each interval."""
    return [stream for each in _rows(document.get("intervals")) for stream in _rows(each.get("streams"))]


def _intervals(document: Mapping[str, Any]) -> list[Interval]:  # Any: JSON
    """Those of iperf3's document in which a stream tells of its windows; the sender's alone does."""
    found = []
    for stream in _streams(document):
        try:
            seconds, omitted = float(stream["seconds"]), bool(stream.get("omitted"))
            one = Interval(float(stream["bytes"]), seconds, float(stream["snd_cwnd"]), float(stream["snd_wnd"]),
                           float(stream["rtt"]) / 1e6)  # fmt: skip
        except (KeyError, TypeError, ValueError):
            continue
        if not omitted:
            found.append(one)
    return found
