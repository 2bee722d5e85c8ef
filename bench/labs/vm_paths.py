"""A path between guests of a Proxmox VE as a plan has it: kind `pve`, its options, and what fits together."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any

from bench.document import Node
from bench.labs.topology import MTU_RANGE, PVE, Topology
from bench.options import Option, Options, switch, whole, word
from bench.pve import new_network
from results.json_schema import Schema

CIDR: Schema = {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}
_DEVICE = r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$"  # pve-iface (PVE::JSONSchema), and what a kernel takes


def device(node: Node) -> str:
    """A bridge's name."""
    if not re.fullmatch(_DEVICE, node.text()):
        node.wrong(f"{node.text()!r} names no bridge", hint="vmbr0, or an SDN vnet")
    return node.text()


_NETWORK = r"^[a-z][a-z0-9._-]{0,39}$"


def _network(node: Node) -> str:
    if not re.fullmatch(_NETWORK, node.text()):
        node.wrong(f"{node.text()!r} names no network of a site", hint="network: bridge; the cluster's file has them")
    return node.text()


_IN_A_ROW_MOST = 2000


def _row(text: str) -> list[IPv4Interface | IPv6Interface]:
    """An address, or all from the first to the last: 192.0.2.10-192.0.2.41/24. Raises ValueError."""
    first, dash, last = text.partition("-")
    if not dash:
        return [ip_interface(text)]
    end = ip_interface(last)
    start = ip_interface(f"{first}/{end.network.prefixlen}")
    if start.version != end.version or not 0 <= int(end) - int(start) < _IN_A_ROW_MOST or start.network != end.network:
        raise ValueError(text)
    return [ip_interface(f"{start.ip + step}/{end.network.prefixlen}") for step in range(int(end) - int(start) + 1)]


def pairs(node: Node) -> tuple[str, ...]:
    """Addresses with prefix length, two for each path, no two alike."""
    found = []
    for each in node.items():
        try:
            found += _row(each.text())
        except ValueError:
            each.wrong(f"{each.text()!r} is no address with a prefix length, and no row of them in one subnet",
                       hint="192.0.2.10/24, or 192.0.2.10-192.0.2.41/24")  # fmt: skip
    if not found or len(found) % 2 or len({each.ip for each in found}) < len(found):
        node.wrong("two addresses for each path belong here, and none twice", hint="[192.0.2.10/24, 192.0.2.11/24]")
    return tuple(map(str, found))


def _pair(node: Node) -> tuple[str, ...]:
    found = pairs(node)
    if len(found) != 2:
        node.wrong("a path has two ends", hint="[192.0.2.10/24, 192.0.2.11/24]")
    return found


def address(node: Node) -> str:
    """An IP address without prefix length."""
    try:
        return str(ip_address(node.text()))
    except ValueError:
        node.wrong(f"{node.text()!r} is no IP address")


_TRUNKS = r"^\d{1,4}(-\d{1,4})?(;\d{1,4}(-\d{1,4})?)*$"


def _trunks(node: Node) -> str:
    text = str(node.value)
    ids = [int(each) for each in re.split("[;-]", text)] if re.fullmatch(_TRUNKS, text) else []
    if not ids or not all(1 <= each <= 4094 for each in ids):
        node.wrong(f"{text!r} is no list of VLANs from 1 to 4094", hint="trunks: 10;20-30")
    return text


