"""What a plan asks for and a cluster has not, or fails to do: told with node, guest, call and hint; nothing is left."""

import json
import re
from typing import Any

import pytest

from bench.pve.containers import HOST_KEY
from tests.netns import sshd
from tests.pve.guests import NODE
from tests.pve.standing import Cluster

GONE = {"failures": {}, "time_scale": 0, "starts_last_s": 0, "memory_gib": 64}


def refused(cluster: Cluster, *, code: int = 3, **plan: Any) -> str:  # Any: as Cluster.plan
    """What a run of that plan says, which has left nothing: nobody has reaped. Then the double is whole again."""
    plan_file = cluster.plan(**plan)
    before = cluster.double.tell("held")
    done = cluster.run("run", plan_file, *cluster.store)
    after = cluster.double.tell("held")
    leases = list((cluster.folder / "state" / "leases").glob("*.jsonl"))
    for key, value in GONE.items():
        cluster.double.tell("set", 0, key, value)
    cluster.double.tell("regain_quorum")
    cluster.double.tell("unlock", 9000)
    cluster.double.tell("set_node_offline", "pve1", offline=False)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    assert after == before
    assert leases == []
    return done.stderr


OF_IMAGE = {"image": "local:import/nettune.qcow2"}  # a template's clones lie on its own storage


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("more", "lab", "said"),
    [
        ("bridge: vmbr9", {}, ["bridge vmbr9 on pve1", "there are vmbr0, vmbr1, vmbr2"]),
        ("bridge: vnet7", {}, ["bridge vnet7 on pve1", "there are"]),
        ("bridge: vmbr1, tag: 10", {}, ["bridge vmbr1 on pve1", "not VLAN-aware", "vmbr1v10", "which stay"]),
        ("bridge: vmbr1, trunks: 10;20", {}, ["bridge vmbr1 on pve1", "not VLAN-aware", "trunks 10;20"]),
        ("mtu: 9000", {}, ["bridge vmbr0 on pve1", "MTU of 1500 is below the plan's 9000"]),
        ("mtu: 1400", {"cores": "5"}, ["CPUs of pve1", "it has 4, and a VM is to have 5"]),
        ("mtu: 1400", {"affinity": "[2-4]"}, ["CPUs of pve1", "it has 0 to 3, and a VM is to be pinned to 4"]),
        ("mtu: 1400", {"affinity": "[2]"}, ["SSH of pve1", "only root there", "ssh://root@pve1"]),
        ("mtu: 1400", {"jump": "on"}, ["SSH of pve1", "reached through it"]),
        ("mtu: 1400", {**OF_IMAGE, "storage": "fast"}, ["storage fast on pve1", "there are local, local-lvm"]),
        ("mtu: 1400", {**OF_IMAGE, "storage": "local"}, ["storage local on pve1", "no disks of VMs"]),
        ("mtu: 1400", {"nodes": "[pve7]"}, ["node pve7", "the cluster has pve1"]),
        ("mtu: 1400", {"template": "100"}, ["VM 100 is no template", "qm template 100"]),
        ("mtu: 1400", {"template": "555"}, ["there is no template 555"]),
        ("mtu: 1400", {"template": "9001"}, ["SSH of pve1", "a container tells its host key through its node"]),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_made(
    cluster: Cluster, more: str, lab: dict[str, str], said: list[str]
) -> None:
    """Bridge, vnet, VLAN, MTU, CPUs, SSH, storage, node, template: by name, and no VM was asked for."""
    told = refused(cluster, more=more, lab=lab)

    assert all(word in told for word in said), told
    writes = [path for method, path in cluster.double.tell("requests") if method == "POST"]
    assert not any(path.endswith(("/clone", "/qemu")) for path in writes)


def test_memory_is_asked_for_all_paths_before_the_first_stands(cluster: Cluster) -> None:
    """Room for one of two: no VM is made, and `pve check` says so too."""
    cluster.double.tell("set", 0, "memory_gib", 6)
    two = "mtu: 1400}, {kind: pve, bridge: vmbr0, addresses: [192.0.2.12/24, 192.0.2.13/24]"
    asked = cluster.run("pve", "check", cluster.plan(more=two), "--json").stdout
    told = refused(cluster, more=two)

    assert next(each["why"] for each in json.loads(asked) if each["what"] == "room for 2 paths") in told
    assert "2 paths put 4 guests of 1024 MB on pve1" in told
    assert "paths up to 1" in told
    assert not any(path.endswith("/clone") for _, path in cluster.double.tell("requests"))


FULL = "No space left on device"


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([["store", "local-lvm", "avail", 3 << 30]], ["make VM 10", "on pve1", FULL, "pvesm status"]),
        ([["snapshot_lock", 9000, "backup"]],
         ["make VM 10", "(nettune-", "on pve1", "/qemu/9000/clone", "VM is locked (backup)", "qm unlock"]),
        ([["fail", "POST", "/status/start", 500, "MAX 1 vcpus allowed per VM on this node"]],
         ["/status/start", "MAX 1 vcpus", "cores:"]),
        ([["set", 0, "bridges", [{"iface": "vmbr0", "type": "unknown", "mtu": "1300"}]]], ["below the plan's 1400"]),
        ([["lose_quorum"]], ["make VM 10", "on pve1", "/qemu/9000/clone", "no quorum", "pvecm status"]),
        ([["fail", "GET", "/cluster/nextid", 401, "permission denied - invalid PVE ticket"]], ["nextid", "token"]),
        ([["set", 0, "apitokens", {"bench@pve!net": "another"}]], ["401", "is the token whole"]),
        ([["acl", "bench@pve!net", [["/", ["Sys.Audit", "VM.Audit", "Datastore.Audit"]]]]],
         ["(403)", "Permission check failed", "VM.", "nettune pve check"]),
        ([["set", 0, "memory_gib", 5]],
         ["1 paths put 2 guests of 1024 MB on pve1", "3072 MB free", "0 paths fit", "less memory_mb"]),
        ([["set_node_offline", "pve1"]], ["node pve1: it is offline"]),
        ([["set", 0, "time_scale", 1], ["set", 0, "starts_last_s", 9999]],
         ["start VM 10", "on pve1", "did not end within 2 s and was stopped", "interrupted by signal"]),
    ],
)  # fmt: skip
def test_what_the_cluster_refuses_is_told_and_cleaned_up(
    cluster: Cluster, faults: list[list[Any]], said: list[str]
) -> None:
    """In Proxmox VE's own words, with call, node and guest; no VM is left."""
    for name, *arguments in faults:
        cluster.double.tell(name, *arguments)
    told = refused(cluster, lab={"ready_s": "2"})

    assert all(word in told for word in said), told


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (f"token: bench@pve!net\nfingerprint: {'00' * 32}\n", ["not the one with the fingerprint", "was it renewed"]),
        ("token: bench@pve!net\n", ["signed by nobody who is known", "ca_file"]),
        ("user: root@pam\nca_file: fakepve.crt\n", ["POST /access/ticket", "authentication failure"]),
    ],
)
def test_who_it_is_not_is_told(cluster: Cluster, access: str, said: list[str]) -> None:
    """Another certificate than the pinned one, one that nobody signed, a wrong password."""
    told = refused(cluster, access=access)

    assert all(word in told for word in said), told


