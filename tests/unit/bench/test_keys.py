"""The folder of a lab's keys: gone with its lease, and a place that cannot be written is named."""

from pathlib import Path

import pytest

from bench.labs import keys
from results.errors import NotAble


def test_a_key_is_its_owners_alone_and_gone_with_the_block(tmp_path: Path) -> None:
    """With its lease."""
    with keys.leased(tmp_path / "leases") as folder:
        keys.client(folder)
        mode = (folder / keys.CLIENT).stat().st_mode & 0o777
        leases = list((tmp_path / "leases").glob("*.jsonl"))

    assert (mode, len(leases)) == (0o600, 1)
    assert not folder.exists()
    assert list((tmp_path / "leases").glob("*.jsonl")) == []


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """A file stands where the folder belongs."""
    (tmp_path / "guests").write_text("", encoding="utf-8")
    with pytest.raises(NotAble, match="cannot be written"), keys.leased(tmp_path / "leases"):
        pass

    assert list((tmp_path / "leases").glob("*.jsonl")) == []
