"""The plan's `lab:`: who deploys the endpoints, what guests are made of, which machines stand. All validated here."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.document import Node
from bench.labs import logins
from bench.labs.guests import MODELS, QUEUES_MOST, RINGS, Guests
from bench.labs.inventory import Inventory, load
from bench.labs.topology import MTU_RANGE
from bench.options import Option, Options, switch, taken, whole, word
from results.json_schema import Schema, mapping

_LATER = ("proxmox",)
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
OPTIONS: Mapping[str, Options] = {"netns": {}, "qemu": GUESTS, "hosts": HOSTS}
_REQUIRED = ("inventory",)


def guests(node: Node) -> Guests | None:
    """What the guests are; None where there are none. Raises WrongInput naming line and key."""
    kind, members = _chosen(node)
    if kind != "qemu":
        return None
    given = taken(members, GUESTS)
    if given["ring"] & (given["ring"] - 1):
        members["ring"].wrong(f"{given['ring']} entries are no power of two", hint="256, 512 or 1024")
    if given["nic"] != "virtio-net":
        for key in ("queues", "ring", "host_mtu"):
            if key in members:
                members[key].wrong(f"only virtio-net has {key} that can be chosen", hint="nic: virtio-net")
    return Guests(**given)


def inventory(node: Node) -> Inventory | None:
    """The machines that already stand; None where the lab is built. Raises WrongInput, also for the file's content."""
    kind, members = _chosen(node)
    if kind != "hosts":
        return None
    for key in _REQUIRED:
        if key not in members:
            node.wrong(f"provider hosts needs its {key!r}", hint="{provider: hosts, inventory: hosts.yaml}")
    given = taken(members, HOSTS)
    return replace(load(Path(given["inventory"]).expanduser()), grace_s=given["grace_s"])


def _chosen(node: Node) -> tuple[str, Mapping[str, Node]]:
    """The provider, and the lab's keys, which are those that it knows."""
    members = node.mapping()
    provider = members.get("provider")
    kind = "netns" if provider is None else provider.choice((*OPTIONS, *_LATER))
    if provider is not None and kind in _LATER:
        provider.wrong(f"provider {kind!r} is not in this version", hint="provider: hosts, qemu, or netns")
    node.mapping(("provider", *OPTIONS[kind]))
    return kind, members


def schema() -> Schema:
    """The JSON Schema of `lab:`."""
    rows = [
        mapping(
            {"provider": {"const": kind}, **{key: each.schema for key, each in options.items()}},
            optional=(*(("provider",) if kind == "netns" else ()), *(key for key in options if key not in _REQUIRED)),
        )
        for kind, options in OPTIONS.items()
    ]
    about = "netns: network namespaces; qemu: virtual machines, built on first use; hosts: machines that already stand"
    return {"oneOf": rows, "description": about}
