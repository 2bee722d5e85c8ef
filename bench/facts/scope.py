"""Which facts of a host belong to which device: on a machine that others use too, theirs come and go. Pure."""

import re
from collections.abc import Container, Mapping

_OF_A_DEVICE = frozenset(
    {"link", "address", "feature", "queue", "napi", "qdisc", "neighbour", "fdb", "ring", "channel", "coalesce",
     "irq", "rss", "bond", "bridge"}
)  # fmt: skip
# sysctl(8) writes a dot of a device's name as a slash: net.ipv4.conf.eth0/10.mtu
_SYSCTL = re.compile(r"sysctl/net\.(?:ipv4|ipv6|mpls)\.(?:conf|neigh)\.([^.]+)\.")
_ROUTE = re.compile(r" dev (\S+)")
_EVERYBODYS = frozenset({"all", "default", "?"})  # of sysctls, and of a qdisc that no parser knows


def device_of(key: str) -> str:
    """The device that a fact is about; "" for one that is the whole host's."""
    kind, _, rest = key.partition("/")
    if kind in _OF_A_DEVICE:
        device = rest.partition("/")[0]
    elif kind == "sysctl":
        found = _SYSCTL.match(key)
        device = found[1].replace("/", ".") if found else ""
    elif kind == "route":
        devices = _ROUTE.findall(rest)
        device = devices[0] if len(devices) == 1 else ""  # one of several next hops changes with all of them
    else:
        device = ""
    return "" if device in _EVERYBODYS else device


def lasting(facts: Mapping[str, str], remade: Container[str]) -> dict[str, str]:
    """Without the MACs of devices that are made anew, and what is kept under them: each time they are others."""
    return {
        key: value
        for key, value in facts.items()
        if device_of(key) not in remade or not (key.startswith("fdb/") or re.fullmatch(r"link/[^/]+/address", key))
    }


def but_anew(facts: Mapping[str, str]) -> dict[str, str]:
    """Without what a guest that is made once more has anew: MACs, addresses that follow from them, leases, RSS keys."""
    return {
        key: value
        for key, value in facts.items()
        if not (
            re.match(r"fdb/|link/[^/]+/address$|address/[^/]+/fe80:|route/(local|anycast) fe80:|rss/[^/]+/hkey$", key)
            or (key.startswith("address/") and "dynamic True" in value)
            or (key.startswith("route/") and " proto dhcp" in key)
        )
    }


def within(facts: Mapping[str, str], devices: Container[str]) -> dict[str, str]:
    """The facts of these devices, and those of the whole host."""
    return {key: value for key, value in facts.items() if not (device := device_of(key)) or device in devices}
