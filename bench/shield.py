"""Work that a signal may delay but not cut short: putting things back.

Handlers are exchanged, not masks: libraries run threads of their own, a signal is delivered to any of them, and Python
then runs its handler in the main thread whatever that thread blocks.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP wait until the block is over; then they do what they always did. Main thread only."""
    waiting: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        del frame
        waiting.append(number)

    before = {number: signal.signal(number, keep) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if waiting:
            signal.raise_signal(waiting[0])


def carried_through(work: Callable[[], None]) -> None:
    """Do `work` uninterrupted, also when a signal strikes just before it begins; that one is raised afterwards."""
    begun = False

    def once() -> None:
        nonlocal begun
        begun = True
        work()

    try:
        with uninterrupted():
            once()
    except BaseException:
        if not begun:
            with uninterrupted():
                once()
        raise
