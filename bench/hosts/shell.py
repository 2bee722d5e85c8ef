"""The one shell text of nettune: many Commands in one round trip. argv is quoted here and nowhere else."""

import shlex
from collections.abc import Callable, Sequence

from bench.hosts.command import Command, HostFault, Outcome

# $1 is a marker that no output holds; every further parameter is one quoted command line. The marker with the exit
# code ends each command's stdout, the bare marker its stderr. `exec` in a subshell: a word is always a program, never
# a keyword, builtin or assignment of the shell. POSIX sh only: a guest may have nothing else.
BATCH = """\
marker=$1; shift
for line do
  (eval "$line") </dev/null
  printf '\\n%s %s\\n' "$marker" "$?"
  printf '\\n%s\\n' "$marker" >&2
done"""
# The same for one line, sent to the standard input of a shell that is kept open (%s: the line, quoted once more).
LINE = """\
(eval %s) </dev/null
printf '\\n%%s %%s\\n' %s "$?"
printf '\\n%%s\\n' %s >&2
"""
_ARGUMENT_MOST = 60_000  # bytes; the kernel's limit is 131072, and quoting may double a text
MARKER = "=nettune-7c1f0e2a="  # random once; a constant keeps transcripts replayable


def batch(commands: Sequence[Command]) -> Command:
    """One Command that runs all of them in order. Standard input becomes an argument: with a secret, ValueError."""
    if any(command.secrets for command in commands):
        raise ValueError("a command with a secret cannot be batched: its stdin would stand in the arguments")
    lines = tuple(_line(command) for command in commands)
    deadline_s = sum(command.deadline_s for command in commands) or 10.0
    return Command(("sh", "-c", BATCH, "sh", MARKER, *lines), deadline_s=deadline_s)


def _line(command: Command) -> str:
    line = f"exec {shlex.join(command.argv)}"
    return f"printf %s {shlex.quote(command.stdin)} | {line}" if command.stdin else line


def is_batch(command: Command) -> bool:
    """True for what `batch` makes."""
    return command.argv[:5] == ("sh", "-c", BATCH, "sh", MARKER)


def count(command: Command) -> int:
    """How many commands are in a batch."""
    return len(command.argv) - 5


def script(command: Command) -> str:
    """A batch as text for a shell's standard input; its output is that of the batch."""
    return "".join(LINE % (shlex.quote(line), shlex.quote(MARKER), shlex.quote(MARKER)) for line in command.argv[5:])


def unpack(commands: Sequence[Command], outcome: Outcome) -> tuple[Outcome, ...]:
    """The Outcome of each command of a batch; raises HostFault when the shell did not get to its end."""
    parts = outcome.stdout.split(f"\n{MARKER} ")
    errors = outcome.stderr.split(f"\n{MARKER}\n")
    if len(parts) != len(commands) + 1 or len(errors) != len(commands) + 1:
        raise HostFault(
            f"on {outcome.host}: a batch of {len(commands)} commands gave {len(parts) - 1} answers: "
            f"{outcome.stderr.strip()[:300]}",
            hint="was the shell killed, or did a command end it?",
        )
    outcomes = []
    stdout = parts[0]
    for command, part, stderr in zip(commands, parts[1:], errors[:-1], strict=True):
        code, _, rest = part.partition("\n")
        outcomes.append(Outcome(command, outcome.host, int(code), stdout, stderr, outcome.elapsed_s))
        stdout = rest
    return tuple(outcomes)


def goes_alone(command: Command) -> bool:
    """True for what no batch may hold: a secret, or more standard input than fits an argument (MAX_ARG_STRLEN)."""
    return bool(command.secrets) or len(command.stdin.encode()) > _ARGUMENT_MOST


def run_all(run: Callable[[Command], Outcome], commands: Sequence[Command]) -> tuple[Outcome, ...]:
    """`Host.run_all` for hosts that have a shell: a batch, or one by one where a command goes alone."""
    if len(commands) < 2 or any(goes_alone(command) for command in commands):
        return tuple(run(command) for command in commands)
    return unpack(commands, run(batch(commands)))
