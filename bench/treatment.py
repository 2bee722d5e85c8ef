"""Treatment as the run loop sees it: something held during a trial. The loop knows no knob."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bench.facts.sheet import Difference, Sheets
from bench.labs.lab import Lab


class Treatment(Protocol):
    """A named set of settings (tuning.treatments has the one made of knobs)."""

    @property
    def name(self) -> str:
        """As the plan calls it."""
        ...

    @property
    def settings(self) -> tuple[Mapping[str, str], ...]:
        """Its settings as {setting, value, target}, for the store and the report."""
        ...

    def refusal(self, lab: Lab, baseline: Sheets) -> str:
        """Why it cannot be held on this lab, in words; "" when it can."""
        ...

    def holds(self, lab: Lab, baseline: Sheets) -> AbstractContextManager[Sheets]:
        """Applied within the block, undone and checked against `baseline` on leaving; gives the facts it made.

        Raises NotAble when it cannot be applied (everything is undone then) or not be undone.
        """
        ...

    def explains(self, difference: Difference) -> bool:
        """True when this treatment is expected to change that fact."""
        ...


class Nothing:
    """The empty treatment: `current`."""

    settings: tuple[Mapping[str, str], ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def refusal(self, lab: Lab, baseline: Sheets) -> str:
        """Nothing can always be held."""
        del lab, baseline
        return ""

    @contextlib.contextmanager
    def holds(self, lab: Lab, baseline: Sheets) -> Iterator[Sheets]:
        """The lab as it is; its facts were compared with the baseline when the arm before it was undone."""
        del lab
        yield baseline

    def explains(self, difference: Difference) -> bool:
        """Nothing changes nothing."""
        del difference
        return False
