"""Real guests behind the double of Proxmox VE: a VM that it starts is a QEMU guest of the toolkit's image.

It runs in the namespace of its node, on a tap for each netN, with the queues and the MTU that it asks for, on the
bridge of its tag; its addresses and its key are those of its cloud-init, and its own agent tells its host key.
"""

import contextlib
import threading
from typing import Any
from urllib.parse import unquote

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from bench.images import cache
from bench.pve.containers import HOST_KEY
from nettune.places import places
from tests.pve.guests import Guests, Nic, ip
from tests.vm import proxmox
from tests.vm.booted import MANAGEMENT, booted, keys

_ASKED = "uname -r; for nic in /sys/class/net/eth*; do cat $nic/mtu; ls $nic/queues | grep -c rx; done"


class Emulated(Guests):
    """See Guests. Each boots in a thread of its own, so that two of them boot at the same time."""

    def __init__(self, *given: Any) -> None:  # Any: as Guests
        super().__init__(*given)
        self.told: dict[str, list[str]] = {}  # by VM, what its agent says of its kernel, and MTU and queues of each NIC

    def _start(self, vmid: str, guest: dict[str, Any], stack: contextlib.ExitStack) -> None:  # Any: JSON
        config, node, over = guest["config"], self.nodes[guest["node"]], threading.Event()
        nics, words = [f"{MANAGEMENT} mgmt0"], ["-smp", str(config.get("cores", 1))]
        for number, nic in enumerate(self._nics(vmid, guest)):
            words += _plugged(stack, node, nic, f"tap{vmid}i{number}")
            nics.append(f"{nic.mac} eth{number} {nic.address}")
        folder = self._folder / f"vm{vmid}-{config['description'].split()[-1]}"  # its host key stays over starts
        if not folder.exists():
            folder.mkdir()
            keys(folder)
        files = {
            **{f"etc/ssh/ssh_host_ed25519_key{end}": (folder / f"host{end}").read_bytes() for end in ("", ".pub")},
            "etc/hostname": f"{guest['name']}\n".encode(),
            "etc/nettune/nics": ("\n".join(nics) + "\n").encode(),
            "root/.ssh/authorized_keys": f"{unquote(config['sshkeys'])}\n".encode(),
        }

        def live() -> None:
            image = cache.built(places().cache, Local(), print)
            with booted(image, folder, files, more=tuple(words), on=node) as machine:
                self._answer(vmid, proxmox.Machine(vmid, folder, machine.port))
                over.wait()

        thread = threading.Thread(target=live)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)

    def _answer(self, vmid: str, machine: proxmox.Machine) -> None:
        told = {f"cat {HOST_KEY}": {"out-data": machine.host_key}}
        with contextlib.suppress(AssertionError):  # it was removed meanwhile
            self._double.tell("set", int(vmid), "agent", {"exec": told})
            self.told[vmid] = machine.told("/usr/bin/sh", "-c", _ASKED).split()


def _plugged(stack: contextlib.ExitStack, node: Namespace, nic: Nic, tap: str) -> list[str]:
    """QEMU's words for a NIC whose tap is in its bridge until the stack closes."""
    kind = "tap multi_queue" if nic.queues > 1 else "tap"
    ip(node, f"tuntap add {tap} mode {kind}\nlink set {tap} mtu {nic.mtu} master {nic.bridge} up\n")
    stack.callback(Local().run, Command(("ip", "-netns", node.netns, "link", "delete", tap)))
    back = f"tap,id={tap},ifname={tap},script=no,downscript=no"
    front = f"virtio-net-pci,netdev={tap},mac={nic.mac},host_mtu={nic.mtu},romfile="
    if nic.queues > 1:  # as qemu-server does: a vector for both rings of each, for control and for configuration
        back, front = f"{back},queues={nic.queues}", f"{front},mq=on,vectors={2 * nic.queues + 2}"
    return ["-netdev", back, "-device", front]
