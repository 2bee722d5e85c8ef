"""A Host by the word an operator names it with: this machine, or one over SSH."""

import contextlib
from collections.abc import Iterator

from bench.hosts import ssh_config
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from results.errors import WrongInput

LOCAL, _SSH, _SUDO = "local", "ssh://", "ssh+sudo://"


def is_host(text: str) -> bool:
    """True for what names a host, and nothing else that an operator may name."""
    return text == LOCAL or text.startswith((_SSH, _SUDO))


@contextlib.contextmanager
def opened(text: str) -> Iterator[Host]:
    """The Host that `local` or ssh://user@name:port names, ssh+sudo:// where that user is root through sudo alone.

    A name is what it is to the operator's own ssh. Raises WrongInput, and as `ssh.connected` does.
    """
    if text == LOCAL:
        yield Local()
        return
    if not is_host(text):
        raise WrongInput(f"{text!r} names no host", hint="local, ssh://root@pve1, or ssh+sudo://admin@pve1")
    sudo = text.startswith(_SUDO)
    plain = text.replace(_SUDO, _SSH, 1)
    login = ssh_config.login(plain, sudo=sudo)
    with connected(Login.parse(plain).address, login) as host:
        yield host
