"""A machine reached over SSH as a Host: one kept connection, kept shells on it, files by `cat`. ADR 0014.

login.py            Login: how a machine is reached
known_hosts.py      which host keys are accepted
ssh_config.py       what a name is to the operator's own ssh
ssh_connection.py   the connection (paramiko)
ssh_shell.py        the wrapper that every command runs behind
"""

import contextlib
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hosts import shell
from bench.hosts.command import Command, HostFault, Outcome, Unreachable
from bench.hosts.login import Dial, Login, Stream

if TYPE_CHECKING:
    from bench.hosts.ssh_shell import Job, Shells

__all__ = ["Dial", "Login", "Ssh", "connected"]

FILE_S = 60.0
_PIECE = 1 << 20  # of a file on its way
# $f is the name. Half a file never stands under it: what came is counted before it takes the name.
_PUT = (
    'f={name}; if [ -d "$f" ]; then echo "is a directory" >&2; exit 1; fi; '
    'cat >"$f.nettune-part" && [ "$(wc -c <"$f.nettune-part")" -eq {size_bytes} ] && mv -f -- "$f.nettune-part" "$f" '
    '|| {{ rm -f -- "$f.nettune-part"; exit 1; }}; exit'
)
_GET = "exec cat <{name}"


class Ssh:
    """Commands on another machine; made by `connected`. For one thread at a time.

    An exit code of 129 to 192 is read as the signal that shells write so. SIGINT and SIGQUIT are ignored in what runs
    (POSIX 2.11, asynchronous lists); commands are ended by SIGTERM and SIGKILL.
    """

    def __init__(self, name: str, shells: "Shells", prefix: Sequence[str] = ()) -> None:
        self._name = name
        self._shells = shells
        self._prefix = tuple(prefix)

    @property
    def name(self) -> str:
        """As errors and reports name it."""
        return self._name

    @property
    def local(self) -> bool:
        """See Host.local."""
        return False

    def run(self, command: Command) -> Outcome:
        """See Host.run. A connection lost before is made again, once; lost meanwhile, it is Unreachable."""
        with self.start(command) as job:
            return job.wait()

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        return shell.run_all(self.run, commands)

    def start(self, command: Command) -> "Job":
        """See Host.start."""
        try:
            return self._shells.start(command, name=self._name, prefix=self._prefix)
        except Unreachable as error:
            raise self._shells.gone(str(error), error.hint) from error

    def inside(self, name: str, prefix: Sequence[str]) -> "Ssh":
        """The same machine over the same connection, under another name, with `prefix` before each argv."""
        return Ssh(name, self._shells, (*self._prefix, *prefix))

    def stream(self, argv: Sequence[str]) -> Stream:
        """The standard input and output of a program there, as a socket; it ends with that. Raises Unreachable."""
        return self._shells.stream((*self._prefix, *argv))

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        deadline_s: float = FILE_S,
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        """A file there with that content, whole or not at all; `sent` is told how many bytes are on their way.

        Raises HostFault.
        """
        size_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        script = _PUT.format(name=shlex.quote(_plain(remote)), size_bytes=size_bytes)
        self._exchange("written", remote, script, _pieces(source, sent), deadline_s)

    def get(self, remote: str, *, deadline_s: float = FILE_S) -> bytes:
        """The content of a file there; raises HostFault."""
        return self._exchange("read", remote, _GET.format(name=shlex.quote(_plain(remote))), (), deadline_s)

    def _exchange(self, done: str, remote: str, script: str, payload: Iterable[bytes], deadline_s: float) -> bytes:
        from bench.hosts.ssh_shell import exchanged  # noqa: PLC0415 - paramiko takes 0.3 s to import

        pipe = self._shells.fresh()
        try:
            got = exchanged(pipe, script, payload, deadline_s=deadline_s)
            said = pipe.err.decode("utf-8", "backslashreplace").strip()
            if got is not None and (code := pipe.returncode(within_s=5.0)) is not None:
                if code == 0:
                    return got
                raise HostFault(f"on {self._name}: {remote!r} cannot be {done}: {said or f'exit code {code}'}")
            if not pipe.connected:
                raise Unreachable(f"on {self._name}: the SSH connection was lost while {remote!r} was {done}")
            raise HostFault(
                f"on {self._name}: {remote!r} could not be {done} within {deadline_s:g} s: {said or 'no answer'}",
                hint="is the path or the disk slow?",
            )
        finally:
            pipe.close()


def _pieces(source: Path | bytes, sent: Callable[[int], None]) -> Iterator[bytes]:
    on_way = 0
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            sent(on_way := on_way + len(piece))


def _plain(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError(f"{name!r} names no file")
    return name


@contextlib.contextmanager
def connected(
    name: str, login: Login, *, dial: Dial | None = None, last_words: Callable[[], str] = str
) -> Iterator[Ssh]:
    """A Host over SSH that has answered once. `dial` makes the first TCP connection (default: from here).

    `last_words` is asked when the host is gone: what a guest's console showed last, for the error.

    Raises Unreachable where nobody answers, HostFault where host key, login, sudo or shell are refused, WrongInput
    for keys of ours that cannot be read.
    """
    # Here and not above: paramiko takes 0.3 s to import, and most runs have no SSH host.
    from bench.hosts.ssh_connection import Connection, straight  # noqa: PLC0415
    from bench.hosts.ssh_shell import Shells  # noqa: PLC0415

    connection = Connection(name, login, dial or straight)
    try:
        shells = Shells(name, connection, sudo=login.sudo, last_words=last_words)
        try:
            host = Ssh(name, shells)
            host.run(Command(("true",), deadline_s=30.0)).require("are coreutils and util-linux installed there?")
            yield host
        finally:
            shells.close()
    finally:
        connection.close()
