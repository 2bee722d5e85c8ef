"""Which hosts of a Topology are guests, and what their NICs hang on: pure.

A node that is a namespace has a tap for each guest; QEMU runs in that namespace. Two guests are joined in a namespace
of its own, PATCH, by two taps of which each sends what the other receives.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.hosts.command import Command
from bench.labs.blueprint import drawn_up
from bench.labs.topology import Topology

PATCH = "patch"
_MTU_MOST = 65521  # of a tap (drivers/net/tun.c: MAX_MTU less the Ethernet header): whatever a guest sets fits


@dataclass(frozen=True, slots=True)
class Cabling:
    """`taps` by (guest, NIC); `homes`: where a guest's QEMU runs; `patched`: pairs of taps that are one cable."""

    guests: tuple[str, ...]
    rooms: tuple[str, ...]
    taps: Mapping[tuple[str, str], str]
    homes: Mapping[str, str]
    patched: tuple[tuple[str, str], ...]

    def nics(self, guest: str) -> tuple[tuple[str, str], ...]:
        """(NIC, tap) of a guest, in the order in which it gets them."""
        return tuple((nic, tap) for (name, nic), tap in self.taps.items() if name == guest)


def cabling(topology: Topology, *, nodes: bool) -> Cabling:
    """The endpoints are guests, and with `nodes` all that stands between them too."""
    hosts = drawn_up(topology).hosts
    guests = hosts if nodes else hosts[: topology.ends]
    wires = drawn_up(topology, guests=guests).wires
    taps: dict[tuple[str, str], str] = {}
    homes: dict[str, str] = {}
    patched = []
    for number, wire in enumerate(wires):
        if wire.here in guests:
            pair = (f"w{number}a", f"w{number}b")
            patched.append(pair)
            taps[wire.here, wire.device], taps[wire.there, wire.peer] = pair
            homes |= {wire.here: PATCH, wire.there: PATCH}
        else:
            taps[wire.there, wire.peer] = wire.device
            homes[wire.there] = wire.here
    between = tuple(host for host in hosts if host not in guests)
    return Cabling(guests, (*between, *((PATCH,) if patched else ())), taps, homes, tuple(patched))


def needs(topology: Topology, *, nodes: bool) -> tuple[str, ...]:
    """What the machine's own kernel must have (names in labs.capability): guests have Debian's, with everything."""
    cabled = cabling(topology, nodes=nodes)
    patched = ("mirred",) if cabled.patched else ()
    if nodes:
        return ("tun", *patched)
    links = len([room for room in cabled.rooms if room != PATCH]) > 1
    inside = {"vlan": True, "veth": not links}  # done by a guest, or by its tap
    return ("tun", *patched, *(name for name in topology.needs if not inside.get(name, False)))


def cables(pairs: tuple[tuple[str, str], ...], queues: int) -> tuple[Command, ...]:
    """The taps of PATCH and the rules that join them; nothing without pairs."""
    if not pairs:
        return ()
    many = " multi_queue" if queues > 1 else ""
    taps = [tap for pair in pairs for tap in pair]
    lines = ["link set lo up", *(f"tuntap add dev {tap} mode tap{many}" for tap in taps)]
    lines += [f"link set {tap} addrgenmode none mtu {_MTU_MOST} up" for tap in taps]  # nothing of its own on a cable
    rules = [f"qdisc add dev {tap} ingress" for tap in taps]
    return (
        Command(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n"),
        Command(
            ("tc", "-batch", "-"), stdin="\n".join([*rules, *(line for pair in pairs for line in _joined(pair))]) + "\n"
        ),
    )


def parted(pair: tuple[str, str]) -> Command:
    """Takes both taps of a cable out of it: what one receives goes nowhere."""
    return Command(("tc", "-batch", "-"), stdin="".join(f"filter del dev {tap} parent ffff:\n" for tap in pair))


def joined(pair: tuple[str, str]) -> Command:
    """Joins two taps again."""
    return Command(("tc", "-batch", "-"), stdin="\n".join(_joined(pair)) + "\n")


def _joined(pair: tuple[str, str]) -> list[str]:
    every = "protocol all u32 match u32 0 0"
    return [
        f"filter add dev {one} parent ffff: {every} action mirred egress redirect dev {other}"
        for one, other in (pair, pair[::-1])
    ]
