"""What a plan asks of storage: that guests' disks can be made on each node, that their template or image is there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.pve import containers
from bench.pve.client import Client
from bench.pve.deployment import Deployment
from bench.pve.errors import PveFault
from bench.pve.network_check import Asked
from bench.pve.ownership import WORDS, Kind

_DRIVE = re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate|mp)\d+|rootfs")
_Row = Mapping[str, Any]  # Any: JSON


def resource(client: Client, vmid: str) -> _Row | None:
    """What the cluster lists of a guest; None where there is none, or where it may not be seen."""
    rows = client.get("/cluster/resources", {"type": "vm"})
    return next((row for row in rows if str(row.get("vmid")) == vmid), None)


def template(client: Client, of: Deployment) -> tuple[str, _Row]:
    """The node on which a template is, and its configuration; "" and {} for an image, and where they are not seen."""
    row = resource(client, of.source) if of.source.isdigit() else None
    if row is None:
        return "", {}
    try:
        config = client.get(f"/nodes/{row['node']}/{row.get('type', 'qemu')}/{of.source}/config")
    except PveFault:
        return str(row["node"]), {}
    return str(row["node"]), config


def disks(of: Deployment, config: _Row) -> tuple[str, ...]:
    """The storages of the guests' disks: the template's own where it is cloned; the plan's where not seen. Pure."""
    # A CD is the same one; a cloud-init drive is made anew on the template's storage.
    own = [each for each, drive in _drives(config) if "media=cdrom" not in drive or "cloudinit" in drive]
    return tuple(dict.fromkeys(own)) or (of.storage,)


def shared(client: Client, of: Deployment, home: str, config: _Row) -> Iterator[Asked]:
    """Of a template: each other node that is to get a clone, which takes shared storage for all that it has, CDs too.

    Source: check_storage_access_clone of qemu-server (PVE/API2/Qemu.pm), clone_vm of pve-container.
    """
    used = tuple(dict.fromkeys(each for each, _ in _drives(config)))
    away = [node for node in dict.fromkeys(of.nodes) if home and used and node != home]
    if not away:
        return
    what = f"clones of template {of.source} on {', '.join(away)}"
    try:
        rows = {row.get("storage"): row for row in client.get(f"/nodes/{home}/storage")}
    except PveFault as error:
        yield what, "not seen", error.said, ""
        return
    if own := [each for each in used if each in rows and not int(rows[each].get("shared") or 0)]:
        why = (f"it is on {home} with disks on {', '.join(own)}, which is not shared storage: Proxmox VE clones it "
               f"there alone. Instead: shared storage, an image (image: local:import/NAME.qcow2, on each node), or "
               f"VMs on {home} alone (nodes: [{home}], placement: same-node)")  # fmt: skip
        yield what, "missing", why, ""
    elif unseen := [each for each in used if each not in rows]:
        yield what, "not seen", f"whether {', '.join(unseen)} is shared storage, which that takes", ""
    else:
        yield what, "there", "", ""


def _drives(config: _Row) -> list[tuple[str, str]]:
    """(storage, value) of each drive and mount point that lies on one."""
    drives = [str(value) for key, value in sorted(config.items()) if _DRIVE.fullmatch(key)]
    return [(each.partition(":")[0], each) for each in drives if ":" in each.partition(",")[0]]


def room(client: Client, node: str, names: Sequence[str], kind: Kind) -> Iterator[Asked]:
    """The storages on a node, and that they take disks of such guests."""
    for name in names:
        yield _disk(client, node, name, kind)


def _disk(client: Client, node: str, name: str, kind: Kind) -> Asked:
    what = f"storage {name} on {node}"
    try:
        rows = client.get(f"/nodes/{node}/storage", {"enabled": 1})
    except PveFault as error:
        return what, "not seen", error.said, ""
    found = next((row for row in rows if row.get("storage") == name), None)
    if found is None:
        return what, "missing", f"there are {', '.join(str(row.get('storage')) for row in rows) or 'none'}", ""
    content, needed = str(found.get("content", "")), "rootdir" if kind == "lxc" else "images"
    if needed not in content.split(","):
        command = f"pvesm set {name} --content {needed},{content}"
        return what, "missing", f"it takes no disks of {WORDS[kind]}s (content {content})", command
    return (what, "there", "", "") if found.get("active", 1) else (what, "missing", "it is not active", "")


def image(client: Client, of: Deployment) -> Iterator[Asked]:
    """The image on each node that gets a guest of it, or where it goes when it is a file here."""
    for node in dict.fromkeys(of.nodes):
        yield _upload(client, of, node) if of.source.startswith("/") else _volume(client, of, node)


def _volume(client: Client, of: Deployment, node: str) -> Asked:
    store, _, volume = of.source.partition(":")
    content = "vztmpl" if containers.archive(of.source) else "import"
    what = f"image {of.source} on {node}"
    try:
        rows = client.get(f"/nodes/{node}/storage/{store}/content", {"content": content})
    except PveFault as error:
        return what, "not seen", error.said, ""
    if any(str(row.get("volid")) == of.source for row in rows):
        return what, "there", "", ""
    made = "nettune image build --disk, and upload its qcow2 there"
    command = f"pveam download {store} {volume.rpartition('/')[2]}" if content == "vztmpl" else made
    return what, "missing", f"{store} has no {volume} there", command


def _upload(client: Client, of: Deployment, node: str) -> Asked:
    """A storage of the node that takes images by the API; else it goes over the node's SSH."""
    what = f"storage {of.image_storage} for an image on {node}"
    try:
        rows = client.get(f"/nodes/{node}/storage", {"enabled": 1})
    except PveFault as error:
        return what, "not seen", error.said, ""
    found: _Row = next((row for row in rows if row.get("storage") == of.image_storage), {})
    content = str(found.get("content", ""))
    if "import" in content.split(","):
        return (what, "there", "", "") if found.get("active", 1) else (what, "missing", "it is not active", "")
    why = "it takes no images to import (content 'import', Proxmox VE 8.4): the image goes over the node's SSH"
    return what, "not seen", why, f"pvesm set {of.image_storage} --content import,{content}" if content else ""
