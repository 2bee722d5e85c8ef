"""Profiles put on machines that stand, one after the other: guarded, verified, confirmed. What it prints too."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.facts import pve_firewall, riding, vm_nics
from bench.facts.scope import device_of
from bench.hosts.host import Host
from bench.hosts.opened import opened
from nettune import asked, changes
from nettune.say import Screen
from results.errors import NotAble, WrongInput
from tuning import fits, guard
from tuning.applying import carrying, clusters, ifupdown, keeping, lasting, others, planning, returning
from tuning.applying.ifupdown import File, Place
from tuning.applying.others import Other, Texts
from tuning.applying.planning import Planned, Row
from tuning.applying.record import Applied
from tuning.knobs.entry import DISRUPTIONS, Disruption
from tuning.knobs.knob import Change
from tuning.knobs.table import BY_ITSELF, owner
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
    persist: bool = False
    probation_s: int = lasting.PROBATION_S
    vms: tuple[str, ...] = ()
    profile: str = ""  # as it was named
    cluster_well: bool = False  # asked for of one host too: whoever rolls out host after host calls us for each


def applied(screen: Screen, profile: Profile, words: Sequence[str], wish: Wish, done: list[dict[str, object]]) -> None:
    """Every host in turn, into `done`; the first that fails ends it, and the error says which are left as they were."""
    if wish.hold and wish.persist:
        raise WrongInput("--hold leaves confirming to you, and keeping it with that: nettune confirm HOST --persist")
    if wish.hold and len(words) > 1:
        raise WrongInput("--hold is of one host: two that wait at once would hide which of them broke the path")
    for number, word in enumerate(words):
        begun = number
        try:
            if (len(words) > 1 or wish.cluster_well) and not wish.dry_run:
                first = number == 0 and not wish.cluster_well
                _cluster_is_well(screen, words[max(0, number - 1)], first=first)
            begun = number + 1
            done.append(_one(screen, profile, word, wish))
        except BaseException as error:
            if len(words) > 1:
                error.add_note(f"applied before: {', '.join(words[:number]) or 'none'}; not touched: "
                               f"{', '.join(words[begun:]) or 'none'}")  # fmt: skip
            raise


def _cluster_is_well(screen: Screen, word: str, *, first: bool) -> None:
    """Before the first host of several, and after each before the next, which is waited for. Raises ClusterNotWell."""
    with opened(word) as host:
        if clusters.well(host, within_s=0.0 if first else clusters.WAITED_S) and not first:
            screen.line(f"{host.name}: its cluster has all its votes, and HA nothing to mend")


def _one(screen: Screen, profile: Profile, word: str, wish: Wish) -> dict[str, object]:
    with _ready(screen, word, reading=wish.dry_run) as host:
        if wish.persist:
            lasting.able(host)
        plan = _planned(screen, host, profile, wish)
        file = ifupdown.asked(host) if wish.persist else None
        if wish.persist:
            changes.keepable(host, plan.riding.stack, [row.change.key for row in plan.rows], file)
        texts = others.asked(plan.host, [device.device for device in plan.lab.path])
        places = ifupdown.placed(plan.settings, plan.changes, file, texts) if file else ()
        if file and places:
            ifupdown.undisturbed(host.name, file)
        beside = _others(plan, texts, places)
        where = {row.change.key: _kept_in(row.change, places, plan) for row in plan.rows} if wish.persist else {}
        _shown(screen, profile, plan, where)
        for each in beside:
            screen.line(f"also set: {each.setting}: {each.where}: {each.text}: {others.wins(each, kept=wish.persist)}")
        told: dict[str, object] = {"host": host.name, "changes": _rows(plan, where), "left_out": dict(plan.left_out),
                                   "refused": dict(plan.refused),
                                   "also_set": [_also(each, wish) for each in beside],
                                   "command": _command(word, wish, plan)}  # fmt: skip
        if told["command"] and (plan.refused or wish.dry_run):
            screen.line(f"to apply it: {told['command']}", "bold")
        if wish.dry_run or not (plan.rows or plan.refused):
            if wish.persist and not wish.dry_run and (since := _kept(screen, host, word, plan, profile, wish, file)):
                return {**told, "change": since.change_id, "state": "on probation"}
            screen.line("nothing was changed: a dry run" if plan.rows else f"{host.name}: nothing to do")
            return {**told, "change": None, "state": "planned" if plan.rows else "nothing to do"}
        made = carrying.apply(plan, profile.name, confirm_s=wish.confirm_s, again=lambda: opened(word),
                              say=screen.line)  # fmt: skip
        how = "" if host.local else ", also by a new connection"
        screen.line(f"{host.name}: applied and verified{how} (change {made.change_id})")
        for vm in wish.vms:
            for net in vm_nics.waiting(host.run(vm_nics.question(vm))):
                screen.line(f"{host.name}: VM {vm} takes its {net} with its next start, not now", "bold")
        try:
            state = _held(screen, host, word, made) if wish.hold else _confirmed(screen, host, word, made)
            if wish.persist:
                _kept(screen, host, word, plan, profile, wish, file)
                state = "on probation"
        except BaseException as error:
            error.add_note(f"change {made.change_id} was applied; whether it stays: nettune history {word}")
            raise
        return {**told, "change": made.change_id, "state": state}


def _command(word: str, wish: Wish, plan: Planned) -> str:
    """What to type to have all of it on that host; "" where nothing would change, or where nothing allows it."""
    if not plan.rows or (plan.refused and not plan.options):
        return ""
    said = [("--device", each) for each in wish.devices] + [("--vm", each) for each in wish.vms]
    said += [("--allow", each) for each in planning.ROLES if each in wish.allow]
    said += [("--disruption", wish.most)] if wish.most != Wish().most else []
    said += [(name, "") for name, asked_for in (("--persist", wish.persist), ("--hold", wish.hold),
             ("--unfit", wish.unfit), ("--cluster-well", wish.cluster_well)) if asked_for]  # fmt: skip
    said += [("--confirm-within", str(wish.confirm_s))] if wish.confirm_s != Wish().confirm_s else []
    said += [("--probation", str(wish.probation_s))] if wish.probation_s != Wish().probation_s else []
    anew = {name for name, _ in plan.options} & {"--disruption"}
    options = (*(each for each in said if each[0] not in anew), *plan.options)
    words = [part for option in options for part in option if part]
    return shlex.join(("nettune", "apply", wish.profile, "--host", word, *words))


def _held(screen: Screen, host: Host, word: str, made: Applied) -> str:
    (now,) = [each for each in keeping.changes(host) if each.change_id == made.change_id]
    left = f"in {now.left_s} s" if now.state == "armed" else "by the host already"
    screen.line(f"it is taken back {left} unless: nettune confirm {word}", "bold")
    return now.state


def _confirmed(screen: Screen, host: Host, word: str, made: Applied) -> str:
    keeping.confirm(host, made.change_id)
    screen.line(f"confirmed; to take it back: nettune rollback {word} --to {made.change_id}")
    return "confirmed"


def _kept(
    screen: Screen, host: Host, word: str, plan: Planned, profile: Profile, wish: Wish, file: File | None
) -> Applied | None:
    """Every change of the profile on these devices that a boot would undo is kept; the last of them.

    The profile may have come in several: what was so already when a later one was applied is in an earlier one.
    """
    devices = {device.device for device in plan.lab.path}
    last, expected = None, file.digest if file else ""
    for each in returning.unkept(keeping.changes(host), profile.name, devices):
        changes.kept(screen, host, word, each, wish.probation_s, expected)
        last, expected = each, ""  # it may be what we have written ourselves now
    return last


@contextmanager
def _ready(screen: Screen, word: str, *, reading: bool) -> Iterator[Host]:
    """The host, able, with nothing of dead runs left on it; where it is only read, those are left alone."""
    with changes.ours(word) as host:
        for line in () if reading else guard.settled(host):
            screen.line(line)
        yield host


def _planned(screen: Screen, host: Host, profile: Profile, wish: Wish) -> Planned:
    told = asked.of(host, wish.devices)
    answers = fits.answers(profile.fits, told.facts, told.devices)
    for each in answers:
        if each.word == "cannot be told":
            screen.line(
                f"{host.name}: whether {profile.name} is for it cannot be told: {each.rule}: {each.why}", "bold"
            )
    unfit = [each for each in answers if each.word == "does not fit"]
    if unfit and not wish.unfit:
        why = "; ".join(f"{each.rule}: {each.why}" for each in unfit)
        raise NotAble(f"profile {profile.name} is not for {host.name}: {why}", hint="--unfit applies it all the same")
    return planning.planned(host, profile, told.devices, riding.asked(host), allow=wish.allow, most=wish.most,
                            keep=wish.persist, vms=wish.vms)  # fmt: skip


def _others(plan: Planned, texts: Texts, places: Sequence[Place]) -> tuple[Other, ...]:
    """Who else sets what the plan would set, but for lines that are written anew."""
    own = {change for each in places for change in each.changes}
    rows = (row for row in plan.rows if row.change not in own)
    return others.found(texts, ((row.setting, row.change.key, row.change.wanted) for row in rows))


def _kept_in(change: Change, places: Sequence[Place], plan: Planned) -> str:
    """What would keep it over boots."""
    kind = owner(change.key).kind
    if kind in BY_ITSELF or lasting.by_the_firewall(change, plan.changes):
        return "the VM's configuration" if change.key.startswith(vm_nics.PREFIX) else pve_firewall.HOST_FW
    return ifupdown.words(change.key, places) or ("/etc/sysctl.d" if kind == "sysctl" else "nettune-boot")


def _also(other: Other, wish: Wish) -> dict[str, object]:
    return {"setting": other.setting, "where": other.where, "text": other.text, "when": other.when,
            "wins": others.wins(other, kept=wish.persist)}  # fmt: skip


def _shown(screen: Screen, profile: Profile, plan: Planned, where: Mapping[str, str]) -> None:
    shown, before = [], ""
    for row in plan.rows:
        ridden = ", ".join((*dict.fromkeys(role.role for role in row.rides), *_above(plan, row))) or "-"
        word = row.setting if row.setting != before else ""
        kept_in = (where[row.change.key],) if where else ()
        shown.append((word, row.change.key, row.now or "absent", row.change.wanted, row.disruption or "?", ridden,
                      *kept_in))  # fmt: skip
        before = row.setting
    if shown:
        screen.table(f"{profile.name} ({profile.label}) on {plan.host.name}",
                     ("setting", "fact", "now", "wanted", "costs", "rides on its device",
                      *(("kept by",) if where else ())), shown)  # fmt: skip
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


def _above(plan: Planned, row: Row) -> tuple[str, ...]:
    """Bonds, bridges and VLANs whose traffic passes the row's device."""
    return tuple(sorted(plan.riding.stack.above(device_of(row.change.key))))


def _rows(plan: Planned, where: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {"setting": row.setting, "fact": row.change.key, "now": row.now or None, "wanted": row.change.wanted,
         "disruption": row.disruption, "rides": [role.why for role in row.rides], "above": list(_above(plan, row)),
         **({"kept_by": where[row.change.key]} if where else {})}
        for row in plan.rows
    ]  # fmt: skip
