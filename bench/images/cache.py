"""What was built, kept by the digest of its recipe; only what is whole and of this recipe is ever given out.

CACHE/images/DIGEST/    an image: kernel, initrd, root.squashfs and manifest.json, renamed into place when whole
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
from bench.images import build, recipe
from results.errors import NotAble

_MANIFEST = "manifest.json"
_FILES = (build.KERNEL, build.INITRD, build.ROOT)
_UNFINISHED = "building-"
_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest boots from."""

    folder: Path
    kernel: Path
    initrd: Path
    root: Path
    release: str
    digest: str  # of the content: one digest, one guest
    packages: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """What its three files take on the disk."""
        return sum(path.stat().st_size for path in (self.kernel, self.initrd, self.root))


class Broken(NotAble):
    """A folder of the cache is no image of this recipe; says why."""


def found(cache: Path) -> Image | None:
    """The image of this recipe when it is there and whole, every byte checked; else None.

    SHA-256 of 105 MB takes 0.09 s where the processor has instructions for it (measured), so there is no shortcut.
    """
    try:
        return checked(_place(cache))
    except Broken:
        return None


def built(cache: Path, local: Host, say: Callable[[str], None]) -> Image:
    """The image of this recipe, found or built now: about a minute and 85 MB of downloads, 105 MB kept.

    Two builds at once are one: the second waits, and finds what the first made. Raises NotAble.
    """
    if not local.local:
        raise ValueError("an image is built on this machine: its files are read here")
    ready = found(cache)
    if ready is not None:
        return ready
    with _locked(cache, say):
        ready = found(cache)
        if ready is not None:
            return ready
        _sweep(cache, say)
        return _build(cache, local, say)


def checked(folder: Path) -> Image:
    """The image in a folder. Raises Broken, saying why, when it is not whole or of another recipe."""
    try:
        told = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        sums, release, packages = dict(told["sha256"]), str(told["release"]), dict(told["packages"])
        recipe_digest = told["recipe"]
    except FileNotFoundError as error:
        raise Broken("never finished") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Broken(f"{_MANIFEST} cannot be read: {error}") from error
    if recipe_digest != recipe.digest():
        raise Broken("made by another recipe")
    for name in _FILES:
        try:
            actual = _sha256(folder / name)
        except OSError as error:
            raise Broken(f"{name}: {error.strerror}") from error
        if actual != sums.get(name):
            raise Broken(f"{name} is not what was built (SHA-256 {actual[:12]}…)")
    kernel, initrd, root = (folder / name for name in _FILES)
    return Image(folder, kernel, initrd, root, release, _content_digest(sums), packages)


def listed(cache: Path) -> tuple[tuple[Path, Image | None, str], ...]:
    """Every folder of the cache, with its image or why it holds none."""
    rows: list[tuple[Path, Image | None, str]] = []
    for folder in sorted(path for path in _images(cache).glob("*") if path.is_dir()):
        try:
            rows.append((folder, checked(folder), ""))
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


def _build(cache: Path, local: Host, say: Callable[[str], None]) -> Image:
    whole = _images(cache) / f"{_UNFINISHED}{secrets.token_hex(4)}"
    try:
        (whole / "work").mkdir(parents=True)
    except OSError as error:
        raise NotAble(
            f"cannot create {whole}: {error.strerror}", hint="set NETTUNE_CACHE to a folder of yours"
        ) from error
    try:
        free_bytes = shutil.disk_usage(whole).free
        if free_bytes < build.ROOM_BYTES:
            raise NotAble(
                f"{cache} has {free_bytes / 1e6:.0f} MB left; building an image takes {build.ROOM_BYTES / 1e6:.0f} MB",
                hint="make room, or set NETTUNE_CACHE to a folder on another disk",
            )
        return _finish(cache, whole, local, say)
    finally:
        if whole.exists():
            _discard(whole)


def _finish(cache: Path, whole: Path, local: Host, say: Callable[[str], None]) -> Image:
    made = build.build(whole / "work", whole, local, say)
    shutil.rmtree(whole / "work")
    _seal(whole, made)
    place = _place(cache)
    whole.rename(place)
    _on_disk(place.parent)
    return checked(place)


def _seal(folder: Path, made: build.Built) -> None:
    """Everything on disk, then the manifest that calls it whole. Raises NotAble."""
    told = {
        "recipe": recipe.digest(),
        "release": made.release,
        "sha256": {name: _sha256(folder / name) for name in _FILES},
        "packages": dict(made.packages),
    }
    try:
        for name in _FILES:
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


def _sweep(cache: Path, say: Callable[[str], None]) -> None:
    """Under the lock nobody else builds: what is unfinished is a killed build's, what is broken is of no use."""
    for folder in _images(cache).glob(f"{_UNFINISHED}*"):
        say(f"removing what a build that was killed left: {folder.name}")
        _discard(folder)
    place = _place(cache)
    if place.exists():
        try:
            checked(place)
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


def _place(cache: Path) -> Path:
    return _images(cache) / recipe.digest()[:_KEY_LENGTH]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(sums: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(sums[name] for name in _FILES).encode()).hexdigest()
