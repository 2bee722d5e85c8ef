"""The plan's `lab:`: who deploys the endpoints, what guests are made of, which machines stand. All validated here."""

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from bench.document import Node
from bench.labs import logins, reading
from bench.labs.guests import MODELS, QUEUES_MOST, RINGS, Guests
from bench.labs.inventory import Inventory, load
from bench.labs.topology import MTU_RANGE, PVE, STANDING, Topology
from bench.options import Option, Options, switch, taken, whole, word
from bench.pve.deployment import Deployment
from results.json_schema import Schema, listed, mapping

Deployed = Guests | Inventory | Deployment
GUESTS: Options = {
    "cpus": whole(1, 64, "CPUs", 1, "of each guest"),
    "memory_mb": whole(384, 65536, "MB", 512, "MB of each guest; its file system lives there too"),
    "nic": word(MODELS, "virtio-net", "the model of the measured NICs"),
    "queues": whole(1, QUEUES_MOST, "queues", 1, "receive and transmit queues of each measured NIC (virtio-net)"),
    "ring": whole(*RINGS, "entries", 0, "of the receive ring (virtio-net), a power of two; 256 when not given"),
    "host_mtu": whole(MTU_RANGE[0], MTU_RANGE[1], "bytes", 0, "the most that a guest's MTU can be set to (virtio-net)"),
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
    if not 1 <= len(found) <= 2 or not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", each) for each in found):
        node.wrong("one or two names of nodes belong here", hint="nodes: [pve1], or [pve1, pve2]")
    return found


def _image(node: Node) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*:import/[^\s,]+\.(qcow2|raw|vmdk)", node.text()):
        node.wrong(f"{node.text()!r} is no image that can be imported", hint="local:import/nettune.qcow2")
    return node.text()


def _ip(node: Node) -> str:
    try:
        return str(ip_address(node.text()))
    except ValueError:
        node.wrong(f"{node.text()!r} is no IP address")


_TEXT: Schema = {"type": "string", "minLength": 1}
PROXMOX: Options = {
    "cluster": Option({**_TEXT, "description": "YAML file of the cluster (docs/proxmox.md)"}, lambda n: n.text(), ""),
    "nodes": Option({**listed(_TEXT), "description": "a's node and b's; one for both"}, _names, ()),
    "template": whole(100, 999_999_999, "(a VM's id)", 0, "a template that is cloned"),
    "image": Option({**_TEXT, "description": "an image that is imported: local:import/NAME.qcow2"}, _image, ""),
    "storage": Option({**_TEXT, "description": "where the disks are made"}, lambda n: n.name(), ""),
    "addresses": Option({**listed(_TEXT), "description": "a's and b's, with prefix length"}, reading.pair, ()),
    "gateway": Option({**_TEXT, "description": "the VMs' default route; none when not given"}, _ip, ""),
    "pool": Option({**_TEXT, "description": "the pool that the VMs are put into"}, lambda n: n.text(), ""),
    "cores": whole(1, 512, "CPUs", 2, "of each VM"),
    "memory_mb": whole(256, 1_048_576, "MB", 1024, "MB of each VM"),
    "jump": switch("the VMs are reached through their node, by its SSH"),
}
OPTIONS: Mapping[str, Options] = {"netns": {}, "qemu": GUESTS, "hosts": HOSTS, "proxmox": PROXMOX}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "hosts": ("inventory",), "proxmox": ("cluster", "nodes", "storage", "addresses"),
}  # fmt: skip
_EXAMPLES = {
    "hosts": "{provider: hosts, inventory: hosts.yaml}",
    "proxmox": "{provider: proxmox, cluster: pve.yaml, nodes: [pve1], template: 9000, storage: local-lvm, "
               "addresses: [192.0.2.10/24, 192.0.2.11/24]}",
}  # fmt: skip


def deployed(node: Node) -> Deployed | None:
    """What deploys the endpoints; None: network namespaces. Raises WrongInput naming line and key."""
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
    if isinstance(of, Deployment):
        pairs = [each.addresses or of.addresses for each in found]
        for number, item in enumerate(node.items()):
            if set(pairs[number]) & {each for pair in pairs[:number] for each in pair}:
                item.wrong("all paths of a plan stand at the same time, and this one's addresses are another's too",
                           hint="addresses: [192.0.2.12/24, 192.0.2.13/24]")  # fmt: skip
    return tuple(replace(each, ip=of.ip) for each in found) if isinstance(of, Inventory | Deployment) else found


def _deployment(node: Node, members: Mapping[str, Node]) -> Deployment:
    if ("template" in members) == ("image" in members):
        node.wrong("provider proxmox needs one of 'template' and 'image'", hint=_EXAMPLES["proxmox"])
    given = taken(members, PROXMOX)
    cluster = Path(given.pop("cluster")).expanduser()
    template, image = given.pop("template"), given.pop("image")
    if not cluster.is_file():
        members["cluster"].wrong(f"there is no file {str(cluster)!r}", hint="docs/proxmox.md has an example")
    return Deployment(cluster, source=str(template) if template else image, **given)


def _guests(members: Mapping[str, Node]) -> Guests:
    given = taken(members, GUESTS)
    if given["ring"] & (given["ring"] - 1):
        members["ring"].wrong(f"{given['ring']} entries are no power of two", hint="256, 512 or 1024")
    if given["nic"] != "virtio-net":
        for key in ("queues", "ring", "host_mtu"):
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
