"""What the arms amount to, feature by feature. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tuning.offload import bitmaps, blaming, features
from tuning.offload.bitmaps import Bits
from tuning.offload.blaming import Blame, Named, concerns, faults, hit, moved_features, named, sorts, unsteady, way
from tuning.offload.cases import Result, Word, judged, sound
from tuning.offload.evidence import Benefit, FeatureVerdict, Level, Observed, Verdict
from tuning.offload.features import Shown
from tuning.offload.inventory import Nic

_MERGED_LEAST = 0.5
_ON_LEAST, OFF_MOST = 0.9, 0.05  # of bytes or packets: TSO of tools/testing/selftests/drivers/net/hw/tso.py
_PACKETS_LEAST, _BYTES_LEAST = 10, 15_000  # what merges well comes in fewer packets: there bytes are enough, too
# It hands on as large as it gets (VIRTIO_NET_F_GUEST_TSO4): what is to be merged, others must have.
_MERGES_NOTHING = ("virtio_net",)
_SIGNS: Mapping[features.Sign, str] = {
    "super": "of bytes in packets above the MTU",
    "partial": "of packets with their checksum left to the device",
    "valid": "of packets with their checksum found right by the device",
    "beside": "of packets with their tag left to the device",
    "hashed": "of packets with a hash",
}
VERDICTS: Mapping[Word, Verdict] = {"ok": "works", "corrupts": "corrupts", "hangs": "hangs", "drops": "drops"}


def engaged(feature: str, observed: Sequence[Observed], nic_end: str, driver: str = "") -> tuple[Verdict | str, str]:
    """Whether packets show the feature at work while on, and not while off: "ok", or a verdict; with the evidence."""
    shown = features.SHOWN.get(feature)
    if shown is None:
        return "can't be judged here", features.why_unshown(feature)
    arm = next((each for each in observed if each.arm.feature == feature and each.results), None)
    if arm is None:
        return "can't be judged here", _unloaded(observed, shown.case)
    base = next(each for each in observed if not each.arm.feature and each.arm.ground == arm.arm.ground)
    on, off = (arm, base) if arm.arm.value == "on" else (base, arm)
    shown_on, why_on = share(on, feature, shown, nic_end)
    shown_off, why_off = share(off, feature, shown, nic_end)
    if shown_on is None or shown_off is None:
        return "can't be judged here", f"while {'on' if shown_on is None else 'off'}: {why_on or why_off}"
    said = f"{_SIGNS[shown.sign]}: {shown_on:.1%} while on, {shown_off:.1%} while off"
    if shown_off >= OFF_MOST and (why := _shown_anyway(feature, off, nic_end)):
        return "can't be judged here", f"{said}; {why}"
    word = _engaged(feature, shown_on, shown_off)
    if word == "claimed but not engaged" and (why := _unshown_anyway(feature, on, nic_end, driver)):
        return "can't be judged here", f"{said}; {why}"
    return word, said


def _shown_anyway(feature: str, off: Observed, nic_end: str) -> str:
    """Why packets show a feature that is off, where somebody else does the same; "" where nobody does."""
    if features.SHOWN[feature].sign == "hashed":
        return "the kernel computes one too, for RPS or, where no wire is, at the other end"
    sent = feature in features.BY_DEVICE and _sent_large(off, feature, features.SHOWN[feature], nic_end)
    return "the other end sends them so, and no wire cuts them up" if sent else ""


def _unshown_anyway(feature: str, on: Observed, nic_end: str, driver: str) -> str:
    """Why packets need not show a feature that is at work; "" where they must."""
    shown = features.SHOWN[feature]
    if shown.sign == "valid":
        # CHECKSUM_COMPLETE (mlx5, and others): the device gives the sum, and the kernel compares it later.
        return "a device that gives the sum alone shows nothing else"
    if feature == "rx-gro":
        return "packets that come one by one cannot be merged"
    hands_on = driver in _MERGES_NOTHING and feature in features.BY_DEVICE
    none = hands_on and not _sent_large(on, feature, shown, nic_end)
    return f"the other end sends none, and {driver} merges nothing itself" if none else ""


def _unloaded(observed: Sequence[Observed], case: str) -> str:
    """Why a feature was not toggled under load: what its case goes through cannot be here."""
    judgements = (judged(each) for arm in observed for each in arm.results if each.case.name == case)
    why = next((said for word, said in judgements if word == "can't be judged here"), "")
    return why or "it was not toggled under load"


def _engaged(feature: str, on: float, off: float) -> Verdict | str:
    if off >= OFF_MOST:
        return "engaged though off" if off >= _ON_LEAST else "can't be judged here"
    # What comes one by one cannot be merged; what the kernel merges is what one interrupt brings: some of it is enough.
    least = OFF_MOST if feature == "rx-gro" else _MERGED_LEAST if feature in features.BY_DEVICE else _ON_LEAST
    if on >= least:
        return "ok"
    return "claimed but not engaged" if on < _MERGED_LEAST else "can't be judged here"


def _result(observed: Observed, feature: str, shown: Shown, nic_end: str) -> Result | None:
    """That of the case in which a feature is to be seen, in its direction."""
    case, direction = shown.case, features.direction(feature)
    every = [each for each in (*observed.results, *observed.repeated)
             if each.case.name == case and way(each.case.flow, nic_end) == direction]  # fmt: skip
    return next((each for each in every if sound(each)), every[0] if every else None)


def _sent_large(observed: Observed, feature: str, shown: Shown, nic_end: str) -> bool:
    """Whether the sender of that case hands packets above the MTU to its device."""
    result = _result(observed, feature, shown, nic_end)
    sent = (result.sender.get("watched") if result else None) or {}
    return bool(sent.get("super_bytes", 0) > OFF_MOST * sent.get("bytes", 1))


def share(observed: Observed, feature: str, shown: Shown, nic_end: str) -> tuple[float | None, str]:
    """How much of a case's traffic shows the sign at the NIC; None with the reason where that says nothing."""
    direction = features.direction(feature)
    result = _result(observed, feature, shown, nic_end)
    if result is None:
        return None, f"the exchange has no {shown.case}"
    if (found := judged(result))[0] == "can't be judged here":
        return None, found[1]
    seen = (result.sender if direction == "tx" else result.taker).get("watched") or {}
    by_bytes = shown.sign == "super" and seen.get("bytes", 0) >= _BYTES_LEAST
    if seen.get("packets", 0) < _PACKETS_LEAST and not by_bytes:
        return None, f"{seen.get('packets', 0)} packets with payload were seen"
    if direction == "rx":
        by_kernel = shown.sign == "super" and feature not in features.BY_DEVICE
        if by_kernel and _sent_large(observed, feature, shown, nic_end):
            return None, "the other end sends packets above the MTU already, as no wire carries them"
        if shown.sign == "valid" and seen["partial"] > OFF_MOST * seen["packets"]:
            return None, "packets come with a checksum that nobody has computed, as no wire carries them"
    count = seen["super_bytes"] / seen["bytes"] if shown.sign == "super" else seen[shown.sign] / seen["packets"]
    return count, ""


