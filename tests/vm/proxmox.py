"""Virtual machines as Proxmox VE makes them of the disk image: its firmware, disks, agent and cloud-init drive."""

import base64
import contextlib
import hashlib
import json
import math
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.facts.sheet import Difference, FactSheet, differences
from bench.hosts.command import Command
from bench.hosts.host import Running
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.images.cache import Image

ADDRESS, GATEWAY = "10.0.2.15", "10.0.2.2"  # on QEMU's user network
CONTROL, DATA = "52:54:00:6e:74:01", "52:54:00:6e:74:02"
WATCHDOG_S = 300.0  # 45 s with a core of its own
# Sized by the pages that are free while a kernel boots, of which there is one more or less at the next boot.
_SIZED = {"sysctl/net.ipv4.tcp_rmem", "sysctl/net.ipv4.inet_peer_threshold"}
_OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"
# What `ciuser`, `sshkeys`, `ipconfig0` and `ciupgrade 0` make (qemu-server, PVE/QemuServer/Cloudinit.pm of 0337d531).
_USER = """\
#cloud-config
hostname: {name}
manage_etc_hosts: true
user: root
disable_root: False
ssh_authorized_keys:
  - {key}
chpasswd:
  expire: False
package_upgrade: false
"""
_NIC = """\
    - type: physical
      name: eth{number}
      mac_address: '{mac}'
      subnets:
      - type: static
        address: '{address}'
        netmask: '255.255.255.0'
"""
_NETWORK = f"""\
version: 1
config:
{_NIC.format(number=0, mac=CONTROL, address=ADDRESS)}        gateway: '{GATEWAY}'
{_NIC.format(number=1, mac=DATA, address="192.0.2.1")}      - type: static6
        address: '2001:db8::1/64'
    - type: nameserver
      address:
      - '10.0.2.3'
      search:
      - 'test'
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine whose sshd answers."""

    name: str
    folder: Path
    port: int

    def agent(self, execute: str, **arguments: object) -> Any:  # Any: JSON
        """What the guest agent returns, through the port that QEMU gave it."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(120)
            channel.connect(str(self.folder / "agent"))
            channel.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
            return json.loads(channel.makefile("rb").readline())["return"]

    def told(self, *argv: str) -> str:
        """What a command in the guest prints, by way of the agent."""
        words = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        started = self.agent("guest-exec", **words)
        while not (status := self.agent("guest-exec-status", **started))["exited"]:
            time.sleep(0.2)
        return base64.b64decode(status.get("out-data", "")).decode()

    @property
    def host_key(self) -> str:
        """Its public host key, as the agent reads it: a way that nobody on the network is on."""
        return self.told("/usr/bin/cat", "/etc/ssh/ssh_host_ed25519_key.pub").strip()

    @property
    def login(self) -> Login:
        """Root by the key of the cloud-init drive."""
        key = self.folder / "user"
        return Login("127.0.0.1", port=self.port, keys=(key,), pinned=" ".join(self.host_key.split()[:2]))


def _cloud_init_drive(folder: Path, name: str) -> Path:
    """What Proxmox attaches: an ISO with the label cidata, by the very command that it uses."""
    Local().run(Command(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "user")))).require()
    user = _USER.format(name=name, key=(folder / "user.pub").read_text(encoding="utf-8").strip())
    instance = hashlib.sha1((user + _NETWORK).encode(), usedforsecurity=False).hexdigest()
    files = {
        "user-data": user,
        "network-config": _NETWORK,
        "meta-data": f"instance-id: {instance}\n",
        "vendor-data": "",
    }
    (folder / "cidata").mkdir()
    for file, text in files.items():
        (folder / "cidata" / file).write_text(text, encoding="utf-8")
    made, source = folder / "cidata.iso", str(folder / "cidata")
    words = ("genisoimage", "-quiet", "-iso-level", "3", "-R", "-V", "cidata", "-o", str(made), source)
    Local().run(Command(words)).require()
    return made


def _seabios(image: Image, drive: Path) -> tuple[str, ...]:
    """Proxmox's defaults: i440fx, SeaBIOS, the disk on virtio-scsi, the cloud-init drive as ide2."""
    return (
        *("-machine", "pc", "-device", "virtio-scsi-pci"),
        *("-drive", f"file={image.disk},if=none,id=disk,format=qcow2,snapshot=on", "-device", "scsi-hd,drive=disk"),
        *("-drive", f"file={drive},if=none,id=ci,format=raw,media=cdrom", "-device", "ide-cd,bus=ide.1,drive=ci"),
    )


