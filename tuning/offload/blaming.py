"""Which exchanges went wrong in an arm, and which features that is laid to. Pure.

A fault is laid at the door of a feature only where the same case passes, to its end, with the feature in its other
position on the same ground, and where the NIC as found still behaves at the end as it did at the beginning. What goes
otherwise than on its ground is exchanged twice: what differs between the two is laid to nobody.
"""

from collections.abc import Sequence

from tuning.offload import features
from tuning.offload.arms import Arm
from tuning.offload.cases import FAULTS, Result, Word, judged, sound
from tuning.offload.evidence import Observed
from tuning.offload.features import Direction
from tuning.offload.inventory import Nic

_CASE = tuple[str, str]  # flow, name
_GROUP = tuple[str, str, int]  # of Case.sort


def faults(observed: Observed) -> dict[_CASE, tuple[Word, str]]:
    """The cases that went wrong in an arm, with the evidence: each time where they were repeated, once if corrupt."""
    first, second = _wrong(observed.results), _wrong(observed.repeated)
    once = {(each.case.flow, each.case.name) for each in observed.results} - {
        (each.case.flow, each.case.name) for each in observed.repeated
    }
    either = second | {case: said for case, said in first.items() if _worse(said, second.get(case))}
    return {
        case: said
        for case, said in either.items()
        if said[0] == "corrupts" or case in once or (case in first and case in second)
    }


def unsteady(observed: Observed) -> dict[_CASE, str]:
    """The cases that went wrong in one of two exchanges under the same arm, in words."""
    steady = faults(observed)
    either = _wrong(observed.repeated) | _wrong(observed.results)
    return {case: f"{said} in one of two exchanges" for case, (_, said) in either.items() if case not in steady}


def _wrong(results: Sequence[Result]) -> dict[_CASE, tuple[Word, str]]:
    found = {(each.case.flow, each.case.name): judged(each) for each in results}
    return {case: said for case, said in found.items() if said[0] in FAULTS}


def _worse(one: tuple[Word, str], other: tuple[Word, str] | None) -> bool:
    return other is None or FAULTS.index(one[0]) <= FAULTS.index(other[0])


def odd(observed: Observed, base: Observed | None) -> frozenset[str]:
    """What payload goes through ("": nothing) and goes wrong where it did not on its ground, or the reverse."""
    known = _wrong(base.results).keys() if base else frozenset()
    found = _wrong(observed.results).keys()
    return frozenset(
        each.case.over
        for each in observed.results
        if ((case := (each.case.flow, each.case.name)) in found) != (case in known)
    )


def ill(observed: Observed) -> tuple[str, ...]:
    """The tunnels and VLANs through which payload went wrong in an arm."""
    wrong = faults(observed)
    names = (each.case.over for each in observed.results if (each.case.flow, each.case.name) in wrong)
    return tuple(dict.fromkeys(name for name in names if name))


def groups(observed: Observed) -> dict[_CASE, _GROUP]:
    """The sort of each case of an arm."""
    return {(each.case.flow, each.case.name): each.case.sort for each in observed.results}


def _clean(observed: Observed, group: _GROUP) -> bool:
    """Whether every case of a group went well in an arm, and to its end."""
    own = [each for each in (*observed.results, *observed.repeated) if each.case.sort == group]
    return bool(own) and all(map(sound, own))


def way(flow: str, nic_end: str) -> Direction:
    """Of the NIC's: what goes out of end a comes into end b."""
    return "tx" if (flow == "out") == (nic_end == "a") else "rx"


def moved_features(observed: Observed, nic: Nic) -> frozenset[str]:
    """The NIC's features that an arm moved."""
    prefix = f"feature/{nic.device}/"
    return frozenset(
        each.key.removeprefix(prefix)
        for each in observed.moved
        if each.host == nic.host and each.key.startswith(prefix)
    )


def blamed(observed: Sequence[Observed], nic: Nic, nic_end: str) -> dict[str, tuple[Word, str]]:
    """Features at fault, each with its worst word and the evidence; none where the NIC as found changed meanwhile."""
    again = [each for each in observed if each.arm == Arm("found") and each.results]
    if len(again) > 1 and faults(again[-1]).keys() - faults(again[0]).keys() - unsteady(again[0]).keys():
        return {}  # it came with time: no toggle made it
    found: dict[str, tuple[Word, str]] = {}
    others = [each for each in observed if not each.arm.feature and each.arm.ground != "found" and each.results]
    for base in [*again[:1], *others]:
        toggles = [
            each for each in observed if each.arm.feature and each.arm.ground == base.arm.ground and each.results
        ]
        for case, (word, said) in faults(base).items():
            if base is again[0] and case in groups(again[-1]) and case not in faults(again[-1]):
                continue  # it went with time
            group = groups(base)[case]
            cures = [each for each in toggles if _clean(each, group) and concerns(each, case, nic_end)]
            for each in _narrowest(cures, nic):
                _note(found, each.arm.feature, word, f"{named(case)}: {said}; not with {each.arm.name}")
        ill = {way(flow, nic_end) for flow, _ in faults(base)}
        for each in toggles:
            for case, (word, said) in faults(each).items():
                known = case in groups(base) and _clean(base, groups(base)[case])
                if known and way(case[0], nic_end) not in ill and concerns(each, case, nic_end):
                    _note(found, each.arm.feature, word, f"{named(case)} with {each.arm.name}: {said}")
    return found


def concerns(observed: Observed, case: _CASE, nic_end: str) -> bool:
    """Whether an arm's feature acts on the way that a case goes."""
    direction = features.direction(observed.arm.feature)
    return direction in {"-", way(case[0], nic_end)}


def _narrowest(cures: Sequence[Observed], nic: Nic) -> list[Observed]:
    """Of toggles that cure the same, those that move the least: scatter-gather takes TSO with it, not the reverse."""
    sets = {each.arm: moved_features(each, nic) for each in cures}
    return [each for each in cures if not any(sets[other.arm] < sets[each.arm] for other in cures)]


def _note(found: dict[str, tuple[Word, str]], feature: str, word: Word, said: str) -> None:
    if feature not in found or FAULTS.index(word) < FAULTS.index(found[feature][0]):
        found[feature] = (word, said)


def named(case: _CASE) -> str:
    """A case in words."""
    return f"{case[1]} {case[0]}"
