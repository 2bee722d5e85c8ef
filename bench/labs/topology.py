"""Topology: the path between endpoints a and b as data, and its drawing."""

import itertools
from dataclasses import dataclass
from html import escape
from typing import Literal, get_args

Kind = Literal["direct", "bridge", "routed"]
KINDS: tuple[str, ...] = get_args(Kind)
# Known by design, built by later issues of the lab: named so that a plan gets a reason, not "unknown kind".
LATER_KINDS = ("vlan", "bond", "nat", "firewall")
MTU_RANGE = (576, 65535)  # RFC 791's smallest reassembly size; IPv4's largest packet


@dataclass(frozen=True, slots=True)
class Topology:
    """A path of one kind; `mtu` in bytes holds for every device on it."""

    kind: Kind
    mtu: int = 1500

    @property
    def name(self) -> str:
        """As plans, reports and stores call it: `bridge`, `routed-mtu9000`."""
        return self.kind if self.mtu == 1500 else f"{self.kind}-mtu{self.mtu}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The kernel's link kinds that it is made of (names in labs.capability)."""
        return ("veth", "bridge") if self.kind == "bridge" else ("veth",)


_MIDDLE = {
    "direct": "",
    "bridge": "br0 (Linux bridge)",
    "routed": "forwarding (IPv4)",
}


def drawing(topology: Topology, a: str, b: str) -> str:
    """The path as SVG text in the colour of the text around it; a and b are the endpoints' addresses."""
    middle = _MIDDLE[topology.kind]
    boxes = [(10, "endpoint a", a, "eth0")]
    if middle:
        boxes.append((190, "node", middle, "port-a · port-b"))
    boxes.append((370 if middle else 280, "endpoint b", b, "eth0"))
    width = boxes[-1][0] + 140
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 112" role="img" '
            f'font-family="sans-serif" font-size="12" fill="currentColor" style="max-width:{width}px;width:100%">'
        ),
        f"<title>{escape(topology.name)}: {escape(a)} to {escape(b)}</title>",
    ]
    for x, title, first, second in boxes:
        parts.append(
            f'<rect x="{x}" y="18" width="130" height="62" rx="6" fill="none" stroke="currentColor"/>'
            f'<text x="{x + 65}" y="37" text-anchor="middle" font-weight="bold">{escape(title)}</text>'
            f'<text x="{x + 65}" y="54" text-anchor="middle" font-size="11">{escape(first)}</text>'
            f'<text x="{x + 65}" y="70" text-anchor="middle" font-size="11">{escape(second)}</text>'
        )
    for left, right in itertools.pairwise(boxes):
        parts.append(f'<path d="M{left[0] + 130} 49 H{right[0]}" stroke="currentColor" stroke-width="2"/>')
    parts.append(
        f'<text x="{width / 2:g}" y="102" text-anchor="middle" font-size="11">'
        f"veth pairs between network namespaces, MTU {topology.mtu}</text></svg>"
    )
    return "".join(parts)
