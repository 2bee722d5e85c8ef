"""The round trip of the path while it is idle, as TCP itself sees it: RFC 6349's baseline (3.3)."""

from bench.probes.iperf3 import Tcp
from bench.probes.iperf3_json import at, printed, told
from bench.probes.probe import Pair
from bench.probes.tcp_numbers import Document
from results.errors import NotAble

_SECONDS = 1.0
# Two full segments at a time, which are acknowledged at once: a single one waits for the receiver's timer, up to 40 ms.
_MSS_BYTES, _WRITE_BYTES, _RATE_BPS = 1448, 2896, 2e6


def base_rtt_s(pair: Pair) -> float | None:
    """The mean smoothed round trip of one stream of 2 Mbit/s that is alone; None where it gave none."""
    probe = Tcp("baseline", _SECONDS, 0.0, 1, "forward", "", 0, write_bytes=_WRITE_BYTES, mss_bytes=_MSS_BYTES,
                most_bps=_RATE_BPS)  # fmt: skip
    try:
        raw = probe.measure(pair).raw["client"]
    except NotAble:
        return None
    return mean_rtt_s(printed(raw))


def mean_rtt_s(client: Document) -> float | None:
    """What a sending client tells of its one stream, by TCP_INFO once an interval; None where it does not."""
    streams = at(client, "end", "streams")
    micros = told(streams[0], "sender", "mean_rtt") if isinstance(streams, list) and streams else None
    return micros / 1e6 if micros else None


def sent_bytes(client: Document) -> tuple[float, float] | None:
    """(payload that was sent, of it what was sent again), by the segments that TCP_INFO counts; None where not told."""
    sent, again, mss = (told(client, *path) for path in (
        ("end", "sum_sent", "bytes"), ("end", "sum_sent", "retransmits"), ("start", "tcp_mss_default")))  # fmt: skip
    if sent is None or again is None or mss is None:
        return None
    return sent, again * mss
