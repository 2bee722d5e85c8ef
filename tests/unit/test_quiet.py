"""Tests that share the machine, and those that have it to themselves."""

import threading
import time
from pathlib import Path

from tests import quiet


def _taking(folder: Path, order: list[str], name: str, *, alone: bool) -> threading.Thread:
    def take() -> None:
        with quiet.share(folder, alone=alone):
            order.append(name)

    thread = threading.Thread(target=take)
    thread.start()
    return thread


def test_who_is_to_be_alone_waits_and_is_not_overtaken(tmp_path: Path) -> None:
    """Two share; a third waits for both to end; a fourth, which would share, comes after it."""
    order: list[str] = []
    with quiet.share(tmp_path, alone=False):
        _taking(tmp_path, order, "beside", alone=False).join(10)
        alone = _taking(tmp_path, order, "alone", alone=True)
        time.sleep(0.3)
        later = _taking(tmp_path, order, "later", alone=False)
        time.sleep(0.3)
        waiting = list(order)
    alone.join(10)
    later.join(10)

    assert waiting == ["beside"]
    assert order == ["beside", "alone", "later"]
