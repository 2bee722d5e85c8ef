"""The node under test VMs, by its SSH: read, turned under a guard, and what rides on its bridge left alone.

The node is the namespace in which the double's VMs have their taps; its sshd is real.
"""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.facts import state
from bench.facts.sheet import FactSheet, differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.netns.nettune_command import nettune, start
from tests.netns.standing_hosts import RMEM, guards, value, waited
from tests.pve.guests import Guests, site
from tests.pve.kit import Double, running

ADDRESS = "192.0.2.1"
HELD = "4096 65536 1048576"
PLAN = """\
name: same-node
lab: {{provider: proxmox, cluster: {cluster}, nodes: [pve1], template: 9000, storage: local-lvm, pool: bench,
      addresses: [192.0.2.10/24, 192.0.2.11/24]}}
topologies: [{{kind: pve, bridge: vmbr0}}]
probes: [{{kind: latency, duration_s: 0.3, interval_s: 0.005}}]
primary: latency.rtt_p50
blocks: {blocks}
treatments: {treatments}
"""


@dataclass(frozen=True)
class Cluster:
    """The double, what stands behind it, and the node with its sshd."""

    double: Double
    guests: Guests
    node: Namespace
    prefix: tuple[str, ...]
    folder: Path

    def plan(self, treatments: str, *, blocks: int = 2, more: str = "") -> str:
        """A plan's file; `more` stands in the node's entry of the cluster's file."""
        access = self.folder / "pve.yaml"
        (self.folder / "secret").write_text("5ecret\n", encoding="utf-8")
        (self.folder / "secret").chmod(0o600)
        access.write_text(
            f"api: https://127.0.0.1:{self.double.port}\ntoken: bench@pve!net\nsecret_file: secret\n"
            f"ca_file: fakepve.crt\nnodes: {{pve1: {{ssh: 'ssh://root@{ADDRESS}:{sshd.PORT}', keys: [node/user], "
            f"known_hosts: known{more}}}}}\n",
            encoding="utf-8",
        )  # fmt: skip
        path = self.folder / "plan.yaml"
        path.write_text(PLAN.format(cluster=access, blocks=blocks, treatments=treatments), encoding="utf-8")
        return str(path)

    def run(self, *words: str) -> Any:  # Any: CompletedProcess
        """Nettune at the desk, with a store of its own; it has forgotten the MACs of the guests before."""
        Local().run(Command((*self.prefix, "ip", "neigh", "flush", "all"))).require()
        return nettune(*words, "--store", str(self.folder / "store.db"), prefix=self.prefix)

    def facts(self) -> FactSheet:
        """The node's whole state without VMs."""
        (sheet,) = state.read({self.node: ["vmbr0"]}, bridged=[self.node]).values()
        return sheet


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """With a template, a pool, and a node that is afterwards what it was."""
    sshd.skip_where_it_cannot_run()
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(sshd.namespace())
        at = stack.enter_context(site({"pve1": node}))
        # Set by hand it stays: otherwise a bridge has its lowest port's, and is another's neighbour with each VM.
        lines = f"link set vmbr0 address 02:00:00:00:00:01\naddr add {ADDRESS}/24 dev vmbr0\n"
        Local().run(Command(("ip", "-netns", node.netns, "-batch", "-"), stdin=lines)).require()
        node.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
        server = stack.enter_context(sshd.serving(node, tmp_path / "node", config=f"ListenAddress {ADDRESS}\n"))
        (tmp_path / "known").write_text(f"[{ADDRESS}]:{sshd.PORT} {server.login.pinned}", encoding="utf-8")
        prefix = ("ip", "netns", "exec", at.netns)
        double = stack.enter_context(running(tmp_path, prefix))
        guests = stack.enter_context(Guests(double, {"pve1": node}, tmp_path))
        double.tell("set", 0, "apitokens", {"bench@pve!net": "5ecret"})
        double.tell("add_vm", 9000, "template", template=True, config={"scsi0": "local-lvm:base-9000-disk-0,size=2G"})
        double.tell("add_pool", "bench")
        waited(lambda: "tentative" not in node.run(Command(("ip", "-6", "addr"))).stdout, 5)
        yield Cluster(double, guests, node, prefix, tmp_path)


