"""Which knobs a search turns on a path: those of the catalogue that its symptoms let in and that its lab has.

What is left out is told with the reason, so that nobody wonders why a favourite was not tried.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.facts.sheet import Sheets
from bench.labs.guests import ANEW
from bench.labs.lab import Lab
from bench.plan import SettingSpec
from tuning import standings
from tuning.knobs.candidates import offered_to_all
from tuning.knobs.entry import NO_EFFECT, Disruption, Entry
from tuning.knobs.sysctl import CONGESTION_CONTROL
from tuning.knobs.table import LAB_ONLY, knob_for
from tuning.search.anchoring import PROBES_OWN, Refusal
from tuning.search.stages import Cost, Factor


@dataclass(frozen=True, slots=True)
class Space:
    """The factors of a search, the most promising first, and (knob, why) of what is left out."""

    factors: tuple[Factor, ...]
    left_out: tuple[tuple[str, str], ...]


def space(
    entries: Collection[Entry],
    lab: Lab,
    now: Sheets,
    *,
    symptoms: Collection[str],
    refusal: Refusal,
    most: Disruption = "d2",
    probes_own: bool = False,
    only: Collection[str] = (),
    owned: Mapping[str, str] | None = None,
) -> Space:
    """The knobs that may help on this lab. `most` is the greatest disruption that is allowed.

    `only`: no others than these (words of a plan or ids), whatever their trigger. `probes_own`: the plan's probe
    chooses congestion control itself. `owned`: a program that writes knobs itself -> the machine that has it.
    """
    readings = standings.of_lab(lab, now)
    found: list[tuple[int, Factor]] = []
    left_out: list[tuple[str, str]] = []
    taken: set[str] = set()
    for entry in entries:
        wanted = entry.id in only or entry.setting in only
        if not entry.setting or entry.setting in taken or (only and not wanted):
            continue
        at = "" if wanted else (owned or {}).get(entry.owner, "")
        why = f"{entry.owner} on {at} writes it: leave it to that" if at else ""
        why = why or _kept_out(entry, symptoms, most, probes_own=probes_own, wanted=wanted)
        if why:
            left_out += [(entry.id, why)] if why != _NOT_SEARCHED else []
            continue
        factor = _factor(entry, readings, refusal, symptoms)
        if isinstance(factor, str):
            left_out.append((entry.id, factor))
        else:
            taken.add(entry.setting)
            found.append((_rank(entry, symptoms), factor))
    found.sort(key=lambda each: each[0])
    return Space(tuple(factor for _, factor in found), tuple(left_out))


_NOT_SEARCHED = "told, never turned by itself"


def _kept_out(entry: Entry, symptoms: Collection[str], most: Disruption, *, probes_own: bool, wanted: bool) -> str:
    """Why a knob is no factor whatever the lab has; "" where it may be one."""
    knob = knob_for(entry.setting)
    asked = (
        (entry.policy == "X", "it is never changed"),
        (not wanted and entry.policy not in {"A", "C"}, _NOT_SEARCHED),
        (not wanted and bool(entry.symptom) and entry.symptom not in symptoms, f"no sign of {entry.symptom}"),
        (not wanted and entry.policy == "C" and not entry.symptom, f"only where {entry.trigger}"),
        (entry.disruption > most, f"its disruption is {entry.disruption}; {most} is the most that is allowed"),
        (probes_own and entry.setting == CONGESTION_CONTROL, PROBES_OWN),
        (knob is None or entry.setting in LAB_ONLY, "only a lab has it"),
        (entry.endpoint and knob is not None and knob.target == "node", NO_EFFECT),
    )
    return next((why for out, why in asked if out), "")


def _factor(entry: Entry, readings: standings.Readings, refusal: Refusal, symptoms: Collection[str]) -> Factor | str:
    """The knob as a factor, or why it cannot be one here."""
    knob = knob_for(entry.setting)
    if knob is None:
        return "nettune does not turn it"
    there = [value for each in readings[knob.target] for value in standings.values(entry.setting, each).values()]
    if not there:
        return "this path has it nowhere"
    values = [value for value in offered_to_all(entry, there) if not (entry.kind == "feature" and value == "off")]
    if not values:
        now = ", ".join(dict.fromkeys(there))
        return f"no candidate is above {now}" if entry.maximum else f"nothing to try beside {now}"
    reasons = {value: refusal(SettingSpec(entry.setting, value, None)) for value in values}
    able = tuple(value for value in values if not reasons[value])
    if not able:
        return next(iter(reasons.values()))
    why = next((each for each in (entry.symptom, entry.first_under) if each in symptoms), entry.trigger)
    cost: Cost = "restart" if entry.setting in ANEW else "relink" if entry.disruption >= "d3" else "none"
    return Factor(entry.id, entry.setting, able, None, numeric=entry.maximum, why=why, cost=cost)


def _rank(entry: Entry, symptoms: Collection[str]) -> int:
    """What a symptom points at first; then what new sockets feel, then queues, then devices."""
    if {entry.symptom, entry.first_under} & set(symptoms):
        return 0
    order: Mapping[str, int] = {"sysctl": 1, "qdisc": 2, "queue": 3, "channel": 3, "link": 4}
    return order.get(entry.kind, 5)
