"""The error tree of nettune: who is at fault decides the exit code, and each error carries one hint.

    Fault                    something went wrong; carries a hint
      WrongInput             the plan, profile, option or store named cannot be used     (exit 2)
      NotAble                this machine or host cannot do what was asked               (exit 3)

Rooms derive their own from these two; only `nettune.__main__` exits.
"""

from collections.abc import Sequence


class Fault(Exception):  # noqa: N818 - the base of the tree, never raised itself
    """What was tried, where, and what came back; `hint` is the one thing to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class WrongInput(Fault):
    """What the user gave cannot be used as it stands."""


class NotAble(Fault):
    """The environment lacks something that the work needs."""


def first_of(things: Sequence[object], most: int, *, between: str = ", ") -> str:
    """The first `most` of them in words, and how many more there are."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return between.join(str(each) for each in things[:most]) + more
