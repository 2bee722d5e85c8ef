"""What a capacity run may do to machines that others use, as its user said it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.hosts.command import Command
from bench.hosts.host import Host
from results.errors import NotAble, WrongInput, first_of

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%?")
_LEAST_PCT, _MOST_PCT = 5.0, 100.0
_NAMED = 6
# Guests of a Proxmox VE or of libvirt that run on the machine itself; a pid file may be older than the last boot.
_RUNNING = """\
for file in /run/qemu-server/*.pid /run/libvirt/qemu/*.pid; do
pid=; { read -r pid <"$file"; } 2>/dev/null
[ -n "$pid" ] && [ -d "/proc/$pid" ] && file=${file##*/} && echo "VM ${file%.pid}"
done
for folder in /sys/fs/cgroup/lxc/[0-9]*; do [ -d "$folder" ] && echo "container ${folder##*/}"; done
:"""


@dataclass(frozen=True, slots=True)
class Safety:
    """`cpu_most`: share of a machine's CPUs above which load ends; 0 no ceiling. `shared_host`: others may be there."""

    cpu_most: float = 0.0
    shared_host: bool = False

    @property
    def told(self) -> Mapping[str, str]:
        """What a run keeps of it."""
        most = {"max host CPU": f"{100 * self.cpu_most:g} %"} if self.cpu_most else {}
        return {**most, **({"shared host": "on"} if self.shared_host else {})}


NO_CARE = Safety()


def share(text: str) -> float:
    """0.7 for "70%" or "70"; 0 for no word at all. Raises WrongInput."""
    if not text:
        return 0.0
    found = _SHARE.fullmatch(text.strip())
    if not found or not _LEAST_PCT <= float(found[1]) <= _MOST_PCT:
        raise WrongInput(
            f"--max-host-cpu {text}: a share of a machine's CPUs is {_LEAST_PCT:g}% to {_MOST_PCT:g}%",
            hint="--max-host-cpu 70%",
        )
    return float(found[1]) / 100


def check_here(local: Host, safety: Safety) -> None:
    """Raise NotAble where guests run on this very machine, unless that is known: nobody watches them here."""
    found = local.run(Command(("sh", "-c", _RUNNING))).stdout.splitlines()
    if found and not safety.shared_host:
        raise NotAble(
            f"guests run on this machine, and would have what the load leaves: {first_of(found, _NAMED)}",
            hint="another machine; or --shared-host with --max-host-cpu 60%: they are not watched themselves here",
        )
