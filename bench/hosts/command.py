"""What is asked of a host and what came back: Command, Outcome, and the errors between them.

NotAble
  HostFault            something on a host did not go as asked; names host, command and answer
    CommandFailed      it ran and exited with another code than 0
    Overdue            its deadline passed; its process group was killed
    Unreachable        the host itself is gone
    OtherHostKey       another machine answers in its place
"""

import shlex
from dataclasses import dataclass

from results.errors import NotAble

MASK = "***"
_BRIEF = 160  # letters of a script in an error
NOT_FOUND = 127  # POSIX shells' exit code for "no such program"; nsenter and env use it too


@dataclass(frozen=True, slots=True)
class Command:
    """argv, standard input and a deadline. A secret may stand in stdin only, and is masked wherever it is shown.

    `loads`: it puts load on the path, or takes it; a host of a shared link watches it (bench.hosts.watched).
    """

    argv: tuple[str, ...]
    stdin: str = ""
    deadline_s: float = 10.0
    secrets: tuple[str, ...] = ()
    loads: bool = False

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("a Command without argv")
        if not self.deadline_s > 0:
            raise ValueError(f"a deadline of {self.deadline_s} s for {self.argv[0]}")
        if any("\0" in word for word in self.argv):
            raise ValueError(f"a NUL byte in the arguments of {self.argv[0]!r}: no program can be given one")
        if any(secret in word for secret in self.secrets if secret for word in self.argv):
            raise ValueError(f"a secret in the arguments of {self.argv[0]}: anyone may read them in ps; use stdin")

    def __str__(self) -> str:
        """The line that does the same when pasted into a shell, secrets masked."""
        line = shlex.join(self.argv)
        if self.stdin:
            line = f"printf %s {shlex.quote(self.masked(self.stdin))} | {line}"
        return line

    @property
    def brief(self) -> str:
        """The same for an error: whole, but of a script that runs over lines the beginning."""
        line = str(self)
        return line if "\n" not in line else f"{' '.join(line.split())[:_BRIEF]}…"

    def masked(self, text: str) -> str:
        """`text` with every secret of this command replaced."""
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, MASK)
        return text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished command gave. A negative returncode is the signal that ended it."""

    command: Command
    host: str
    returncode: int
    stdout: str
    stderr: str
    elapsed_s: float

    @property
    def ok(self) -> bool:
        """True when it exited with 0."""
        return self.returncode == 0

    def require(self, hint: str = "") -> "Outcome":
        """Itself when it exited with 0; raises CommandFailed otherwise."""
        if not self.ok:
            raise CommandFailed(self, hint=hint)
        return self


class HostFault(NotAble):
    """Something on a host did not go as asked."""


class CommandFailed(HostFault):
    """A command exited with another code than 0; `outcome` has its output."""

    def __init__(self, outcome: Outcome, *, hint: str = "") -> None:
        self.outcome = outcome
        said = outcome.command.masked((outcome.stderr.strip() or outcome.stdout.strip())[:500])
        if outcome.returncode == NOT_FOUND and not hint:
            hint = f"is {outcome.command.argv[0]} installed on {outcome.host}?"
        super().__init__(
            f"on {outcome.host}: `{outcome.command.brief}` "
            f"{ended(outcome.returncode)}{': ' + said if said else ' without a word'}",
            hint=hint,
        )


class Overdue(HostFault):
    """A command did not end in time; its whole process group was killed. `outcome` has what it had printed."""

    def __init__(self, outcome: Outcome, deadline_s: float | None = None) -> None:
        self.outcome = outcome
        waited_s = outcome.command.deadline_s if deadline_s is None else deadline_s
        super().__init__(
            f"on {outcome.host}: `{outcome.command.brief}` did not end within {waited_s:g} s "
            "and was killed with its process group",
            hint="is the host overloaded, or does the tool wait for a peer that is gone?",
        )


class Unreachable(HostFault):
    """The host itself does not answer."""


class OtherHostKey(HostFault):
    """Who answers there is not the machine whose host key is known."""


def ended(returncode: int) -> str:
    """In words how a process ended: exit code or signal."""
    return f"was ended by signal {-returncode}" if returncode < 0 else f"exited with {returncode}"
