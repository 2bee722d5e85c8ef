"""A host that a verb names: this machine, or one over SSH; and what it tells of itself. Changes nothing there."""

import contextlib
from collections.abc import Iterator, Sequence

from bench.facts import hardware
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from results.errors import WrongInput
from tuning.standings import Reading

LOCAL, _SSH = "local", "ssh://"


def is_host(word: str) -> bool:
    """True for what names a host and no profile."""
    return word == LOCAL or word.startswith(_SSH)


@contextlib.contextmanager
def opened(word: str) -> Iterator[Host]:
    """The host of that name. Raises WrongInput, or HostFault where it cannot be reached."""
    if word == LOCAL:
        yield Local()
        return
    if not word.startswith(_SSH):
        raise WrongInput(f"{word!r} names no host", hint="local, or ssh://root@pve1")
    login = Login.parse(word)
    with connected(login.address, login) as host:
        yield host


def reading(word: str, devices: Sequence[str]) -> Reading:
    """Everything that host tells, and the devices in question. Raises WrongInput for a device that it has not."""
    with opened(word) as host:
        for device in devices:
            if not host.run(hardware.is_device(device)).ok:
                raise WrongInput(f"on {host.name}: there is no device {device!r}")
        facts, found = hardware.read(host, devices)
        return Reading(host.name, facts, found)
