"""Profiles as arms of a plan: added when it is ordered, cut down to what can be measured once its labs stand."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bench import plan as plans
from bench.document import NAME, from_plain
from bench.facts.hardware import is_virtual
from bench.labs.guests import ANEW
from bench.labs.lab import Lab
from bench.plan import Plan, SettingSpec
from bench.plan_settings import written
from bench.probes.iperf3 import Tcp
from results.errors import NotAble, WrongInput
from tuning.journal import Journal
from tuning.knobs.sysctl import CONGESTION_CONTROL, sysctl_key
from tuning.knobs.table import check
from tuning.profile import Profile
from tuning.standings import Readings, Treated, as_treatment, of_lab, spec
from tuning.treatments import treatments

Skipped = tuple[tuple[str, str], ...]  # (what, why)
_PROBES_OWN = "the tcp probe of the plan chooses its congestion control itself, which would override this"


def arm(profile: Profile) -> str:
    """What a profile's treatment is called in a plan: its name, as far as a plan takes that."""
    if NAME.fullmatch(profile.name):
        return profile.name
    return re.sub(r"[^a-z0-9._-]+", "-", profile.name.lower()).strip("-._")[:40] or "profile"


def added(plan: Plan, profiles: Sequence[Profile]) -> Plan:
    """The plan with one treatment per profile, all its settings in it. Raises WrongInput where that cannot be."""
    for profile in profiles:
        name = arm(profile)
        if name in plan.treatments:
            raise WrongInput(
                f"plan {plan.name} has a treatment {name!r} already, and the profile's would be called the same",
                hint="give the profile another name",
            )
        kept = _without_probes_own(plan, [spec(each) for each in profile.settings])
        if not kept:
            raise WrongInput(f"profile {profile.name} has no setting that plan {plan.name} could measure")
        plan = _with(plan, name, kept)
    return plan


def settled(
    plan: Plan, profiles: Sequence[Profile], labs: Mapping[str, Lab], journal: Journal
) -> tuple[Plan, Skipped, tuple[str, ...]]:
    """The plan with only those settings of its profiles that every lab has and that change something there.

    What is left out stands in the second value, with the reason; what a report must say of each profile in the third.
    Raises NotAble where nothing of a profile is left to measure.
    """
    skipped: list[tuple[str, str]] = []
    notes = []
    for given in profiles:
        profile = placed(given, plan, labs.values())
        name = arm(profile)
        left_out = _left_out(plan, profile, labs, journal)
        kept = [each for each in map(spec, profile.settings) if (each.setting, each.target) not in left_out]
        skipped += [(f"{name}: {setting}", why) for (setting, _), why in left_out.items()]
        if not kept:
            said = "; ".join(f"{setting}: {why}" for (setting, _), why in left_out.items())
            raise NotAble(
                f"nothing of profile {profile.name} is left to measure here: {said}",
                hint=f"`nettune profile check {profile.name}` says how it stands on a host",
            )
        plan = _with(plan, name, kept)
        notes.append(
            f"Treatment {name} is the profile {profile.name} ({profile.label}): {len(kept)} of its "
            f"{len(profile.settings)} settings were measured here."
        )
    return plan, tuple(skipped), tuple(notes)


def placed(profile: Profile, plan: Plan, labs: Collection[Lab]) -> Profile:
    """The profile as it acts between machines that stand with none between them: those are its nodes themselves.

    What it has for the ends already keeps the value for them.
    """
    if plan.inventory is None or any(lab.nodes or _between_guests(plan, lab) for lab in labs):
        return profile
    of_ends = {each.setting for each in profile.settings if each.target == "guest"}
    return replace(profile, settings=tuple(
        replace(each, target="guest") if each.target == "node" and each.setting not in of_ends else each
        for each in profile.settings
    ))  # fmt: skip


def treated(profile: Profile, plan: Plan, lab: Lab, readings: Readings) -> Treated:
    """What of a profile, as `placed` has it, is worth an arm on a standing lab, and what is left out of it."""
    metal = profile.fits.virtual == "off"
    return as_treatment(profile, readings, ends_on_host=not (metal and _between_guests(plan, lab)))


def _left_out(plan: Plan, profile: Profile, labs: Mapping[str, Lab], journal: Journal) -> dict[tuple[str, str], str]:
    """(setting, target) -> why, of what cannot be measured on one of the labs; said once where all have the same."""
    taken = _without_probes_own(plan, [spec(each) for each in profile.settings])
    found: dict[tuple[str, str], dict[str, str]] = {
        (each.setting, each.target): {"": _PROBES_OWN} for each in profile.settings if spec(each) not in taken
    }
    for topology, lab in labs.items():
        now = lab.read()
        held = treated(profile, plan, lab, of_lab(lab, now))
        for where, why in held.skipped:
            found.setdefault(where, {}).setdefault(topology, why)
        for each in held.settings:
            (alone,) = treatments({"alone": [each]}, journal)
            # What starts guests anew is asked of guests that were (bench.ready).
            if each.setting not in ANEW and (why := alone.refusal(lab, now)):
                found.setdefault((each.setting, each.target or ""), {}).setdefault(topology, why)
    return {where: _said(whys, len(labs)) for where, whys in found.items()}


def _between_guests(plan: Plan, lab: Lab) -> bool:
    """Whether the path's ends are virtual machines: made by us, or such that stand."""
    if plan.inventory is not None:
        return any(is_virtual(end.host) for end in lab.endpoints)
    return plan.guests is not None or plan.deployment is not None


def _said(whys: Mapping[str, str], labs: int) -> str:
    """The reason, with the topologies that have it where others have another or none."""
    different = dict.fromkeys(whys.values())
    if len(different) == 1 and ("" in whys or len(whys) == labs):
        return next(iter(different))
    return "; ".join(f"{why} ({', '.join(name for name, told in whys.items() if told == why)})" for why in different)


def _without_probes_own(plan: Plan, specs: Sequence[SettingSpec]) -> list[SettingSpec]:
    """Without congestion control where a tcp probe chooses its own: the plan's reader refuses that."""
    fixed = any(isinstance(each, Tcp) and each.preferred for each in plan.probes)
    return [each for each in specs if not (fixed and sysctl_key(each.setting) == CONGESTION_CONTROL)]


def _with(plan: Plan, name: str, specs: Sequence[SettingSpec]) -> Plan:
    settings = written(specs)
    given = plan.document.get("treatments")
    held = {**given, name: settings} if isinstance(given, Mapping) else {name: settings}
    return plans.parse(from_plain({**plan.document, "treatments": held}, f"profile {name}"), check=check)
