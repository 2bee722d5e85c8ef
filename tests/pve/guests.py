"""What stands behind the double: a VM that it starts is a namespace with an sshd on the bridge that its net0 names.

Its address is that of its cloud-init, its key too; its agent tells its host key. Stopped, it is gone.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.pve.kit import Double

DESK = "192.0.2.254"


class Guests:
    """Follows the double until it is stopped; `seen` are the ids of all that ever ran."""

    def __init__(self, double: Double, node: Namespace, folder: Path) -> None:
        self._double, self._node, self._folder = double, node, folder
        self._running: dict[str, contextlib.ExitStack] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.seen: set[str] = set()

    def __enter__(self) -> "Guests":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        for stack in self._running.values():
            stack.close()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            guests = self._double.tell("guests")
            wanted = {vmid: each["config"] for vmid, each in guests.items()
                      if each["status"] == "running" and "ipconfig0" in each["config"]}  # fmt: skip
            for vmid in self._running.keys() - wanted.keys():
                self._running.pop(vmid).close()
            for vmid in wanted.keys() - self._running.keys():
                with contextlib.ExitStack() as begun:
                    try:
                        self._start(vmid, wanted[vmid], begun)
                    except AssertionError:
                        if vmid in self._double.tell("guests"):
                            raise
                        continue  # it was removed meanwhile
                    self._running[vmid] = begun.pop_all()
                    self.seen.add(vmid)
            time.sleep(0.05)

    def _start(self, vmid: str, config: dict[str, str], stack: contextlib.ExitStack) -> None:
        host = stack.enter_context(sshd.namespace())
        net = dict(word.partition("=")[::2] for word in config["net0"].split(","))
        mac = f"bc:24:11:00:{int(vmid) // 256 % 256:02x}:{int(vmid) % 256:02x}"
        self._double.tell("configure", vmid, "net0", config["net0"].replace("virtio", f"virtio={mac.upper()}", 1))
        address = config["ipconfig0"].partition("ip=")[2].partition(",")[0]
        port = f"tap{vmid}i0"
        Local().run(Command(("ip", "-netns", host.netns, "-batch", "-"), stdin=(
            f"link add eth0 address {mac} mtu {net['mtu']} type veth peer name {port} netns {self._node.netns}\n"
            f"link set eth0 up\naddr add {address} dev eth0\n"
        ))).require()  # fmt: skip
        Local().run(Command(("ip", "-netns", self._node.netns, "-batch", "-"), stdin=(
            f"link set {port} mtu {net['mtu']}\nlink set {port} master {net['bridge']} up\n"
        ))).require()  # fmt: skip
        folder = self._folder / f"vm{vmid}-{len(self.seen)}"
        server = stack.enter_context(
            sshd.serving(host, folder, port=22, config=f"ListenAddress {address.partition('/')[0]}\n")
        )
        (folder / "authorized_keys").write_text(unquote(config["sshkeys"]) + "\n", encoding="utf-8")
        told = {"cat /etc/ssh/ssh_host_ed25519_key.pub": {"out-data": server.login.pinned}}
        self._double.tell("set", int(vmid), "agent", {"exec": told})


@contextlib.contextmanager
def desk(node: Namespace) -> Iterator[Namespace]:
    """Where nettune and the API are: on the same bridge."""
    with sshd.namespace() as found:
        for where, lines in (
            (node, "link add vmbr0 type bridge\nlink set vmbr0 up\n"),
            (found, f"link add eth0 type veth peer name desk netns {node.netns}\nlink set eth0 up\n"),
            (found, f"addr add {DESK}/24 dev eth0\n"),
            (node, "link set desk master vmbr0 up\n"),
        ):
            Local().run(Command(("ip", "-netns", where.netns, "-batch", "-"), stdin=lines)).require()
        yield found
