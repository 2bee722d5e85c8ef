"""A Host by the word an operator names it with: this machine, or one over SSH."""

import contextlib
from collections.abc import Iterator

from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from results.errors import WrongInput

LOCAL, _SSH = "local", "ssh://"


def is_host(text: str) -> bool:
    """True for what names a host, and nothing else that an operator may name."""
    return text == LOCAL or text.startswith(_SSH)


@contextlib.contextmanager
def opened(text: str) -> Iterator[Host]:
    """The Host that `local` or ssh://user@address:port names. Raises WrongInput, and as `ssh.connected` does."""
    if text == LOCAL:
        yield Local()
        return
    if not text.startswith(_SSH):
        raise WrongInput(f"{text!r} names no host", hint="local, or ssh://root@pve1")
    login = Login.parse(text)
    with connected(login.address, login) as host:
        yield host
