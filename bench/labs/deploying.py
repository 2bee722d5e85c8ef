"""The plan's `lab:`: who deploys the endpoints, what guests are made of, which machines stand. All validated here."""

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from bench.document import Node
from bench.labs import logins, vm_paths
from bench.labs.guests import MODELS, QUEUES_MOST, RINGS, WITHHELD, Guests
from bench.labs.inventory import Inventory, load
from bench.labs.topology import MTU_RANGE, PVE, STANDING, Topology
from bench.options import Option, Options, switch, taken, whole, word
from bench.pve import new_network
from bench.pve.deployment import DHCP, Deployment
from results.json_schema import Schema, listed, mapping

Deployed = Guests | Inventory | Deployment
GUESTS: Options = {
    "cpus": whole(1, 64, "CPUs", 1, "of each guest"),
    "memory_mb": whole(384, 65536, "MB", 512, "MB of each guest; its file system lives there too"),
    "nic": word(MODELS, "virtio-net", "the model of the measured NICs"),
    "queues": whole(1, QUEUES_MOST, "queues", 1, "receive and transmit queues of each measured NIC (virtio-net)"),
    "ring": whole(*RINGS, "entries", 0, "of the receive ring (virtio-net), a power of two; 256 when not given"),
    "host_mtu": whole(MTU_RANGE[0], MTU_RANGE[1], "bytes", 0, "the most that a guest's MTU can be set to (virtio-net)"),
    "nic_off": Option(
        {**listed({"enum": list(WITHHELD)}), "description": "what QEMU's virtio-net does not offer the guests"},
        lambda node: tuple(each.choice(WITHHELD) for each in node.items()),
        (),
    ),
    "nodes": switch("the nodes between the endpoints are guests too: the whole path is Debian's kernel"),
    "node": Option(logins.schema(), logins.node, None),
}
_FILE: Schema = {"type": "string", "minLength": 1, "description": "YAML file of the machines (docs/hosts.md)"}
HOSTS: Options = {
    "inventory": Option(_FILE, lambda node: node.text(), ""),
    "grace_s": whole(1, 600, "s", 30, "s beyond a trial's own time after which a machine puts itself back"),
}


def _names(node: Node) -> tuple[str, ...]:
    found = tuple(each.text() for each in node.items())
    if not found or not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", each) for each in found):
        node.wrong("one or two names of nodes belong here", hint="nodes: [pve1], or [pve1, pve2]")
    return found


_IMAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*:(import/[^\s,]+\.(qcow2|raw|vmdk)|vztmpl/[^\s,]+\.tar\.(zst|xz|gz))")
_CPUS = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")


def _image(node: Node) -> str:
    """A volume of the cluster, or a file here by its whole path."""
    if _IMAGE.fullmatch(node.text()):
        return node.text()
    path = Path(node.text()).expanduser()
    if ":" in node.text() or path.suffix != ".qcow2" or re.search(r"[\s,]", node.text()):
        node.wrong(f"{node.text()!r} is no image of a VM or container",
                   hint="local:import/nettune.qcow2, local:vztmpl/debian.tar.zst, or a file here")  # fmt: skip
    if not path.is_file():
        node.wrong(f"there is no file {str(path)!r}", hint="nettune image build --disk makes one and says where")
    return str(path.absolute())


def _addresses(node: Node) -> tuple[str, ...]:
    return (DHCP,) if node.value == DHCP else vm_paths.pairs(node)


def _affinity(node: Node) -> tuple[str, ...]:
    found = tuple(str(each.value) for each in node.items())
    if not 1 <= len(found) <= 2 or not all(map(_CPUS.fullmatch, found)):
        node.wrong("one or two lists of a node's CPUs belong here", hint='affinity: ["2-3", "4,6"]')
    return found


