"""A shell kept open on a host of this machine: a batch then costs its own commands, not a process and a namespace each.

Three namespaces answer nine commands each in 34 ms, with a shell each time in 40 ms (medians of 10). It ends by itself
when its standard input closes, so a SIGKILL of nettune leaves none behind.
"""

import os
import select
import time
from types import TracebackType
from typing import Self

from bench.hosts import shell
from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.local import POLL_MOST_MS, Interactive

_CHUNK = 1 << 16
_TEXT_MOST = 1 << 15  # a pipe holds 64 KiB: what is sent must fit while the shell is still printing


class Session:
    """One shell, one batch at a time."""

    def __init__(self, host: str, prefix: tuple[str, ...]) -> None:
        self._host = host
        self._prefix = prefix
        self._shell: Interactive | None = None
        self._busy = False

    def takes(self, command: Command) -> bool:
        """True for a batch that fits, while none is on its way."""
        return shell.is_batch(command) and not self._busy and len(shell.script(command)) < _TEXT_MOST

    def start(self, command: Command) -> "Job":
        """The batch on its way."""
        if self._shell is None or self._shell.ended():
            self._shell = Interactive((*self._prefix, "sh"))
        self._busy = True
        return Job(self, self._shell, self._host, command)

    def close(self) -> None:
        """End the shell and what still runs in it."""
        if self._shell is not None:
            self._shell.end()
            self._shell = None

    def free(self, *, broken: bool) -> None:
        """The batch is over; a broken shell is not used again."""
        self._busy = False
        if broken:
            self.close()


class Job:
    """A batch on its way in a session; a Running."""

    def __init__(self, session: Session, interactive: Interactive, host: str, command: Command) -> None:
        self._session = session
        self._shell = interactive
        self._host = host
        self._command = command
        self._expected = shell.count(command)
        self._started = time.monotonic()
        self._texts = {interactive.stdout: b"", interactive.stderr: b""}
        self._outcome: Outcome | None = None
        try:
            interactive.send(shell.script(command))
        except OSError as error:
            session.free(broken=True)
            raise HostFault(f"on {host}: its shell is gone: {error.strerror}") from error

    def finished(self) -> bool:
        """See Running.finished."""
        self._take(0.0)
        return self._outcome is not None or self._complete()

    def output(self) -> str:
        """See Running.output."""
        self._take(0.0)
        return self._text(self._shell.stdout)

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait."""
        if self._outcome is None:
            by = self._started + (self._command.deadline_s if deadline_s is None else deadline_s)
            while not self._complete():
                left = by - time.monotonic()
                if left <= 0:
                    raise Overdue(self.stop(), deadline_s)
                if not self._take(left):
                    return self._close(1, broken=True)  # unpack says how far it came
        return self._close(0, broken=False)

    def stop(self) -> Outcome:
        """See Running.stop."""
        return self._close(-15, broken=True)

    def _take(self, seconds: float) -> bool:
        """Read what is there within that time; False when the shell closed its ends."""
        poller = select.poll()
        for descriptor in self._texts:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(min(seconds * 1000, POLL_MOST_MS)):
            read = os.read(descriptor, _CHUNK)
            if not read:
                return False
            self._texts[descriptor] += read
        return True

    def _complete(self) -> bool:
        marker = shell.MARKER.encode()
        return all(text.count(marker) >= self._expected and text.endswith(b"\n") for text in self._texts.values())

    def _text(self, descriptor: int) -> str:
        return self._texts[descriptor].decode("utf-8", "backslashreplace")

    def _close(self, returncode: int, *, broken: bool) -> Outcome:
        if self._outcome is None:
            stdout, stderr = self._text(self._shell.stdout), self._text(self._shell.stderr)
            elapsed_s = time.monotonic() - self._started
            self._outcome = Outcome(self._command, self._host, returncode, stdout, stderr, elapsed_s)
            self._session.free(broken=broken)
        return self._outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outcome is None:
            self.stop()
