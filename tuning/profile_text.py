"""A profile as YAML: of a run's advice, or of any Profile. What is read from it again is equal.

A file that a hand has edited is never written over: its first line has a digest of what nettune wrote below it.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields

import yaml

from bench.facts.hardware import NO_SPEED, kept_of_nics
from bench.labs.lab import ENDS
from results.records import Run
from tuning import bearing
from tuning.fits import ANY_SPEED, EVERY_HOST, Fits, Speed
from tuning.profile import FORMAT, Profile, ProfileSetting, Rejected
from tuning.recommend import Advice, Recommendation

_HEAD = "# Written by nettune ({digest}). Applied in the order MTU, offloads, sysctls; `undo` is each one's way back."
_DIGEST = re.compile(r"# Written by nettune \(([0-9a-f]{12})\)")

_OF_DEVICES = ("device", "queue")
_SPEEDS_MBPS = (100, 1000, 2500, 5000, 10_000, 25_000, 40_000, 50_000, 100_000, 200_000, 400_000, 800_000)
_MEASURED_ON = ("kernel", "guest kernel", "cpuinfo", "os", "virtualisation")  # of a run's machine


def text(run: Run, advice: Advice) -> str:
    """The profile of a run's advice as YAML."""
    return dump(of_advice(run, advice))


def of_advice(run: Run, advice: Advice) -> Profile:
    """The profile of a run's advice."""
    return Profile(
        name=f"{run.plan_name}-{run.run_id}",
        status=advice.status,
        settings=tuple(_setting(each, advice) for each in advice.recommendations),
        fits=_measured_on(run, advice) if advice.recommendations else EVERY_HOST,
        sentence=advice.sentence,
        run=run.run_id,
        confirms=run.confirms,
        search=advice.search,
        stages=advice.stages,
        told=advice.told,
        measured_on={key: value for key in _MEASURED_ON if (value := run.machine.get(key, ""))},
        transfer=tuple(run.notes),
        guards_not_resolved=advice.unresolved,
        next_command=advice.next_command,
        rejected=tuple(Rejected(what, why) for what, why in advice.rejected),
    )


def _measured_on(run: Run, advice: Advice) -> Fits:
    """The kind of host that it was measured on: its kernel or a later one, virtual or not, and its NICs.

    That is the guests' where guests were measured and nothing was set between them; of machines that stand their own,
    each of which tells (bench.facts.hardware.of_run). A NIC's driver and speed are asked for where a setting is of
    devices: what a ring or a coalescing time does there is the driver's and the link's.
    """
    machine, targets = run.machine, {each.target for each in advice.recommendations}
    guests = "guest kernel" in machine and "node" not in targets
    releases = _each(machine, "kernel", targets) or [machine.get("guest kernel" if guests else "kernel", "")]
    kernels = [(int(there[1]), int(there[2])) for each in releases
               if (there := re.search(r"\b([0-9]+)\.([0-9]+)\.", each))]  # fmt: skip
    below = set(_each(machine, "virtualisation", targets)) or {machine.get("virtualisation", "absent")}
    words = {{"absent": "", "none": "off"}.get(each, "on") for each in below}
    virtual = "on" if guests else words.pop() if len(words) == 1 else ""
    of_devices = {each.target for each in advice.recommendations if bearing.scope(each.setting) in _OF_DEVICES}
    drivers, speeds = _nics(machine, of_devices)
    return Fits(
        kernel=">= {}.{}".format(*min(kernels)) if kernels else "", virtual=virtual, driver=drivers, speed_mbps=speeds
    )


def _each(machine: Mapping[str, str], word: str, targets: Collection[str]) -> list[str]:
    """What each machine that stands tells of itself, of those that something is set on; [] where none stands."""
    named = ((re.fullmatch(rf"{word} of (\S+)", key), value) for key, value in machine.items())
    return [value for found, value in named if found and _acts_there(found[1], targets)]


def _nics(machine: Mapping[str, str], targets: Collection[str]) -> tuple[tuple[str, ...], Speed]:
    """The rules on the NICs of the machines that stand, as far as something is set on them; none where none tells.

    A speed is that of the slowest up to the next that is sold above the fastest; one of a hypervisor's is none.
    """
    drivers = {nic: word for nic, word in kept_of_nics(machine, "driver").items() if _acts_there(nic[0], targets)}
    told = kept_of_nics(machine, "speed")
    speeds = [int(told[nic]) for nic, word in drivers.items() if nic in told and word not in NO_SPEED]
    if not speeds:
        return tuple(sorted(set(drivers.values()))), ANY_SPEED
    above = next((each for each in _SPEEDS_MBPS if each > max(speeds)), 0)
    return tuple(sorted(set(drivers.values()))), Speed(min(speeds), above)


def _acts_there(host: str, targets: Collection[str]) -> bool:
    """Whether a setting with one of these targets acts on that host of a run."""
    return "path" in targets or ("guest" if host in ENDS else "node") in targets


def _setting(of: Recommendation, advice: Advice) -> ProfileSetting:
    evidence = of.evidence
    return ProfileSetting(
        setting=of.setting,
        value=of.value,
        target=of.target,  # type: ignore[arg-type]  # a run keeps it as text; the plan's reader let no other in
        was=of.was,
        status=advice.status,
        reason=of.reason,
        effect_pct=round(evidence.effect_pct, 2),
        interval_pct=(round(evidence.ci_low_pct, 2), round(evidence.ci_high_pct, 2)),
        blocks=evidence.blocks,
        run=evidence.run_id,
        topology=evidence.topology,
        metric=evidence.metric,
        treatment=evidence.treatment,
        scope=bearing.scope(of.setting),
        disruption=bearing.disruption(of.setting),
        persist=bearing.persist(of.setting, of.value),
        risk=of.risk,
        do=of.do,
        undo=of.undo,
    )


def dump(profile: Profile) -> str:
    """The profile as YAML in the current format; what it does not say is left out."""
    plain = dict(as_mapping(profile))
    body = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"{_HEAD.format(digest=_digest(body))}\n{body}"


def as_mapping(profile: Profile) -> Mapping[str, object]:
    """The same as plain data, for JSON too."""
    return {"format": FORMAT, **_plain_of(profile, always=("settings",))}


def edited(content: str) -> bool:
    """True for a file that is not exactly what nettune wrote: then it is somebody's, and stays as it is."""
    head, _, body = content.partition("\n")
    found = _DIGEST.match(head)
    return found is None or found[1] != _digest(body)


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML takes for an end of line, so that it is not read as a blank (PyYAML 6.0 leaves it plain)."""


def _represented(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if any(letter in value for letter in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represented)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return _plain_of(value) if hasattr(value, "__dataclass_fields__") else value


def _plain_of(record: object, always: tuple[str, ...] = ()) -> dict[str, object]:
    """The fields of a dataclass that differ from what they are when not given, in their order."""
    found = {}
    for field in fields(record):  # type: ignore[arg-type]  # asked of dataclasses alone
        value = getattr(record, field.name)
        if field.default is MISSING or value != field.default or field.name in always:
            found[field.name] = _plain(value)
    return found
