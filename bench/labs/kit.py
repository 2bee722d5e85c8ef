"""Kit: what guests are made of on this machine: the image, what runs their instructions, and whether vhost is there."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import cache as images
from bench.images.recipe import CMDLINE
from bench.images.seed import archive
from bench.images.squash import LAB_KIND, NICS_KIND
from bench.labs import guests as machines
from bench.labs.guests import Accelerator, Guests, Machine
from bench.labs.site import Here, Site, opened
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
    """Everything that starting a guest needs, found or made. Raises NotAble naming what lacks, and on which node."""
    node = guests.node
    with opened(node, local) as site:
        site.check()
        where = f"on {site.host.name}: " if node else ""
        told = site.host.run(machines.VERSION)
        if not told.ok:
            raise NotAble(
                f"{where}{machines.QEMU} is not there: {(told.stderr or told.stdout).strip()[:200]}",
                hint=f"{where}apt-get install --no-install-recommends qemu-system-x86",
            )
        if not site.host.run(Command(("test", "-w", "/dev/net/tun"))).ok:
            raise NotAble(
                f"{where}/dev/net/tun cannot be written: guests hang on taps", hint="run it as root; modprobe tun"
            )
        kind = NICS_KIND if guests.nic in machines.PHYSICAL else LAB_KIND
        image = site.image(images.built(cache, local, say, kind), say)
        version = told.stdout.splitlines()[0]
        words = ["accelerator", *([node.address, str(node.port)] if node else [])]
        kept = cache / f"{'-'.join(words if kind is LAB_KIND else [*words, kind.name])}.json"
        accelerator = chosen(site.host, image, kept, version, say, site)
        vhost = accelerator == "kvm" and site.host.run(Command(("test", "-w", "/dev/vhost-net"))).ok
    return Kit(guests, image, accelerator, vhost)


def chosen(
    local: Host, image: images.Image, kept: Path, qemu: str, say: Callable[[str], None], site: Site | None = None
) -> Accelerator:
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
    here = "here" if site is None or local.local else f"on {local.name}"
    say(f"trying whether KVM works {here}, up to {_KVM_S:.0f} s, once per boot")
    works = comes_up(local, image, "kvm", _KVM_S, site or Here(local))
    found: Accelerator = "kvm" if works else "tcg"
    say("KVM works" if works else f"KVM does not work {here}: guests run on an emulated CPU (TCG)")
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"key": key, "accelerator": found}), encoding="utf-8")
    part.replace(kept)
    return found


def comes_up(local: Host, image: images.Image, accelerator: Accelerator, within_s: float, site: Site) -> bool:
    """Whether a guest without any NIC but its own control is ready in that time; it is ended in any case."""
    with site.placed(archive({"etc/hostname": b"try\n"})) as path:
        machine = Machine("nt-try", image.kernel, image.initrd, image.root, CMDLINE, path, 0,
                          (), 1500, vhost=False)  # fmt: skip
        deadline = time.monotonic() + within_s
        tried = machines.command(Guests(), machine, accelerator)
        # Where a connection falls silent nobody else ends it.
        tried = replace(tried, argv=("timeout", "--kill-after=1", f"{within_s + 10:.0f}", *tried.argv))
        with local.start(tried) as job:
            while time.monotonic() < deadline and not job.finished():
                if READY in job.output():
                    return True
                time.sleep(0.05)
    return False
