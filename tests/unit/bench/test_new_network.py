"""Networks that a plan makes: what it may say, the calls that write it in their order, what a node says of itself."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from bench.labs import deploying
from bench.labs.reading import topologies
from bench.labs.topology import Topology
from bench.pve import bridges, interfaces, networks, reloading, vnets
from bench.pve.bridges import Wanted
from bench.pve.deployment import Deployment
from bench.pve.interfaces import Nic, Seen
from bench.pve.new_network import NewNetwork
from bench.pve.vnets import Vnet
from results.errors import WrongInput

PATH = "/nodes/pve1/network"
MARK = "made by nettune, lease 0123abcd"


def read(text: str) -> Topology:
    """The one path of a plan."""
    (found,) = topologies(document.read(f"- {{kind: pve, {text}}}", "plan.yaml"))
    return found


def test_what_a_plan_may_make() -> None:
    """A bridge by a word, with a NIC, over a bond; a vnet of each zone."""
    assert read("bridge: vmbr901, create: on").create == NewNetwork()
    assert read("bridge: vmbr901, create: off").create is None
    assert read("bridge: vmbr901, create: {ports: [eno3, eno4], bond: 802.3ad, vlan_aware: on}").create == NewNetwork(
        vlan_aware=True, ports=("eno3", "eno4"), bond="802.3ad"
    )
    assert read("bridge: nttest0, create: {zone: vxlan, id: 100, peers: [192.0.2.1]}").create == NewNetwork(
        zone="vxlan", id=100, peers=("192.0.2.1",)
    )
    assert read("bridge: nttest0, create: {zone: vlan, id: 10, over: vmbr0}").name == "pve-nttest0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bridge: nttest0, create: on", "a bridge that is made is vmbr and a number"),
        ("bridge: vmbr0123456, create: on", "a bridge that is made is vmbr and a number"),
        ("bridge: testnetwork, create: {zone: simple}", "cannot be a vnet's name"),
        ("bridge: vmbr901, create: maybe", "neither on nor off"),
        ("bridge: vmbr901, create: {ports: [eno3, eno4]}", "make a loop"),
        ("bridge: vmbr901, create: {ports: [eno3, eno3], bond: 802.3ad}", "stands twice"),
        ("bridge: vmbr901, create: {bond: 802.3ad}", "a bond has ports"),
        ("bridge: vmbr901, create: {port: [eno3]}", "port"),
        ("bridge: vmbr901, create: {bond: balance-slb, ports: [eno3]}", "balance-slb"),
        ("bridge: vmbr901, create: {id: 10}", "id belongs to a zone of type vlan, vxlan"),
        ("bridge: nttest0, create: {zone: simple, over: vmbr0}", "over belongs to a zone of type vlan"),
        ("bridge: nttest0, create: {zone: vlan, id: 10}", "a vlan zone needs its over"),
        ("bridge: nttest0, create: {zone: vlan, id: 5000, over: vmbr0}", "5000 is no VLAN's id"),
        ("bridge: nttest0, create: {zone: simple, ports: [eno3]}", "ports belongs to a bridge"),
        ("bridge: nttest0, create: {zone: vxlan, id: 5, peers: [pve1]}", "'pve1' is no IP address"),
        ("bridge: vmbr901, create: {ports: ['../eno3']}", "names no NIC"),
    ],
)
def test_what_makes_no_sense_is_refused_by_line(text: str, said: str) -> None:
    """With the line and what would be right."""
    with pytest.raises(WrongInput, match=said) as caught:
        read(text)

    assert "plan.yaml:1" in str(caught.value)


def test_one_network_is_made_once_and_joins_its_nodes() -> None:
    """A second path uses what the first made; a bridge without a port leads to no other node."""
    of = Deployment(Path("pve.yaml"), ("pve1", "pve2"), "9000", "local-lvm", ("192.0.2.10/24", "192.0.2.11/24"))

    def fitting(text: str) -> None:
        node = document.read(text, "plan.yaml")
        deploying.fitting(topologies(node), node, of)

    fitting("- {kind: pve, bridge: vmbr901, create: {ports: [eno3]}}\n"
            "- {kind: pve, bridge: vmbr901, queues: 2, addresses: [192.0.2.12/24, 192.0.2.13/24]}")  # fmt: skip
    with pytest.raises(WrongInput, match="vmbr901 is made twice"):
        fitting("- {kind: pve, bridge: vmbr901, create: {ports: [eno3]}}\n- {kind: pve, bridge: vmbr901, queues: 2, "
                "create: {ports: [eno3]}, addresses: [192.0.2.12/24, 192.0.2.13/24]}")  # fmt: skip
    for create in ("on", "{zone: simple}"):
        name = "vmbr901" if create == "on" else "nttest0"
        with pytest.raises(WrongInput, match="does not lead to pve2"):
            fitting(f"- {{kind: pve, bridge: {name}, create: {create}}}")


def test_an_mtu_is_raised_from_the_ports_upwards() -> None:
    """The API refuses any other order; a port that is high enough is left alone."""
    rows = {"eno3": {"type": "eth", "comments": "rack 2\n"}, "eno4": {"type": "eth", "mtu": "9000"}}
    new = NewNetwork(vlan_aware=True, ports=("eno3", "eno4"), bond="802.3ad")
    calls = bridges.requests(PATH, Wanted("pve1", "vmbr901", new, 9000), "bond90", rows, MARK)

    assert [(method, path, given.get("iface")) for method, path, given in calls] == [
        ("PUT", f"{PATH}/eno3", None), ("POST", PATH, "bond90"), ("POST", PATH, "vmbr901"),
    ]  # fmt: skip
    assert calls[0][2] == {"type": "eth", "comments": "rack 2\n", "mtu": 9000}
    assert calls[1][2]["slaves"] == "eno3 eno4"
    assert calls[2][2]["bridge_ports"] == "bond90"
    assert {call[2]["comments"] for call in calls[1:]} == {MARK}


def test_a_put_names_the_address_that_would_go_otherwise() -> None:
    """Proxmox VE makes a stanza `manual` when a PUT of it names no cidr."""
    row = {"iface": "vmbr0", "type": "bridge", "cidr": "192.0.2.1/24", "gateway": "192.0.2.254", "autostart": 1,
           "bridge_ports": "eno1", "method": "static"}  # fmt: skip

    assert bridges.unchanged(row) == {
        "type": "bridge", "cidr": "192.0.2.1/24", "gateway": "192.0.2.254", "autostart": True,
    }  # fmt: skip


def test_a_zone_is_named_after_its_lease_and_precedes_its_vnet() -> None:
    """At most eight letters, the first one no digit."""
    zone = vnets.zone_of("0123abcd")
    calls = vnets.requests(Vnet("nttest0", NewNetwork(zone="vlan", id=10, over="vmbr0"), 1400), zone, MARK)

    assert zone == "n0123abc"
    assert calls[0][1] == {"zone": zone, "type": "vlan", "mtu": 1400, "bridge": "vmbr0"}
    assert calls[1][1] == {"vnet": "nttest0", "zone": zone, "alias": MARK, "tag": 10}


def test_a_bridge_is_ours_by_a_line_of_its_comment_alone() -> None:
    """Of that lease, and whole; what somebody writes below it changes nothing."""
    assert bridges.marked({"comments": f"{MARK}\n"}, "0123abcd")
    assert bridges.marked({"comments": f"{MARK}\nask Eva before removing\n"}, "0123abcd")
    assert not bridges.marked({"comments": f"{MARK}\n"}, "0123abce")
    assert not bridges.marked({"comments": f"like '{MARK}'\n"}, "0123abcd")
    assert not bridges.marked({}, "0123abcd")
    assert not bridges.marked(None, "0123abcd")


def test_whose_edits_wait_is_told_by_rows() -> None:
    """What writing anew fills in is nobody's edit; a method or a device is somebody's; a free NIC's MTU ours."""
    was: dict[str, dict[str, object]] = {
        "vmbr0": {"type": "bridge", "method": "static", "cidr": "192.0.2.1/24", "netmask": "255.255.255.0",
                  "bridge_vlan_aware": 1, "priority": 3},
        "eno3": {"type": "eth", "method": "manual"},
    }  # fmt: skip
    filled = {**was["vmbr0"], "netmask": "24", "bridge_vids": "2-4094", "bridge_stp": "off", "priority": 5}
    raised = {**was["eno3"], "mtu": "9000", "autostart": 1}

    assert reloading.others(was, {"vmbr0": filled, "eno3": raised, "vmbr901": {}}, ["vmbr901"], ["eno3"]) == []
    assert reloading.others(was, {**was, "vmbr0": {**filled, "method": "manual"}}, []) == ["vmbr0 (method)"]
    assert reloading.others(was, {**was, "eno3": raised}, []) == ["eno3 (autostart, mtu)"]
    assert reloading.others(was, {"vmbr0": filled, "vmbr8": {}}, []) == ["eno3 (removed)", "vmbr8 (new)"]


