"""How numbers are written for people: a scaled unit, three significant digits, a real minus sign; and times."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

NBSP = "\u00a0"
MINUS = "\u2212"
DASH = "–"  # stands where there is no number

_SHARES = (
    "cpu_share",
    "drops",
    "loss",
    "tcp_efficiency",
    "lost_sender",
    "lost_path",
    "lost_receiver",
    "lost_unaccounted",
)  # metrics of unit "1" that are a share, not a count
_PREFIXED = {
    "bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "1/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit to show numbers in: shown = value ÷ `factor`, followed by `label`."""

    factor: float
    label: str


def scale(name: str, unit: str, values: Iterable[float]) -> Scale:
    """The unit in which the largest of `values` of the metric `name` ("tcp.goodput") reads best."""
    if unit == "1":
        return Scale(0.01, "%") if name.rpartition(".")[2] in _SHARES else Scale(1.0, "")
    steps = _PREFIXED.get(unit)
    if steps is None:
        return Scale(1.0, unit)
    largest = max((abs(v) for v in values), default=0.0)
    for factor, label in steps:
        if largest >= factor:
            return Scale(factor, label)
    return Scale(*steps[-1]) if largest > 0 else Scale(*steps[0])


def quantity(name: str, unit: str, value: float | None, *, to: Scale | None = None) -> str:
    """`9.41 Gbit/s`, `63.1 µs`, `0.02 %`, `17`; a dash for None."""
    if value is None:
        return DASH
    used = to or scale(name, unit, [value])
    is_count = not used.label and value == int(value)
    number = f"{value:.0f}" if is_count else digits(value / used.factor)
    return f"{number}{NBSP}{used.label}" if used.label else number


def digits(value: float) -> str:
    """Three significant digits, never in scientific notation, without a needless tail."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else DASH
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):.{min(places, 9)}f}"
    return f"{MINUS}{text}" if value < 0 else text


def percent(value: float | None, *, signed: bool = True, unit: bool = True) -> str:
    """`+4.2 %`, `−0.3 %`, `+140 %`; a dash for None."""
    if value is None or not math.isfinite(value):
        return DASH
    places = 0 if abs(value) >= 99.95 else 1
    text = f"{abs(value):.{places}f}" if abs(value) < 1e4 else ">9999"
    is_zero = not text.strip("0.")
    sign = "" if is_zero else MINUS if value < 0 else "+" if signed else ""
    return f"{sign}{text}{NBSP}%" if unit else f"{sign}{text}"


def typeset(text: object) -> str:
    """`text` with real minus signs before numbers: other rooms write for terminals, where "-" is kinder."""
    return re.sub(r"(?<![\w-])-(?=\d)", MINUS, str(text))


def interval(low: float | None, high: float | None) -> str:
    """`[+1.1, +7.3] %`; a dash when either end is missing."""
    if low is None or high is None:
        return DASH
    return f"[{percent(low, unit=False)}, {percent(high, unit=False)}]{NBSP}%"


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as `2026-01-31T12:00:00Z`, to the second."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
