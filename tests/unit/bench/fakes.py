"""Hosts and labs without a kernel: they answer what a test told them, and remember what they were asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bench.hosts.command import NOT_FOUND, Command, Outcome, Overdue
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Kind, Topology

Answer = Callable[[Command], "tuple[int, str] | None"]


@dataclass(eq=False)
class FakeHost:
    """Answers by `answer` (None: 127, no such program) and keeps the Commands in `asked`."""

    name: str = "fake"
    answer: Answer = lambda _: (0, "")
    asked: list[Command] = field(default_factory=list)
    local: bool = True

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        self.asked.append(command)
        found = self.answer(command)
        code, text = (NOT_FOUND, "") if found is None else found
        return Outcome(command, self.name, code, text if code == 0 else "", "" if code == 0 else text, 0.0)

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return tuple(self.run(command) for command in commands)

    def start(self, command: Command) -> "FakeRunning":
        """See Host.start."""
        return FakeRunning(self, command)


class FakeRunning:
    """A command that has already ended; `waited` and `stopped` say what was done to it."""

    def __init__(self, host: FakeHost, command: Command, *, overdue: bool = False) -> None:
        self._overdue = overdue
        self._outcome = host.run(command)
        self.waited = False
        self.stopped = False

    def finished(self) -> bool:
        """See Running.finished."""
        return False

    def output(self) -> str:
        """See Running.output."""
        return self._outcome.stdout

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait."""
        self.waited = True
        if self._overdue:
            raise Overdue(self._outcome, deadline_s)
        return self._outcome

    def stop(self) -> Outcome:
        """See Running.stop."""
        self.stopped = True
        return self._outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def lab(kind: Kind = "bridge", *, a: FakeHost | None = None, b: FakeHost | None = None,
        node: FakeHost | None = None) -> Lab:  # fmt: skip
    """A Lab of fake hosts with the devices that the namespace lab has."""
    first, second, middle = a or FakeHost("a"), b or FakeHost("b"), node or FakeHost("node")
    path = [PathDevice(first, "eth0"), PathDevice(second, "eth0")]
    if kind != "direct":
        path[1:1] = [PathDevice(middle, "port-a"), PathDevice(middle, "port-b")]
    if kind == "bridge":
        path.insert(2, PathDevice(middle, "br0", counts=False))
    ends = (Endpoint(first, "eth0", "198.18.0.1"), Endpoint(second, "eth0", "198.18.0.2"))
    return Lab(Topology(kind), ends, () if kind == "direct" else (middle,), tuple(path))
