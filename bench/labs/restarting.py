"""The guests of a standing lab, started anew with other options: same taps, same namespaces, same Host objects."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from bench.labs import guests as machines
from bench.labs.guests import Guests
from results.errors import NotAble

Wanted = Mapping[str, Mapping[str, str]]  # by guest: facts `vm/…` and the values that they shall have


class Restarts(Protocol):
    """Who changes what a lab's guests have outside of themselves, and starts them anew where that takes it."""

    def facts(self, host: str) -> Mapping[str, str]:
        """What of a host can be changed so, as it is; nothing for one that is no guest."""
        ...

    def restart(self, wanted: Wanted) -> None:
        """Guests with these facts; where one does not come up, all are as they were before. Raises NotAble."""
        ...

    def fresh(self) -> None:
        """Start every guest anew with what it has. Raises NotAble."""
        ...


class Startable(Protocol):
    """A guest that can be ended and begun again."""

    def begin(self, guests: Guests) -> None:
        """End QEMU where it runs, and start it as one of these."""
        ...

    def wait(self) -> None:
        """Until sshd listens inside. Raises NotAble with its console."""
        ...


class Restarting:
    """What each guest was started with, and the way to start it with something else."""

    def __init__(
        self,
        guests: Guests,
        mtu: int,
        startable: Mapping[str, Startable],
        *,
        furnish: Callable[[Collection[str]], None],
        settle: Callable[[], None],
    ) -> None:
        """`furnish` runs the blueprint's steps inside these guests; `settle` waits until the whole lab is up."""
        self._mtu = mtu
        self._startable = startable
        self._guests = dict.fromkeys(startable, guests)
        self._furnish, self._settle = furnish, settle

    def facts(self, host: str) -> Mapping[str, str]:
        """What a host was started with; nothing for one that is no guest."""
        return machines.facts(self._guests[host], self._mtu) if host in self._guests else {}

    def restart(self, wanted: Wanted) -> None:
        """Start these guests anew with that, all at the same time, and make of them what they were.

        Where one does not come up, all are started as they were before. Raises NotAble with the console of that one.
        """
        before = {name: self._guests[name] for name in wanted}
        after = {name: machines.started_with(before[name], values) for name, values in wanted.items()}
        try:
            self._start(after)
        except NotAble:
            self._start(before)
            raise

    def fresh(self) -> None:
        """Start every guest anew with what it has. Raises NotAble as `restart`."""
        self._start(self._guests)

    def _start(self, guests: Mapping[str, Guests]) -> None:
        for name, each in guests.items():
            self._startable[name].begin(each)
        for name in guests:
            self._startable[name].wait()
        self._guests |= guests
        self._furnish(guests)
        self._settle()
