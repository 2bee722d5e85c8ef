"""Applied: one change of a host as the host itself keeps it, so that any nettune can tell of it and take it back.

It lies in the folder of its guard. The line about it stands in the script that puts the host back, on disk before the
first write; what the writes moved follows in a file of its own, before anything is confirmed. Pure.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.facts.sheet import Difference, FactSheet
from tuning.applying import overwritten
from tuning.knobs.knob import Change
from tuning.knobs.table import BY_ITSELF, owner

FORMAT = 1  # 1 (2026-11-28): first
HEADER = "# nettune applied: "
State = Literal["armed", "confirmed", "kept", "on probation", "rolled back", "put itself back", "begun", "booted since"]
_STATES: Mapping[str, State] = {
    "armed": "armed", "confirmed": "confirmed", "rolled-back": "rolled back", "restored": "put itself back",
    "begun": "begun", "left": "begun", "booted": "booted since", "kept": "kept", "probation": "on probation",
}  # fmt: skip
Moved = Mapping[str, tuple[str | None, str | None]]  # key -> before, after; None: absent
_ROW = re.compile(r"([0-9a-f]{12}) ([a-z-]+) (-?\d+) (-?\d+) (\d+)")
_HANDLE = re.compile(r"\b[89a-f][0-9a-f]{3}:")
_PASSING = re.compile(r"link/[^/]+/(operstate|flags)")  # what a link has while its driver resets it


@dataclass(frozen=True, slots=True)
class Applied:
    """`moved`: every fact that differed afterwards, what was dragged along too; empty where it was never told.

    `left_s`: of an armed one, seconds until the host puts itself back. `spread`: how somebody had spread flows over the
    queues of its devices when it was made (bench.facts.rss.chosen): no setting of ours, and lost with a reset.
    `booted`: it is "begun" because a boot left what files hold. `unreadable`: why nothing else is known of it.
    `overwrote`: what somebody else had set that its host put itself back over.
    """

    change_id: str
    host: str
    profile: str
    at: float  # seconds since the epoch, by the clock of whoever applied it
    devices: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]  # (setting, value)
    changes: tuple[Change, ...]
    originals: Mapping[str, str | None]
    moved: Moved = field(default_factory=dict)
    state: State = "begun"
    left_s: int = 0
    armed_at: int = 0  # seconds since the epoch, by the host's clock
    turn: int = 0  # by which the host counts its changes, whatever its clock says; 0 of those before it did
    spread: Mapping[str, str] = field(default_factory=dict)
    booted: bool = False
    unreadable: str = ""
    overwrote: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> Moved:
        """What it moved, or was to move where that was never told."""
        return self.moved or {each.key: (self.originals.get(each.key), each.wanted) for each in self.changes}

    @property
    def state_words(self) -> str:
        """Its state, and what one must know with it."""
        more = f", {self.left_s} s left" if self.state == "armed" else ""
        if self.overwrote:
            more += f", over {'; '.join(f'{key} {value!r}' for key, value in self.overwrote.items())}"
        return f"unreadable ({self.state}{more}): {self.unreadable}" if self.unreadable else f"{self.state}{more}"

    @property
    def stands(self) -> bool:
        """True while its settings are on the host because of it."""
        return self.state == "armed" or self.to_stand

    @property
    def outstanding(self) -> bool:
        """True while the host is not as it is to be because of it: changed, or put back in part."""
        return self.stands or self.state == "begun"

    @property
    def to_stand(self) -> bool:
        """True of what was confirmed and not taken back, and was not lost with a boot."""
        return self.state == "confirmed" or self.kept

    @property
    def kept(self) -> bool:
        """True of what outlives a boot; "on probation" until the first one went well."""
        return self.state in {"kept", "on probation"}


def header(applied: Applied) -> str:
    """The line about it: a comment of its script."""
    document = {
        "format": FORMAT, "profile": applied.profile, "at": round(applied.at, 3), "devices": list(applied.devices),
        "settings": [list(each) for each in applied.settings],
        "changes": [[each.key, each.wanted, each.follows, applied.originals.get(each.key)] for each in applied.changes],
        **({"spread": dict(applied.spread)} if applied.spread else {}),
    }  # fmt: skip
    return HEADER + json.dumps(document)


def lasting(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Without what a link that is being reset has for a moment: that is nobody's to put back later."""
    return tuple(
        each
        for each in differences
        if not _PASSING.fullmatch(each.key) and not (each.key.startswith("route/") and " linkdown" in each.key)
    )


