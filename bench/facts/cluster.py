"""What a node of a cluster says of high availability and of corosync's links: who is fenced, and when. Pure.

Formats: `ha-manager status` (pve-ha-manager, PVE/API2/HA/Status.pm), `corosync-cfgtool -s` (corosync 3, knet).
"""

import re
from dataclasses import dataclass

from bench.hosts.command import Command

# The name of the node, then what each of the two says, under its own headline; neither is there on most hosts.
QUESTION = Command(("sh", "-c", """\
uname -n
echo '== ha'; ha-manager status 2>/dev/null
echo '== links'; corosync-cfgtool -s 2>/dev/null
true"""))  # fmt: skip
_LRM = r"^lrm {} \(([^,)]+)"
_AT_REST = frozenset({"stopped", "ignored", "disabled", "error", "freeze"})
_LINK = re.compile(r"^LINK ID (\d+)(.*?)(?=^LINK ID |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ring:
    """One of corosync's links, by the address that it has here; `up`: it reaches every other node."""

    address: str
    up: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """`ha`: what the node's resource manager says of itself ("active", "idle", "maintenance mode"); "" without HA."""

    node: str
    ha: str
    rings: tuple[Ring, ...]
    runs: bool = False  # HA has a service on the node that is neither stopped nor given up

    @property
    def fences(self) -> bool:
        """True where its watchdog is armed: without quorum it is reset after about 60 s, before any timer of ours."""
        # In maintenance it keeps its watchdog until all services have left (pve-ha-manager, PVE/HA/LRM.pm).
        return bool(self.ha) and self.ha != "idle" and (self.ha != "maintenance mode" or self.runs)


def parse(text: str) -> Cluster:
    """What QUESTION printed."""
    head, _, rest = text.partition("== ha\n")
    ha, _, links = rest.partition("== links\n")
    node = head.strip().partition(".")[0]
    found = re.search(_LRM.format(re.escape(node)), ha, re.MULTILINE)
    services = re.findall(rf"^service \S+ \({re.escape(node)}, ([^,)]+)", ha, re.MULTILINE)
    runs = any(state.strip() not in _AT_REST for state in services)
    rings = tuple(_ring(match[2]) for match in _LINK.finditer(links))
    return Cluster(node, found[1].strip() if found else "", rings, runs)


def _ring(text: str) -> Ring:
    address = re.search(r"^\s*addr\s*=\s*(\S+)", text, re.MULTILINE)
    states = re.findall(r"^\s*nodeid:\s*\d+:\s*(\S+)", text, re.MULTILINE)
    others = [each for each in states if each != "localhost"]
    return Ring(address[1] if address else "", bool(others) and all(each == "connected" for each in others))
