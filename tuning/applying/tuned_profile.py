"""What tuned's active profile sets, of sysctls and of devices. Pure. Source: tuned 2.20.

A profile goes before those that it includes, option by option of a section; but a section's devices and type are those
of the first profile that has it at all (tuned/profiles/merger.py, plugins/plugin_net.py).
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tuning.exports import tuned
from tuning.knobs.feature import SHORT

PREFIX = "tuned:"  # of the texts, each a profile's file under its name, the one that wins first


@dataclass(slots=True)
class _Section:
    """`options`: (profile, line, value) by name."""

    own: Mapping[str, str]
    closed: bool = False
    options: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)


def sysctls(texts: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """(profile, line, sysctl, value) of each that it sets."""
    for name, section in _sections(texts).items():
        if section.own.get("type", name) == "sysctl":
            for key, (profile, line, value) in section.options.items():
                yield profile, line, key, value


def of_device(texts: Mapping[str, str], setting: str, key: str, device: str) -> Iterator[tuple[str, str, str]]:
    """(profile, section with line, value) of each option that sets that fact of the device."""
    option, word = tuned.place(setting)
    for name, section in _sections(texts).items():
        if section.own.get("type", name) != "net" or not _named(section.own.get("devices", "*"), device):
            continue
        if option in section.options:
            profile, line, value = section.options[option]
            if option in tuned.ONE:
                yield profile, f"[{name}] {line}", value
            for one, other in _pairs(value) if option not in tuned.ONE else ():
                if one == word or (option == "features" and _covers(one, key)):
                    yield profile, f"[{name}] {line}", other


def _sections(texts: Mapping[str, str]) -> dict[str, _Section]:
    found: dict[str, _Section] = {}
    for path, text in texts.items():
        if not path.startswith(PREFIX):
            continue
        for name, rows in _read(text).items():
            own = {key: value for key, (_, value) in rows.items()}
            section = found.setdefault(name, _Section(own))
            if not section.closed:
                for key, (line, value) in rows.items():
                    if key not in section.dropped:
                        section.options.setdefault(key, (path.removeprefix(PREFIX), line, value))
            section.dropped |= {each for each in re.split(r"[\s,;]+", own.get("drop", "")) if each}
            section.closed |= own.get("replace", "").lower() in {"1", "true"}
    return {name: each for name, each in found.items() if each.own.get("enabled", "1") in {"1", "True", "true"}}


def _read(text: str) -> dict[str, dict[str, tuple[str, str]]]:
    """(line, value) by section and option; of an option that stands twice the last."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    section = ""
    for row in text.splitlines():
        line = re.sub(r"^\s*;.*|(^|\s)#.*", "", row).strip()
        if match := re.fullmatch(r"\[(.+)\]", line):
            section = match[1]
            found.setdefault(section, {})
        elif section and "=" in line:
            key, _, value = line.partition("=")
            found[section][key.strip()] = line, " ".join(value.split())
    return found


def _named(rules: str, device: str) -> bool:
    """As tuned/hardware/device_matcher.py does."""
    words = [each for each in re.split(r"[\s,;]+", rules) if each]
    wanted = [each for each in words if not each.startswith("!")] or ["*"]
    return any(fnmatch.fnmatch(device, each) for each in wanted) and not any(
        fnmatch.fnmatch(device, each[1:]) for each in words if each.startswith("!")
    )


def _pairs(value: str) -> list[tuple[str, str]]:
    words = re.split(r"[\s,;:]+", value)
    return list(zip(words[::2], words[1::2], strict=False))


def _covers(feature: str, key: str) -> bool:
    """Whether ethtool's name of a feature is that of the fact too."""
    return fnmatch.fnmatchcase(key.rpartition("/")[2], SHORT.get(feature, feature))
