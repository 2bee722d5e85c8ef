"""A device's features as the kernel keeps them: hw, wanted, active and nochange, and what a toggle moves in each.

hw is what the driver lets be changed, nochange what the kernel never does, wanted what was asked for, active what is
so.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from bench.hosts.command import Command, Overdue
from bench.hosts.host import Host

Bits = Mapping[str, Sequence[str]]  # a bitmap's name, and the features in it or what moved in it
UNREAD = "unread"
NAMES = ("hw", "wanted", "active", "nochange")


def asked(host: Host, device: str) -> tuple[Bits, str]:
    """What is in each bitmap, and "" - or {}, and why the host does not tell (before Linux 5.7, or without python3)."""
    try:
        told = host.run(Command(("python3", "-IS", "-c", _program(), device)))
    except Overdue as error:  # of a machine that is busy: no toggle hangs by it
        return {}, str(error)
    if not told.ok:
        lines = told.stderr.strip().splitlines()
        return {}, lines[-1][:200] if lines else f"python3 exited with {told.returncode}"
    try:
        return parse(told.stdout), ""
    except (ValueError, KeyError, TypeError) as error:
        return {}, f"no bitmaps came: {error!r}"


@functools.cache
def _program() -> str:
    return files("tuning.offload").joinpath("bits.py").read_text(encoding="utf-8")


def parse(text: str) -> Bits:
    """The program's answer."""
    told = json.loads(text)
    return {name: tuple(sorted(told[name])) for name in NAMES}


def moved(before: Bits, after: Bits) -> Bits:
    """By bitmap `+feature` for what has come in and `-feature` for what has gone; without those that did not move.

    What was read before and is not now is told as that.
    """
    if before and not after:
        return {UNREAD: ("the kernel does not tell them any more",)}
    found = {}
    for name in before if after else ():
        was, now = set(before[name]), set(after[name])
        signs = [f"+{each}" for each in sorted(now - was)] + [f"-{each}" for each in sorted(was - now)]
        if signs:
            found[name] = tuple(signs)
    return found


def words(found: Bits) -> list[str]:
    """`hw: -tx-tcp-segmentation`, a bitmap each."""
    return [f"{name}: {' '.join(signs)}" for name, signs in found.items()]


def fixed(feature: str, bits: Bits) -> str:
    """Why a feature cannot be changed; "" where it can be, or nothing is known."""
    if feature in bits.get("nochange", ()):
        return "the kernel never changes it (nochange)"
    return "the driver does not let it be changed (not in hw)" if bits and feature not in bits["hw"] else ""
