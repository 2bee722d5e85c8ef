"""A network namespace of this machine as a Host, in a private mount namespace with its own sysfs."""

import contextlib
import ctypes
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from bench.hosts import shell
from bench.hosts.command import Command, HostFault, Outcome, Unreachable
from bench.hosts.host import Running
from bench.hosts.local import Local, Process
from bench.hosts.session import Session

_ENTER_S = 5.0
_DIAL_S = 10.0
_CLONE_NEWNET = 0x40000000  # linux/sched.h


class Namespace:
    """Commands inside the named network namespace; made by `entered`."""

    def __init__(self, name: str, netns: str, holder: Process) -> None:
        self._netns = netns
        self._holder = holder
        # --root and --wd: joining a mount namespace leaves a chroot behind otherwise.
        enter = ("nsenter", f"--target={holder.pid}", "--net", "--mount", "--root", "--wd", "--")
        self._local = Local(name, prefix=enter)
        self._session = Session(name, enter)

    @property
    def name(self) -> str:
        """As errors and reports name it."""
        return self._local.name

    @property
    def netns(self) -> str:
        """The namespace's name below /run/netns."""
        return self._netns

    @property
    def machine(self) -> str:
        """The machine that it is on, as errors name it."""
        return "this machine"

    @property
    def local(self) -> bool:
        """See Host.local. Its mount namespace has the machine's files, with another /sys."""
        return True

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        self._check()
        return self._local.run(command)

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        if not commands or any(shell.goes_alone(command) for command in commands):
            return shell.run_all(self._run_batch, commands)
        return shell.unpack(commands, self._run_batch(shell.batch(commands)))  # one alone is cheaper so, too

    def _run_batch(self, command: Command) -> Outcome:
        with self.start(command) as job:
            return job.wait()

    def start(self, command: Command) -> Running:
        """See Host.start. A batch goes to the shell that is kept open."""
        self._check()
        return self._session.start(command) if self._session.takes(command) else self._local.start(command)

    def dial(self, address: str, port: int) -> socket.socket:
        """A TCP connection made from inside; raises OSError as socket.create_connection does.

        setns(2) moves one thread: a short-lived one is moved and ends there, ours stays where it is.
        """
        self._check()
        made: list[socket.socket] = []
        failed: list[OSError] = []

        def inside() -> None:
            try:
                _enter_net(self._holder.pid)
                made.append(socket.create_connection((address, port), timeout=_DIAL_S))
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=inside, name=f"dial from {self._netns}", daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]

    def dial_file(self, path: str) -> socket.socket:
        """A connection to a unix socket of this machine, whose names are no network's; raises OSError."""
        self._check()
        return dialed_file(path)

    def close(self) -> None:
        """End the shell; the namespace itself stays."""
        self._session.close()

    def _check(self) -> None:
        if self._holder.finished():
            raise Unreachable(
                f"namespace {self._netns} ({self.name}) is gone: the process that held it has ended",
                hint="was the lab reaped while the run was still going?",
            )


def dialed_file(path: str) -> socket.socket:
    """A connection to a unix socket of this machine; raises OSError."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_DIAL_S)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _enter_net(pid: int) -> None:
    """This thread goes into the network namespace of a process. os.setns came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def entered(name: str, netns: str) -> Iterator[Namespace]:
    """A Host inside an existing named namespace.

    `ip netns exec` gives a private mount namespace with that namespace's own sysfs; a process that only waits keeps
    both alive, and every Command joins them with nsenter (2 ms against 3 ms, and sysfs is mounted once).
    """
    holder = Local().start(
        Command(("ip", "netns", "exec", netns, "sh", "-c", "echo held; exec sleep infinity"), deadline_s=1e9)
    )
    with holder:
        deadline = time.monotonic() + _ENTER_S
        while "held" not in holder.output():
            if holder.finished() or time.monotonic() > deadline:
                raise HostFault(
                    f"namespace {netns} cannot be entered: {holder.stop().stderr.strip() or 'no answer'}",
                    hint="namespaces need root (CAP_SYS_ADMIN)",
                )
            time.sleep(0.001)
        host = Namespace(name, netns, holder)
        try:
            yield host
        finally:
            host.close()
