"""A planned change carried out: guarded by the host, written, read back, verified from outside, or put back."""

import contextlib
import functools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from bench.facts import riding, rss
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import HostFault
from bench.hosts.host import Host
from bench.shield import carried_through
from results.errors import NotAble, first_of
from tuning import guard, restoring
from tuning.applying import clusters, keeping, legs, overwritten, reaching, record, verifying
from tuning.applying.legs import Leg
from tuning.applying.planning import Planned
from tuning.applying.record import Applied
from tuning.guard import Guard, NotGuarded
from tuning.knobs.table import BY_ITSELF, owner
from tuning.through import Through
from tuning.treatments import SettingRefused
from tuning.undoing import write

_LINE_S = 0.1  # of an undo: a line of its script
_LEG_S, _LEG_MOST_S = 1.0, 30.0  # of an undo: what `apart` waits before the next leg of a bond, and for it
_WANDERS = "irq/"  # which CPU serves an interrupt: irqbalance moves it all the time
_PLACES = ("address/", "route/", "rule/", "neighbour/")
_STATE = re.compile(r" (linkdown|dead)\b")
_RUNS_OUT = re.compile(r" proto (ra|dhcp|redirect)\b|dynamic True|temporary True|tentative True")
Again = Callable[[], AbstractContextManager[Host]]


class NotWell(NotAble):
    """A host was not as well after a change as before, so it was put back."""


def apply(
    planned: Planned, profile: str, *, confirm_s: int, again: Again, say: Callable[[str], None] = lambda _: None
) -> Applied:
    """The change on the host, armed: it puts itself back in `confirm_s` unless it is confirmed meanwhile.

    `say` hears what cannot be watched there.
    Raises NotAble where something is refused, SettingRefused, NotWell, or HostFault; the host is as it was then, or
    puts itself back.
    """
    if planned.refused:
        told = "; ".join(f"{word}: {why}" for word, why in planned.refused)
        raise NotAble(f"on {planned.host.name}: nothing was changed: {told}")
    changes = planned.changes
    host, baseline = planned.host, planned.baseline
    originals = {each.key: baseline[host.name].facts.get(each.key) for each in changes}
    devices = tuple(device.device for device in planned.lab.path)
    applied = Applied("", host.name, profile, time.time(), devices, planned.settings, changes, originals,
                      spread=_spread(planned))  # fmt: skip
    lines = restoring.undoing(changes, baseline[host.name], planned.explains)
    outlive = [each for each in changes if owner(each.key).kind in BY_ITSELF]
    files = restoring.undoing(outlive, baseline[host.name], lambda _: False)
    gateways = verifying.answering(planned)
    near = verifying.near(planned, silent := sorted(set(planned.riding.gateways) - set(gateways)))
    if unseen := [each for each in silent if each not in near]:
        say(f"{host.name}: not watched: {', '.join(unseen)} answers neither ping nor ARP: a way out that is lost is "
            "seen by a new connection alone")  # fmt: skip
    looks = verifying.looks(planned, gateways, near)
    least_s = verifying.least_s(planned, looks, confirm_s)
    reached = reaching.asked(host, (*gateways, *reaching.peers(planned)))
    counted, speeds = verifying.errors(planned), verifying.speeds(planned)
    standing = legs.asked(host, verifying.legs_of(planned))
    whole = (*overwritten.lines(changes, baseline[host.name]), *lines)
    took_s = undo_s(host.name, len(lines), len(planned.waves), legs.patience_s(standing), confirm_s)
    guarded = _armed(planned, restoring.script(whole, record.header(applied), looks, files), confirm_s)
    guarded = replace(guarded, undo_s=took_s)
    applied = replace(applied, change_id=guarded.guard_id, state="armed", left_s=confirm_s)
    try:
        moved = _moved(planned, _written(planned, guarded, standing, applied.spread))
        keeping.told_moved(host, applied.change_id, record.moved_text(moved))
        problems = (
            verifying.from_here(planned, looks, least_s)
            or verifying.settled(lambda: verifying.legs_now(planned, standing), legs.patience_s(standing))
            or verifying.by_a_new_connection(again)
            or tuple(verifying.settled(lambda: reaching.lost(host, reached, gateways), reaching.AGAIN_S))
            or verifying.damaged(counted, verifying.errors(planned))
            or verifying.slower(speeds, verifying.speeds(planned))
            or verifying.ports(planned.riding.stack, riding.asked(host).stack)
            or _lost(planned, planned.lab.read())
        )  # fmt: skip
        if problems:
            raise NotWell(f"on {host.name}: {'; '.join(problems)}")
        moved = _moved(planned, planned.lab.read())  # as it stays, links having settled
        keeping.told_moved(host, applied.change_id, record.moved_text(moved), verified=True)
        for line in _spread_anew(applied, moved):
            say(line)
    except BaseException as error:
        carried_through(functools.partial(_back, planned, applied, confirm_s, error))
        raise
    return replace(applied, moved={each.key: (each.before, each.after) for each in moved})


