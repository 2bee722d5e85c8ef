"""Journal: originals on disk before any write, so that anyone can restore what is outstanding, at any time.

JSON lines, each fsynced, the file's name too. `sheet` lines hold whole fact sheets once, by digest; an `intent` names
the changes and the sheets to come back to; `seen` holds what a host made of a write; `undone` closes an intent.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.facts.sheet import FactSheet, Sheets
from bench.labs.lease import append_durably, create_durably, read_lines
from results.errors import WrongInput
from tuning.knobs.knob import Change

FORMAT = 1  # 1 (2026-11-23): sheet, intent, seen, undone


@dataclass(frozen=True, slots=True)
class Intent:
    """A group of changes under way. `seen`: what the host read back after the write, where it differs from wanted."""

    intent_id: int
    changes: tuple[Change, ...]
    originals: Sheets  # the full state to come back to, of every host touched
    seen: Mapping[tuple[str, str], str]  # (host, key) -> value

    def original(self, change: Change) -> str | None:
        """The fact before the change; None when it was absent."""
        return self.originals[change.host].facts.get(change.key)


class Journal:
    """Writes the journal of one run; made by `kept`."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._file = file
        self._sheets: set[str] = set()
        self._next = 1
        self._open: set[int] = set()

    def intend(self, changes: Sequence[Change], originals: Sheets) -> Intent:
        """On disk when this returns; only then may the first change be written."""
        hosts = {change.host for change in changes}
        for name in sorted(hosts):
            sheet = originals[name]
            if sheet.digest not in self._sheets:
                append_durably(self._file, {"sheet": sheet.digest, "host": name, "facts": dict(sheet.facts)})
                self._sheets.add(sheet.digest)
        intent = Intent(self._next, tuple(changes), {name: originals[name] for name in hosts}, {})
        self._next += 1
        append_durably(
            self._file,
            {
                "intent": intent.intent_id,
                "changes": [[change.host, change.key, change.wanted, change.follows] for change in changes],
                "originals": {name: originals[name].digest for name in sorted(hosts)},
            },
        )
        self._open.add(intent.intent_id)
        return intent

    def saw(self, intent: Intent, seen: Mapping[tuple[str, str], str]) -> Intent:
        """Note values that hosts made of the writes (clamped, rounded), so that undo knows them as ours."""
        if seen:
            rows = [[host, key, value] for (host, key), value in seen.items()]
            append_durably(self._file, {"seen": intent.intent_id, "values": rows})
        return Intent(intent.intent_id, intent.changes, intent.originals, dict(seen))

    def undone(self, intent: Intent) -> None:
        """The originals are back and were compared: nothing of this intent is outstanding."""
        append_durably(self._file, {"undone": intent.intent_id})
        self._open.discard(intent.intent_id)

    @property
    def clean(self) -> bool:
        """True when nothing is outstanding."""
        return not self._open


@contextlib.contextmanager
def kept(path: Path) -> Iterator[Journal]:
    """A new journal at `path`; removed on leaving when nothing is outstanding, kept otherwise."""
    with create_durably(path) as file:
        append_durably(file, {"journal": FORMAT})
        journal = Journal(path, file)
        try:
            yield journal
        finally:
            if journal.clean:
                path.unlink(missing_ok=True)


def outstanding(path: Path) -> tuple[Intent, ...]:
    """The intents of a journal that were not undone, oldest first. Raises WrongInput for what is no journal."""
    lines = read_lines(path)
    if not lines:
        return ()
    if lines[0].get("journal") != FORMAT:
        raise WrongInput(
            f"{path} is no journal of format {FORMAT}: it begins with {str(lines[0])[:80]}",
            hint="it may belong to a newer nettune",
        )
    sheets: dict[str, FactSheet] = {}
    intents: dict[int, Intent] = {}
    try:
        for line in lines[1:]:
            _take(line, sheets, intents)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongInput(f"{path} is damaged: {error!r}", hint="restore by hand from what it still says") from error
    return tuple(intents.values())


def _take(line: Mapping[str, Any], sheets: dict[str, FactSheet], intents: dict[int, Intent]) -> None:  # Any: JSON
    if "sheet" in line:
        sheets[line["sheet"]] = FactSheet(line["host"], dict(line["facts"]))
    elif "intent" in line:
        changes = tuple(Change(host, key, wanted, bool(follows)) for host, key, wanted, follows in line["changes"])
        originals = {name: sheets[digest] for name, digest in line["originals"].items()}
        intents[line["intent"]] = Intent(line["intent"], changes, originals, {})
    elif "seen" in line:
        old = intents[line["seen"]]
        seen = {(host, key): str(value) for host, key, value in line["values"]}
        intents[line["seen"]] = Intent(old.intent_id, old.changes, old.originals, seen)
    elif "undone" in line:
        intents.pop(line["undone"], None)
