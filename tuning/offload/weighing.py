"""A validation as evidence: what it found at fault is never recommended, what it found well is said so. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from bench.facts.hardware import kept_of_nics
from tuning.knobs.feature import members
from tuning.offload.evidence import BAD, FeatureVerdict, Validation, Verdict
from tuning.recommend import Advice, Recommendation

# What a recommendation must not meet: to switch on what is of no use, and either position in which it goes wrong.
_USELESS: frozenset[Verdict] = frozenset({"claimed but not engaged", "refused", "not present"})


def another(machine: Mapping[str, str], found: Validation) -> str:
    """How the NIC of a validation is another than the one that a run measured, in words; "" where nothing says so.

    `machine` are the facts that the run keeps. Of namespaces and guests they tell no NIC: there nothing can be told.
    """
    nic = found.nic
    there = kept_of_nics(machine, "driver")
    own = sorted(device for host, device in there if host == nic.host)
    if own and nic.device not in own:
        return f"it is of {nic.host}.{nic.device}, and the run measured {nic.host}.{', '.join(own)}"
    known = {word: kept_of_nics(machine, word).get((nic.host, nic.device), "") for word in ("driver", "firmware")}
    known["kernel"] = machine.get(f"kernel of {nic.host}", "")
    return "; ".join(
        f"its {word} is {nic.identity[word]}, and the run measured {value}"
        for word, value in known.items()
        if value and nic.identity.get(word, value) != value
    )


def weighed(advice: Advice, found: Validation) -> Advice:
    """The advice without what the validation speaks against; the reasons of the others have what it says of them.

    What was measured together stands or falls together: nobody has measured the rest of an arm without a part of it.
    It says nothing of a feature's price, and recommends nothing by itself: a run does.
    """
    against = {each: why for each in advice.recommendations if (why := _against(each, found))}
    arms = {each.evidence.treatment: each for each in against}
    kept, rejected = [], list(advice.rejected)
    for each in advice.recommendations:
        if each in against:
            rejected.append((_named(each), f"its validation speaks against it: {against[each]}"))
        elif each.evidence.treatment in arms:
            with_it = _named(arms[each.evidence.treatment])
            rejected.append((_named(each), f"it was measured together with {with_it}, which is not recommended"))
        else:
            said = "; ".join(f"{row.feature} {row.verdict}" for row in _rows(each, found))
            kept.append(replace(each, reason=f"{each.reason} Validated: {said}.") if said else each)
    if not against:
        return replace(advice, recommendations=tuple(kept))
    why = "; ".join(f"{_named(each)} ({said})" for each, said in against.items())
    if not kept:
        sentence = f"What won is spoken against by the validation of the NIC's offloads: change nothing. {why}."
        return replace(advice, status="nothing", sentence=sentence, recommendations=(), rejected=tuple(rejected),
                       next_command="")  # fmt: skip
    # `run --confirm` would measure all winners together again, those that are spoken against among them.
    sentence = f"{advice.sentence} Left out, as the validation speaks against it: {why}; the rest has no figure yet."
    return replace(advice, status="candidate", sentence=sentence, recommendations=tuple(kept),
                   rejected=tuple(rejected), next_command="")  # fmt: skip


def _named(each: Recommendation) -> str:
    return f"{each.setting} {each.value}"


def _against(each: Recommendation, found: Validation) -> str:
    """What the validation says against a setting, in words; "" for nothing."""
    return "; ".join(
        f"{row.feature} {row.verdict}"
        for row in _rows(each, found)
        if (row.verdict in BAD and each.value == (row.at or "on")) or (row.verdict in _USELESS and each.value == "on")
    )


def _rows(recommendation: Recommendation, found: Validation) -> list[FeatureVerdict]:
    names = members(recommendation.setting) or (recommendation.setting,)
    return [row for row in found.features if row.feature in names]
