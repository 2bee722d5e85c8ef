"""Topologies: names, needs, the commands that make them, and their drawing."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.hosts.command import HostFault
from bench.hosts.host import Host
from bench.labs import lease, namespaces
from bench.labs.capability import CAPABILITIES
from bench.labs.topology import KINDS, LATER_KINDS, Kind, Topology, drawing
from tests.unit.bench.fakes import lab


@pytest.mark.parametrize(
    ("topology", "name"),
    [
        (Topology("bridge"), "bridge"),
        (Topology("bridge", 1500), "bridge"),
        (Topology("routed", 9000), "routed-mtu9000"),
    ],
)
def test_the_name_tells_kind_and_unusual_mtu(topology: Topology, name: str) -> None:
    """Stores and reports find the same path under the same name."""
    assert topology.name == name


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_topology_needs_is_a_capability(kind: Kind) -> None:
    """Every need can be asked of the kernel."""
    assert set(Topology(kind).needs) <= {each.name for each in CAPABILITIES}
    assert kind not in LATER_KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mtu", [576, 1500, 65535])
def test_every_device_gets_the_mtu_and_every_command_its_namespace(kind: Kind, mtu: int) -> None:
    """All links of the path have one MTU; the commands say in which namespace they run."""
    made = namespaces.commands(Topology(kind, mtu))
    links = [line for lines in made.values() for line in lines if line.startswith("ip link add")]

    assert set(made) == ({"a", "b"} if kind == "direct" else {"a", "b", "node"})
    assert all(line.count(f"mtu {mtu}") == line.count("address") for line in links)
    assert sum(line.count(" address ") for line in links) == {"direct": 2, "routed": 4, "bridge": 5}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawing_is_one_well_formed_picture(kind: Kind) -> None:
    """SVG that a report can hold: both addresses, the MTU, a title, and a line between neighbours."""
    picture = drawing(Topology(kind, 9000), "198.18.0.1", "<b>")
    root = ET.fromstring(picture)  # noqa: S314 - our own text
    words = " ".join(root.itertext())

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all(word in words for word in ("198.18.0.1", "<b>", "MTU 9000", f"{kind}-mtu9000"))
    assert picture.count("<path ") == (1 if kind == "direct" else 2)


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


def test_every_namespace_of_a_lab_is_removed_though_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure is raised, the others are removed all the same, and the lease is kept for reap."""
    tried: list[str] = []

    def remove(local: Host, name: str) -> bool:
        tried.append(name.rsplit("-", 1)[-1])
        if name.endswith("-b"):
            raise HostFault("b is busy")
        return True

    def cannot(name: str, netns: str) -> None:
        raise HostFault("cannot be entered")

    monkeypatch.setattr(lease, "remove_namespace", remove)
    monkeypatch.setattr(namespaces, "entered", cannot)
    monkeypatch.setattr(namespaces, "_batch", lambda *_: None)
    standing = namespaces.standing(Topology("bridge"), leases_folder=tmp_path)
    with pytest.raises(HostFault, match="b is busy") as raised, standing:
        pass

    assert sorted(tried) == ["a", "b", "node"]
    assert "cannot be entered" in str(raised.value.__context__)
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
