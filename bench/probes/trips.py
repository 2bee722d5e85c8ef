"""Round trips: what the `latency` probe asks of its tools, irtt and sockperf, and what they give."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.hosts.command import Command, Outcome
from bench.probes.probe import Pair

P99_SAMPLES = 368  # the least n with 0.99^n <= 0.025: a two-sided 95 % interval of p99 has an upper end


@dataclass(frozen=True, slots=True)
class Train:
    """Packets at a fixed pace: `size_bytes` of UDP payload every `interval_s`, for `duration_s`."""

    duration_s: float
    interval_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Trips:
    """Round-trip times in seconds, how many packets never came back, and over how many seconds they were sent."""

    times_s: Sequence[float]
    lost: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that measures a Train. Commands and parsing apart; `parse` is pure and fails as Probe.measure does."""

    definition: str  # what its round-trip time is, beyond "paced UDP packets"
    version: Command
    fixed_s: float  # beside the traffic, measured
    sends: float  # the share of the packets asked for that it is certain to send
    traffic_s: Callable[[Train], float]
    server: Callable[[Pair, Train], Command]
    client: Callable[[Pair, Train], Command]
    parse: Callable[[Outcome, Mapping[str, str], Train], Trips]
    says: str = ""  # what its server prints once it listens, where it does


def percentile(ordered: Sequence[float], lost: int, share: float) -> float | None:
    """Nearest-rank percentile over all packets sent, a lost one counting as later than any; None when it is lost."""
    rank = max(1, math.ceil(share * (len(ordered) + lost)))
    return ordered[rank - 1] if rank <= len(ordered) else None


def percentiles(ordered: Sequence[float], lost: int) -> tuple[dict[str, float], tuple[str, ...]]:
    """rtt_p50 and rtt_p99 as far as so many packets carry them, and flags of those that lie beyond the lost ones."""
    found, flags = dict[str, float](), list[str]()
    for metric, share, least in (("rtt_p50", 0.50, 1), ("rtt_p99", 0.99, P99_SAMPLES)):
        value = percentile(ordered, lost, share)
        if value is None:
            flags.append(f"{metric} is beyond the lost packets")
        elif len(ordered) + lost >= least:
            found[metric] = value
    return found, tuple(flags)


def unindented(text: str) -> str:
    """The same text without what indents its lines: of irtt's JSON that is two thirds, kept with every trial.

    No meaning is lost: within a JSON string no line can begin.
    """
    return "\n".join(map(str.lstrip, text.split("\n")))


def histogram_bin(seconds: float) -> int:
    """The bin of records.Histogram that holds a time."""
    return math.floor(math.log(max(seconds, 1e-9) / 1e-9) / math.log(1.01))
