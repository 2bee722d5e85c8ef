"""The guest image, built (or found) and booted for real."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hosts.local import Local
from bench.images import cache
from nettune.places import places
from tests.vm.booted import MANAGEMENT, Guest, booted, keys

TOOLS = """
iperf3 irtt sockperf wrk haproxy ethtool ip bridge tc nft ss conntrack ping tcpdump
sysctl modinfo nsenter unshare setpriv ps python3 qemu-ga poweroff
"""
MODULES = """
8021q bonding bridge br_netfilter veth tun dummy ifb macvlan vxlan virtio_net pktgen tcp_bbr
sch_netem sch_fq sch_tbf sch_htb sch_fq_codel sch_ingress nft_masq nft_nat nft_ct nf_conntrack nf_nat
"""


@pytest.fixture(scope="session")
def image() -> cache.Image:
    """The image of this recipe; a minute and 85 MB of downloads where it was not built before."""
    return cache.built(places().cache, Local(), print)


@pytest.fixture(scope="module")
def guest(image: cache.Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest with two NICs besides the management's, whose names the kernel would give the other way round."""
    folder = tmp_path_factory.mktemp("guest")
    nics = f"{MANAGEMENT} mgmt0 10.0.2.15/24\n52:54:00:6e:74:02 eth1\n52:54:00:6e:74:03 eth0\n"
    files = {**keys(folder), "etc/nettune/nics": nics.encode(), "etc/nettune/modules": b"bonding max_bonds=1\n"}
    with booted(image, folder, files, ("52:54:00:6e:74:02", "52:54:00:6e:74:03")) as running:
        yield running


def test_a_guest_says_that_it_is_ready_and_answers_with_its_own_host_key(guest: Guest) -> None:
    """One line on the console; its name is the seed's; nothing of the machine that built it is there."""
    said = guest.console.read_text(encoding="utf-8", errors="replace")
    answer = guest.ssh("cat /proc/sys/kernel/hostname; ls /etc/ssh/ssh_host* /etc/apt /etc/resolv.conf /etc/machine-id")

    assert [line for line in said.splitlines() if "nettune:" in line] == ["nettune: ready"]
    assert answer.stdout.splitlines() == [
        "guest-a",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ed25519_key.pub",
        "",
        "/etc/apt:",
    ]


def test_a_guests_nics_have_the_names_that_the_seed_gives_their_macs(guest: Guest) -> None:
    """Only the one with an address is up."""
    links = json.loads(guest.ssh("ip -j address").require().stdout)
    found = {
        link["ifname"]: (
            link["address"],
            "UP" in link["flags"],
            [each["local"] for each in link["addr_info"] if each["family"] == "inet"],
        )
        for link in links
        if link["ifname"] != "bond0"
    }

    assert found == {
        "lo": ("00:00:00:00:00:00", True, ["127.0.0.1"]),
        "mgmt0": (MANAGEMENT, True, ["10.0.2.15"]),
        "eth1": ("52:54:00:6e:74:02", False, []),
        "eth0": ("52:54:00:6e:74:03", False, []),
    }


def test_a_guest_has_the_tools_and_the_modules(guest: Guest) -> None:
    """Everything that a lab drives; loading a module makes no device, but for what the seed asked of bonding."""
    tools = guest.ssh(f"for t in {' '.join(TOOLS.split())}; do command -v $t >/dev/null || echo no $t; done")
    modules = guest.ssh(f"for m in {' '.join(MODULES.split())}; do modprobe $m || echo no $m; done; ls /sys/class/net")

    assert (tools.stdout, tools.stderr) == ("", "")
    assert modules.stderr == ""
    assert modules.stdout.splitlines() == ["bond0", "bonding_masters", "eth0", "eth1", "lo", "mgmt0"]


def test_a_guest_can_stand_what_a_lab_stands(guest: Guest) -> None:
    """A namespace with a VLAN on a bond on veth, netem below, nft rules, whole Python, and files that are writable."""
    lines = (
        "ip netns add n",
        "ip -n n link add b0 type bond mode 802.3ad",
        "ip -n n link add v0 type veth peer name v1",
        "ip -n n link set v0 master b0",
        "ip -n n link add link b0 name b0.10 type vlan id 10",
        "tc -n n qdisc add dev v1 root netem delay 1ms",
        "ip netns exec n nft add table inet t",
        'python3 -c \'import asyncio, ctypes, json, sqlite3, ssl, uuid; open("/srv/x", "w").write("x")\'',
        "test -c /dev/ptmx && test -d /dev/shm && test -w /tmp && test -e /dev/fd/0",
    )
    answer = guest.ssh(" && ".join(lines))

    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_guests_agent_answers(guest: Guest) -> None:
    """Through the port that QEMU gave it."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(60)
        agent.connect(str(guest.folder / "agent"))
        agent.sendall(b'{"execute": "guest-ping"}\n')

        assert json.loads(agent.makefile().readline()) == {"return": {}}


def test_poweroff_ends_a_guest(image: cache.Image, tmp_path: Path) -> None:
    """A guest whose seed names no NIC is ready too; the agent can still be told to end it."""
    with booted(image, tmp_path, keys(tmp_path)) as running:
        assert "nettune: ready" in running.console.read_text(encoding="utf-8", errors="replace")
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(60)
            agent.connect(str(running.folder / "agent"))
            agent.sendall(b'{"execute": "guest-shutdown"}\n')

            assert agent.recv(1) == b""  # QEMU closed it: -no-reboot, and no guest is left


REFUSED = {
    "a NIC that is not plugged in": ("etc/nettune/nics", b"52:54:00:00:00:99 eth0\n", "0 of the 1 NICs"),
    "a module that is not there": ("etc/nettune/modules", b"# one\ne1000e\n", "no kernel module e1000e"),
    "no host key": ("etc/ssh/ssh_host_ed25519_key", b"", "the seed has no etc/ssh/ssh_host_ed25519_key"),
    "a broken host key": ("etc/ssh/ssh_host_ed25519_key", b"no key\n", "sshd does not listen: "),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("path", "content", "problem"), REFUSED.values(), ids=REFUSED)
def test_a_guest_that_is_not_what_its_seed_says_says_why(
    image: cache.Image, tmp_path: Path, path: str, content: bytes, problem: str
) -> None:
    """On the console, in one line; and it never says that it is ready."""
    with booted(image, tmp_path, {**keys(tmp_path), path: content}) as running:
        said = running.console.read_text(encoding="utf-8", errors="replace")

        assert f"nettune: failed: {problem}" in said
        assert "nettune: ready" not in said
