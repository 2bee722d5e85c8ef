"""/etc/network/interfaces.d/sdn as Proxmox VE writes it of zones and vnets, for one node. Pure.

After pve-network's PVE/Network/SDN/Zones.pm and its plugins Simple, Vlan and Vxlan (1869d5e7, 472f28f9).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]  # Any: JSON
_NIC = re.compile(r"((eth|bond)\d+|en[^.]+)(\.\d+)?")  # get_bridge_ifaces
_VXLAN_MTU = 1450


def written(zones: Rows, vnets: Rows, bridges: Mapping[str, Sequence[str]], aware: Collection[str],
            own: Collection[str]) -> str:  # fmt: skip
    """The file. `bridges` of the node with their ports, those of them that are VLAN-aware, the node's `own` addresses.

    Raises KeyError for a bridge that the node lacks: there the vnet is left out with a warning, and nobody is told.
    """
    stanzas: dict[str, list[str]] = {}
    for name, vnet in sorted(vnets.items()):
        zone = zones[vnet["zone"]]
        mtu = [f"mtu {zone['mtu']}"] if zone.get("mtu") else []
        if zone["type"] == "simple":
            port = "none"
        elif zone["type"] == "vlan":
            port = _vlan(stanzas, name, (str(zone["bridge"]), vnet["tag"]), bridges, aware, mtu)
        else:
            mtu = mtu or [f"mtu {_VXLAN_MTU}"]
            port = f"vxlan_{name}"
            others = [each for each in str(zone["peers"]).replace(",", " ").split() if each not in own]
            far = [f"vxlan_remoteip {each}" for each in others]
            stanzas.setdefault(port, [f"vxlan-id {vnet['tag']}", *far, *mtu])
        passes = ["bridge-vlan-aware yes", "bridge-vids 2-4094"] if vnet.get("vlanaware") in {1, "1"} else []
        alias = [f"alias {vnet['alias']}"] if vnet.get("alias") else []
        stanzas.setdefault(name, [*_bridge(port), *passes, *mtu, *alias])
    text = "#version:1\n"
    for name, lines in sorted(stanzas.items()):
        text += f"\nauto {name}\niface {name}\n" + "".join(f"\t{line}\n" for line in lines)
    return text


def _bridge(ports: str) -> list[str]:
    return [f"bridge_ports {ports}", "bridge_stp off", "bridge_fd 0"]


def _vlan(stanzas: dict[str, list[str]], name: str, of: tuple[str, Any], bridges: Mapping[str, Sequence[str]],
          aware: Collection[str], mtu: list[str]) -> str:  # fmt: skip
    """The port of a vnet whose bridge is VLAN-aware; else what leads to a bridge of that tag."""
    bridge, tag = of
    ports = bridges[bridge]
    if bridge in aware:
        return f"{bridge}.{tag}"
    near, far = f"ln_{name}", f"pr_{name}"
    for one, other in ((near, far), (far, near)):
        stanzas.setdefault(one, ["link-type veth", f"veth-peer-name {other}", *mtu])
    tagged = "".join(f" {port}.{tag}" for port in ports if _NIC.fullmatch(port))
    stanzas.setdefault(f"{bridge}v{tag}", [*_bridge(f"{tagged} {far}"), *mtu])
    return near
