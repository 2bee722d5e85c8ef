"""A Host that replays a transcript, and the recorder that makes one from a real Host."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.hosts.command import Command, HostFault, Outcome, Overdue
from bench.hosts.host import Host, Running


class Recorder:
    """Passes Commands on to `host` and remembers every Outcome; `save` writes the transcript."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lines: list[dict[str, Any]] = []  # Any: JSON

    @property
    def name(self) -> str:
        """The recorded host's name."""
        return self._host.name

    @property
    def local(self) -> bool:
        """See Host.local."""
        return self._host.local

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        try:
            return self._keep(self._host.run(command))
        except Overdue as error:
            self._keep(error.outcome, overdue=True)
            raise

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return tuple(self._keep(outcome) for outcome in self._host.run_all(commands))

    def start(self, command: Command) -> Running:
        """See Host.start. The Outcome is remembered by replaying the command's whole output."""
        with self._host.start(command) as job:
            outcome = self._keep(job.wait())
        return _Replayed(outcome, overdue=False)

    def save(self, path: Path) -> None:
        """Write the transcript as JSON, secrets masked."""
        text = json.dumps({"host": self.name, "outcomes": self._lines}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")

    def _keep(self, outcome: Outcome, *, overdue: bool = False) -> Outcome:
        masked = outcome.command.masked
        self._lines.append(
            {
                "argv": list(outcome.command.argv),
                "stdin": masked(outcome.command.stdin),
                "returncode": outcome.returncode,
                "stdout": masked(outcome.stdout),
                "stderr": masked(outcome.stderr),
                "overdue": overdue,
            }
        )
        return outcome


class Recorded:
    """Answers from a transcript: equal Commands get their recorded Outcomes in order, the last one again and again."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        self._path = path
        self._name = str(document["host"])
        self._answers: dict[tuple[tuple[str, ...], str], list[dict[str, Any]]] = {}  # Any: JSON
        for line in document["outcomes"]:
            self._answers.setdefault((tuple(line["argv"]), line["stdin"]), []).append(line)

    @property
    def name(self) -> str:
        """The recorded host's name."""
        return self._name

    @property
    def local(self) -> bool:
        """See Host.local. A transcript sees no files."""
        return False

    def run(self, command: Command) -> Outcome:
        """See Host.run; a Command that was not recorded raises HostFault."""
        return self.start(command).wait()

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return tuple(self.run(command) for command in commands)

    def start(self, command: Command) -> Running:
        """See Host.start."""
        lines = self._answers.get((command.argv, command.masked(command.stdin)))
        if not lines:
            raise HostFault(
                f"on {self.name}: `{command}` is not in the transcript {self._path.name}",
                hint="record it again on the real host",
            )
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        outcome = Outcome(command, self.name, line["returncode"], line["stdout"], line["stderr"], 0.0)
        return _Replayed(outcome, overdue=bool(line["overdue"]))


class _Replayed:
    """A Running whose end is already known."""

    def __init__(self, outcome: Outcome, *, overdue: bool) -> None:
        self._outcome = outcome
        self._overdue = overdue

    def finished(self) -> bool:
        return not self._overdue

    def output(self) -> str:
        return self._outcome.stdout

    def wait(self, deadline_s: float | None = None) -> Outcome:
        del deadline_s  # nothing here takes time
        if self._overdue:
            raise Overdue(self._outcome)
        return self._outcome

    def stop(self) -> Outcome:
        return self._outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
