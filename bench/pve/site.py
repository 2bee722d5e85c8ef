"""What plans leave out about a Proxmox VE: the `site` of the cluster's file, filled into a plan's document.

A plan that ships names networks by what they are for. Where there is a cluster's file, what is kept with a run says all
of it; where there is none, the plan can be read and shown all the same.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from bench import document
from bench.document import Node

FILES = ("pve.yaml", "~/.config/nettune/pve.yaml", "/etc/nettune/pve.yaml")  # the first that is there
VARIABLE = "NETTUNE_CLUSTER"
_OF_TWO = ("affinity", "placement")  # where a and b stand, which many pairs say otherwise
_LAB = ("nodes", "template", "image", "image_storage", "storage", "pool", "management", "management_tag", "addresses",
        "gateway", "jump", "cores", "memory_mb", "ready_s", *_OF_TWO)  # fmt: skip
KEYS = (*_LAB, "networks")


def file() -> Path | None:
    """The cluster's file, where a plan names none: $NETTUNE_CLUSTER, or the first of FILES."""
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    return next((path.absolute() for name in FILES if (path := Path(name).expanduser()).is_file()), None)


def filled(plan: Node) -> Node:
    """The plan with what its site says in place of what it leaves out; as it is where that is not asked for.

    Raises WrongInput naming line and key of either file.
    """
    top = plan.value if isinstance(plan.value, dict) else {}
    lab = top.get("lab", plan)
    given = lab.value if lab is not plan and isinstance(lab.value, dict) else {}
    if "provider" not in given or given["provider"].value != "proxmox":
        return plan
    path = Path(given["cluster"].text()).expanduser() if "cluster" in given else file()
    if path is None or not path.is_file():
        return plan
    site = of(document.read(_text(path), path.name))
    left_out = _OF_TWO if "pairs" in top else ()
    keys = [key for key in site if key in _LAB and key not in left_out and not _said_otherwise(key, given)]
    known = {key: _beside(path, site[key]) if key == "image" else site[key] for key in keys}
    whole = {"cluster": Node(str(path), lab.place, "lab.cluster"), **known, **given}
    networks = site["networks"].mapping() if "networks" in site else {}
    filled_in = {"lab": Node(whole, lab.place, lab.path)}
    if "topologies" in top and isinstance(top["topologies"].value, list):
        paths = [_on(each, networks, path) for each in top["topologies"].value]
        filled_in["topologies"] = Node(paths, top["topologies"].place, top["topologies"].path)
    return Node({**top, **filled_in}, plan.place, plan.path)


def of(cluster: Node) -> Mapping[str, Node]:
    """The site of a cluster's document. Raises WrongInput."""
    members = cluster.mapping()
    return members["site"].mapping(KEYS) if "site" in members else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "{}"  # whoever loads it says what is wrong with it


def _beside(path: Path, image: Node) -> Node:
    """An image that is a file, as the other files that the cluster's file names: where that lies, not where we are."""
    if not isinstance(image.value, str) or ":" in image.value:
        return image
    return Node(str(path.parent / Path(image.value).expanduser()), image.place, image.path)


def _said_otherwise(key: str, given: Mapping[str, Node]) -> bool:
    """A template and an image are two words for one thing; a lease brings a gateway along, and needs the NIC for it.

    Addresses of a plan's own are those of the measured NICs, unless it names a management network itself; a placement
    is one among the nodes beside it.
    """
    if key in {"management", "management_tag"} and not {"addresses", "management"}.isdisjoint(given):
        return "management" in given or given["addresses"].value != "dhcp"
    if key == "placement":
        return "nodes" in given
    if key == "gateway" and "addresses" in given:
        return given["addresses"].value == "dhcp"
    return key in {"template", "image"} and bool({"template", "image"} & given.keys())


def _on(topology: Node, networks: Mapping[str, Node], path: Path) -> Node:
    """A path with the options of the network that it names; its own come first."""
    own = topology.value if isinstance(topology.value, dict) else {}
    if "network" not in own:
        return topology
    word = own["network"].text()
    if word not in networks:
        own["network"].wrong(
            f"the site in {path} has no network {word!r}",
            hint=document.nearest(word, networks) or f"site: {{networks: {{{word}: {{bridge: vmbr0}}}}}}",
        )
    named = {"name": Node(f"pve-{word}", own["network"].place, f"{topology.path}.name")}
    kept = {key: node for key, node in own.items() if key != "network"}
    return Node({**named, **networks[word].mapping(), **kept}, topology.place, topology.path)
