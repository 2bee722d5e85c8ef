"""A lab as treatments reach it: written to through guards, and read again only where it was not read before."""

import time
from collections.abc import Callable, Mapping, Sequence

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command, Outcome
from bench.labs.lab import Lab
from bench.labs.restarting import Wanted
from tuning.guard import Guard, Original
from tuning.surroundings import SETTLE_S, lost_carrier

Before = tuple[Sheets, tuple[tuple[str, str], ...]]


class Through:
    """A lab whose guarded hosts are written to through their guards.

    `before` is what the same writes made of the same lab before, and the facts (host, key) that differed then: where
    those are so again, the rest is taken to be, and the undone state, which is always read whole, tells what was not.
    """

    def __init__(
        self, lab: Lab, guards: Mapping[str, Guard | Original], before: Before | None = None, was: Sheets | None = None
    ) -> None:
        """`was`: the state before the writes; links that had carrier then are waited for."""
        self._lab = lab
        self._guards = guards
        self._before = before
        self._was = was
        self.lost: tuple[tuple[str, str], ...] = ()  # host and fact of the links that were waited for

    def read(self) -> Sheets:
        """See Hosts.read."""
        if self._before is not None:
            within, keys = self._before
            now = self._lab.reread(within, keys)
            if all(now[name].facts == sheet.facts for name, sheet in within.items()):
                return within
        now = self._lab.read()
        until = time.monotonic() + SETTLE_S
        while self._was is not None and (lost := _lost(self._was, now)) and time.monotonic() < until:
            self.lost = tuple(dict.fromkeys((*self.lost, *lost)))
            time.sleep(0.1)
            now = self._lab.read()
        return now

    def begin(self, host: str, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
        """See Hosts.begin."""
        guarded = self._guards.get(host)
        return guarded.begin(commands) if guarded else self._lab.begin(host, commands)

    def restart(self, wanted: Wanted) -> None:
        """See Hosts.restart."""
        self._lab.restart(wanted)


def _lost(was: Sheets, now: Sheets) -> list[tuple[str, str]]:
    return [(each.host, each.key) for each in differences(was, now) if lost_carrier(each)]
