"""The image of a lab's guests: kernel, initrd, and a squashfs that guests share. ADR 0015."""

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import archive, kernel
from bench.images.build import Kind, Parts, Progress
from bench.images.recipe import LAB, NICS

KERNEL, INITRD, ROOT = "kernel", "initrd", "root.squashfs"
_SQUASH = 'tree=$1; shift; exec sqfstar "$@" <"$tree"'


def pack(parts: Parts, out: Path, local: Host, progress: Progress) -> Mapping[str, str]:
    """Kernel, initrd and root file system in `out`."""
    with progress.step("initrd"), tarfile.open(parts.tree_tar) as tree:
        (out / INITRD).write_bytes(archive.cpio(kernel.initrd(tree, parts.kernel, parts.recipe)))
        shutil.copyfile(parts.kernel.image, out / KERNEL)
    with progress.step("root file system, by sqfstar"):
        merged, recipe = parts.work / "merged.tar", parts.recipe
        with tarfile.open(parts.tree_tar) as tree, tarfile.open(merged, "w", format=tarfile.GNU_FORMAT) as whole:
            archive.merge(tree, kernel.own(parts.kernel, recipe), whole, recipe.dropped)
        dates = ("-all-time", str(recipe.epoch_s), "-mkfs-time", str(recipe.epoch_s))
        options = (*recipe.compression, "-quiet", "-no-progress", "-root-mode", "755", *dates)
        words = ("sh", "-c", _SQUASH, "sh", str(merged), *options, str(out / ROOT))
        local.run(Command(words, deadline_s=300.0)).require()
    return {}


LAB_KIND = Kind(
    name="lab",
    recipe=LAB,
    files=(KERNEL, INITRD, ROOT),
    tools={"sqfstar": "squashfs-tools"},
    room_bytes=700_000_000,  # measured: 560 MB are enough for the tree, two tar archives of it and the kernel's package
    takes="about a minute, 85 MB of downloads, 105 MB kept",
    pack=pack,
)
NICS_KIND = replace(
    LAB_KIND,
    name="nics",
    recipe=NICS,
    room_bytes=1_100_000_000,  # its kernel takes 300 MB more, unpacked
    takes="about a minute, 145 MB of downloads, 102 MB kept",
)
