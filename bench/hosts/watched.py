"""A Host whose loads are pinned to CPUs, and watched where others use the link that they pass. ADR 0020.

A load (Command.loads) runs behind one constant script on its own host: it looks every half second at what the host was
told to watch, and ends the load when something is wrong. So that holds without us: a controller that hangs, or a way to
the host that is gone, changes nothing. What a node between the ends sees reaches the load through us.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.host import Host, Running

TROUBLE = 97  # the script's exit code; no tool of ours exits with it
_SAID = "nettune: stopped: "
_POLL_S = 0.02
# $1 … are looks, then `--`, then the load, which is one process: taskset becomes what it runs.
# Between two looks lie at most 0.5 s and the second that a silent address is given; ping asks five times in it, so that
# one lost packet is no trouble (with -w, iputils' -c counts answers). TERM first: iperf3 then tells its other end.
# A TERM for the whole group leaves the script itself, which waits for what the load prints last and for what the watch
# has seen. (It is ignored, not trapped: a wait that a signal ends makes bash forget the exit code; trapped until both
# have begun, which would ignore it too.) A watch that ended by itself is trouble too: nobody would have looked. One
# that dash or busybox has only just forked loses the TERM of a load that is over already: no load ends it as TERM does.
# The sleep has no output: who reads the load's would wait for it.
SCRIPT = """\
set -f
looks=
while [ "$1" != -- ]; do looks="$looks $1"; shift; done
shift
exec 3<&0 4>&2
trap : TERM
"$@" <&3 3<&- 4>&- & load=$!
exec 3<&-
stop() {
trap '' TERM
printf 'nettune: stopped: %s\\n' "$1" >&4
kill -TERM "$load"; sleep 0.2; kill -KILL "$load"
exit 97
} 2>/dev/null
quorate() { LC_ALL=C timeout 1 corosync-quorumtool -s 2>/dev/null | grep -q '^Quorate:[[:space:]]*Yes'; }
watch() {
while kill -0 "$load" 2>/dev/null; do
asked=
for look in $looks; do
what=${look#*:}
case $look in
carrier:*)
up=; { read -r up <"/sys/class/net/$what/carrier"; } 2>/dev/null
[ "$up" = 1 ] || stop "$what has no carrier" ;;
ping:*) ping -n -c 1 -i 0.2 -w 1 "$what" >/dev/null 2>&1 & asked="$asked $!:$what" ;;
quorum) quorate >/dev/null & asked="$asked $!:quorum" ;;
esac
done
for each in $asked; do
wait "${each%%:*}" && continue
case $each in *:quorum) stop "corosync has no quorum";; *) stop "${each#*:} does not answer a ping";; esac
done
sleep 0.5 >/dev/null 2>&1
done
exit 143
}
watch & watcher=$!
trap '' TERM
wait "$load"; code=$?
kill -TERM "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
case $? in
97) exit 97 ;;
143) exit "$code" ;;
*) printf 'nettune: stopped: %s\\n' 'the watch itself ended' >&2; exit 97 ;;
esac
"""
_WAITS = "exec sleep 2147483647"  # the load of a node: it is watched alone


@dataclass(slots=True)
class Watch:
    """What is looked at while load runs, by host name ("carrier:eth0", "ping:192.0.2.1", "quorum"), and what was seen.

    `nodes` are hosts between the ends: they carry the load and run none of it.
    """

    looks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nodes: Sequence[Host] = ()
    seen: str = ""  # the first trouble, with the host that saw it
    _loads: int = 0  # that run now
    _jobs: list[Running] = field(default_factory=list)

    def began(self) -> None:
        """One more load runs: with the first the nodes begin to look."""
        self._loads += 1
        if self._loads == 1:
            try:
                for node in self.nodes:
                    if looks := self.looks.get(node.name, ()):
                        self._jobs.append(node.start(watching(Command(("sh", "-c", _WAITS)), looks)))
            except BaseException:
                self.ended()  # a load that a node does not look after is not begun, and the next one begins anew
                raise

    def ended(self) -> None:
        """One load less; with the last the nodes need not look any more."""
        self._loads -= 1
        if not self._loads:
            jobs, self._jobs = self._jobs, []
            with contextlib.ExitStack() as stack:
                for job in jobs:
                    stack.callback(job.stop)

    def afar(self) -> bool:
        """True once a node has seen trouble."""
        for job in self._jobs:
            if job.finished():
                outcome = job.wait()
                self.note(outcome)
                self.seen = self.seen or f"on {outcome.host}: the watch itself ended"
        return bool(self.seen)

    @property
    def nodes_look(self) -> bool:
        """True while somebody beside the loads' own hosts looks."""
        return bool(self._jobs)

    def note(self, outcome: Outcome) -> None:
        """Keep what the script of an outcome said, where it ended its load."""
        words = [line.removeprefix(_SAID) for line in outcome.stderr.splitlines() if line.startswith(_SAID)]
        if outcome.returncode == TROUBLE and words and not self.seen:
            self.seen = f"on {outcome.host}: {words[0]}"


