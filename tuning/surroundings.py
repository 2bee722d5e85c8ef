"""What a knob drags along, and how it is put back: a knob's value is not the host's state.

Lowering an MTU below 1280 takes a device's IPv6 addresses, routes and sysctls away; a link that goes down loses its
static routes. Undo compares the whole state with the original and repairs every difference it knows a Command for.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from bench.facts import irqs, rss
from bench.facts.sheet import Difference
from bench.facts.state import sysctl_path
from bench.hosts.command import Command
from tuning.knobs.feature import wanted_bit
from tuning.knobs.knob import Change
from tuning.knobs.table import owner

# Until what comes back by itself has: duplicate address detection takes 1 s, up to 2 with its random delay; a NIC that
# its driver starts anew for a toggle (e1000e, igb, ixgbe) negotiates the link again: 2 to 4 s.
SETTLE_S = 5.0
# What offloads build at most; the other limits (tso_max_size, …) are the driver's own.
SIZES = r"link/([^/]+)/(gso_max_size|gso_max_segs|gro_max_size|gso_ipv4_max_size|gro_ipv4_max_size)"
_OWNED = frozenset({"coalesce", "ring", "channel", "cpu"})
# iproute2 prints these of a route though `ip route add` does not take them; they are the kernel's, not the admin's.
_ROUTE_STATE = re.compile(r" (linkdown|dead|offload|trap|rt_trap|notify|expires \S+|cache)\b")


def repairs(differences: Sequence[Difference]) -> tuple[Command, ...]:
    """Commands of one host that undo these differences (before = original), in an order that works.

    A difference that nothing is known for is left out: the caller compares again afterwards.
    """
    ordered = sorted(differences, key=_rank)
    return tuple(command for difference in ordered for command in _repair(difference))


def passes(difference: Difference) -> bool:
    """Whether a difference goes by itself: an address that is being checked, a link that has lost its carrier."""
    return "tentative" in (difference.after or "") or lost_carrier(difference)


def lost_carrier(difference: Difference) -> bool:
    """Whether a link that is up is without the carrier that it had.

    iproute2 prints NO-CARRIER by IFF_RUNNING, which the kernel takes away up to a second later than IFF_LOWER_UP.
    """
    before, after = ((value or "").split() for value in (difference.before, difference.after))
    well = "LOWER_UP" in before and "NO-CARRIER" not in before and "UP" in after
    return difference.key.endswith("/flags") and well and ("LOWER_UP" not in after or "NO-CARRIER" in after)


def _rank(difference: Difference) -> tuple[int, int, str]:
    kind = difference.key.split("/", 1)[0]
    order = ("link", "feature", "sysctl", "address", "neighbour", "route")
    # Surplus goes before the missing comes back; a route through a gateway needs the connected one first.
    through_gateway = " via " in difference.key
    rank = order.index(kind) * 2 + (difference.before is not None) if kind in order else 99
    return rank, through_gateway, difference.key


def _repair(difference: Difference) -> tuple[Command, ...]:
    kind, _, rest = difference.key.partition("/")
    if kind in _OWNED:
        return _by_owner(kind, rest, difference.before)
    repair = _REPAIRS.get(kind)
    return repair(rest, difference.before, difference.after) if repair else ()


def _link(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    device, _, field = rest.partition("/")
    if before is None or after is None:
        return ()
    if field == "mtu":
        return (Command(("ip", "link", "set", "dev", device, "mtu", before)),)
    if re.fullmatch(SIZES, f"link/{rest}"):
        return (Command(("ip", "link", "set", "dev", device, field, before)),)
    if field == "txqlen":
        return (Command(("ip", "link", "set", "dev", device, "txqueuelen", before)),)
    if field == "flags" and ("UP" in before.split()) != ("UP" in after.split()):
        return (Command(("ip", "link", "set", "dev", device, "up" if "UP" in before.split() else "down")),)
    return ()


def _feature(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    device, _, name = rest.partition("/")
    if before is None or "[fixed]" in before:
        return ()
    return (Command(("ethtool", "-K", device, name, wanted_bit(before))),)


def _sysctl(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    return () if before is None else (Command(("tee", sysctl_path(rest)), stdin=before),)


def _irq(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    """Queues that came back have the CPUs of the kernel's choice.

    The CPU that served an interrupt comes first: once it does again, the kernel leaves it there (x86:
    assign_vector_locked), and the next round writes those that may.
    """
    there = before is not None and after is not None and not rest.endswith("/near")
    return (irqs.writing(f"irq/{rest.removesuffix('/on')}", before or ""),) if there else ()


def _rss(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    command = rss.writing(f"rss/{rest}", before) if before is not None else None
    return (command,) if command is not None else ()


def _address(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    device, address = rest.split("/", 1)
    if before is None:
        return (Command(("ip", "address", "del", address, "dev", device)),)
    words = before.split()
    said = dict(zip(words[::2], words[1::2], strict=False))
    options = [word for name in ("broadcast", "scope", "label") if name in said for word in (name, said[name])]
    options += ["noprefixroute"] if said.get("noprefixroute") == "True" else []
    options += ["nodad"] if ":" in address else []
    return (Command(("ip", "address", "replace", address, "dev", device, *options)),)


def _neighbour(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    device, address = rest.split("/", 1)
    if before is None:
        return (Command(("ip", "neigh", "del", address, "dev", device)),)
    return (Command(("ip", "neigh", "replace", address, "lladdr", before, "dev", device, "nud", "permanent")),)


def _route(rest: str, before: str | None, after: str | None) -> tuple[Command, ...]:
    del after
    words = _ROUTE_STATE.sub("", rest).split()
    family = "-6" if ":" in rest or "pref" in words else "-4"
    # `append` beside `add`: two routes may differ in metric or device only. One that exists is no harm.
    return (Command(("ip", family, "route", "del" if before is None else "append", *words)),)


def _by_owner(kind: str, rest: str, before: str | None) -> tuple[Command, ...]:
    """As the knob writes it; a fact that no knob sets (a ring's maximum) is the driver's."""
    key = f"{kind}/{rest}"
    try:
        return () if before is None else tuple(owner(key).writes((Change("", key, before),)))
    except KeyError:
        return ()


_REPAIRS: Mapping[str, Callable[[str, str | None, str | None], tuple[Command, ...]]] = {
    "link": _link,
    "feature": _feature,
    "sysctl": _sysctl,
    "irq": _irq,
    "rss": _rss,
    "address": _address,
    "neighbour": _neighbour,
    "route": _route,
}
