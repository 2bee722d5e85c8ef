"""Treatments made of knobs: read, journal, write, read back; undo everything, drag and all, and prove it."""

import contextlib
import fnmatch
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from bench.facts.scope import device_of
from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import Command, CommandFailed, HostFault, Outcome
from bench.labs.guests import STARTED_WITH
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from bench.plan import SettingSpec
from bench.restarts import state
from bench.shield import carried_through, uninterrupted
from bench.treatment import Held
from results.errors import NotAble, WrongInput
from tuning import guard
from tuning.guard import Guard
from tuning.journal import Intent, Journal
from tuning.knobs.knob import Change, Knob, NotSettable
from tuning.knobs.mtu import Mtu
from tuning.knobs.table import KNOBS, knob_for, owner
from tuning.knobs.vm import wanted_of
from tuning.surroundings import repairs
from tuning.through import Before, Through

_SETTLE_S = 4.0  # duplicate address detection of an IPv6 address that came back: 1 s, up to 2 with its random delay
_MTU = KNOBS[Mtu.kind]
_ROUNDS = 3  # of repair: a route may need the address that the round before brought back


class SettingRefused(NotAble):
    """A host did not make of a write what was wanted; everything was undone."""


class RestoreFailed(NotAble):
    """Something could not be put back; it stays in the journal. `ours`: some of that is what we changed."""

    def __init__(self, message: str, *, hint: str = "", ours: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.ours = ours


class Hosts(Protocol):
    """What undo needs: the state of hosts, a way to write to each, and a new start of guests. A Lab is one."""

    def read(self) -> Sheets:
        """The state of every host now."""
        ...

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """Commands on their way on the host of that name; see bench.hosts.host.begun."""
        ...

    def restart(self, wanted: Wanted) -> None:
        """Start guests anew with these facts. Raises NotAble."""
        ...


class Settings:
    """A treatment: settings of a plan, held through their knobs; `outer` is the part that is held around them."""

    def __init__(
        self, name: str, specs: Sequence[SettingSpec], journal: Journal, outer: "Settings | None" = None
    ) -> None:
        self.name = name
        self._journal = journal
        self._outer = outer
        self._known: list[tuple[Lab, Sheets, tuple[Change, ...]]] = []
        self._made: list[tuple[Lab, Sheets, Before]] = []  # what the first hold in a state of a lab made of it
        self._parts = [(spec, _knob(spec)) for spec in specs]
        order = list(KNOBS)
        self._parts.sort(key=lambda part: order.index(part[1].kind))

    def described(self, lab: Lab, now: Sheets) -> tuple[Mapping[str, str], ...]:
        """See Treatment.described."""
        rows = [] if self._outer is None else [*self._outer.described(lab, now)]
        for spec, knob in self._parts:
            target = spec.target or knob.target
            try:
                changes = knob.changes(spec.setting, spec.value, lab, target, now)
            except NotSettable:  # only guests that were started anew can have it
                changes = ()
            was = sorted({_fact(change, now) or "absent" for change in changes})
            rows.append({"setting": spec.setting, "value": spec.value, "target": target, "was": " | ".join(was)})
        return tuple(rows)

    def outer(self, lab: Lab, baseline: Sheets) -> "Settings | None":
        """See Treatment.outer."""
        if self._outer is None:
            return None
        try:
            changes = self._outer.changes(lab, baseline)
        except NotSettable:  # which its refusal tells
            return self._outer
        return None if all(_holds(change, baseline) for change in changes) else self._outer

    def refusal(self, lab: Lab, baseline: Sheets, within: Sheets | None = None) -> str:
        """See Treatment.refusal."""
        try:
            changes = self.changes(lab, baseline if within is None else within)
        except NotSettable as error:
            return str(error)
        if ridden := _ridden(changes, lab):
            return ridden
        if within is None and all(_holds(change, baseline) for change in changes):
            return "already so on this lab: there is nothing to compare with current"
        return ""

    def changes(self, lab: Lab, now: Sheets) -> tuple[Change, ...]:
        """Every fact that it sets, in writing order; raises NotSettable. Asked once per lab and state."""
        for of, at, changes in self._known:
            if of is lab and at is now:
                return changes
        found: list[Change] = []
        for spec, knob in self._parts:
            found += knob.changes(spec.setting, spec.value, lab, spec.target or knob.target, now)
        wanted: dict[tuple[str, str], str] = {}
        for change in found:
            first = wanted.setdefault((change.host, change.key), change.wanted)
            if first != change.wanted:
                raise NotSettable(
                    f"not settable here: {change.key} on {change.host} is asked to be both {first!r} and "
                    f"{change.wanted!r}"
                )
        # The last of each lab: that after a new start is another each time.
        self._known = [*(each for each in self._known if each[0] is not lab), (lab, now, tuple(found))]
        return tuple(found)

    def explains(self, difference: Difference) -> bool:
        """See Treatment.explains."""
        if self._outer is not None and self._outer.explains(difference):
            return True
        return any(knob.explains(spec.setting, difference) for spec, knob in self._parts)

    @contextlib.contextmanager
    def holds(self, lab: Lab, baseline: Sheets) -> Iterator[Held]:
        """See Treatment.holds. Raises SettingRefused, or RestoreFailed (the journal keeps what is outstanding)."""
        changes = [change for change in self.changes(lab, baseline) if not _holds(change, baseline)]
        intent: Intent | None = None
        held: Held | None = None
        guards: dict[str, Guard] = {}
        try:
            with uninterrupted():  # an intent on disk and the undo registered are one step
                intent = self._journal.intend(changes, baseline)
                if lab.guard_s:
                    guard.arm_all(lab.hosts, changes, baseline, self.explains, lab.guard_s, guards)
                within = write(changes, Through(lab, guards, self._before(lab, baseline, changes)))
                wrong = [change for change in changes if not _holds(change, within)]
                # What the kernel made of a write is ours too: undo must not take it for somebody else's change.
                clamped = {(change.host, change.key): _fact(change, within) or "" for change in wrong}
                intent = self._journal.saw(intent, clamped)
            if wrong:
                first = wrong[0]
                raise SettingRefused(
                    f"treatment {self.name}: on {first.host}: {first.key} was set to {first.wanted!r} and reads "
                    f"{_fact(first, within)!r}",
                    hint="the kernel clamps or couples it; choose a value that it takes",
                )
            self._remember(lab, baseline, within, changes)
            # A machine that others use as well is always read whole.
            held = Held(lab, within, () if lab.guard_s else ((each.host, each.key) for each in changes))
            yield held
        finally:
            if intent is not None:
                carried_through(functools.partial(self._put_back, intent, lab, held, guards))

    def _before(self, lab: Lab, baseline: Sheets, changes: Sequence[Change]) -> Before | None:
        """What holding made of the lab before; None for the first time, new guests, and machines that others use."""
        if lab.guard_s or wanted_of(changes):
            return None
        return next((before for of, at, before in self._made if of is lab and at is baseline), None)

    def _remember(self, lab: Lab, baseline: Sheets, within: Sheets, changes: Sequence[Change]) -> None:
        moved = [(each.host, each.key) for each in changes]
        moved += [(each.host, each.key) for each in differences(baseline, within)]
        # The last of each lab, as above.
        self._made = [*(each for each in self._made if each[0] is not lab),
                      (lab, baseline, (within, tuple(dict.fromkeys(moved))))]  # fmt: skip

    def _put_back(self, intent: Intent, lab: Lab, held: Held | None, guards: Mapping[str, Guard]) -> None:
        """Undo, and only then disarm: a host that we cannot reach, or cannot put back, still does it by itself.

        Where one is out of reach nothing can be compared: that is raised at once, and every host does it alone.
        """
        for each in guards.values():
            with contextlib.suppress(guard.NotGuarded, CommandFailed):  # it has fired: undo finds out what is left
                each.renew(lab.guard_s)
        try:
            left = undo(intent, Through(lab, guard.locked(guards)), None if held is None else held.last)
        except RestoreFailed as error:
            if not error.ours:  # somebody else's values would be overwritten when the time comes
                _disarm(guards)
            raise
        if held is not None:
            held.moved = tuple(each for each in left if not self.explains(each))
        self._journal.undone(intent)
        _disarm(guards)


def treatments(plan: Mapping[str, Sequence[SettingSpec]], journal: Journal) -> list[Settings]:
    """A plan's treatments, their settings that start guests anew apart."""
    found = []
    for name, specs in plan.items():
        around = [spec for spec in specs if spec.setting in STARTED_WITH]
        within = [spec for spec in specs if spec not in around]
        found.append(Settings(name, within, journal, Settings(state(specs), around, journal) if around else None))
    return found


def _ridden(changes: Sequence[Change], lab: Lab) -> str:
    """Why a device is left alone: what rides on it; "" where nothing does that the inventory does not allow."""
    for change in changes:
        for role in lab.roles.get(change.host, ()):
            if role.device == device_of(change.key):
                return (
                    f"not settable here: on {change.host}, {role.why}; it is left alone unless the inventory says "
                    f"allow: [{role.role}]"
                )
    return ""


def _disarm(guards: Mapping[str, Guard]) -> None:
    """Every one, though another failed; the first failure is raised."""
    failed: HostFault | None = None
    for each in guards.values():
        try:
            each.disarm()
        except HostFault as error:
            failed = failed or error
    if failed is not None:
        raise failed


def write(changes: Sequence[Change], lab: Hosts, troubles: list[str] | None = None) -> Sheets:
    """Write changes in order, then those that follow others but did not; the state after it.

    With `troubles` a host that fails is noted there, and the others are written all the same.
    """
    if anew := wanted_of(changes):
        lab.restart(anew)
    _run([change for change in changes if not change.follows], lab, troubles)
    now = lab.read()
    late = [change for change in changes if change.follows and not _holds(change, now)]
    if late:
        _run(late, lab, troubles)
        now = lab.read()
    return now


def undo(intent: Intent, lab: Hosts, now: Sheets | None = None) -> tuple[Difference, ...]:
    """Put everything back that the intent changed or dragged along, and compare the whole state.

    `now` is the state as just read, at least of what the intent changed; None to read it here. Gives what was not as
    before once that was written back: what it had dragged along, and what others did meanwhile; it is put back too.
    Raises RestoreFailed naming what is not as it was; a value that somebody else changed meanwhile is not overwritten.
    """
    now = lab.read() if now is None else now
    foreign = [change for change in intent.changes if _foreign(change, intent, now)]
    ours = [
        change for change in intent.changes if change not in foreign and _fact(change, now) != intent.original(change)
    ]
    back = [
        Change(change.host, change.key, original, change.follows)
        for change in reversed(ours)
        if (original := intent.original(change)) is not None
    ]
    troubles: list[str] = []
    if back:
        now = write(back, lab, troubles)
    elif intent.changes:  # of which `now` may tell alone; where nothing was written, it tells all
        now = lab.read()
    left = _left(intent, now, foreign)
    found = tuple(left)
    settled_by = time.monotonic() + _SETTLE_S
    for _ in range(_ROUNDS):
        while any("tentative" in (each.after or "") for each in left) and time.monotonic() < settled_by:
            time.sleep(0.1)
            now = lab.read()
            left = _left(intent, now, foreign)
        if not left:
            break
        by_host = itertools.groupby(left, key=lambda difference: difference.host)
        _tell(lab, {host: repairs(tuple(listed)) for host, listed in by_host}, troubles)
        now = lab.read()
        left = _left(intent, now, foreign)
    if left or foreign:
        said = [*troubles[:1], *(str(difference) for difference in left[:5])]
        said += [
            f"{change.host}: {change.key} reads {_fact(change, now)!r}, neither {intent.original(change)!r} nor "
            f"{change.wanted!r}: somebody else changed it, and it was not overwritten"
            for change in foreign
        ]
        raise RestoreFailed(
            f"not everything could be put back ({len(left) + len(foreign)} facts): {'; '.join(said)}",
            hint="the journal keeps the originals; a lab of namespaces is removed whole by `nettune lab reap`",
            ours=bool(left),
        )
    return found


def _run(changes: Sequence[Change], lab: Hosts, troubles: list[str] | None) -> None:
    """Write without judging exit codes: ethtool exits with 1 when nothing changes; the state read back decides.

    Each host's in order, all hosts at the same time, but for MTUs, whose order along the path counts (ADR 0004).
    """
    for _, wave in itertools.groupby(changes, key=lambda change: change.host if owner(change.key) is _MTU else ""):
        by_host: dict[str, list[Change]] = {}
        for change in wave:
            by_host.setdefault(change.host, []).append(change)
        commands: dict[str, list[Command]] = {}
        for host, own in by_host.items():
            for knob, listed in itertools.groupby(own, key=lambda change: owner(change.key)):
                commands.setdefault(host, []).extend(knob.writes(tuple(listed)))
        _tell(lab, commands, troubles)


def _tell(lab: Hosts, commands: Mapping[str, Sequence[Command]], troubles: list[str] | None) -> None:
    """All of them, though one host fails; its fault is raised at the end, or noted in `troubles`."""
    faults: list[HostFault] = []
    waiting = []
    for host, listed in commands.items():
        try:
            waiting.append(lab.begin(host, listed))
        except HostFault as error:
            faults.append(error)
    for awaited in waiting:
        try:
            awaited()
        except HostFault as error:
            faults.append(error)
    if faults and troubles is None:
        raise faults[0]
    if troubles is not None:
        troubles += [str(error) for error in faults]


def _left(intent: Intent, now: Sheets, foreign: Sequence[Change]) -> list[Difference]:
    known = {(change.host, change.key) for change in foreign}
    touched = {host: now[host] for host in intent.originals}
    return [each for each in differences(intent.originals, touched) if (each.host, each.key) not in known]


def _foreign(change: Change, intent: Intent, now: Sheets) -> bool:
    actual = _fact(change, now)
    ours = (intent.original(change), change.wanted, intent.seen.get((change.host, change.key)))
    if actual is None or any(known is not None and _same(change, known, actual) for known in ours):
        return False
    # A feature that is asked for but off, or the reverse, is a state between ours and the original.
    return not fnmatch.fnmatchcase(actual, "* ?requested *")


def _same(change: Change, known: str, actual: str) -> bool:
    return known == actual or owner(change.key).holds(known, actual)


def _holds(change: Change, now: Sheets) -> bool:
    return owner(change.key).holds(change.wanted, _fact(change, now))


def _fact(change: Change, now: Sheets) -> str | None:
    return now[change.host].facts.get(change.key)


def _knob(spec: SettingSpec) -> Knob:
    knob = knob_for(spec.setting)
    if knob is None:
        raise WrongInput(f"{spec.setting!r} is no knob that nettune knows")
    return knob
