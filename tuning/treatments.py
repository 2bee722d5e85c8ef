"""Treatments made of knobs: read, journal, write, read back; undo everything, drag and all, and prove it (undoing)."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence

from bench.facts.scope import device_of
from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import CommandFailed, HostFault
from bench.labs.guests import ANEW
from bench.labs.lab import Lab
from bench.plan import SettingSpec
from bench.restarts import state
from bench.shield import carried_through, uninterrupted
from bench.treatment import Held
from results.errors import NotAble, WrongInput
from tuning import guard
from tuning.guard import Guard
from tuning.journal import Intent, Journal
from tuning.knobs.knob import Change, Knob, NotSettable
from tuning.knobs.table import KNOBS, knob_for
from tuning.knobs.vm import wanted_of
from tuning.through import Before, Through
from tuning.undoing import RestoreFailed, fact, holds, undo, write

_STARTED_S = 900.0  # of guests that are started anew, with all that they do at it


class SettingRefused(NotAble):
    """A host did not make of a write what was wanted; everything was undone."""


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
        self._guards: dict[str, Guard] = {}
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
            was = sorted({fact(change, now) or "absent" for change in changes})
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
        return None if all(holds(change, baseline) for change in changes) else self._outer

    def refusal(self, lab: Lab, baseline: Sheets, within: Sheets | None = None) -> str:
        """See Treatment.refusal."""
        try:
            changes = self.changes(lab, baseline if within is None else within)
        except NotSettable as error:
            return str(error)
        if ridden := _ridden(changes, lab) or self._twice(changes, lab, baseline):
            return ridden
        if within is None and all(holds(change, baseline) for change in changes):
            return "already so on this lab: there is nothing to compare with current"
        return ""

    def _twice(self, changes: Sequence[Change], lab: Lab, baseline: Sheets) -> str:
        """Why not: a machine that others use has one guard at a time, and the outer part's is armed."""
        around = () if self._outer is None else self._outer.changes(lab, baseline)
        both = {each.host for each in around} & {each.host for each in changes} & {each.name for each in lab.guarded}
        return f"not settable here: {min(both)} is guarded for what starts guests anew already" if both else ""

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
        changes = [change for change in self.changes(lab, baseline) if not holds(change, baseline)]
        intent: Intent | None = None
        held: Held | None = None
        guards = self._guards = dict[str, Guard]()
        try:
            if self._outer is not None:
                self._outer.renew(lab)
            with uninterrupted():  # an intent on disk and the undo registered are one step
                intent = self._journal.intend(changes, baseline)
                if lab.guard_s:
                    guard.arm_all(lab.guarded, changes, baseline, self.explains, self._guard_s(lab), guards)
                through = Through(lab, guards, self._before(lab, baseline, changes), was=baseline)
                within = write(changes, through)
                wrong = [change for change in changes if not holds(change, within)]
                # What the kernel made of a write is ours too: undo must not take it for somebody else's change.
                clamped = {(change.host, change.key): fact(change, within) or "" for change in wrong}
                intent = self._journal.saw(intent, clamped)
            if wrong:
                first = wrong[0]
                raise SettingRefused(
                    f"treatment {self.name}: on {first.host}: {first.key} was set to {first.wanted!r} and reads "
                    f"{fact(first, within)!r}",
                    hint="the kernel clamps or couples it; choose a value that it takes",
                )
            self._remember(lab, baseline, within, [*((each.host, each.key) for each in changes), *through.lost])
            # A machine that others use as well is always read whole.
            held = Held(lab, within, () if lab.guard_s else ((each.host, each.key) for each in changes))
            yield held
        finally:
            if intent is not None:
                carried_through(functools.partial(self._put_back, intent, lab, held, guards))

    def renew(self, lab: Lab) -> None:
        """Its guards wait their whole time from now on. Raises NotGuarded where one has fired."""
        for each in self._guards.values():
            each.renew(self._guard_s(lab))

    def _guard_s(self, lab: Lab) -> float:
        """What starts guests anew is held while they start, over two trials that are not counted, and the next one."""
        anew = any(spec.setting in ANEW for spec, _ in self._parts)
        return _STARTED_S + 3 * lab.guard_s if anew else lab.guard_s

    def _before(self, lab: Lab, baseline: Sheets, changes: Sequence[Change]) -> Before | None:
        """What holding made of the lab before; None for the first time, new guests, and machines that others use."""
        if lab.guard_s or wanted_of(changes):
            return None
        return next((before for of, at, before in self._made if of is lab and at is baseline), None)

    def _remember(self, lab: Lab, baseline: Sheets, within: Sheets, asked: Sequence[tuple[str, str]]) -> None:
        """`asked`: what was set, and the links that had lost their carrier for a while: they will again."""
        moved = [*asked, *((each.host, each.key) for each in differences(baseline, within))]
        # The last of each lab, as above.
        self._made = [*(each for each in self._made if each[0] is not lab),
                      (lab, baseline, (within, tuple(dict.fromkeys(moved))))]  # fmt: skip

    def _put_back(self, intent: Intent, lab: Lab, held: Held | None, guards: Mapping[str, Guard]) -> None:
        """Undo, and only then disarm: a host that we cannot reach, or cannot put back, still does it by itself.

        Where one is out of reach nothing can be compared: that is raised at once, and every host does it alone.
        """
        for each in guards.values():
            with contextlib.suppress(guard.NotGuarded, CommandFailed):  # it has fired: undo finds out what is left
                each.renew(self._guard_s(lab))
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
        around = [spec for spec in specs if spec.setting in ANEW]
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


def _knob(spec: SettingSpec) -> Knob:
    knob = knob_for(spec.setting)
    if knob is None:
        raise WrongInput(f"{spec.setting!r} is no knob that nettune knows")
    return knob
