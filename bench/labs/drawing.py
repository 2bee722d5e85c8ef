"""A Topology as a picture: SVG text in the colour of the text around it, with every address and what nodes do."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.labs.blueprint import Blueprint, drawn_up
from bench.labs.deploying import Deployed
from bench.labs.inventory import Inventory
from bench.labs.names import FAR, NODE
from bench.labs.topology import PAIRED_MODES, Topology
from bench.pve.deployment import Deployment

_WIDTH, _GAP, _LINE, _EDGE = 158, 40, 15, 10  # of a box, between boxes, of a line of text, around all
_SHOWN = 3  # lines of text in a box
_STYLE = 'fill="none" stroke="currentColor"'


@dataclass(frozen=True, slots=True)
class _Box:
    """One host: a title and lines of text at a place."""

    title: str
    lines: tuple[str, ...]
    x: float
    y: float
    height: float = 14 + _LINE * 4  # a title and three lines: all are alike, so that links are level

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def drawn(self) -> str:
        """The frame and its text."""
        centre = self.x + _WIDTH / 2
        text = "".join(
            f'<text x="{centre:g}" y="{self.y + 20 + _LINE * (number + 1):g}" text-anchor="middle" font-size="11">'
            f"{escape(line)}</text>"
            for number, line in enumerate(self.lines)
        )
        return (
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{_WIDTH}" height="{self.height:g}" rx="6" {_STYLE}/>'
            f'<text x="{centre:g}" y="{self.y + 20:g}" text-anchor="middle" font-weight="bold">'
            f"{escape(self.title)}</text>{text}"
        )


def drawing(topology: Topology, of: Deployed | None = None) -> str:
    """The path from a on the left to b, and whoever else stands there, on the right; `of` are the endpoints."""
    if isinstance(of, Inventory):
        return _standing(topology, of)
    if isinstance(of, Deployment):
        return _of_proxmox(topology, of)
    guests = of
    plan = drawn_up(topology)
    ends = plan.hosts[: topology.ends]
    left = (
        ends[:1] if FAR not in plan.hosts else tuple(end for end in ends if end != "b")
    )  # who hangs on the first node
    columns = [left, *((name,) for name in plan.nodes), tuple(end for end in ends if end not in left)]
    boxes: dict[str, _Box] = {}
    for number, names in enumerate(columns):
        y = float(_EDGE)
        for name in names:
            box = _Box(_title(name, topology), _lines(name, topology, plan), _EDGE + number * (_WIDTH + _GAP), y)
            boxes[name] = box
            y += box.height + 12
    height = max(box.y + box.height for box in boxes.values()) + 26
    links = [_link(boxes[one], boxes[other], lines) for one, other, lines in _links(topology, plan)]
    hosts = "veth pairs between network namespaces"
    if guests is not None:
        hosts = f"QEMU guests ({guests.nic}){', the node too' if guests.nodes else ' on taps of the node'}"
    devices = f"{hosts}, MTU {topology.mtu}"
    if topology.port_mtu:
        devices += f" ({topology.port_mtu} below the tags)"
    title = f"{topology.name}: {plan.ends[0].address} to {plan.ends[1].address}"
    return _picture(title, boxes.values(), links, [devices, *_shaped(topology)], len(columns), height)


def _of_proxmox(topology: Topology, of: Deployment) -> str:
    """Two VMs, and between them what their measured NIC asks for."""
    words = tuple(f"{key} {value}" for key, value in topology.net)
    words += (f"b's bridge {topology.peer}",) if topology.peer else ()
    words += (f"{topology.rules} rules",) if topology.rules else ()
    first, second = topology.addresses
    shown = [("VM a", (first, f"on {of.placed[0]}")), ("node", words[:_SHOWN]),
             ("VM b", (second, f"on {of.placed[1]}"))]  # fmt: skip
    title = f"{topology.name}: {first} to {second}"
    return _row(shown, title, f"VMs of a Proxmox VE, made for it, MTU {topology.mtu}")


def _standing(topology: Topology, inventory: Inventory) -> str:
    """Machines that stand, with the devices that the inventory names."""
    a, b = inventory.ends
    boxes = []
    for machine in (a, *inventory.nodes, b):
        what = "endpoint" if machine.address else "node"
        lines = (machine.address, *machine.devices) if machine.address else machine.devices
        shown = lines if len(lines) <= _SHOWN else (*lines[: _SHOWN - 1], f"and {len(lines) - _SHOWN + 1} more")
        boxes.append((f"{what} {machine.name}", shown))
    title = f"{topology.name}: {a.address} to {b.address}"
    return _row(boxes, title, f"machines that already stood, MTU {topology.mtu}")


def _row(shown: Sequence[tuple[str, tuple[str, ...]]], title: str, said: str) -> str:
    """Boxes side by side, each joined to the next."""
    boxes = [_Box(name, lines, _EDGE + number * (_WIDTH + _GAP), _EDGE) for number, (name, lines) in enumerate(shown)]
    links = [_link(one, other, 1) for one, other in itertools.pairwise(boxes)]
    return _picture(title, boxes, links, [said], len(boxes), boxes[0].y + boxes[0].height + 38)


def _picture(
    title: str, boxes: Iterable[_Box], links: Sequence[str], said: Sequence[str], columns: int, height: float
) -> str:
    """Boxes, links and lines of text below them as one SVG."""
    width = 2 * _EDGE + columns * _WIDTH + (columns - 1) * _GAP
    whole = height + _LINE * (len(said) - 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {whole:g}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="currentColor" style="max-width:{width:g}px;width:100%">'
        f"<title>{escape(title)}</title>"
        + "".join(box.drawn() for box in boxes)
        + "".join(links)
        + "".join(
            f'<text x="{width / 2:g}" y="{height - 8 + _LINE * number:g}" text-anchor="middle" font-size="11">'
            f"{escape(line)}</text>"
            for number, line in enumerate(said)
        )
        + "</svg>"
    )


def _title(name: str, topology: Topology) -> str:
    if name in {NODE, FAR}:
        return "node" if name == NODE else "far node"
    inside = topology.kind == "nat" and name == ("b" if topology.forward else "a")
    return f"endpoint {name}{', inside' if inside else ''}"


def _lines(name: str, topology: Topology, plan: Blueprint) -> tuple[str, ...]:
    """What a host is on the path: an endpoint's addresses of both families, a node's work."""
    if name in {NODE, FAR}:
        return _work(name, topology, plan)
    place = 1 if topology.routes else plan.hosts.index(name) + 1
    subnet = plan.subnets[name if topology.routes else "all"]
    device = next(end.device for end in plan.ends if end.host == name)
    queues = f", {topology.queues} queue{'s' if topology.queues > 1 else ''}" if topology.queues else ""
    return (
        *(f"{subnet.address(place, family)}/{subnet.length(family)}" for family in topology.families),
        f"{device}{queues}",
    )


def _work(name: str, topology: Topology, plan: Blueprint) -> tuple[str, ...]:
    bonded = name == NODE or topology.bond_mode in PAIRED_MODES
    outside, inside = ("a", "b") if topology.forward else ("b", "a")
    how = {"bridge": "br0, nft bridge", "inet": "forwarding, nft inet", "br_netfilter": "br0, br_netfilter"}
    known: Mapping[str, tuple[str, ...]] = {
        "bridge": ("br0 (Linux bridge)",),
        "vlan": (
            "br0, VLAN-aware",
            ", ".join([f"VLAN {topology.vlan_id}", *(f"{end} in {vlan}" for end, vlan in topology.vlans)]),
            "tagged by the ends" if topology.tagged else "access ports",
        ),
        "bond": ("br0 over bond0", topology.bond_mode) if bonded else ("br0 (a switch)", "the legs are its ports"),
        "routed": ("forwarding", "IPv4 and IPv6"),
        "firewall": (how[topology.hook], f"{topology.rules} rules in forward"),
    }
    if topology.policy:
        here = "a" if name == NODE else "b"
        return ("forwarding", f"from {plan.subnets[here].text(topology.ip)}:", "by the second link")
    if topology.kind == "nat":
        gateway = plan.subnets[outside].gateway(topology.ip)
        forwards = (f"forwards ports to {inside}",) if topology.forward else ()
        return ("NAT (nft)", f"{inside} goes out as {gateway}", *forwards)
    return known[topology.kind]


def _links(topology: Topology, plan: Blueprint) -> list[tuple[str, str, int]]:
    """(host, host, lines between them)."""
    ends, nodes = plan.hosts[: topology.ends], plan.nodes
    if not nodes:
        return [(ends[0], ends[1], 1)]
    home = {end: nodes[-1] if end == "b" else nodes[0] for end in ends}
    between = topology.legs or (2 if topology.policy else 1)
    return [*((nodes[0], other, between) for other in nodes[1:]), *((end, home[end], 1) for end in ends)]


def _link(one: _Box, other: _Box, lines: int) -> str:
    left, right = (one, other) if one.x < other.x else (other, one)
    start, stop = left.x + _WIDTH, right.x
    drawn = []
    for number in range(lines):
        shift = 7 * (number - (lines - 1) / 2)
        drawn.append(
            f'<path d="M{start:g} {left.middle + shift:g} L{stop:g} {right.middle + shift:g}" '
            'stroke="currentColor" stroke-width="2" fill="none"/>'
        )
    return "".join(drawn)


def _shaped(topology: Topology) -> tuple[str, ...]:
    shape = topology.shape
    parts = (
        ("rate", shape.rate_mbit, "Mbit/s (tbf)"),
        ("delay", shape.delay_ms, "ms one way"),
        ("loss", shape.loss_pct, "%"),
        ("reordered", shape.reorder_pct, "%"),
    )
    told = ", ".join(f"{word} {value:g} {unit}" for word, value, unit in parts if value)
    return ("the node's ports, towards each endpoint:", told) if told else ()
