"""What a plan says of its test VMs on Proxmox VE, and the file that says where the cluster is. Asks nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import document
from bench.hosts.login import Login
from bench.labs import inventory, logins
from bench.labs.inventory import Machine
from bench.labs.topology import Topology
from bench.pve import access, site
from bench.pve.access import Access

DHCP = "dhcp"  # in place of an address


@dataclass(frozen=True, slots=True)
class Deployment:
    """Two VMs or containers for each path, a and b.

    cluster     the file by which the API is found (docs/proxmox.md)
    nodes       a's and b's; one name for both
    source      "9000", a template; "local:import/nettune.qcow2", an image; "local:vztmpl/x.tar.zst", a container;
                "/srv/nettune.qcow2", a file here that is brought to `image_storage`
    addresses   two for each path, with prefix length: on the management network, else the probes' too; or (DHCP,):
                the management NICs have a lease each, which the VMs' agents tell
    management  the bridge of a NIC by which they are reached, beside the one that is measured; "" none
    jump        they are reached through their node, by its SSH
    affinity    the node's CPUs that they are pinned to; one for both; () for all
    ready_s     s that one may take from its start to the first login
    """

    cluster: Path
    nodes: tuple[str, ...]
    source: str
    storage: str
    addresses: tuple[str, ...]
    management: str = ""
    management_tag: int = 0
    gateway: str = ""
    pool: str = ""
    cores: int = 2
    memory_mb: int = 1024
    jump: bool = False
    image_storage: str = "local"
    affinity: tuple[str, ...] = ()
    ready_s: int = 300
    settings: tuple[str, ...] = ()  # of bench.labs.guests: what a plan's treatments change of the VMs' net0

    @property
    def sited(self) -> bool:
        """False where no cluster's file is known: such a plan can be read, and no more."""
        return self.cluster != Path()

    @property
    def leased(self) -> bool:
        """True where the addresses on the management network are DHCP's."""
        return self.addresses == (DHCP,)

    @property
    def placed(self) -> tuple[str, str]:
        """The nodes of a and b."""
        return self.nodes[0], self.nodes[-1]

    @property
    def pinned(self) -> tuple[str, str]:
        """The CPUs of a and b; "" for all."""
        return (self.affinity[0], self.affinity[-1]) if self.affinity else ("", "")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the API is, and the nodes that are reached by SSH; their devices are found once VMs stand there."""

    access: Access
    machines: Mapping[str, Machine]

    @property
    def nodes(self) -> Mapping[str, Login]:
        """How they are reached."""
        return {name: each.login for name, each in self.machines.items()}


def load(path: Path) -> Cluster:
    """The cluster in a file. Raises WrongInput naming file, line and key."""
    root = _document(path)
    folder = path.expanduser().parent
    members = root.mapping((*access.KEYS, "nodes", "site"))
    given = _without(root, "nodes", "site")
    site.of(root)
    machines = {}
    for name, each in (members["nodes"].mapping() if "nodes" in members else {}).items():
        inner = each.mapping((*logins.KEYS, *inventory.SHARED))
        if "ssh" not in inner:
            each.wrong(f"node {name} has no 'ssh'", hint=f"{name}: {{ssh: ssh://root@{name}}}")
        machines[name] = inventory.machine(name, inner, folder)
    return Cluster(access.parse(given, folder), machines)


def reached(path: Path) -> frozenset[str]:
    """The nodes to which a cluster's file gives SSH; no secret is read."""
    if path == Path():
        return frozenset()
    members = _document(path).mapping()
    return frozenset(members["nodes"].mapping()) if "nodes" in members else frozenset()


def who(path: Path) -> str:
    """The token or user that a cluster's file names; no secret is read. Raises WrongInput."""
    return access.whose(_document(path))


def _document(path: Path) -> document.Node:
    return document.load(path.expanduser(), f"cluster file {str(path)!r}", hint="docs/proxmox.md has an example")


def _without(root: document.Node, *keys: str) -> document.Node:
    members = {key: node for key, node in root.mapping().items() if key not in keys}
    return document.Node(members, root.place, root.path)


def net(topology: Topology, end: str = "a") -> str:
    """The measured NIC as the API takes it; always with the MTU: versions differ in what none means."""
    given = dict(topology.net)
    if end == "b" and topology.peer:
        given["bridge"] = topology.peer
    model = given.pop("model", "virtio")
    words = [f"{key}={value}" for key, value in given.items()]
    sized = model == "virtio" and not topology.device  # else net0 is the way in alone, and its MTU the bridge's
    return ",".join((model, *words, *([f"mtu={topology.mtu}"] if sized else [])))
