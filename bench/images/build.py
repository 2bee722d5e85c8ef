"""The steps from packages to an image, each a Command or a pure function of files; all inside one work folder."""

import contextlib
import errno
import lzma
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.facts.machine import in_user_namespace
from bench.hosts.command import Command, CommandFailed
from bench.hosts.host import Host
from bench.images import archive, modules, recipe, sources
from results.errors import NotAble

KERNEL, INITRD, ROOT = "kernel", "initrd", "root.squashfs"
ROOM_BYTES = 700_000_000  # measured: 560 MB are enough for the tree, two tar archives of it and the kernel's package
_ROOM = f"{ROOM_BYTES / 1e6:.0f} MB are needed for the time of the build; NETTUNE_CACHE names another place"
_FULL = "No space left on device"
TOOLS: Mapping[str, str] = {  # and the package that has each
    "apt-get": "apt",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "sqfstar": "squashfs-tools",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
# $1 is the tree, $2 the metapackage. Its apt has the lists at hand; the machine's own apt is not touched.
_FETCH_KERNEL = """\
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$1/boot"
apt-get -qq download "$(apt-cache depends {kernel} | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)/\\1/p' | head -n1)"
"""
# mmdebstrap mounts /proc and /sys into its tree where it is, and outlives whoever started it. In mount and process
# namespaces of its own all of that ends with it, and it ends with nettune, also by SIGKILL.
_ROOT_ALONE = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)
_USER_ALONE = ("setpriv", "--pdeathsig", "TERM")  # it makes the same namespaces by itself, and cleans up when told
_SQUASH = 'tree=$1; shift; exec sqfstar "$@" <"$tree"'


@dataclass(frozen=True, slots=True)
class Built:
    """What came out: the kernel's release, and the packages with their versions."""

    release: str
    packages: Mapping[str, str]


def build(work: Path, out: Path, local: Host, say: Callable[[str], None]) -> Built:
    """Make kernel, initrd and root file system in `out`, by way of `work`; both exist and are empty.

    Raises NotAble: a tool is missing, no network, no room, or an ordinary user who may not.
    """
    _require_tools(local)
    with _full_disk_named(work):
        with _told(say, "packages, by mmdebstrap"):
            tree_tar = _debian(work, local)
        with _told(say, "kernel modules"), tarfile.open(tree_tar) as tree:
            release, kernel_package = _kernel(work, tree, local)
            tree.fileobj.seek(0) if tree.fileobj else None
            installed = _installed(tree)
        modules_at = work / "kernel" / "lib" / "modules" / release
        with _told(say, "initrd"), tarfile.open(tree_tar) as tree:
            (out / INITRD).write_bytes(archive.cpio(_initrd(tree, modules_at)))
            shutil.copyfile(work / "kernel" / "boot" / f"vmlinuz-{release}", out / KERNEL)
        with _told(say, "root file system, by sqfstar"):
            _root(tree_tar, modules_at, work / "merged.tar", out / ROOT, local)
    return Built(release, dict(sorted({**installed, **kernel_package}.items())))


def _require_tools(local: Host) -> None:
    if os.geteuid() == 0 and in_user_namespace(local):
        raise NotAble(
            f"on {local.name}: root of a user namespace cannot own the files of an image",
            hint="outside of it, as root or with the package uidmap: nettune image build",
        )
    asked = [Command(("sh", "-c", 'command -v "$1"', "sh", tool)) for tool in TOOLS]
    lacking = [tool for tool, answer in zip(TOOLS, local.run_all(asked), strict=True) if not answer.ok]
    if lacking:
        raise NotAble(
            f"on {local.name}: an image cannot be built without {', '.join(lacking)}",
            hint=f"apt-get install --no-install-recommends {' '.join(dict.fromkeys(TOOLS[each] for each in lacking))}",
        )


@contextlib.contextmanager
def _told(say: Callable[[str], None], step: str) -> Iterator[None]:
    say(f"{step} …")
    start = time.monotonic()
    yield
    say(f"{step}: {time.monotonic() - start:.1f} s")


@contextlib.contextmanager
def _full_disk_named(work: Path) -> Iterator[None]:
    """A disk that fills up is said as that, whichever step met it: tools say it in many ways, or not at all."""
    try:
        yield
    except OSError as error:
        hint = _ROOM if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise NotAble(f"cannot write the image below {work.parent}: {error.strerror}", hint=hint) from error
    except CommandFailed as error:
        if shutil.disk_usage(work).free > ROOM_BYTES / 100:
            raise
        raise NotAble(f"the disk of {work.parent} is full: {error}", hint=_ROOM) from error


def _debian(work: Path, local: Host) -> Path:
    """A tar archive of a tree with the packages installed, the kernel's package unopened in its /boot."""
    tree_tar = work / "debian.tar"
    hook = _FETCH_KERNEL.format(kernel=recipe.KERNEL)
    root = os.geteuid() == 0
    command = Command(
        (
            *(_ROOT_ALONE if root else _USER_ALONE),
            *("env", f"SOURCE_DATE_EPOCH={recipe.EPOCH_S}"),
            # In a user namespace its root must be able to enter: below a home it is not. There it is /tmp.
            *((f"TMPDIR={work}",) if root else ()),
            # not --quiet: that would swallow what dpkg says of a full disk
            *("mmdebstrap", f"--mode={'root' if root else 'unshare'}", "--variant=essential"),
            f"--include={','.join(recipe.PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--aptopt={line}" for line in sources.options(local)),
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in recipe.UNPACKED_NEVER),
            f"--customize-hook={hook}",
            *("", str(tree_tar)),  # no suite: the sources say it
            *sources.sources(local),
        ),
        deadline_s=1200.0,
    )
    outcome = local.run(command)
    if not outcome.ok:
        raise NotAble(f"on {local.name}: mmdebstrap failed: {last_words(outcome.stderr)}", hint=_hint(outcome.stderr))
    return tree_tar


