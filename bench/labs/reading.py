"""The plan's `topologies:` as Topology values; every option is validated here and nowhere else."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import cast

from bench.document import Node
from bench.labs import rulesets, vm_paths
from bench.labs.addressing import PREFIX_4, PREFIX_6, Network, NoRoom
from bench.labs.blueprint import drawn_up
from bench.labs.lab import ENDS
from bench.labs.topology import BOND_MODES, IPV6_LEAST_MTU, KINDS, MTU_RANGE, PVE, STANDING, Kind, Shape, Topology
from bench.labs.vm_paths import CIDR
from bench.options import Option, Options, number, switch, taken, whole, word
from results.json_schema import Schema, mapping


def _net(node: Node, version: int = 0) -> Network:
    try:
        found = ip_network(node.text())
    except ValueError as error:
        node.wrong(f"{node.text()!r} is no subnet: {error}", hint="for example 198.18.0.0/15 or 2001:2::/48")
    if version and found.version != version:
        node.wrong(f"{found} is of IPv{found.version}, and IPv{version} belongs here")
    if found.is_multicast or found.is_loopback or found.is_link_local:
        node.wrong(f"{found} is of no use between hosts", hint="for example 198.18.0.0/15 (RFC 2544)")
    return found


def _prefix(version: int, default: str) -> Option[str]:
    about = f"IPv{version} subnets are planned from it"
    return Option({**CIDR, "description": about, "examples": [default]}, lambda n: str(_net(n, version)), default)


def _subnets(node: Node) -> tuple[tuple[str, Network], ...]:
    found: list[tuple[str, Network]] = []
    for name, given in node.mapping(ENDS).items():
        for each in given.items() if isinstance(given.value, list) else (given,):
            net = _net(each)
            if any(known == name and other.version == net.version for known, other in found):
                each.wrong(f"{name} has two subnets of IPv{net.version}")
            found.append((name, net))
    return tuple(found)


def _vlans(node: Node) -> tuple[tuple[str, int], ...]:
    return tuple((end, each.integer(1, 4094, "(a VLAN's id)")) for end, each in node.mapping(ENDS).items())


_SYSCTL = r"net\.(ipv4|ipv6|core)\.[a-z0-9_]+"  # of the namespace: no device has one by its own name here


def _sysctls(node: Node) -> tuple[tuple[str, str], ...]:
    """Name and value of each, in the order of the plan."""
    for name, value in node.mapping().items():
        if not re.fullmatch(_SYSCTL, name):
            value.wrong(f"{name!r} is no sysctl of a network namespace", hint="net.ipv4.tcp_rmem: 4096 16384 16384")
    return tuple((name, value.setting()) for name, value in node.mapping().items())


_COMMON: Options = {
    "mtu": whole(*MTU_RANGE, "bytes", 1500),
    "ip": Option({"enum": [4, 6], "description": "the family that probes use; both are there"},
                 lambda node: int(node.choice(("4", "6"))), 4),
    "queues": whole(1, 64, "queues", 0, "queues of every veth device; one a CPU when not given"),
    "gro": switch("veth devices merge what they receive and poll for it (NAPI), as NICs do; off by default"),
    "sysctls": Option(
        {
            "type": "object",
            "patternProperties": {f"^{_SYSCTL}$": {"type": ["string", "integer"]}},
            "additionalProperties": False,
            "description": "sysctls that the endpoints begin with under every arm: a machine as it is to be modelled",
        },
        _sysctls,
        (),
    ),
    "prefix": _prefix(4, PREFIX_4),
    "prefix6": _prefix(6, PREFIX_6),
}  # fmt: skip
_SHAPED: Options = {
    "rate_mbit": number(0.1, 100_000, "Mbit/s", 0.0, "Mbit/s, towards each endpoint (tbf)"),
    "delay_ms": number(0.01, 10_000, "ms", 0.0, "ms one way, added in both directions (netem)"),
    "loss_pct": number(0.001, 90, "percent", 0.0, "percent of packets lost in each direction (netem)"),
    "reorder_pct": number(0.001, 90, "percent", 0.0, "percent of packets that overtake the delay (netem)"),
}
_ENDS: Options = {"ends": whole(2, len(ENDS), "endpoints", 2, "endpoints: a, b, c …")}
_FIXED: Options = {
    "subnets": Option(
        {
            "type": "object",
            "properties": {end: {"anyOf": [CIDR, {"type": "array", "items": CIDR}]} for end in ENDS},
            "additionalProperties": False,
            "description": "an endpoint's subnet in place of a planned one",
        },
        _subnets,
        (),
    )
}
_BRIDGED: Options = {**_COMMON, **_ENDS, **_SHAPED}
_RULES: Options = {
    "rules": whole(0, rulesets.RULES_MOST, "rules", 0, "nft rules that match nothing, all of them evaluated"),
    "hook": word(("bridge", "inet", "br_netfilter"), "bridge",
                 "bridge: bridged path, nft bridge; inet: routed path; br_netfilter: bridged path, inet rules"),
}  # fmt: skip
_BONDS: Options = {  # words of `ip link add type bond`; bonding.rst
    "miimon": whole(1, 10_000, "ms", 0, "ms between looks at the legs' carrier; 100 when not given"),
    "lacp_rate": word(("fast", "slow"), "", "802.3ad: one LACPDU a second, or in 30 s; fast when not given"),
    "xmit_hash_policy": word(("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"), "",
                             "which leg a flow takes: balance-xor, 802.3ad, balance-tlb"),
    "primary": whole(1, 8, "(a leg's number)", 0, "the leg that is active while it can be: active-backup, tlb, alb"),
}  # fmt: skip
_OF_MODES = {
    "lacp_rate": ("802.3ad",),
    "xmit_hash_policy": ("balance-xor", "802.3ad", "balance-tlb"),
    "primary": ("active-backup", "balance-tlb", "balance-alb"),
}
OPTIONS: Mapping[str, Options] = {  # by kind
    "direct": _COMMON,
    "bridge": _BRIDGED,
    "vlan": {
        "id": whole(1, 4094, "(a VLAN's id)", 0, "1 to 4094"),
        "tagged": switch("the endpoints tag, on eth0.ID; off: the bridge's access ports do"),
        "protocol": word(("802.1q", "802.1ad"), "802.1q"),
        "vlans": Option(
            {
                "type": "object",
                "properties": {end: {"type": "integer", "minimum": 1, "maximum": 4094} for end in ENDS},
                "additionalProperties": False,
                "description": "endpoints whose access port is in another VLAN than id",
            },
            _vlans,
            (),
        ),
        "trunk": switch("two bridges, joined by a link that carries the tag"),
        "port_mtu": whole(*MTU_RANGE, "bytes", 0, "of the ports below tagged VLANs; the same when not given"),
        **_BRIDGED,
    },
    "bond": {
        "mode": word(BOND_MODES, "802.3ad"),
        "legs": whole(2, 8, "legs", 2, "links that are bonded"),
        "vlan": whole(1, 4094, "(a VLAN's id)", 0, "the bridge's port is bond0.ID, a VLAN device over the bond"),
        **_BONDS,
        **_BRIDGED,
    },
    "routed": {
        "routing": word(("static", "policy"), "static", "policy: by source address, over the second of two links"),
        **_BRIDGED, **_FIXED,
    },
    "nat": {"forward": switch("b is inside and the node forwards ports to it; off: a is inside, masqueraded"),
            **_COMMON, **_SHAPED, **_FIXED},
    "firewall": {**_RULES, **_BRIDGED, **_FIXED},
    PVE: vm_paths.OPTIONS,
    STANDING: {"mtu": whole(*MTU_RANGE, "bytes", 1500, "that the path must have (provider hosts)")},
}  # fmt: skip
_BARE = tuple(kind for kind in (*KINDS, STANDING) if kind != "vlan")  # need no option: a word will do


def topologies(node: Node) -> tuple[Topology, ...]:
    """All of them, in the plan's order; raises WrongInput naming line and key."""
    found: list[Topology] = []
    for item in node.items():
        members = item.mapping() if isinstance(item.value, dict) else {"kind": item}
        if "kind" not in members:
            item.wrong("a topology needs a kind")
        word_of = members["kind"].text()
        if word_of == "vlan" and "id" not in members:
            item.wrong("a vlan needs its id", hint="{kind: vlan, id: 10}")
        bare = not isinstance(item.value, dict)
        kind = members["kind"].choice(_BARE if bare else (*KINDS, STANDING, PVE))
        if not bare:
            item.mapping(("kind", "name", *OPTIONS[kind]))
        made = _made(cast("Kind", kind), members, item)
        if made.name in {each.name for each in found}:
            item.wrong(f"{made.name} stands twice", hint="give one a name of its own: name: …")
        found.append(made)
    if not found:
        node.wrong("the plan has no topology")
    return tuple(found)


