"""`nettune run` on Proxmox VE, the whole way: API, VMs, agent, SSH, probes, verdicts, and nothing is left.

The API is the double's; behind its VMs are namespaces with an sshd each, on one bridge.
"""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns import sshd
from tests.netns.nettune_command import nettune, start
from tests.netns.standing_hosts import waited
from tests.pve.guests import Guests, desk
from tests.pve.kit import Double, running

PLAN = """\
name: same-node
lab: {{provider: proxmox, cluster: {cluster}, nodes: [pve1], template: 9000, storage: local-lvm, pool: bench,
      addresses: [192.0.2.10/24, 192.0.2.11/24]}}
topologies: [{{kind: pve, bridge: vmbr0, {more}}}]
probes: [{{kind: latency, duration_s: 0.3, interval_s: 0.005}}]
primary: latency.rtt_p50
blocks: {blocks}
treatments: {{held: {{net.ipv4.tcp_rmem: 4096 65536 1048576}}}}
"""


@dataclass(frozen=True)
class Cluster:
    """The double, what stands behind it, and where nettune is typed."""

    double: Double
    guests: Guests
    prefix: tuple[str, ...]
    folder: Path

    def plan(self, *, blocks: int = 2, more: str = "mtu: 1400") -> str:
        """A plan's file."""
        access = self.folder / "pve.yaml"
        (self.folder / "secret").write_text("5ecret\n", encoding="utf-8")
        (self.folder / "secret").chmod(0o600)
        access.write_text(
            f"api: https://127.0.0.1:{self.double.port}\ntoken: bench@pve!net\nsecret_file: secret\n"
            "ca_file: fakepve.crt\n", encoding="utf-8",
        )  # fmt: skip
        path = self.folder / "plan.yaml"
        path.write_text(PLAN.format(cluster=access, blocks=blocks, more=more), encoding="utf-8")
        return str(path)

    def run(self, *words: str) -> Any:  # Any: CompletedProcess
        """Nettune at the desk."""
        return nettune(*words, prefix=self.prefix)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """With a template, a pool, and somebody else's VM."""
    sshd.skip_where_it_cannot_run()
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    with sshd.namespace() as node, desk(node) as at:
        prefix = ("ip", "netns", "exec", at.netns)
        with running(tmp_path, prefix) as double, Guests(double, node, tmp_path) as guests:
            double.tell("set", 0, "apitokens", {"bench@pve!net": "5ecret"})
            double.tell(
                "add_vm", 9000, "template", template=True, config={"scsi0": "local-lvm:base-9000-disk-0,size=2G"}
            )
            double.tell("add_vm", 100, "theirs", status="running")
            double.tell("add_pool", "bench")
            yield Cluster(double, guests, prefix, tmp_path)
            assert set(double.tell("guests")) == {"100", "9000"}


def test_a_plan_is_measured_between_vms_that_are_gone_afterwards(cluster: Cluster) -> None:
    """Verdicts, the VMs' places and what this cannot see are in the result; nobody else's VM was touched."""
    done = cluster.run("run", cluster.plan(), "--seed", "7", "--store", str(cluster.folder / "store.db"))
    shown = cluster.run("show", "last", "--json", "--store", str(cluster.folder / "store.db"))
    document = json.loads(shown.stdout)

    assert done.returncode == 0, done.stderr
    assert len(cluster.guests.seen) == 2
    assert "Proxmox VE" in document["machine"]
    assert any("VMs' own view" in note for note in document["notes"])
    assert document["treatments"][0]["verdict"]
    assert cluster.double.tell("guests")["100"]["status"] == "running"


def test_a_killed_run_leaves_vms_that_reap_removes(cluster: Cluster) -> None:
    """SIGKILL while it measures; the lease finds both, and no other."""
    job = start("run", cluster.plan(blocks=40), "--store", str(cluster.folder / "store.db"), prefix=cluster.prefix)
    waited(lambda: len(cluster.guests.seen) == 2 or job.poll() is not None, 60)
    os.killpg(job.pid, signal.SIGKILL)
    _, said = job.communicate()
    left = set(cluster.double.tell("guests"))
    reaped = cluster.run("lab", "reap")

    assert len(left) == 4, said
    assert reaped.returncode == 0, reaped.stderr
    assert "pve-vm" in reaped.stdout or "pve1" in reaped.stdout, reaped.stdout


@pytest.mark.parametrize(
    ("more", "fault", "said"),
    [
        ("mtu: 1400", ["fail", ["POST", "/clone", 500, "unable to write: No space left on device"]], "No space left"),
        (
            "mtu: 1400",
            ["fail", ["POST", "/status/start", 500, "MAX 1 vcpus allowed per VM on this node"]],
            "MAX 1 vcpus",
        ),
        ("mtu: 1400", ["fail", ["GET", "/cluster/nextid", 401, "permission denied - invalid PVE ticket"]], "secret"),
        ("mtu: 1400", ["lose_quorum", []], "quorum"),
    ],
)
def test_what_the_cluster_refuses_is_told_and_cleaned_up(cluster: Cluster, more: str, fault: Any, said: str) -> None:
    """In Proxmox VE's own words, with the call; no VM is left."""
    name, arguments = fault
    cluster.double.tell(name, *arguments)
    done = cluster.run("run", cluster.plan(more=more), "--store", str(cluster.folder / "store.db"))
    cluster.double.tell("set", 0, "failures", {})
    cluster.double.tell("regain_quorum")
    cluster.run("lab", "reap")

    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_two_ways_of_connecting_stand_at_once_with_addresses_of_their_own(cluster: Cluster) -> None:
    """Four VMs and a verdict for each path; two paths with the same addresses are refused by line."""
    two = "mtu: 1400}, {kind: pve, bridge: vmbr0, firewall: on"
    store = ("--store", str(cluster.folder / "store.db"))
    same = cluster.run("run", cluster.plan(more=two), *store)
    own = cluster.plan(more=f"{two}, addresses: [192.0.2.12/24, 192.0.2.13/24]")
    done = cluster.run("run", own, *store)
    document = json.loads(cluster.run("show", "last", "--json", *store).stdout)

    assert same.returncode == 2
    assert "all paths of a plan stand at the same time" in same.stderr
    assert done.returncode == 0, done.stderr
    assert len(cluster.guests.seen) == 4
    assert {each["topology"] for each in document["treatments"]} == {"pve-vmbr0-mtu1400", "pve-vmbr0-firewall1"}
