"""The rows of the matrix that are no feature's: payload as found, the queues, datagrams that are merged. Pure."""

from collections.abc import Mapping, Sequence

from tuning.offload import features
from tuning.offload.blaming import Blame, Named, faults, named, unsteady, way
from tuning.offload.cases import FAULTS, Result, Word, fewest, judged, shared, sound
from tuning.offload.evidence import FeatureVerdict, Observed, Verdict
from tuning.offload.inventory import Nic
from tuning.offload.judging import OFF_MOST, VERDICTS, share
from tuning.offload.spread import QUEUES


def payload_rows(observed: Sequence[Observed], nic_end: str, blame: Mapping[str, Blame]) -> list[FeatureVerdict]:
    """The pair as found, each way: what every user of it would see."""
    bases = [each for each in observed if not each.arm.feature and each.results]
    if not bases:
        return []
    rows = []
    for direction in ("tx", "rx"):
        found = [
            (word, f"{named(case)}, {each.arm.name}: {said}", case)
            for each in bases
            for case, (word, said) in faults(each).items()
            if way(case[0], nic_end) == direction
        ]
        good: tuple[Word, str, Named] = ("ok", _compared(bases[0], nic_end, direction), ("", ""))
        word, said, case = min(found, key=lambda each: FAULTS.index(each[0]), default=good)
        cures = [f"{feature} {'off' if each.value == 'on' else 'on'}" for feature, each in blame.items()
                 if case in each.cases]  # fmt: skip
        said += f"; with {' or '.join(cures)} it is not so" if cures else ""
        verdict = VERDICTS[word]
        if not found and (shaky := _shaky(bases, nic_end, direction)):
            verdict, said = "can't be judged here", shaky
        rows.append(FeatureVerdict("payload", direction, verdict, {"function": said}))
    return rows


def _shaky(bases: Sequence[Observed], nic_end: str, direction: str) -> str:
    """What went wrong in one of two exchanges and not in the other, in words."""
    found = ((case, each, said) for each in bases for case, said in unsteady(each).items())
    own = (
        f"{named(case)}, {each.arm.name}: {said}" for case, each, said in found if way(case[0], nic_end) == direction
    )
    return next(own, "")


def ground_rows(observed: Sequence[Observed]) -> list[FeatureVerdict]:
    """The grounds to which a pair could not be brought without hanging: that is evidence, though of no one feature."""
    return [
        FeatureVerdict(f"ground: {each.arm.name}", "-", "hangs", {"negotiation": each.said})
        for each in observed
        if not each.arm.feature and each.toggled == "hangs"
    ]


def queue_rows(observed: Sequence[Observed], nic: Nic, nic_end: str) -> list[FeatureVerdict]:
    """Whether connections are shared over the NIC's queues, each way."""
    base = next((each for each in observed if not each.arm.feature and each.results), None)
    rows = []
    for result in _of_both(base, "spread") if base else ():
        direction = way(result.case.flow, nic_end)
        many, told = nic.queues(direction), (result.sender if direction == "tx" else result.taker).get("queues", ())
        counts = shared(told)
        # Which queue packets leave by is the kernel's choice, by the sender's CPU or a hash; by which they
        # come in the NIC's.
        single = len(counts) == 1 and direction == "rx"
        word: Verdict = "works" if len(counts) >= fewest(many, len(told)) else "can't be judged here"
        said = ", ".join(f"{count} by queue {queue}" for queue, count in counts.items())
        said = f"of {result.sender.get('sent', 0)} connections {said or 'none was seen'}; there are {many} queues"
        if many < 2:
            word, said = "not present", "it has one queue"
        elif many > QUEUES or not counts:
            word, said = "can't be judged here", f"{said}; {'more than can be told apart' if counts else 'unseen'}"
        elif single:
            word = "claimed but not engaged"
        rows.append(FeatureVerdict("queues", direction, word, {"engaged": said}))
    return rows


def merged_row(observed: Sequence[Observed], nic_end: str, blame: Mapping[str, Blame]) -> list[FeatureVerdict]:
    """Whether the kernel merges what comes for a socket that takes datagrams so (UDP_GRO); none without `rx-gro`.

    Datagrams are merged as they happen to come together, a driver's interrupt at a time: some are enough, and none
    proves nothing.
    """
    arm = next((each for each in observed if each.arm.feature == "rx-gro" and each.results), None)
    if arm is None:
        return []
    fault, shown = blame.get("rx-gro"), features.UDP_GRO
    if fault is not None and any(name == shown.case for _, name in fault.cases):
        return [FeatureVerdict("udp-gro", "rx", VERDICTS[fault.word], {"function": fault.said}, fault.value)]
    base = next(each for each in observed if not each.arm.feature and each.arm.ground == arm.arm.ground)
    on, off = (arm, base) if arm.arm.value == "on" else (base, arm)
    (shown_on, why_on), (shown_off, why_off) = (share(each, "rx-gro", shown, nic_end) for each in (on, off))
    word: Verdict = "can't be judged here"
    if shown_on is None or shown_off is None:
        said = f"while rx-gro is {'on' if shown_on is None else 'off'}: {why_on or why_off}"
    else:
        said = f"of bytes of datagrams merged: {shown_on:.1%} while rx-gro is on, {shown_off:.1%} while off"
        word = "works" if shown_on >= OFF_MOST > shown_off else word
    return [FeatureVerdict("udp-gro", "rx", word, {"engaged": said})]


def _of_both(base: Observed, kind: str) -> list[Result]:
    """The cases of a kind; of two exchanges the one that went well."""
    again = {each.case.key: each for each in base.repeated if sound(each)}
    return [
        result if sound(result) else again.get(result.case.key, result)
        for result in base.results
        if result.case.kind == kind
    ]


def _compared(base: Observed, nic_end: str, direction: str) -> str:
    own: list[Result] = [each for each in base.results if way(each.case.flow, nic_end) == direction]
    unjudged: dict[str, list[str]] = {}
    for each in own:
        word, why = judged(each)
        if word == "can't be judged here":
            unjudged.setdefault(why, []).append(each.case.over or each.case.name)
    count_judged = len(own) - sum(map(len, unjudged.values()))
    count = sum(each.case.bytes for each in own if each.case.kind == "tcp" and judged(each)[0] == "ok")
    said = f"{count_judged} cases, {count / 1e6:.0f} MB of TCP as sent"
    told = "; ".join(f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in unjudged.items())
    return f"{said}; not judged: {told}" if told else said