def checked(name: str, **status: object) -> str:
    """What `ifquery --check -a -o json` prints of one device."""
    failed = any("fail" in (said if isinstance(said, list) else [said]) for said in status.values())
    rows = [{"name": "lo", "status": "pass", "config_status": {}},
            {"name": name, "status": "fail" if failed else "pass", "config_status": status}]  # fmt: skip
    return json.dumps(rows)


PORTS = st.lists(st.sampled_from(["eno1", "eno2", "bond0.7"]), unique=True)
GUESTS = st.lists(st.from_regex(r"(tap|fwpr|veth)[0-9]{3}[ip][0-9]", fullmatch=True), unique=True)


@given(PORTS, PORTS, GUESTS)
def test_guests_in_a_bridge_are_no_drift_and_other_ports_are(file: list[str], there: list[str], own: list[str]) -> None:
    """Whatever ifupdown2 says of bridge-ports: not every version passes over what guests have there."""
    configured = json.dumps([{"name": "vmbr0", "config": {"bridge-ports": " ".join(file) or "none"}}])
    masters = dict.fromkeys([*there, *own], "vmbr0")
    found = interfaces.drifted(checked("vmbr0", **{"bridge-ports": "fail"}), configured, masters)

    assert found == ({} if set(file) == set(there) else {"vmbr0": "bridge-ports"})