def _ovmf(image: Image, drive: Path) -> tuple[str, ...]:
    """q35 with UEFI, the disk on virtio-blk, the cloud-init drive as scsi1 (Debian's cloud kernel has no AHCI)."""
    variables = shutil.copyfile(_OVMF.format("VARS"), drive.with_name("vars.fd"))
    return (
        *("-machine", "q35", "-device", "virtio-scsi-pci"),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_OVMF.format('CODE')}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
        *("-drive", f"file={image.disk},if=none,id=disk,format=qcow2,snapshot=on"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-drive", f"file={drive},if=none,id=ci,format=raw,media=cdrom", "-device", "scsi-cd,drive=ci"),
    )


FIRMWARES = {"seabios": _seabios, "ovmf": _ovmf}


@contextlib.contextmanager
def booted(image: Image, folder: Path) -> Iterator[dict[str, Machine]]:
    """A machine for each firmware, at the same time; ended on leaving."""
    with contextlib.ExitStack() as stack:
        began, started = time.monotonic(), {}
        for name, firmware in FIRMWARES.items():
            at = folder / name
            at.mkdir()
            port = _free_port()
            words = (*_qemu(at), *_apart(port), *firmware(image, _cloud_init_drive(at, name)))
            started[name] = (at, port, stack.enter_context(Local().start(Command(words, deadline_s=3600.0))))
        machines = {}
        for name, (at, port, qemu) in started.items():
            _awaited(name, at, port, qemu, began)
            machines[name] = Machine(name, at, port)
        yield machines


@contextlib.contextmanager
def rebooting(image: Image, at: Path) -> Iterator[Machine]:
    """One that boots again when it is told to, with both NICs on one network, the way to it; its monitor is at/qmp."""
    at.mkdir()
    port = _free_port()
    words = (*_qemu(at), *_together(port), *_seabios(image, _cloud_init_drive(at, "node")),
             "-action", "reboot=reset", "-qmp", f"unix:{at / 'qmp'},server=on,wait=off")  # fmt: skip
    with Local().start(Command(words, deadline_s=7200.0)) as qemu:
        _awaited("node", at, port, qemu, time.monotonic())
        yield Machine("node", at, port)


def _awaited(name: str, at: Path, port: int, qemu: Running, began: float) -> None:
    while not answers(port):
        if qemu.finished() or time.monotonic() - began > WATCHDOG_S:
            console = (at / "console").read_text(errors="replace")[-2000:]
            raise AssertionError(f"no guest {name}: {qemu.stop().stderr} {console}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def moved(before: FactSheet, after: FactSheet, *put_back: str) -> list[Difference]:
    """What differs between two boots; of what each boot sizes, but for what was put back, by more than a thousandth."""
    found, sized = differences({"node": before}, {"node": after}), _SIZED.difference(put_back)
    return [each for each in found if each.key not in sized or not _alike(each.before, each.after)]


def _alike(*values: str | None) -> bool:
    one, other = ([int(word) for word in (each or "").split()] for each in values)
    return len(one) == len(other) and all(math.isclose(*both, rel_tol=1e-3) for both in zip(one, other, strict=True))


def answers(port: int) -> bool:
    """Whether an sshd says its name; QEMU itself takes the connection long before."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as tried:
        return tried.recv(4) == b"SSH-"
    return False


def _apart(port: int) -> tuple[str, ...]:
    """The NIC by which it is reached, and another that is cabled to nothing."""
    return (
        *("-netdev", f"user,id=control,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", f"virtio-net-pci,netdev=control,mac={CONTROL}"),
        *("-netdev", "hubport,id=data,hubid=0", "-device", f"virtio-net-pci,netdev=data,mac={DATA}"),
    )


def _together(port: int) -> tuple[str, ...]:
    """Both NICs on the network by which it is reached: the legs of a bond."""
    return (
        *("-netdev", f"user,id=control,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-netdev", "hubport,id=way,hubid=0,netdev=control"),
        *("-netdev", "hubport,id=one,hubid=0", "-device", f"virtio-net-pci,netdev=one,mac={CONTROL}"),
        *("-netdev", "hubport,id=two,hubid=0", "-device", f"virtio-net-pci,netdev=two,mac={DATA}"),
    )


def _qemu(at: Path) -> tuple[str, ...]:
    # QEMU keeps what it translated over a reset, and each byte that the next boot unpacks onto such a page is a slow
    # write: with a cache of its default size (1 GiB) boots took 24 to 220 s and more, with this one 24 to 28 s.
    accelerator = "tcg,thread=multi,tb-size=64"
    return (
        *("qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-m", "768", "-no-reboot"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{at / 'console'}"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,path={at / 'agent'},server=on,wait=off,id=agent"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
    )
