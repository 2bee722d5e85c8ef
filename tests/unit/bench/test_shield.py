"""Putting things back is not cut short by a signal."""

import os
import signal
from types import FrameType

import pytest

from bench.shield import carried_through, uninterrupted


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


def test_work_is_done_though_a_signal_strikes_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt to shield it is cut short; it is done all the same, once, and the signal is raised after it."""
    done = []
    struck = iter([True, False])

    def strike(number: int, handler: object) -> object:
        if next(struck, False):
            raise Told
        return signal.SIG_DFL

    monkeypatch.setattr(signal, "signal", strike)
    with pytest.raises(Told):
        carried_through(lambda: done.append("put back"))

    expected = ["put back"]
    assert expected == done
