"""The wrapper that commands run behind over SSH, in the shells that a far end may have; here without SSH."""

import os
import select
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.hosts import ssh_shell
from bench.hosts.command import Command, HostFault, Overdue, Unreachable
from bench.hosts.local import Interactive
from bench.hosts.ssh_connection import Connection, Pipe
from bench.hosts.ssh_shell import Shells

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


class LocalPipe(Pipe):
    """A shell of this machine in the place of one at the end of a channel."""

    def __init__(self, argv: list[str]) -> None:
        # sshd's children have no signal ignored; those of a test run under nohup have SIGHUP, which no shell can trap.
        self._shell = Interactive(["env", "--default-signal=HUP", *argv])
        self._open = {self._shell.stdout, self._shell.stderr}
        self.out, self.err = bytearray(), bytearray()

    def send(self, data: bytes) -> None:
        """To its standard input."""
        self._shell.send(data.decode("utf-8", "surrogateescape"))

    def take(self, seconds: float) -> bool:
        """As over SSH."""
        for descriptor in select.select(list(self._open), [], [], max(0.0, seconds))[0]:
            data = os.read(descriptor, 1 << 16)
            (self.out if descriptor == self._shell.stdout else self.err).extend(data)
            if not data:
                self._open.discard(descriptor)
        return bool(self._open)

    @property
    def connected(self) -> bool:
        """Always."""
        return True

    def hang_up(self) -> None:
        """Its standard input ends, as when a connection is lost; nobody signals anything."""
        assert self._shell._process.stdin is not None
        self._shell._process.stdin.close()

    def close(self) -> None:
        """End it."""
        self._shell.end()


class LocalShells(Connection):
    """Opens shells here."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self.opened: list[LocalPipe] = []

    def pipe(self, program: str) -> Pipe:
        """The shell under test, whatever is asked for."""
        self.opened.append(LocalPipe(self._argv))
        return self.opened[-1]


@pytest.fixture(params=SHELLS)
def connection(request: pytest.FixtureRequest) -> Iterator[LocalShells]:
    """One for each shell that is installed."""
    argv = SHELLS[request.param]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"not installed: {argv[0]}")
    made = LocalShells(argv)
    yield made
    for each in made.opened:
        each.close()


@pytest.fixture
def shells(connection: LocalShells) -> Shells:
    """The kept shells of a host."""
    return Shells("far", connection, sudo=False)


def _sh(script: str, *, stdin: str = "", deadline_s: float = 10.0) -> Command:
    return Command(("sh", "-c", script), stdin=stdin, deadline_s=deadline_s)


def _gone(pid: int) -> bool:
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_commands_one_after_the_other_share_one_shell(shells: Shells, connection: LocalShells) -> None:
    """Exit codes, signals, streams and standard input are each command's own."""
    commands = [
        _sh("printf out; printf err >&2; exit 3"),
        _sh("kill -9 $$"),
        Command(("cat",), stdin="a\0b\\n%s'ü"),
        Command(("cat",)),
        Command(("nettune-no-such-program",)),
        Command(("printf", "%s|", "", " ", "'", "$x", "\n", "€")),
        _sh("printf %s $LC_ALL"),
    ]
    outcomes = [shells.start(command).wait() for command in commands]

    assert [each.returncode for each in outcomes] == [3, -9, 0, 0, 127, 0, 0]
    assert [each.stdout for each in outcomes] == ["out", "", r"a" + "\0b\\n%s'ü", "", "", "| |'|$x|\n|€|", "C.UTF-8"]
    assert [each.stderr for each in outcomes if each.returncode != 127] == ["err", "", "", "", "", ""]
    assert len(connection.opened) == 1


def test_a_deadline_ends_what_ignores_sigterm_and_the_shell_goes_on(
    shells: Shells, connection: LocalShells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Child and child's child; then the same shell takes the next command."""
    monkeypatch.setattr(ssh_shell, "_GRACE_S", 0.1)
    script = "(trap '' TERM; sleep 321 & echo $!; wait) & trap '' TERM; sleep 321 & echo $!; wait; wait; wait"
    with pytest.raises(Overdue) as raised:
        shells.start(_sh(script, deadline_s=0.2)).wait()
    pids = [int(word) for word in raised.value.outcome.stdout.split()]
    after = shells.start(Command(("echo", "after"))).wait()

    assert [_gone(pid) for pid in pids] == [True, True]
    assert (after.stdout, len(connection.opened)) == ("after\n", 1)


def test_stop_right_after_start_is_a_sigterm(shells: Shells) -> None:
    """Also where the waiter has not set its traps yet."""
    assert [shells.start(Command(("sleep", "321"))).stop().returncode for _ in range(20)] == [-15] * 20


def test_what_a_command_leaves_behind_is_ended(shells: Shells) -> None:
    """A process in the background does not outlive it."""
    assert _gone(int(shells.start(_sh("sleep 321 & echo $!")).wait().stdout))


def test_the_end_of_the_shells_input_ends_the_command(shells: Shells, connection: LocalShells) -> None:
    """A lost connection looks like that; SIGTERM first, then SIGKILL for what ignores it."""
    polite = shells.start(_sh("trap 'echo asked; exit' TERM; echo $$; while :; do sleep 0.01; done"))
    stubborn = shells.start(_sh("trap '' TERM; sleep 321 & echo $!; wait; sleep 321"))
    for job in (polite, stubborn):
        while not job.output():
            time.sleep(0.001)
    pids = [int(job.output()) for job in (polite, stubborn)]
    for pipe in connection.opened:
        pipe.hang_up()

    assert [_gone(pid) for pid in pids] == [True, True]
    assert "asked" in polite.output()


def test_a_shell_that_refuses_before_our_first_line_says_why() -> None:
    """Where the machine is busy, sudo is gone before it takes anything: its words are told."""

    class Refusing(LocalPipe):
        def send(self, data: bytes) -> None:
            self.err += b"sudo: a password is required\n"
            raise Unreachable("on pve1: the SSH connection was lost while it was sent to: Socket is closed")

    class Refused(LocalShells):
        def pipe(self, program: str) -> Pipe:
            return Refusing(self._argv)

    with pytest.raises(HostFault, match="on pve1: sudo -n is refused: sudo: a password is required"):
        Shells("pve1", Refused(["sh"]), sudo=True).start(Command(("true",)))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EOFError(), "was lost while it was sent to: it ended"),
        (OSError("Socket is closed"), "was lost while it was sent to: Socket is closed"),
        (TimeoutError(), "took nothing for 15 s"),
    ],
)
def test_whatever_ends_a_connection_while_it_is_sent_to_has_words(error: Exception, said: str) -> None:
    """Some of paramiko's errors have none."""
    channel = Mock()
    channel.fileno.return_value = 0
    channel.sendall.side_effect = error

    with pytest.raises(Unreachable, match=f"on pve1: the SSH connection {said}$"):
        Pipe(channel, "pve1").send(b"true\n")
