"""What a plan says of guests on Proxmox VE, and what is made of it, without a cluster: options, words, refusals."""

import contextlib
import functools
import time
from pathlib import Path
from typing import Any

import pytest

from bench import document
from bench.hosts.command import Command
from bench.labs import deploying, reading
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.pve import containers, deployment, errors, images, reached
from bench.pve.deployment import Deployment
from bench.pve.machines import Made
from bench.pve.reached import Nic
from bench.pve.wanted import Wanted
from results.errors import WrongInput
from tests.unit.bench.fakes import FakeHost

LAB = (
    "{{provider: proxmox, cluster: {cluster}, nodes: [pve1], storage: s, "
    "addresses: [192.0.2.1/24, 192.0.2.2/24], {more}}}"
)
INNER = "device_addresses: [198.51.100.1/24, 198.51.100.2/24]"
VM = Made("qemu", "pve1", 101, "nettune-a")


def lab(folder: Path, more: str) -> Deployment:
    """Of a plan's `lab`."""
    (folder / "pve.yaml").write_text("", encoding="utf-8")
    found = deploying.deployed(document.read(LAB.format(cluster=folder / "pve.yaml", more=more), "my.yaml"))
    assert isinstance(found, Deployment)
    return found


def topology(more: str) -> Topology:
    """Of a plan's `topologies`."""
    (found,) = reading.topologies(document.read(f"[{{kind: pve, bridge: vmbr0, {more}}}]", "my.yaml"))
    return found


def wanted(net: str, address: str = "192.0.2.1/24", **changed: Any) -> Wanted:  # Any: fields of Wanted
    """A container."""
    return Wanted(**{"name": "nettune-a", "node": "pve1", "source": "local:vztmpl/x.tar.zst", "storage": "s",
                     "nics": ((net, address),), "key": "ssh-ed25519 AAAA", **changed})  # fmt: skip


def test_an_image_is_a_volume_an_archive_or_a_file_here(tmp_path: Path) -> None:
    """And only that; a file by its whole path."""
    (tmp_path / "n.qcow2").write_bytes(b"")

    assert lab(tmp_path, "image: 'local:import/n.qcow2'").source == "local:import/n.qcow2"
    assert lab(tmp_path, "image: 'nfs:vztmpl/debian.tar.xz'").source == "nfs:vztmpl/debian.tar.xz"
    assert lab(tmp_path, f"image: {tmp_path}/n.qcow2").source == f"{tmp_path}/n.qcow2"
    for bad, said in (("'local:iso/n.iso'", "is no image"), (f"{tmp_path}/m.qcow2", "there is no file"),
                      (f"{tmp_path}/n.img", "is no image")):  # fmt: skip
        with pytest.raises(WrongInput, match=said):
            lab(tmp_path, f"image: {bad}")


def test_cpus_are_one_list_or_one_for_each(tmp_path: Path) -> None:
    """As Proxmox VE writes them."""
    assert lab(tmp_path, "template: 9000, affinity: [2]").pinned == ("2", "2")
    assert lab(tmp_path, 'template: 9000, affinity: ["0-1", "2,3"]').pinned == ("0-1", "2,3")
    assert lab(tmp_path, "template: 9000").pinned == ("", "")
    for bad in ("[]", "[a]", "['1-']", "[1, 2, 3]"):
        with pytest.raises(WrongInput, match="lists of a node's CPUs"):
            lab(tmp_path, f"template: 9000, affinity: {bad}")


def test_what_is_measured_in_place_of_net0_has_addresses_of_its_own() -> None:
    """A VLAN of the guest's own, or a device that is passed through; both have names in reports."""
    tagged, passed = topology(f"vlan: 20, {INNER}"), topology(f"device: ens16, {INNER}")

    assert (tagged.name, passed.name) == ("pve-vmbr0-20-tagged", "pve-vmbr0-ens16")
    assert tagged.inner == passed.inner == ("198.51.100.1/24", "198.51.100.2/24")
    for bad, said in (("vlan: 20", "need it"), (INNER, "need it"), (f"vlan: 2, device: ens16, {INNER}", "one of"),
                      ("trunks: 10-", "no list of VLANs"), ("trunks: 4095", "no list of VLANs"),
                      ("vlan: 4095", "4094")):  # fmt: skip
        with pytest.raises(WrongInput, match=said):
            topology(bad)


def test_trunks_and_all_else_stand_in_net0() -> None:
    """In the API's words; a VM's and a container's."""
    net = deployment.net(topology("trunks: 10;20-30, tag: 5, firewall: on, rate: 100, mtu: 1400"))

    assert net == "virtio,bridge=vmbr0,tag=5,firewall=1,rate=100,trunks=10;20-30,mtu=1400"
    assert containers.nics(wanted(net, gateway="192.0.2.254"))["net0"] == (
        "name=eth0,type=veth,bridge=vmbr0,tag=5,firewall=1,rate=100,trunks=10;20-30,mtu=1400,"
        "ip=192.0.2.1/24,gw=192.0.2.254"
    )
    assert containers.nics(wanted(net, address="2001:db8::1/64"))["net0"].endswith(",ip6=2001:db8::1/64")