_TEXT: Schema = {"type": "string", "minLength": 1}
PROXMOX: Options = {
    "cluster": Option({**_TEXT, "description": "YAML file of the cluster (docs/proxmox.md)"}, lambda n: n.text(), ""),
    "nodes": Option({**listed(_TEXT), "description": "a's node and b's; one for both"}, _names, ()),
    "template": whole(100, 999_999_999, "(a VM's id)", 0, "a template that is cloned"),
    "image": Option(
        {
            **_TEXT,
            "description": "imported: local:import/NAME.qcow2, a file here that is uploaded first, "
            "or a container's archive: local:vztmpl/NAME.tar.zst",
        },
        _image,
        "",
    ),
    "image_storage": Option({**_TEXT, "description": "where a file is uploaded to"}, lambda n: n.name(), "local"),
    "storage": Option({**_TEXT, "description": "where the disks are made"}, lambda n: n.name(), ""),
    "placement": word(("as-named", "same-node", "across-nodes"), "as-named", "of the two, among 'nodes'"),
    "management": Option(
        {
            **_TEXT,
            "description": "the bridge of a NIC more, by which the VMs are reached; the measured "
            "one is then free of it, and its addresses are planned",
        },
        vm_paths.device,
        "",
    ),
    "management_tag": whole(1, 4094, "(a VLAN's id)", 0, "of that NIC; none when not given"),
    "addresses": Option(
        {
            "oneOf": [listed(_TEXT), {"const": DHCP}],
            "description": "two for each path, with prefix length; of the management NIC where there is one, and then "
            "they may be DHCP's",
        },
        _addresses,
        (),
    ),
    "gateway": Option({**_TEXT, "description": "the VMs' default route; none when not given"}, vm_paths.address, ""),
    "pool": Option({**_TEXT, "description": "the pool that the VMs are put into"}, lambda n: n.text(), ""),
    "cores": whole(1, 512, "CPUs", 2, "of each VM"),
    "memory_mb": whole(256, 1_048_576, "MB", 1024, "MB of each VM"),
    "affinity": Option(
        {
            **listed({"type": ["string", "integer"]}),
            "description": "the node's CPUs that a's VM and b's are pinned to; one for both",
        },
        _affinity,
        (),
    ),
    "jump": switch("the VMs are reached through their node, by its SSH"),
    "ready_s": whole(1, 3600, "s", 300, "s from a VM's start to its first login; a first boot takes a minute or more"),
}
OPTIONS: Mapping[str, Options] = {"netns": {}, "qemu": GUESTS, "hosts": HOSTS, "proxmox": PROXMOX}
_REQUIRED: Mapping[str, tuple[str, ...]] = {"hosts": ("inventory",)}
_SITED = ("nodes", "storage", "addresses")  # of the plan, or of the cluster's file: asked for once that is known
_EXAMPLES = {
    "hosts": "{provider: hosts, inventory: hosts.yaml}",
    "proxmox": "{provider: proxmox, cluster: pve.yaml, nodes: [pve1], template: 9000, storage: local-lvm, "
               "addresses: [192.0.2.10/24, 192.0.2.11/24]}",
}  # fmt: skip


def deployed(node: Node, *, nodes_most: int = 2) -> Deployed | None:
    """What deploys the endpoints; None: network namespaces. Raises WrongInput naming line and key.

    `nodes_most`: of a Proxmox VE, that guests are placed on.
    """
    kind, members = _chosen(node)
    for key in _REQUIRED.get(kind, ()):
        if key not in members:
            node.wrong(f"provider {kind} needs its {key!r}", hint=_EXAMPLES[kind])
    match kind:
        case "qemu":
            return _guests(members)
        case "hosts":
            given = taken(members, HOSTS)
            return replace(load(Path(given["inventory"]).expanduser()), grace_s=given["grace_s"])
        case "proxmox":
            if "nodes" in members and len(_names(members["nodes"])) > nodes_most:
                members["nodes"].wrong("one or two names of nodes belong here", hint="nodes: [pve1], or [pve1, pve2]")
            return _deployment(node, members)
    return None


def fitting(found: tuple[Topology, ...], node: Node, of: Deployed | None) -> tuple[Topology, ...]:
    """The topologies that such a lab has: each provider knows its own. Raises WrongInput."""
    own = STANDING if isinstance(of, Inventory) else PVE if isinstance(of, Deployment) else ""
    for topology, item in zip(found, node.items(), strict=True):
        if own == STANDING != topology.kind:
            item.wrong(f"provider hosts builds no {topology.kind}", hint="topologies: [standing]")
        if own == PVE != topology.kind:
            item.wrong(f"provider proxmox builds no {topology.kind}", hint="topologies: [{kind: pve, bridge: vmbr0}]")
        if topology.kind == STANDING and not own:
            item.wrong(
                "a standing path is one between machines that stand", hint="lab: {provider: hosts, inventory: FILE}"
            )
        if topology.kind == PVE and not own:
            item.wrong("a path of kind pve is one between VMs of a Proxmox VE", hint=f"lab: {_EXAMPLES['proxmox']}")
    if own == STANDING and len(found) > 1:
        node.wrong("between machines that stand there is one path", hint="topologies: [standing]")
    if isinstance(of, Deployment) and of.sited:
        return _addressed(found, node, of)
    return tuple(replace(each, ip=of.ip) for each in found) if isinstance(of, Inventory) else found


