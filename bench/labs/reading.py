"""The plan's `topologies:` as Topology values; every option is validated here and nowhere else."""

from typing import cast

from bench.document import Node
from bench.labs.topology import KINDS, LATER_KINDS, MTU_RANGE, Kind, Topology


def topologies(node: Node) -> tuple[Topology, ...]:
    """All of them, in the plan's order; raises WrongInput naming line and key."""
    found = []
    for item in node.items():
        members = item.mapping(("kind", "mtu")) if isinstance(item.value, dict) else {"kind": item}
        if "kind" not in members:
            item.wrong("a topology needs a kind")
        kind = members["kind"]
        if kind.text() in LATER_KINDS:
            kind.wrong(f"topology {kind.text()!r} is not in this version", hint=f"there are {', '.join(KINDS)}")
        word = cast("Kind", kind.choice(KINDS))
        mtu = members["mtu"].integer(*MTU_RANGE, "bytes") if "mtu" in members else 1500
        if Topology(word, mtu) in found:
            item.wrong(f"{Topology(word, mtu).name} stands twice")
        found.append(Topology(word, mtu))
    if not found:
        node.wrong("the plan has no topology")
    return tuple(found)
