"""Changes of machines that stand, afterwards: confirmed, kept, taken back, verified, told. What it prints too."""

import time
from collections.abc import Iterable, Sequence

from bench.facts import hardware, riding, vm_nics
from bench.hosts.host import Host
from bench.hosts.opened import opened
from bench.labs.lab import Lab
from nettune.say import Screen
from results.errors import WrongInput
from tuning.applying import drift, keeping, lasting, others, planning, returning
from tuning.applying.record import Applied
from tuning.knobs import presence


def kept(screen: Screen, host: Host, word: str, made: Applied, probation_s: int, expected: str = "") -> None:
    """A confirmed change stays over boots; `expected`: see lasting.keep. Raises NotAble."""
    edit = lasting.keep(host, made, probation_s, expected)
    for place in edit.places:
        screen.line(f"written: {place.words}")
    screen.line(
        f"kept over boots; the first one is on probation: where the host is not well {probation_s} s after it, it "
        f"takes this back by itself (nettune history {word})"
    )


def _lab(host: Host, devices: Iterable[str], changes: Sequence[Applied]) -> Lab:
    """The host with those of the devices that it still has, and the VMs that changes are of."""
    there = [each for each in dict.fromkeys(devices) if host.run(hardware.is_device(each)).ok]
    vms = vm_nics.of_keys([key for each in changes for key in each.known])
    return planning.lab_of(host, there, riding.asked(host), vms)


def confirmed(screen: Screen, word: str, *, persist: bool = False) -> None:
    """The change that is armed on a host stays. Raises WrongInput where none is."""
    with opened(word) as host:
        if persist:
            lasting.able(host)
        armed = [each for each in keeping.changes(host) if each.state == "armed"]
        if not armed:
            raise WrongInput(f"on {host.name}: no change waits for a confirmation", hint=f"nettune history {word}")
        keeping.confirm(host, armed[-1].change_id)
        screen.line(f"{host.name}: change {armed[-1].change_id} ({armed[-1].profile}) is confirmed")
        if persist:
            kept(screen, host, word, armed[-1], lasting.PROBATION_S)


def taken_back(screen: Screen, word: str, change_id: str, *, anyway: bool) -> None:
    """A change is undone, the last that stands where none is named."""
    with opened(word) as host:
        riding.able(host)
        found = returning.chosen(host.name, keeping.changes(host), change_id)
        left = returning.take_back(host, _lab(host, found.devices, [found]), found, anyway=anyway)
        screen.line(
            f"{host.name}: change {found.change_id} ({found.profile}) is taken back; all that it moved is as it was"
        )
        if left:
            screen.line(left)


def verified(screen: Screen, word: str, *, watch: bool = False) -> tuple[drift.Drift, ...]:
    """What is no longer as it was applied; with `watch` nothing is said where all stands."""
    with opened(word) as host:
        known = keeping.changes(host)
        now = _lab(host, _devices(known), known).read()[host.name]
        files = lasting.standing(host)
        found = (
            *drift.drifted(known, now, presence.owners(host), others.asked(host, _devices(known))),
            *drift.of_files(known, files),
        )
        for each in found:
            reads = f"reads {each.actual!r}" if each.actual is not None else "is gone"
            was = "before" if each.applied.state == "put itself back" else "applied"
            said = each.cause if each.key == drift.FILES else f"{reads}, {was} was {each.wanted!r}: {each.cause}"
            screen.line(f"{host.name}: {each.key}: {said}")
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
    with opened(word) as host:
        known = keeping.changes(host)
    rows = [
        (each.change_id, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at)), each.profile,
         ", ".join(f"{setting} {value}" for setting, value in each.settings),
         each.state + (f", {each.left_s} s left" if each.state == "armed" else ""))
        for each in known
    ]  # fmt: skip
    screen.table(f"changes of {word}", ("change", "at", "profile", "settings", "state"), rows)
    return known
