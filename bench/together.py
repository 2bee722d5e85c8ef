"""Many commands released at once: each is armed on its host and waits at a gate, which is then opened for all of them.

What waits is a shell that has its program's words already. It notes the machine's uptime when it is let go and when its
program has ended, so that how far apart they began is measured and not assumed. No thread is needed: the kernel wakes
them all, and at once. (A newline for each wakes one after the other, each by the one before it, while the first already
use the CPUs: 32 pairs began 0.08 s apart so, 0.24 s on a busy machine, and 0.03 s now.) Each other machine has a gate
of its own, opened over its SSH by a shell that is there already, and a clock of its own, which is compared with ours
right before.
"""

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.host import Host, Running, ask_everywhere

# $1 is the gate, a FIFO; the rest the program. Its first lines are ours. To open a FIFO for reading waits for one that
# opens it for writing (fifo(7)), and whoever comes later finds it open.
WAIT = """\
echo armed
exec 9<"$1"
exec 9<&-
read -r up _ </proc/uptime
echo "$up"
shift
"$@"
code=$?
read -r up _ </proc/uptime
echo "=ended= $up" >&2
exit "$code"
"""
# $1 is another machine's gate, which stays open until this is ended.
_OPEN = 'exec 9<>"$1"; echo open; exec sleep 600'
_GATE = 'folder=$(mktemp -d) && mkfifo -m 600 "$folder/gate" && echo "$folder"'
_CLOCK = Command(("cat", "/proc/uptime"))
_CLOCKED = 3  # times that a clock is asked; the shortest round trip counts
_ENDED = "=ended= "
_ARMED_S, _ARMED_EACH_S = 5.0, 0.25
RESOLUTION_S = 0.01  # of /proc/uptime


@dataclass(frozen=True, slots=True)
class Job:
    """A command on a host."""

    host: Host
    command: Command


@dataclass(frozen=True, slots=True)
class Came:
    """What a job gave: its Outcome, with what it printed itself, and the machine's uptime when it was let go and ended.

    `overdue` says that its deadline passed; its Outcome has what it had printed by then, and it has no end. Times are
    of this machine's clock, those of another machine to within `off_s`. `lost` says why nothing came of it at all.
    """

    outcome: Outcome
    released_s: float
    ended_s: float
    overdue: bool = False
    off_s: float = 0.0
    lost: str = ""


@dataclass(frozen=True, slots=True)
class _Clock:
    """Another machine's: s that it is before ours, and how far off that may be."""

    before_s: float = 0.0
    off_s: float = 0.0


@dataclass(slots=True)
class Armed:
    """Jobs that wait."""

    jobs: Sequence[Job]
    running: Sequence[Running]
    gate: Path  # this machine's
    gates: Mapping[Host, str]  # of other machines
    clocks: Mapping[Host, _Clock]
    opened: contextlib.ExitStack  # holds gates open

    def release(self) -> None:
        """Let all of them go. Raises HostFault where another machine does not take it."""
        self.opened.enter_context(self.gate.open("r+b", buffering=0))  # for both ways, or it waited for a reader itself
        elsewhere = {
            host: self.opened.enter_context(host.start(Command(("sh", "-c", _OPEN, "sh", gate))))
            for host, gate in self.gates.items()
        }
        deadline = time.monotonic() + _ARMED_S
        for host, each in elsewhere.items():  # every one is on its way before the first is awaited
            while not each.output():
                if each.finished() or time.monotonic() > deadline:
                    raise HostFault(f"on {host.name}: what is armed there could not be released")
                time.sleep(0.002)

    def over(self) -> bool:
        """Whether all of them have ended."""
        return all(each.finished() for each in self.running)

    def awaited(self) -> tuple[Came, ...]:
        """What each gave, in the order of the jobs; one that failed is among them like the others."""
        return tuple(
            _came(job, running, self.clocks.get(job.host, _Clock()))
            for job, running in zip(self.jobs, self.running, strict=True)
        )


