"""Cables that are veth pairs, and how they fail: by shutting one end, or by dropping what either end receives."""

from collections.abc import Mapping

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.blueprint import Blueprint, Wire
from bench.labs.cable import Cable, Fault, by_commands

_SILENT = "nettune-silent"  # the name of the table whose one chain drops what a device receives


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
