"""Writes changes, and puts them back: everything that they moved, compared with the whole state before."""

import fnmatch
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bench.facts import irqs
from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import Command, HostFault, Outcome
from bench.labs.restarting import Wanted
from results.errors import NotAble
from tuning.journal import Intent
from tuning.knobs.knob import Change
from tuning.knobs.mtu import Mtu
from tuning.knobs.table import KNOBS, TAKEN_AT_STARTS, owner
from tuning.knobs.vm import wanted_of
from tuning.surroundings import SETTLE_S, lost_carrier, passes, repairs

_MTU = KNOBS[Mtu.kind]
_ROUNDS = 3  # of repair: a route may need the address that the round before brought back


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


def write(changes: Sequence[Change], lab: Hosts, troubles: list[str] | None = None) -> Sheets:
    """Write changes in order, then those that follow others but did not; the state after it.

    With `troubles` a host that fails is noted there, and the others are written all the same.
    """
    if anew := wanted_of(changes):
        lab.restart(anew)
    _run([change for change in changes if not change.follows], lab, troubles)
    if any(owner(change.key).kind in TAKEN_AT_STARTS for change in changes):
        lab.restart({})
    now = lab.read()
    late = [change for change in changes if change.follows and not holds(change, now)]
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
        change for change in intent.changes if change not in foreign and fact(change, now) != intent.original(change)
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
    now, left = _settled(intent, lab, now, foreign, lost_carrier, time.monotonic() + SETTLE_S)
    found, until = tuple(left), time.monotonic() + SETTLE_S  # an address is checked once its link has carrier
    for _ in range(_ROUNDS):
        now, left = _settled(intent, lab, now, foreign, passes, until)
        if not left:
            break
        by_host = itertools.groupby(left, key=lambda difference: difference.host)
        _tell(lab, {host: repairs(tuple(listed)) for host, listed in by_host}, troubles)
        now = lab.read()
        left = _left(intent, now, foreign)
    left = [each for each in left if not irqs.chosen(each.key, now[each.host].facts)]
    if left or foreign:
        said = [*troubles[:1], *(str(difference) for difference in left[:5])]
        said += [
            f"{change.host}: {change.key} reads {fact(change, now)!r}, neither {intent.original(change)!r} nor "
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


def _settled(
    intent: Intent,
    lab: Hosts,
    now: Sheets,
    foreign: Sequence[Change],
    kind: Callable[[Difference], bool],
    until: float,
) -> tuple[Sheets, list[Difference]]:
    """The state, and what is not as it was, once nothing of a kind is left, or at a time (monotonic)."""
    left = _left(intent, now, foreign)
    while any(map(kind, left)) and time.monotonic() < until:
        time.sleep(0.1)
        now = lab.read()
        left = _left(intent, now, foreign)
    return now, left


def _foreign(change: Change, intent: Intent, now: Sheets) -> bool:
    actual = fact(change, now)
    ours = (intent.original(change), change.wanted, intent.seen.get((change.host, change.key)))
    if actual is None or any(known is not None and _same(change, known, actual) for known in ours):
        return False
    # A feature that is asked for but off, or the reverse, is a state between ours and the original.
    return not fnmatch.fnmatchcase(actual, "* ?requested *")


def _same(change: Change, known: str, actual: str) -> bool:
    return known == actual or owner(change.key).holds(known, actual)


def holds(change: Change, now: Sheets) -> bool:
    """Whether a change is so."""
    return owner(change.key).holds(change.wanted, fact(change, now))


def fact(change: Change, now: Sheets) -> str | None:
    """What stands there now."""
    return now[change.host].facts.get(change.key)
