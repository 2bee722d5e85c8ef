"""One guest of the image, for the tests of the image itself: QEMU's command line at its shortest, and ssh to it."""

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.images.cache import Image
from bench.images.recipe import CMDLINE
from bench.images.seed import seed

MANAGEMENT = "52:54:00:6e:74:01"
WATCHDOG_S = 120.0  # 4 s on an idle machine; a guest that has said nothing by then says nothing more


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that has said that it is ready, or why it is not."""

    folder: Path
    port: int
    console: Path

    def ssh(self, line: str, *, deadline_s: float = 60.0) -> Outcome:
        """The Outcome of a shell line in the guest."""
        return Local().run(Command((*self.login, line), deadline_s=deadline_s))

    @property
    def login(self) -> tuple[str, ...]:
        """The words before that line. Its host key is the one that the seed brought, and no other."""
        options = (
            *("-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "-i", str(self.folder / "user")),
            *("-o", "IdentitiesOnly=yes", "-p", str(self.port)),
        )
        return ("ssh", *options, "root@127.0.0.1")


def keys(folder: Path) -> dict[str, bytes]:
    """New keys of host and user in `folder`, and the files of a seed that go with them."""
    for name in ("host", "user"):
        made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name))
        Local().run(Command(made)).require()
    return {
        "etc/hostname": b"guest-a\n",
        "root/.ssh/authorized_keys": (folder / "user.pub").read_bytes(),
        "etc/ssh/ssh_host_ed25519_key": (folder / "host").read_bytes(),
        "etc/ssh/ssh_host_ed25519_key.pub": (folder / "host.pub").read_bytes(),
    }


@contextlib.contextmanager
def booted(
    image: Image,
    folder: Path,
    files: Mapping[str, bytes],
    macs: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
    port: int = 0,
    on: Host | None = None,
) -> Iterator[Guest]:
    """A guest with a management NIC and one more NIC for each of `macs`, cabled to nothing; ended on leaving.

    `more` are further words for QEMU; `port` is where its sshd is to be reached, a free one unless it is given; QEMU
    runs `on` a namespace, unless here.
    """
    seed(folder / "seed.tar", files)
    port = port or _free()
    if (folder / "host.pub").exists():
        public = (folder / "host.pub").read_text(encoding="utf-8")
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}", encoding="utf-8")
    guest = Guest(folder, port, folder / "console")
    guest.console.write_bytes(b"")
    command = Command((*_qemu(image, guest, macs), *more), deadline_s=3600.0)
    with (on or Local()).start(command) as qemu:
        start = time.monotonic()
        while "nettune: " not in guest.console.read_text(encoding="utf-8", errors="replace"):
            if qemu.finished() or time.monotonic() - start > WATCHDOG_S:
                raise AssertionError(
                    f"no guest: {qemu.stop().stderr} {guest.console.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.02)
        yield guest


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _qemu(image: Image, guest: Guest, macs: tuple[str, ...]) -> tuple[str, ...]:
    drives = {"root": image.root, "seed": guest.folder / "seed.tar"}
    return (
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{guest.console}"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", CMDLINE),
        *(
            word
            for name, path in drives.items()
            for word in (
                *("-drive", f"file={path},if=none,id={name},format=raw,readonly=on"),
                *("-device", f"virtio-blk-pci,drive={name}"),
            )
        ),
        *("-netdev", f"user,id=m,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{guest.port}-:22"),
        *("-device", f"virtio-net-pci,netdev=m,mac={MANAGEMENT}"),
        *(
            word
            for number, mac in enumerate(macs)
            for word in (
                *("-netdev", f"hubport,id=h{number},hubid={number}"),
                *("-device", f"virtio-net-pci,netdev=h{number},mac={mac}"),
            )
        ),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,path={guest.folder / 'agent'},server=on,wait=off,id=a"),
        *("-device", "virtserialport,chardev=a,name=org.qemu.guest_agent.0"),
    )
