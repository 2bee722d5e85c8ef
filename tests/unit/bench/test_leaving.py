"""What could not be removed is said whether the block itself failed or not, and the lease stays for reap."""

from pathlib import Path

import pytest

from bench.labs import lease
from bench.pve.leaving import removing
from results.errors import NotAble

HINT = "nettune lab reap, later"


def test_a_block_that_fails_tells_what_was_not_removed_beside_its_own_error(tmp_path: Path) -> None:
    """As a note: the first error is the one to be seen."""
    with (
        pytest.raises(ValueError, match="no such network") as raised,
        lease.held(tmp_path) as held,
        removing(held, lambda: ["VM 100 on pve1: connection refused"], HINT),
    ):
        raise ValueError("no such network")

    assert raised.value.__notes__ == [f"not removed: VM 100 on pve1: connection refused; {HINT}"]
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_a_block_that_ends_well_fails_where_something_is_left(tmp_path: Path) -> None:
    """With the way to remove it."""
    with (
        pytest.raises(NotAble, match="not removed: vmbr901 on pve1: busy") as raised,
        lease.held(tmp_path) as held,
        removing(held, lambda: ["vmbr901 on pve1: busy"], HINT),
    ):
        pass

    assert raised.value.hint == HINT
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_where_all_is_removed_the_lease_goes_and_nothing_is_said(tmp_path: Path) -> None:
    """Whatever became of the block."""
    with lease.held(tmp_path) as held, removing(held, list, HINT):
        pass
    with pytest.raises(ValueError, match="its own") as raised, lease.held(tmp_path) as held, removing(held, list, HINT):
        raise ValueError("its own")

    assert not hasattr(raised.value, "__notes__")
    assert list(tmp_path.glob("*.jsonl")) == []
