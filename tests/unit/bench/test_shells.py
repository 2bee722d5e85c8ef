"""The nodes' own SSH from several threads: one word at a time to each node, and no node waits for another."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.hosts.command import Command, Outcome
from bench.hosts.login import Login
from bench.pve import shells

LOGINS = {name: Login(name) for name in ("pve1", "pve2")}
WORD = Command(("qm", "importdisk"))


class Meets:
    """A node whose command ends once both nodes' run; of one node alone no two do."""

    def __init__(self, name: str, meeting: threading.Barrier) -> None:
        self._name, self._meeting, self._alone = name, meeting, threading.Lock()

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        assert self._alone.acquire(blocking=False)
        try:
            self._meeting.wait(5)
        finally:
            self._alone.release()
        return Outcome(command, self._name, 0, "", "", 0.0)


def test_one_node_does_not_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of two nodes run at the same time, those of one node one after the other over one connection."""
    meeting, opened = threading.Barrier(2), []

    @contextlib.contextmanager
    def connected(name: str, login: Login) -> Iterator[Meets]:
        assert login == LOGINS[name]
        opened.append(name)
        yield Meets(name, meeting)

    monkeypatch.setattr(shells, "connected", connected)
    with shells.opened(LOGINS) as by, ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda node: by.run(node, WORD, "so"), ["pve1", "pve1", "pve2", "pve2"]))

    assert [each.host for each in done] == ["pve1", "pve1", "pve2", "pve2"]
    assert sorted(opened) == ["pve1", "pve2"]
