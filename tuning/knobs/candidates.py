"""Which of a knob's candidates are worth measuring on a host, given what it has now. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace

from tuning.knobs.entry import Entry, Standing

_SWITCH = {"on": "1", "off": "0", "y": "1", "n": "0", "yes": "1", "no": "0", "enabled": "1", "disabled": "0"}
_WHOLE = re.compile(r"-?[0-9]{1,20}")


def offered(entry: Entry, now: str | None) -> tuple[str, ...]:
    """The candidates that may gain something over `now` (None: not known), each once, in the catalogue's order.

    The present value is never among them. Of a maximum none at or below it: new kernels ship larger buffers than old
    guides, and a guide's value would lower them. Of several numbers the last is the maximum; of the others the larger
    of candidate and present value is taken.
    """
    if now is None:
        return entry.candidates
    found: list[str] = []
    for candidate in entry.candidates:
        kept = _raised(candidate, now) if entry.maximum else candidate
        if kept is not None and not same(entry, kept, now) and kept not in found:
            found.append(kept)
    return tuple(found)


def offered_to_all(entry: Entry, there: Sequence[str]) -> tuple[str, ...]:
    """The same for hosts or devices that get one value: what changes one of them, and lowers a maximum on none.

    Where they differ the largest maximum that one of them has comes first: the others are raised to it.
    """
    if not entry.maximum:
        return tuple(
            value for value in dict.fromkeys(entry.candidates) if not all(same(entry, value, now) for now in there)
        )
    rows = [now.split() for now in there]
    if not all(len(row) == len(rows[0]) and all(_WHOLE.fullmatch(word) for word in row) for row in rows):
        found = offered(entry, there[0])  # not comparable: the hosts say what they take
        return tuple(value for value in found if not any(lowers(entry, value, now) for now in there))
    largest = " ".join(str(max(map(int, column))) for column in zip(*rows, strict=True))
    alike = all(same(entry, largest, now) for now in there)
    return (*(() if alike else (largest,)), *offered(entry, largest))


def left_out(entry: Entry, now: str) -> tuple[tuple[str, Standing], ...]:
    """The candidates that `offered` drops, each with what becomes of it."""
    kept = {candidate for candidate in entry.candidates if offered(replace(entry, candidates=(candidate,)), now)}
    return tuple(
        (candidate, "lowers a maximum" if lowers(entry, candidate, now) else "already so")
        for candidate in entry.candidates
        if candidate not in kept
    )


def lowers(entry: Entry, value: str, now: str) -> bool:
    """True where `value` of a maximum is below what stands there now: newer kernels ship larger buffers.

    Of several numbers (tcp_rmem) the last counts; where that is the same, the one before does.
    """
    wanted, present = value.split(), now.split()
    if not entry.maximum or not wanted or len(wanted) != len(present):
        return False
    if not all(_WHOLE.fullmatch(word) for word in (*wanted, *present)):
        return False
    return [int(word) for word in reversed(wanted)][:2] < [int(word) for word in reversed(present)][:2]


def same(entry: Entry, one: str, other: str) -> bool:
    """True for two ways to write one value: on and 1, masks with commas and zeros, white space."""
    return _plain(entry, one) == _plain(entry, other)


def _raised(candidate: str, now: str) -> str | None:
    """The candidate with nothing in it below `now`; None where its maximum is not above."""
    wanted, present = candidate.split(), now.split()
    if not all(_WHOLE.fullmatch(word) for word in present) or len(wanted) != len(present):
        return candidate  # not comparable: the host says what it takes
    if int(wanted[-1]) <= int(present[-1]):
        return None
    return " ".join(str(max(int(a), int(b))) for a, b in zip(wanted, present, strict=True))


def _plain(entry: Entry, value: str) -> str:
    text = " ".join(value.split())
    if entry.type == "switch":
        return _SWITCH.get(text.lower(), text)
    if entry.type == "mask":
        return text.replace(",", "").lstrip("0").lower() or "0"
    if entry.type in {"number", "numbers"} and all(_WHOLE.fullmatch(word) for word in text.split()):
        return " ".join(str(int(word)) for word in text.split())
    return text
