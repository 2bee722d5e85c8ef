"""Topologies: names, needs, the commands that make them, and their drawing."""

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import document
from bench.hosts.command import HostFault
from bench.hosts.host import Host
from bench.labs import lease, namespaces
from bench.labs.blueprint import drawn_up
from bench.labs.capability import CAPABILITIES
from bench.labs.drawing import drawing
from bench.labs.reading import topologies
from bench.labs.topology import KINDS, Kind, Shape, Topology
from results.errors import WrongInput
from tests.unit.bench.fakes import lab

# Every kind, and every option that changes what is made.
EVERY = """\
- direct
- {kind: direct, ip: 6, queues: 2}
- {kind: bridge, gro: on}
- bridge
- {kind: bridge, ends: 4}
- {kind: bridge, sysctls: {net.ipv4.tcp_rmem: 4096 16384 16384}}
- {kind: bridge, rate_mbit: 100, delay_ms: 10, loss_pct: 0.5, reorder_pct: 25}
- {kind: vlan, id: 10}
- {kind: vlan, id: 4094, tagged: on, mtu: 1400, port_mtu: 1500}
- {kind: bond, legs: 3}
- {kind: bond, mode: active-backup}
- routed
- {kind: routed, ends: 3, ip: 6}
- {kind: routed, routing: policy}
- nat
- {kind: nat, forward: on}
- firewall
- {kind: firewall, rules: 100, hook: inet}
- {kind: firewall, rules: 7, hook: br_netfilter}
- {kind: routed, name: mine, subnets: {a: 10.1.0.0/24, b: [10.2.0.0/24, "2001:db8::/64"]}}
"""
ALL = topologies(document.read(EVERY, "every.yaml"))
NAMES = [each.name for each in ALL]


@pytest.mark.parametrize(
    ("topology", "name"),
    [
        (Topology("bridge"), "bridge"),
        (Topology("bridge", 1500), "bridge"),
        (Topology("routed", 9000), "routed-mtu9000"),
        (Topology("bridge", 9000, "mine"), "mine"),
        (Topology("vlan", vlan_id=10, tagged=True, port_mtu=9000), "vlan-10-tagged-port9000"),
        (Topology("bond", bond_mode="802.3ad", legs=2), "bond-802.3ad-2legs"),
        (Topology("firewall", rules=100, hook="inet", ip=6), "firewall-inet-ip6-rules100"),
        (Topology("bridge", shape=Shape(rate_mbit=100, delay_ms=2.5)), "bridge-rate100mbit-delay2.5ms"),
    ],
)
def test_the_name_tells_kind_and_what_is_unusual(topology: Topology, name: str) -> None:
    """Stores and reports find the same path under the same name."""
    assert topology.name == name


def test_every_kind_is_among_the_examples_under_a_name_of_its_own() -> None:
    """So that the tests below miss none; a name fits the store's column."""
    assert {each.kind for each in ALL} == set(KINDS)
    assert len(set(NAMES)) == len(NAMES)
    assert max(map(len, NAMES)) <= 80


def test_endpoints_begin_with_the_sysctls_of_the_plan() -> None:
    """Written where the endpoints are made, and nowhere else; what is no sysctl of a namespace is refused by line."""
    (small,) = topologies(document.read("- {kind: bridge, sysctls: {net.ipv4.tcp_rmem: 4096 16384 16384}}", "p.yaml"))
    written = [(host, str(command)) for host, command in drawn_up(small).steps if "tcp_rmem" in str(command)]
    with pytest.raises(WrongInput, match=r"p\.yaml:1: .*'vm\.swappiness' is no sysctl of a network namespace"):
        topologies(document.read("- {kind: bridge, sysctls: {vm.swappiness: 1}}", "p.yaml"))

    assert [host for host, _ in written] == ["a", "b"]
    assert all("4096 16384 16384" in line for _, line in written)


@pytest.mark.parametrize("topology", ALL, ids=NAMES)
def test_what_a_topology_needs_is_a_capability(topology: Topology) -> None:
    """Every need can be asked of the kernel."""
    assert set(topology.needs) <= {each.name for each in CAPABILITIES}


@pytest.mark.parametrize("kind", ["direct", "bridge", "routed"])
@pytest.mark.parametrize("mtu", [576, 1500, 65535])
def test_every_device_gets_the_mtu_and_every_command_its_namespace(kind: Kind, mtu: int) -> None:
    """All links of the path have one MTU; the commands say in which namespace they run."""
    made = namespaces.commands(Topology(kind, mtu))
    links = [line for _, line in made if line.startswith("ip link add")]

    assert {host for host, _ in made} == ({"a", "b"} if kind == "direct" else {"a", "b", "node"})
    assert all(line.count(f"mtu {mtu}") == line.count("address") for line in links)
    assert sum(line.count(" address ") for line in links) == {"direct": 2, "routed": 4, "bridge": 5}[kind]


