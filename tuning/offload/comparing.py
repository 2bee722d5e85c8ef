"""Two validations side by side: what differs between the NICs, their partners and what was found of them. Pure.

Nothing is judged: each figure is of its own run, and no interval within a run covers what differs between two.
"""

from collections.abc import Iterable, Mapping

from results.units import interval, percent
from tuning.offload import soak
from tuning.offload.evidence import LevelVerdict, Validation

Pairs = Mapping[str, tuple[str, str]]
TITLES: Mapping[str, str] = {
    "nic": "what differs in the NICs",
    "features": "in their features",
    "partner": "in their partners and paths",
    "verdicts": "in the verdicts",
    "worth": "in what having a feature on was worth, each by its own run",
    "levels": "in the levels",
}


def comparison(one: Validation, other: Validation) -> dict[str, object]:
    """What differs, for machines: by each of TITLES {what: [one, other]}; and `verdicts alike`.

    What a side has not got is "absent".
    """
    found = {name: _differing(pairs) for name, pairs in _sides(one, other).items()}
    alike = [name for name, (a, b) in _verdicts(one, other).items() if a == b]
    return {**found, "verdicts alike": sorted(alike)}


def _sides(one: Validation, other: Validation) -> dict[str, Pairs]:
    partners = _pairs(one.other.identity.items(), other.other.identity.items())
    partners |= _pairs(one.other.features.items(), other.other.features.items())
    return {
        "nic": _pairs(one.nic.identity.items(), other.nic.identity.items()),
        "features": _pairs(one.nic.features.items(), other.nic.features.items()),
        "partner": {"path": (one.path, other.path), **partners},
        "verdicts": _verdicts(one, other),
        "worth": _pairs(_worth(one), _worth(other)),
        "levels": _pairs(_levels(one), _levels(other)),
    }


def _verdicts(one: Validation, other: Validation) -> Pairs:
    sides = (((f"{row.feature} {row.direction}", row.verdict) for row in each.features) for each in (one, other))
    return _pairs(*sides)


def _worth(found: Validation) -> Iterable[tuple[str, str]]:
    for row in found.features:
        if row.effect_pct:
            estimate, low, high = row.effect_pct
            yield row.feature, f"{percent(estimate)} {interval(low, high)}"


def _levels(found: Validation) -> Iterable[tuple[str, str]]:
    for each in found.levels:
        yield each.level, _outcome(each)
    if said := next((note for note in found.notes if note.startswith(soak.TOLD)), ""):
        yield "soak", said


def _outcome(level: LevelVerdict) -> str:
    return f"{level.outcome}: {level.evidence[0]}" if level.evidence else level.outcome


def _pairs(one: Iterable[tuple[str, str]], other: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    a, b = dict(one), dict(other)
    return {name: (a.get(name, "absent"), b.get(name, "absent")) for name in dict.fromkeys((*a, *b))}


def _differing(pairs: Pairs) -> dict[str, list[str]]:
    return {name: [a, b] for name, (a, b) in pairs.items() if a != b}
