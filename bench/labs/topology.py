"""Topology: the path between endpoints as data. `reading` makes it of a plan, `blueprint` the commands of it."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from bench.labs.addressing import PREFIX_4, PREFIX_6, Network
from bench.pve.new_network import NewNetwork

Kind = Literal["direct", "bridge", "vlan", "bond", "routed", "nat", "firewall", "standing", "pve"]
STANDING = "standing"  # what is there already, between machines of an inventory
PVE: Final = "pve"  # between VMs of a Proxmox VE, by what their net0 asks for
KINDS: tuple[str, ...] = tuple(kind for kind in get_args(Kind) if kind not in {STANDING, PVE})  # that a lab builds
IPV6_LEAST_MTU = 1280  # RFC 8200, section 5: on a link below it there is no IPv6
MTU_RANGE = (576, 65535)  # RFC 791's smallest reassembly size; IPv4's largest packet
Hook = Literal["bridge", "inet", "br_netfilter"]
# bonding.rst; those of the first row need a partner that knows of the bond, the others any switch.
BOND_MODES = ("balance-rr", "balance-xor", "broadcast", "802.3ad", "active-backup", "balance-tlb", "balance-alb")
PAIRED_MODES = BOND_MODES[:4]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a node does to what leaves by its ports towards the endpoints; all 0: nothing.

    The delay is one way and added in both directions, so that a round trip grows by twice as much.
    """

    rate_mbit: float = 0.0
    delay_ms: float = 0.0
    loss_pct: float = 0.0
    reorder_pct: float = 0.0

    @property
    def emulated(self) -> bool:
        """True where it takes netem."""
        return bool(self.delay_ms or self.loss_pct or self.reorder_pct)

    @property
    def words(self) -> tuple[str, ...]:
        """As names and drawings have it: "rate100mbit", "delay10ms"."""
        parts = (("rate", self.rate_mbit, "mbit"), ("delay", self.delay_ms, "ms"), ("loss", self.loss_pct, "pct"),
                 ("reorder", self.reorder_pct, "pct"))  # fmt: skip
        return tuple(f"{word}{value:g}{unit}" for word, value, unit in parts if value)


