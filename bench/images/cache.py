"""What was built, kept by the digest of its recipe; only what is whole and of this recipe is ever given out.

CACHE/images/DIGEST/    an image: the files of its kind and manifest.json, renamed into place when whole
CACHE/images/lock       held (flock) by the process that builds or removes; the kernel drops it with that process
CACHE/images/building-* the work of a build; left there only by one that was killed, removed by the next
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.host import Host
from bench.images import build
from bench.images.build import Kind
from bench.images.disk import DISK, DISK_KIND
from bench.images.squash import INITRD, KERNEL, LAB_KIND, NICS_KIND, ROOT
from results.errors import NotAble

_MANIFEST = "manifest.json"
_UNFINISHED = "building-"
_KEY_LENGTH = 16
KINDS = (LAB_KIND, NICS_KIND, DISK_KIND)


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest boots from."""

    kind: str
    files: Mapping[str, Path]  # by their names in the cache
    release: str
    digest: str  # of the content: one digest, one guest
    packages: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return next(iter(self.files.values())).parent

    @property
    def kernel(self) -> Path:
        """The kernel of an image for labs."""
        return self.files[KERNEL]

    @property
    def initrd(self) -> Path:
        """The initrd of an image for labs."""
        return self.files[INITRD]

    @property
    def root(self) -> Path:
        """The root file system of an image for labs."""
        return self.files[ROOT]

    @property
    def disk(self) -> Path:
        """The disk of an image for Proxmox."""
        return self.files[DISK]

    @property
    def size_bytes(self) -> int:
        """What its files take on the disk."""
        return sum(path.stat().st_size for path in self.files.values())


class Broken(NotAble):
    """A folder of the cache is no image of this recipe; says why."""


def found(cache: Path, kind: Kind = LAB_KIND) -> Image | None:
    """The image of that kind's recipe when it is there and whole, every byte checked; else None.

    SHA-256 of 105 MB takes 0.09 s where the processor has instructions for it (measured), so there is no shortcut.
    """
    try:
        return checked(_place(cache, kind), kind)
    except Broken:
        return None


def built(cache: Path, local: Host, say: Callable[[str], None], kind: Kind = LAB_KIND) -> Image:
    """The image of that kind's recipe, found or built now; `kind.takes` says at what cost.

    Two builds at once are one: the second waits, and finds what the first made. Raises NotAble.
    """
    if not local.local:
        raise ValueError("an image is built on this machine: its files are read here")
    ready = found(cache, kind)
    if ready is not None:
        return ready
    with _locked(cache, say):
        ready = found(cache, kind)
        if ready is not None:
            return ready
        _sweep(cache, say, kind)
        return _build(cache, local, say, kind)


def checked(folder: Path, *kinds: Kind) -> Image:
    """The image in a folder, of one of `kinds`. Raises Broken, saying why, where it is not whole or of none."""
    try:
        told = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        sums, release, packages = dict(told["sha256"]), str(told["release"]), dict(told["packages"])
        recipe_digest = told["recipe"]
    except FileNotFoundError as error:
        raise Broken("never finished") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Broken(f"{_MANIFEST} cannot be read: {error}") from error
    kind = next((each for each in kinds if each.recipe.digest() == recipe_digest), None)
    if kind is None:
        raise Broken("made by another recipe")
    for name in kind.files:
        try:
            actual = _sha256(folder / name)
        except OSError as error:
            raise Broken(f"{name}: {error.strerror}") from error
        if actual != sums.get(name):
            raise Broken(f"{name} is not what was built (SHA-256 {actual[:12]}…)")
    content = hashlib.sha256("".join(sums[name] for name in kind.files).encode()).hexdigest()
    return Image(kind.name, {name: folder / name for name in kind.files}, release, content, packages)


def listed(cache: Path) -> tuple[tuple[Path, Image | None, str], ...]:
    """Every folder of the cache, with its image or why it holds none."""
    rows: list[tuple[Path, Image | None, str]] = []
    for folder in sorted(path for path in _images(cache).glob("*") if path.is_dir()):
        try:
            rows.append((folder, checked(folder, *KINDS), ""))
        except Broken as error:
            rows.append((folder, None, str(error)))
    return tuple(rows)


def remove(cache: Path, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Remove every image, and what killed builds left. Waits for a build that is at work. Raises NotAble."""
    folders = tuple(folder for folder, _, _ in listed(cache))
    if folders:
        with _locked(cache, say):
            for folder in folders:
                _discard(folder)
    return folders


def _build(cache: Path, local: Host, say: Callable[[str], None], kind: Kind) -> Image:
    whole = _images(cache) / f"{_UNFINISHED}{secrets.token_hex(4)}"
    try:
        (whole / "work").mkdir(parents=True)
    except OSError as error:
        raise NotAble(
            f"cannot create {whole}: {error.strerror}", hint="set NETTUNE_CACHE to a folder of yours"
        ) from error
    try:
        free_bytes = shutil.disk_usage(whole).free
        if free_bytes < kind.room_bytes:
            raise NotAble(
                f"{cache} has {free_bytes / 1e6:.0f} MB left; building an image takes {kind.room_bytes / 1e6:.0f} MB",
                hint="make room, or set NETTUNE_CACHE to a folder on another disk",
            )
        return _finish(cache, whole, local, say, kind)
    finally:
        if whole.exists():
            _discard(whole)


def _finish(cache: Path, whole: Path, local: Host, say: Callable[[str], None], kind: Kind) -> Image:
    made = build.build(kind, whole / "work", whole, local, say)
    shutil.rmtree(whole / "work")
    _seal(whole, made, kind)
    place = _place(cache, kind)
    whole.rename(place)
    _on_disk(place.parent)
    return checked(place, kind)


def _seal(folder: Path, made: build.Built, kind: Kind) -> None:
    """Everything on disk, then the manifest that calls it whole. Raises NotAble."""
    told = {
        "recipe": kind.recipe.digest(),
        "release": made.release,
        "sha256": {name: _sha256(folder / name) for name in kind.files},
        "packages": dict(made.packages),
    }
    try:
        for name in kind.files:
            _on_disk(folder / name)
        with (folder / _MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotAble(f"cannot write {folder}: {error.strerror}", hint="is the disk full?") from error


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(cache: Path, say: Callable[[str], None], kind: Kind) -> None:
    """Under the lock nobody else builds: what is unfinished is a killed build's, what is broken is of no use."""
    for folder in _images(cache).glob(f"{_UNFINISHED}*"):
        say(f"removing what a build that was killed left: {folder.name}")
        _discard(folder)
    place = _place(cache, kind)
    if place.exists():
        try:
            checked(place, kind)
        except Broken as error:
            say(f"building again, as what is in {place} is of no use: {error}")
        _discard(place)


def _discard(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that what is left of it, should this be cut short, is no image."""
    with contextlib.suppress(OSError):
        folder = folder.rename(folder.with_name(f"{_UNFINISHED}{secrets.token_hex(4)}"))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise NotAble(f"cannot remove {folder}", hint="who owns it? remove it by hand")


@contextlib.contextmanager
def _locked(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    path = _images(cache) / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise NotAble(
            f"cannot write {path}: {error.strerror}", hint="set NETTUNE_CACHE to a folder of yours"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is building; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _images(cache: Path) -> Path:
    return cache / "images"


def _place(cache: Path, kind: Kind) -> Path:
    return _images(cache) / kind.recipe.digest()[:_KEY_LENGTH]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
