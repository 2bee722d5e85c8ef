"""The cache of images: only what is whole and of this recipe is given out; everything else is named and built again."""

import fcntl
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.images import build, cache
from bench.images.build import Kind
from results.errors import NotAble

LAB, NICS, DISK = (replace(kind, room_bytes=0) for kind in cache.KINDS)


@pytest.fixture
def built_by(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Builds that take no time: the folders that they were asked to fill."""
    asked: list[Path] = []

    def quick(kind: Kind, work: Path, out: Path, local: Host, say: Callable[[str], None]) -> build.Built:
        asked.append(out)
        assert list(work.iterdir()) == []
        for name in kind.files:
            (out / name).write_bytes(name.encode() * 100)
        return build.Built("6.1.0-test", {"iperf3": "3.12-1"})

    monkeypatch.setattr(build, "build", quick)
    return asked


def _build(folder: Path, kind: Kind = LAB) -> tuple[cache.Image, list[str]]:
    said: list[str] = []
    return cache.built(folder, Local(), said.append, kind), said


def test_what_was_built_is_found_and_not_built_again(tmp_path: Path, built_by: list[Path]) -> None:
    """The same image, by the digest of its content, from one build."""
    assert cache.found(tmp_path) is None

    first, _ = _build(tmp_path)
    again, said = _build(tmp_path)

    assert cache.found(tmp_path) == first == again
    assert len(built_by) == 1
    assert said == []
    assert (first.release, first.packages) == ("6.1.0-test", {"iperf3": "3.12-1"})
    assert first.root.read_bytes() == b"root.squashfs" * 100
    assert sorted(path.name for path in first.folder.iterdir()) == [
        "initrd",
        "kernel",
        "manifest.json",
        "root.squashfs",
    ]


def _truncated(image: cache.Image) -> None:
    image.root.write_bytes(image.root.read_bytes()[:-1])


def _one_bit(image: cache.Image) -> None:
    content = bytearray(image.kernel.read_bytes())
    content[7] ^= 1
    image.kernel.write_bytes(content)


def _gone(image: cache.Image) -> None:
    image.initrd.unlink()


def _a_folder(image: cache.Image) -> None:
    image.initrd.unlink()
    image.initrd.mkdir()


def _no_manifest(image: cache.Image) -> None:
    (image.folder / "manifest.json").unlink()


def _half_a_manifest(image: cache.Image) -> None:
    path = image.folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")


def _another_manifest(image: cache.Image) -> None:
    (image.folder / "manifest.json").write_text("[1, 2]", encoding="utf-8")


def _older_recipe(image: cache.Image) -> None:
    path = image.folder / "manifest.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "recipe": "0" * 64}), encoding="utf-8")


BROKEN = {
    "truncated": (_truncated, "root.squashfs is not what was built"),
    "one bit": (_one_bit, "kernel is not what was built"),
    "a file is gone": (_gone, "initrd: No such file"),
    "a folder in a file's place": (_a_folder, "initrd: Is a directory"),
    "no manifest": (_no_manifest, "never finished"),
    "half a manifest": (_half_a_manifest, "manifest.json cannot be read"),
    "another document": (_another_manifest, "manifest.json cannot be read"),
    "older recipe": (_older_recipe, "made by another recipe"),
}


@pytest.mark.parametrize(("harm", "word"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_never_used_but_named_and_built_again(
    tmp_path: Path, built_by: list[Path], harm: Callable[[cache.Image], None], word: str
) -> None:
    """Nothing is found, list says why, built says why and builds."""
    image, _ = _build(tmp_path)
    harm(image)

    assert cache.found(tmp_path) is None
    ((_, listed, problem),) = cache.listed(tmp_path)
    assert listed is None
    assert word in problem

    again, said = _build(tmp_path)

    assert word in "\n".join(said)
    assert cache.found(tmp_path) == again
    assert len(built_by) == 2


def test_another_recipe_is_another_image(tmp_path: Path, built_by: list[Path]) -> None:
    """A new version of nettune builds its own beside the older one."""
    first, _ = _build(tmp_path)
    newer = replace(LAB, recipe=replace(LAB.recipe, packages=(*LAB.recipe.packages, "fping")))

    assert cache.found(tmp_path, newer) is None
    second, _ = _build(tmp_path, newer)

    assert first.folder != second.folder


def test_the_kinds_lie_side_by_side_and_none_is_taken_for_another(tmp_path: Path, built_by: list[Path]) -> None:
    """A lab never boots the disk for Proxmox; `list` says which is which, and `remove` takes both."""
    disk, _ = _build(tmp_path, DISK)

    assert cache.found(tmp_path) is None
    lab, _ = _build(tmp_path)
    nics, _ = _build(tmp_path, NICS)
    with pytest.raises(cache.Broken, match="made by another recipe"):
        cache.checked(disk.folder, LAB)

    assert disk.disk.read_bytes() == b"disk.qcow2" * 100
    assert {image.kind for _, image, _ in cache.listed(tmp_path) if image} == {"lab", "nics", "disk"}
    assert set(cache.remove(tmp_path, print)) == {disk.folder, lab.folder, nics.folder}


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an image nor a folder of work, whatever ended it."""

    def failing(kind: Kind, work: Path, out: Path, local: Host, say: Callable[[str], None]) -> build.Built:
        (work / "half").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build", failing)
    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path)

    assert [path.name for path in (tmp_path / "images").iterdir()] == ["lock"]


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path, built_by: list[Path]) -> None:
    """Said by name; it was never taken for an image."""
    left = tmp_path / "images" / "building-dead" / "work"
    left.mkdir(parents=True)
    (left / "debian.tar").write_bytes(b"half")

    assert cache.found(tmp_path) is None
    _, said = _build(tmp_path)

    assert said[0] == "removing what a build that was killed left: building-dead"
    assert not left.exists()


