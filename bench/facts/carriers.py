"""The threads that carry guests' packets on their machine, and how long each ran: /proc/PID/task/*/stat.

With vhost they are the kernel's (`vhost-PID`: tasks of QEMU's own process from Linux 6.4 on, threads of the kernel
before); without it QEMU's main loop moves every packet itself. Which is which their names say
(`-name …,debug-threads=on`, which Proxmox sets too).
"""

import re
from collections.abc import Mapping, Sequence

from bench.hosts.command import Command, Outcome

# $1 … are QEMU's pid files, each named for its guest. A guest that is just being started anew has none.
_SCRIPT = """\
for file; do
{ read -r pid <"$file"; } 2>/dev/null || continue
printf 'guest %s %s\\n' "${file##*/}" "$pid"
cat "/proc/$pid/task/"*/stat 2>/dev/null
tr '\\0' ',' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'vhost=on' || continue
cat "/proc/$pid/task/"*/comm 2>/dev/null | grep -q '^vhost-' && continue
for comm in /proc/[0-9]*/comm; do
name=; { read -r name <"$comm"; } 2>/dev/null
[ "$name" != "vhost-$pid" ] || cat "${comm%comm}stat"
done
done
"""
_SHELL = ("sh", "-c", _SCRIPT, "sh")
# proc(5): pid (comm) state, ten numbers, utime, stime; a comm may hold anything but a line feed, which is escaped.
_STAT = re.compile(r"(\d+) \((.*)\) \S+(?: -?\d+){10} (\d+) (\d+) ")
_CARRYING = re.compile(r"vhost-.*|IO (?!mon_iothread$).*")  # vhost's, and QEMU's I/O threads but its monitor's


def question(pid_files: Sequence[str]) -> Command:
    """What a machine is asked of the guests with these pid files."""
    return Command((*_SHELL, *pid_files))


def is_question(outcome: Outcome) -> bool:
    """Whether it is the answer to `question`."""
    return outcome.command.argv[: len(_SHELL)] == _SHELL


def parse(outcome: Outcome) -> dict[str, int]:
    """Ticks of 1/USER_HZ s by thread: "guest a: main loop", "guest a: vhost-4711"; those of its CPUs are not told."""
    found: dict[str, int] = {}
    guest, main = "", ""
    for line in outcome.stdout.split("\n"):
        if line.startswith("guest "):
            _, guest, main = line.split(" ", 2)
        elif (read := _STAT.match(line)) and guest:
            thread, name, user, system = read.groups()
            told = "main loop" if thread == main else f"{name} ({thread})"  # vhost's workers have one name
            if thread == main or _CARRYING.fullmatch(name):
                word = f"guest {guest.removesuffix('.pid')}: {told}"
                found[word] = found.get(word, 0) + int(user) + int(system)
    return found


def busiest(ticks: Mapping[str, int], seconds: float, *, hertz: int) -> dict[str, object]:
    """The thread that ran most of the time, by the growth of its ticks; {} where none is told."""
    if not ticks:
        return {}
    most = max(ticks, key=lambda name: ticks[name])
    return {"busiest_carrier": {"thread": most, "share": round(ticks[most] / hertz / max(seconds, 1 / hertz), 3)}}
