"""Whether what was applied still stands: fact by fact, and who or what may have moved the others. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.facts import rss
from bench.facts.scope import device_of
from bench.facts.sheet import FactSheet
from results.errors import first_of
from tuning.applying import others, record
from tuning.applying.lasting import Standing
from tuning.applying.others import Texts
from tuning.applying.record import Applied
from tuning.knobs.catalogue import entries_for
from tuning.knobs.knob import Change
from tuning.knobs.table import knob_for, owner

FILES, UNDO, RECORD = "its files", "its undo", "its record"  # in place of a fact
_LATE_S = 70  # after its deadline: a host's script waits 60 s for its lock
_NOT_BACK = "the host put itself back, but for this (its log says why), or somebody has set it again"


@dataclass(frozen=True, slots=True)
class Drift:
    """A fact of a change, or a file of one that is kept, that is not as it was applied."""

    applied: Applied
    key: str
    wanted: str
    actual: str | None
    cause: str

    @property
    def words(self) -> str:
        """What is otherwise, and why."""
        if self.key in {FILES, UNDO, RECORD}:
            return f"{self.key}: {self.cause}"
        reads = f"reads {self.actual!r}" if self.actual is not None else "is gone"
        ours = self.applied.state != "put itself back" and self.key not in self.applied.spread
        return f"{self.key}: {reads}, {'applied' if ours else 'before'} was {self.wanted!r}: {self.cause}"


def outstanding(changes: Sequence[Applied], now: FactSheet) -> tuple[Drift, ...]:
    """Changes that stand half: put back in part, or not at all though their time is over; and what cannot be read."""
    found = []
    for each in changes:
        late = each.state == "armed" and each.left_s < -_LATE_S
        if each.unreadable and each.outstanding:
            found.append(Drift(each, RECORD, "readable", None, f"change {each.change_id} ({each.state}): "
                               f"{each.unreadable}; whether it stands cannot be told"))  # fmt: skip
        elif each.state == "begun" or late:
            known = (record.after_a_boot(each) if each.booted else each).known
            left = [key for key, (was, _) in known.items() if not record.same(key, was, now.facts.get(key))]
            why = ("it was booted before anybody confirmed it, and what files hold was not put back" if each.booted
                   else "its time is over, and nobody has put it back" if late
                   else "the host began to put it back, and was cut short")  # fmt: skip
            what = f"not as before: {first_of(left, 4)}" if left else "all that it moved reads as before"
            of = f"change {each.change_id} ({each.profile})"
            cause = f"{of}: {why}; {what}: `nettune rollback` brings it to its end"
            found.append(Drift(each, UNDO, "as before", None, cause))
    return tuple(found)


def drifted(
    changes: Sequence[Applied], now: FactSheet, owners: Collection[str], texts: Texts | None = None
) -> tuple[Drift, ...]:
    """What differs, of every change that was confirmed and not taken back. `owners`: programs that write knobs there.

    And what a host that put itself back did not put back: its script compares nothing. `texts` is what stands in the
    host's files (others.asked).

    Where two changes set the same, the later one's value is what is wanted.
    """
    wanted: dict[str, tuple[Applied, Change]] = {}
    undone: dict[str, tuple[Applied, Change]] = {}
    for applied in changes:
        own = {each.key: (applied, each) for each in applied.changes}
        undone = {key: each for key, each in undone.items() if key not in own}
        if applied.to_stand or applied.state == "booted since":
            wanted |= own
        elif applied.state == "put itself back":
            undone |= own
    found = []
    for key, (applied, change) in undone.items():
        actual, original = now.facts.get(key), applied.originals.get(key)
        if key not in wanted and owner(key).holds(change.wanted, actual) and not record.same(key, original, actual):
            found.append(Drift(applied, key, original or "absent", actual, _NOT_BACK))
    for key, (applied, change) in wanted.items():
        actual = now.facts.get(key)
        if not owner(key).holds(change.wanted, actual):
            cause = _cause(applied, change, actual, owners, texts or {})
            found.append(Drift(applied, key, change.wanted, actual, cause))
    return tuple(found)


def overwritten(changes: Sequence[Applied], now: FactSheet) -> tuple[str, ...]:
    """Of what somebody else had set, what a host put itself back over, and nobody has set anew: a sentence for each."""
    found: dict[str, str] = {}
    for each in changes:
        found = {key: said for key, said in found.items() if key not in each.known}
        found |= {key: f"change {each.change_id} ({each.profile}) {each.state} over {key} {value!r}, which somebody "
                  "else had set while it waited" for key, value in each.overwrote.items()
                  if record.same(key, each.originals.get(key), now.facts.get(key))}  # fmt: skip
    return tuple(found.values())


def of_files(changes: Sequence[Applied], standing: Sequence[Standing]) -> tuple[Drift, ...]:
    """What is not as it was written, of the files of changes that are kept over boots."""
    by_id = {each.change_id: each for each in changes}
    return tuple(
        Drift(by_id[each.change_id], FILES, "as they were written", None, each.odd)
        for each in standing
        if each.odd and each.change_id in by_id
    )


def of_spread(changes: Sequence[Applied], now: FactSheet) -> tuple[Drift, ...]:
    """RSS tables and keys that somebody had chosen when a change that stands was made, and that nobody has chosen now.

    Of a device the last change counts. Another choice is somebody's, and no drift.
    """
    wanted: dict[str, tuple[Applied, str]] = {}
    for applied in changes:
        if applied.to_stand or applied.state == "booted since":
            devices = {device_of(each.key) for each in applied.changes}
            wanted = {key: each for key, each in wanted.items() if device_of(key) not in devices}
            wanted |= {key: (applied, value) for key, value in applied.spread.items() if key not in applied.moved}
    found = []
    for key, (applied, value) in wanted.items():
        device, actual = device_of(key), now.facts.get(key)
        if actual is None or key in rss.chosen(now.facts, (device,)):
            continue
        again = f"`{command}` sets it again" if (command := rss.writing(key, value)) else "set it again"
        cause = f"{device}'s driver was reset, its channels were changed, or the host was booted: {again}"
        found.append(Drift(applied, key, value, actual, cause))
    return tuple(found)


def _cause(applied: Applied, change: Change, actual: str | None, owners: Collection[str], texts: Texts) -> str:
    key, device = change.key, device_of(change.key)
    words = [(word, key, change.wanted) for word, _ in applied.settings if knob_for(word) is owner(key)]
    told = others.found(texts, words)
    # Who is seen to set just that value; else who may.
    setting = next((each for each in told if actual is not None and owner(key).holds(each.value, actual)), None)
    if applied.state == "booted since":
        said = f"; {setting.where} sets it at boot" if setting else ""
        return f"the host was booted since, and the setting is not kept over a boot{said}"
    if actual is None:
        return f"it is gone: has {device} been made anew?" if device else "it is gone: is its module still loaded?"
    named = [key.rpartition("/")[2], *(word for word, _, _ in words)]
    if of := {each.owner for name in named for each in entries_for(name)} & set(owners):
        return f"{', '.join(sorted(of))} writes it there"
    if setting := setting or next((each for each in told if each.when != "at boot"), None):
        return f"{setting.where} sets it ({setting.text})" + (": ifreload?" if "ifreload" in setting.when else "")
    if actual == applied.originals.get(key):
        return "it has the value from before again: a driver that was reset, ifreload, or somebody's hand"
    return "somebody set another value"
