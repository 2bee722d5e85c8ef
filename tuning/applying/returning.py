"""A change of a host taken back: by the host's own script while it is armed, fact by fact once it was confirmed."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from bench.facts import irqs, rss
from bench.facts.riding import Riding
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, FactSheet, Sheets, differences
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from results.errors import NotAble, WrongInput
from tuning import guard, restoring
from tuning.applying import clusters, keeping, lasting, planning, record, verifying
from tuning.applying.planning import Row
from tuning.applying.record import Applied
from tuning.bearing import disruption
from tuning.guard import Original
from tuning.journal import Intent
from tuning.knobs.knob import Change
from tuning.knobs.table import BY_ITSELF, knob_for, owner
from tuning.undoing import RestoreFailed, undo

_BACK = "-back"  # after a change's id: the folder of the script that takes it back
_ALONE_S = 10  # after which the host takes it back though nobody tells it to
_TAKES_S = 120  # at most, with the legs of a bond and a busy host
_SETTLES_S = 4.0  # of what a link that was reset a moment ago has for a while; an address is checked for up to 2 s
_RESETS = "d3"  # from here on a NIC may be started anew


class SomebodyElses(NotAble):
    """A value is neither what was there before the change nor what the change made of it."""


def chosen(host: str, changes: Sequence[Applied], change_id: str) -> Applied:
    """The change of that id, or the last that stands, also in part. Raises WrongInput naming what there is.

    NotAble where its record cannot be read: only its host can take it back then.
    """
    standing = [each for each in changes if each.outstanding]
    found = [each for each in changes if each.change_id == change_id] if change_id else standing[-1:]
    if not found:
        there = ", ".join(f"{each.change_id} ({each.profile})" for each in standing) or "none"
        what = f"no change {change_id}" if change_id else "nothing to take back"
        last = changes[-1] if changes and changes[-1].overwrote and not change_id else None
        alone = f"; the last one, {last.change_id}, {last.state_words}" if last else ""
        raise WrongInput(f"on {host}: {what}{alone}", hint=f"changes that stand there: {there}")
    later = standing[standing.index(found[0]) + 1 :] if found[0] in standing else []
    shared = [each for each in later if set(each.known) & set(found[0].known)]
    if shared:
        raise WrongInput(
            f"on {host}: change {shared[0].change_id} ({shared[0].profile}) came later and moved the same",
            hint=f"take that back first: --to {shared[0].change_id}",
        )
    if found[0].unreadable:
        raise NotAble(
            f"on {host}: change {found[0].change_id} ({found[0].state}): {found[0].unreadable}",
            hint=f"at the host itself: sh {guard.ROOT}/{found[0].change_id}/restore now; another change: --to",
        )
    return found[0]


def unkept(changes: Sequence[Applied], profile: str, devices: Collection[str]) -> tuple[Applied, ...]:
    """The changes of a profile on these devices that stand and that a boot would undo, oldest first.

    Each without what a later change that stands sets too: at boot the later value must be the one.
    """
    found = []
    for place, each in enumerate(changes):
        if each.state != "confirmed" or each.profile != profile or set(each.devices) != set(devices):
            continue
        later = {change.key for other in changes[place + 1 :] if other.to_stand for change in other.changes}
        own = tuple(change for change in each.changes if change.key not in later)
        if own:
            moved = {key: values for key, values in each.moved.items() if key not in later}
            found.append(replace(each, changes=own, moved=moved))
    return tuple(found)


def odd(applied: Applied, now: FactSheet) -> tuple[str, ...]:
    """The facts that somebody else has changed since, in words."""
    found = []
    own = {each.key for each in applied.changes}
    for key, values in applied.known.items():
        actual = now.facts.get(key)
        if applied.kept and key not in own:
            continue  # what it dragged along may be otherwise after a boot, and that is nobody's doing
        if not any(record.same(key, known, actual) for known in values):
            before, after = values
            found.append(f"{key} reads {actual!r}, neither {before!r} (before) nor {after!r} (applied)")
    return tuple(found)


def take_back(
    host: Host,
    lab: Lab,
    applied: Applied,
    riding: Riding,
    *,
    allow: Collection[str] = (),
    anyway: bool = False,
    unclaimed: bool = False,
) -> str:
    """The host has what it had before, compared fact by fact; what was left of its files or overwritten, in words.

    A confirmed change is taken back by a script on the host, which comes to its end whatever becomes of us; a node is
    claimed for it as by apply, unless `unclaimed`. One that is armed, or half put back, is the claim's own: its guard's
    script runs to its end.
    Raises SomebodyElses where it would overwrite what others set since (unless `anyway`), NotAble where taking it back
    would start a NIC anew that a role rides on which is not in `allow`, ClusterNotWell where another node is changed,
    RestoreFailed where something cannot be put back, WrongInput for what was taken back before.
    """
    if applied.state == "rolled back":
        raise WrongInput(f"on {host.name}: change {applied.change_id} was taken back before")
    under_way = applied.state in {"armed", "begun"}
    if applied.state == "booted since" or applied.booted:
        applied = record.after_a_boot(applied)
    if not applied.changes and not under_way:  # nothing of it is left; it need not stand any longer
        keeping.rolled_back(host, applied.change_id)
        return ""
    guard.finished(host, f"{applied.change_id}{_BACK}")  # a rollback that was cut off
    applied, said = _but_balanced(host, applied)
    over = _brought_to_its_end(host, lab, applied, anyway=anyway) if under_way else ()
    # What a rollback that was cut off has put back a moment ago settles too: an address that is still being checked.
    now, others = _at_rest(host, lab, applied, verifying.SETTLE_S if under_way else 0.0 if anyway else _SETTLES_S)
    if others and not anyway:
        raise SomebodyElses(
            f"on {host.name}: somebody else changed this since: {'; '.join(others)}",
            hint="--anyway puts back what was there before the change",
        )
    overwritten = f"overwritten: {'; '.join(over or others)}" if over or others else ""
    intent, known = _intended(host, applied, now)
    if under_way:
        _compared(host, lab, applied, intent, known)
        return "\n".join(filter(None, (said, overwritten)))
    _refused(host, lab, riding, applied, intent, now, allow)
    with contextlib.nullcontext() if unclaimed else _claimed(host):
        left = _carried_out(host, applied, intent, now)
        _compared(host, lab, applied, intent, known)
    return "\n".join(filter(None, (left, said, overwritten)))


def _brought_to_its_end(host: Host, lab: Lab, applied: Applied, *, anyway: bool) -> Sequence[str]:
    """The script of a change that nobody confirmed has run; what of somebody else's went, in words. See take_back."""
    began = time.monotonic()
    _, others = _at_rest(host, lab, applied, 0.0 if anyway else _SETTLES_S)
    if others and not anyway:
        left_s = max(0, applied.left_s - round(time.monotonic() - began))
        alone = f"; untold the host puts it back all the same in {left_s} s" if applied.state == "armed" else ""
        keeps = "; `nettune confirm` leaves all as it is" if applied.state == "armed" else ""
        raise SomebodyElses(
            f"on {host.name}: nothing was put back: somebody else changed this since: {'; '.join(others)}{alone}",
            hint=f"--anyway puts back what was there before the change{keeps}",
        )
    if applied.booted:
        guard.left_by_a_boot(host, applied.change_id)
    else:
        guard.put_back(host, applied.change_id)
    clusters.release(host)
    return others


