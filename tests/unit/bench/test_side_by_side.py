"""Guests that are made side by side: once one has failed none is begun any more, and nobody is left behind."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

import pytest

from bench.pve.deploying import _side_by_side
from bench.pve.errors import PveFault
from bench.pve.machines import Made

AT_ONCE = 2


class Making:
    """Makes of guests; the first one ends as it is told, the second takes a while."""

    def __init__(self, first: Callable[[], None]) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.second = threading.Event()
        self._first = first

    def make(self, number: int) -> Made:
        """The guest with that number."""
        self.begun.append(number)
        if number == 0:
            self.second.wait(5)
            time.sleep(0.05)
            self._first()
        if number == 1:
            self.second.set()
            time.sleep(0.4)
        self.ended.append(number)
        return Made("qemu", "pve1", 100 + number, f"vm{number}")

    def all(self) -> list[Callable[[], Made]]:
        """Of many more than are made at once."""
        return [lambda number=number: self.make(number) for number in range(20)]  # type: ignore[misc]  # bound so


def _refused() -> None:
    raise PveFault("POST /nodes/pve1/qemu", 500, "no space left")


def _interrupted() -> None:
    """Ctrl-C, which the main thread gets."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
    time.sleep(0.1)


def test_the_first_failure_ends_what_has_not_begun() -> None:
    """It is what is raised; the one beside it has ended by then."""
    making = Making(_refused)
    with pytest.raises(PveFault, match="no space left"):
        _side_by_side(making.all(), AT_ONCE, [])

    assert sorted(making.begun) == [0, 1]
    assert making.ended == [1]


def test_an_interrupt_ends_what_has_not_begun() -> None:
    """Those under way end first, so that all that was made can be removed."""
    making = Making(_interrupted)
    jobs: list[Future[Made]] = []
    with pytest.raises(KeyboardInterrupt):
        _side_by_side(making.all(), AT_ONCE, jobs)

    assert len(making.begun) < 20
    assert sorted(making.begun) == sorted(making.ended)
    assert all(job.done() for job in jobs)


def test_a_second_interrupt_says_what_was_still_being_made() -> None:
    """Its jobs are not done then, by which the lease is kept."""

    def twice() -> None:
        _interrupted()
        _interrupted()
        time.sleep(0.4)

    making = Making(twice)
    jobs: list[Future[Made]] = []
    with pytest.raises(KeyboardInterrupt):
        _side_by_side(making.all(), AT_ONCE, jobs)
    going_on = [job for job in jobs if not job.done()]
    wait(going_on)

    assert len(going_on) in {1, 2}
    assert sorted(making.begun) == [0, 1]


def test_all_are_made_in_their_order() -> None:
    """Where none fails."""
    made = _side_by_side(Making(lambda: None).all(), AT_ONCE, [])

    assert [each.vmid for each in made] == list(range(100, 120))
