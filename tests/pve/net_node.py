"""A node behind the double: a tree with ifupdown2, a namespace with its NICs and guests' ports, and an sshd in both."""

import contextlib
import functools
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.namespace import Namespace, _enter_net
from tests.netns import exported_root, sshd
from tests.pve.kit import Double

NODE = "pve1"
PACKAGES = ("ifupdown2", "iproute2", "ethtool", "procps", "iputils-ping")
# As a person writes it: Proxmox VE's own writing of the same differs in every stanza.
INTERFACES = """\
# the rack's second node
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
    address 192.0.2.1
    netmask 255.255.255.0
    bridge_ports eno1
    bridge_stp off
    bridge_fd 0
#made by nettune, lease 00000000

auto vmbr7
iface vmbr7 inet manual
    bridge_ports none
    bridge_stp off
    bridge_fd 0
#made by hand, like nettune's

source /etc/network/interfaces.d/*
"""
# What guests have in a bridge stays there with Proxmox VE's ifupdown2; with Debian's a reload unplugs it. Its check
# complains of them, as Debian's does.
PLAIN = "bridgeportscondoneregex = self._get_bridge_port_condone_regex(ifaceobj)"
CONDONED = f'{PLAIN} or re.compile("tap|fwpr|veth")'
GUESTS = {"tap900i0": "vmbr0", "fwpr901p0": "vmbr0", "veth902i0": "vmbr7"}
_NICS = ("eno1", "eno3", "eno4")


@dataclass(frozen=True)
class NetNode:
    """One that stands."""

    host: Namespace
    root: Path
    login: Login

    @property
    def file(self) -> Path:
        """Its /etc/network/interfaces."""
        return self.root / "etc/network/interfaces"

    def inside(self, line: str) -> Outcome:
        """A line of shell on the node."""
        return exported_root.inside(self.host, self.root, line)

    def masters(self) -> dict[str, str]:
        """Where every device is plugged in."""
        return dict(re.findall(r"^\d+: ([^@:]+)[^\n]* master (\S+)", self.inside("ip -o link").stdout, re.MULTILINE))

    def devices(self) -> set[str]:
        """All of them."""
        return set(self.inside("ls /sys/class/net").stdout.split())

    def state(self) -> tuple[str, dict[str, str], set[str], list[str]]:
        """All that a network which is gone must leave as it was: file, ports, devices, what we keep there."""
        places = [self.root / "var/lib/nettune" / each for each in ("networks", "guard")]
        left = [str(path) for place in places if place.exists() for path in place.iterdir() if path.name != "lock"]
        left += [str(path) for path in self.file.parent.glob("interfaces?*") if path.name != "interfaces.d"]
        return self.file.read_text(encoding="utf-8"), self.masters(), self.devices(), left


def condone(root: Path, *, on: bool) -> None:
    """Whether a reload there leaves guests where they are."""
    path = root / "usr/share/ifupdown2/addons/bridge.py"
    text = path.read_text(encoding="utf-8").replace(CONDONED, PLAIN)
    assert PLAIN in text
    path.write_text(text.replace(PLAIN, CONDONED if on else PLAIN), encoding="utf-8")


@contextlib.contextmanager
def standing(root: Path, folder: Path, listen: str = "127.0.0.1") -> Iterator[NetNode]:
    """A node with its network up and guests' ports in its bridges; the tree is as it was made.

    `listen` is the address of its sshd, beside that of its loopback.
    """
    shutil.rmtree(root / "var/lib/nettune", ignore_errors=True)
    for path in (root / "etc/network").rglob("*"):
        if path.parent.name == "interfaces.d" or path.name.startswith("interfaces."):
            path.unlink() if path.is_file() else None
    (root / "etc/network/interfaces").write_text(INTERFACES, encoding="utf-8")
    with sshd.namespace() as host:
        exported_root.entered(host, root)
        lines = [f"link add {nic} type veth peer name up-{nic}\nlink set up-{nic} up" for nic in _NICS]
        lines += [f"link add {port} type veth peer name in-{port}\nlink set in-{port} up" for port in GUESTS]
        host.run(Command(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n")).require()
        # Its sessions are in the tree; a folder of a chroot may be nobody's but root's, which pytest's is not.
        host.run(Command(("mount", "--rbind", str(root), "/mnt"))).require()
        condone(root, on=True)
        exported_root.inside(host, root, "mkdir -p /run/network; ifreload -a").require()
        with sshd.serving(host, folder, config=f"ChrootDirectory /mnt\nListenAddress {listen}\n") as found:
            node = NetNode(host, root, found.login)
            plugged = "".join(f"link set {port} master {bridge} up\n" for port, bridge in GUESTS.items())
            host.run(Command(("ip", "-batch", "-"), stdin=plugged)).require()
            yield node


def told(double: Double, node: NetNode, name: str = NODE) -> None:
    """The double knows of the node."""
    pid = pid_of(node.host.netns)
    enter = ["nsenter", f"--target={pid}", "--net", "--mount", "--root", "--wd", "--", "chroot", str(node.root), "env",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "sh", "-c"]  # fmt: skip
    double.tell("network", name, enter)


def pid_of(netns: str) -> int:
    """A process that lives in the namespace as long as it is entered."""
    return int(Local().run(Command(("ip", "netns", "pids", netns))).require().stdout.split()[0])


def dial(pid: int, address: str, port: int) -> socket.socket:
    """A connection made from inside the namespace of a process."""
    made: list[socket.socket | OSError] = []

    def inside() -> None:
        try:
            _enter_net(pid)
            made.append(socket.create_connection((address, port), timeout=5.0))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def dialer(netns: str) -> Callable[[str, int], socket.socket]:
    """See dial."""
    return functools.partial(dial, pid_of(netns))
