"""The steps from packages to an image of some kind, all inside one work folder."""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.facts.machine import in_user_namespace
from bench.hosts.command import Command, CommandFailed
from bench.hosts.host import Host
from bench.images import debian, kernel
from bench.images.recipe import Recipe
from results.errors import NotAble

Say = Callable[[str], None]
TOOLS: Mapping[str, str] = {  # of every image, and the package that has each
    "apt-get": "apt",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What an image is packed from: Debian's tree as a tar archive, and the kernel; `work` is for more."""

    work: Path
    tree_tar: Path
    kernel: kernel.Kernel
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of image: what goes in, which files come out, and what turns one into the other."""

    name: str
    recipe: Recipe
    files: tuple[str, ...]
    tools: Mapping[str, str]
    room_bytes: int
    takes: str  # time, downloads and what is kept; said before a build
    pack: Callable[[Parts, Path, Host, "Progress"], Mapping[str, str]]  # gives more packages, with their versions

    @property
    def room(self) -> str:
        """The hint where a disk is full."""
        return f"{self.room_bytes / 1e6:.0f} MB are needed for the time of the build; NETTUNE_CACHE names another place"


@dataclass(frozen=True, slots=True)
class Built:
    """What came out: the kernel's release, and the packages with their versions."""

    release: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """Says each step before it begins, and how long it took."""

    say: Say

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Around one step."""
        self.say(f"{name} …")
        start = time.monotonic()
        yield
        self.say(f"{name}: {time.monotonic() - start:.1f} s")


def build(kind: Kind, work: Path, out: Path, local: Host, say: Say) -> Built:
    """Make the files of an image in `out`, by way of `work`; both exist and are empty.

    Raises NotAble: a tool is missing, no network, no room, or an ordinary user who may not.
    """
    _require_tools(kind, local)
    progress = Progress(say)
    with _full_disk_named(kind, work):
        with progress.step("packages, by mmdebstrap"):
            tree_tar = debian.tree(work, kind.recipe, local, room=kind.room)
        with progress.step("kernel modules"):
            unpacked = kernel.unpacked(work, tree_tar, kind.recipe, local)
            installed = debian.installed(tree_tar)
        more = kind.pack(Parts(work, tree_tar, unpacked, kind.recipe), out, local, progress)
    return Built(unpacked.release, dict(sorted({**installed, **unpacked.packages, **more}.items())))


def _require_tools(kind: Kind, local: Host) -> None:
    if os.geteuid() == 0 and in_user_namespace(local):
        raise NotAble(
            f"on {local.name}: root of a user namespace cannot own the files of an image",
            hint="outside of it, as root or with the package uidmap: nettune image build",
        )
    tools = {**TOOLS, **kind.tools}
    asked = [Command(("sh", "-c", 'command -v "$1"', "sh", tool)) for tool in tools]
    lacking = [tool for tool, answer in zip(tools, local.run_all(asked), strict=True) if not answer.ok]
    if lacking:
        raise NotAble(
            f"on {local.name}: an image cannot be built without {', '.join(lacking)}",
            hint=f"apt-get install --no-install-recommends {' '.join(dict.fromkeys(tools[each] for each in lacking))}",
        )


@contextlib.contextmanager
def _full_disk_named(kind: Kind, work: Path) -> Iterator[None]:
    """A disk that fills up is said as that, whichever step met it: tools say it in many ways, or not at all."""
    try:
        yield
    except OSError as error:
        hint = kind.room if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise NotAble(f"cannot write the image below {work.parent}: {error.strerror}", hint=hint) from error
    except CommandFailed as error:
        if shutil.disk_usage(work).free > kind.room_bytes / 100:
            raise
        raise NotAble(f"the disk of {work.parent} is full: {error}", hint=kind.room) from error