def test_a_container_has_no_queues_no_model_and_no_cpus_of_its_choice() -> None:
    """What only VMs have is refused by name."""
    for given, said in ((wanted("virtio,bridge=vmbr0,queues=4"), "no queues"),
                        (wanted("e1000,bridge=vmbr0"), "no model e1000"),
                        (wanted("virtio,bridge=vmbr0", affinity="1"), "affinity")):  # fmt: skip
        with pytest.raises(WrongInput, match=said):
            containers.settings(given)


def test_an_address_is_another_machines_where_its_neighbour_is_not_the_vm() -> None:
    """Seen from the other end; no entry says nothing."""

    def told(mac: str) -> FakeHost:
        rows = f'[{{"dst": "192.0.2.1", "lladdr": "{mac}", "state": ["REACHABLE"]}}]' if mac else "[]"
        return FakeHost("b", lambda command: (0, rows if command.argv[0] == "ip" else ""))

    for mac in ("bc:24:11:00:00:01", "BC:24:11:00:00:01", ""):
        reached.unshared(told(mac), "eth0", "192.0.2.1", "bc:24:11:00:00:01", "VM 101")
    with pytest.raises(LabBroken, match=r"192.0.2.1 is in use: on b/eth0 it is 52:54:00:00:00:09"):
        reached.unshared(told("52:54:00:00:00:09"), "eth0", "192.0.2.1", "bc:24:11:00:00:01", "VM 101")


def _ended(code: int, _: Command) -> tuple[int, str]:
    return code, ""


def test_an_address_that_answers_already_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that does not, or that nobody can ask for, or that answers once more and then no longer, is not."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    answers = iter((0, 0, 1))
    for code in (1, 127):
        reached.free({"nettune-a": "192.0.2.1"}, FakeHost("local", functools.partial(_ended, code)).run)
    reached.free({"nettune-a": "192.0.2.1"}, FakeHost("local", lambda _: (next(answers), "")).run)
    monkeypatch.setattr(reached, "_GONE_S", 0.0)
    with pytest.raises(LabBroken, match=r"192.0.2.1 is in use: it answers, and nettune-a does not stand yet"):
        reached.free({"nettune-a": "192.0.2.1"}, FakeHost("local").run)


def test_a_vlan_of_the_guests_own_is_made_in_it() -> None:
    """On net0's device, with address and MTU of the plan."""
    links = '[{"ifname": "lo"}, {"ifname": "eth0"}, {"ifname": "eth0.20", "address": "bc:24:11:00:00:01"}]'

    def answer(command: Command) -> tuple[int, str]:
        return 0, '[{"address": "bc:24:11:00:00:01"}]' if command.argv[-1] == "eth0.20" else links

    host = FakeHost("a", answer)
    net0 = Nic("eth0", "bc:24:11:00:00:01", "virtio=BC:24:11:00:00:01,bridge=vmbr0")
    found = reached.inner(host, VM, {}, net0, topology(f"vlan: 20, {INNER}, mtu: 1400"), "198.51.100.1/24")
    (batch,) = [command.stdin for command in host.asked if command.stdin]

    assert (found.device, found.mac) == ("eth0.20", "bc:24:11:00:00:01")
    assert batch.splitlines() == ["link add link eth0 name eth0.20 type vlan id 20", "link set eth0.20 mtu 1400 up",
                                  "addr add 198.51.100.1/24 dev eth0.20"]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("MAX 4 vcpus allowed per VM on this node", "cores"),
        ("lvcreate: Volume group has insufficient free space: No space left on device", "pvesm status"),
        ("cluster not ready - no quorum?", "pvecm status"),
        ("VM is locked (backup)", "qm unlock"),
        ("can't lock file '/var/lock/qemu-server/lock-1.conf' - got timeout", "task list"),
        ("net0: netdev MTU '9000' is bigger than the bridge MTU '1500'", "mtu:"),
        ("vlan aware feature need to be enabled to use trunks at x line 1", "bridge-vlan-aware yes"),
        ("no physical interface on bridge 'vmbr1'", "bridge-vlan-aware yes"),
        ("bridge 'vmbr9' does not exist", "/network"),
        ("storage 'fast' does not exist", "pvesm status"),
        ("storage 'nfs' is not online", "pvesm status"),
        ("QEMU guest agent is not running", "qemu-guest-agent"),
        ("something else", ""),
    ],
)
def test_proxmoxs_own_words_have_a_hint(said: str, hint: str) -> None:
    """Of what they mean; of others there is none."""
    found = errors.of("POST /x", 500, said, {})

    assert said in str(found)
    assert hint in found.hint
    assert bool(found.hint) == bool(hint)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (images.FILE, "/var/lib/vz/nettune-0a0b0c0d.qcow2"),
        (images.FILE, "/etc/passwd"),
        (images.FILE, "/var/tmp/nettune-0a0b0c0e.qcow2"),  # noqa: S108 - of another lease
        (images.VOLUME, "local:import/debian.qcow2"),
        (images.VOLUME, "local:import/nettune-0a0b0c0e.qcow2"),
    ],
)
def test_only_an_image_that_carries_its_leases_id_is_taken_away(kind: str, source: str) -> None:
    """Whatever else a line of a lease names is left, and nobody is even asked."""

    def nobody(_: Path) -> Any:  # Any: neither is used
        return contextlib.nullcontext()

    assert images.reap(kind, f"{source} pve1 0a0b0c0d /etc/my cluster/pve.yaml", nobody, nobody) is False
