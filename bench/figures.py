"""What moved with a setting: a figure of each trial, compared between two arms. Pure."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.evidence import LISTENING, RINGS, SOCKETS, Evidence, done, in_flight, kib, most_share, total
from bench.facts.counters import USER_HZ
from results.statistics import student

MOVED = 1.5  # times as much, or as little: less says nothing of what a setting did
MOVED_P = 0.01  # of one figure that was asked for
ANY_MOVED_P = 0.05  # of all figures together


def moved(current: Sequence[Evidence], treated: Sequence[Evidence]) -> tuple[str, ...]:
    """What the kernel's own figures say of a treatment: those that differ clearly from current's, the most moved first.

    Medians of each trial, compared unpaired (results.statistics.student, p < 0.05 of all figures together: Bonferroni),
    half as much again or more.
    """
    asked = [name for name, each in _FIGURES.items() if each.says != "nothing"]
    found = [each for name in asked if (each := _moved(name, current, treated, ANY_MOVED_P / len(asked)))]
    return tuple(words for _, words in sorted(found, reverse=True))


def moved_with(symptom: str, current: Sequence[Evidence], treated: Sequence[Evidence]) -> str:
    """The figure by which that symptom is known, where it moved (p < 0.01); "" otherwise, and where it has none."""
    found = _moved(symptom, current, treated, MOVED_P, own=True) if symptom in _FIGURES else None
    return "" if found is None else found[1]


def _moved(
    name: str, current: Sequence[Evidence], treated: Sequence[Evidence], most_p: float, *, own: bool = False
) -> tuple[float, str] | None:
    figure = _FIGURES[name]
    sides = [[x for each in done(side) if (x := figure.read(each)) is not None] for side in (current, treated)]
    made = student(*([math.log(max(x, figure.least)) for x in side] for side in sides))
    if made is None or made.p >= most_p or abs(made.mean) <= math.log(MOVED):
        return None
    if made.mean > 0 and figure.says == "its fall" and not own:
        return None
    before, after = (statistics.median(side) for side in sides)
    return abs(made.mean), f"{figure.words} from {figure.told(before)} to {figure.told(after)}"


@dataclass(frozen=True, slots=True)
class _Figure:
    """A number of one trial, None where it tells none. Below `least` all are alike: of what reads 0 there is no log.

    `says`: what of it says something beside its own symptom. Some grow with the goodput that is to be explained.
    """

    words: str
    read: Callable[[Evidence], float | None]
    least: float = 1.0
    told: Callable[[float], str] = "{:.0f}".format
    says: Literal["its move", "its fall", "nothing"] = "its move"


def _of_intervals(name: str) -> Callable[[Evidence], float | None]:
    return lambda trial: statistics.median(getattr(each, name) for each in trial.intervals) if trial.intervals else None


def _most_counted(kind: str, *names: str) -> Callable[[Evidence], float | None]:
    """The largest growth of these counters together: softnet_stat is the machine's, and told in each namespace."""

    def read(trial: Evidence) -> float | None:
        told = [sum(total([each], kind, name) for name in names) for each in trial.grown if kind in each]
        return float(max(told)) if told else None

    return read


def _share(kind: str, name: str) -> Callable[[Evidence], float | None]:
    return lambda trial: most_share(trial, kind, name)[0] if any(kind in each for each in trial.grown) else None


def _again(trial: Evidence) -> float | None:
    again, sent = (_most_counted("stack", name)(trial) for name in ("Tcp.RetransSegs", "Tcp.OutSegs"))
    return None if again is None or not sent else again / sent


def _in_flight(trial: Evidence) -> float | None:
    return statistics.median(flying) if (flying := in_flight(trial)) else None


def _ran_over(trial: Evidence) -> float | None:
    told = [total([of], device, name) for of in (each["devices"] for each in trial.grown if "devices" in each)
            for device in of for name in RINGS]  # fmt: skip
    return float(sum(told)) if told else None


def _dropped(trial: Evidence) -> float | None:
    told = [each["queue_drops"] for each in trial.grown if "queue_drops" in each]
    return float(sum(sum(each.values()) for each in told)) if told else None


def _squeezes(trial: Evidence) -> float | None:
    told = [total([each], "softnet", "squeezed") / max(float(each.get("seconds", 0)), 0.01)
            for each in trial.grown if "softnet" in each]  # fmt: skip
    return max(told, default=None)


def _cores(trial: Evidence) -> float | None:
    """Of the busiest host, guests' time apart: it is in user time, which they have."""
    busy = ("user", "nice", "system", "irq", "softirq", "steal")
    told = [sum(total([each], "cpu_ticks", name) for name in busy) / USER_HZ / max(float(each.get("seconds", 0)), 0.01)
            for each in trial.grown if "cpu_ticks" in each]  # fmt: skip
    return max(told, default=None)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.0f} %"


# Those of a symptom by its name.
_FIGURES: Mapping[str, _Figure] = {
    "receive-window": _Figure("the receiver's window", _of_intervals("window_bytes"), told=kib),
    "send-buffer": _Figure("what is in flight", _in_flight, told=kib, says="nothing"),
    "the congestion window": _Figure("the congestion window", _of_intervals("cwnd_bytes"), told=kib),
    "the round trip": _Figure("the round trip under load", _of_intervals("rtt_s"), 1e-6, _milliseconds),
    "retransmits": _Figure("segments sent again, of all", _again, 1e-4, _percent),
    "softirq-bound": _Figure(
        "the busiest CPU's time in interrupts", _share("busiest_softirq", "cpu"), 0.01, _percent, "its fall"
    ),
    "vhost-bound": _Figure(
        "the busiest thread under a guest", _share("busiest_carrier", "thread"), 0.01, _percent, "its fall"
    ),
    "CPU": _Figure("busy CPUs", _cores, 0.01, "{:.2f}".format, "its fall"),
    "time-squeeze": _Figure("used-up budgets a second", _squeezes),
    "backlog-drops": _Figure("packets that the backlog dropped", _most_counted("softnet", "dropped")),
    "rx-ring-drops": _Figure("frames for which a ring had no room", _ran_over),
    "qdisc-drops": _Figure("packets that queues dropped", _dropped),
    "udp-buffer": _Figure("datagrams for which a socket had no room", _most_counted("stack", *SOCKETS)),
    "listen-overflow": _Figure("connections that a full backlog refused", _most_counted("stack", *LISTENING)),
}
