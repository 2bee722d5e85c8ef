"""What a plan says of its test VMs on Proxmox VE, and the file that says where the cluster is. Asks nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

from bench import document
from bench.hosts.login import Login
from bench.labs import logins
from bench.labs.topology import Topology
from bench.pve import access
from bench.pve.access import Access
from results.errors import WrongInput


@dataclass(frozen=True, slots=True)
class Deployment:
    """Two VMs, a and b.

    cluster    the file by which the API is found (docs/proxmox.md)
    nodes      a's and b's; one name for both
    source     "9000", a template; or "local:import/nettune.qcow2", an image
    addresses  a's and b's with prefix length: the probes' and ours
    jump       they are reached through their node, by its SSH
    """

    cluster: Path
    nodes: tuple[str, ...]
    source: str
    storage: str
    addresses: tuple[str, str]
    gateway: str = ""
    pool: str = ""
    cores: int = 2
    memory_mb: int = 1024
    jump: bool = False

    @property
    def ip(self) -> int:
        """The family of the addresses."""
        return ip_interface(self.addresses[0]).version

    @property
    def placed(self) -> tuple[str, str]:
        """The nodes of a and b."""
        return self.nodes[0], self.nodes[-1]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the API is, and how the nodes that are named are reached by SSH."""

    access: Access
    nodes: Mapping[str, Login]


def load(path: Path) -> Cluster:
    """The cluster in a file. Raises WrongInput naming file, line and key."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"no cluster file {str(path)!r}: {getattr(error, 'strerror', None) or 'it is no text'}",
                         hint="docs/proxmox.md has an example") from error  # fmt: skip
    folder = path.expanduser().parent
    root = document.read(text, path.name)
    members = root.mapping((*access.KEYS, "nodes"))
    given = root if "nodes" not in members else _without(root, "nodes")
    nodes = {}
    for name, each in (members["nodes"].mapping() if "nodes" in members else {}).items():
        inner = each.mapping(logins.KEYS)
        if "ssh" not in inner:
            each.wrong(f"node {name} has no 'ssh'", hint=f"{name}: {{ssh: ssh://root@{name}}}")
        nodes[name] = logins.login(inner, folder)
    return Cluster(access.parse(given, folder), nodes)


def _without(root: document.Node, key: str) -> document.Node:
    members = dict(root.mapping())
    del members[key]
    return document.Node(members, root.place, root.path)


def net(topology: Topology) -> str:
    """net0 as the API takes it, for a VM on that path; always with the MTU: versions differ in what none means."""
    given = dict(topology.net)
    model = given.pop("model", "virtio")
    words = [f"{key}={value}" for key, value in given.items()]
    return ",".join((model, *words, *([f"mtu={topology.mtu}"] if model == "virtio" else [])))
