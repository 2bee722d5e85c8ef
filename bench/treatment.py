"""Treatment as the run loop sees it: something held during a trial. The loop knows no knob."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bench.facts.sheet import Difference, Sheets
from bench.labs.lab import Lab


class Held:
    """A treatment being held: the facts it made, and the last reading of them.

    `touched` are the facts (host, key) that undo writes: only they are read again at the end of a trial, since the
    whole state is read anyway once they are undone. Nothing touched: the whole state.
    """

    def __init__(self, lab: Lab, within: Sheets, touched: Iterable[tuple[str, str]] = ()) -> None:
        self.within = within
        self._lab = lab
        self._touched = tuple(touched)
        self.last: Sheets | None = None
        # What the undo found that no treatment had changed: it moved during the trial. Known after leaving.
        self.moved: tuple[Difference, ...] = ()

    def read(self) -> Sheets:
        """The state of every host now, as far as the undo does not tell it; undo takes the last reading."""
        self.last = self._lab.reread(self.within, self._touched) if self._touched else self._lab.read()
        return self.last


class Treatment(Protocol):
    """A named set of settings (tuning.treatments has the one made of knobs)."""

    @property
    def name(self) -> str:
        """As the plan calls it."""
        ...

    def described(self, lab: Lab, now: Sheets) -> tuple[Mapping[str, str], ...]:
        """Its settings as {setting, value, target, was}, for the store and the report."""
        ...

    def outer(self, lab: Lab, baseline: Sheets) -> "Treatment | None":
        """Its part that starts guests anew: held around all arms of a block that have the same, which its name tells.

        None where it has none, or where guests are so already.
        """
        ...

    def refusal(self, lab: Lab, baseline: Sheets, within: Sheets | None = None) -> str:
        """Why it cannot be held on this lab, in words; "" when it can. `within`: the facts that its outer part made."""
        ...

    def holds(self, lab: Lab, baseline: Sheets) -> AbstractContextManager[Held]:
        """All but its outer part: applied, undone and checked against `baseline` on leaving; gives the facts it made.

        Raises NotAble when it cannot be applied (everything is undone then) or not be undone.
        """
        ...

    def explains(self, difference: Difference) -> bool:
        """True when this treatment is expected to change that fact."""
        ...


class Nothing:
    """The empty treatment: `current`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def outer(self, lab: Lab, baseline: Sheets) -> None:
        """Nothing takes a new start."""
        del lab, baseline

    def refusal(self, lab: Lab, baseline: Sheets, within: Sheets | None = None) -> str:
        """Nothing can always be held."""
        del lab, baseline, within
        return ""

    @contextlib.contextmanager
    def holds(self, lab: Lab, baseline: Sheets) -> Iterator[Held]:
        """The lab as it is; its facts were compared with the baseline when the arm before it was undone."""
        yield Held(lab, baseline)

    def described(self, lab: Lab, now: Sheets) -> tuple[Mapping[str, str], ...]:
        """Nothing is set."""
        del lab, now
        return ()

    def explains(self, difference: Difference) -> bool:
        """Nothing changes nothing."""
        del difference
        return False
