"""Offload features by the kernel's strings: which way they act, what shows that they act, how dangerous a toggle is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from tuning.knobs.feature import KERNEL, SHORT, members

Direction = Literal["tx", "rx", "-"]
# What the pair must be like for a feature to be seen; `arms` has what is set for it.
Ground = Literal["found", "plain", "unmerged", "handed", "vlans"]
# super: packets above the MTU; partial: checksums left to the device; valid: checksums found right by the device.
# beside: tags that stand beside the packet, which the device is to put in. hashed: the device's hash of the packet.
Sign = Literal["super", "partial", "valid", "beside", "hashed"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a feature is seen by: a `sign` in the packets of a case, at the NIC, on the ground where it can be."""

    case: str
    sign: Sign
    ground: Ground = "found"
    over: str = ""  # what the case goes through


# Harmless first: what hung or corrupted hardware (known_bad.yaml) is touched last, and before it what starts the
# adapter anew (i40e_set_features, ixgbe_set_features). Those that are not listed come after the ones that only software
# acts on, and before segmentation.
ORDER = (
    "rx-gro", "rx-gro-list", "rx-udp-gro-forwarding", "tx-nocache-copy", "tx-generic-segmentation", "rx-hashing",
    "*", "rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert", "rx-vlan-stag-filter", "rx-vlan-hw-parse",
    "tx-vlan-hw-insert", "rx-vlan-filter", "tx-udp-segmentation", "tx-tcp6-segmentation",
    "tx-tcp-segmentation", "tx-scatter-gather", "tx-checksum-ipv6", "tx-checksum-ipv4", "tx-checksum-ip-generic",
    "rx-ntuple-filter", "l2-fwd-offload", "hw-tc-offload", "rx-checksum", "rx-gro-hw", "rx-lro",
)  # fmt: skip
SHOWN: Mapping[str, Shown] = {
    "tx-tcp-segmentation": Shown("tcp4", "super"),
    "tx-tcp6-segmentation": Shown("tcp6", "super"),
    "tx-udp-segmentation": Shown("gso4", "super"),
    "tx-checksum-ip-generic": Shown("tcp4", "partial"),
    "tx-checksum-ipv4": Shown("tcp4", "partial"),
    "tx-checksum-ipv6": Shown("tcp6", "partial"),
    "rx-gro": Shown("tcp4", "super", "plain"),
    # With the kernel's own merging on, that would merge what the device does not, and find the checksums right itself
    # (skb_gro_checksum_validate in net/core/gro.c).
    "rx-gro-hw": Shown("tcp4", "super", "handed"),
    "rx-lro": Shown("tcp4", "super", "handed"),
    "rx-checksum": Shown("tcp4", "valid", "unmerged"),
    "rx-hashing": Shown("tcp4", "hashed"),
    "tx-vlan-hw-insert": Shown("vlan tcp4", "beside", "vlans", "vlan"),
    "tx-vlan-stag-hw-insert": Shown("qinq tcp4", "beside", "vlans", "qinq"),
    "tx-udp_tnl-segmentation": Shown("vxlan tcp4", "super", over="vxlan"),
    "tx-udp_tnl-csum-segmentation": Shown("vxlan csum tcp4", "super", over="vxlan csum"),
    "tx-gre-segmentation": Shown("gre tcp4", "super", over="gre"),
    "tx-gre-csum-segmentation": Shown("gre csum tcp4", "super", over="gre csum"),
    "tx-ipxip4-segmentation": Shown("ipip tcp4", "super", over="ipip"),
    "tx-ipxip6-segmentation": Shown("ipip6 tcp4", "super", over="ipip6"),
}
# What `rx-gro` does for a socket that takes datagrams merged (UDP_GRO) is a row of its own, `udp-gro`.
UDP_GRO = Shown("gso4", "super", "plain")
# What a device merges, or takes as large as it was sent where no wire is between (virtio).
BY_DEVICE = ("rx-gro-hw", "rx-lro")
VLANS: Mapping[str, tuple[str, ...]] = {  # what VLAN devices there are, and the features that act on their tags
    "vlan": ("tx-vlan-hw-insert", "rx-vlan-hw-parse", "rx-vlan-filter"),
    "qinq": ("tx-vlan-stag-hw-insert", "rx-vlan-stag-hw-parse", "rx-vlan-stag-filter"),
}
_OF_VLANS: Mapping[str, str] = {name: kind for kind, names in VLANS.items() for name in names}
# Toggled while payload passes, though no packet shows whether they act; why.
_UNSHOWN: Mapping[str, str] = {
    "tx-scatter-gather": "no packet shows whether a device gathers",
    "tx-generic-segmentation": "it is the kernel's own, and acts where the device does not segment",
    **dict.fromkeys(
        ("rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"),
        "whether the device or the kernel took a tag out of a frame cannot be told afterwards",
    ),
    **dict.fromkeys(("rx-vlan-filter", "rx-vlan-stag-filter"), "what a filter lets pass cannot be told from what came"),
}
EXERCISED = (*SHOWN, *_UNSHOWN)
_WHY_NOT: Mapping[str, str] = {
    **_UNSHOWN,
    "rx-gro-list": "it acts on forwarded packets only",
    "rx-udp-gro-forwarding": "it acts on forwarded packets only",
}


def direction(feature: str) -> Direction:
    """Which way of the NIC a feature acts on, by its name."""
    word = feature.partition("-")[0]
    return "tx" if word == "tx" else "rx" if word == "rx" else "-"


def rank(feature: str) -> tuple[int, str]:
    """Its place in the order of danger."""
    return (ORDER.index(feature) if feature in ORDER else ORDER.index("*"), feature)


def ground(name: str) -> Ground:
    """The ground on which a feature is toggled."""
    return "vlans" if name in _OF_VLANS else SHOWN[name].ground if name in SHOWN else "found"


def overs(names: Collection[str]) -> tuple[str, ...]:
    """What payload of the features goes through besides the plain exchange: a VLAN device, kinds of tunnels."""
    found = (_OF_VLANS.get(name) or (SHOWN[name].over if name in SHOWN else "") for name in names)
    return tuple(dict.fromkeys(each for each in found if each))


def unknown(words: Collection[str]) -> tuple[str, ...]:
    """The words that are neither ethtool's short names nor the kernel's strings."""
    return tuple(word for word in words if word not in SHORT and word not in KERNEL)


def named(words: Collection[str]) -> tuple[str, ...]:
    """The kernel's strings that words stand for, ethtool's short names too."""
    return tuple(dict.fromkeys(name for word in words for name in members(word) or (word,)))


def required(words: Collection[str]) -> tuple[str, ...]:
    """The same, but for ethtool's names of several features, which stay words: they need not all be there."""
    kept = (members(word) if len(members(word)) == 1 else (word,) for word in words)
    return tuple(dict.fromkeys(name for names in kept for name in names))


def why_unshown(feature: str) -> str:
    """Why no case shows a feature at work."""
    return _WHY_NOT.get(feature, "no exchange of this validation is of its kind")
