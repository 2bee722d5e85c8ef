"""Files are written whole or not at all, and only files are replaced."""

import os
from pathlib import Path

import pytest

from nettune import files
from results.errors import NotAble


def test_text_and_bytes_are_written_with_their_folders(tmp_path: Path) -> None:
    """What was there before is replaced; nothing is left beside it."""
    path = tmp_path / "new" / "x"
    for content, expected in (("é", "é".encode()), (b"\x00\xff", b"\x00\xff")):
        files.write(path, content)

        assert path.read_bytes() == expected
        assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    """A report that is published through a link stays published."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write(tmp_path / "link", "x")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text(encoding="utf-8") == "x"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """Root's `-o /dev/null` must not make /dev/null a file."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        files.write(tmp_path / "pipe", "x")
        said = os.read(reader, 10)
    finally:
        os.close(reader)

    assert (said, (tmp_path / "pipe").is_fifo()) == (b"x", True)


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    """A folder, a name with a NUL, a name that is too long, a loop of links: the name as it was typed, no traceback."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in (str(tmp_path), f"{tmp_path}/x\0y", f"{tmp_path}/{'x' * 300}", f"{tmp_path}/a/x"):
        with pytest.raises(NotAble) as told:
            files.write(Path(name), "x")

        assert str(told.value).startswith(f"cannot write {name}: ")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_an_interruption_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor the .part."""

    class Stop(BaseException):
        """As `nettune.__main__.Interrupted`."""

    def stop(descriptor: int) -> None:
        raise Stop

    files.write(tmp_path / "x", "before")
    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(Stop):
        files.write(tmp_path / "x", "after")

    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x", "before")]
