"""Changes of machines that stand, afterwards: confirmed, kept, taken back, verified, told. What it prints too."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from bench.facts import hardware, riding, vm_nics
from bench.facts.riding import Riding
from bench.facts.roles import GUEST_KINDS, Stack
from bench.facts.scope import device_of
from bench.hosts.host import Host
from bench.hosts.opened import opened
from bench.labs.lab import Lab
from nettune.say import Screen
from results.errors import NotAble
from tuning.applying import defaults, drift, ifupdown, keeping, lasting, others, planning, returning
from tuning.applying.ifupdown import File
from tuning.applying.record import Applied
from tuning.exports import interfaces
from tuning.knobs import presence


@contextmanager
def ours(word: str) -> Iterator[Host]:
    """The host of that name. Raises NotAble where we are not root: what lies there is root's, and would look empty."""
    with opened(word) as host:
        riding.able(host)
        yield host


def keepable(host: Host, stack: Stack, keys: Iterable[str], file: File | None) -> None:
    """Raise NotAble for a device that only its guest's start makes: a boot that sets what is kept would wait for it."""
    there = interfaces.brought_up(file.text) if file else frozenset()
    named = {device_of(key) for key in keys} & stack.links.keys() - there
    late = [name for name in sorted(named) if stack.links[name].kind in GUEST_KINDS and stack.links[name].master]
    if late:
        raise NotAble(f"on {host.name}: {late[0]} belongs to a guest, and is not there when a boot sets what is kept",
                      hint="--runtime-only; what starts the guest can set it")  # fmt: skip


def kept(screen: Screen, host: Host, word: str, made: Applied, probation_s: int, expected: str = "") -> None:
    """A confirmed change stays over boots; `expected`: see lasting.keep. Raises NotAble."""
    keepable(host, riding.asked(host).stack, [each.key for each in made.changes], ifupdown.asked(host))
    edit = lasting.keep(host, made, probation_s, expected)
    for place in edit.places:
        screen.line(f"written: {place.words}")
    screen.line(
        f"kept over boots; the first one is on probation: where the host is not well {probation_s} s after it, it "
        f"takes this back by itself (nettune history {word})"
    )


def _lab(host: Host, devices: Iterable[str], changes: Sequence[Applied], told: Riding | None = None) -> Lab:
    """The host with those of the devices that it still has, and the VMs that changes are of."""
    there = [each for each in dict.fromkeys(devices) if host.run(hardware.is_device(each)).ok]
    return lab_of(host, there, changes, told or riding.asked(host))


def lab_of(host: Host, devices: Sequence[str], changes: Sequence[Applied], ridden: Riding) -> Lab:
    """The host as knobs see it, with these devices and all that the changes moved."""
    keys = [key for each in changes for key in each.known]
    lab = planning.lab_of(host, devices, ridden, vm_nics.of_keys(keys))
    # Also where irqbalance runs by now: what it has moved is told, and not called gone.
    return replace(lab, interrupts=frozenset({host.name})) if any(each.startswith("irq/") for each in keys) else lab


def confirmed(screen: Screen, word: str, *, persist: bool = False) -> None:
    """The change that is armed on a host stays. Raises WrongInput where none is."""
    with ours(word) as host:
        if persist:
            lasting.able(host)
        armed = keeping.waiting(host, word)
        if persist:
            keepable(host, riding.asked(host).stack, [each.key for each in armed.changes], ifupdown.asked(host))
        keeping.confirm(host, armed.change_id)
        screen.line(f"{host.name}: change {armed.change_id} ({armed.profile}) is confirmed")
        if persist:
            kept(screen, host, word, armed, lasting.PROBATION_S)


def taken_back(
    screen: Screen, word: str, change_id: str, allow: Collection[str], *, anyway: bool, unclaimed: bool
) -> None:
    """A change is undone, the last that stands where none is named."""
    with ours(word) as host:
        found = returning.chosen(host.name, keeping.changes(host), change_id)
        told = riding.asked(host)
        lab = _lab(host, found.devices, [found], told)
        left = returning.take_back(host, lab, found, told, allow=allow, anyway=anyway, unclaimed=unclaimed)
        screen.line(
            f"{host.name}: change {found.change_id} ({found.profile}) is taken back; all that it moved is as it was"
        )
        if left:
            screen.line(left)


def verified(screen: Screen, word: str, *, watch: bool = False) -> tuple[drift.Drift, ...]:
    """What is no longer as it was applied; with `watch` nothing is said where all stands."""
    with ours(word) as host:
        known = keeping.changes(host)
        now = _lab(host, _devices(known), known).read()[host.name]
        files = lasting.standing(host)
        found = (
            *drift.outstanding(known, now),
            *drift.drifted(known, now, presence.owners(host), others.asked(host, _devices(known))),
            *drift.of_spread(known, now),
            *drift.of_files(known, files),
        )
        elsewhere = {note.change_id for note in files if note.newer}
        told = {each.key for each in found}
        later = defaults.above(host, [each for each in known if each.change_id in elsewhere], now)
        found += tuple(each for each in later if each.key not in told)
        for each in found:
            screen.line(f"{host.name}: {each.words}")
        for line in () if watch else drift.overwritten(known, now):
            screen.line(f"{host.name}: {line}", "dim")
        for note in files:
            if note.newer and not watch:
                screen.line(f"{host.name}: change {note.change_id} was made on another kernel ({note.newer}): what it "
                            "ships may be more than what is set here; `nettune profile check` tells",
                            "dim")  # fmt: skip
        if not found and not watch:
            stand = sum(each.to_stand for each in known)
            words = {0: "no change is to stand", 1: "the change stands as it was applied"}
            screen.line(f"{host.name}: {words.get(stand, f'{stand} changes stand as they were applied')}")
        return found


def _devices(changes: Sequence[Applied]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in changes for name in each.devices))


def history(screen: Screen, word: str) -> tuple[Applied, ...]:
    """Every change that a host knows of."""
    with ours(word) as host:
        known = keeping.changes(host)
    rows = [
        (each.change_id, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at)), each.profile,
         ", ".join(f"{setting} {value}" for setting, value in each.settings),
         each.state_words)
        for each in known
    ]  # fmt: skip
    screen.table(f"changes of {word}", ("change", "at", "profile", "settings", "state"), rows)
    return known
