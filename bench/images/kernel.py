"""The kernel of an image: unpacked and never installed, its modules thinned out, its initrd, and our own files."""

import lzma
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.images import archive, debian, modules
from bench.images.recipe import Recipe, text
from results.errors import NotAble


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel: its release, where it lies, and the package with its version."""

    release: str
    folder: Path
    packages: Mapping[str, str]

    @property
    def image(self) -> Path:
        """What a boot loader loads."""
        return self.folder / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """Its modules, and what depmod says of them."""
        return self.folder / "lib" / "modules" / self.release


def unpacked(work: Path, tree_tar: Path, recipe: Recipe, local: Host) -> Kernel:
    """Unpack the kernel's package to work/kernel and thin its modules out. Raises NotAble where there is none."""
    target = work / "kernel"
    packages = debian.unpacked(tree_tar, "linux-image-", target, local)
    if not packages:
        raise NotAble(f"{recipe.kernel} brought no kernel", hint=f"apt-cache depends {recipe.kernel}")
    if not (target / "lib").exists():  # Debian 13 packs /usr/lib/modules; depmod looks in /lib/modules
        (target / "usr" / "lib").rename(target / "lib")
    release = next((target / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    kernel = Kernel(release, target, packages)
    _depmod(kernel, local)
    needs = modules.dependencies((kernel.modules / "modules.dep").read_text(encoding="utf-8"))
    for path in needs.keys() - modules.kept(recipe.kept_modules, needs):
        (kernel.modules / path).unlink()
    _depmod(kernel, local)
    return kernel


def _depmod(kernel: Kernel, local: Host) -> None:
    local.run(Command(("depmod", "-b", str(kernel.folder), kernel.release), deadline_s=120.0)).require()


def initrd(tree: tarfile.TarFile, kernel: Kernel, recipe: Recipe) -> Iterator[archive.Entry]:
    """busybox, the modules that the root file system needs in the order of insmod, and the first script."""
    at = kernel.modules
    needs = modules.dependencies((at / "modules.dep").read_text(encoding="utf-8"))
    builtin = (at / "modules.builtin").read_text(encoding="utf-8").split()
    try:
        order = modules.load_order(recipe.initrd_modules, needs, builtin)
    except KeyError as error:
        raise NotAble(f"the kernel {at.name} has no module {error.args[0]}, which the guest's disks need") from error
    for name in ("bin", "dev", "lower", "modules", "new", "over"):
        yield archive.folder(name)
    yield archive.file("bin/busybox", archive.content(tree, tree.getmember("./usr/bin/busybox")), 0o755)
    yield archive.file("init", text(recipe.initrd_init).encode(), 0o755)
    for path in order:
        yield archive.file(f"modules/{modules.name(path)}", plain((at / path).read_bytes()))
    yield archive.file("modules/order", "".join(f"{modules.name(path)}\n" for path in order).encode())


def plain(module: bytes) -> bytes:
    """A kernel module as insmod takes it; Debian 13 packs them by xz."""
    return lzma.decompress(module) if module.startswith(b"\xfd7zXZ\0") else module


def own(kernel: Kernel, recipe: Recipe) -> Iterator[archive.Entry]:
    """What an image has besides Debian's tree: our folders, files and links, and the modules."""
    for name, mode in recipe.own_folders:
        yield archive.folder(name, mode)
    yield archive.folder("usr/lib/nettune")
    for name, mode, source in recipe.own_files:
        yield archive.file(name, text(source).encode(), mode)
    for name, target in recipe.own_links:
        yield archive.link(name, target)
    base = f"usr/lib/modules/{kernel.release}"
    yield archive.folder("usr/lib/modules")
    yield archive.folder(base)
    for path in sorted(kernel.modules.rglob("*")):
        name = f"{base}/{path.relative_to(kernel.modules)}"
        if path.is_dir():
            yield archive.folder(name)
        elif path.is_file() and not path.is_symlink():
            yield archive.file(name, path.read_bytes())
