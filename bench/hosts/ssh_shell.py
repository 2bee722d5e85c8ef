"""Shells kept open at the far end of an SSH connection; every command is a job of one of them. The constant wrapper.

A kept shell reads lines. The line of a job starts, behind it, a waiter (a fork of the shell), which starts the command
as leader of a session of its own (setsid), waits, kills what the command left and prints its exit code. The shell
itself goes back to reading, so it hears three things while the command runs: `kill -TERM` and `kill -HUP` to the
waiter (end the group, politely and for good), and the end of its input, which is the connection's: the same two. So no
second channel is needed to end a command, and none of ours runs on after a SIGKILL of nettune.
A command costs no channel and no shell: two forks and the exec of setsid and itself.
"""

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from bench.hosts.command import Command, HostFault, Outcome, Overdue, Unreachable
from bench.hosts.local import ENVIRONMENT
from bench.hosts.login import Stream
from bench.hosts.ssh_connection import Connection, Pipe

SHELL = "exec /bin/sh"  # understood by every login shell, csh and fish too
SUDO_SHELL = "exec sudo -n -- /bin/sh"
# The shell ignores both signals, so that a waiter has no moment without: a trap in a subshell starts from there, and a
# handled signal is back to its default in what it runs. $job is empty until the first one.
# `finish TOKEN` waits for $pid; wait also returns on a signal, and is asked again then (127: nothing left to wait for).
# A signal before $pid was known is passed on then. `end` tries again where setsid has not made the group yet (a fork is
# the shell's shortest pause): the process alone may still have the handler of its parent, and swallow the signal.
# Its standard error goes nowhere because bash reports there how a job ended.
PRELUDE = """\
export {environment}
job=
trap '' HUP TERM
trap 'exec 2>/dev/null; kill -TERM "$job" && sleep 1; kill -HUP "$job"' EXIT
begin() {{
hit=; pid=
trap 'hit=TERM; end' TERM
trap 'hit=KILL; end' HUP
printf '%s<\\n' "$1"; printf '%s<\\n' "$1" >&2
}}
end() {{
tries=0
while [ -n "$pid" ] && [ "$tries" -lt 200 ]; do
kill -"$hit" "-$pid" && return
tries=$((tries + 1)); (:)
done
}} 2>/dev/null
finish() {{
code=127
[ -z "$hit" ] || end
while hit=; wait "$pid"; got=$?; [ "$got" = 127 ] || code=$got; [ -n "$hit" ]; do :; done
kill -KILL "-$pid"; pid=
printf '%s>%s\\n' "$1" "$code"
}} 2>/dev/null
""".format(environment=" ".join(f"{name}={value}" for name, value in ENVIRONMENT.items()))
JOB = (
    "wait; (begin {token}; {feed}setsid -- {argv} {stdin}& pid=$!; finish {token}; printf '{token}>\\n' >&2) & job=$!\n"
)
TERM = b'kill -TERM "$job" 2>/dev/null\n'
KILL = b'kill -HUP "$job" 2>/dev/null\n'
LEAVE = b"trap - EXIT; exit\n"

_GRACE_S = 1.0  # between SIGTERM and SIGKILL, as Local's
_KILLED_S = 5.0  # for a slow guest to say that it is done
_SIGNAL_MOST = 64  # 128 + n, n up to SIGRTMAX


def line(token: str, command: Command, prefix: Sequence[str] = ()) -> bytes:
    """The line that runs a command as a job: argv quoted, its standard input through the shell's own printf.

    printf is a builtin: what stands in stdin is in no process's arguments, and no limit of theirs holds.
    """
    feed, stdin = "", "</dev/null "
    if command.stdin:
        escaped = command.stdin.replace("\\", "\\\\").replace("\0", "\\0000")
        feed, stdin = f"printf %b {shlex.quote(escaped)} 2>/dev/null | ", ""
    text = JOB.format(token=token, feed=feed, argv=shlex.join((*prefix, *command.argv)), stdin=stdin)
    return text.encode("utf-8", "surrogateescape")


