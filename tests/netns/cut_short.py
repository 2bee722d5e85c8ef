"""`nettune apply` that is killed, or loses its way to the host, right before it sends its n-th command there.

    python -m tests.netns.cut_short STEP kill|cut|count VERB WORDS…

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
from nettune import applying
from nettune.__main__ import main

step, how, *words = int(sys.argv[1]), *sys.argv[2:]
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
        strike()
        return self._host.run(command)

    def run_all(self, commands: Any) -> Any:  # Any: as above
        """See Host."""
        strike()
        return self._host.run_all(commands)

    def start(self, command: Any) -> Any:  # Any: as above
        """See Host."""
        strike()
        return self._host.start(command)


def strike() -> None:
    """One more command; the last one, where its number has come."""
    global sent  # noqa: PLW0603 - one program, one count
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


vars(applying)["opened"] = counted
sys.argv = ["nettune", *words]
try:
    main()
finally:
    if how == "count":
        sys.stderr.write(f"\nsent {sent}\n")
