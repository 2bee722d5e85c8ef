"""A profile as YAML: of a run's advice, or of any Profile. What is read from it again is equal.

A file that a hand has edited is never written over: its first line has a digest of what nettune wrote below it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields

import yaml

from results.records import Run
from tuning import bearing
from tuning.fits import EVERY_HOST, Fits
from tuning.profile import FORMAT, Profile, ProfileSetting, Rejected
from tuning.recommend import Advice, Recommendation

_HEAD = "# Written by nettune ({digest}). Applied in the order MTU, offloads, sysctls; `undo` is each one's way back."
_DIGEST = re.compile(r"# Written by nettune \(([0-9a-f]{12})\)")

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
        measured_on={key: value for key in _MEASURED_ON if (value := run.machine.get(key, ""))},
        transfer=tuple(run.notes),
        guards_not_resolved=advice.unresolved,
        next_command=advice.next_command,
        rejected=tuple(Rejected(what, why) for what, why in advice.rejected),
    )


def _measured_on(run: Run, advice: Advice) -> Fits:
    """The kind of host that it was measured on: its kernel or a later one, virtual or not.

    That is the guests' where guests were measured and nothing was set between them.
    """
    guests = "guest kernel" in run.machine and all(each.target != "node" for each in advice.recommendations)
    kernel = re.search(r"\b([0-9]+)\.([0-9]+)\.", run.machine.get("guest kernel" if guests else "kernel", ""))
    below = run.machine.get("virtualisation", "absent")
    virtual = "on" if guests else {"absent": "", "none": "off"}.get(below, "on")
    return Fits(kernel=f">= {kernel[1]}.{kernel[2]}" if kernel else "", virtual=virtual)


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
