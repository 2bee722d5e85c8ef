"""Test VMs on two nodes whose link carries corosync: refused, or held to a share of it, watched by both nodes."""

import contextlib
import json
import os
import signal
import subprocess  # noqa: TID251 - acts at the desk, beside nettune
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.hosts.command import Command
from tests.netns import sshd
from tests.netns.nettune_command import start
from tests.netns.standing_hosts import waited
from tests.pve.guests import NODE, ip
from tests.pve.standing import Cluster

OTHER, WATCHED = "192.0.2.252", "192.0.2.251"  # pve2's; a gateway, say, that must go on answering
PLAN = """\
name: shared
lab: {{provider: proxmox, cluster: {cluster}, nodes: [pve1, pve2], template: 9000, storage: local-lvm, pool: bench,
      ready_s: 30, addresses: [192.0.2.10/24, 192.0.2.11/24]}}
topologies: [{{kind: pve, bridge: vmbr0}}]
probes: [{{kind: tcp, duration_s: {seconds}, warmup_s: 0.2}}]
primary: tcp.goodput
blocks: 2
treatments: {{held: {{net.ipv4.tcp_rmem: 4096 65536 1048576}}}}
"""
_OWN = """\
mount -t tmpfs none /mnt && cp -a /etc /mnt && mount --bind /mnt/etc /etc && umount -l /mnt &&
mkdir /etc/corosync && cat >/etc/corosync/corosync.conf
"""


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster with SSH of both nodes, on whose bridge corosync's ring and a watched address are."""
    other = cluster.guests.nodes["pve2"]
    for node in (cluster.node, other):
        ring = f"ring0_addr: {NODE}\nring0_addr: {OTHER}\n"
        node.run(Command(("sh", "-c", _OWN), stdin=ring)).require()
        # A veth may be a guest's port; what leads out is of another kind.
        ip(node, "link set uplink nomaster\nlink add link uplink name eno1 type macvlan mode passthru\n"
                 "link set eno1 master vmbr0 up\n")  # fmt: skip
    ip(other, f"addr add {OTHER}/24 dev vmbr0\n")
    desk = (*cluster.prefix, "ip", "addr", "add", f"{WATCHED}/24", "dev", "br0")
    subprocess.run(desk, check=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            sshd.serving(other, tmp_path / "other", port=22, config=f"ListenAddress {OTHER}\n")
        )
        (tmp_path / "known_other").write_text(f"{OTHER} {server.login.pinned}", encoding="utf-8")
        (first,) = cluster.ssh.splitlines()
        entry = f"ssh: ssh://root@{OTHER}, keys: [{tmp_path}/other/user], known_hosts: {tmp_path}/known_other"
        more = f", speed_mbps: 1000, watch: [{WATCHED}]}}"
        both = f"{first.removesuffix('}}')}{more}, pve2: {{{entry}{more}}}\n"
        yield replace(cluster, ssh=both)


def _plan(cluster: Cluster, *, seconds: float = 0.8, of_speed: bool = True, ssh: bool = True) -> str:
    cluster.plan(ssh=ssh)
    access = cluster.folder / "pve.yaml"
    if not of_speed:
        access.write_text(access.read_text(encoding="utf-8").replace(", speed_mbps: 1000", ""), encoding="utf-8")
    path = cluster.folder / "shared.yaml"
    path.write_text(PLAN.format(cluster=access, seconds=seconds), encoding="utf-8")
    return str(path)


