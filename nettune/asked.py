"""What a host that a verb names tells of itself. Changes nothing there."""

from collections.abc import Sequence

from bench.facts import hardware
from bench.hosts.host import Host
from bench.hosts.opened import opened
from results.errors import NotAble
from tuning.standings import Reading


def reading(word: str, devices: Sequence[str]) -> Reading:
    """Everything that host tells, and the devices in question. Raises NotAble for a device that it has not."""
    with opened(word) as host:
        return of(host, devices)


def of(host: Host, devices: Sequence[str]) -> Reading:
    """The same of a host that is open. Raises as `reading`."""
    for device in devices:
        if not host.run(hardware.is_device(device)).ok:
            raise NotAble(f"on {host.name}: there is no device {device!r}", hint="`ip -br link` lists them")
    facts, found = hardware.read(host, devices)
    return Reading(host.name, facts, found)
