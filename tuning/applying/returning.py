"""A change of a host taken back: by the host's own script while it is armed, fact by fact once it was confirmed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from bench.facts.sheet import FactSheet, Sheets
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from results.errors import NotAble, WrongInput
from tuning import guard
from tuning.applying import keeping, lasting, record, verifying
from tuning.applying.record import Applied
from tuning.guard import Original
from tuning.journal import Intent
from tuning.knobs.table import owner
from tuning.treatments import undo


class SomebodyElses(NotAble):
    """A value is neither what was there before the change nor what the change made of it."""


def chosen(host: str, changes: Sequence[Applied], change_id: str) -> Applied:
    """The change of that id, or the last that stands. Raises WrongInput naming what there is."""
    standing = [each for each in changes if each.stands]
    found = [each for each in changes if each.change_id == change_id] if change_id else standing[-1:]
    if not found:
        there = ", ".join(f"{each.change_id} ({each.profile})" for each in standing) or "none"
        what = f"no change {change_id}" if change_id else "nothing to take back"
        raise WrongInput(f"on {host}: {what}", hint=f"changes that stand there: {there}")
    later = standing[standing.index(found[0]) + 1 :] if found[0] in standing else []
    shared = [each for each in later if set(each.known) & set(found[0].known)]
    if shared:
        raise WrongInput(
            f"on {host}: change {shared[0].change_id} ({shared[0].profile}) came later and moved the same",
            hint=f"take that back first: --to {shared[0].change_id}",
        )
    return found[0]


def odd(applied: Applied, now: FactSheet) -> tuple[str, ...]:
    """The facts that somebody else has changed since, in words."""
    found = []
    for key, values in applied.known.items():
        actual = now.facts.get(key)
        if not any(_same(key, known, actual) for known in values):
            before, after = values
            found.append(f"{key} reads {actual!r}, neither {before!r} (before) nor {after!r} (applied)")
    return tuple(found)


def take_back(host: Host, lab: Lab, applied: Applied, *, anyway: bool = False) -> str:
    """The host has what it had before, compared fact by fact; what was left of its files, in words.

    Raises SomebodyElses where it would overwrite what others set since (unless `anyway`), RestoreFailed where
    something cannot be put back, WrongInput for what was taken back before.
    """
    if applied.state == "rolled back":
        raise WrongInput(f"on {host.name}: change {applied.change_id} was taken back before")
    if applied.state == "booted since":  # nothing of it is left; it need not stand any longer
        keeping.rolled_back(host, applied.change_id)
        return ""
    if applied.state == "armed":
        guard.put_back(host, applied.change_id)
        verifying.settled(lambda: odd(applied, lab.read()[host.name]))
    now = lab.read()[host.name]
    if (others := odd(applied, now)) and not anyway:
        raise SomebodyElses(
            f"on {host.name}: somebody else changed this since: {'; '.join(others)}",
            hint="--anyway puts back what was there before the change",
        )
    left = lasting.unkeep(host, applied.change_id) if applied.kept else ""
    changes = tuple(each for each in applied.changes if each.key in applied.known)
    seen = {(host.name, key): value for key in applied.known if (value := now.facts.get(key)) is not None}
    part = _Part(lab, host, frozenset(applied.known))
    undo(Intent(1, changes, {host.name: record.before(applied)}, seen), part)
    keeping.rolled_back(host, applied.change_id)
    return left


def _same(key: str, known: str | None, actual: str | None) -> bool:
    if known == actual:
        return True
    try:
        return known is not None and owner(key).holds(known, actual)
    except KeyError:  # no knob's: dragged along
        return False


class _Part:
    """A host of which only some facts are seen: what else became of it since is nobody's to take back."""

    def __init__(self, lab: Lab, host: Host, keys: Collection[str]) -> None:
        self._lab, self._host, self._keys = lab, host, keys

    def read(self) -> Sheets:
        """See tuning.treatments.Hosts."""
        sheets = self._lab.read()
        return {
            name: replace(sheet, facts={key: value for key, value in sheet.facts.items() if key in self._keys})
            for name, sheet in sheets.items()
        }

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """See tuning.treatments.Hosts: under the host's lock."""
        del host
        return Original(self._host).begin(commands)

    def restart(self, wanted: Wanted) -> None:
        """See tuning.treatments.Hosts."""
        self._lab.restart(wanted)
