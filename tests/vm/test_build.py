"""Builds that do not come to their end, for real: killed, or on a disk that fills up."""

import contextlib
import os
import signal
import subprocess  # noqa: TID251 - the tests stand outside the door
import sys
import time
from pathlib import Path

import pytest

from bench.facts.machine import in_user_namespace
from bench.hosts.local import Local
from bench.images import build, cache
from results.errors import NotAble
from tests.netns.nettune_command import PROGRAM
from tests.netns.ordinary_user import UID, prefix

# Mounts 250 MB on $1: enough for the packages, not for the tree. The estimate that would refuse it is set aside.
_SMALL = """\
set -eu
mount -t tmpfs -o size=250m tmpfs "$1"
code=0
"$2" -c "$3" "$1" || code=$?
ls -A "$1/images"
exit "$code"
"""
_BUILD = """\
import sys
from dataclasses import replace
from pathlib import Path
from bench.hosts.local import Local
from bench.images import cache
from bench.images.squash import LAB_KIND
cache.built(Path(sys.argv[1]), Local(), print, replace(LAB_KIND, room_bytes=0))
"""


@pytest.fixture(autouse=True)
def machines_root() -> None:
    """Only the machine's root can build everything here."""
    if os.geteuid() != 0 or in_user_namespace(Local()):
        pytest.skip("an image is built by the machine's root")


def _below(folder: Path) -> list[str]:
    """Processes that name the folder in their arguments, and mounts below it."""
    found = [line for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines() if str(folder) in line]
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = each.read_bytes().decode(errors="replace").replace("\0", " ")
            found += [words] if str(folder) in words else []
    return found


@pytest.mark.sampled(1)
def test_a_killed_build_ends_whole_and_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    """SIGKILL in the middle: no process, no mount, no image; what lies there is removed by name."""
    environment = {**os.environ, "NETTUNE_CACHE": str(tmp_path)}
    with subprocess.Popen([*PROGRAM, "image", "build"], env=environment, stderr=subprocess.DEVNULL) as program:
        deadline = time.monotonic() + 120
        while not any(tmp_path.glob("images/building-*/*/mmdebstrap.*/usr/bin")):
            assert program.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        program.send_signal(signal.SIGKILL)
        program.wait()
    while _below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert _below(tmp_path) == []
    assert cache.found(tmp_path) is None
    (left,) = cache.remove(tmp_path, print)
    assert left.name.startswith("building-")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["lock"]


@pytest.mark.sampled(1)
def test_a_disk_that_fills_up_is_named_and_left_empty(tmp_path: Path) -> None:
    """Whatever tool met it first, the error says that the disk is full, and how much it takes."""
    words = ["unshare", "--mount", "sh", "-c", _SMALL, "sh", str(tmp_path), sys.executable, _BUILD]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "lock"
    assert done.stderr.splitlines()[-1].endswith("mmdebstrap failed: No space left on device")


def test_an_ordinary_user_without_subordinate_ids_is_refused_by_name(tmp_path: Path) -> None:
    """The package and the files that it needs are in the hint."""
    place = tmp_path / "cache"
    place.mkdir()
    os.chown(place, UID, UID)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # pytest's own, one more of them where tests run in two processes
            folder.chmod(0o755)
    words = [*prefix(), "env", f"NETTUNE_CACHE={place}", *PROGRAM, "image", "build"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "nettune: on local: mmdebstrap failed: " in done.stderr
    assert "the package uidmap and lines in /etc/subuid" in done.stderr


def test_root_of_a_user_namespace_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it owns too few ids for a tree of files."""
    monkeypatch.setattr(build, "in_user_namespace", lambda _: True)
    with pytest.raises(NotAble, match="root of a user namespace cannot own the files of an image"):
        cache.built(tmp_path, Local(), print)

    assert [path.name for path in (tmp_path / "images").iterdir()] == ["lock"]