def last_words(stderr: str) -> str:
    """What mmdebstrap says of its failure, short: a full disk as that, else its first errors without command lines."""
    if _FULL in stderr:
        return _FULL
    lines = stderr.strip().splitlines() or ["without a word"]
    errors = [line for line in lines if line.startswith("E: ")]
    return "; ".join(line if len(line) < 200 else f"{line[:100]} … {line[-60:]}" for line in (errors or lines[-1:])[:3])


def _hint(stderr: str) -> str:
    if "newuidmap" in stderr or "subuid" in stderr or "unshare" in stderr:
        return "an ordinary user needs the package uidmap and lines in /etc/subuid and /etc/subgid; or run it as root"
    return _ROOM if _FULL in stderr else "are the mirrors of /etc/apt reachable? try apt-get update"


def _kernel(work: Path, tree: tarfile.TarFile, local: Host) -> tuple[str, Mapping[str, str]]:
    """Unpack the kernel's package to work/kernel, thin its modules out; its release, the package with its version."""
    member = next((each for each in tree if archive.normal(each.name).startswith("boot/linux-image-")), None)
    content = tree.extractfile(member) if member is not None else None
    if member is None or content is None:
        raise NotAble(f"{recipe.KERNEL} brought no kernel", hint="apt-cache depends linux-image-cloud-amd64")
    package, target = work / "kernel.deb", work / "kernel"
    with package.open("wb") as file:
        shutil.copyfileobj(content, file)
    local.run(Command(("dpkg-deb", "-x", str(package), str(target)), deadline_s=120.0)).require()
    named = local.run(Command(("dpkg-deb", "-W", "--showformat=${Package} ${Version}", str(package)))).require().stdout
    if not (target / "lib").exists():  # Debian 13 packs /usr/lib/modules; depmod looks in /lib/modules
        (target / "usr" / "lib").rename(target / "lib")
    release = next((target / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    at = target / "lib" / "modules" / release
    _depmod(target, release, local)
    needs = modules.dependencies((at / "modules.dep").read_text(encoding="utf-8"))
    for path in needs.keys() - modules.kept(recipe.KEPT_MODULES, needs):
        (at / path).unlink()
    _depmod(target, release, local)
    name, _, version = named.strip().partition(" ")
    return release, {name: version}


def _depmod(target: Path, release: str, local: Host) -> None:
    local.run(Command(("depmod", "-b", str(target), release), deadline_s=120.0)).require()


def _installed(tree: tarfile.TarFile) -> dict[str, str]:
    status = tree.extractfile("./var/lib/dpkg/status")
    return archive.packages("" if status is None else status.read().decode())


def _initrd(tree: tarfile.TarFile, at: Path) -> Iterator[archive.Entry]:
    needs = modules.dependencies((at / "modules.dep").read_text(encoding="utf-8"))
    builtin = (at / "modules.builtin").read_text(encoding="utf-8").split()
    try:
        order = modules.load_order(recipe.INITRD_MODULES, needs, builtin)
    except KeyError as error:
        raise NotAble(f"the kernel {at.name} has no module {error.args[0]}, which the guest's disks need") from error
    busybox = tree.extractfile("./usr/bin/busybox")
    for name in ("bin", "dev", "lower", "modules", "new", "over"):
        yield archive.folder(name)
    yield archive.file("bin/busybox", b"" if busybox is None else busybox.read(), 0o755)
    yield archive.file("init", recipe.text(recipe.INITRD_INIT).encode(), 0o755)
    for path in order:
        yield archive.file(f"modules/{modules.name(path)}", plain((at / path).read_bytes()))
    yield archive.file("modules/order", "".join(f"{modules.name(path)}\n" for path in order).encode())


def plain(module: bytes) -> bytes:
    """A kernel module as insmod takes it; Debian 13 packs them by xz."""
    return lzma.decompress(module) if module.startswith(b"\xfd7zXZ\0") else module


def _root(tree_tar: Path, at: Path, merged: Path, out: Path, local: Host) -> None:
    with tarfile.open(tree_tar) as tree, tarfile.open(merged, "w", format=tarfile.GNU_FORMAT) as whole:
        archive.merge(tree, _own(at), whole)
    dates = ("-all-time", str(recipe.EPOCH_S), "-mkfs-time", str(recipe.EPOCH_S))
    options = (*recipe.COMPRESSION, "-quiet", "-no-progress", "-root-mode", "755", *dates)
    words = ("sh", "-c", _SQUASH, "sh", str(merged), *options, str(out))
    local.run(Command(words, deadline_s=300.0)).require()


def _own(at: Path) -> Iterator[archive.Entry]:
    for name, mode in recipe.OWN_FOLDERS:
        yield archive.folder(name, mode)
    yield archive.folder("usr/lib/nettune")
    for name, mode, source in recipe.OWN_FILES:
        yield archive.file(name, recipe.text(source).encode(), mode)
    for name, target in recipe.OWN_LINKS:
        yield archive.link(name, target)
    base = f"usr/lib/modules/{at.name}"
    yield archive.folder("usr/lib/modules")
    yield archive.folder(base)
    for path in sorted(at.rglob("*")):
        name = f"{base}/{path.relative_to(at)}"
        if path.is_dir():
            yield archive.folder(name)
        elif path.is_file() and not path.is_symlink():
            yield archive.file(name, path.read_bytes())