def watching(command: Command, looks: Sequence[str]) -> Command:
    """The load behind the script; itself where there is nothing to look at."""
    return replace(command, argv=("sh", "-c", SCRIPT, "sh", *looks, "--", *command.argv)) if looks else command


class Watched:
    """A Host whose loads begin with `pin` ("taskset", "-c", "0-7") and run behind the watch."""

    def __init__(self, host: Host, *, pin: Sequence[str] = (), watch: Watch | None = None) -> None:
        self._host = host
        self._pin = tuple(pin)
        self._watch = watch or Watch()

    @property
    def name(self) -> str:
        """See Host.name."""
        return self._host.name

    @property
    def local(self) -> bool:
        """See Host.local."""
        return self._host.local

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        if not command.loads:
            return self._host.run(command)
        with self.start(command) as job:
            return job.wait()

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        if any(command.loads for command in commands):
            return tuple(self.run(command) for command in commands)
        return self._host.run_all(commands)

    def start(self, command: Command) -> Running:
        """See Host.start."""
        if not command.loads:
            return self._host.start(command)
        pinned = replace(command, argv=(*self._pin, *command.argv))
        return _Load(self._host, command, watching(pinned, self._watch.looks.get(self.name, ())), self._watch)


class _Load:
    """A load on its way; a Running whose Outcomes have the command as it was asked for."""

    def __init__(self, host: Host, asked: Command, run: Command, watch: Watch) -> None:
        self._asked = asked
        self._watch = watch
        self._over = False
        self._started = time.monotonic()
        watch.began()
        try:
            self._job = host.start(run)
        except BaseException:
            watch.ended()
            raise

    def finished(self) -> bool:
        """See Running.finished."""
        if self._watch.nodes_look and self._watch.afar():
            self.stop()
        return self._job.finished()

    def output(self) -> str:
        """See Running.output."""
        return self._job.output()

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait; a load that a node has seen trouble under is stopped."""
        by = self._started + (self._asked.deadline_s if deadline_s is None else deadline_s)
        while self._watch.nodes_look and not self.finished() and time.monotonic() < by:
            time.sleep(_POLL_S)
        try:
            return self._told(self._job.wait(deadline_s))
        except Overdue as error:
            raise Overdue(self._told(error.outcome), deadline_s) from error

    def stop(self) -> Outcome:
        """See Running.stop."""
        return self._told(self._job.stop())

    def _told(self, outcome: Outcome) -> Outcome:
        self._watch.note(outcome)
        self._end()
        return replace(outcome, command=self._asked)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._watch.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._job.__exit__(kind, error, trace)
            with contextlib.suppress(HostFault):  # the host is gone: whoever left the block knows
                self._watch.note(self._job.stop())
        finally:
            self._end()