def _made(kind: Kind, members: Mapping[str, Node], item: Node) -> Topology:
    given = taken(members, OPTIONS[kind])
    if kind == STANDING:
        return Topology(kind, given["mtu"], members["name"].name() if "name" in members else "")
    if kind == PVE:
        return vm_paths.made(given, members, item)
    shape = Shape(*(given.get(key, 0.0) for key in _SHAPED))
    if shape.reorder_pct and not shape.delay_ms:
        members["reorder_pct"].wrong("packets can overtake only where there is a delay", hint="give delay_ms too")
    made = Topology(
        kind=kind,
        mtu=given["mtu"],
        label=members["name"].name() if "name" in members else "",
        ip=given["ip"],
        ends=given.get("ends", 2),
        queues=given["queues"],
        gro=given["gro"],
        shape=shape,
        prefixes=(given["prefix"], given["prefix6"]),
        subnets=given.get("subnets", ()),
        vlan_id=given.get("id", 0) or given.get("vlan", 0),
        vlans=given.get("vlans", ()),
        vlan_protocol="802.1ad" if given.get("protocol") == "802.1ad" else "",
        trunk=given.get("trunk", False),
        tagged=given.get("tagged", False),
        port_mtu=given.get("port_mtu", 0),
        bond_mode=given.get("mode", ""),
        legs=given.get("legs", 0),
        bond_options=_bond_options(given),
        policy=given.get("routing") == "policy",
        forward=given.get("forward", False),
        rules=given.get("rules", 0),
        hook=given.get("hook", "bridge"),
        sysctls=given["sysctls"],
    )
    _consistent(made, members, item)
    return made


