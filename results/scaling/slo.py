"""What somebody wants of a host, as they write it: `goodput>=1Gbit per vm, p99<=2ms, loss<=0.1%, cpu<=70%`; pure."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from results.errors import WrongInput

_RATES = {"bit": 1.0, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9, "Tbit": 1e12}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_SHARES = {"%": 0.01}
_PER_SECOND = {"/s": 1.0, "k/s": 1e3}
_BARE = {"": 1.0}
_MOST = 1e18


@dataclass(frozen=True, slots=True)
class Kind:
    """What may be asked of a metric: its units as factors, and which side of the bound is good."""

    units: Mapping[str, float]
    sense: str  # ">=" or "<="
    about: str


KINDS: Mapping[str, Kind] = {
    "goodput": Kind(_RATES, ">=", "goodput of each VM, `per vm`, or of all of them, `in all`"),
    "p50": Kind(_TIMES, "<=", "median round-trip time under the load"),
    "p99": Kind(_TIMES, "<=", "99th percentile of the round-trip time under the load"),
    "loss": Kind(_SHARES, "<=", "share of the probes' packets that never came back"),
    "cpu": Kind(_SHARES, "<=", "share of all CPUs that is busy"),
    "connections": Kind(_PER_SECOND, ">=", "new TCP connections of each VM, `per vm`, or of all of them, `in all`"),
    "fairness": Kind(_BARE, ">=", "Jain's index over the pairs, 1 where all have the same"),
}
RATES = ("goodput", "connections")  # of each VM or of all of them; with more VMs they may fall again
# A term is read piece by piece, so that an error can name its column.
_SPACE, _NAME, _SENSE = re.compile(r"\s*"), re.compile(r"[A-Za-z_][\w.]*"), re.compile(r">=|<=|≥|≤|==|=|<|>")
_NUMBER, _UNIT = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"), re.compile(r"%|/s|[^\W\d_]+(?:/s|ps)?")
_SCOPE = re.compile(r"(per\s+(?:vm|pair)|in\s+all)\b", re.IGNORECASE)
_EXAMPLE = "goodput>=1Gbit per vm, p99<=2ms, loss<=0.1%, cpu<=70%"


@dataclass(frozen=True, slots=True)
class Term:
    """One bound, in base units (bit/s, seconds, shares). `each`: of every VM, not of all together."""

    metric: str
    bound: float
    each: bool
    text: str

    @property
    def least(self) -> bool:
        """Whether the bound is from below."""
        return KINDS[self.metric].sense == ">="

    def holds(self, value: float) -> bool:
        """Whether a value is on the good side."""
        return value >= self.bound if self.least else value <= self.bound


def parse(text: str) -> tuple[Term, ...]:
    """The terms, each metric once. Raises WrongInput with the column, counted from 1, and what belongs there."""
    reading = _Reading(text)
    terms: list[Term] = []
    while True:
        start = reading.skipped()
        term = _term(reading)
        if any((each.metric, each.each) == (term.metric, term.each) for each in terms):
            reading.wrong(start, f"{term.metric} is bounded twice")
        terms.append(term)
        if reading.skipped() == len(text):
            return tuple(terms)
        if text[reading.at] != ",":
            reading.wrong(reading.at, f"a comma or the end belongs here, not {reading.rest()}")
        reading.at += 1


@dataclass(slots=True)
class _Reading:
    """A text and how far it is read."""

    text: str
    at: int = 0

    def skipped(self) -> int:
        """Past white space; where that is."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def taken(self, pattern: re.Pattern[str]) -> str:
        """What matches here, read past; "" where nothing does."""
        self.skipped()
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found.group() if found else ""

    def rest(self) -> str:
        """The beginning of what is left, for an error."""
        return repr(self.text[self.at : self.at + 12]) if self.at < len(self.text) else "the end"

    def wrong(self, at: int, message: str, hint: str = "") -> NoReturn:
        """Raise WrongInput with the place."""
        raise WrongInput(f"--slo, column {at + 1}: {message}: {self.text!r}", hint=hint or f"as in: {_EXAMPLE}")


def _term(reading: _Reading) -> Term:
    start = reading.skipped()
    name = reading.taken(_NAME)
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.6)
        known = f"known: {', '.join(KINDS)}"
        reading.wrong(
            start,
            f"{repr(name) if name else reading.rest()} is no metric",
            f"did you mean {near[0]}?" if near else known,
        )
    kind = KINDS[name]
    at = reading.skipped()
    sense = reading.taken(_SENSE)
    if sense.replace("≥", ">=").replace("≤", "<=") != kind.sense:
        why = f"{name} is bounded by {kind.sense}, not {sense!r}" if sense else f"{kind.sense} belongs after {name}"
        reading.wrong(at, why)
    at = reading.skipped()
    number = reading.taken(_NUMBER)
    if not number:
        reading.wrong(at, f"a number belongs after {name}{kind.sense}, not {reading.rest()}")
    bound = float(number) * _factor(reading, name, kind)
    if not 0 < bound < _MOST and not (bound == 0 and not kind.sense.startswith(">")):
        reading.wrong(at, f"{number} is no bound of {name}")
    if name in {"loss", "cpu", "fairness"} and bound > 1:
        reading.wrong(at, f"{name} is at most {'100%' if name != 'fairness' else 1}")
    each = name in RATES and _each(reading, name)
    return Term(name, bound, each, reading.text[start : reading.at].strip())


def _factor(reading: _Reading, name: str, kind: Kind) -> float:
    at = reading.skipped()
    if "" in kind.units:
        return 1.0
    written = reading.taken(_UNIT)
    known = _rate_unit(written) if kind.units is _RATES else written
    if known not in kind.units:
        said = f"{written!r} is no unit of {name}" if written else f"a unit belongs after the number of {name}"
        reading.wrong(at, said, f"units of {name}: {', '.join(kind.units)}")
    return kind.units[known]


def _rate_unit(written: str) -> str:
    """`Gbit`, `gbit`, `Gb`, `Gbps`, `Gbit/s` as the key of _RATES; "" for no unit of bits, as `GB` is none.

    Mbit and mbit are one to everybody who writes either; a byte, which is written B, is not a bit.
    """
    unit = written.removesuffix("/s").removesuffix("ps")
    unit = f"{unit}it" if unit.endswith("b") else unit
    return next((each for each in _RATES if each.lower() == unit.lower()), "")


def _each(reading: _Reading, name: str) -> bool:
    at = reading.skipped()
    scope = reading.taken(_SCOPE)
    if not scope:
        reading.wrong(at, f"whose {name}? `per vm` or `in all` belongs here")
    return scope.lower().startswith("per")


def rate_bps(text: str) -> float:
    """`10Gbit` in bit/s. Raises WrongInput."""
    found = re.fullmatch(rf"\s*({_NUMBER.pattern})\s*({_UNIT.pattern})\s*", text)
    factor = _RATES.get(_rate_unit(found[2]), 0.0) if found else 0.0
    if found is None or not 0 < float(found[1]) * factor < _MOST:
        raise WrongInput(f"{text!r} is no rate", hint="10Gbit, 2.5Gbit, 100Mbit")
    return float(found[1]) * factor
