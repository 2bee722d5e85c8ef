"""A lab as treatments reach it: written to through guards, and read again only where it was not read before."""

from collections.abc import Callable, Mapping, Sequence

from bench.facts.sheet import Sheets
from bench.hosts.command import Command, Outcome
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from tuning.guard import Guard, Original

Before = tuple[Sheets, tuple[tuple[str, str], ...]]


class Through:
    """A lab whose guarded hosts are written to through their guards.

    `before` is what the same writes made of the same lab before, and the facts (host, key) that differed then: where
    those are so again, the rest is taken to be, and the undone state, which is always read whole, tells what was not.
    """

    def __init__(self, lab: Lab, guards: Mapping[str, Guard | Original], before: Before | None = None) -> None:
        self._lab = lab
        self._guards = guards
        self._before = before

    def read(self) -> Sheets:
        """See Hosts.read."""
        if self._before is None:
            return self._lab.read()
        within, keys = self._before
        now = self._lab.reread(within, keys)
        again = all(now[name].facts == sheet.facts for name, sheet in within.items())
        return within if again else self._lab.read()

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """See Hosts.begin."""
        guarded = self._guards.get(host)
        return guarded.begin(commands) if guarded else self._lab.begin(host, commands)

    def restart(self, wanted: Wanted) -> None:
        """See Hosts.restart."""
        self._lab.restart(wanted)