def moved_text(differences: Iterable[Difference]) -> str:
    """What the writes moved, for its file."""
    return json.dumps({each.key: [each.before, each.after] for each in differences}) + "\n"


def listed(host: str, text: str) -> tuple[Applied, ...]:
    """What LIST printed, oldest first; of what a newer nettune wrote, or what is damaged, no more than that."""
    found: list[Applied] = []
    lines = iter(text.split("\n"))
    for line in lines:
        row = _ROW.fullmatch(line)
        if row is None:
            continue
        about, made, over = (next(lines, "") for _ in range(3))
        found.append(_read(host, row, about, made, over))
    return tuple(sorted(found, key=lambda each: (each.turn, each.armed_at, each.at)))


def _read(host: str, row: re.Match[str], about: str, made: str, over: str) -> Applied:
    change_id, state, left, armed_at, turn = row.groups()
    try:
        document: dict[str, Any] = json.loads(about.removeprefix(HEADER))  # Any: JSON
        if document["format"] != FORMAT:
            return _unreadable(host, row, f"it has format {document['format']}: a newer nettune wrote it")
        changes = tuple(Change(host, str(key), str(wanted), bool(follows))
                        for key, wanted, follows, _ in document["changes"])  # fmt: skip
        moved = {str(key): (before, after) for key, (before, after) in json.loads(made or "{}").items()}
        originals = {str(key): original for key, _, _, original in document["changes"]}
        wanted = {each.key: each.wanted for each in changes}
        theirs = {key: value for key, value in overwritten.told(over).items()
                  if not any(same(key, ours.get(key), value) for ours in (originals, wanted))}  # fmt: skip
        return Applied(
            change_id, host, str(document["profile"]), float(document["at"]), tuple(document["devices"]),
            tuple((str(setting), str(value)) for setting, value in document["settings"]), changes,
            originals, moved, _STATES[state],
            int(left), int(armed_at), int(turn),
            {str(key): str(value) for key, value in document.get("spread", {}).items()}, state == "left",
            overwrote=theirs,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _unreadable(host, row, f"it is damaged: {error!r}")


def _unreadable(host: str, row: re.Match[str], why: str) -> Applied:
    change_id, state, left, armed_at, turn = row.groups()
    return Applied(change_id, host, "?", float(armed_at), (), (), (), {}, {}, _STATES[state], int(left), int(armed_at),
                   int(turn), booted=state == "left", unreadable=f"its record cannot be read: {why}")  # fmt: skip


def before(applied: Applied) -> FactSheet:
    """What its host had, of what it moved."""
    return FactSheet(applied.host, {key: was for key, (was, _) in applied.known.items() if was is not None})


def after_a_boot(applied: Applied) -> Applied:
    """What a boot leaves of a change that was not kept: what files hold that keep it by themselves."""
    left = tuple(each for each in applied.changes if owner(each.key).kind in BY_ITSELF)
    keys = {each.key for each in left}
    moved = {key: values for key, values in applied.known.items() if key in keys}
    return replace(applied, changes=left, moved=moved)


def same(key: str, known: str | None, actual: str | None) -> bool:
    """Whether a fact reads so, in whatever spelling."""
    if known == actual:
        return True
    if key.startswith("qdisc/") and known is not None and actual is not None:
        # The kernel numbers handles that nobody chose from 8001: on, over all devices.
        return _HANDLE.sub("8:", known) == _HANDLE.sub("8:", actual)
    try:
        return known is not None and owner(key).holds(known, actual)
    except KeyError:  # no knob's: dragged along
        return False