def undo_s(name: str, lines: int, waves: int, leg_s: float, confirm_s: int) -> int:
    """Seconds that taking a change back may take: without as many left nothing more is written.

    `waves` are of writes, between two of which a leg of a bond is waited for, `leg_s` at most.
    Raises NotAble where half of `confirm_s` is not enough for the legs: the host could not put itself back in time.
    """
    of_legs_s = (waves - 1) * (_LEG_S + min(leg_s, _LEG_MOST_S))
    if of_legs_s > confirm_s / 2:
        raise NotAble(
            f"on {name}: nothing was changed: to take it back may take {of_legs_s:.0f} s: legs of a bond are set up "
            "anew one after the other",
            hint=f"--confirm-within {math.ceil(2 * of_legs_s)}",
        )
    return min(math.ceil(_LINE_S * lines + of_legs_s), confirm_s // 2)


def _spread(planned: Planned) -> Mapping[str, str]:
    """What somebody chose of how flows are spread over the queues of the devices that are changed."""
    return rss.chosen(planned.baseline[planned.host.name].facts, {device_of(each.key) for each in planned.changes})


def _spread_anew(applied: Applied, moved: Iterable[Difference]) -> list[str]:
    """What the change has taken of that for good: by a table without words, or a driver that takes no other."""
    return [
        f"{applied.host}: {each.key} was {each.before!r} and is {each.after!r}: its driver was set up anew"
        for each in moved
        if each.key in applied.spread
    ]


def _armed(planned: Planned, script: str, confirm_s: int) -> Guard:
    """The guard, on a node that was claimed for it. Raises NotAble, NotGuarded; nothing is claimed or armed then."""
    clusters.claim(planned.host, confirm_s)
    try:
        guarded = guard.arm(planned.host, script, confirm_s)
        _still_so(planned, guarded)
    except BaseException:
        carried_through(functools.partial(clusters.release, planned.host))
        raise
    return guarded


def _still_so(planned: Planned, guarded: Guard) -> None:
    """Nothing that the guard would put back was changed between the plan and its arming, after which none of us may.

    Raises NotAble: the guard is gone then without having put anything back.
    """

    def gone() -> None:
        guarded.disarm()

    try:
        moved = [each for each in _moved(planned, planned.lab.read()) if not each.key.startswith(_WANDERS)]
    except BaseException:
        with contextlib.suppress(HostFault):
            carried_through(gone)
        raise
    if moved:
        carried_through(gone)
        raise NotAble(
            f"on {planned.host.name}: nothing was changed: since it was planned somebody else did: "
            f"{first_of(moved, 4, between='; ')}",
            hint="apply again: it plans anew",
        )


def _written(planned: Planned, guarded: Guard, before: Mapping[str, Leg], spread: Mapping[str, str]) -> Sheets:
    """The state after the writes, in which every change holds. Raises SettingRefused.

    A driver that is set up anew for one of them takes its own RSS table: what somebody chose is written once more.
    """
    host, lab = planned.host.name, Through(planned.lab, {planned.host.name: guarded})
    first, *later = planned.waves
    within = write(first, lab)
    for wave in later:  # the other legs of a bond: not before those that are through carry again
        if down := verifying.settled(lambda: _not_back(planned, before), legs.patience_s(before)):
            raise NotWell(f"on {host}: {'; '.join(down)}: its bond's other legs were not touched")
        within = write(wave, lab)
    lost = [key for key, value in spread.items() if within[host].facts.get(key) != value]
    if again := [command for key in lost if (command := rss.writing(key, spread[key]))]:
        lab.begin(host, again)()
        within = lab.read()
    for each in planned.changes:
        actual = within[host].facts.get(each.key)
        if not owner(each.key).holds(each.wanted, actual):
            if guarded.fired:
                raise NotGuarded(f"on {host}: the way to it was lost meanwhile, and it put itself back")
            raise SettingRefused(
                f"on {host}: {each.key} was set to {each.wanted!r} and reads {actual!r}",
                hint="the kernel or the driver clamps or couples it; choose a value that it takes",
            )
    return within


def _not_back(planned: Planned, before: Mapping[str, Leg]) -> tuple[str, ...]:
    lost = verifying.links(planned.baseline, planned.lab.read(), planned.host.name)
    return (*lost, *verifying.legs_now(planned, before))


def _moved(planned: Planned, now: Sheets) -> tuple[Difference, ...]:
    """What the change moved: what it set, and what its settings explain. What others did meanwhile is theirs."""
    own = {each.key for each in planned.changes}
    return record.lasting(
        each for each in differences(planned.baseline, now) if each.key in own or planned.explains(each)
    )


def _lost(planned: Planned, now: Sheets) -> tuple[str, ...]:
    """Addresses, routes, rules and static neighbours that went with the change though no setting is known to do that.

    Others may have taken them away in these seconds; but what the change itself did so the guard would not bring back.
    """
    before, after = planned.baseline[planned.host.name], now[planned.host.name].facts
    there = {_STATE.sub("", key) for key in after}
    return tuple(
        f"{key} was there before and is gone"
        for key, value in before.facts.items()
        if key.startswith(_PLACES) and _STATE.sub("", key) not in there
        and not _RUNS_OUT.search(f"{key} {value}")
        and not planned.explains(Difference(before.host, key, value, None))
    )  # fmt: skip


def _differing(planned: Planned, now: Sheets) -> tuple[Difference, ...]:
    """All that is not as it was before, whoever did it: what is said to be as it was is so."""
    found = record.lasting(differences(planned.baseline, now))
    return tuple(each for each in found if not each.key.startswith(_WANDERS))


def _back(planned: Planned, applied: Applied, confirm_s: int, error: BaseException) -> None:
    """Put back at once where the host can be reached; otherwise it does so by itself. The error is told which."""
    host = planned.host
    try:
        guard.put_back(host, applied.change_id)
        clusters.release(host)
        left = verifying.settled(lambda: _differing(planned, planned.lab.read()))
    except HostFault as lost:
        error.add_note(f"{lost}; {host.name} puts itself back within {confirm_s} s of the first write")
        return
    if left:
        error.add_note(
            f"{host.name} was put back at once (change {applied.change_id}), but for {'; '.join(map(str, left[:5]))}"
        )
    else:
        how = "is as it was" if isinstance(error, NotGuarded) else "was put back at once"
        error.add_note(f"{host.name} {how} (change {applied.change_id})")
