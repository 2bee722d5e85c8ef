"""`nettune run` on Proxmox VE between real guests: API, VMs, agents, SSH, iperf3 over a VLAN, and nothing left."""

import json
from pathlib import Path

import pytest

from bench.hosts.command import Command
from tests.netns.standing_hosts import waited
from tests.pve.standing import stood
from tests.vm.emulated import Emulated

PLAN = """\
name: guests
lab: {provider: proxmox, placement: same-node}
topologies: [{kind: pve, network: vlan, mtu: 1400, queues: 2}]
probes: [{kind: tcp, duration_s: 2.0, warmup_s: 0.5}]
primary: tcp.goodput
blocks: 2
"""


def test_a_plan_is_measured_between_real_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's kernel at both ends, with the MTU, queues and tag that net1 asks for; gone with their VMs."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    (tmp_path / "guests.yaml").write_text(PLAN, encoding="utf-8")
    with stood(tmp_path, Emulated) as cluster:
        guests = cluster.guests
        assert isinstance(guests, Emulated)
        monkeypatch.setenv("NETTUNE_CLUSTER", cluster.site())
        done = cluster.run("run", str(tmp_path / "guests.yaml"), "--seed", "7", *cluster.store)
        assert done.returncode == 0, done.stderr
        document = json.loads(cluster.run("show", "last", "--json", *cluster.store).stdout)
        waited(lambda: guests.running == 0, 10.0)
        left = cluster.node.run(Command(("ip", "-br", "link", "show", "type", "tun"))).require().stdout

    assert {tuple(nics) for _, *nics in guests.told.values()} == {("1500", "1", "1400", "2")}
    assert all(kernel.endswith("-cloud-amd64") for kernel, *_ in guests.told.values())
    assert len(guests.told) == 2
    assert {name: count for name, count in document["trials"].items() if count} == {"done": 4}
    assert all("tag=100" in document["machine"][f"VM nettune-{end}"] for end in "ab")
    assert left == ""
