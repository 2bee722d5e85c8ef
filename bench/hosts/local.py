"""This machine: the only door to processes. Every process leads a group of its own and is ended with it."""

import contextlib
import os
import select
import signal
import subprocess  # noqa: TID251 - this is the door
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, NoReturn, Self

from bench.hosts import shell
from bench.hosts.command import NOT_FOUND, Command, HostFault, Outcome, Overdue

_GRACE_S = 1.0  # between SIGTERM and SIGKILL, and for the kernel to deliver the latter
POLL_MOST_MS = 2**31 - 1  # poll(2) takes an int: a later deadline is this one (24 days)
# A fixed locale: parsers read English, and decimal points.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Local:
    """Runs Commands on this machine; `prefix` goes before each argv (a Namespace enters by it)."""

    def __init__(self, name: str = "local", *, prefix: Sequence[str] = ()) -> None:
        self._name = name
        self._prefix = tuple(prefix)

    @property
    def name(self) -> str:
        """As errors and reports name it."""
        return self._name

    @property
    def local(self) -> bool:
        """See Host.local."""
        return True

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        with self.start(command) as job:
            return job.wait()

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return shell.run_all(self.run, commands)

    def start(self, command: Command) -> "Process":
        """See Host.start."""
        return Process(self._name, self._prefix, command)


class Process:
    """A process on this machine, leader of its own session, output in unnamed files (a pipe could fill up)."""

    def __init__(self, host: str, prefix: tuple[str, ...], command: Command) -> None:
        self._host = host
        self._command = command
        self._started = time.monotonic()
        self._outcome: Outcome | None = None
        self._out: IO[bytes] = tempfile.TemporaryFile()
        self._err: IO[bytes] = tempfile.TemporaryFile()
        stdin: IO[bytes] | int = subprocess.DEVNULL
        if command.stdin:
            stdin = tempfile.TemporaryFile()
            stdin.write(command.stdin.encode())
            stdin.seek(0)
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [*prefix, *command.argv],
                stdin=stdin,
                stdout=self._out,
                stderr=self._err,
                start_new_session=True,
                env={**os.environ, **ENVIRONMENT},
            )
        except OSError as error:
            self._process = None
            self._outcome = Outcome(command, host, NOT_FOUND, "", f"{command.argv[0]}: {error.strerror}", 0.0)
        finally:
            if not isinstance(stdin, int):
                stdin.close()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too; 0 when it could not be started."""
        return self._process.pid if self._process else 0

    def finished(self) -> bool:
        """See Running.finished."""
        return self._process is None or _ended(self._process, 0.0)

    def output(self) -> str:
        """See Running.output."""
        if self._outcome is not None:
            return self._outcome.stdout
        return _text(self._out)

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait."""
        if self._process is not None and self._outcome is None:
            left_s = self._command.deadline_s if deadline_s is None else deadline_s
            if not _ended(self._process, self._started + left_s - time.monotonic()):
                raise Overdue(self.stop(), deadline_s)
        return self._close()

    def stop(self) -> Outcome:
        """See Running.stop."""
        if self._process is not None and self._outcome is None:
            self._signal(signal.SIGTERM)
            _ended(self._process, _GRACE_S)
        return self._close()

    def _signal(self, number: int) -> None:
        """To the whole group. Its leader is not reaped before, so the number is nobody else's yet."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _close(self) -> Outcome:
        if self._outcome is None:
            assert self._process is not None  # noqa: S101 - one of the two is set in __init__
            # The group outlives its leader where a child is left, or ignored SIGTERM.
            self._signal(signal.SIGKILL)
            _ended(self._process, _GRACE_S)
            returncode = self._process.poll()
            self._outcome = Outcome(
                self._command,
                self._host,
                -signal.SIGKILL if returncode is None else returncode,  # None: stuck in the kernel
                _text(self._out),
                _text(self._err),
                time.monotonic() - self._started,
            )
        self._out.close()
        self._err.close()
        return self._outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Interactive:
    """A process on this machine that is talked to through pipes; leader of its own group, ended with it."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **ENVIRONMENT},
            bufsize=0,
        )
        assert self._process.stdout is not None  # noqa: S101 - all three are pipes
        assert self._process.stderr is not None  # noqa: S101
        self.stdout, self.stderr = self._process.stdout.fileno(), self._process.stderr.fileno()

    def send(self, text: str) -> None:
        """To its standard input; OSError when it is gone."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(text.encode())

    def ended(self) -> bool:
        """True once the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End it and its group, and close the pipes."""
        if not self.ended():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def go_on_as(argv: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """This very process goes on as another program. Raises HostFault where that cannot be started."""
    try:
        # The PATH of Commands: an ordinary user's leads to no /usr/sbin.
        os.execvpe(argv[0], [*argv], {**environment, "PATH": ENVIRONMENT["PATH"]})  # noqa: S606 - an argv, no shell
    except OSError as error:
        raise HostFault(f"on local: {argv[0]} cannot be started: {error.strerror}", hint="is it installed?") from error


def _ended(process: subprocess.Popen[bytes], left_s: float) -> bool:
    """Wait for its end without reaping it, and without polling: Popen.wait(timeout) sleeps up to 50 ms at a time."""
    if process.returncode is not None:
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(min(max(0.0, left_s) * 1000, POLL_MOST_MS)))
    finally:
        os.close(descriptor)


def _text(file: IO[bytes]) -> str:
    """All that was written to it. Bytes that are no UTF-8 are kept visible, never fatal: tools print garbage."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "backslashreplace")