def test_drift_is_told_with_what_differs() -> None:
    """One of several addresses, a device that is not there at all."""
    assert interfaces.drifted(checked("vmbr0", address=["pass", "fail"], mtu="pass"), "[]", {}) == {"vmbr0": "address"}
    assert interfaces.drifted('[{"name": "vmbr9", "status": "fail"}]', "[]", {}) == {"vmbr9": "it is not there"}
    assert interfaces.drifted(checked("vmbr0", mtu="pass"), "[]", {}) == {}
    with pytest.raises(ValueError, match="no list"):
        interfaces.drifted('{"a": 1}', "[]", {})


def test_the_lines_that_put_a_node_back_hold_its_file_to_the_byte() -> None:
    """Also without a newline at its end; guests with their VLANs, free NICs with their MTU."""
    text = b"auto lo\niface lo inet loopback\n\tup echo '$HOME' \xff"
    was = Seen(text, None, False, {}, {"tap100i0": "vmbr0"}, {"tap100i0": ((10, "pvid untagged"),)}, {}, {})
    script = "\n".join(interfaces.putting_back(was, {"eno3": Nic(up=False, mtu=9000)}))

    assert "bridge vlan add dev tap100i0 vid 10 pvid untagged" in script
    assert "ip link set eno3 mtu 9000 down" in script
    assert f"rm -f {interfaces.SDN}" in script
    assert interfaces._decoded(script.split("<<'NETTUNE'\n")[1].split("\nNETTUNE")[0]) == text


def test_what_would_be_asked_is_told_without_asking() -> None:
    """Each call with what it carries, and where."""
    topology = read("bridge: vmbr901, create: {ports: [eno3, eno4], bond: active-backup}, mtu: 9000")
    lines = networks.commands(topology, ("pve1",))
    told = "\n".join(f"{node}: {line}" for node, line in lines)

    assert "pve1: make vmbr901: bridge over active-backup of eno3, eno4, mtu 9000, under a guard on pve1" in told
    assert 'PUT /nodes/pve1/network/eno4 {"type": "eth", "mtu": 9000}' in told
    assert lines[-1][1].startswith(
        "PUT /nodes/pve1/network: apply, once nobody else's edits wait; the diff of pve1's file"
    )
    assert lines[-1][1].endswith("a run prints it before this call")
    assert networks.commands(read("bridge: vmbr0"), ("pve1",)) == []
