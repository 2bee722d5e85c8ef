"""A validation as evidence: what it found at fault is never recommended, what it found well is said so. Pure."""

from dataclasses import replace

from tuning.knobs.feature import members
from tuning.offload.evidence import BAD, FeatureVerdict, Validation, Verdict
from tuning.recommend import Advice, Recommendation

# What a recommendation must not meet: to switch on what is of no use, and either position in which it goes wrong.
_USELESS: frozenset[Verdict] = frozenset({"claimed but not engaged", "refused", "not present"})


def weighed(advice: Advice, found: Validation) -> Advice:
    """The advice without what the validation speaks against; the reasons of the others have what it says of them.

    It says nothing of a feature's price, and recommends nothing by itself: a run does.
    """
    kept, rejected = [], list(advice.rejected)
    for each in advice.recommendations:
        rows = _rows(each, found)
        against = [row for row in rows if (row.verdict in BAD and each.value == (row.at or "on"))
                   or (row.verdict in _USELESS and each.value == "on")]  # fmt: skip
        if against:
            why = "; ".join(f"{row.feature} {row.verdict}" for row in against)
            rejected.append((f"{each.setting} {each.value}", f"its validation speaks against it: {why}"))
        else:
            said = "; ".join(f"{row.feature} {row.verdict}" for row in rows)
            kept.append(replace(each, reason=f"{each.reason} Validated: {said}.") if said else each)
    if advice.recommendations and not kept:
        sentence = "What won is spoken against by the validation of the NIC's offloads: change nothing."
        return Advice("nothing", sentence, (), tuple(rejected), advice.unresolved, "")
    return replace(advice, recommendations=tuple(kept), rejected=tuple(rejected))


def _rows(recommendation: Recommendation, found: Validation) -> list[FeatureVerdict]:
    names = members(recommendation.setting) or (recommendation.setting,)
    return [row for row in found.features if row.feature in names]
