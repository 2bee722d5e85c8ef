"""Profiles on machines that stand: one host after the other, each guarded, verified, confirmed. What it prints too."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.facts import hardware, riding
from bench.hosts.host import Host
from bench.hosts.opened import opened
from bench.labs.lab import Lab
from nettune import asked
from nettune.say import Screen
from results.errors import NotAble, WrongInput
from tuning import fits, guard
from tuning.applying import carrying, drift, keeping, planning, returning
from tuning.applying.planning import Planned
from tuning.applying.record import Applied
from tuning.knobs import presence
from tuning.knobs.entry import DISRUPTIONS, Disruption
from tuning.profile import Profile


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator asked for beside profile and hosts."""

    devices: tuple[str, ...] = ()
    confirm_s: int = 120
    hold: bool = False
    allow: frozenset[str] = frozenset()
    most: Disruption = "d2"
    unfit: bool = False
    dry_run: bool = False


def applied(screen: Screen, profile: Profile, words: Sequence[str], wish: Wish) -> list[dict[str, object]]:
    """Every host in turn; the first that fails ends it, and the error says which are left as they were."""
    if wish.hold and len(words) > 1:
        raise WrongInput("--hold is of one host: two that wait at once would hide which of them broke the path")
    done: list[dict[str, object]] = []
    for number, word in enumerate(words):
        try:
            done.append(_one(screen, profile, word, wish))
        except BaseException as error:
            if len(words) > 1:
                error.add_note(f"applied before: {', '.join(words[:number]) or 'none'}; not touched: "
                               f"{', '.join(words[number + 1 :]) or 'none'}")  # fmt: skip
            raise
    return done


def _one(screen: Screen, profile: Profile, word: str, wish: Wish) -> dict[str, object]:
    with _ready(screen, word, reading=wish.dry_run) as host:
        plan = _planned(host, profile, wish)
        _shown(screen, profile, plan)
        told: dict[str, object] = {"host": host.name, "changes": _rows(plan), "left_out": dict(plan.left_out),
                                   "refused": dict(plan.refused)}  # fmt: skip
        if wish.dry_run or not (plan.rows or plan.refused):
            screen.line("nothing was changed: a dry run" if plan.rows else f"{host.name}: nothing to do")
            return {**told, "change": None, "state": "planned" if plan.rows else "nothing to do"}
        made = carrying.apply(plan, profile.name, confirm_s=wish.confirm_s, again=lambda: opened(word))
        how = "" if host.local else ", also by a new connection"
        screen.line(f"{host.name}: applied and verified{how} (change {made.change_id})")
        try:
            state = _held(screen, host, word, made) if wish.hold else _confirmed(screen, host, word, made)
        except BaseException as error:
            error.add_note(f"change {made.change_id} was applied; whether it stays: nettune history {word}")
            raise
        return {**told, "change": made.change_id, "state": state}


def _held(screen: Screen, host: Host, word: str, made: Applied) -> str:
    (now,) = [each for each in keeping.changes(host) if each.change_id == made.change_id]
    left = f"in {now.left_s} s" if now.state == "armed" else "by the host already"
    screen.line(f"it is taken back {left} unless: nettune confirm {word}", "bold")
    return now.state


def _confirmed(screen: Screen, host: Host, word: str, made: Applied) -> str:
    keeping.confirm(host, made.change_id)
    screen.line(f"confirmed; to take it back: nettune rollback {word} --to {made.change_id}")
    return "confirmed"


@contextmanager
def _ready(screen: Screen, word: str, *, reading: bool) -> Iterator[Host]:
    """The host, able, with nothing of dead runs left on it; where it is only read, those are left alone."""
    with opened(word) as host:
        riding.able(host)
        for line in () if reading else guard.settled(host):
            screen.line(line)
        yield host


