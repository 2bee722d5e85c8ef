"""Pairs of QEMU guests of this machine, all on one bridge: what moves a guest's packets is in what they carry."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.capacity.dense import KEPT_BYTES, Dense, check_fit
from bench.document import Node
from bench.facts import carriers
from bench.hosts.host import Host
from bench.labs import deploying, provider
from bench.labs.guests import Guests
from bench.labs.kit import prepared
from bench.labs.lab import ENDS, Lab
from bench.labs.provider import Qemu
from bench.labs.topology import Topology

PAIRS_MOST = len(ENDS) // 2
_QEMU_BYTES = 96 << 20  # of a process beside its guest's memory (measured: 60 to 80 MB)


def read(members: Mapping[str, Node], layout: str, most: int) -> Guests:
    """What a plan says of them, for `most` pairs. Raises WrongInput naming line and key."""
    lab = members["lab"]
    of = deploying.deployed(lab)
    if not isinstance(of, Guests):
        lab.wrong("pairs of guests are QEMU's", hint="lab: {provider: qemu}")
    if of.node is not None:
        lab.mapping()["node"].wrong("pairs of guests stand on this machine", hint="leave it out")
    if layout != "same":
        members["layout"].wrong("all guests are on one bridge of this machine", hint="layout: same, or leave it out")
    if most > PAIRS_MOST:
        members["pairs"].wrong(f"{PAIRS_MOST} pairs of guests are the most", hint="lab: {provider: netns} has more")
    return of


def check_memory(of: Guests, pairs: int, local: Host) -> None:
    """Raise NotAble where the machine has no memory for so many pairs of them, saying how many fit."""
    each = (of.memory_mb << 20) + _QEMU_BYTES
    check_fit(pairs, 2 * each, KEPT_BYTES + each * of.nodes, local)  # the bridge's node may be a guest, too


def _devices(lab: Lab, node: Host) -> str:
    return "|".join(re.escape(each.device) for each in lab.path if each.host is node)


def commands(of: Guests, pairs: int) -> list[tuple[str, str]]:
    """(host, line) of everything that makes them, for `--dry-run`."""
    return provider.commands(_path(pairs), of)


def _path(pairs: int) -> Topology:
    return Topology("bridge", ends=2 * pairs)


@contextlib.contextmanager
def standing(
    of: Guests, pairs: int, *, cache: Path, local: Host, leases_folder: Path, say: Callable[[str], None]
) -> Iterator[Dense]:
    """So many pairs, removed on leaving; the image is built where it is not there. Raises NotAble, LabBroken."""
    made = Qemu(prepared(of, cache=cache, local=local, say=say))
    with made.standing(_path(pairs), leases_folder=leases_folder) as lab:
        machine = lab.machine or local  # where the guests' taps are: the node, or the room of cables between guests
        yield Dense(
            clients=lab.endpoints[::2],
            servers=lab.endpoints[1::2],
            nodes=lab.nodes,
            machines=(machine,),
            devices={machine: "(?!lo$).+", **{node: _devices(lab, node) for node in lab.nodes}},
            beside={machine: (carriers.question(lab.pid_files),)},
            told=made.facts,
            notes=made.notes,
        )
