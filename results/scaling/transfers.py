"""RFC 6349's three metrics of TCP, by number of pairs; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.records import Trial
from results.scaling.arms import PROBE, pairs


@dataclass(frozen=True, slots=True)
class Transfer:
    """Means over trials; None where it is not known.

    ratio         TCP transfer time ratio (4.1): the time that the bytes took over the least that the path allows
    efficiency    TCP efficiency (4.2): the share of the bytes sent that were not sent again
    buffer_delay  buffer delay (4.3): how much longer the round trip was than on the idle path, as a share of that
    """

    ratio: float | None = None
    efficiency: float | None = None
    buffer_delay: float | None = None


def transfers(trials: Sequence[Trial], *, pace_bps: float, line_bps: float) -> Mapping[int, Transfer]:
    """Of the trials that are done; `pace_bps` of each pair, `line_bps` of goodput that the link carries (0: not known).

    The ideal is what the pairs ask for, or the link carries, whichever is less; without either there is no ratio.
    """
    found: dict[int, list[Transfer]] = {}
    for each in trials:
        if each.status == "done":
            n = pairs(each.arm)
            ideal = min(filter(None, (n * pace_bps, line_bps)), default=0.0)
            found.setdefault(n, []).append(_one(each, ideal))
    return {n: Transfer(*(_mean([getattr(each, name) for each in listed]) for name in Transfer.__slots__))
            for n, listed in sorted(found.items())}  # fmt: skip


def _one(trial: Trial, ideal_bps: float) -> Transfer:
    goodput, efficiency, rtt_s, base_s = (
        trial.value(f"{PROBE}.{metric}") for metric in ("goodput", "tcp_efficiency", "tcp_rtt", "base_rtt")
    )
    return Transfer(
        ideal_bps / goodput if ideal_bps and goodput else None,
        efficiency,
        (rtt_s - base_s) / base_s if rtt_s and base_s else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None
