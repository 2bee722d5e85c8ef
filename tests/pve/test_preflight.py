"""`pve check`: what a plan asks of a cluster is there, missing or not seen; and the commands that make it."""

from pathlib import Path

import pytest

from bench.labs.topology import Topology
from bench.pve import preflight
from bench.pve.deployment import Deployment
from bench.pve.preflight import Row
from tests.pve.kit import Double

WHO = "bench@pve!net"
PATHS = [Topology("pve", net=(("bridge", "vmbr0"), ("tag", "10")))]


def deployment(source: str = "9000", storage: str = "local-lvm", pool: str = "bench") -> Deployment:
    """Two VMs of template 9000."""
    return Deployment(Path("pve.yaml"), ("pve1",), source, storage, ("192.0.2.10/24", "192.0.2.11/24"), pool=pool)


@pytest.fixture
def cluster(double: Double) -> Double:
    """With all that is asked for but rights."""
    double.tell("set", 0, "apitokens", {WHO: "5ecret"})
    config = {"scsi0": "local-lvm:base-9000-disk-0,size=2G", "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom"}
    double.tell("add_vm", 9000, "template", template=True, config=config)
    double.tell("add_pool", "bench")
    return double


def rows(double: Double, of: Deployment) -> dict[str, Row]:
    """What is told of each thing."""
    client = double.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    return {row.what: row for row in preflight.checked(client, of, PATHS, WHO)}


def test_what_is_there_is_told(cluster: Double) -> None:
    """For whoever may do everything."""
    found = rows(cluster, deployment())

    assert {what: row.why for what, row in found.items() if row.word != "there" and "bridge" not in what} == {}
    assert {
        "node pve1",
        "storage local-lvm on pve1",
        "template 9000",
        "pool bench",
        "privileges on /pool/bench",
    } <= set(found)


def test_each_missing_privilege_is_named_with_its_path(cluster: Double) -> None:
    """A token that may do half of it; what nobody granted is told by the words of Proxmox VE."""
    half = [
        ["/pool/bench", ["VM.Allocate", "VM.Audit"]],
        ["/storage/local-lvm", ["Datastore.Audit"]],
        ["/", ["Sys.Audit"]],
    ]
    cluster.tell("acl", WHO, half)
    found = rows(cluster, deployment())

    assert "VM.PowerMgmt" in found["privileges on /pool/bench"].why
    assert "VM.Audit" not in found["privileges on /pool/bench"].why
    assert found["privileges on /storage/local-lvm"].why == "Datastore.AllocateSpace"
    assert "SDN.Use" in found["privileges on /sdn/zones/localnetwork/vmbr0"].why
    assert "--tokens" in found["privileges on /vms/9000"].command


def test_what_is_missing_says_what_there_is(cluster: Double) -> None:
    """Node, storage, template and pool that are none."""
    found = rows(cluster, deployment(storage="fast", source="101", pool="nobody"))
    image = rows(cluster, deployment(source="local:import/nettune.qcow2"))

    assert found["storage fast on pve1"].why == "there are local, local-lvm"
    assert found["template 101"].word == "not seen"
    assert found["pool nobody"].command == "pveum pool add nobody"
    assert image["image local:import/nettune.qcow2"].word in {"missing", "not seen"}


def test_the_commands_make_a_role_for_each_kind_of_path() -> None:
    """User, token, pool, and no more privileges than are asked for; of version 8 with its own words."""
    nine, eight = preflight.setup(deployment(), PATHS, WHO, 9), preflight.setup(deployment(), PATHS, WHO, 8)

    assert "pveum user token add bench@pve net --privsep 1" in nine
    assert any("VM.GuestAgent.Unrestricted" in line for line in nine)
    assert any("VM.Monitor" in line for line in eight)
    assert not any("Sys.Modify" in line for line in (*nine, *eight))
    assert any("/sdn/zones/localnetwork/vmbr0" in line for line in nine)
