"""What stands behind the double: a guest that it starts is a namespace with an sshd, a NIC for each netN of it.

Its addresses are those of its cloud-init, its key too; its agent tells its host key. A container has its addresses in
netN, its key from the API or by `pct exec`, and its files over ours. Stopped, it is gone. Its node is a namespace with
the bridges that the NICs name. A tag is a bridge of its own there, as Proxmox VE makes them where a bridge is not
VLAN-aware (this kernel has none that are); vx1 is one of an SDN zone, over VXLAN to the other node, nat0 one with SNAT.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from bench.pve import vnic
from bench.pve.containers import HOST_KEY
from tests.netns import sshd
from tests.pve.kit import Double

DESK, NODE = "192.0.2.254", "192.0.2.253"  # NODE: of the first one
PASSED = "ens16"  # what a VM with hostpci0 has, on a bridge of its own
_SNAT = """\
table ip nat {
  chain post { type nat hook postrouting priority 100; ip saddr 10.9.0.0/24 oifname vmbr0 masquerade; }
}
"""


@dataclass(frozen=True)
class Nic:
    """A netN: its MAC, the bridge it is plugged into, MTU, queues, and its address with a prefix length."""

    mac: str
    bridge: str
    mtu: str
    queues: int
    address: str


class Guests:
    """Follows the double until it is stopped; `seen` are the ids of all that ever ran."""

    def __init__(self, double: Double, nodes: Mapping[str, Namespace], folder: Path) -> None:
        self._double, self.nodes, self._folder = double, nodes, folder
        self._running: dict[tuple[str, float], contextlib.ExitStack] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.seen: set[str] = set()
        self.hosts: dict[str, Namespace] = {}  # by id, where each ran last
        self.off: tuple[str, ...] = ()  # features that a template left off, of those that start from now on
        self.silent = False  # those that start from now on answer nobody
        self.unleased = False  # their agents tell addresses of their own making alone
        self.backwards = False  # the last NIC of those that start from now on is plugged in first
        self.mute = False  # their agents do not tell their host keys
        self.starts = 0

    def __enter__(self) -> "Guests":
        self._double.tell("set", 0, "followed", True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        for stack in self._running.values():
            stack.close()

    @property
    def running(self) -> int:
        """How many stand now."""
        return len(self._running)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            guests = self._double.tell("guests")
            wanted = {(vmid, each["since"]): each for vmid, each in guests.items() if each["status"] == "running"
                      and ("ipconfig0" in each["config"] or ",ip=" in each["config"].get("net0", ""))}  # fmt: skip
            for start in self._running.keys() - wanted.keys():
                self._running.pop(start).close()
                with contextlib.suppress(AssertionError):  # it was removed
                    self._double.tell("set", int(start[0]), "closing", False)
            for start in wanted.keys() - self._running.keys():
                vmid = start[0]
                with contextlib.ExitStack() as begun:
                    try:
                        self._start(vmid, wanted[start], begun)
                    except AssertionError:
                        if vmid in self._double.tell("guests"):
                            raise
                        continue  # it was removed meanwhile
                    self._running[start] = begun.pop_all()
                    self.starts += 1
                    self.seen.add(vmid)
            time.sleep(0.05)

    def _start(self, vmid: str, guest: dict[str, Any], stack: contextlib.ExitStack) -> None:  # Any: JSON
        host, node = stack.enter_context(sshd.namespace()), self.nodes[guest["node"]]
        self.hosts[vmid] = host
        config, container = guest["config"], guest["kind"] == "lxc"
        nics = list(enumerate(self._nics(vmid, guest)))
        for number, nic in reversed(nics) if self.backwards else nics:
            port = f"{'veth' if container else 'tap'}{vmid}i{number}"
            how = f"address {nic.mac} mtu {nic.mtu}"
            stack.enter_context(_plugged((host, node), port, f"eth{number}", nic.bridge, how))
            ip(host, f"addr add {nic.address} dev eth{number}\n")
            for feature in self.off:
                host.run(Command(("ethtool", "-K", f"eth{number}", feature, "off"))).require()
        if "hostpci0" in config:
            stack.enter_context(_plugged((host, node), f"vf{vmid}", PASSED, "fabric", ""))
        if not self.silent:
            self._serve(vmid, guest, host, stack)

    def _nics(self, vmid: str, guest: dict[str, Any]) -> Iterator[Nic]:  # Any: JSON
        """Each netN, its bridge made where the node has none of that name."""
        config, node = guest["config"], self.nodes[guest["node"]]
        for number in range(sum(key.startswith("net") for key in config)):
            net = dict(word.partition("=")[::2] for word in config[f"net{number}"].split(","))
            mac = net["hwaddr"] if guest["kind"] == "lxc" else vnic.parse(config[f"net{number}"]).option("macaddr")
            bridge = net["bridge"] + (f"v{net['tag']}" if "tag" in net else "")
            if not Local().run(Command(("ip", "-netns", node.netns, "link", "show", bridge))).ok:
                self._trunk(bridge)
            yield Nic(mac.lower(), bridge, net.get("mtu", "1500"), int(net.get("queues", 1)),
                      _address(vmid, config, number))  # fmt: skip

    def _serve(self, vmid: str, guest: dict[str, Any], host: Namespace, stack: contextlib.ExitStack) -> None:
        config, container = guest["config"], guest["kind"] == "lxc"
        folder = self._folder / f"vm{vmid}-{config['description'].split()[-1]}"  # its host key stays over starts
        at = _address(vmid, config, 0)
        listens = f"ListenAddress {at.partition('/')[0]}\n"
        if container:
            for place in ("/etc/ssh", "/root"):
                host.run(Command(("mount", "-t", "tmpfs", "none", place))).require()
            listens += f"AuthorizedKeysFile {folder}/authorized_keys %h/.ssh/authorized_keys\n"
        server = stack.enter_context(sshd.serving(host, folder, port=22, config=listens))
        keys = guest["ssh-public-keys"] if container else unquote(config["sshkeys"])
        (folder / "authorized_keys").write_text(keys + "\n", encoding="utf-8")
        if container:
            host.run(Command(("tee", HOST_KEY), stdin=server.login.pinned)).require()
            pid = self._folder / f"ct{vmid}.pid"
            pid.write_text(str(server.process.pid), encoding="ascii")
            stack.callback(pid.unlink)
            return
        if self.mute:
            return
        told = {f"cat {HOST_KEY}": {"out-data": server.login.pinned}}
        mac = vnic.parse(config["net0"]).option("macaddr").lower()
        address, _, prefix = at.partition("/")
        address = "169.254.1.2" if self.unleased else address
        has = [{"ip-address": address, "ip-address-type": "ipv4", "prefix": int(prefix)}]
        nics = [{"name": "lo"}, {"name": "eth0", "hardware-address": mac, "ip-addresses": has}]
        self._double.tell("set", int(vmid), "agent", {"exec": told, "interfaces": nics})

    def _trunk(self, bridge: str) -> None:
        """A bridge of that name on every node, and a wire between them: a VLAN on the switch."""
        nodes = list(self.nodes.values())
        for node in nodes:
            ip(node, f"link add {bridge} type bridge\nlink set {bridge} up\n")
        for one, other in itertools.pairwise(nodes):
            ip(one, f"link add up-{bridge} type veth peer name up-{bridge} netns {other.netns}\n")
            for node in (one, other):
                ip(node, f"link set up-{bridge} master {bridge} up\n")


@contextlib.contextmanager
def _plugged(ends: tuple[Namespace, Namespace], port: str, device: str, bridge: str, how: str) -> Iterator[None]:
    """A device of a guest, at a bridge of its node. It goes at once; a namespace's devices go when it likes."""
    host, node = ends
    ip(host, f"link add {device} {how} type veth peer name {port} netns {node.netns}\nlink set {device} up\n")
    mtu = how.partition("mtu ")[2] or "1500"
    # As PVE::Network does to a tap: it has no address of its own.
    node.run(Command(("tee", f"/proc/sys/net/ipv6/conf/{port}/disable_ipv6"), stdin="1")).require()
    ip(node, f"link set {port} mtu {mtu}\nlink set {port} master {bridge} up\n")
    yield
    Local().run(Command(("ip", "-netns", node.netns, "link", "delete", port)))