def _at_rest(host: Host, lab: Lab, applied: Applied, within_s: float) -> tuple[FactSheet, Sequence[str]]:
    """Its state, and what somebody else has changed of it (see `odd`), asked again for so long while there is any."""
    seen: list[FactSheet] = []

    def others() -> tuple[str, ...]:
        seen[:] = [lab.read()[host.name]]
        return odd(applied, seen[0])

    found = verifying.settled(others, within_s)
    return seen[0], found


def _intended(host: Host, applied: Applied, now: FactSheet) -> tuple[Intent, Collection[str]]:
    """What is to be put back, and the facts that count."""
    changes = tuple(each for each in applied.changes if each.key in applied.known)
    own = {each.key for each in changes}
    known = {key for key, (_, after) in applied.known.items()
             if not applied.kept or key in own or record.same(key, after, now.facts.get(key))}  # fmt: skip
    # A driver that is set up anew for it takes its own RSS table: what somebody has chosen stays.
    spread = rss.chosen(now.facts, {device_of(each.key) for each in changes})
    stays = {key: value for key, value in spread.items() if key not in applied.known and rss.writing(key, value)}
    known |= stays.keys()
    was = record.before(applied)
    before = replace(was, facts={key: value for key, value in was.facts.items() if key in known} | stays)
    seen = {(host.name, key): value for key in known if (value := now.facts.get(key)) is not None}
    return Intent(1, changes, {host.name: before}, seen), known


@contextlib.contextmanager
def _claimed(host: Host) -> Iterator[None]:
    """No other node of its cluster is changed meanwhile. Where our way is lost the host goes on, and the claim ends."""
    clusters.claim(host, _TAKES_S, emergency="--unclaimed takes it back all the same")
    try:
        yield
    except (RestoreFailed, guard.NotGuarded):
        clusters.release(host)
        raise
    clusters.release(host)


def _compared(host: Host, lab: Lab, applied: Applied, intent: Intent, known: Collection[str]) -> None:
    """What the host's script has not put back is now, and the change is marked. Raises RestoreFailed."""
    try:
        undo(intent, _Part(lab, host, known))
    except RestoreFailed:
        keeping.stands_still(host, applied.change_id)
        guard.finished(host, f"{applied.change_id}{_BACK}")
        raise
    keeping.rolled_back(host, applied.change_id)
    guard.finished(host, f"{applied.change_id}{_BACK}")