@pytest.mark.parametrize("topology", ALL, ids=NAMES)
def test_a_path_runs_from_a_to_b_over_devices_that_are_made(topology: Topology) -> None:
    """Each device of the path is named in a command of its host, or is the peer of a link that is made elsewhere."""
    plan = drawn_up(topology)
    said = [(host, f" {word} ") for host, line in namespaces.commands(topology) for word in line.split()]
    ends = [port.host for port in plan.path if port.serves in {"a", "b"}]

    assert (ends[0], ends[-1]) == ("a", "b")
    assert {port.host for port in plan.path} == set(plan.hosts)
    for port in plan.path:
        assert any(word == f" {port.device} " for _, word in said), port
    assert {end.host for end in plan.ends} == set(plan.hosts[: topology.ends])


@pytest.mark.parametrize("topology", ALL, ids=NAMES)
def test_no_two_devices_share_a_mac_address(topology: Topology) -> None:
    """Two labs of one topology have the same, two devices of one lab never."""
    words = " ".join(line for _, line in namespaces.commands(topology)).split()
    macs = [word for before, word in itertools.pairwise(words) if before == "address" and "02:00" in word]

    assert len(set(macs)) == len(macs)
    assert namespaces.commands(topology) == namespaces.commands(topology)


@pytest.mark.parametrize("topology", ALL, ids=NAMES)
def test_the_drawing_is_one_well_formed_picture(topology: Topology) -> None:
    """SVG that a report can hold: every address of both families, the MTU, a title, and a line between neighbours."""
    picture = drawing(topology)
    root = ET.fromstring(picture)  # noqa: S314 - our own text
    words = " ".join(root.itertext())
    plan = drawn_up(topology)
    places = [(1 if topology.routes else number, end) for number, end in enumerate(plan.hosts[: topology.ends], 1)]
    addresses = [
        plan.subnets[end if topology.routes else "all"].address(place, family)
        for place, end in places
        for family in (4, 6)
    ]

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all(word in words for word in (*addresses, f"MTU {topology.mtu}", topology.name))
    assert picture.count("<path ") >= topology.ends - 1
    assert all(f"{word} " in words for word in topology.shape.words) or "towards each endpoint" in words


def test_a_name_in_a_drawing_cannot_break_it() -> None:
    """Names come from plans."""
    assert "a &lt;b&gt;" in drawing(Topology("direct", label="a <b>"))


def test_a_target_names_its_devices_and_hosts() -> None:
    """Guests are the ends, nodes what lies between, the path all of it in order."""
    bridge, direct = lab("bridge"), lab("direct")

    assert [each.device for each in bridge.devices("path")] == ["eth0", "port-a", "br0", "port-b", "eth0"]
    assert [each.device for each in bridge.devices("node")] == ["port-a", "br0", "port-b"]
    assert [each.host.name for each in bridge.devices("guest")] == ["a", "b"]
    assert [host.name for host in bridge.hosts_of("path")] == ["a", "b", "node"]
    assert [host.name for host in bridge.hosts_of("node")] == ["node"]
    assert (direct.devices("node"), direct.hosts_of("node")) == ((), ())
    assert bridge.named("node") is bridge.nodes[0]
    with pytest.raises(KeyError):
        direct.named("node")


def test_traffic_of_one_pair_passes_only_its_own_ports() -> None:
    """Between a and c the port of b is not on the path, the bridge is."""
    there = namespaces.imagined(Topology("bridge", ends=3))
    passed = [(each.host.name, each.device) for each in there.between(there.end("a"), there.end("c"))]

    assert passed == [("a", "eth0"), ("node", "port-a"), ("node", "br0"), ("c", "eth0"), ("node", "port-c")]


def test_behind_nat_an_endpoint_is_met_under_the_nodes_address() -> None:
    """The client's destination with port forwarding, the source that the server sees with masquerading."""
    masqueraded, forwarded = (namespaces.imagined(Topology("nat", forward=forward)) for forward in (False, True))

    assert masqueraded.reached(masqueraded.b, masqueraded.a) == "198.19.0.254"
    assert masqueraded.reached(masqueraded.a, masqueraded.b) == "198.19.0.1"
    assert forwarded.reached(forwarded.a, forwarded.b) == "198.18.0.254"
    assert forwarded.may_meet(forwarded.a, forwarded.b) == ("198.18.0.254", "198.19.0.1")


def test_every_namespace_of_a_lab_is_removed_though_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure is raised, the others are removed all the same, and the lease is kept for reap."""
    tried: list[str] = []

    def remove(local: Host, name: str) -> bool:
        tried.append(name.rsplit("-", 1)[-1])
        if name.endswith("-b"):
            raise HostFault("b is busy")
        return True

    class Deaf:
        def run(self, command: object) -> "Deaf":
            return self

        def require(self, hint: str = "") -> "Deaf":
            return self

    def cannot(name: str, netns: str) -> None:
        raise HostFault("cannot be entered")

    monkeypatch.setattr(lease, "remove_namespace", remove)
    monkeypatch.setattr(namespaces, "entered", cannot)
    monkeypatch.setattr(namespaces, "Local", Deaf)
    standing = namespaces.standing(Topology("bridge"), leases_folder=tmp_path)
    with pytest.raises(HostFault, match="b is busy") as raised, standing:
        pass

    assert sorted(tried) == ["a", "b", "node"]
    assert "cannot be entered" in str(raised.value.__context__)
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
