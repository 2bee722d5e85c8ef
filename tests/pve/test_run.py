"""`nettune run` on Proxmox VE, the whole way: API, VMs, agent, SSH, probes, verdicts, and nothing is left.

The API is the double's; behind its VMs are namespaces with an sshd each, on one bridge.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.netns.nettune_command import start
from tests.netns.standing_hosts import waited
from tests.pve.standing import Cluster
from tests.pve.strict import BRIDGES
from tests.pve.test_pairs import ended


def test_a_plan_is_measured_between_vms_that_are_gone_afterwards(cluster: Cluster) -> None:
    """Verdicts, the VMs' places and what this cannot see are in the result; nobody else's VM was touched."""
    done = cluster.run("run", cluster.plan(), "--seed", "7", *cluster.store)
    shown = cluster.run("show", "last", "--json", *cluster.store)
    document = json.loads(shown.stdout)

    assert done.returncode == 0, done.stderr
    assert len(cluster.guests.seen) == 2
    assert "Proxmox VE" in document["machine"]
    assert any("VMs' own view" in note for note in document["notes"])
    assert document["treatments"][0]["verdict"]
    assert cluster.double.tell("guests")["100"]["status"] == "running"


@pytest.mark.parametrize("template", ["9000", "9001"])
def test_a_killed_run_leaves_guests_that_reap_removes(cluster: Cluster, template: str) -> None:
    """SIGKILL while it measures; the lease finds both, VMs or containers, and no other."""
    plan = cluster.plan(blocks=40, lab={"template": template}, ssh=True)
    job = start("run", plan, *cluster.store, prefix=cluster.prefix)
    waited(lambda: len(cluster.guests.seen) == 2 or job.poll() is not None, 60)
    os.killpg(job.pid, signal.SIGKILL)
    _, said = job.communicate()
    left, state = set(cluster.double.tell("guests")), Path(os.environ["NETTUNE_STATE"])
    keys = [path.stat().st_mode & 0o777 for path in state.glob("guests/*/client")]
    reaped = cluster.run("lab", "reap")

    assert len(left) == 5, said
    assert keys == [0o600]
    assert list(state.glob("guests/*")) == []
    assert list(state.glob("leases/*.jsonl")) == []
    assert reaped.returncode == 0, reaped.stderr
    assert "pve-vm" in reaped.stdout or "pve-ct" in reaped.stdout or "pve1" in reaped.stdout, reaped.stdout


def test_a_run_that_was_interrupted_goes_on_between_vms_with_other_macs(cluster: Cluster) -> None:
    """They are made once more; all else of them is what it was."""
    job = start("run", cluster.plan(blocks=6), "--seed", "7", *cluster.store, prefix=cluster.prefix)
    waited(lambda: ended(cluster) >= 3 or job.poll() is not None, 60)
    os.killpg(job.pid, signal.SIGINT)
    _, said = job.communicate(timeout=60)
    done = cluster.run("run", "--resume", "last", *cluster.store)
    document = json.loads(cluster.run("show", "last", "--json", *cluster.store).stdout)

    assert job.returncode == 130, said
    assert done.returncode == 0, done.stderr
    assert document["status"] == "complete"
    assert cluster.guests.starts == 4


def test_a_search_stands_its_vms_anew_for_each_stage(cluster: Cluster) -> None:
    """One knob of theirs: its noise, and a race, in two labs."""
    words = ("--trials", "80", "--knob", "net.ipv4.tcp_rmem", "--no-anchors", "--seed", "7")
    done = cluster.run("tune", cluster.plan(), *words, *cluster.store)

    assert done.returncode == 0, done.stderr
    assert "Change nothing" in done.stdout or "confirmed" in done.stdout, done.stdout
    assert cluster.guests.starts >= 6  # noise, what is offered, the race


def test_two_ways_of_connecting_stand_at_once_with_addresses_of_their_own(cluster: Cluster) -> None:
    """Four VMs and a verdict for each path; two paths with the same addresses are refused by line."""
    two = "mtu: 1400}, {kind: pve, bridge: vmbr0, firewall: on"
    store = cluster.store
    same = cluster.run("run", cluster.plan(more=two), *store)
    own = cluster.plan(more=f"{two}, addresses: [192.0.2.12/24, 192.0.2.13/24]")
    done = cluster.run("run", own, *store)
    document = json.loads(cluster.run("show", "last", "--json", *store).stdout)

    assert same.returncode == 2
    assert "2 paths stand at the same time, and the lab has addresses for 1" in same.stderr
    assert done.returncode == 0, done.stderr
    assert len(cluster.guests.seen) == 4
    assert {each["topology"] for each in document["treatments"]} == {"pve-vmbr0-mtu1400", "pve-vmbr0-firewall1"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("name", "paths", "where"),
    [
        ("pve-same-node", {"pve-bridge"}, {"pve1"}),
        ("pve-cross-node", {"pve-bridge"}, {"pve1", "pve2"}),
        ("pve-bond", {"pve-bond"}, {"pve1", "pve2"}),
        ("pve-queues", {"one-queue", "two-queues", "four-queues"}, {"pve1"}),
        ("pve-vlan", {"pve-bridge", "pve-vlan"}, {"pve1"}),
        ("pve-sdn-vxlan-mtu", {"pve-vxlan"}, {"pve1", "pve2"}),
        ("pve-nat-vs-bridge", {"pve-bridge", "pve-nat"}, {"pve1"}),
        ("pve-firewall-cost", {"no-firewall", "firewall", "rules-100", "rules-1000"}, {"pve1"}),
    ],
)
def test_plans_that_ship_run_on_a_site(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str, paths: set[str], where: set[str]
) -> None:
    """By the site's own networks, each VM with a NIC for the way to it; what is kept with the run says all of it."""
    monkeypatch.setenv("NETTUNE_CLUSTER", cluster.site())
    cluster.double.tell("configure_firewall", 1)
    sdn = [{"iface": name, "type": "vnet", "active": 1} for name in ("vx1", "nat0")]
    cluster.double.tell("set", 0, "bridges", [*BRIDGES, *sdn])
    # Eight streams are processes: beside other tests they start half a second apart, too far for a window of 1 s.
    window_s = 4 if name == "pve-queues" else 1
    keys = (f"tcp.duration_s={window_s}", "tcp.warmup_s=0.2", "blocks=2")
    shorter = [word for key in keys for word in ("--set", key)]
    if name == "pve-firewall-cost":
        shorter += ["--set", "topologies.rules-1000.rules=150"]
    done = cluster.run("run", name, *shorter, *cluster.store)
    assert done.returncode == 0, done.stderr
    document = json.loads(cluster.run("show", "last", "--json", *cluster.store).stdout)

    assert set(document["design"]["topologies"]) == paths
    assert {word for key, value in document["machine"].items() if key.startswith("VM ")
            for word in value.split() if word.rstrip(",") in {"pve1,", "pve2,", "pve1", "pve2"}} == {
                f"{each}," for each in where}  # fmt: skip
    # Guests are emulated beside it: the machine may be too busy for one trial to be trusted.
    assert sum(count for word, count in document["trials"].items() if word != "done") <= 1, done.stdout
    assert "network" not in json.dumps(document["plan_document"]["topologies"])
