"""The words of `nettune offload validate`: what is asked for, and what is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import document
from bench.plan import Plan
from nettune import seeds
from nettune.times import seconds
from nettune.wiring import load_plan
from results.errors import WrongInput
from tuning.knobs import feature
from tuning.offload import cases, features
from tuning.offload.evidence import LEVELS, Level
from tuning.offload.validating import Wanted

_DEVICE = re.compile(r"[^/\s,]{1,15}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: the plan of the path, the levels and features, and what may be done for that."""

    plan: Plan
    wanted: Wanted
    required: tuple[str, ...]
    console: bool = False


def wish(
    name: str,
    sets: Sequence[str],
    *,
    inventory: str,
    pair: str,
    nic: str,
    levels: str,
    only: str,
    required: str,
    soak: str,
    payload_mb: int,
    console: bool,
    seed: int | None,
) -> Wish:
    """The words of the command line. Raises WrongInput naming the option and the nearest word."""
    standing = [f"lab={{provider: hosts, inventory: {inventory}}}", "topologies=[standing]"] if inventory else []
    plan = load_plan(name, [*standing, *sets])
    if len(plan.topologies) != 1:
        raise WrongInput(f"offload validate takes one path, and plan {plan.name} has {len(plan.topologies)}",
                         hint="--set topologies=[direct]")  # fmt: skip
    soak_s = seconds("--soak", soak) or 0.0
    ends = _ends(plan)
    devices = _pair(pair, ends)
    end, device = (ends[nic], "") if nic in ends else _named(nic, "--nic", ends)
    if device and devices.get(end, device) != device:
        raise WrongInput(f"--nic {nic!r} and --pair {pair!r} name two devices of end {end}",
                         hint="name it in one of them")  # fmt: skip
    devices |= {end: device} if device else {}
    wanted = Wanted(
        end,
        devices,
        _levels(levels, soak=bool(soak_s)),
        features.named(_words(only, "--features")),
        payload_mb * 1_000_000 if payload_mb else cases.BULK_BYTES,
        soak_s,
        seeds.dealt() if seed is None else seed,
    )
    return Wish(plan, wanted, features.required(_words(required, "--require")), console)


def _ends(plan: Plan) -> dict[str, str]:
    """The end of each name that the command line may give it: its letter, and where it stands as its `ssh` has it."""
    machines = [(each.login.address, each.name) for each in plan.inventory.ends] if plan.inventory is not None else []
    own = dict(machines) if len(dict(machines)) == len(machines) else {}  # two NICs of one machine: letters alone
    return {**own, "a": "a", "b": "b"}


def _pair(text: str, ends: Mapping[str, str]) -> dict[str, str]:
    """The devices by end. Raises WrongInput where it is not one of each end."""
    devices: dict[str, str] = {}
    for word in text.split(",") if text else ():
        end, device = _named(word.strip(), "--pair", ends)
        if end in devices:
            raise WrongInput(f"--pair {text!r} names two devices of end {end}", hint="a pair has the ends a and b")
        devices[end] = device
    return devices


def _named(word: str, option: str, ends: Mapping[str, str]) -> tuple[str, str]:
    """The end and the device of `a.eth1`. A machine's name may have dots, and so may a device's."""
    for name in sorted(ends, key=len, reverse=True):
        device = word.removeprefix(f"{name}.")
        if device != word and _DEVICE.fullmatch(device):
            return ends[name], device
    known = ", ".join(ends)
    raise WrongInput(f"{option} {word!r} names no device of an end: there are {known}",
                     hint="a.eth1: the end, a dot, its device; a pair has the ends a and b")  # fmt: skip


def _levels(text: str, *, soak: bool) -> frozenset[Level]:
    if not text:
        return frozenset(each for each in LEVELS if each != "stability" or soak)
    found: list[Level] = []
    for word in text.split(","):
        level = next((each for number, each in enumerate(LEVELS, 1) if word.strip() in {each, str(number)}), None)
        if level is None:
            raise WrongInput(f"--levels {word!r} is none",
                             hint=document.nearest(word, LEVELS) or f"there are {', '.join(LEVELS)}")  # fmt: skip
        found.append(level)
    if "stability" in found and not soak:
        raise WrongInput("--levels stability takes a time", hint="--soak 10m")
    return frozenset(found)


def _words(text: str, option: str) -> tuple[str, ...]:
    """The features and ethtool's names of an option. Raises WrongInput for any other word."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if unknown := features.unknown(words):
        raise WrongInput(
            f"{option} {unknown[0]!r} is no feature that a kernel up to 6.18 knows",
            hint=document.nearest(unknown[0], (*feature.KERNEL, *feature.SHORT))
            or "ethtool's short names, or the kernel's strings: `ethtool -k DEVICE`",
        )
    return words