def _but_balanced(host: Host, applied: Applied) -> tuple[Applied, str]:
    """The change without interrupts where irqbalance moves them by now: they are nobody's to put back; and in words."""
    theirs = [key for key in applied.known if key.startswith("irq/")]
    if not theirs or not host.run(irqs.BALANCER).ok:
        return applied, ""
    left = tuple(each for each in applied.changes if not each.key.startswith("irq/"))
    moved = {key: values for key, values in applied.known.items() if key not in theirs}
    return replace(applied, changes=left, moved=moved), "irqbalance runs: interrupts are left to it"


def _refused(
    host: Host, lab: Lab, riding: Riding, applied: Applied, intent: Intent, now: FactSheet, allow: Collection[str]
) -> None:
    """Raise NotAble where taking it back may cut off what rides on its devices, or the node from its cluster."""
    rows = []
    for each in intent.changes:
        was, actual, costs = intent.original(each), now.facts.get(each.key), _costs(applied, each)
        if was is None or record.same(each.key, was, actual) or costs < _RESETS:
            continue
        rides = tuple(role for role in lab.roles[host.name] if role.device == device_of(each.key))
        rows.append(Row(each.key, replace(each, wanted=was), actual or "", costs, rides))
    said = [f"{key}: {why}" for key, why in planning.fenced(host, rows, riding)]
    missing = dict.fromkeys(role for row in rows for role in row.rides if role.role not in allow)
    for role in missing:
        ridden = [row for row in rows if role in row.rides]
        most = max(ridden, key=lambda row: row.disruption)
        more = f" (and {len(ridden) - 1} more)" if len(ridden) > 1 else ""
        costs = f"{most.setting}{more}: that costs {most.disruption}"
        said.append(f"{costs}, and {role.why}: --allow {role.role} says that this is known")
    if said:
        options = " ".join(f"--allow {role}" for role in sorted({*allow, *(each.role for each in missing)}))
        hint = f"where that is known: {options}" if missing else ""
        raise NotAble(f"on {host.name}: nothing was taken back: {'; '.join(said)}", hint=hint)


def _costs(applied: Applied, change: Change) -> str:
    """The most that a setting costs which may have made this change: its undo does the same to the path."""
    moved = Difference(change.host, change.key, None, None)
    words = [word for word, _ in applied.settings if (knob := knob_for(word)) and knob.explains(word, moved)]
    return max((disruption(word) for word in words), default="d4")


def _carried_out(host: Host, applied: Applied, intent: Intent, now: FactSheet) -> str:
    """The host's own script has run: armed first, so that the host runs it alone where we are lost; see take_back."""
    before = intent.originals[host.name]
    there = replace(now, facts={key: value for (_, key), value in intent.seen.items()})
    if not differences(intent.originals, {host.name: there}):  # by a rollback that was cut off
        return lasting.unkeep(host, applied.change_id) if applied.kept else ""
    ours = [
        each for each in intent.changes if not record.same(each.key, intent.original(each), now.facts.get(each.key))
    ]
    outlive = [each for each in ours if owner(each.key).kind in BY_ITSELF]
    surplus = [key for key, (was, _) in applied.known.items()
               if was is None and (host.name, key) in intent.seen and " proto kernel" not in key]  # fmt: skip
    lines = restoring.undoing(ours, before, lambda _: True, surplus)
    files = restoring.undoing(outlive, before, lambda _: False)
    about = f"{restoring.ROLLBACK}{applied.change_id}"
    script = restoring.script(lines, about, files=files, of=applied.change_id)
    armed = guard.arm(host, script, _ALONE_S, f"{applied.change_id}{_BACK}")
    try:
        left = lasting.unkeep(host, applied.change_id) if applied.kept else ""
        guard.put_back(host, armed.guard_id)
    except BaseException as error:
        error.add_note(f"{host.name} takes change {applied.change_id} back by itself, to the end: nettune history")
        raise
    return left


class _Part:
    """A host of which only some facts are seen: what else became of it since is nobody's to take back."""

    def __init__(self, lab: Lab, host: Host, keys: Collection[str]) -> None:
        self._lab, self._host, self._keys = lab, host, keys

    def read(self) -> Sheets:
        """See tuning.undoing.Hosts."""
        sheets = self._lab.read()
        return {
            name: replace(sheet, facts={key: value for key, value in sheet.facts.items() if key in self._keys})
            for name, sheet in sheets.items()
        }

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """See tuning.undoing.Hosts: under the host's lock."""
        del host
        return Original(self._host).begin(commands)

    def restart(self, wanted: Wanted) -> None:
        """See tuning.undoing.Hosts."""
        self._lab.restart(wanted)
