"""Where a profile differs from another, or from a host; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile
from tuning.standings import Reading, of_host, standings


@dataclass(frozen=True, slots=True)
class Row:
    """One setting on one target; "" where that side has none."""

    setting: str
    target: str
    one: str
    other: str

    def as_mapping(self) -> Mapping[str, str]:
        """For JSON."""
        return {"setting": self.setting, "target": self.target, "a": self.one, "b": self.other}


def between(one: Profile, other: Profile) -> tuple[Row, ...]:
    """The settings that only one of them has, or with another value: in the order of the first, then of the second."""
    first, second = _values(one), _values(other)
    return tuple(
        Row(setting, target, first.get((setting, target), ""), second.get((setting, target), ""))
        for setting, target in dict.fromkeys((*first, *second))
        if not _same(setting, first.get((setting, target)), second.get((setting, target)))
    )


def from_host(one: Profile, host: Reading) -> tuple[Row, ...]:
    """The settings that the host does not have as the profile wants them; each value that it has, or "" for none."""
    found = standings(one, of_host(host.host, host.facts, host.devices))
    return tuple(
        Row(each.setting.setting, each.setting.target, each.setting.value, " | ".join(sorted(set(each.now.values()))))
        for each in found
        if each.word != "already so"
    )


def _values(of: Profile) -> dict[tuple[str, str], str]:
    return {(sysctl_key(each.setting), each.target): " ".join(each.value.split()) for each in of.settings}


def _same(setting: str, one: str | None, other: str | None) -> bool:
    if one is None or other is None or one == other:
        return one == other
    knob = knob_for(setting)
    return knob is not None and knob.holds(one, other)
