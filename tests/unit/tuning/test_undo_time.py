"""How long a change may take to be taken back, which decides what is still written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.errors import NotAble
from tuning.applying.carrying import undo_s


def test_legs_that_are_set_up_anew_one_after_the_other_count() -> None:
    """Two need one wait; slow LACP 30 s, as long as the script waits for a leg."""
    assert undo_s("pve1", 12, 1, 10.0, 120) == 2
    assert undo_s("pve1", 12, 2, 10.2, 120) == 13
    assert undo_s("pve1", 12, 2, 100.0, 120) == 33


def test_a_confirmation_that_is_shorter_than_the_legs_need_is_refused() -> None:
    """By the time that would do."""
    with pytest.raises(NotAble, match="may take 93 s") as raised:
        undo_s("pve1", 12, 4, 100.0, 120)

    assert raised.value.hint == "--confirm-within 186"
    assert undo_s("pve1", 12, 4, 100.0, 186) == 93


@given(st.integers(0, 500), st.integers(5, 3600))
def test_without_legs_half_of_the_time_is_left_to_write(lines: int, confirm_s: int) -> None:
    """However many lines there are."""
    assert 0 <= undo_s("pve1", lines, 1, 100.0, confirm_s) <= confirm_s // 2
