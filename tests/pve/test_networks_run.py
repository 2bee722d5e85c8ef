"""`nettune run` with a network of its own: a bridge with a NIC is made on the node, VMs are measured on it, all goes.

The desk is where nettune is typed: one of its wires leads to the node's vmbr0, by which SSH goes, the other to eno3.
"""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.netns import sshd
from tests.netns.nettune_command import nettune, start
from tests.netns.standing_hosts import waited
from tests.pve import net_node
from tests.pve.guests import Guests
from tests.pve.kit import Double, running
from tests.pve.net_node import NODE, NetNode

BRIDGE = "vmbr901"
PLAN = """\
name: own-bridge
lab: {{provider: proxmox, cluster: {cluster}, nodes: [pve1], template: 9000, storage: local-lvm, pool: bench,
      addresses: [198.51.100.10/24, 198.51.100.11/24]}}
topologies: [{{kind: pve, bridge: vmbr901, create: {{ports: [eno3]}}, mtu: 1400}}]
probes: [{{kind: latency, duration_s: 0.3, interval_s: 0.005}}]
primary: latency.rtt_p50
blocks: {blocks}
treatments: {{held: {{net.ipv4.tcp_rmem: 4096 65536 1048576}}}}
"""


@dataclass(frozen=True)
class Site:
    """A node, the double of its API, and the desk."""

    node: NetNode
    double: Double
    guests: Guests
    prefix: tuple[str, ...]
    folder: Path

    def plan(self, blocks: int = 2) -> str:
        """A plan's file."""
        (self.folder / "secret").write_text("5ecret\n", encoding="utf-8")
        (self.folder / "secret").chmod(0o600)
        login, known = self.node.login, self.folder / "known_hosts"
        known.write_text(f"[192.0.2.1]:{login.port} {login.pinned}\n", encoding="utf-8")
        (self.folder / "pve.yaml").write_text(
            f"api: https://127.0.0.1:{self.double.port}\ntoken: bench@pve!net\nsecret_file: secret\n"
            f"ca_file: fakepve.crt\nnodes: {{{NODE}: {{ssh: 'ssh://root@192.0.2.1:{login.port}', "
            f"keys: ['{login.keys[0]}'], known_hosts: '{known}'}}}}\n", encoding="utf-8",
        )  # fmt: skip
        path = self.folder / "plan.yaml"
        path.write_text(PLAN.format(cluster=self.folder / "pve.yaml", blocks=blocks), encoding="utf-8")
        return str(path)

    def run(self, *words: str) -> Any:  # Any: CompletedProcess
        """Nettune at the desk."""
        return nettune(*words, prefix=self.prefix)


@pytest.fixture
def site(node_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """With a template and a pool."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    with net_node.standing(node_root, tmp_path / "sshd", "192.0.2.1") as node, sshd.namespace() as desk:
        for wire, address in (("up-eno1", "192.0.2.254/24"), ("up-eno3", "198.51.100.254/24")):
            Local().run(Command(("ip", "-netns", node.host.netns, "link", "set", wire, "netns", desk.netns))).require()
            lines = f"link set {wire} mtu 1500 up\naddr add {address} dev {wire}\n"
            desk.run(Command(("ip", "-batch", "-"), stdin=lines)).require()
        prefix = ("ip", "netns", "exec", desk.netns)
        with running(tmp_path, prefix) as double, Guests(double, {"pve1": node.host}, tmp_path) as guests:
            net_node.told(double, node)
            double.tell("set", 0, "apitokens", {"bench@pve!net": "5ecret"})
            disks = {"scsi0": "local-lvm:base-9000-disk-0,size=2G", "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom"}
            double.tell("add_vm", 9000, "template", template=True, config=disks)
            double.tell("add_pool", "bench")
            yield Site(node, double, guests, prefix, tmp_path)


def test_a_plan_makes_its_bridge_and_measures_on_it(site: Site) -> None:
    """`pve check` has nothing to say; the diff is in the result; the node is as it was, to the byte."""
    before = site.node.state()
    store = ("--store", str(site.folder / "store.db"))
    checked = site.run("pve", "check", site.plan())
    done = site.run("run", site.plan(), "--seed", "7", *store)
    assert done.returncode == 0, done.stderr
    document = json.loads(site.run("show", "last", "--json", *store).stdout)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"+auto {BRIDGE}" in document["machine"][f"network {BRIDGE}"]
    assert f"+auto {BRIDGE}" in done.stderr
    assert len(site.guests.seen) == 2
    assert site.node.state() == before


def test_a_killed_run_leaves_a_bridge_that_reap_removes_after_its_vms(site: Site) -> None:
    """SIGKILL while it measures: the VMs are plugged into the bridge, so they go first."""
    before = site.node.state()
    job = start("run", site.plan(blocks=40), "--store", str(site.folder / "store.db"), prefix=site.prefix)
    waited(lambda: len(site.guests.seen) == 2 or job.poll() is not None, 90)
    os.killpg(job.pid, signal.SIGKILL)
    _, said = job.communicate()
    left = site.node.devices()
    reaped = site.run("lab", "reap")

    assert BRIDGE in left, said
    assert reaped.returncode == 0, reaped.stderr
    assert f"{BRIDGE} on {NODE}" in reaped.stdout
    assert site.node.state() == before


def test_what_is_missing_is_told_before(site: Site) -> None:
    """Privileges on the node, and edits that wait there."""
    site.double.tell("acl", "bench@pve!net", [["/", ["Sys.Audit", "VM.Audit"]]])
    (site.node.file.parent / "interfaces.new").write_text("auto lo\n", encoding="utf-8")
    checked = site.run("pve", "check", site.plan(), "--json")
    rows = {row["what"]: row for row in json.loads(checked.stdout)}

    assert checked.returncode == 1
    assert rows[f"privileges on /nodes/{NODE}"]["why"] == "Sys.Modify"
    assert "interfaces.new is there" in rows[f"network of {NODE} that may be reloaded"]["why"]


def test_what_would_be_asked_is_shown_before(site: Site) -> None:
    """`--dry-run` asks nobody."""
    shown = site.run("run", site.plan(), "--dry-run")

    assert shown.returncode == 0, shown.stderr
    assert f"make {BRIDGE}: bridge over eno3, mtu 1400, under a guard on {NODE}" in shown.stdout
    assert '"bridge_ports": "eno3"' in shown.stdout
    assert site.double.tell("requests") == []
