"""The tree that every image starts from: Debian's packages, installed by mmdebstrap into a tar archive."""

import os
import tarfile
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import archive, sources
from bench.images.recipe import UNPACKED_NEVER, Recipe
from results.errors import NotAble

FULL = "No space left on device"
DOWNLOADED = "boot/"  # where the tree has the packages that are not installed
# $1 is the tree. Its apt has the lists at hand; the machine's own apt is not touched.
_FETCH = """\
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$1/boot"
kernel=$(apt-cache depends {kernel} | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)/\\1/p' | head -n1)
apt-get -qq download "$kernel" {others}
"""
# mmdebstrap mounts /proc and /sys into its tree where it is, and outlives whoever started it. In mount and process
# namespaces of its own all of that ends with it, and it ends with nettune, also by SIGKILL.
ROOT_ALONE = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)
_USER_ALONE = ("setpriv", "--pdeathsig", "TERM")  # it makes the same namespaces by itself, and cleans up when told


def tree(work: Path, recipe: Recipe, local: Host, *, room: str) -> Path:
    """A tar archive of a tree with the packages installed, the kernel's package unopened in its /boot.

    Raises NotAble with what mmdebstrap said; `room` is the hint where the disk is full.
    """
    tree_tar = work / "debian.tar"
    hook = _FETCH.format(kernel=recipe.kernel, others=" ".join(recipe.fetched))
    root = os.geteuid() == 0
    command = Command(
        (
            *(ROOT_ALONE if root else _USER_ALONE),
            *("env", f"SOURCE_DATE_EPOCH={recipe.epoch_s}"),
            # In a user namespace its root must be able to enter: below a home it is not. There it is /tmp.
            *((f"TMPDIR={work}",) if root else ()),
            # not --quiet: that would swallow what dpkg says of a full disk
            *("mmdebstrap", f"--mode={'root' if root else 'unshare'}", "--variant=essential"),
            f"--include={','.join(recipe.packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--aptopt={line}" for line in sources.options(local)),
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in UNPACKED_NEVER),
            f"--customize-hook={hook}",
            *("", str(tree_tar)),  # no suite: the sources say it
            *sources.sources(local),
        ),
        deadline_s=1200.0,
    )
    outcome = local.run(command)
    if not outcome.ok:
        said = outcome.stderr
        raise NotAble(f"on {local.name}: mmdebstrap failed: {last_words(said)}", hint=_hint(said, room))
    return tree_tar


def last_words(stderr: str) -> str:
    """What mmdebstrap says of its failure, short: a full disk as that, else its first errors without command lines."""
    if FULL in stderr:
        return FULL
    lines = stderr.strip().splitlines() or ["without a word"]
    errors = [line for line in lines if line.startswith("E: ")]
    return "; ".join(line if len(line) < 200 else f"{line[:100]} … {line[-60:]}" for line in (errors or lines[-1:])[:3])


def _hint(stderr: str, room: str) -> str:
    if "newuidmap" in stderr or "subuid" in stderr or "unshare" in stderr:
        return "an ordinary user needs the package uidmap and lines in /etc/subuid and /etc/subgid; or run it as root"
    return room if FULL in stderr else "are the mirrors of /etc/apt reachable? try apt-get update"


def installed(tree_tar: Path) -> dict[str, str]:
    """The packages in the tree, and their versions."""
    with tarfile.open(tree_tar) as opened:
        status = opened.extractfile("./var/lib/dpkg/status")
        return archive.packages("" if status is None else status.read().decode())


def unpacked(tree_tar: Path, prefix: str, target: Path, local: Host) -> dict[str, str]:
    """Unpack those downloaded packages whose names begin so below `target`; their names and versions."""
    found = {}
    package = target.with_suffix(".deb")
    with tarfile.open(tree_tar) as opened:
        for member in opened:
            if not archive.normal(member.name).startswith(f"{DOWNLOADED}{prefix}"):
                continue
            package.write_bytes(archive.content(opened, member))
            local.run(Command(("dpkg-deb", "-x", str(package), str(target)), deadline_s=120.0)).require()
            asked = Command(("dpkg-deb", "-W", "--showformat=${Package} ${Version}", str(package)))
            name, _, version = local.run(asked).require().stdout.strip().partition(" ")
            found[name] = version
    package.unlink(missing_ok=True)
    return found
