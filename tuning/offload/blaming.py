"""Which exchanges went wrong in an arm, and which features that is laid to. Pure.

A fault is laid at the door of a feature only where the same kind of payload comes, whole, with the feature in its
other position on the same ground, and where the NIC as found still behaves at the end as it did at the beginning. What
goes otherwise than on its ground is exchanged twice: what is lost in one of the two is laid to nobody. Bytes other than
those sent come by no load and no chance: once is enough, and no whole transfer is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuning.offload import features
from tuning.offload.arms import Arm
from tuning.offload.cases import FAULTS, Result, Word, all_lost, judged, sound
from tuning.offload.evidence import Observed
from tuning.offload.features import Direction
from tuning.offload.inventory import Nic

Named = tuple[str, str]  # of a case: flow, name
Sort = tuple[str, str, int]  # Case.sort


@dataclass(frozen=True, slots=True)
class Blame:
    """What is laid to a feature: its worst word with the evidence, the position it is wrong in, every case."""

    word: Word
    said: str
    value: str  # "on" or "off"
    cases: frozenset[Named]


def faults(observed: Observed) -> dict[Named, tuple[Word, str]]:
    """The cases that went wrong in an arm, with the evidence; where it was repeated, those whose sort did each time."""
    first, second = _wrong(observed.results), _wrong(observed.repeated)
    of, twice = sorts(observed), {each.case.sort for each in observed.repeated}
    each_time = {of[case] for case in first} & {of[case] for case in second}
    either = second | {case: said for case, said in first.items() if _worse(said, second.get(case))}
    return {
        case: said
        for case, said in either.items()
        if said[0] == "corrupts" or of[case] not in twice or of[case] in each_time
    }


def unsteady(observed: Observed) -> dict[Named, str]:
    """The cases that went wrong in one of two exchanges under the same arm, in words."""
    steady = faults(observed)
    either = _wrong(observed.repeated) | _wrong(observed.results)
    return {case: f"{said} in one of two exchanges" for case, (_, said) in either.items() if case not in steady}


def _wrong(results: Sequence[Result]) -> dict[Named, tuple[Word, str]]:
    found = {each.case.key: judged(each) for each in results}
    return {case: said for case, said in found.items() if said[0] in FAULTS}


def _worse(one: tuple[Word, str], other: tuple[Word, str] | None) -> bool:
    return other is None or FAULTS.index(one[0]) <= FAULTS.index(other[0])


def odd(observed: Observed, base: Observed | None) -> frozenset[str]:
    """What payload goes through ("": nothing) and goes wrong where it did not on its ground, or the reverse."""
    known = faults(base).keys() | _unheard(base.results) if base else frozenset()
    found = _wrong(observed.results).keys() | (_unheard(observed.results) if base else frozenset())
    return frozenset(
        each.case.over for each in observed.results if (each.case.key in found) != (each.case.key in known)
    )


def _unheard(results: Sequence[Result]) -> frozenset[Named]:
    """The cases of tagged frames of which none came: alone that is no fault, beside an arm in which they come it is."""
    return frozenset(each.case.key for each in results if all_lost(each))


def ill(observed: Observed) -> tuple[str, ...]:
    """The tunnels and VLANs through which payload went wrong in an arm."""
    wrong = faults(observed)
    names = (each.case.over for each in observed.results if each.case.key in wrong)
    return tuple(dict.fromkeys(name for name in names if name))


def sorts(observed: Observed) -> dict[Named, Sort]:
    """The sort of each case of an arm."""
    return {each.case.key: each.case.sort for each in observed.results}


def hit(observed: Observed) -> frozenset[Sort]:
    """The sorts of payload that went wrong in an arm."""
    of = sorts(observed)
    return frozenset(of[case] for case in faults(observed))


def _shaky(observed: Observed) -> frozenset[Sort]:
    of = sorts(observed)
    return frozenset(of[case] for case in unsteady(observed))


def _clean(observed: Observed, sort: Sort) -> bool:
    """Whether every case of a sort went well in an arm, and to its end."""
    own = [each for each in (*observed.results, *observed.repeated) if each.case.sort == sort]
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


def blamed(observed: Sequence[Observed], nic: Nic, nic_end: str) -> dict[str, Blame]:
    """What is laid to features; nothing of a direction in which the NIC as found came to fail meanwhile."""
    again = [each for each in observed if each.arm == Arm("found") and each.results]
    at_end = hit(again[-1]) if again else frozenset()
    late = {way(sort[0], nic_end) for sort in at_end - hit(again[0]) - _shaky(again[0])} if again else set()
    found: dict[str, Blame] = {}
    others = [each for each in observed if not each.arm.feature and each.arm.ground != "found" and each.results]
    for base in [*again[:1], *others]:
        toggles = [
            each for each in observed if each.arm.feature and each.arm.ground == base.arm.ground and each.results
        ]
        of = sorts(base)
        for case, (word, said) in faults(base).items():
            gone = base is again[0] and case in sorts(again[-1]) and of[case] not in at_end
            if gone or way(case[0], nic_end) in late:
                continue  # it went with time, or others came
            cures = [each for each in toggles if _clean(each, of[case]) and concerns(each, case, nic_end)]
            for each in _narrowest(cures, nic):
                value = "off" if each.arm.value == "on" else "on"
                _note(
                    found,
                    each,
                    Blame(word, f"{named(case)}: {said}; not with {each.arm.name}", value, frozenset({case})),
                )
        for each in toggles:
            for case, (word, said) in faults(each).items():
                steady = word == "corrupts" or of.get(case) not in _shaky(again[-1])
                if steady and _made(case, word, each, base, nic_end) and way(case[0], nic_end) not in late:
                    told = f"{named(case)} with {each.arm.name}: {said}"
                    _note(found, each, Blame(word, told, each.arm.value, frozenset({case})))
    return found


def _made(case: Named, word: Word, toggled: Observed, base: Observed, nic_end: str) -> bool:
    """Whether a toggle made a fault: what its ground had well, and whole."""
    sort = sorts(base).get(case)
    if sort is None or sort in hit(base) or not concerns(toggled, case, nic_end):
        return False
    ways = {way(flow, nic_end) for flow, _ in faults(base)}
    return word == "corrupts" or (_clean(base, sort) and way(case[0], nic_end) not in ways)


def concerns(observed: Observed, case: Named, nic_end: str) -> bool:
    """Whether an arm's feature acts on the way that a case goes."""
    direction = features.direction(observed.arm.feature)
    return direction in {"-", way(case[0], nic_end)}


def _narrowest(cures: Sequence[Observed], nic: Nic) -> list[Observed]:
    """Of toggles that cure the same, those that move the least: scatter-gather takes TSO with it, not the reverse."""
    sets = {each.arm: moved_features(each, nic) for each in cures}
    return [each for each in cures if not any(sets[other.arm] < sets[each.arm] for other in cures)]


def _note(found: dict[str, Blame], toggled: Observed, one: Blame) -> None:
    """The worst is told, all cases are kept."""
    feature = toggled.arm.feature
    other = found.get(feature)
    if other is None:
        found[feature] = one
        return
    worse = one if FAULTS.index(one.word) < FAULTS.index(other.word) else other
    found[feature] = Blame(worse.word, worse.said, worse.value, one.cases | other.cases)


def explained(blame: Mapping[str, Blame]) -> frozenset[Named]:
    """Every case that is laid to some feature."""
    return frozenset(case for each in blame.values() for case in each.cases)


def named(case: Named) -> str:
    """A case in words."""
    return f"{case[1]} {case[0]}"