def test_two_builds_at_once_are_one(tmp_path: Path, built_by: list[Path]) -> None:
    """The second waits for the lock, says so, and then finds what the first made."""
    (tmp_path / "images").mkdir()
    said: list[str] = []
    done: list[cache.Image] = []
    waiting = threading.Event()

    def told(line: str) -> None:
        said.append(line)
        waiting.set()

    with (tmp_path / "images" / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: done.append(cache.built(tmp_path, Local(), told, LAB)))
        second.start()
        assert waiting.wait(30)
        (tmp_path / "images" / "building-first" / "work").mkdir(parents=True)
        first = cache._finish(tmp_path, tmp_path / "images" / "building-first", Local(), said.append, LAB)
    second.join(30)

    assert done == [first]
    assert len(built_by) == 1
    assert said == ["another process is building; waiting for it"]


def test_remove_removes_every_image_and_what_was_left(tmp_path: Path, built_by: list[Path]) -> None:
    """Only the lock stays; a second time there is nothing to do."""
    image, _ = _build(tmp_path)
    (tmp_path / "images" / "building-dead").mkdir()

    assert set(cache.remove(tmp_path, print)) == {image.folder, tmp_path / "images" / "building-dead"}
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["lock"]
    assert cache.remove(tmp_path, print) == ()


def test_a_disk_without_room_is_refused_before_anything_is_built(tmp_path: Path, built_by: list[Path]) -> None:
    """The error names the folder, what is there and what is needed."""
    with pytest.raises(NotAble, match=r"MB left; building an image takes 1000000000000 MB") as raised:
        _build(tmp_path, replace(LAB, room_bytes=10**18))

    assert "NETTUNE_CACHE" in raised.value.hint
    assert built_by == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "cache").write_text("no folder", encoding="utf-8")
    with pytest.raises(NotAble, match=r"cannot write .*/cache/images/lock: "):
        _build(tmp_path / "cache")
