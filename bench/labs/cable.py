"""Cable: a link of a lab that can be made to fail, and is mended whatever happens; how is the provider's business."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.blueprint import Blueprint, Wire
from bench.shield import carried_through
from results.errors import NotAble

How = Literal["link-down", "tap-removed", "silent"]
# link-down    both ends lose their carrier, as where a cable is pulled or a switch's port is shut
# tap-removed  the tap behind a guest's NIC is taken out of its bridge (`ip link set tap nomaster`, which is what
#              reloading a hypervisor's interfaces does to a running guest): nothing passes and the guest keeps carrier
# silent       nothing passes either way and both ends keep their carrier, as where something between them is broken
HOWS: tuple[How, ...] = get_args(How)
_SILENT = "nettune-silent"  # the name of the table whose one chain drops what a device receives
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


def of_pairs(plan: Blueprint, hosts: Mapping[str, Host]) -> dict[tuple[str, str], Cable]:
    """The veth pairs of a blueprint whose ends are ports of a bridge or a bond on one side at least.

    Where both ends have addresses none can be set down: the kernel deletes those of IPv6 then.
    """
    ends = {end.host for end in plan.ends}
    found: dict[tuple[str, str], Cable] = {}
    for pair in () if plan.routed else plan.pairs:
        if pair.here in ends:
            continue
        # What hangs on a bond is shut at its other side, so that the bond itself sees what it sees of a switch.
        shut = (hosts[pair.here], pair.device) if pair.there in ends else (hosts[pair.there], pair.peer)
        cable = Cable(named(pair), {"link-down": _shut(*shut), "silent": _dropping(pair, hosts)})
        found |= dict.fromkeys(((pair.here, pair.device), (pair.there, pair.peer)), cable)
    return found


def named(wire: Wire) -> str:
    """`node/leg-1 to far/leg-1`."""
    return f"{wire.here}/{wire.device} to {wire.there}/{wire.peer}"


def by_commands(breaks: tuple[tuple[Host, Command], ...], mends: tuple[tuple[Host, Command], ...]) -> Fault:
    """A fault that commands make; every one of `mends` runs though another failed."""
    return Fault(functools.partial(_each, breaks), functools.partial(all_of, [
        functools.partial(_each, (step,)) for step in mends]))  # fmt: skip


def all_of(works: list[Callable[[], None]]) -> None:
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


def _shut(host: Host, device: str) -> Fault:
    down, up = (Command(("ip", "link", "set", device, word)) for word in ("down", "up"))
    return by_commands(((host, down),), ((host, up),))


def _dropping(pair: Wire, hosts: Mapping[str, Host]) -> Fault:
    """By the netdev hook of nft, which comes before bridges, bonds and VLANs, so that LACP is dropped with the rest."""
    steps: list[tuple[tuple[Host, Command], tuple[Host, Command]]] = []
    for host, device in ((pair.here, pair.device), (pair.there, pair.peer)):
        hook = f'type filter hook ingress device "{device}" priority -500; policy drop'
        name = f"netdev {_SILENT}-{device}"
        add = Command(("nft", "-f", "-"), stdin=f"table {name} {{\n chain arriving {{\n  {hook}\n }}\n}}\n")
        # Declared first, so that deleting a table that is not there is no error.
        delete = Command(("nft", "-f", "-"), stdin=f"table {name} {{\n}}\ndelete table {name}\n")
        steps.append(((hosts[host], add), (hosts[host], delete)))
    return by_commands(tuple(add for add, _ in steps), tuple(delete for _, delete in steps))