def test_the_nodes_own_settings_are_measured_under_its_guard(cluster: Cluster) -> None:
    """A sysctl of the node and an offload of the VMs' taps; the report says whose CPUs it counted; all is as it was."""
    before = {"node": cluster.facts()}
    plan = cluster.plan(f"{{sysctl: {{settings: {{{RMEM}: {HELD}}}, target: node}}, "
                        "taps: {settings: {gro: on}, target: node}}")  # fmt: skip
    done = cluster.run("run", plan, "--seed", "7")
    document = json.loads(cluster.run("show", "last", "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert {each["treatment"] for each in document["treatments"]} == {"sysctl", "taps"}
    assert document["skipped"] == []
    assert any("CPU figures are those of the whole of pve1" in note for note in document["notes"])
    assert set(document["machine"]["node pve1"].split(", ")) == {"tap100i0", "vmbr0", "tap101i0"}
    assert guards(cluster.node) == []
    assert differences(before, {"node": cluster.facts()}) == ()


def test_a_bridge_that_carries_our_ssh_is_left_alone_until_that_is_allowed(cluster: Cluster) -> None:
    """Refused by its role, with the word that allows it; with the word it is measured."""
    treatments = "{longer: {settings: {ageing_time: 6000}, target: node}}"
    refused = cluster.run("run", cluster.plan(treatments))
    allowed = cluster.run("run", cluster.plan(treatments, more=", allow: [ssh, guests]"))

    assert refused.returncode == 0, refused.stderr
    assert "longer: not settable here: on pve1, vmbr0 has 192.0.2.1, the address that our SSH" in refused.stdout
    assert "allow: [ssh]" in refused.stdout
    assert allowed.returncode == 0, allowed.stderr
    assert "not settable" not in allowed.stdout


def test_a_killed_run_leaves_a_node_that_knows_its_originals(cluster: Cluster) -> None:
    """SIGKILL while the node's sysctl is held: its guard is armed, the next run says so, and it puts the node back."""
    was = value(cluster.node, RMEM)
    plan = cluster.plan(f"{{held: {{settings: {{{RMEM}: {HELD}}}, target: node}}}}", blocks=40)
    job = start("run", plan, "--store", str(cluster.folder / "store.db"), prefix=cluster.prefix)
    waited(lambda: value(cluster.node, RMEM) == HELD or job.poll() is not None, 90)
    os.killpg(job.pid, signal.SIGKILL)
    _, said = job.communicate()
    armed = guards(cluster.node)
    reaped = nettune("lab", "reap", prefix=cluster.prefix)
    waited(lambda: not cluster.guests.running, 30)
    again = cluster.run("run", plan)
    waits = nettune("lab", "reap", "--cluster", str(cluster.folder / "pve.yaml"), prefix=cluster.prefix)
    cluster.node.run(Command(("sh", f"/var/lib/nettune/guard/{armed[0]}/restore", "now"))).require()
    settled = nettune("lab", "reap", "--cluster", str(cluster.folder / "pve.yaml"), prefix=cluster.prefix)

    assert len(armed) == 1, said
    assert reaped.returncode == 0, reaped.stderr
    assert again.returncode == 3
    assert "another run has changed this host" in again.stderr
    assert value(cluster.node, RMEM) == was
    assert waits.returncode == 3
    assert "another run has changed this host" in waits.stderr
    assert settled.returncode == 0, settled.stderr
    assert f"guard {armed[0]}): it had put itself back" in " ".join(settled.stdout.split())
    assert guards(cluster.node) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [(", allow: [everything]", "allow"), (", devices: [vmbr0]", "devices"), (", ssh: 'ftp://pve1'", "ssh")],
)
def test_what_is_wrong_in_a_nodes_entry_is_named_by_line(cluster: Cluster, more: str, said: str) -> None:
    """Before anything is made."""
    done = cluster.run("run", cluster.plan("{}", more=more))

    assert done.returncode == 2
    assert "pve.yaml:5" in done.stderr
    assert said in done.stderr
