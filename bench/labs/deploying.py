"""The plan's `lab:`: who deploys the endpoints, and what guests are made of. Every option is validated here."""

from collections.abc import Mapping

from bench.document import Node
from bench.labs.guests import MODELS, RINGS, Guests
from bench.labs.topology import MTU_RANGE
from bench.options import Options, switch, taken, whole, word
from results.json_schema import Schema, mapping

_LATER = ("proxmox", "hosts")
GUESTS: Options = {
    "cpus": whole(1, 64, "CPUs", 1, "of each guest"),
    "memory_mb": whole(384, 65536, "MB", 512, "MB of each guest; its file system lives there too"),
    "nic": word(MODELS, "virtio-net", "the model of the measured NICs"),
    "queues": whole(1, 16, "queues", 1, "receive and transmit queues of each measured NIC (virtio-net)"),
    "ring": whole(*RINGS, "entries", 0, "of the receive ring (virtio-net), a power of two; 256 when not given"),
    "host_mtu": whole(MTU_RANGE[0], MTU_RANGE[1], "bytes", 0, "the most that a guest's MTU can be set to (virtio-net)"),
    "nodes": switch("the nodes between the endpoints are guests too: the whole path is Debian's kernel"),
}
OPTIONS: Mapping[str, Options] = {"netns": {}, "qemu": GUESTS}


def guests(node: Node) -> Guests | None:
    """What the guests are; None for network namespaces. Raises WrongInput naming line and key."""
    members = node.mapping()
    provider = members.get("provider")
    kind = "netns" if provider is None else provider.choice((*OPTIONS, *_LATER))
    if provider is not None and kind in _LATER:
        provider.wrong(f"provider {kind!r} is not in this version", hint="provider: qemu, or netns")
    node.mapping(("provider", *OPTIONS[kind]))
    if kind == "netns":
        return None
    given = taken(members, GUESTS)
    if given["ring"] & (given["ring"] - 1):
        members["ring"].wrong(f"{given['ring']} entries are no power of two", hint="256, 512 or 1024")
    if given["nic"] != "virtio-net":
        for key in ("queues", "ring", "host_mtu"):
            if key in members:
                members[key].wrong(f"only virtio-net has {key} that can be chosen", hint="nic: virtio-net")
    return Guests(**given)


def schema() -> Schema:
    """The JSON Schema of `lab:`."""
    rows = [
        mapping(
            {"provider": {"const": kind}, **{key: each.schema for key, each in options.items()}},
            optional=(*(("provider",) if kind == "netns" else ()), *options),
        )
        for kind, options in OPTIONS.items()
    ]
    return {"oneOf": rows, "description": "netns: network namespaces; qemu: virtual machines, built on first use"}