class Shells:
    """The kept shells of one host: a command takes an idle one, or opens another."""

    def __init__(self, name: str, connection: Connection, *, sudo: bool, last_words: Callable[[], str] = str) -> None:
        self._name = name
        self._connection = connection
        self._last_words = last_words
        self._program = SUDO_SHELL if sudo else SHELL
        self._idle: list[Pipe] = []
        self._busy: list[Pipe] = []

    def start(self, command: Command, *, name: str = "", prefix: Sequence[str] = ()) -> "Job":
        """The command on its way behind `prefix`; `name` is how errors name the host, where that is another.

        Raises Unreachable where the connection is gone and cannot be made again.
        """
        pipe = self._taken()
        self._busy.append(pipe)
        try:
            return Job(self, pipe, name or self._name, command, prefix)
        except Unreachable as error:
            why = self._refusal(pipe, error)
            self.drop(pipe)
            raise why from error

    def stream(self, argv: Sequence[str]) -> Stream:
        """The standard input and output of a program, as a socket. Raises Unreachable."""
        pipe, token = self.fresh(), secrets.token_hex(12)
        # The program's first byte may follow at once, so the shell says when it is its turn.
        pipe.send(f"export PATH={ENVIRONMENT['PATH']}; printf '%s<\\n' {token}; exec {shlex.join(argv)}\n".encode())
        return pipe.handed_over(f"{token}<\n".encode())

    def fresh(self) -> Pipe:
        """A shell of its own, without the prelude, for one script and raw bytes after it."""
        return self._connection.pipe(self._program)

    def gone(self, what: str, hint: str) -> Unreachable:
        """The error of a host that is gone, with its last words where somebody knows them."""
        words = self._last_words()
        return Unreachable(f"{what}; {words}" if words else what, hint=hint)

    def put_back(self, pipe: Pipe) -> None:
        """A shell whose job is over."""
        self._busy.remove(pipe)
        self._idle.append(pipe)

    def drop(self, pipe: Pipe) -> None:
        """A shell that is of no more use: what still runs in it is ended by the wrapper."""
        pipe.close()
        with contextlib.suppress(ValueError):  # dropped before
            self._busy.remove(pipe)

    def close(self) -> None:
        """End the shells, and what still runs in them."""
        while self._busy:
            self.drop(self._busy[-1])
        while self._idle:
            pipe = self._idle.pop()
            with contextlib.suppress(Unreachable):
                pipe.send(LEAVE)
            pipe.close()

    def _taken(self) -> Pipe:
        while self._idle:
            pipe = self._idle.pop()
            if pipe.take(0.0) and pipe.connected:
                return pipe
            pipe.close()
        pipe = self._connection.pipe(self._program)
        try:
            pipe.send(PRELUDE.encode())
        except Unreachable as error:
            why = self._refusal(pipe, error)
            pipe.close()
            raise why from error
        return pipe

    def _refusal(self, pipe: Pipe, error: Unreachable) -> HostFault:
        """What took nothing from us may have said why: sudo is gone before our first line where the machine is busy."""
        pipe.take(0.0)
        said = bytes(pipe.err).decode("utf-8", "backslashreplace").strip()
        return refused(self._name, said) if said and pipe.connected else error


