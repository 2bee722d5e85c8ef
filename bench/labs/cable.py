"""Cable: a link of a lab that can be made to fail, and is mended whatever happens; how is the provider's business."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.shield import carried_through
from results.errors import NotAble

How = Literal["link-down", "tap-removed", "silent"]
# link-down    both ends lose their carrier, as where a cable is pulled or a switch's port is shut
# tap-removed  the tap behind a guest's NIC is taken out of its bridge (`ip link set tap nomaster`, which is what
#              reloading a hypervisor's interfaces does to a running guest): nothing passes and the guest keeps carrier
# silent       nothing passes either way and both ends keep their carrier, as where something between them is broken
HOWS: tuple[How, ...] = get_args(How)
Ends = Mapping[tuple[str, str], "Cable"]  # by (host, device), each cable under both of its ends


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a cable fails. `mends` takes it back, and is harmless where `breaks` did half or nothing."""

    breaks: Callable[[], None]
    mends: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cable:
    """A link between two hosts, with the ways in which it can be made to fail."""

    name: str
    faults: Mapping[How, Fault]

    @contextlib.contextmanager
    def broken(self, how: How) -> Iterator[None]:
        """Failing until the block is left, then mended, also by a signal. Raises NotAble where it cannot fail so."""
        fault = self.faults.get(how)
        if fault is None:
            raise NotAble(
                f"cable {self.name} cannot fail as {how!r}",
                hint=f"here a cable can be {' or '.join(self.faults)}",
            )
        try:
            fault.breaks()
            yield
        finally:
            carried_through(fault.mends)


def by_commands(breaks: tuple[tuple[Host, Command], ...], mends: tuple[tuple[Host, Command], ...]) -> Fault:
    """A fault that commands make; every one of `mends` runs though another failed."""
    return Fault(functools.partial(_each, breaks), functools.partial(all_of, [
        functools.partial(_each, (step,)) for step in mends]))  # fmt: skip


def all_of(works: Sequence[Callable[[], object]]) -> None:
    """Every one is done though another fails; the first failure is raised at the end."""
    failed: NotAble | None = None
    for work in works:
        try:
            work()
        except NotAble as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _each(steps: tuple[tuple[Host, Command], ...]) -> None:
    for host, command in steps:
        host.run(command).require()
