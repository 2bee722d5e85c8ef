"""A node behind the double that is a guest: ifupdown2 on Debian's kernel, with bonds, VLANs of bridges and VXLAN."""

import contextlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.images import cache
from nettune.places import places
from tests.pve import net_node, sdn_file
from tests.pve.kit import Double
from tests.vm.booted import MANAGEMENT, booted, keys

NICS = {"eno1": "52:54:00:6e:74:11", "eno3": "52:54:00:6e:74:13", "eno4": "52:54:00:6e:74:14"}
AWARE, PLAIN = "vmbr7", "vmbr0"  # the bridge that passes VLANs, and the one that does not
INTERFACES = """\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
    address 192.0.2.1/24
    bridge_ports eno1
    bridge_stp off
    bridge_fd 0

auto vmbr7
iface vmbr7 inet manual
    bridge_ports none
    bridge_stp off
    bridge_fd 0
    bridge_vlan_aware yes
    bridge_vids 2-100

source /etc/network/interfaces.d/*
"""
_TAR = "etc/nettune/ifupdown2.tar"  # in the guest
_PROGRAM = "/usr/share/ifupdown2/__main__.py"  # that its postinst makes executable
# What Proxmox VE's ifupdown2 has changed: guests' ports stay in their bridges (net_node), and several of these may pass
# VLANs (its patch "config tuning"; Debian's passes over all but one, without failing).
_AS_PROXMOX = (
    f"sed -i {shlex.quote(f's/{net_node.PLAIN}/{net_node.CONDONED}/')} /usr/share/ifupdown2/addons/bridge.py && "
    "sed -i s/^multiple_vlan_aware_bridge_support=0/multiple_vlan_aware_bridge_support=1/ "
    "/etc/network/ifupdown2/ifupdown2.conf"
)
_ALL = ("ip -d -j link show", "ip -j address show", "bridge -j vlan show", "ip -j -4 route show table all")
_FILES = "find /etc/network /var/lib/nettune ! -type d ! -name lock ! -path '*/ifupdown2/*' -exec sha256sum --tag {} +"


@dataclass(frozen=True)
class NodeGuest:
    """One that stands."""

    login: Login
    enter: tuple[str, ...]  # the words before a line of shell there

    def inside(self, line: str) -> Outcome:
        """A line of shell on the node."""
        return Local().run(Command((*self.enter, line), deadline_s=60.0))

    def state(self) -> set[str]:
        """All of its network, a word each: files, what we keep there, devices, addresses, VLANs of ports, routes."""
        told = self.inside("; ".join((*_ALL, _FILES, "true"))).require().stdout.splitlines()
        found = set(told[len(_ALL) :])
        for line, rows in zip(_ALL, told, strict=False):
            for row in json.loads(rows):
                found |= {f"{line} {word}" for word in _words(row, str(row.get("ifname", "")))}
        return found


# Of a bridge operstate becomes UP when the kernel's link watch gets to it; `flags` have what matters.
_PASSING = {"tentative", "operstate"}


def _words(value: object, path: str) -> Iterator[str]:
    """Every value below a path, without what passes by itself."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not key.endswith("_timer") and key not in _PASSING:
                yield from _words(each, f"{path}/{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _words(each, path)
    else:
        yield f"{path} {value}"


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[NodeGuest]:
    """A guest with ifupdown2, its network up, and guests' ports in its bridges; the one in vmbr7 has VLAN 30, too."""
    lines = [f"{MANAGEMENT} mgmt0 10.0.2.15/24", *(f"{mac} {name}" for name, mac in NICS.items())]
    files = {
        **keys(folder),
        "etc/hostname": f"{net_node.NODE}\n".encode(),
        "etc/nettune/nics": ("\n".join(lines) + "\n").encode(),
        "etc/network/interfaces": INTERFACES.encode(),
        "etc/network/interfaces.d/sdn": sdn_file.written({}, {}, {}, (), ()).encode(),  # that its apply writes anew
        _TAR: _package(folder),
    }
    image = cache.built(places().cache, Local(), print)
    with booted(image, folder, files, tuple(NICS.values()), more=("-smp", "2")) as guest:
        # One connection for all: a login takes a second on an emulated processor.
        *options, target = guest.login
        shared = (*options, "-S", str(folder / "ssh"), target)
        with Local().start(Command((*options, "-M", "-N", "-S", str(folder / "ssh"), target), deadline_s=1e6)):
            node = NodeGuest(
                Login("127.0.0.1", guest.port, keys=(folder / "user",),
                      pinned=(folder / "host.pub").read_text(encoding="utf-8")),
                shared,
            )  # fmt: skip
            node.inside(f"tar -x --keep-directory-symlink -C / -f /{_TAR} && chmod 755 {_PROGRAM}").require()
            node.inside(_AS_PROXMOX).require()
            # A NIC that was never up has no qdisc, and has one ever after.
            node.inside("for nic in eno3 eno4; do ip link set $nic up; ip link set $nic down; done").require()
            # Twice: the second one sets what the first has left to the kernel, like mcast_hash_max of every bridge.
            node.inside("mkdir -p /run/network && ifreload -a && ifreload -a").require()
            node.inside("set -e\n" + "".join(
                f"ip link add {port} type veth peer name in-{port}\nip link set in-{port} up\n"
                f"ip link set {port} master {bridge} up\n" for port, bridge in net_node.GUESTS.items()
            ) + "bridge vlan add dev veth902i0 vid 30").require()  # fmt: skip
            yield node


def _package(folder: Path) -> bytes:
    """The files of Debian's ifupdown2; it needs Python and iproute2, which the guests' image has."""
    Local().run(
        Command(("env", "-C", str(folder), "apt-get", "-qq", "download", "ifupdown2"), deadline_s=120.0)
    ).require()
    (package,) = folder.glob("ifupdown2_*.deb")
    words = ("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" >"$2"', "sh", str(package), str(folder / "ifupdown2.tar"))
    Local().run(Command(words)).require()
    return (folder / "ifupdown2.tar").read_bytes()


def told(double: Double, node: NodeGuest) -> None:
    """The double knows of the node."""
    double.tell("network", net_node.NODE, list(node.enter))
