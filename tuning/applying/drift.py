"""Whether what was applied still stands: fact by fact, and who or what may have moved the others. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.facts.scope import device_of
from bench.facts.sheet import FactSheet
from tuning.applying.record import Applied
from tuning.knobs.catalogue import entries_for
from tuning.knobs.knob import Change
from tuning.knobs.table import owner


@dataclass(frozen=True, slots=True)
class Drift:
    """A fact of a change that is not as it was applied."""

    applied: Applied
    key: str
    wanted: str
    actual: str | None
    cause: str


def drifted(changes: Sequence[Applied], now: FactSheet, owners: Collection[str]) -> tuple[Drift, ...]:
    """What differs, of every change that was confirmed and not taken back. `owners`: programs that write knobs there.

    Where two changes set the same, the later one's value is what is wanted.
    """
    wanted: dict[str, tuple[Applied, Change]] = {}
    for applied in changes:
        if applied.state in {"confirmed", "booted since"}:
            wanted |= {each.key: (applied, each) for each in applied.changes}
    found = []
    for key, (applied, change) in wanted.items():
        actual = now.facts.get(key)
        if not owner(key).holds(change.wanted, actual):
            found.append(Drift(applied, key, change.wanted, actual, _cause(applied, key, actual, owners)))
    return tuple(found)


def _cause(applied: Applied, key: str, actual: str | None, owners: Collection[str]) -> str:
    device = device_of(key)
    if applied.state == "booted since":
        return "the host was booted since, and the setting is not kept over a boot"
    if actual is None:
        return f"it is gone: has {device} been made anew?" if device else "it is gone: is its module still loaded?"
    if of := {each.owner for each in entries_for(key.rpartition("/")[2])} & set(owners):
        return f"{', '.join(sorted(of))} writes it there"
    if actual == applied.originals.get(key):
        return "it has the value from before again: a driver that was reset, ifreload, or somebody's hand"
    return "somebody set another value"
