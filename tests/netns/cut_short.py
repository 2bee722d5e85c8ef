"""`nettune apply`, `confirm`, `rollback`: killed, or cut off from the host, right before the n-th command goes there.

    python -m tests.netns.cut_short STEP kill|cut|off|count VERB WORDS…

With STEP as `w3`, right before the third that writes there: under the host's lock, or files for the next boot; as
`g3`, the third of all from the arming of the guard on, which is the first that writes.
`cut` takes the desk's end of SSH down, or runs the words of NETTUNE_TEST_CUT; `off` runs those and kills it too;
`count` does nothing and prints how many commands there were.
"""

import contextlib
import os
import signal
import subprocess  # noqa: TID251 - cuts the way itself
import sys
import threading
from collections.abc import Iterator
from typing import Any

from bench.hosts.host import Host
from nettune import applying, changes
from nettune.__main__ import main
from tuning.applying.keeping import LIST
from tuning.guard import LEFT

counts = sys.argv[1].rstrip("0123456789")
step, how, *words = int(sys.argv[1].removeprefix(counts)), *sys.argv[2:]
sent = 0
_opened = vars(applying)["opened"]


class Counting:
    """A host whose commands are counted; everything else is its own."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:  # Any: whatever the host has
        return getattr(self._host, name)

    def run(self, command: Any) -> Any:  # Any: as Host's, which it passes on
        """See Host."""
        strike(command)
        return self._host.run(command)

    def run_all(self, commands: Any) -> Any:  # Any: as above
        """See Host."""
        strike(*commands)
        return self._host.run_all(commands)

    def start(self, command: Any) -> Any:  # Any: as above
        """See Host."""
        strike(command)
        return self._host.start(command)


def words_of(commands: Any) -> list[str]:  # Any: as Host's
    """All that is sent for them."""
    return [word for each in commands for word in (*each.argv, each.stdin or "")]


def strike(*commands: Any) -> None:  # Any: as Host's
    """One more command; the last one, where its number has come."""
    global sent  # noqa: PLW0603 - one program, one count
    words = set(words_of(commands)) - {LEFT, LIST}  # which take the lock, and read
    writes = any(each in word for word in words for each in ("flock -", "keep.next"))
    if not writes and (counts == "w" or (counts == "g" and sent == 0)):
        return
    sent += 1
    if sent != step:
        return
    if how in {"cut", "off"}:
        subprocess.run(os.environ.get("NETTUNE_TEST_CUT", "ip link set port-a down").split(), check=True)
    if how in {"kill", "off"}:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "cut" and (after_s := os.environ.get("NETTUNE_TEST_GIVES_UP_S")):
        threading.Timer(float(after_s), os.kill, (os.getpid(), signal.SIGKILL)).start()  # whoever sits there


@contextlib.contextmanager
def counted(word: str) -> Iterator[Host]:
    """As bench.hosts.opened.opened."""
    with _opened(word) as host:
        yield Counting(host)


for each in (applying, changes):
    vars(each)["opened"] = counted
sys.argv = ["nettune", *words]
try:
    main()
finally:
    if how == "count":
        sys.stderr.write(f"\nsent {sent}\n")