OPTIONS: Options = {
    "network": Option({"type": "string", "pattern": _NETWORK, "description": "one of the site's networks, in place "
                       "of a bridge; its options are the path's (docs/proxmox.md)"}, _network, ""),
    "bridge": Option({"type": "string", "pattern": _DEVICE, "description": "vmbr0, or an SDN vnet"}, device, ""),
    "peer": Option({"type": "string", "pattern": _DEVICE, "description": "b's bridge, where it is not a's"},
                   device, ""),
    "gateway": Option({"type": "string", "description": "a's way to b, where that is another subnet"}, address, ""),
    "create": new_network.OPTION,
    "addresses": Option({"type": "array", "items": CIDR, "minItems": 2, "maxItems": 2,
                         "description": "of its two VMs; the lab's when not given"}, _pair, ()),
    "tag": whole(1, 4094, "(a VLAN's id)", 0, "of the VMs' ports; none when not given"),
    "firewall": switch("the port passes Proxmox's firewall (firewall=1)"),
    "rules": whole(0, 2000, "rules", 0, "of the VMs' firewall that match nothing, all evaluated (firewall: on)"),
    "model": word(("virtio", "e1000", "e1000e", "vmxnet3", "rtl8139"), "virtio"),
    "queues": whole(1, 64, "queues", 0, "of each VM's NIC (virtio)"),
    "rate": whole(1, 100_000, "MB/s", 0, "MB/s that a port is held to"),
    "trunks": Option({"type": ["string", "integer"], "pattern": _TRUNKS, "examples": ["10;20-30"],
                      "description": "VLANs that the port lets through tagged, on a VLAN-aware or OVS bridge"},
                     _trunks, ""),
    "vlan": whole(1, 4094, "(a VLAN's id)", 0, "the VMs tag it themselves, on net0; that is what is measured"),
    "device": Option({"type": "string", "pattern": _DEVICE, "description": "as the VMs call a device that is "
                      "passed through to them (hostpci0); measured in place of net0"}, device, ""),
    "device_addresses": Option({"type": "array", "items": CIDR, "minItems": 2, "maxItems": 2,
                                "description": "of `vlan` or `device` in the VMs"}, _pair, ()),
    "mtu": whole(*MTU_RANGE, "bytes", 1500, "of the VMs' NICs (provider proxmox)"),
}  # fmt: skip


def made(given: Mapping[str, Any], members: Mapping[str, Node], item: Node) -> Topology:  # Any: as in Options
    """The Topology of such options. Raises WrongInput naming line and key."""
    network = f"pve-{given['network']}" if given["network"] else ""
    label = members["name"].name() if "name" in members else network
    _between_vms(given, members, item)
    if given["create"]:
        new_network.check_name(given["create"], members.get("bridge", item))
    told = {
        "bridge": given["bridge"],
        "model": given["model"] if given["model"] != "virtio" else "",
        "tag": given["tag"],
        "firewall": int(given["firewall"]),
        "queues": given["queues"],
        "rate": given["rate"],
        "trunks": given["trunks"],
    }
    inner = [key for key in ("vlan", "device") if given[key]]
    if len(inner) == 2:
        members["vlan"].wrong("one of 'vlan' and 'device' is measured", hint="two topologies: one with each")
    if bool(inner) != bool(given["device_addresses"]):
        item.wrong("'device_addresses' belongs to 'vlan' or 'device', and they need it",
                   hint="vlan: 20, device_addresses: [198.51.100.1/24, 198.51.100.2/24]")  # fmt: skip
    return Topology(PVE, given["mtu"], label, addresses=given["addresses"], peer=given["peer"],
                    gateway=given["gateway"], create=given["create"], rules=given["rules"], vlan_id=given["vlan"],
                    tagged=bool(given["vlan"]), device=given["device"], inner=given["device_addresses"],
                    net=tuple((key, str(value)) for key, value in told.items() if value))  # fmt: skip


def _between_vms(given: Mapping[str, object], members: Mapping[str, Node], item: Node) -> None:
    """What one option of a pve path allows, another may forbid."""
    if not given["bridge"] and not given["network"]:
        item.wrong("a pve needs its bridge, or one of the site's networks", hint="{kind: pve, bridge: vmbr0}")
    if given["queues"] and given["model"] != "virtio":
        members["queues"].wrong(f"{given['model']} has one queue", hint="model: virtio")
    if given["rules"] and not given["firewall"]:
        members["rules"].wrong("only a port that passes the firewall has rules", hint="firewall: on")
    if given["bridge"] and bool(given["peer"]) != bool(given["gateway"]):
        item.wrong("a and b on two networks have a 'peer', b's bridge, and a 'gateway' between them",
                   hint="{kind: pve, bridge: nat0, peer: vmbr0, gateway: 10.9.0.1, addresses: […]}")  # fmt: skip
    ends: object = given["addresses"]
    if isinstance(ends, tuple) and ends and not given["peer"]:
        first, second = (ip_interface(each).network for each in ends)
        if first != second:
            members["addresses"].wrong("two addresses of one subnet belong here, unless b has a bridge of its own",
                                       hint="[192.0.2.10/24, 192.0.2.11/24]")  # fmt: skip
    if given["bridge"] and given["peer"] and not ends:
        item.wrong("a and b on two networks have addresses of their own", hint="addresses: [10.9.0.10/24, …]")
