"""What netplan's files set of a device: by its name, or by what `match:` says of it. Pure. Format: netplan(5)."""

import fnmatch
from collections.abc import Iterator, Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

FOLDERS = ("/etc/netplan/", "/run/netplan/", "/lib/netplan/")
_KEYS: Mapping[str, str] = {
    "mtu": "mtu", "rx": "receive-checksum-offload", "tx": "transmit-checksum-offload",
    "tso": "tcp-segmentation-offload", "tx-tcp-segmentation": "tcp-segmentation-offload",
    "tx-tcp6-segmentation": "tcp6-segmentation-offload", "gso": "generic-segmentation-offload",
    "gro": "generic-receive-offload", "lro": "large-receive-offload",
}  # fmt: skip
_SWITCHED = {"true": "on", "yes": "on", "false": "off", "no": "off"}


def lines(text: str, setting: str, device: str, about: Mapping[str, frozenset[str]]) -> Iterator[tuple[int, str, str]]:
    """(line from 1, the line, the value) of each place that sets it. No YAML sets nothing: netplan refuses it too.

    `about`: the device's own words, "mac" (lower case) and "driver", each where it is known; what is not known may
    match.
    """
    if (key := _KEYS.get(setting)) is None:
        return
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    rows = text.splitlines()
    for kind in _items(_items(document).get("network")).values():
        for name, of in _items(kind).items():
            for at, value in of.value if isinstance(of, MappingNode) and _is(name, of, device, about) else ():
                if isinstance(value, ScalarNode) and at.value == key:
                    line, said = at.start_mark.line, str(value.value)
                    yield line + 1, rows[line].strip(), _SWITCHED.get(said.lower(), said)


def _items(node: Node | None) -> dict[str, Node]:
    return {str(key.value): value for key, value in node.value} if isinstance(node, MappingNode) else {}


def _words(node: Node | None) -> list[str]:
    """A scalar, or a list of them."""
    nodes = node.value if isinstance(node, SequenceNode) else [node]
    return [each.value for each in nodes if isinstance(each, ScalarNode)]


def _is(name: str, of: Node, device: str, about: Mapping[str, frozenset[str]]) -> bool:
    own = _items(of)
    if "match" not in own:
        return name == device
    if device in _words(own.get("set-name")):
        return True
    match = _items(own["match"])
    told = {"name": frozenset({device}), "macaddress": about.get("mac"), "driver": about.get("driver")}
    return all(_matches([each.lower() if key == "macaddress" else each for each in _words(match[key])], known)
               for key, known in told.items() if key in match and known is not None)  # fmt: skip


def _matches(patterns: list[str], known: frozenset[str]) -> bool:
    return any(fnmatch.fnmatchcase(each, pattern) for pattern in patterns for each in known)