@contextlib.contextmanager
def armed(jobs: Sequence[Job]) -> Iterator[Armed]:
    """The jobs once every one of them waits; all are ended on leaving. Raises HostFault naming those that don't.

    A job's deadline begins when it is armed.
    """
    with tempfile.TemporaryDirectory(prefix="nettune-") as folder, contextlib.ExitStack() as stack:
        gate = Path(folder) / "gate"
        os.mkfifo(gate, 0o600)
        gates = stack.enter_context(_gates(dict.fromkeys(job.host for job in jobs if not job.host.local)))
        running = [stack.enter_context(job.host.start(_waiting(job, gates.get(job.host, str(gate))))) for job in jobs]
        _all_wait(jobs, running)
        yield Armed(jobs, running, gate, gates, {host: _clock(host) for host in gates}, stack)


@contextlib.contextmanager
def _gates(hosts: Iterable[Host]) -> Iterator[dict[Host, str]]:
    """A gate on each of these machines, gone on leaving. Raises HostFault."""
    folders = {}
    try:
        for host, (outcome,) in ask_everywhere(dict.fromkeys(hosts, (Command(("sh", "-c", _GATE)),))).items():
            folders[host] = outcome.require("mktemp and mkfifo are coreutils").stdout.strip()
        yield {host: f"{folder}/gate" for host, folder in folders.items()}
    finally:
        for host, folder in folders.items():
            with contextlib.suppress(HostFault):  # it is lost, and what lay there with it
                host.run(Command(("rm", "-r", "--", folder)))


def _clock(host: Host) -> _Clock:
    """Another machine's clock beside ours. Raises HostFault."""
    found = []
    for _ in range(_CLOCKED):
        asked_s = time.clock_gettime(time.CLOCK_BOOTTIME)  # what /proc/uptime tells of (proc(5)), and finer
        told = float(host.run(_CLOCK).require().stdout.split()[0])
        took_s = time.clock_gettime(time.CLOCK_BOOTTIME) - asked_s
        found.append(_Clock(told - asked_s - took_s / 2, took_s / 2 + RESOLUTION_S))
    return min(found, key=lambda each: each.off_s)


def skew_s(found: Sequence[Came]) -> float:
    """Seconds between the first and the last release, to RESOLUTION_S."""
    times = [each.released_s for each in found if not each.lost]
    return max(times) - min(times) if times else 0.0


def _waiting(job: Job, gate: str) -> Command:
    words = ("sh", "-c", WAIT, "sh", gate, *job.command.argv)
    return replace(job.command, argv=words)


def _all_wait(jobs: Sequence[Job], running: Sequence[Running]) -> None:
    deadline = time.monotonic() + _ARMED_S + _ARMED_EACH_S * len(jobs)
    waiting = list(zip(jobs, running, strict=True))
    while waiting:
        waiting = [(job, each) for job, each in waiting if not each.output().startswith("armed\n")]
        over = [job for job, each in waiting if each.finished()]
        if over or (waiting and time.monotonic() > deadline):
            names = ", ".join(job.host.name for job in (over or [job for job, _ in waiting])[:4])
            raise HostFault(f"on {names}: a command could not be armed", hint="is the machine out of processes?")
        if waiting:
            time.sleep(0.002)


def _came(job: Job, running: Running, clock: _Clock) -> Came:
    overdue = False
    try:
        outcome = running.wait()
    except Overdue as error:
        outcome, overdue = error.outcome, True
    except HostFault as error:
        nothing = Outcome(job.command, job.host.name, -1, "", str(error), 0.0)
        said = f"{job.host.name} was lost while `{job.command.brief}` ran there"  # the error's own words are of WAIT
        return Came(nothing, math.nan, math.nan, lost=said)
    first, _, rest = outcome.stdout.partition("\n")
    told, _, own = rest.partition("\n")
    if first != "armed" or not told:
        raise HostFault(f"on {job.host.name}: `{job.command}` was not released: {outcome.stderr.strip()[:200]!r}")
    said, _, end = outcome.stderr.rpartition(_ENDED)
    if not end.strip():  # killed
        said, end = outcome.stderr, "inf"
    began_s, ended_s = float(told) - clock.before_s, float(end) - clock.before_s
    own_words = replace(outcome, command=job.command, stdout=own, stderr=said)
    return Came(own_words, began_s, ended_s, overdue, clock.off_s)
