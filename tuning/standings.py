"""How each setting of a profile stands on a host or a lab: there or not, so already, or to be left out; pure."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.facts import cpus
from bench.facts.sheet import Sheets
from bench.facts.state import sysctl_path
from bench.labs.lab import Lab, Target
from bench.plan import SettingSpec
from tuning.bearing import acts_on, lowers
from tuning.knobs.cpu import OF_A_MACHINE
from tuning.knobs.entry import NO_EFFECT
from tuning.knobs.entry import Standing as Word
from tuning.knobs.feature import SHORT
from tuning.knobs.sysctl import CONGESTION_CONTROL, sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile, ProfileSetting


@dataclass(frozen=True, slots=True)
class Reading:
    """What one host tells, as far as a setting may act there: `devices` are those in question."""

    host: str
    facts: Mapping[str, str]
    devices: tuple[str, ...] = ()


Readings = Mapping[Target, Sequence[Reading]]


@dataclass(frozen=True, slots=True)
class Standing:
    """One setting: what would come of it. `now` by "host key", only where it is there."""

    setting: ProfileSetting
    word: Word
    now: Mapping[str, str]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Treated:
    """What of a profile is worth a treatment, and what is left out: ((setting, target), why)."""

    settings: tuple[SettingSpec, ...]
    skipped: tuple[tuple[tuple[str, Target], str], ...]


def of_lab(lab: Lab, now: Sheets) -> Readings:
    """The readings of a standing lab, by target."""
    targets: tuple[Target, ...] = ("guest", "node", "path")
    found: dict[Target, list[Reading]] = {}
    for target in targets:
        devices = [each for each in lab.devices(target) if each.counts]
        found[target] = [
            Reading(host.name, now[host.name].facts, tuple(each.device for each in devices if each.host is host))
            for host in dict.fromkeys(lab.hosts_of(target))
        ]
    return found


def of_host(host: str, facts: Mapping[str, str], devices: Sequence[str]) -> Readings:
    """The readings of one host, which stands for every target."""
    alone = (Reading(host, facts, tuple(devices)),)
    return {"guest": alone, "node": alone, "path": alone}


def standings(profile: Profile, facts: Readings, *, ends_on_host: bool = True) -> tuple[Standing, ...]:
    """Every setting of the profile in its order. `ends_on_host`: see as_treatment."""
    return tuple(_standing(each, facts[each.target], ends_on_host=ends_on_host) for each in profile.settings)


def as_treatment(profile: Profile, facts: Readings, *, ends_on_host: bool = True) -> Treated:
    """The profile as an arm of a plan: its settings that exist and change something, the others named with the reason.

    `ends_on_host`: the path's connections end on machines of the kind that the profile is for. Where a host only
    bridges or routes them (`False`), what acts on its own sockets has no effect by design, and is left out.
    """
    found = standings(profile, facts, ends_on_host=ends_on_host)
    return Treated(
        tuple(spec(each.setting) for each in found if each.word == "changes"),
        tuple(((each.setting.setting, each.setting.target), said(each)) for each in found if each.word != "changes"),
    )


def spec(of: ProfileSetting) -> SettingSpec:
    """A profile's setting as a plan has it."""
    return SettingSpec(of.setting, of.value, of.target)


def said(of: Standing) -> str:
    """Why a setting is left out, in words."""
    return f"{of.word}: {of.why}" if of.why else of.word


def _standing(of: ProfileSetting, where: Sequence[Reading], *, ends_on_host: bool) -> Standing:
    if not ends_on_host and acts_on(of.setting) == "own-sockets":
        return Standing(of, "no effect by design", {}, NO_EFFECT)
    now = {f"{each.host} {key}": value for each in where for key, value in values(of.setting, each).items()}
    knob = knob_for(of.setting)
    if (absent := _absent(of, where)) or knob is None:
        return Standing(of, "not there", now, absent)
    if all(knob.holds(_spelt(of.value), value) for value in now.values()):
        return Standing(of, "already so", now, next(iter(now.values())))
    if low := [value for value in now.values() if lowers(of.setting, of.value, value)]:
        return Standing(of, "lowers a maximum", now, f"{of.value} is below {low[0]}, which stands there now")
    return Standing(of, "changes", now)


def values(setting: str, where: Reading) -> dict[str, str]:
    """Fact key -> value of what a setting would set on one host; fixed features left out. {} where it has none."""
    knob = knob_for(setting)
    if knob is None:
        return {}
    key = f"sysctl/{sysctl_key(setting)}"
    if knob.kind == "sysctl":
        return {key: where.facts[key]} if key in where.facts else {}
    pattern = re.compile(fnmatch.translate(SHORT.get(setting, setting)))
    found = {}
    for key, value in where.facts.items():
        parts = key.split("/")
        of_device = len(parts) > 2 and parts[0] not in {"cpu", "vnic"}
        if parts[0] == "cpu" and OF_A_MACHINE not in where.facts:
            continue  # a namespace sees the machine's
        if not knob.owns(key) or (of_device and parts[1] not in where.devices):
            continue
        if knob.kind == "feature" and (not pattern.match(parts[2]) or "[fixed]" in value):
            continue
        found[key] = value
    return found


def _absent(of: ProfileSetting, where: Sequence[Reading]) -> str:
    """Why a setting cannot be set there, in words; "" where it can: a sysctl on every host, the rest on a device."""
    sysctl = sysctl_key(of.setting)
    for each in where:
        offered = each.facts.get("sysctl/net.ipv4.tcp_allowed_congestion_control")
        if sysctl == CONGESTION_CONTROL and offered is not None and of.value not in offered.split():
            return f"{each.host} may choose among {offered} only"
    lacking = [each for each in where if not values(of.setting, each)]
    for each in where:
        for key in values(of.setting, each):
            most = each.facts.get(f"{key}-most", "")  # of rings and channels, what the driver takes
            if most.isdecimal() and of.value.isdecimal() and int(of.value) > int(most):
                return f"{each.host}/{key.split('/')[1]} takes at most {most}"
    if lacking and sysctl.startswith("net."):
        return f"{lacking[0].host} has no {sysctl_path(sysctl)}"
    if len(lacking) < len(where):
        return ""
    if of.setting in cpus.FOLDERS:
        return f"no {of.setting} on a machine of its own (a namespace has the machine's CPUs, a guest its hypervisor's)"
    devices = [f"{each.host}/{device}" for each in where for device in each.devices]
    where_not = f"on {', '.join(devices)}" if devices else f"this path has no device on the target {of.target!r}"
    return f"no {of.setting} that can be set {where_not}" if devices else where_not


def _spelt(value: str) -> str:
    """As facts have it."""
    return " ".join(value.split())
