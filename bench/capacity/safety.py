"""What a capacity run may do to machines that others use, as its user said it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.hosts.command import Command
from bench.hosts.host import Host
from results.errors import NotAble, WrongInput, first_of
from results.records import Run

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%?")
_LEAST_PCT, _MOST_PCT = 5.0, 100.0
_NAMED = 6
# Guests of a Proxmox VE, of libvirt or of anybody's QEMU that run on the machine itself, below the root $1. A pid file
# may be older than its guest's end. QEMU writes it for root alone: one that cannot be read is that of a guest that may
# run, as it is where /proc hides the processes of others (hidepid). Of QEMU's processes those of a lab of ours, by
# their NIC for SSH (bench.labs.guests) or their kernel (bench.images), are no guests of others.
_RUNNING = r"""
{
for file in "$1"/run/qemu-server/*.pid "$1"/run/libvirt/qemu/*.pid; do
[ -e "$file" ] || continue
pid=; { read -r pid <"$file"; } 2>/dev/null
[ -n "$pid" ] && [ -d "$1/proc/1" ] && [ ! -d "$1/proc/$pid" ] && continue
file=${file##*/}; echo "VM ${file%.pid}"
done
for process in "$1"/proc/[0-9]*; do
comm=; { read -r comm <"$process/comm"; } 2>/dev/null
case $comm in kvm|qemu-kvm|qemu-system*) ;; *) continue ;; esac
tr '\0' '\n' <"$process/cmdline" 2>/dev/null | awk -v pid="${process##*/}" '
/^user,id=control,restrict=on/ || (was == "-kernel" && /\/images\/[0-9a-f]+\/kernel$/) {ours = 1}
was == "-id" {id = $0} was == "-name" {name = $0} {was = $0}
END {if (ours) exit; sub(/^guest=/, "", name); sub(/,.*/, "", name)
print "VM " (id ? id : name ? name : "of process " pid)}'
done
for folder in "$1"/sys/fs/cgroup/lxc/[0-9]*; do [ -d "$folder" ] && echo "container ${folder##*/}"; done
} | sort -u"""


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

    def going_on(self, run: Run) -> "Safety":
        """What the rest of a run is held to: the ceiling that it began with; others where either says so.

        Raises WrongInput where another ceiling is asked for.
        """
        began_with = run.machine.get("max host CPU", "")
        if self.cpu_most and share(began_with) != self.cpu_most:
            raise WrongInput(
                f"run {run.run_id} began with {f'--max-host-cpu {began_with}' if began_with else 'no --max-host-cpu'}, "
                "and --resume goes on with that",
                hint="leave out --max-host-cpu, or start a new run",
            )
        return Safety(share(began_with), self.shared_host or run.machine.get("shared host") == "on")


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


def check_here(local: Host, safety: Safety, root: str = "") -> None:
    """Raise NotAble where guests run, or may run, on this very machine, unless that is known: nobody watches them here.

    `root`: where its /run, /proc and /sys are.
    """
    found = local.run(Command(("sh", "-c", _RUNNING, "sh", root))).stdout.splitlines()
    if found and not safety.shared_host:
        raise NotAble(
            f"guests run on this machine, and would have what the load leaves: {first_of(found, _NAMED)}",
            hint="another machine; or --shared-host with --max-host-cpu 60%: they are not watched themselves here",
        )