def verdict(
    feature: str,
    nic: Nic,
    observed: Sequence[Observed],
    nic_end: str,
    asked: frozenset[Level],
    blame: Mapping[str, Blame],
    benefit: Benefit | None,
) -> FeatureVerdict:
    """One row of the matrix; `blame` has the features at fault."""
    said: dict[Level, str] = {}
    word: Verdict | None = None
    at, ill = "", ""
    value = nic.features.get(feature)
    arm = next((each for each in observed if each.arm.feature == feature), None)
    if value is None or value == "off [fixed]":
        why = f"off for good{_because(feature, nic)}" if value else "neither the kernel nor the driver knows of it"
        return FeatureVerdict(feature, features.direction(feature), "not present", {"negotiation": why})
    if arm is None:
        why = f"on for good{_because(feature, nic)}"
        why = why if "[fixed]" in value else "it is never toggled, or was not asked for"
        return FeatureVerdict(feature, features.direction(feature), "can't be judged here", {"negotiation": why})
    said["negotiation"] = toggle_said(arm, nic)
    if arm.toggled != "ok":
        other: Mapping[str, Verdict] = {"refused": "refused", "hangs": "hangs"}
        word = other.get(arm.toggled, "can't be judged here")
        at = arm.arm.value if word == "hangs" else ""
    if (fault := blame.get(feature)) is not None and word is None:
        said["function"] = fault.said
        word, at = VERDICTS[fault.word], fault.value
    elif "function" in asked and arm.results:
        ill = _unlaid(observed, arm, nic_end) or _ill(observed, arm, nic_end, blaming.explained(blame))
        said["function"] = ill or _sent(observed, arm, nic_end)
        word = word or ("can't be judged here" if ill else None)
    if "engaged" in asked:
        found, why = engaged(feature, observed, nic_end, nic.driver)
        said["engaged"] = why
        if word is None and found not in {"ok", "can't be judged here"}:
            word = found  # type: ignore[assignment] # one of Verdict
        shown = found == "ok"
    else:
        shown = False
    if benefit is not None:
        said["benefit"] = benefit.said
    word = word or _worth(shown, asked, benefit, arm)
    effect = benefit.effect_pct if benefit is not None else ()
    return FeatureVerdict(feature, features.direction(feature), word, said, at, bool(ill), effect)