def test_without_ssh_the_api_is_asked_whether_corosync_is_on_the_link(cluster: Cluster) -> None:
    """On a VLAN of the bridge's NIC: refused before a VM is made, told by `pve check`; where nobody tells, said."""
    vmbr0 = {"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_ports": "eno1"}
    ring = {"iface": "eno1.50", "type": "vlan", "vlan-raw-device": "eno1", "cidr": "192.0.2.11/24"}  # as fakepve has it
    cluster.double.tell("set", 0, "bridges", [vmbr0, {"iface": "eno1", "type": "eth"}, ring])
    plan = _plan(cluster, ssh=False)
    checked = json.loads(cluster.run("pve", "check", plan, "--json").stdout)
    refused = cluster.run("run", plan, *cluster.store)
    asked = len(cluster.guests.seen)
    cluster.double.tell("set", 0, "bridges", [vmbr0])
    done = cluster.run("run", plan, *cluster.store)
    assert done.returncode == 0, done.stderr
    run = json.loads(cluster.run("show", "last", "--json", *cluster.store).stdout)

    assert refused.returncode == 3
    assert asked == 0
    for said in ("the link by which vmbr0 leaves pve1: corosync's address 192.0.2.11 is on eno1.50, over eno1 as vmbr0",
                 "a bridge on links of its own, VMs on one node, or SSH of pve1", "--shared-link"):  # fmt: skip
        assert said in " ".join(refused.stderr.split())
    assert {each["what"]: each["word"] for each in checked}["the link by which vmbr0 leaves pve1"] == "missing"
    assert (
        "on which NIC corosync's 192.0.2.12 lies is not told" in run["machine"]["the link by which vmbr0 leaves pve2"]
    )
    assert "the link by which vmbr0 leaves pve1: on which NIC" in " ".join(done.stderr.split())
    assert any("Load passed the link between pve1 and pve2" in each for each in run["notes"])


def test_load_between_nodes_is_held_to_a_share_of_a_link_that_carries_corosync(pair: Cluster) -> None:
    """Refused without the flag, and where nobody knows the link's speed; else held to 10 % of it, and said so."""
    refused = pair.run("run", _plan(pair), *pair.store)
    unknown = pair.run("run", _plan(pair, of_speed=False), "--shared-link", *pair.store)
    done = pair.run("run", _plan(pair), "--shared-link", "--max-share", "10%", *pair.store)
    run = json.loads(pair.run("show", "last", "--json", *pair.store).stdout)

    assert refused.returncode == 3
    assert "eno1 carries corosync, and load between the VMs would pass it" in " ".join(refused.stderr.split())
    assert "--shared-link" in refused.stderr
    assert unknown.returncode == 3
    assert "has no NIC below it whose speed could be trusted" in " ".join(unknown.stderr.split())
    assert done.returncode == 0, done.stderr
    medians = [row["median"] for row in run["medians"] if row["metric"] == "goodput"]
    assert all(60e6 < each <= 100e6 for each in medians), medians
    assert medians
    assert run["machine"]["max share"].startswith("10 %: 100 of 1000 Mbit/s (pve1's speed_mbps")
    assert run["machine"]["pve-vmbr0 watched on pve2"] == f"eno1's carrier, {WATCHED}"
    assert any("Load was held to 10 % of the link" in note for note in run["notes"])


def test_load_ends_when_a_node_sees_trouble(pair: Cluster) -> None:
    """What must answer it while load passes does not any more."""
    job = start("run", _plan(pair, seconds=30), "--shared-link", *pair.store, prefix=pair.prefix)
    waited(lambda: bool(_loads(pair)) or job.poll() is not None, 60)
    time.sleep(1)
    subprocess.run((*pair.prefix, "ip", "addr", "del", f"{WATCHED}/24", "dev", "br0"), check=True)
    took = waited(lambda: not _loads(pair), 20)
    _, said = job.communicate()

    assert job.returncode == 3, said
    assert f"{WATCHED} does not answer a ping" in " ".join(said.split())
    assert took < 4, took


def test_vms_that_do_not_reach_one_another_end_their_load_though_nettune_hangs(pair: Cluster) -> None:
    """Each looks at the other."""
    job = start("run", _plan(pair, seconds=30), "--shared-link", *pair.store, prefix=pair.prefix)
    waited(lambda: bool(_loads(pair)) or job.poll() is not None, 60)
    time.sleep(1)
    os.killpg(job.pid, signal.SIGSTOP)
    for node in pair.guests.nodes.values():
        ip(node, "link set eno1 down\n")
    took = waited(lambda: not _loads(pair), 20)
    for node in pair.guests.nodes.values():
        ip(node, "link set eno1 up\n")
    os.killpg(job.pid, signal.SIGCONT)
    waited(lambda: job.poll() is not None, 90)
    job.communicate()

    assert took < 4, took


def _loads(pair: Cluster) -> list[str]:
    """The processes of iperf3 in its VMs."""
    found = []
    for host in list(pair.guests.hosts.values()):
        listed = subprocess.run(("ip", "netns", "pids", host.netns), capture_output=True, text=True, check=False).stdout
        for pid in listed.split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8") == "iperf3\n":
                    found.append(pid)
    return found
