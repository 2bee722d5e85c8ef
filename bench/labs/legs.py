"""Legs: which of a bond's carries the traffic, and whether the bond is whole."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from bench.hosts.command import Command
from bench.hosts.host import Host, ask_everywhere
from bench.labs.lab import Lab
from bench.labs.names import FAR, NODE
from results.errors import NotAble

BONDED = NODE  # the node that has the bond in every mode
_ACTIVE = "/sys/class/net/bond0/bonding/active_slave"
BUNDLED = Command(("cat", "/sys/class/net/bond0/bonding/ad_num_ports"))  # the legs that LACP put into one
_LOOK_S = 0.3
_LEAST = 20  # packets of a leg in that time, above LACP's and ARP's own
_FOUND_S = 15.0
_WHOLE_S = 20.0  # LACP takes 3 s to believe a partner again, and 0.5 s to agree


class NotWhole(NotAble):
    """A bond does not carry, or a leg of it does not come back."""


def carrying(lab: Lab) -> str:
    """The leg that most packets pass, once there are some. Raises NotWhole where none does."""
    node, names = lab.named(BONDED), lab.topology.leg_names
    deadline = time.monotonic() + _FOUND_S
    before = _passed(node, names)
    while True:
        time.sleep(_LOOK_S)
        now = _passed(node, names)
        grown = {name: now[name] - before[name] for name in names}
        busiest = max(names, key=lambda name: grown[name])
        if grown[busiest] >= _LEAST:
            return busiest
        if time.monotonic() > deadline:
            raise NotWhole(f"on {node.name}: no leg carries the packets: {grown} in {_LOOK_S} s")
        before = now


def whole(lab: Lab) -> None:
    """Wait until every leg has its carrier and LACP, where it is used, has all of them. Raises NotWhole."""
    nodes = [node for node in lab.nodes if node.name in {NODE, FAR}]
    bonds = _bonds(lab)
    asked = {node: [*_states(lab), *([BUNDLED] if node in bonds and lab.topology.bond_mode == "802.3ad" else [])]
             for node in nodes}  # fmt: skip
    wanted = ["up"] * lab.topology.legs
    deadline = time.monotonic() + _WHOLE_S
    while True:
        told = {
            node.name: [outcome.require().stdout.strip() for outcome in outcomes]
            for node, outcomes in ask_everywhere(asked).items()
        }
        if all(each[: len(wanted)] == wanted and each[len(wanted) :] in ([], [str(len(wanted))])
               for each in told.values()):  # fmt: skip
            return
        if time.monotonic() > deadline:
            raise NotWhole(f"bond {lab.topology.name} was not whole again in {_WHOLE_S:g} s: {told}")
        time.sleep(0.05)


@contextlib.contextmanager
def active_kept(lab: Lab) -> Iterator[None]:
    """On leaving, the bonds' active leg is the one that it was: where none is primary it stays where it went."""
    bonds = _bonds(lab)
    question = Command(("cat", _ACTIVE))
    before = {bond: bond.run(question).stdout.strip() for bond in bonds}  # "" in modes without an active leg
    yield
    for bond, leg in before.items():
        if leg and bond.run(question).stdout.strip() != leg:
            bond.run(Command(("tee", _ACTIVE), stdin=leg)).require("is that leg up?")


def _bonds(lab: Lab) -> list[Host]:
    """The nodes that have a bond."""
    nodes = [node for node in lab.nodes if node.name in {NODE, FAR}]
    return [node for node in nodes if node.name == BONDED or lab.topology.paired]


def _states(lab: Lab) -> list[Command]:
    return [Command(("cat", f"/sys/class/net/{name}/operstate")) for name in lab.topology.leg_names]


def _passed(node: Host, names: Sequence[str]) -> dict[str, int]:
    folder = "/sys/class/net/{}/statistics/{}_packets"
    asked = [Command(("cat", folder.format(name, way))) for name in names for way in ("rx", "tx")]
    told = [int(outcome.require().stdout) for outcome in node.run_all(asked)]
    return {name: told[2 * at] + told[2 * at + 1] for at, name in enumerate(names)}