def _addressed(found: tuple[Topology, ...], node: Node, of: Deployment) -> tuple[Topology, ...]:
    """Each path with its VMs' addresses: its own, the lab's in turn, or planned where they are not reached by them."""
    own_leases = [(DHCP, DHCP)] * len(found)
    dealt = own_leases if of.leased else list(zip(of.addresses[::2], of.addresses[1::2], strict=True))
    paths, known, made = [], set[str](), set[str]()
    for number, (topology, item) in enumerate(zip(found, node.items(), strict=True)):
        if not dict(topology.net).get("bridge"):
            item.wrong("the cluster's file has no such network", hint="its site has networks: docs/proxmox.md")
        lacking = f"{len(found)} paths stand at the same time, and the lab has addresses for {len(of.addresses) // 2}"
        if of.management:
            if number >= len(dealt):
                node.wrong(lacking, hint="addresses: two for each, on the management network")
            own = topology.addresses or (f"198.18.{number}.1/24", f"198.18.{number}.2/24")  # RFC 2544
            path = replace(topology, addresses=own, reached=dealt[number])
        else:
            own = topology.addresses or (dealt.pop(0) if dealt else ())
            if not own:
                node.wrong(lacking, hint="addresses: two for each, or of a path: addresses: [192.0.2.12/24, …]")
            path = replace(topology, addresses=own)
        if set(own) & known:
            item.wrong("all paths of a plan stand at the same time, and this one's addresses are another's too",
                       hint="addresses: [192.0.2.12/24, 192.0.2.13/24]")  # fmt: skip
        known |= set(own)
        if topology.create:
            new_network.check_joins(topology.create, of.placed, item)
            if (name := dict(topology.net)["bridge"]) in made:
                item.wrong(f"{name} is made twice", hint="name it without 'create' in the paths after the first")
            made.add(name)
        first, second = (ip_interface(each) for each in own)
        if not topology.peer and first.network != second.network:
            item.wrong(f"{first} and {second} are of two subnets", hint="a path has one, unless b has its own 'peer'")
        paths.append(replace(path, ip=first.version))
    return tuple(paths)


def _deployment(node: Node, members: Mapping[str, Node]) -> Deployment:
    given = taken(members, PROXMOX)
    template, image, placement = given.pop("template"), given.pop("image"), given.pop("placement")
    source, named = str(template) if template else image, given.pop("cluster")
    if template and image:
        node.wrong("a template and an image are two words for one thing", hint=_EXAMPLES["proxmox"])
    if not named:  # to be read and shown; whoever would stand it up is told
        return Deployment(Path(), source=source, **given)
    cluster = Path(named).expanduser()
    if not cluster.is_file():
        members["cluster"].wrong(f"there is no file {str(cluster)!r}", hint="docs/proxmox.md has an example")
    for key in _SITED:
        if key not in members:
            node.wrong(f"neither the plan nor the site in {cluster.name} has {key!r}", hint=_EXAMPLES["proxmox"])
    if not source:
        node.wrong(f"neither the plan nor the site in {cluster.name} has 'template' or 'image'",
                   hint=_EXAMPLES["proxmox"])  # fmt: skip
    if placement == "across-nodes" and len(given["nodes"]) < 2:
        node.wrong(f"across nodes takes two, and there is {given['nodes'][0]}", hint="nodes: [pve1, pve2]")
    if placement == "same-node":
        given["nodes"] = given["nodes"][:1]
    found = Deployment(cluster, source=source, **given)
    if found.leased:
        _lets_dhcp(members)
    return found


def _lets_dhcp(members: Mapping[str, Node]) -> None:
    """What is measured has planned addresses; and a lease brings the default route along. Raises WrongInput."""
    if "management" not in members:
        members["addresses"].wrong("DHCP gives addresses to a management NIC, and the VMs have none",
                                   hint="management: vmbr0, beside the NIC that is measured")  # fmt: skip
    if "gateway" in members:
        members["gateway"].wrong("the VMs' default route comes with their leases", hint="leave 'gateway' out")


def _guests(members: Mapping[str, Node]) -> Guests:
    given = taken(members, GUESTS)
    if given["ring"] & (given["ring"] - 1):
        members["ring"].wrong(f"{given['ring']} entries are no power of two", hint="256, 512 or 1024")
    if given["nic"] != "virtio-net":
        for key in ("queues", "ring", "host_mtu", "nic_off"):
            if key in members:
                members[key].wrong(f"only virtio-net has {key} that can be chosen", hint="nic: virtio-net")
    return Guests(**given)


def _chosen(node: Node) -> tuple[str, Mapping[str, Node]]:
    """The provider, and the lab's keys, which are those that it knows."""
    members = node.mapping()
    provider = members.get("provider")
    kind = "netns" if provider is None else provider.choice(tuple(OPTIONS))
    node.mapping(("provider", *OPTIONS[kind]))
    return kind, members


def schema() -> Schema:
    """The JSON Schema of `lab:`."""
    rows = [
        mapping(
            {"provider": {"const": kind}, **{key: each.schema for key, each in options.items()}},
            optional=(
                *(("provider",) if kind == "netns" else ()),
                *(key for key in options if key not in _REQUIRED.get(kind, ())),
            ),
        )
        for kind, options in OPTIONS.items()
    ]
    about = (
        "netns: network namespaces; qemu: virtual machines, built on first use; hosts: machines that already stand; "
    )
    about += "proxmox: test VMs of a Proxmox VE"
    return {"oneOf": rows, "description": about}
