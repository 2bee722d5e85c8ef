"""Putting things back is not cut short by a signal."""

import os
import signal
from types import FrameType

import pytest

from bench.shield import uninterrupted


class Told(Exception):  # noqa: N818 - what a handler raises
    """The signal arrived."""


def _tell(number: int, frame: FrameType | None) -> None:
    raise Told


def test_a_signal_waits_until_the_block_is_over() -> None:
    """The work inside is finished, and then the signal does what it always did."""
    before = signal.signal(signal.SIGTERM, _tell)
    done = []
    try:
        with pytest.raises(Told), uninterrupted():  # noqa: PT012 - the block is what is tested
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("put back")
    finally:
        signal.signal(signal.SIGTERM, before)

    expected = ["put back"]
    assert expected == done


def test_blocks_nest() -> None:
    """The inner block's end does not let a signal into the outer one."""
    before = signal.signal(signal.SIGINT, _tell)
    done = []
    try:
        with pytest.raises(Told), uninterrupted():  # noqa: PT012 - the block is what is tested
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGINT)
            done.append("outer")
    finally:
        signal.signal(signal.SIGINT, before)

    expected = ["outer"]
    assert expected == done
