"""How much of each published profile races beside a search's own knobs: what its lab can hold, and what it may disturb.

An anchor keeps to the same rules as the knobs: no more disruption than is allowed, nothing that a program on a machine
writes itself. What is left of none, or of another one too, races not at all, and is named.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.plan import SettingSpec
from tuning.bearing import disruption
from tuning.fits import answers
from tuning.knobs.catalogue import entries_for
from tuning.knobs.entry import Disruption
from tuning.knobs.sysctl import CONGESTION_CONTROL, sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile
from tuning.search.stages import Config, config
from tuning.standings import Readings, Treated, values

Refusal = Callable[..., str]  # of settings: why they cannot be held on the lab together, "" where they can
PROBES_OWN = "the plan's tcp probe chooses its congestion control"


@dataclass(frozen=True, slots=True)
class Rules:
    """What no setting of a search may break. `owned`: a program that writes knobs itself -> the machine that has it."""

    most: Disruption
    owned: Mapping[str, str]
    probes_own: bool  # the plan's probe chooses congestion control itself
    refusal: Refusal

    def broken(self, spec: SettingSpec) -> str:
        """Why a setting may not be held, "" where it may."""
        for entry in entries_for(spec.setting):
            if entry.owner in self.owned:
                return f"{entry.owner} on {self.owned[entry.owner]} writes it: leave it to that"
        if (found := disruption(spec.setting)) > self.most:
            return f"its disruption is {found}; {self.most} is the most that is allowed"
        if self.probes_own and sysctl_key(spec.setting) == CONGESTION_CONTROL:
            return PROBES_OWN
        return self.refusal(spec)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published profile, what of it is worth an arm on a lab, and why it is for other hosts ("" where for these)."""

    profile: Profile
    treated: Treated
    unfit: str = ""


def unfit(profile: Profile, treated: Treated, readings: Readings, hardware: Mapping[str, Mapping[str, str]]) -> str:
    """Why a profile is not for a host on which it would change something; "" where no rule of it says so.

    `hardware`: by host what bench.facts.hardware tells. What cannot be told forbids nothing.
    """
    for each in treated.settings:
        for where in readings[each.target or "guest"]:
            if not values(each.setting, where):
                continue
            for answer in answers(profile.fits, {**where.facts, **hardware.get(where.host, {})}, where.devices):
                if answer.word == "does not fit":
                    return f"it is for {answer.rule}, and {where.host} is not: {answer.why}"
    return ""


def anchored(profiles: Mapping[str, Anchor], rules: Rules) -> tuple[dict[str, Config], tuple[tuple[str, str], ...]]:
    """The arms by name, and (profile, why) of what is not or not wholly held."""
    arms: dict[str, Config] = {}
    told: list[tuple[str, str]] = []
    for name, anchor in profiles.items():
        if anchor.unfit:
            told.append((f"profile {name}", anchor.unfit))
            continue
        profile, treated = anchor.profile, anchor.treated
        whys = {each: rules.broken(each) for each in map(plainly, treated.settings)}
        arm = config(*(each for each, why in whys.items() if not why))
        reasons = [f"{setting}: {why}" for (setting, _), why in treated.skipped]
        reasons += [f"{each.setting}: {why}" for each, why in whys.items() if why]
        share = f"{len(arm)} of its {len(profile.settings)} settings"
        alike = next((other for other, settings in arms.items() if settings == arm), "")
        if not arm:
            told.append((f"profile {name}", f"nothing of it is left to race: {'; '.join(reasons)}"))
        elif alike:
            told.append((f"profile {name}", f"what is left of it ({share}) is what is left of {alike}"))
        else:
            arms[name] = arm
            if reasons:
                told.append((f"profile {name}", f"{share} are held; {'; '.join(reasons)}"))
    return arms, tuple(told)


def plainly(spec: SettingSpec) -> SettingSpec:
    """Without a target where that is the knob's own: the search's factors have it so, and equal arms are one."""
    knob = knob_for(spec.setting)
    return replace(spec, target=None) if knob is not None and knob.target == spec.target else spec
