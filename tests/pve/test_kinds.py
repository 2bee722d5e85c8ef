"""Kinds of guests and ways to make and reach them, the whole way: containers, images from here, CPUs, devices."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.command import Command
from bench.labs.topology import Topology
from tests.netns.able import able
from tests.pve.standing import ARCHIVE, Cluster


def measured(cluster: Cluster, plan: str) -> dict[str, Any]:  # Any: JSON
    """The result of a run of it, which ends well."""
    done = cluster.run("run", plan, *cluster.store)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(cluster.run("show", "last", "--json", *cluster.store).stdout)
    assert document["treatments"][0]["verdict"]
    return document


@pytest.mark.parametrize("lab", [{"template": "9001"}, {"image": f"'local:{ARCHIVE}'"}])
def test_containers_are_endpoints(cluster: Cluster, lab: dict[str, str]) -> None:
    """Of a template, which gets our key through its node, and of an archive; both tell their host keys through it."""
    machine = json.dumps(measured(cluster, cluster.plan(lab=lab, ssh=True))["machine"])

    assert "container nettune-a" in machine
    assert "name=eth0,bridge=vmbr0" in machine
    assert len(cluster.guests.seen) == 2
    assert not list(cluster.folder.glob("ct*.pid"))


def test_an_image_from_here_is_uploaded_and_gone_afterwards(cluster: Cluster) -> None:
    """To a storage that takes images; nothing of it is left there."""
    (cluster.folder / "nettune.qcow2").write_bytes(b"QFI\xfb" + bytes(3_000_001))
    cluster.double.tell("store", "local", "content", "iso,vztmpl,import")
    measured(cluster, cluster.plan(lab={"image": f"{cluster.folder}/nettune.qcow2"}))
    requests = cluster.double.tell("requests")

    assert sum(path.endswith("/upload") for _, path in requests) == 1
    assert cluster.double.tell("volumes", "local") == [ARCHIVE]
    assert any(method == "DELETE" and "import/nettune-" in path for method, path in requests)


@pytest.mark.quiet
def test_an_older_node_takes_an_image_by_its_ssh(cluster: Cluster) -> None:
    """`qm importdisk` of a file that is not left there; without SSH it says what is missing."""
    (cluster.folder / "nettune.qcow2").write_bytes(b"QFI\xfb" + bytes(100_000))
    lab = {"image": f"{cluster.folder}/nettune.qcow2"}
    without = cluster.run("run", cluster.plan(lab=lab), *cluster.store)
    measured(cluster, cluster.plan(lab=lab, ssh=True))
    left = cluster.node.run(Command(("ls", "/var/tmp"))).require().stdout  # noqa: S108 - of the node

    assert without.returncode == 3
    assert "imports images by its node's SSH alone" in without.stderr
    assert "ssh://root@pve1" in without.stderr
    assert left == ""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("treatment", ["net.ipv4.tcp_rmem: 4096 65536 1048576", "vm-queues: 2"])
def test_two_nics_on_one_network_do_not_stand_for_each_other(cluster: Cluster, treatment: str) -> None:
    """The management NIC is asked first where it is plugged in last; VMs that are started anew know it too."""
    cluster.guests.backwards = True
    path = Path(cluster.plan(lab={"management": "vmbr0"}))
    text = path.read_text(encoding="utf-8").replace("net.ipv4.tcp_rmem: 4096 65536 1048576", treatment)
    path.write_text(text, encoding="utf-8")
    assert measured(cluster, str(path))["treatments"][0]["treatment"] == "held"


def test_a_vms_address_may_be_dhcps_which_its_agent_tells(cluster: Cluster) -> None:
    """Of the management NIC: what is measured has a planned one. A container, without an agent, is refused first."""
    leased = {"management": "vmbr0", "addresses": "dhcp"}
    shown = cluster.run("run", cluster.plan(lab=leased, more="bridge: vmbr2, mtu: 1400"), "--dry-run")
    found = measured(cluster, cluster.plan(lab=leased, more="bridge: vmbr2, mtu: 1400"))
    refused = cluster.run("run", cluster.plan(lab={**leased, "template": "9001"}, ssh=True), *cluster.store)

    assert "net0 virtio,bridge=vmbr0, address dhcp" in shown.stdout
    assert "address 198.18.0.1/24" in shown.stdout
    assert "net0 virtio=" in json.dumps(found["machine"])
    assert len(cluster.guests.seen) == 2
    assert refused.returncode == 3
    assert "addresses of containers: they are planned, not DHCP's" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("lab", "said"),
    [
        ({"addresses": "dhcp"}, "DHCP gives addresses to a management NIC, and the VMs have none"),
        ({"addresses": "dhcp", "management": "vmbr0", "gateway": "192.0.2.254"}, "comes with their leases"),
        ({"addresses": "dhcpp", "management": "vmbr0"}, "a list belongs here"),
    ],
)
def test_dhcp_that_cannot_be_is_named_by_line(cluster: Cluster, lab: dict[str, str], said: str) -> None:
    """Before anything is asked of the cluster."""
    done = cluster.run("run", cluster.plan(lab=lab), *cluster.store)

    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_vm_that_gets_no_lease_is_named_and_gone(cluster: Cluster) -> None:
    """Its agent answers, and its NIC has no address but one of its own making."""
    cluster.guests.unleased = True
    lab = {"management": "vmbr0", "addresses": "dhcp", "ready_s": "6"}
    done = cluster.run("run", cluster.plan(lab=lab, more="bridge: vmbr2, mtu: 1400"), *cluster.store)

    assert done.returncode == 3
    assert "has no address from DHCP that its agent tells in 6 s: eth0 without an IPv4 address" in " ".join(
        done.stderr.split()
    )
    assert "does a DHCP server answer on the management bridge" in " ".join(done.stderr.split())


def test_a_vm_is_pinned_and_reached_through_its_node(cluster: Cluster) -> None:
    """Affinity by root on the node, trunks in its net0, SSH through the node."""
    plan = cluster.plan(more="trunks: 10;20-30, mtu: 1400", lab={"affinity": '["0-1", "2,3"]', "jump": "on"}, ssh=True)
    machine = json.dumps(measured(cluster, plan)["machine"])

    assert "on CPUs 0-1" in machine
    assert "on CPUs 2,3" in machine
    assert "trunks=10;20-30" in machine


def test_vms_may_tag_themselves(cluster: Cluster) -> None:
    """VLAN 20 on net0 is what is measured, with addresses of its own."""
    plan = cluster.plan(more="vlan: 20, device_addresses: [198.51.100.1/24, 198.51.100.2/24], mtu: 1400")
    told = cluster.run("run", plan, "--dry-run").stdout
    able(Topology("vlan", vlan_id=20, tagged=True), cluster.folder)
    machine = json.dumps(measured(cluster, plan)["machine"])

    assert "VLAN 20 on net0: address 198.51.100.2/24" in told
    assert "eth0.20: VLAN 20 that the guest tags itself" in machine


def test_a_passed_through_device_is_measured_where_the_plan_names_it(cluster: Cluster) -> None:
    """And is told as not measured where it does not; one that is not there is refused with what there is."""
    named = "device: {}, device_addresses: [198.51.100.1/24, 198.51.100.2/24]"
    none = cluster.run("run", cluster.plan(more=named.format("ens16")), *cluster.store)
    cluster.double.tell("configure", 9000, "hostpci0", "mapping=vf")
    wrong = cluster.run("run", cluster.plan(more=named.format("ens17")), *cluster.store)
    mine = json.dumps(measured(cluster, cluster.plan(more=named.format("ens16")))["machine"])
    left = json.dumps(measured(cluster, cluster.plan())["machine"])

    assert none.returncode == wrong.returncode == 3
    assert "has no passed-through device" in none.stderr
    assert "no device ens17 beside net0: there are lo, eth0, ens16" in wrong.stderr
    assert "ens16: passed through: hostpci0=mapping=vf" in mine
    assert "name it as `device`" in left
