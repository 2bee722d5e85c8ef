"""What a node of a cluster says of HA, of corosync's links and of quorum: who is fenced, who is well. Pure.

Formats: `ha-manager status` (pve-ha-manager, PVE/API2/HA/Status.pm), `corosync-cfgtool -s` (corosync 3, knet),
`corosync-quorumtool -s` (corosync 3, tools/corosync-quorumtool.c).
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
# The votes, then HA; nothing of either where there is no cluster.
HEALTH = Command(("sh", "-c", """\
echo '== votes'; command -v corosync-quorumtool >/dev/null && [ -e /etc/corosync/corosync.conf ] && {
  LC_ALL=C timeout 10 corosync-quorumtool -s 2>&1 || true; }
echo '== ha'; timeout 10 ha-manager status 2>/dev/null
true"""), deadline_s=30.0)  # fmt: skip
_ILL = frozenset({"error", "fence", "recovery"})  # of HA's services (PVE/HA/Manager.pm); the rest pass or stand
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


@dataclass(frozen=True, slots=True)
class Health:
    """`problems`: what is not as it must be before another node is changed, in words. `member`: of a cluster at all.

    `stays`: one of them waits for an administrator, as a service in error does.
    """

    member: bool
    problems: tuple[str, ...] = ()
    stays: bool = False


def health(text: str) -> Health:
    """What HEALTH printed."""
    votes, _, ha = text.partition("== votes\n")[2].partition("== ha\n")
    if not votes.strip():
        return Health(member=False)
    problems = []
    numbers = {name: int(found[1]) for name in ("Expected votes", "Total votes")
               if (found := re.search(rf"^{name}:\s*(\d+)", votes, re.MULTILINE))}  # fmt: skip
    if not re.search(r"^Quorate:\s*Yes", votes, re.MULTILINE):
        told = "" if numbers else f": {' '.join(votes.split())[:200]}"
        problems.append(f"corosync has no quorum{told}")
    elif len(numbers) < 2 or numbers["Total votes"] < numbers["Expected votes"]:
        there, all_ = numbers.get("Total votes", "?"), numbers.get("Expected votes", "?")
        problems.append(f"{there} of {all_} votes are there: a node of the cluster is missing")
    services = re.findall(r"^service (\S+) \(([^,)]+), ([^,)]+)", ha, re.MULTILINE)
    problems += [f"HA has {name} on {node} in {state}" for name, node, state in services if state.strip() in _ILL]
    lost = re.findall(r"^lrm (\S+) \(([^,)]*(?:lost_agent_lock|old timestamp)[^)]*)\)", ha, re.MULTILINE)
    problems += [f"HA's manager on {node} is {state}" for node, state in lost]
    return Health(True, tuple(problems), stays=any(state.strip() == "error" for _, _, state in services))


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