def ip(host: Namespace, lines: str) -> None:
    """What iproute2 does there."""
    Local().run(Command(("ip", "-netns", host.netns, "-batch", "-"), stdin=lines)).require()


def _address(vmid: str, config: dict[str, str], number: int) -> str:
    """Of its cloud-init; one that it has by DHCP is of its id."""
    given = config.get(f"ipconfig{number}") or config[f"net{number}"]
    address = f",{given}".partition(",ip=")[2].partition(",")[0]
    return f"192.0.2.{100 + int(vmid) % 100}/24" if address == "dhcp" else address


@contextlib.contextmanager
def site(nodes: Mapping[str, Namespace]) -> Iterator[Namespace]:
    """Where nettune and the API are; vmbr0 of all nodes is one network, and so is the SDN's vx1."""
    with sshd.namespace() as found:
        ip(found, f"link add br0 type bridge\nlink set br0 up\naddr add {DESK}/24 dev br0\n")
        # Guests that boot in no time: the MACs of those before them are not believed for half a minute.
        sooner = ("base_reachable_time_ms=500", "delay_first_probe_time=1", "retrans_time_ms=200")
        found.run(Command(("sysctl", "-q", *(f"net.ipv4.neigh.br0.{each}" for each in sooner)))).require()
        for number, (name, node) in enumerate(nodes.items(), 1):
            here, other = f"10.99.0.{number}", f"10.99.0.{len(nodes) + 1 - number}"
            for bridge in ("vmbr0", "fabric", "vx1", "nat0"):
                ip(node, f"link add {bridge} type bridge\nlink set {bridge} up\n")
            ip(found, f"link add {name} type veth peer name uplink netns {node.netns}\nlink set {name} master br0 up\n")
            ip(node, f"link set uplink master vmbr0 up\naddr add {here}/24 dev vmbr0\n"
                     f"link add vxlan1 type vxlan id 1 local {here} remote {other} dstport 4789\n"
                     "link set vxlan1 mtu 1450 master vx1 up\naddr add 10.9.0.1/24 dev nat0\n"
                     f"addr add 198.51.100.{number}/24 dev vmbr0\n")  # fmt: skip
            if number == 1:
                ip(node, f"addr add {NODE}/24 dev vmbr0\n")
            node.run(Command(("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))).require()
            node.run(Command(("nft", "-f", "-"), stdin=_SNAT)).require()
        yield found
