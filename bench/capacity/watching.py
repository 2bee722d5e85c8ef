"""What else the machines carry is looked at while load runs, and load is ended where that is too much."""

import math
import time
from collections.abc import Callable

from bench.capacity.dense import Dense
from results.errors import NotAble

STOPPED = "stopped: "
_LOOK_S = 1.0  # between looks, at most
_LOOKS = 4  # in a window: a ceiling says something at its third (bench.capacity.ceiling)
_POLL_S = 0.05


class LoadStopped(NotAble):
    """The lab's watch saw that a machine, or others on it, had enough: all load was ended."""

    def __init__(self, seen: str) -> None:
        super().__init__(f"{STOPPED}{seen}")


def apart_s(lab: Dense, window_s: float) -> float:
    """Seconds between looks in a window: short ones are looked at more often, as far as the lab's watch sees more."""
    return max(lab.look_s, min(_LOOK_S, window_s / _LOOKS))


def looks(windows_s: tuple[float, ...], each_s: float) -> int:
    """How often windows one after another are looked at, every so many seconds."""
    return sum(max(0, math.ceil(window_s / each_s - 0.5) - 1) for window_s in windows_s)


def look(lab: Dense) -> None:
    """One look. Raises LoadStopped."""
    if seen := lab.trouble():
        raise LoadStopped(seen)


def watched(seconds: float, lab: Dense, each_s: float, over: Callable[[], bool] | None = None) -> None:
    """So long, or until it is over; the lab looked at meanwhile, but not right before the end: a look takes its time.

    Raises LoadStopped.
    """
    began_s = time.monotonic()
    until_s, next_s = began_s + seconds, began_s + each_s
    while (left_s := until_s - time.monotonic()) > 0 and not (over and over()):
        time.sleep(max(0.0, min(left_s, next_s - time.monotonic(), _POLL_S if over else left_s)))
        if time.monotonic() >= next_s and until_s - next_s > each_s / 2:
            look(lab)
            next_s += each_s
        elif until_s - next_s <= each_s / 2:
            next_s = until_s