class Job:
    """A command on its way over SSH; a Running."""

    def __init__(self, shells: Shells, pipe: Pipe, host: str, command: Command, prefix: Sequence[str] = ()) -> None:
        self._shells = shells
        self._pipe = pipe
        self._host = host
        self._command = command
        self._started = time.monotonic()
        self._outcome: Outcome | None = None
        token = secrets.token_hex(12)
        self._begin = f"{token}<\n".encode()
        self._end = re.compile(rb"%s>(\d*)\n\Z" % token.encode())
        pipe.out.clear()
        pipe.err.clear()
        pipe.send(line(token, command, prefix))

    def finished(self) -> bool:
        """See Running.finished. A lost connection is an end too: `wait` says so."""
        return self._outcome is not None or not self._pipe.take(0.0) or self._complete()

    def output(self) -> str:
        """See Running.output."""
        if self._outcome is not None:
            return self._outcome.stdout
        self._pipe.take(0.0)
        return self._text(self._pipe.out)

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait; raises Unreachable when the connection is lost meanwhile."""
        if self._outcome is None:
            left_s = self._command.deadline_s if deadline_s is None else deadline_s
            if not self._ended(self._started + left_s - time.monotonic()):
                raise Overdue(self.stop(), deadline_s)
        return self._close()

    def stop(self) -> Outcome:
        """See Running.stop; raises Unreachable when the connection is lost."""
        if self._outcome is None and not self._ended(0.0):
            self._await_begin()
            self._pipe.send(TERM)
            if not self._ended(_GRACE_S):
                self._pipe.send(KILL)
                self._ended(_KILLED_S)
        return self._close()

    def _await_begin(self) -> None:
        """A waiter without its traps yet ignores both signals."""
        by = time.monotonic() + _KILLED_S
        while self._begin not in self._pipe.err and time.monotonic() < by:
            if not self._pipe.take(by - time.monotonic()) and self._begin not in self._pipe.err:
                raise self._lost()

    def _ended(self, left_s: float) -> bool:
        by = time.monotonic() + left_s
        while not self._complete():
            if not self._pipe.take(by - time.monotonic()):
                if self._complete():
                    return True
                raise self._lost()
            if time.monotonic() >= by:
                return self._complete()
        return True

    def _complete(self) -> bool:
        """Both streams have come to the token that ends them; only their last bytes are looked at."""
        return all(self._end.search(text, max(0, len(text) - 64)) for text in (self._pipe.out, self._pipe.err))

    def _text(self, data: bytearray) -> str:
        """What the command printed, between the two tokens. Before the first lies what a login shell's rc file said."""
        start = data.find(self._begin)
        if start < 0:
            return ""
        end = self._end.search(data, max(0, len(data) - 64))
        text = bytes(data[start + len(self._begin) : end.start() if end else len(data)])
        return text.decode("utf-8", "backslashreplace")

    def _close(self) -> Outcome:
        if self._outcome is None:
            end = self._end.search(self._pipe.out, max(0, len(self._pipe.out) - 64))
            self._outcome = Outcome(
                self._command,
                self._host,
                _returncode(int(end[1])) if end else -9,  # without: stuck in the kernel
                self._text(self._pipe.out),
                self._text(self._pipe.err),
                time.monotonic() - self._started,
            )
            if self._complete():
                self._shells.put_back(self._pipe)
            else:
                self._shells.drop(self._pipe)
        return self._outcome

    def _lost(self) -> HostFault:
        self._shells.drop(self._pipe)
        started = self._pipe.err.find(self._begin) >= 0
        said = bytes(self._pipe.err if not started else b"").decode("utf-8", "backslashreplace").strip()
        if not started and said:
            return refused(self._host, said)
        return self._shells.gone(
            f"on {self._host}: the SSH connection was lost while `{self._command.brief}` ran",
            "what it had done by then is not known; the command itself ends with its connection",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except HostFault:
            self._shells.drop(self._pipe)  # lost: it ends with its connection


def refused(host: str, said: str) -> HostFault:
    """No shell came up there."""
    sudo = "sudo" in said
    return HostFault(
        f"on {host}: {'sudo -n' if sudo else 'the login shell'} is refused: {said[:500]}",
        hint="it needs a rule with NOPASSWD: ALL for this user in sudoers" if sudo else "may this user run commands?",
    )


def _returncode(code: int) -> int:
    """A shell's exit code as ours: 128 + n is signal n there, also where a program exits with such a number itself."""
    return 128 - code if 128 < code <= 128 + _SIGNAL_MOST else code


def exchanged(pipe: Pipe, script: str, payload: Iterable[bytes], *, deadline_s: float) -> bytes | None:
    """The standard output of a script that has been given `payload`; None when it had not ended by then.

    The payload is sent once the script has begun: a shell may read ahead on its standard input (dash does).
    """
    token = secrets.token_hex(12)
    begin = f"{token}<\n".encode()
    by = time.monotonic() + deadline_s
    pipe.send(f"printf '%s<\\n' {token}; {script}\n".encode("utf-8", "surrogateescape"))
    running = True
    while running and begin not in pipe.out:
        running = pipe.take(by - time.monotonic())
        if time.monotonic() >= by:
            return None
    with contextlib.suppress(Unreachable):  # it may have ended without reading: its exit code and words say why
        for piece in payload:
            pipe.send(piece)
    pipe.finish()
    while running and pipe.take(by - time.monotonic()):
        if time.monotonic() >= by:
            return None
    return bytes(pipe.out).partition(begin)[2]
