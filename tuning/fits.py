"""Which hosts a profile is for: match rules on facts. Each fits, does not fit, or cannot be told, and says why."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.document import Node
from bench.options import SWITCH, Option, Options, taken
from results.json_schema import Schema, listed, mapping

Word = Literal["fits", "does not fit", "cannot be told"]
# What a host is for, as far as facts can tell it.
ROLES: Mapping[str, str] = {
    "pve-node": "Proxmox VE",
    "guests": "guests or containers on its bridges",
    "router": "IP forwarding switched on",
    "storage": "storage mounted over the network",
}
_KERNEL = re.compile(r">=\s*([0-9]{1,3})\.([0-9]{1,4})")
_SPEED_MOST_MBPS = 1_600_000


@dataclass(frozen=True, slots=True)
class Speed:
    """Mbit/s of a link: at least `least`, below `below`; 0 is no limit."""

    least: int = 0
    below: int = 0


ANY_SPEED = Speed()


@dataclass(frozen=True, slots=True)
class Fits:
    """The rules; one that is empty asks nothing. `kernel` reads ">= 6.8"; `virtual` on, off or ""."""

    kernel: str = ""
    virtual: str = ""
    driver: tuple[str, ...] = ()
    speed_mbps: Speed = ANY_SPEED
    role: tuple[str, ...] = ()


EVERY_HOST = Fits()


@dataclass(frozen=True, slots=True)
class Answer:
    """One rule's."""

    rule: str
    word: Word
    why: str


def _kernel(node: Node) -> str:
    found = _KERNEL.fullmatch(node.text().strip())
    if found is None:
        node.wrong(f"{node.text()!r} is no rule on kernels", hint="kernel: '>= 6.8'")
    return f">= {int(found[1])}.{int(found[2])}"


def _virtual(node: Node) -> str:
    if node.setting() not in {"on", "off"}:
        node.wrong(f"{node.text()!r} is neither on nor off")
    return node.setting()


def _limit(about: str) -> Option[int]:
    schema = {"type": "integer", "minimum": 0, "maximum": _SPEED_MOST_MBPS, "description": about}
    return Option(schema, lambda node: node.integer(0, _SPEED_MOST_MBPS, "Mbit/s"), 0)


_SPEED: Options = {"least": _limit("at least, in Mbit/s"), "below": _limit("below, in Mbit/s")}


def _speed(node: Node) -> Speed:
    found = Speed(**taken(node.mapping(_SPEED), _SPEED))
    if found.below and found.below <= found.least:
        node.wrong(f"no speed is at least {found.least} and below {found.below}")
    return found


def _words(node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.text() for each in node.items()))


def _roles(node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.choice(tuple(ROLES)) for each in node.items()))


_TEXT: Schema = {"type": "string"}
OPTIONS: Options = {
    "kernel": Option({**_TEXT, "pattern": f"^\\s*{_KERNEL.pattern}\\s*$", "examples": [">= 6.8"]}, _kernel, ""),
    "virtual": Option({**SWITCH, "description": "on: a virtual machine; off: bare metal"}, _virtual, ""),
    "driver": Option({**listed(_TEXT), "description": "of the NIC, one of them"}, _words, ()),
    "speed_mbps": Option(
        mapping({key: each.schema for key, each in _SPEED.items()}, optional=tuple(_SPEED)), _speed, ANY_SPEED
    ),
    "role": Option({**listed({"enum": list(ROLES)}), "description": "what the host is for, all of them"}, _roles, ()),
}
SCHEMA: Schema = mapping({key: each.schema for key, each in OPTIONS.items()}, optional=tuple(OPTIONS))


def read(node: Node) -> Fits:
    """The rules in a document. Raises WrongInput naming line, key and the nearest right word."""
    return Fits(**taken(node.mapping(OPTIONS), OPTIONS))