def test_an_address_in_use_is_told_before_anything_is_made(cluster: Cluster) -> None:
    """Somebody answers there."""
    told = refused(cluster, lab={"addresses": f"[{NODE}/24, 192.0.2.11/24]"})

    assert f"{NODE} is in use" in told
    assert "nettune-a does not stand yet" in told


def other_key(cluster: Cluster) -> str:
    """A public key that is no guest's."""
    return sshd.make_key(cluster.folder / "other").with_suffix(".pub").read_text(encoding="ascii")


def telling(key: str) -> dict[str, Any]:  # Any: JSON
    """An agent that tells that host key."""
    return {"exec": {f"cat {HOST_KEY}": {"out-data": key}}}


def test_another_machine_at_the_address_of_a_guest_is_told(cluster: Cluster) -> None:
    """Its host key stays another one than the guest tells by its agent."""
    cluster.guests.mute = True
    cluster.double.tell("set", 0, "agents", telling(other_key(cluster)))
    told = refused(cluster)

    assert re.search(r"at 192\.0\.2\.10 another machine answers than VM \d+ \(nettune-a\) on pve1", told), told
    assert "the address is in use" in told


def test_a_host_key_that_changes_at_the_first_boot_is_asked_for_again(cluster: Cluster) -> None:
    """The agent tells the template's until cloud-init has made another."""
    cluster.double.tell("set", 0, "agents", telling(other_key(cluster)))
    done = cluster.run("run", cluster.plan(), *cluster.store)

    assert done.returncode == 0, done.stderr


def test_a_guest_without_an_agent_and_one_that_never_answers_are_told(cluster: Cluster) -> None:
    """By guest, node and address, within the time that the plan gives them."""
    cluster.guests.silent = True
    without = refused(cluster, lab={"ready_s": "4"})
    cluster.double.tell("set", 0, "agents", telling(other_key(cluster)))
    silent = refused(cluster, lab={"ready_s": "4"})

    assert "(nettune-a) on pve1 does not tell its host key by its agent in 4 s" in without
    assert "is qemu-guest-agent in the template" in without
    assert "(nettune-a) on pve1 is not reached at 192.0.2.10 in 4 s" in silent


def test_a_ticket_that_ends_in_a_long_run_is_renewed(cluster: Cluster) -> None:
    """A user with a password: tickets end while VMs are made, measured and removed."""
    cluster.double.tell("set", 0, "password", "5ecret")
    cluster.double.tell("set", 0, "ticket_ttl", 1.5)
    done = cluster.run("run", cluster.plan(access="user: root@pam\nca_file: fakepve.crt\n"), *cluster.store)
    logins = sum(path.endswith("/access/ticket") for _, path in cluster.double.tell("requests"))

    assert done.returncode == 0, done.stderr
    assert logins >= 3
