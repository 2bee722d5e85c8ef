"""Kit: what guests are made of on this machine: the image, what runs their instructions, and whether vhost is there."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import cache as images
from bench.images.recipe import CMDLINE
from bench.images.seed import seed
from bench.labs import guests as machines
from bench.labs.guests import Accelerator, Guests, Machine
from results.errors import NotAble

READY = "nettune: ready"  # what the image prints once sshd listens (bench/images)
_KVM_S = 20.0  # a KVM that works has the guest ready in 2 s


@dataclass(frozen=True, slots=True)
class Kit:
    """What guests are made of here."""

    guests: Guests
    image: images.Image
    accelerator: Accelerator
    vhost: bool = False


def prepared(guests: Guests, *, cache: Path, local: Host, say: Callable[[str], None]) -> Kit:
    """Everything that starting a guest needs, found or made. Raises NotAble naming what is missing."""
    told = local.run(machines.VERSION)
    if not told.ok:
        raise NotAble(
            f"{machines.QEMU} is not there: {(told.stderr or told.stdout).strip()[:200]}",
            hint="apt-get install --no-install-recommends qemu-system-x86",
        )
    if not local.run(Command(("test", "-w", "/dev/net/tun"))).ok:
        raise NotAble("/dev/net/tun cannot be written: guests hang on taps", hint="run it as root; modprobe tun")
    image = images.built(cache, local, say)
    version = told.stdout.splitlines()[0]
    accelerator = chosen(local, image, cache / "accelerator.json", version, say)
    vhost = accelerator == "kvm" and local.run(Command(("test", "-w", "/dev/vhost-net"))).ok
    return Kit(guests, image, accelerator, vhost)


def chosen(local: Host, image: images.Image, kept: Path, qemu: str, say: Callable[[str], None]) -> Accelerator:
    """KVM where a guest came up with it; tried once per boot of the machine, image and QEMU, and kept in a file.

    /dev/kvm alone says little: nested in some clouds it is there and a stock kernel dies or crawls under it.
    """
    if not local.run(Command(("test", "-w", "/dev/kvm"))).ok:
        return "tcg"
    boot = local.run(Command(("cat", "/proc/sys/kernel/random/boot_id"))).stdout.strip()
    key = f"{boot} {image.digest} {qemu}"
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["key"] == key and known["accelerator"] in {"kvm", "tcg"}:
            return "kvm" if known["accelerator"] == "kvm" else "tcg"
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not tried yet
    say(f"trying whether KVM works here, up to {_KVM_S:.0f} s, once per boot")
    works = comes_up(local, image, "kvm", _KVM_S)
    found: Accelerator = "kvm" if works else "tcg"
    say("KVM works" if works else "KVM does not work here: guests run on an emulated CPU (TCG)")
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"key": key, "accelerator": found}), encoding="utf-8")
    part.replace(kept)
    return found


def comes_up(local: Host, image: images.Image, accelerator: Accelerator, within_s: float) -> bool:
    """Whether a guest without any NIC but its own control is ready in that time; it is ended in any case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed"
        seed(path, {"etc/hostname": b"try\n"})
        machine = Machine("nt-try", image.kernel, image.initrd, image.root, CMDLINE, path, 0,
                          (), 1500, vhost=False)  # fmt: skip
        deadline = time.monotonic() + within_s
        with local.start(machines.command(Guests(), machine, accelerator)) as job:
            while time.monotonic() < deadline and not job.finished():
                if READY in job.output():
                    return True
                time.sleep(0.05)
    return False
