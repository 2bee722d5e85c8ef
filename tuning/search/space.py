"""Which knobs a search turns on a path, and where: those of the catalogue that its symptoms let in and its lab has.

What is left out is told with the reason, so that nobody wonders why a favourite was not tried.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bench.facts.sheet import Sheets
from bench.labs.guests import ANEW
from bench.labs.lab import Lab, Target
from bench.labs.topology import PVE, STANDING
from bench.plan import SettingSpec
from tuning import standings
from tuning.knobs.candidates import offered_to_all
from tuning.knobs.catalogue import entries_for
from tuning.knobs.entry import NO_EFFECT, Disruption, Entry
from tuning.knobs.sysctl import CONGESTION_CONTROL
from tuning.knobs.table import LAB_ONLY, knob_for
from tuning.search.anchoring import PROBES_OWN, Refusal
from tuning.search.stages import Config, Cost, Factor, config

Symptoms = Mapping[str, Collection[Target]]  # what was seen -> on which part of the lab: guest, node or both


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
    symptoms: Symptoms,
    refusal: Refusal,
    most: Disruption = "d2",
    probes_own: bool = False,
    only: Collection[str] = (),
    owned: Mapping[str, str] | None = None,
    virtio: bool = False,
) -> Space:
    """The knobs that may help on this lab, each where it acts. `most` is the greatest disruption that is allowed.

    `only`: no others than these (words of a plan or ids), whatever their trigger. `probes_own`: the plan's probe
    chooses congestion control itself. `owned`: a program that writes knobs itself -> the machine that has it.
    `virtio`: the NICs of the path's ends are virtio's.
    """
    asked = {*only, *(each.id for word in only for each in entries_for(word))}
    readings = standings.of_lab(lab, now)
    found: dict[tuple[str, Target], tuple[int, Factor]] = {}  # by word and where
    left_out: list[tuple[str, str]] = []
    routes = lab.topology.routes or lab.topology.kind in {STANDING, PVE}
    for entry in entries:
        wanted = entry.id in asked
        if only and not wanted:
            continue
        at = "" if wanted else (owned or {}).get(entry.owner, "")
        why = f"{entry.owner} on {at} writes it: leave it to that" if at else ""
        why = why or _kept_out(entry, symptoms, most, probes_own=probes_own, wanted=wanted)
        why = why or (_OTHER_NICS if _inside(entry) and not virtio else "")
        if why:
            left_out += [(entry.id, why)] if why != _NOT_SEARCHED else []
            continue
        shown = _BOTH if wanted else symptoms.get(entry.symptom, _BOTH)
        for target, factor in _placed(entry, readings, refusal, symptoms, shown, routes=routes).items():
            if isinstance(factor, str):
                left_out.append((_row(entry, target), factor))
            elif (entry.setting, target) in found:
                rank, first = found[entry.setting, target]
                found[entry.setting, target] = (rank, _joined(first, factor))
            elif not any(word == entry.setting and "path" in (there, target) for word, there in found):
                found[entry.setting, target] = (_rank(entry, symptoms), factor)
    ordered = sorted(found.values(), key=lambda each: each[0])
    return Space(tuple(factor for _, factor in ordered), tuple(left_out))


_NOT_SEARCHED = "told, never turned by itself"
_OTHER_NICS = "the NICs of the path's ends are not virtio's, which alone take it without a reset"
_BOTH: tuple[Target, ...] = ("guest", "node")
_OF_ROUTES = re.compile(r"net\.ipv[46]\.")
_BRIDGED = "no effect by design: it acts on packets that are routed, and the nodes of this path bridge them"
_WHERE: Mapping[Target, str] = {"guest": "ends", "node": "nodes", "path": "path"}


def _inside(entry: Entry) -> bool:
    """Of a guest's own NIC: a page beside the one that a physical NIC has for the same word."""
    return entry.kind == "guest" and entry.scope == "device"


def _kept_out(entry: Entry, symptoms: Symptoms, most: Disruption, *, probes_own: bool, wanted: bool) -> str:
    """Why a knob is no factor whatever the lab has; "" where it may be one."""
    knob = knob_for(entry.setting)
    asked = (
        (entry.policy == "X", "it is never changed"),
        (not wanted and entry.policy not in {"A", "C"}, _NOT_SEARCHED),
        (not entry.setting, "nettune does not turn it: a plan has no word for it"),
        (not wanted and bool(entry.symptom) and entry.symptom not in symptoms, f"no sign of {entry.symptom}"),
        (not wanted and entry.policy == "C" and not entry.symptom, f"only where {entry.trigger}"),
        (entry.disruption > most, f"its disruption is {entry.disruption}; {most} is the most that is allowed"),
        (probes_own and entry.setting == CONGESTION_CONTROL, PROBES_OWN),
        (knob is None or entry.setting in LAB_ONLY, "only a lab has it"),
    )
    return next((why for out, why in asked if out), "")