@dataclass(frozen=True, slots=True)
class Topology:
    """A path of one kind; `mtu` in bytes holds for every device on it, but for ports below tagged VLANs."""

    kind: Kind
    mtu: int = 1500
    label: str = ""  # the plan's own name for it
    ip: int = 4  # the family that probes use; addresses of both are always there
    ends: int = 2
    queues: int = 0  # of every veth device, transmit and receive; 0: as the kernel makes them, one a CPU
    gro: bool = False  # veth devices merge what they receive, for which they poll (NAPI), as NICs do
    shape: Shape = field(default_factory=Shape)
    prefixes: tuple[str, str] = (PREFIX_4, PREFIX_6)  # subnets are planned from these
    subnets: tuple[tuple[str, Network], ...] = ()  # (endpoint, subnet) that the plan fixes
    vlan_id: int = 0  # of the access ports, the tagging ends, or the VLAN device between a bridge and its bond
    vlans: tuple[tuple[str, int], ...] = ()  # (endpoint, VLAN) of those whose access port is in another one
    vlan_protocol: str = ""  # "802.1ad"; "" is 802.1Q
    trunk: bool = False  # two VLAN-aware bridges, joined by one link that carries the tag
    tagged: bool = False  # the endpoints tag, on a device of their own; else the bridge's access ports do
    port_mtu: int = 0  # of the ports below tagged VLANs; 0: the same
    bond_mode: str = ""
    legs: int = 0
    bond_options: tuple[tuple[str, str], ...] = ()  # words of `ip link add … type bond`, in place of ours
    policy: bool = False  # routed by source address over the second of two links
    forward: bool = False  # NAT: b is inside, and the node forwards ports to it; else a is inside, masqueraded
    rules: int = 0
    hook: Hook = "bridge"
    sysctls: tuple[tuple[str, str], ...] = ()  # that the endpoints begin with, under every arm
    net: tuple[tuple[str, str], ...] = ()  # of a VM's measured NIC, in the words of Proxmox VE's API
    peer: str = ""  # the bridge of b's, where it is not a's
    gateway: str = ""  # by which a reaches b on another subnet, and b reaches a
    addresses: tuple[str, ...] = ()  # of its two VMs, with prefix length: the probes'
    reached: tuple[str, ...] = ()  # by which its VMs are reached on the management network; () by those
    device: str = ""  # of its VMs, passed through, that is measured in place of net0
    inner: tuple[str, ...] = ()  # addresses of what is measured in place of net0: that device, or `vlan_id` on net0
    create: NewNetwork | None = None  # the network that its VMs are on is made for it

    @property
    def name(self) -> str:
        """As plans, reports and stores call it: `bridge`, `routed-mtu9000`, `firewall-inet-rules100`."""
        return self.label or "-".join([self.kind, *self._unusual()])

    def _unusual(self) -> list[str]:
        words = [value if key == "bridge" else f"{key}{value}" for key, value in self.net]
        words += [f"peer-{self.peer}"] if self.peer else []
        words += [self.device] if self.device else []
        words += [str(self.vlan_id)] if self.vlan_id else []
        words += [f"{end}{vlan}" for end, vlan in self.vlans]
        words += [self.bond_mode, f"{self.legs}legs"] if self.legs else []
        words += [f"{word}-{value}" for word, value in self.bond_options]
        words += [self.vlan_protocol] if self.vlan_protocol else []
        words += [self.hook] if self.kind == "firewall" and self.hook != "bridge" else []
        flags = (
            ("tagged", self.tagged),
            ("trunk", self.trunk),
            ("policy", self.policy),
            ("forward", self.forward),
            ("gro", self.gro),
            ("sysctls", bool(self.sysctls)),
        )
        words += [word for word, there in flags if there]
        numbers = (("mtu", self.mtu, 1500), ("port", self.port_mtu, 0), ("ip", self.ip, 4), ("ends", self.ends, 2),
                   ("queues", self.queues, 0), ("rules", self.rules, 0))  # fmt: skip
        words += [f"{word}{value}" for word, value, usual in numbers if value != usual]
        return [*words, *self.shape.words]

    @property
    def families(self) -> tuple[int, ...]:
        """Of its addresses: IPv6 too, where a link's MTU lets it live."""
        return (4, 6) if self.mtu >= IPV6_LEAST_MTU else (4,)

    @property
    def leg_names(self) -> tuple[str, ...]:
        """The links between two nodes: of a bond, of policy routing, a trunk."""
        count = self.legs or (2 if self.policy else 1 if self.trunk else 0)
        return tuple(f"leg-{number}" for number in range(1, count + 1))

    @property
    def paired(self) -> bool:
        """True where both ends of a bond must know of it; else its partner is a switch."""
        return self.bond_mode in PAIRED_MODES

    @property
    def routes(self) -> bool:
        """True where a node forwards between subnets; else all endpoints share one."""
        return self.kind in {"routed", "nat"} or (self.kind == "firewall" and self.hook == "inet")

    @property
    def filters(self) -> bool:
        """True where the node's nft rules are a part of the path, or can be made one (the knob `nat`)."""
        return self.routes or self.kind == "firewall"

    @property
    def tracks(self) -> bool:
        """True where a node may keep an entry for each connection."""
        return self.routes

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks of the kernel (names in labs.capability)."""
        bridged = self.kind in {"bridge", "bond", "vlan"} or (self.kind == "firewall" and not self.routes)
        wanted = (
            ("veth", True),
            ("bridge", bridged),
            ("vlan-aware bridge", self.kind == "vlan" or (bool(self.vlan_id) and not self.paired)),
            ("vlan", self.tagged or (self.kind == "bond" and bool(self.vlan_id))),
            ("bond", self.kind == "bond"),
            ("br_netfilter", self.kind == "firewall" and self.hook == "br_netfilter"),
            ("nft", self.kind == "firewall"),
            ("nft bridge", self.kind == "firewall" and self.hook == "bridge"),
            ("nft nat", self.kind == "nat"),
            ("tbf", bool(self.shape.rate_mbit)),
            ("netem", self.shape.emulated),
        )
        return tuple(name for name, needed in wanted if needed)

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that it takes beside ip and ethtool."""
        wanted = (("nft", self.kind in {"nat", "firewall"}), ("conntrack", self.kind == "nat"),
                  ("tc", bool(self.shape.words)))  # fmt: skip
        return tuple(name for name, needed in wanted if needed)
