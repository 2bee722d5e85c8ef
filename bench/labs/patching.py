"""Cables between two guests, and how they fail: by QEMU's monitor, or at the taps that carry them."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.login import Stream
from bench.hosts.namespace import dialed_file
from bench.labs.blueprint import Blueprint
from bench.labs.cable import Cable, Fault, all_of, by_commands
from bench.labs.cabling import Cabling, joined, parted
from bench.labs.guests import netdev
from bench.labs.monitor import PATH_MOST, switch_link
from bench.labs.veths import named
from results.errors import NotAble


def monitor(folder: Path, guest: str) -> Path:
    """The socket of a guest's monitor in the lab's folder. Raises NotAble where that is too deep for one."""
    path = folder / f"{guest}.qmp"
    if len(str(path).encode()) > PATH_MOST:
        raise NotAble(f"{path} is too long for a socket: {PATH_MOST} bytes", hint="set NETTUNE_STATE to a shorter path")
    return path


def patched(
    plan: Blueprint,
    cabled: Cabling,
    patch: Host | None,
    folder: Path,
    *,
    dial: Callable[[str], Stream] = dialed_file,
) -> Mapping[tuple[str, str], Cable]:
    """The cables that are pairs of taps of `patch`, under both of their ends; `dial` leads to sockets in `folder`."""
    found: dict[tuple[str, str], Cable] = {}
    for wire in plan.wires if patch is not None else ():
        ends = ((wire.here, wire.device), (wire.there, wire.peer))
        if patch is None or not all(guest in cabled.guests for guest, _ in ends):
            continue
        pair = (cabled.taps[ends[0]], cabled.taps[ends[1]])
        down, up = (
            Command(("ip", "-batch", "-"), stdin="".join(f"link set {tap} {word}\n" for tap in pair))
            for word in ("down", "up")
        )
        cable = Cable(
            named(wire),
            {
                "link-down": _carrier(cabled, ends, folder, dial),
                "tap-removed": by_commands(((patch, parted(pair)),), ((patch, joined(pair)),)),
                "silent": by_commands(((patch, down),), ((patch, up),)),
            },
        )
        found |= dict.fromkeys(ends, cable)
    return found


def _carrier(cabled: Cabling, ends: tuple[tuple[str, str], ...], folder: Path, dial: Callable[[str], Stream]) -> Fault:
    """virtio-net tells its guest of the carrier that set_link takes away or gives (VIRTIO_NET_S_LINK_UP)."""
    switches = {
        up: [
            functools.partial(switch_link, guest, monitor(folder, guest), _netdev(cabled, guest, nic), up=up, dial=dial)
            for guest, nic in ends
        ]
        for up in (False, True)
    }
    return Fault(functools.partial(_in_turn, switches[False]), functools.partial(all_of, [*switches[True]]))


def _in_turn(works: list[functools.partial[None]]) -> None:
    for work in works:
        work()


def _netdev(cabled: Cabling, guest: str, nic: str) -> str:
    return netdev([name for name, _ in cabled.nics(guest)].index(nic))
