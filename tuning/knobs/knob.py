"""The Knob protocol; Change: one fact of one host that a setting sets; OneWord: what knobs of one word have alike."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Lab, Target
from results.errors import NotAble


class NotSettable(NotAble):
    """This lab, kernel or device cannot take the setting; the reason stands in the message."""


@dataclass(frozen=True, slots=True)
class Change:
    """`key` is a FactSheet key ("link/eth0/mtu"). `follows`: written only where the kernel does not move it."""

    host: str
    key: str
    wanted: str
    follows: bool = False


class Knob(Protocol):
    """One kind of setting."""

    @property
    def kind(self) -> str:
        """Its name in the table of knobs."""
        ...

    def owns(self, key: str) -> bool:
        """True for the fact keys that it sets; no two knobs own the same."""
        ...

    @property
    def target(self) -> Target:
        """Where it acts unless the plan says otherwise."""
        ...

    def words(self) -> Sequence[str]:
        """Settings it is known by, for suggestions."""
        ...

    def takes(self, setting: str) -> bool:
        """True for a setting of this kind."""
        ...

    def problem(self, setting: str, value: str) -> str:
        """What is wrong with the value before any host is asked; "" when nothing is."""
        ...

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """The facts to set, in writing order; raises NotSettable with the reason."""
        ...

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """The Commands that set these facts; all of one host, and of this kind."""
        ...

    def holds(self, wanted: str, actual: str | None) -> bool:
        """True when a fact that reads `actual` is what was wanted."""
        ...

    def explains(self, setting: str, difference: Difference) -> bool:
        """True when this setting is expected to change that fact, by itself or by what the kernel couples to it."""
        ...

    def command(self, setting: str, value: str) -> str:
        """The line an operator would type to set it by hand."""
        ...

    def risk(self, setting: str) -> str:
        """What an operator should know before keeping it, in one sentence."""
        ...


class OneWord(ABC):
    """A row of a table of knobs, each known by one word, its `kind`. See Knob for what the methods are."""

    __slots__ = ()
    kind: str
    caution: str
    drags: str  # pattern of the facts that move with it; none in a row with `explains` of its own

    @abstractmethod
    def owns(self, key: str) -> bool:
        """See Knob.owns."""

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return (self.kind,)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == self.kind

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds."""
        return wanted == actual

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        del setting
        return self.owns(difference.key) or re.fullmatch(self.drags, difference.key) is not None

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return self.caution
