"""A Host by the word an operator names it with: this machine, or one over SSH."""

import contextlib
from collections.abc import Iterator

from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import connected


@contextlib.contextmanager
def opened(text: str) -> Iterator[Host]:
    """The Host that `local` or ssh://user@address:port names. Raises WrongInput, and as `ssh.connected` does."""
    if text == "local":
        yield Local()
        return
    login = Login.parse(text)
    with connected(str(login), login) as host:
        yield host