def _bond_options(given: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    chosen = [(key, str(given[key])) for key in _BONDS if given.get(key)]
    return tuple((key, f"leg-{value}" if key == "primary" else value) for key, value in chosen)


def _consistent(made: Topology, members: Mapping[str, Node], item: Node) -> None:
    """What one option allows, another may forbid."""
    if made.port_mtu and not made.tagged:
        members["port_mtu"].wrong("only tagged VLANs have a port below them", hint="tagged: on")
    if made.port_mtu and made.mtu > made.port_mtu:
        members["mtu" if "mtu" in members else "port_mtu"].wrong(
            f"an MTU of {made.mtu} is above its port's ({made.port_mtu})", hint=f"port_mtu: {made.mtu} or more"
        )
    _apart(made, members)
    for key, modes in _OF_MODES.items():
        if key in dict(made.bond_options) and made.bond_mode not in modes:
            members[key].wrong(f"{key} means nothing to {made.bond_mode}", hint=f"mode: {', '.join(modes)}")
    if "primary" in members and int(members["primary"].text()) > made.legs:
        members["primary"].wrong(f"there is no leg {members['primary'].text()} of {made.legs}")
    if made.policy and made.ends > 2:
        members["ends"].wrong("policy routing has two endpoints: their source addresses choose the link")
    if made.subnets and not made.routes:
        members["subnets"].wrong("only a routed path has subnets of its own", hint="hook: inet")
    for name, _ in made.subnets:
        if name not in ENDS[: made.ends]:
            members["subnets"].wrong(f"there is no endpoint {name}", hint=f"ends: {ENDS.index(name) + 1}")
    if made.ip == 6 and made.mtu < IPV6_LEAST_MTU:
        members["mtu"].wrong(f"IPv6 needs an MTU of {IPV6_LEAST_MTU} or more, not {made.mtu} (RFC 8200, section 5)")
    try:
        drawn_up(made)
    except NoRoom as error:
        place = members.get("subnets") or members.get("prefix") or members.get("prefix6") or item
        place.wrong(str(error), hint="subnets must not overlap, and need room for their endpoints")


def _apart(made: Topology, members: Mapping[str, Node]) -> None:
    """Whose port may be in another VLAN than the plan's own."""
    if made.vlans and made.tagged:
        members["vlans"].wrong("an end that tags chooses its VLAN itself: the bridge's ports have none to give")
    for end, vlan in made.vlans:
        if end not in ENDS[: made.ends]:
            members["vlans"].wrong(f"there is no endpoint {end}", hint=f"ends: {ENDS.index(end) + 1}")
        if end in ENDS[:2] or vlan == made.vlan_id:
            members["vlans"].wrong(
                f"{end} is in VLAN {made.vlan_id}" + (", which probes run in" if end in ENDS[:2] else " anyway"),
                hint=f"ends: 4, vlans: {{c: {made.vlan_id + 10}, d: {made.vlan_id + 10}}}",
            )


def schemas(name: Schema) -> list[Schema]:
    """The JSON Schema of each kind, and of kinds that need no option as a bare word; `name` is that of a name."""
    return [
        {"enum": list(_BARE)},
        *(
            mapping(
                {"kind": {"const": kind}, "name": name, **{key: each.schema for key, each in OPTIONS[kind].items()}},
                optional=("name", *(key for key in OPTIONS[kind] if (kind, key) != ("vlan", "id"))),
            )
            for kind in OPTIONS
        ),
    ]
