"""The double's network keeps Proxmox VE's rules: what it refuses with which words, what a PUT loses, an apply."""

from pathlib import Path
from typing import Any

import pytest

from bench.pve.errors import PveFault
from tests.pve import interfaces_file, sdn_file
from tests.pve.kit import Double

BASE = "/nodes/pve1/network"
FILE = """\
auto lo
iface lo inet loopback

iface eno1 inet manual

iface eno2 inet manual
\tpost-up ethtool -K eno2 tso off

auto bond0
iface bond0 inet manual
\tbond-slaves eno2
\tbond-mode active-backup

iface bond0.50 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 192.0.2.1/24
\tgateway 192.0.2.254
\tbridge-ports eno1
\tbridge-stp off
\tbridge-fd 0
#the uplink

source /etc/network/interfaces.d/*
"""


@pytest.fixture
def node(double: Double, tmp_path: Path) -> Double:
    """With a node that has a file, and whose reload does nothing."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/interfaces").write_text(FILE, encoding="utf-8")
    script = f'ifreload() {{ :; }}; eval "$(printf %s "$1" | sed "s,/etc/network,{tmp_path}/etc,g")"'
    double.tell("network", "pve1", ["sh", "-c", script, "sh"])
    return double


def refused(call: Any, *arguments: Any) -> PveFault:  # Any: a method of Client, and what it takes
    """The error."""
    with pytest.raises(PveFault) as caught:
        call(*arguments)
    return caught.value


def test_edits_wait_beside_the_file_with_their_diff(node: Double) -> None:
    """Until they are applied, by a task of type srvreload, or discarded."""
    client = node.client()
    client.post(BASE, {"iface": "vmbr9", "type": "bridge", "autostart": True, "comments": "ours"})
    waits = client.whole("GET", BASE)
    client.delete(BASE)
    gone = client.whole("GET", BASE)
    client.post(BASE, {"iface": "vmbr9", "type": "bridge"})
    upid = client.put(BASE)
    client.done("apply", upid, 10.0)
    applied = client.whole("GET", BASE)

    assert "+iface vmbr9 inet manual\n" in waits.more["changes"]
    assert "+#ours\n" in waits.more["changes"]
    assert "changes" not in {**gone.more, **applied.more}
    assert "vmbr9" not in {row["iface"] for row in gone.data}
    assert "vmbr9" in {row["iface"] for row in applied.data}
    assert upid.split(":")[5:7] == ["srvreload", "networking"]


def test_a_put_without_an_address_makes_the_stanza_manual(node: Double) -> None:
    """And one that names it does not."""
    client = node.client()
    client.put(f"{BASE}/vmbr0", {"type": "bridge", "mtu": 1400, "bridge_ports": "eno1"})
    lost = client.whole("GET", BASE).more["changes"]
    client.delete(BASE)
    client.put(f"{BASE}/vmbr0", {"type": "bridge", "mtu": 1400, "cidr": "192.0.2.1/24", "gateway": "192.0.2.254"})
    kept = client.whole("GET", BASE).more["changes"]

    assert "-iface vmbr0 inet static\n+iface vmbr0 inet manual\n" in lost
    assert "vmbr0 inet manual" not in kept
    assert "+\tmtu 1400\n" in kept


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "said"),
    [
        ("POST", "", {"iface": "vmbr0", "type": "bridge"}, 400, "iface: interface already exists"),
        ("POST", "", {"iface": "vmbr9", "type": "bridge", "bridge_ports": "eno1"}, 400,
         "eno1 is already used on interface 'vmbr0'."),
        ("POST", "", {"iface": "vmbr9", "type": "bridge", "cidr": "192.0.2.9/24", "gateway": "192.0.2.254"}, 400,
         "Default gateway already exists on interface 'vmbr0'."),
        ("POST", "", {"iface": "vmbr9", "type": "bridge", "mtu": 9000, "bridge_ports": "bond0.50"}, 500,
         "interface 'bond0.50' - mtu 1500 is lower than 'vmbr9' - mtu 9000"),
        ("POST", "", {"iface": "vmbr9", "type": "bridge", "cidr": "192.0.2.9/24", "address": "192.0.2.8",
                      "netmask": "255.255.255.0"}, 400, "address conflicts with cidr"),
        ("POST", "", {"iface": "vmbr9", "type": "bridge", "post-up": "true"}, 400, "post-up"),
        ("PUT", "/vmbr9", {"type": "bridge"}, 400, "interface does not exist"),
        ("GET", "/vmbr9", {}, 400, "interface does not exist"),
        ("DELETE", "/vmbr9", {}, 400, "interface does not exist"),
        ("DELETE", "/bond0", {}, 500, "vlan 'bond0.50' - unable to find parent 'bond0'"),
    ],
)  # fmt: skip
def test_what_is_refused_and_by_which_words(
    node: Double, method: str, path: str, given: dict[str, Any], status: int, said: str
) -> None:
    """As the real handlers; nothing waits then."""
    error = refused(node.client().whole, method, f"{BASE}{path}", given)

    assert error.status == status
    assert said in str(error)
    assert "changes" not in node.client().whole("GET", BASE).more


VNETS = {"n1": {"zone": "z", "tag": 10, "alias": "ours"}}
BRIDGE_LINES = "\tbridge_stp off\n\tbridge_fd 0\n"


def test_sdn_writes_what_lies_below_a_vnet_too() -> None:
    """A VLAN of a bridge that is VLAN-aware or not; VXLAN to the other nodes, by default with an MTU of 1450."""
    bridges = {"vmbr0": ["eno1", "tap900i0", "bond0"], "vmbr1": []}
    vlan = {"type": "vlan", "bridge": "vmbr0", "mtu": 1400}
    aware = sdn_file.written({"z": vlan}, VNETS, bridges, {"vmbr0"}, ())
    plain = sdn_file.written({"z": {**vlan, "mtu": 0}}, VNETS, bridges, (), ())
    far = {"type": "vxlan", "peers": "192.0.2.1,192.0.2.2"}
    vxlan = sdn_file.written({"z": far}, VNETS, bridges, (), {"192.0.2.1"})

    assert aware == (
        f"#version:1\n\nauto n1\niface n1\n\tbridge_ports vmbr0.10\n{BRIDGE_LINES}\tmtu 1400\n\talias ours\n"
    )
    assert plain == (
        "#version:1\n\nauto ln_n1\niface ln_n1\n\tlink-type veth\n\tveth-peer-name pr_n1\n"
        f"\nauto n1\niface n1\n\tbridge_ports ln_n1\n{BRIDGE_LINES}\talias ours\n"
        "\nauto pr_n1\niface pr_n1\n\tlink-type veth\n\tveth-peer-name ln_n1\n"
        f"\nauto vmbr0v10\niface vmbr0v10\n\tbridge_ports  eno1.10 bond0.10 pr_n1\n{BRIDGE_LINES}"
    )
    assert vxlan == (
        f"#version:1\n\nauto n1\niface n1\n\tbridge_ports vxlan_n1\n{BRIDGE_LINES}\tmtu 1450\n\talias ours\n"
        "\nauto vxlan_n1\niface vxlan_n1\n\tvxlan-id 10\n\tvxlan_remoteip 192.0.2.2\n\tmtu 1450\n"
    )


def test_what_is_not_known_survives_and_what_is_not_given_is_filled_in() -> None:
    """Options of no key, comments, `source`; read and written again nothing changes any more."""
    rows, rest = interfaces_file.read(FILE, {"eno1", "eno2", "eno3"})
    rows["vmbr9"] = {"type": "bridge", "families": ["inet"], "method": "manual", "bridge_vlan_aware": 1, "slaves": ""}
    text = interfaces_file.written(rows, rest)
    again = interfaces_file.written(*interfaces_file.read(text, set()))

    assert "\tpost-up ethtool -K eno2 tso off\n" in text
    assert "#the uplink\n" in text
    assert "\tbond-miimon 100\n" in text
    assert "\tbridge-vlan-aware yes\n\tbridge-vids 2-4094\n" in text
    assert "iface eno3 inet manual\n" in text
    assert text.endswith("source /etc/network/interfaces.d/*\n")
    assert again == text
