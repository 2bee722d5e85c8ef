"""Level 5: what a feature is worth. An ordinary run, in which each feature in its other position is a treatment. Pure.

The run loop measures and the judgement judges; here are the plan's treatments, and what the verdicts say of features.
Both ends' devices are set: a setting of one end alone is no target of plans.
"""

from collections.abc import Collection, Mapping, Sequence

from results.records import Comparison, Judgement
from results.units import interval, percent
from tuning.offload import features
from tuning.offload.evidence import Benefit
from tuning.offload.inventory import Nic

# What one TCP connection over IPv4 feels: SHOWN's by `tcp4`, and what those rest on.
FELT = (*(name for name, shown in features.SHOWN.items() if shown.case == "tcp4"), "tx-scatter-gather",
        "tx-generic-segmentation")  # fmt: skip
_BESIDE = {"goodput": "goodput", "cpu_per_10gbit": "CPU per 10 Gbit/s", "rtt_p99": "p99 RTT"}
_WAYS = {  # by the end of the NIC: forward is from a to b
    "a": {"goodput_forward": "goodput out", "goodput_reverse": "goodput in"},
    "b": {"goodput_forward": "goodput in", "goodput_reverse": "goodput out"},
}


def treatments(
    nic: Nic, other: Nic, only: Sequence[str] = (), *, without: Collection[str] = ()
) -> dict[str, dict[str, object]]:
    """The plan's treatments by name: every feature that both ends can change and TCP feels, in its other position.

    `without` are those at fault, which are not loaded any more.
    """
    found: dict[str, dict[str, object]] = {}
    for name in sorted(FELT, key=features.rank):
        if name in nic.free and name in other.free and name not in without and (not only or name in only):
            value = nic.turned(name)
            if other.features[name].split()[0] == nic.features[name].split()[0]:
                found[treatment(name, value)] = {"settings": {name: value}, "target": "guest"}
    return found


def treatment(feature: str, value: str) -> str:
    """Its name in the plan."""
    return f"{'with' if value == 'on' else 'no'}-{feature}"


def judged(nic: Nic, judgement: Judgement, skipped: Mapping[str, str]) -> dict[str, Benefit]:
    """What each feature is worth; `skipped` has the reasons of treatments that could not be held, by name."""
    found: dict[str, Benefit] = {}
    for name in FELT:
        value = nic.turned(name)
        of_it = [each for each in judgement.comparisons if each.treatment == treatment(name, value)]
        if why := skipped.get(treatment(name, value)):
            found[name] = Benefit("can't be judged here", why)
        elif primary := next((each for each in of_it if each.primary), None):
            others = [each for each in of_it if not each.primary]
            found[name] = _worth(primary, _beside(others, nic.host), on=value == "on")
    return found


def _worth(primary: Comparison, beside: Sequence[str], *, on: bool) -> Benefit:
    """`on`: the treatment switched it on; else off, so that what is worse under it is better with the feature."""
    effect = f"{percent(primary.effect_pct)} {interval(primary.ci_low_pct, primary.ci_high_pct)}"
    said = f"{primary.metric} with it {'on' if on else 'off'}: {effect}, n = {primary.blocks}"
    said += "".join(f"; {each}" for each in beside) + " (both ends)"
    if primary.effect_pct is None:
        return Benefit("can't be judged here", f"{primary.metric}: {primary.reason}")
    effect_pct = _of_on(primary, on=on)
    if primary.verdict in {"better", "worse"}:
        return Benefit("helps" if (primary.verdict == "better") == on else "harms", said, effect_pct)
    seen = f"; it could have seen {percent(primary.visible_effect_pct, signed=False)} or more"
    told = said + (seen if primary.visible_effect_pct is not None else "")
    return Benefit("no visible effect", told, effect_pct)


def _of_on(primary: Comparison, *, on: bool) -> tuple[float, ...]:
    """Estimate, low and high of having it on, whichever position the treatment was; in percent."""
    low, high = (primary.ci_low_pct, primary.ci_high_pct) if on else (primary.ci_high_pct, primary.ci_low_pct)
    found = [each for each in (primary.effect_pct, low, high) if each is not None and each > -100]
    if len(found) < 3:
        return ()
    return tuple(round(each if on else 100 * (100 / (100 + each) - 1), 2) for each in found)


def _beside(others: Sequence[Comparison], nic_end: str) -> list[str]:
    """What else moved, each with its interval, either way alone included; of what did not surely move the names."""
    words = {**_BESIDE, **_WAYS[nic_end]}
    moved, still = list[str](), list[str]()
    for each in others:
        probe, _, word = each.metric.rpartition(".")
        if word not in words or each.effect_pct is None or each.ci_low_pct is None or each.ci_high_pct is None:
            continue
        name = f"{words[word]} of {probe}"
        if each.ci_low_pct <= 0 <= each.ci_high_pct:
            still.append(name)
        else:
            moved.append(f"{name} {percent(each.effect_pct)} {interval(each.ci_low_pct, each.ci_high_pct)}")
    return [*moved, *([f"not seen to move: {', '.join(still)}"] if still else [])]
