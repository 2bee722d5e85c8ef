"""What each level amounts to of the whole NIC, and what speaks against it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from tuning.offload import bitmaps, judging
from tuning.offload.blaming import Named, faults, named, unsteady, way
from tuning.offload.cases import Word, judged
from tuning.offload.evidence import (
    Benefit,
    FeatureVerdict,
    Level,
    LevelVerdict,
    Observed,
    Outcome,
    Soaked,
)
from tuning.offload.inventory import Nic

_UNJUDGED: Final = "can't be judged here"


def levels(
    asked: frozenset[Level],
    nic: Nic,
    nic_end: str,
    observed: Sequence[Observed],
    rows: Sequence[FeatureVerdict],
    soaked: Soaked | None,
    left: Sequence[str],
    *,
    benefits: Mapping[str, Benefit] | None = None,
    unmeasured: str = "",
) -> tuple[LevelVerdict, ...]:
    """Each level of the whole NIC, with what speaks against it, or why nothing can be said.

    `unmeasured` is why no run was made of what features are worth.
    """
    toggles = [each for each in observed if each.arm.feature]
    odd = [
        judging.toggle_said(each, nic)
        for each in observed
        # A link that comes back is no fault: many drivers start their NIC anew for a feature. Each row tells it.
        if each.toggled in {"hangs", "refused"} or (each.arm.feature and (judging.resets(each) or judging.shrunk(each)))
    ]
    wrong, at_times = _function(observed, nic_end), _at_times(observed, nic_end)
    hidden = [
        f"{row.feature}: {row.verdict}: {row.evidence['engaged']}"
        for row in rows
        if row.verdict in {"claimed but not engaged", "engaged though off"}
    ]
    worth = [
        f"{row.feature}: {row.evidence.get('benefit') or row.evidence['function']}"
        for row in rows
        if row.verdict == "works but harms"
    ]
    not_back = [f"{each.arm.name}: {each.restored}" for each in observed if each.restored]
    against: Mapping[Level, Sequence[str]] = {
        "inventory": (), "negotiation": odd, "function": [*wrong, *at_times], "engaged": hidden, "benefit": worth,
        "stability": soaked.faults if soaked else (), "restored": [*not_back, *left],
    }  # fmt: skip
    unjudged: Mapping[Level, str] = {
        "negotiation": _untoggled(toggles, nic),
        "function": _unexchanged(observed),
        "engaged": _unseen(toggles, observed, rows, nic, nic_end),
        "benefit": _unmeasured(benefits or {}, unmeasured),
    }

    def one(level: Level) -> tuple[Outcome, Sequence[str]]:
        said = against[level]
        if level not in asked and not (level == "restored" and said):  # what is not put back counts, asked or not
            return "not asked", ()
        if level == "stability" and soaked is None:
            return "not asked", ()
        if level == "function" and at_times and not wrong:
            return _UNJUDGED, said
        if not said and unjudged.get(level):
            return _UNJUDGED, (unjudged[level],)
        return ("failed" if said else "ok"), said

    found = {level: one(level) for level in against}
    return tuple(LevelVerdict(level, outcome, tuple(said)) for level, (outcome, said) in found.items())


def _untoggled(toggles: Sequence[Observed], nic: Nic) -> str:
    """Why not all can be said of toggles; "" where it can."""
    if not toggles:
        return "the driver lets nothing be changed of what was asked for"
    if untried := next((each for each in toggles if each.toggled == "not tried"), None):
        return f"{untried.arm.name} was not tried: {untried.said}"
    while_held = (f"with {each.arm.name} they were not read" for each in toggles if bitmaps.UNREAD in each.bits)
    why = nic.unread or next(while_held, "")
    return f"what ethtool reads is as it was asked for, but of the kernel's bitmaps: {why}" if why else ""


def _unexchanged(observed: Sequence[Observed]) -> str:
    """Why nothing can be said of payload; "" where something can."""
    words = [judged(result) for each in observed for result in (*each.results, *each.repeated)]
    if any(word != _UNJUDGED for word, _ in words):
        return ""
    return next((said for _, said in words), "no payload was exchanged")


def _unseen(
    toggles: Sequence[Observed], observed: Sequence[Observed], rows: Sequence[FeatureVerdict], nic: Nic, nic_end: str
) -> str:
    """Why nothing can be said of what is at work; "" where packets show something."""
    if any(row.feature in {"queues", "udp-gro"} and row.verdict in judging.VERDICTS.values() for row in rows):
        return ""
    found = [(each.arm.feature, *judging.engaged(each.arm.feature, observed, nic_end, nic.driver)) for each in toggles]
    if any(word != _UNJUDGED for _, word, _ in found):
        return ""
    said = next((f": {name}: {why}" for name, _, why in found), "")
    return f"no packet shows whether any feature is at work{said}"


def _unmeasured(benefits: Mapping[str, Benefit], why: str) -> str:
    """Why nothing can be said of what features are worth; "" where something can."""
    if any(each.word != _UNJUDGED for each in benefits.values()):
        return ""
    said = next((f"{name}: {each.said}" for name, each in benefits.items()), "")
    return why or said or "nothing was measured"


def _function(observed: Sequence[Observed], nic_end: str) -> list[str]:
    """Every case that went wrong, once, with the arms in which it did."""
    where: dict[Named, list[str]] = {}
    said: dict[Named, tuple[Word, str]] = {}
    for each in observed:
        for case, found in faults(each).items():
            where.setdefault(case, []).append(each.arm.name)
            said.setdefault(case, found)
    count = len([each for each in observed if each.results])
    return [
        f"{named(case)} ({way(case[0], nic_end)}): {said[case][0]}: {said[case][1]} "
        f"({'in every arm' if len(names) == count else 'with ' + ', '.join(dict.fromkeys(names))})"
        for case, names in where.items()
    ]


def _at_times(observed: Sequence[Observed], nic_end: str) -> list[str]:
    """What went wrong in one of two exchanges under the same arm."""
    return [
        f"{named(case)} ({way(case[0], nic_end)}), {each.arm.name}: {said}"
        for each in observed
        for case, said in unsteady(each).items()
    ]
