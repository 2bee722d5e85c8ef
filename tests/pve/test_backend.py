"""Which program filters on a node under test VMs: turned by its SSH, waited for, taken by a new start of the VMs, back.

The node is the namespace of test_node; what stands in for proxmox-firewall has its table as long as host.fw says so.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench.hosts.command import Command
from tests.netns.pve_node import HOST_FW
from tests.netns.standing_hosts import guards, waited
from tests.pve.test_node import Cluster, cluster

__all__ = ["cluster"]  # a fixture

_STANDS = """\
mount -t tmpfs none /mnt && cp -a /etc /mnt && mount --bind /mnt/etc /etc && umount -l /mnt
mount -t tmpfs none /usr/local/bin
mkdir -p /etc/pve/nodes/pve1/qemu-server /etc/pve/firewall /run/qemu-server
ln -s nodes/pve1 /etc/pve/local
printf '[OPTIONS]\\nenable: 1\\n' >/etc/pve/firewall/cluster.fw
cat >/etc/pve/local/host.fw
: >/run/active
printf '#!/bin/sh\\n' >/usr/local/bin/pveversion
printf '#!/bin/sh\\n[ -e /run/active ]\\n' >/usr/local/bin/systemctl
chmod +x /usr/local/bin/*
"""
_DAEMON = """\
while sleep 0.2; do
  if grep -q '^nftables: 1' /etc/pve/local/host.fw; then nft add table inet proxmox-firewall
  else nft delete table inet proxmox-firewall 2>/dev/null; fi
done
"""
_FOREIGN = """\
echo 'net0: virtio=BC:24:11:00:00:09,bridge=vmbr0,firewall=1' >/etc/pve/local/qemu-server/777.conf
echo 1 >/run/qemu-server/777.pid  # of a process that runs
"""


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whose node is one with both programs."""
    cluster.node.run(Command(("sh", "-c", _STANDS), stdin=HOST_FW)).require()
    with cluster.node.start(Command(("sh", "-c", _DAEMON), deadline_s=1e6)) as daemon, contextlib.ExitStack() as stack:
        stack.callback(daemon.stop)
        yield cluster


def measured(node: Cluster) -> dict[str, Any]:
    """What a run with both backends tells; the host.fw of the node is as it was."""
    done = node.run("run", node.plan("{nftables: {pve-nftables: on}}", blocks=2), "--seed", "7")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(node.run("show", "last", "--json").stdout)

    assert inside(node, "cat /etc/pve/local/host.fw") == HOST_FW
    assert guards(node.node) == []
    return document


def inside(node: Cluster, line: str) -> str:
    """What a line of shell prints on the node."""
    return node.node.run(Command(("sh", "-c", line))).stdout


def test_both_backends_are_measured_on_vms_that_were_started_with_them(node: Cluster) -> None:
    """The option is set, proxmox-firewall has taken over, and all is back afterwards to the byte."""
    document = measured(node)

    assert document["skipped"] == []
    starts = sum(path.endswith("/status/start") for _, path in node.double.tell("requests"))

    assert {each["treatment"] for each in document["treatments"]} == {"nftables"}
    assert {word: count for word, count in document["trials"].items() if count} == {"done": 6}
    assert starts >= 2 + 2 * 2 * 3  # at first; with each backend once to be asked, and in each of two blocks
    waited(lambda: "proxmox-firewall" not in inside(node, "nft list tables"), 5)


def test_guests_of_others_with_a_firewall_keep_their_backend(node: Cluster) -> None:
    """The treatment is skipped with that reason, and the rest is measured."""
    inside(node, _FOREIGN)
    document = measured(node)

    assert [each["cell"] for each in document["skipped"]] == ["pve-vmbr0/nftables"]
    assert "would filter guests of others on pve1 meanwhile: VM 777" in document["skipped"][0]["reason"]