def under_forwarding(row: FeatureVerdict, nic: Nic, *, forwards: bool) -> FeatureVerdict:
    """LRO's row where the device forwards: what it merges is larger than what may leave, so the kernel has it off."""
    if row.feature != "rx-lro" or not forwards or nic.features.get("rx-lro", "off [fixed]") == "off [fixed]":
        return row
    if nic.features["rx-lro"].startswith("on"):
        said: Mapping[Level, str] = {**row.evidence, "function": "on though the device forwards what it merges"}
        return replace(row, verdict="works but harms", evidence=said)
    why = "the kernel keeps it off while the device forwards, and it is not switched on there"
    return replace(row, verdict="can't be judged here", evidence={**row.evidence, "function": why})


def _because(feature: str, nic: Nic) -> str:
    why = bitmaps.fixed(feature, nic.bits)
    return f": {why}" if why else ""


def _unlaid(observed: Sequence[Observed], arm: Observed, nic_end: str) -> str:
    """What goes wrong with a toggle and not on its ground, and is not laid to it, in words."""
    ill = frozenset(sort for each in _bases(observed, arm) for sort in hit(each))
    of = sorts(arm)
    found = ((case, said) for case, (_, said) in faults(arm).items() if concerns(arm, case, nic_end))
    case, said = next(((case, said) for case, said in found if of[case] not in ill), (None, ""))
    why = "it is not laid to it: as found not all came whole, or it came to be so meanwhile"
    return f"{named(case)} with {arm.arm.name}: {said}; {why}" if case else ""


def _bases(observed: Sequence[Observed], arm: Observed) -> list[Observed]:
    return [each for each in observed if not each.arm.feature and each.arm.ground == arm.arm.ground and each.results]


def _sent(observed: Sequence[Observed], arm: Observed, nic_end: str) -> str:
    """What became of payload, of a feature that no fault is laid to."""
    bases = _bases(observed, arm)
    case = next((case for each in bases for case in faults(each) if concerns(arm, case, nic_end)), None)
    if case is None:
        return "payload as sent with it on and off"
    either = "goes wrong either way" if sorts(bases[0]).get(case) in hit(arm) else f"goes wrong without {arm.arm.name}"
    return f"payload as sent with {arm.arm.name}, but {named(case)} {either}"


def _ill(observed: Sequence[Observed], arm: Observed, nic_end: str, explained: Collection[Named]) -> str:
    """Why nothing can be said of a feature that is not at fault: its kind of payload goes wrong whatever is set."""
    shown = features.SHOWN.get(arm.arm.feature)
    for each in (arm, *(base for base in observed if not base.arm.feature)):
        of = sorts(each)
        kinds = {result.case.sort[1:] for result in each.results if shown and result.case.name == shown.case}
        steady = {} if each is arm else {case: f"with it on and off ({named(case)}: {word})" for case, (word, _) in
                                         faults(each).items() if case not in explained}  # fmt: skip
        at_times = {case: f"at times: {named(case)}, {each.arm.name}: {said}" for case, said in unsteady(each).items()}
        for case, said in (steady | at_times).items():
            if (shown is None or of[case][1:] in kinds) and concerns(arm, case, nic_end):
                return f"payload goes wrong {said}"
    return ""


def _worth(shown: bool, asked: frozenset[Level], benefit: Benefit | None, arm: Observed) -> Verdict:
    """What a feature without fault amounts to: what it is worth, else whether it was seen at work."""
    worth: Mapping[str, Verdict] = {"helps": "works and helps", "harms": "works but harms",
                                    "no visible effect": "works, no visible effect"}  # fmt: skip
    if benefit is not None and benefit.word in worth and (shown or benefit.word != "no visible effect"):
        return worth[benefit.word]
    if shown or ("engaged" not in asked and arm.results) or asked.isdisjoint({"function", "engaged"}):
        return "works"
    return "can't be judged here"


def toggle_said(observed: Observed, nic: Nic) -> str:
    """A toggle in words: what it came to, what went with it."""
    if observed.toggled != "ok":
        return f"{observed.arm.name}: {observed.said}"
    others = sorted(moved_features(observed, nic) - {observed.arm.feature})
    also = f"; moves {', '.join(others)} as well" if others else ""
    dragged = resets(observed)
    also += f"; resets {'; '.join(dragged[:3])}" if dragged else ""
    also += f"; {'; '.join(bitmaps.words(less))}" if (less := shrunk(observed)) else ""
    also += f"; carrier changed {observed.flaps} times" if observed.flaps else ""
    return f"{observed.arm.name} took {observed.took_s:.2f} s{also}"


def shrunk(observed: Observed) -> Bits:
    """What a toggle moved in the bitmaps that none should: what can be changed at all."""
    return {name: signs for name, signs in observed.bits.items() if name in {"hw", "nochange"}}


def resets(observed: Observed) -> list[str]:
    """Facts that are no feature and moved with a toggle, but for sizes that follow a feature by design."""
    sizes = ("gso_", "tso_", "gro_")
    return [
        str(each)
        for each in observed.moved
        if not each.key.startswith("feature/")
        and not (each.key.startswith("link/") and each.key.rpartition("/")[2].startswith(sizes))
    ]