def _placed(
    entry: Entry,
    readings: standings.Readings,
    refusal: Refusal,
    symptoms: Symptoms,
    shown: Collection[Target],
    *,
    routes: bool,
) -> Mapping[Target, Factor | str]:
    """Where the knob may act -> the factor, or why it is none there. `routes`: a node may look at what is in frames."""
    knob = knob_for(entry.setting)
    if knob is None:
        return {}
    targets = _targets(entry, knob.target, shown, readings)
    there = {each: _there(entry.setting, readings[each]) for each in targets}
    if not any(there.values()):
        return {knob.target: "this path has it nowhere"}
    found: dict[Target, Factor | str] = {}
    for target, values in there.items():
        if entry.endpoint and target == "node":
            found |= {target: f"no effect by design: {NO_EFFECT}"} if values else {}
        elif target == "node" and not routes and _OF_ROUTES.match(entry.setting):
            found |= {target: _BRIDGED} if values else {}
        elif target != "path" and target not in shown:
            found[target] = f"no sign of {entry.symptom} on the {_WHERE[target]}"
        elif not values:
            found[target] = f"the {_WHERE[target]} have it not"
        else:
            own = None if target == knob.target else target
            found[target] = _factor(entry, own, values, refusal, symptoms, _beside(entry, own, readings))
    return found


def _targets(entry: Entry, own: Target, shown: Collection[Target], readings: standings.Readings) -> tuple[Target, ...]:
    """The parts of the lab that are asked: a setting of every device acts on one part where its symptom shows there."""
    if _inside(entry) or entry.scope == "guest":
        return ("guest",)
    if own == "path" and len(shown) == 1 and readings["guest"] and readings["node"]:
        return tuple(shown)
    return _BOTH if own == "guest" and readings["node"] else (own,)


def _there(setting: str, where: Collection[standings.Reading]) -> tuple[str, ...]:
    """What stands there now, of every host and device that has it."""
    return tuple(value for each in where for value in standings.values(setting, each).values())


def _factor(
    entry: Entry,
    target: Target | None,
    there: Collection[str],
    refusal: Refusal,
    symptoms: Symptoms,
    beside: Config,
) -> Factor | str:
    """The knob as a factor, or why it cannot be one here."""
    now = ", ".join(dict.fromkeys(there))
    if not entry.candidates:
        return f"nothing is known that is worth trying beside {now}"
    offered = offered_to_all(entry, tuple(there))
    values = [value for value in offered if not (entry.kind == "feature" and value == "off")]
    if not values:
        if offered:
            return f"it is {now}: what it is worth `nettune offload validate` says"
        return f"no candidate is above {now}" if entry.maximum else f"nothing to try beside {now}"
    reasons = {value: refusal(*config(SettingSpec(entry.setting, value, target), *beside)) for value in values}
    able = tuple(value for value in values if not reasons[value])
    if not able:
        return next(iter(reasons.values()))
    why = next((each for each in (entry.symptom, entry.first_under) if each in symptoms), entry.trigger)
    cost: Cost = "restart" if entry.setting in ANEW else "relink" if entry.disruption >= "d3" else "none"
    return Factor(entry.id, entry.setting, able, target, entry.maximum, why, cost, beside)


def _beside(entry: Entry, target: Target | None, readings: standings.Readings) -> Config:
    """What is set with it there: what that part of the path has, and has otherwise."""
    found = []
    for word, value in entry.beside:
        knob = knob_for(word)
        if knob is not None and any(now != value for now in _there(word, readings[target or knob.target])):
            found.append(SettingSpec(word, value, target))
    return config(*found)


def _joined(one: Factor, other: Factor) -> Factor:
    """Two pages of the catalogue on one word, as of fq and fq_codel: the values of both."""
    return replace(one, values=tuple(dict.fromkeys((*one.values, *other.values))))


def _row(entry: Entry, target: Target) -> str:
    """What a knob that is left out is called: by its id, and where that is not its own place by that too."""
    knob = knob_for(entry.setting)
    return entry.id if knob is None or target == knob.target else f"{entry.id} on the {target}"


def _rank(entry: Entry, symptoms: Collection[str]) -> int:
    """What a symptom points at first; then what new sockets feel, then queues, then devices."""
    if {entry.symptom, entry.first_under} & set(symptoms):
        return 0
    order: Mapping[str, int] = {"sysctl": 1, "qdisc": 2, "queue": 3, "channel": 3, "link": 4}
    return order.get(entry.kind, 5)