def answers(fits: Fits, facts: Mapping[str, str], devices: Sequence[str]) -> tuple[Answer, ...]:
    """What each rule says of a host: `facts` as bench.facts.hardware and bench.facts.state tell them.

    `devices` are the ones in question; a rule on devices fits where one of them does.
    """
    found = []
    if fits.kernel:
        found.append(_of_kernel(fits.kernel, facts.get("host/release", "")))
    if fits.virtual:
        found.append(_of_virtual(fits.virtual, facts.get("host/virtual", "")))
    if fits.driver:
        rule = f"driver {' or '.join(fits.driver)}"
        found.append(_of_devices(rule, "driver", facts, devices, lambda word: word in fits.driver))
    if fits.speed_mbps != ANY_SPEED:
        found.append(_of_speed(fits.speed_mbps, facts, devices))
    return (*found, *(_of_role(role, facts) for role in fits.role))


def _of_kernel(rule: str, release: str) -> Answer:
    named = f"kernel {rule}"
    least = _KERNEL.fullmatch(rule)
    there = re.match(r"([0-9]+)\.([0-9]+)", release)
    if there is None or least is None:
        return Answer(named, "cannot be told", f"its release reads {release!r}")
    enough = (int(there[1]), int(there[2])) >= (int(least[1]), int(least[2]))
    return Answer(named, "fits" if enough else "does not fit", f"it runs {release}")


def _of_virtual(rule: str, told: str) -> Answer:
    named = "a virtual machine" if rule == "on" else "bare metal"
    if not told:
        return Answer(named, "cannot be told", "neither systemd-detect-virt nor /proc/cpuinfo tells")
    is_so = (told != "none") == (rule == "on")
    why = "no hypervisor is below it" if told == "none" else f"it runs on {told}"
    return Answer(named, "fits" if is_so else "does not fit", why)


def _of_speed(rule: Speed, facts: Mapping[str, str], devices: Sequence[str]) -> Answer:
    least, below = (f"{each / 1000:g} Gbit/s" for each in (rule.least, rule.below))
    limits = [*([f"≥ {least}"] if rule.least else ()), *([f"< {below}"] if rule.below else ())]
    named = f"speed {' and '.join(limits)}"

    def within(word: str) -> bool:
        return rule.least <= int(word) and (not rule.below or int(word) < rule.below)

    return _of_devices(named, "speed", facts, devices, within)


def _of_devices(
    rule: str, kind: str, facts: Mapping[str, str], devices: Sequence[str], right: Callable[[str], bool]
) -> Answer:
    """Of the devices in question one must do; none of those that tell does not fit."""
    told = {device: facts[key] for device in devices if (key := f"device/{device}/{kind}") in facts}
    if not told:
        return Answer(rule, "cannot be told", f"{', '.join(devices) or 'no device'} tells no {kind}")
    fitting = [device for device, word in told.items() if right(word)]
    shown = ", ".join(f"{device} {word}" for device, word in told.items() if not fitting or device in fitting)
    return Answer(rule, "fits" if fitting else "does not fit", shown + (" Mbit/s" if kind == "speed" else ""))


def _of_role(role: str, facts: Mapping[str, str]) -> Answer:
    named = f"role {role}"
    match role:
        case "pve-node":
            told = facts.get("host/pve", "")
        case "router":
            told = {"1": "yes", "0": "no"}.get(facts.get("sysctl/net.ipv4.ip_forward", ""), "")
            if told == "no" and facts.get("sysctl/net.ipv6.conf.all.forwarding") == "1":
                told = "yes"
        case "guests":
            told = "yes" if _has_guests(facts) else "no"
        case _:  # what is mounted is seen; what is exported, or a block device over the network, is not
            told = {"yes": "yes"}.get(facts.get("host/mounts", ""), "")
    if not told:
        return Answer(named, "cannot be told", f"no fact says whether it has {ROLES[role]}")
    yes = told == "yes"
    return Answer(named, "fits" if yes else "does not fit", f"it has {'' if yes else 'no '}{ROLES[role]}")


def _has_guests(facts: Mapping[str, str]) -> bool:
    kinds = {key.split("/")[1]: kind for key, kind in facts.items() if re.fullmatch(r"link/[^/]+/kind", key)}
    masters = {key.split("/")[1]: name for key, name in facts.items() if re.fullmatch(r"link/[^/]+/master", key)}
    return any(
        kinds.get(device) in {"tun", "veth"} and kinds.get(master) == "bridge" for device, master in masters.items()
    )