def _planned(host: Host, profile: Profile, wish: Wish) -> Planned:
    told = asked.of(host, wish.devices)
    answers = fits.answers(profile.fits, told.facts, told.devices)
    unfit = [each for each in answers if each.word == "does not fit"]
    if unfit and not wish.unfit:
        why = "; ".join(f"{each.rule}: {each.why}" for each in unfit)
        raise NotAble(f"profile {profile.name} is not for {host.name}: {why}", hint="--unfit applies it all the same")
    return planning.planned(host, profile, told.devices, riding.asked(host), allow=wish.allow, most=wish.most)


def _lab(host: Host, devices: Iterable[str]) -> Lab:
    """The host with those of the devices that it still has."""
    there = [each for each in dict.fromkeys(devices) if host.run(hardware.is_device(each)).ok]
    return planning.lab_of(host, there, riding.asked(host))


def confirmed(screen: Screen, word: str) -> None:
    """The change that is armed on a host stays. Raises WrongInput where none is."""
    with opened(word) as host:
        armed = [each for each in keeping.changes(host) if each.state == "armed"]
        if not armed:
            raise WrongInput(f"on {host.name}: no change waits for a confirmation", hint=f"nettune history {word}")
        keeping.confirm(host, armed[-1].change_id)
        screen.line(f"{host.name}: change {armed[-1].change_id} ({armed[-1].profile}) is confirmed")


def taken_back(screen: Screen, word: str, change_id: str, *, anyway: bool) -> None:
    """A change is undone, the last that stands where none is named."""
    with opened(word) as host:
        riding.able(host)
        found = returning.chosen(host.name, keeping.changes(host), change_id)
        returning.take_back(host, _lab(host, found.devices), found, anyway=anyway)
        screen.line(
            f"{host.name}: change {found.change_id} ({found.profile}) is taken back; all that it moved is as it was"
        )


def verified(screen: Screen, word: str) -> tuple[drift.Drift, ...]:
    """What is no longer as it was applied."""
    with opened(word) as host:
        known = keeping.changes(host)
        now = _lab(host, (name for each in known for name in each.devices)).read()[host.name]
        found = drift.drifted(known, now, presence.owners(host))
        for each in found:
            screen.line(f"{host.name}: {each.key} reads {each.actual!r}, applied was {each.wanted!r}: {each.cause}")
        if not found:
            stand = sum(each.state == "confirmed" for each in known)
            said = {0: "no change is to stand", 1: "the change stands as it was applied"}
            screen.line(f"{host.name}: {said.get(stand, f'{stand} changes stand as they were applied')}")
        return found


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


def _shown(screen: Screen, profile: Profile, plan: Planned) -> None:
    shown, before = [], ""
    for row in plan.rows:
        ridden = ", ".join(dict.fromkeys(role.role for role in row.rides)) or "-"
        word = row.setting if row.setting != before else ""
        shown.append((word, row.change.key, row.now or "absent", row.change.wanted, row.disruption or "?", ridden))
        before = row.setting
    if shown:
        screen.table(f"{profile.name} ({profile.label}) on {plan.host.name}",
                     ("setting", "fact", "now", "wanted", "costs", "rides on its device"), shown)  # fmt: skip
    costs = {row.disruption for row in plan.rows}
    for key, words in DISRUPTIONS.items():
        if key in costs:
            screen.line(f"{key}: {words}", "dim")
    for role in dict.fromkeys(role.why for row in plan.rows for role in row.rides):
        screen.line(role, "dim")
    for word, why in plan.left_out:
        screen.line(f"left out: {word}: {why}", "dim")
    for word, why in plan.refused:
        screen.line(f"refused: {word}: {why}", "red")


def _rows(plan: Planned) -> list[dict[str, object]]:
    return [
        {"setting": row.setting, "fact": row.change.key, "now": row.now or None, "wanted": row.change.wanted,
         "disruption": row.disruption, "rides": [role.why for role in row.rides]}
        for row in plan.rows
    ]  # fmt: skip
