"""The Host protocol that Local, Namespace and Recorded keep (tests/contract/test_host.py)."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from bench.hosts.command import Command, Outcome


class Running(Protocol):
    """A command on its way. As a context manager it is ended, process group and all, at the latest on leaving."""

    def finished(self) -> bool:
        """True once the process has ended."""
        ...

    def output(self) -> str:
        """Standard output so far."""
        ...

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """The Outcome once it ends by itself; raises Overdue after the deadline (default: the command's)."""
        ...

    def stop(self) -> Outcome:
        """End it now (SIGTERM, then SIGKILL, to the process group); its Outcome. Harmless when it has ended."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Host(Protocol):
    """Something that runs a Command."""

    @property
    def name(self) -> str:
        """As errors and reports name it."""
        ...

    @property
    def local(self) -> bool:
        """True where its commands see this machine's files: a Command may then name what lies in our own folders."""
        ...

    def run(self, command: Command) -> Outcome:
        """The Outcome, whatever the exit code (127 when there is no such program).

        Raises Overdue after the deadline, Unreachable when the host is gone.
        """
        ...

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """All of them in order and in one round trip, each whatever the exit code of those before.

        A batch goes through a shell: a command ended by signal n has the returncode 128 + n there.
        """
        ...

    def start(self, command: Command) -> Running:
        """The command on its way; for servers, and for work on several hosts at once."""
        ...


def ask_everywhere(questions: Mapping[Host, Sequence[Command]]) -> dict[Host, tuple[Outcome, ...]]:
    """Every host's Outcomes, hosts asked at the same time: one batch each, started before any is awaited."""
    from bench.hosts.shell import batch, unpack  # noqa: PLC0415 - shell needs Command only; keeps the protocol light

    with contextlib.ExitStack() as stack:
        running = [
            (host, commands, stack.enter_context(host.start(batch(commands)))) for host, commands in questions.items()
        ]
        return {host: unpack(commands, job.wait()) for host, commands, job in running}


def begun(host: Host, commands: Sequence[Command]) -> Callable[[], tuple[Outcome, ...]]:
    """All of them on their way, in order; what is returned awaits their Outcomes. Both raise as `run_all` does.

    For work on several hosts at once that must go on though one of them fails.
    """
    from bench.hosts.shell import batch, goes_alone, unpack  # noqa: PLC0415 - as above

    if not commands or any(goes_alone(command) for command in commands):
        outcomes = host.run_all(commands)
        return lambda: outcomes
    job = host.start(batch(commands))

    def awaited() -> tuple[Outcome, ...]:
        with job:
            return unpack(commands, job.wait())

    return awaited
