"""A network namespace of another machine as a Host: what hosts.namespace is here, over SSH.

Its commands are jobs of the machine's kept shells, each behind `nsenter`.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

from bench.hosts.command import Command, HostFault, Outcome, Unreachable
from bench.hosts.host import Running
from bench.hosts.login import Stream
from bench.hosts.ssh import Ssh

_ENTER_S = 15.0
_HELD = "held "
# Standard input and output to $1 "tcp", address $2 and port $3, or to $1 "unix", path $2; $4 is the same as a program.
BRIDGES = ("socat", "python3", "nc")  # one of them is enough; every Proxmox node has the first (qemu-server needs it)
_BRIDGE = """\
case $1 in tcp) way="TCP:$2:$3,nodelay" ;; *) way="UNIX-CONNECT:$2" ;; esac
command -v socat >/dev/null && exec socat -b 65536 - "$way"
command -v python3 >/dev/null && exec python3 -c "$4" "$1" "$2" "$3"
case $1 in tcp) exec nc "$2" "$3" ;; *) exec nc -U "$2" ;; esac
"""
_PYTHON = """\
import os, select, socket, sys
kind, where, port = sys.argv[1:]
if kind == "tcp":
    far = socket.create_connection((where, int(port)))
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
else:
    far = socket.socket(socket.AF_UNIX)
    far.connect(where)
while True:
    for each in select.select([0, far], [], [])[0]:
        data = os.read(0, 65536) if each == 0 else far.recv(65536)
        if not data:
            sys.exit()
        if each == 0:
            far.sendall(data)
        while each != 0 and data:
            data = data[os.write(1, data):]
"""


class RemoteNamespace:
    """Commands inside a named network namespace of another machine; made by `entered`."""

    def __init__(self, machine: Ssh, name: str, netns: str, holder: Running, pid: int) -> None:
        self._machine = machine
        self._netns = netns
        self._holder = holder
        # The network by its name, which nobody else has: should the holder's number be another process's by now, no
        # command gets into a network that is not ours. --root and --wd as in hosts.namespace.
        net = f"--net=/run/netns/{netns}"
        self._inside = machine.inside(name, ("nsenter", f"--target={pid}", net, "--mount", "--root", "--wd", "--"))

    @property
    def name(self) -> str:
        """As errors and reports name it."""
        return self._inside.name

    @property
    def netns(self) -> str:
        """The namespace's name below /run/netns there."""
        return self._netns

    @property
    def machine(self) -> str:
        """The machine that it is on, as errors name it."""
        return self._machine.name

    @property
    def local(self) -> bool:
        """See Host.local: its files are the other machine's."""
        return False

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        self._check()
        return self._inside.run(command)

    def run_all(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """See Host.run_all."""
        self._check()
        return self._inside.run_all(commands)

    def start(self, command: Command) -> Running:
        """See Host.start."""
        self._check()
        return self._inside.start(command)

    def dial(self, address: str, port: int) -> Stream:
        """A TCP connection made from inside, bridged to a channel; raises HostFault. It ends where nobody listens."""
        return self._bridged("tcp", address, str(port))

    def dial_file(self, path: str) -> Stream:
        """A connection to a unix socket there, as `dial`."""
        return self._bridged("unix", path, "")

    def _bridged(self, *way: str) -> Stream:
        self._check()
        return self._inside.stream(("sh", "-c", _BRIDGE, "sh", *way, _PYTHON))

    def _check(self) -> None:
        if self._holder.finished():
            raise Unreachable(
                f"namespace {self._netns} ({self.name}) on {self._machine.name} is gone: the process that held it has "
                "ended, or the connection to it",
                hint="was the lab reaped while the run was still going, or is the node gone?",
            )


@contextlib.contextmanager
def entered(machine: Ssh, name: str, netns: str) -> Iterator[RemoteNamespace]:
    """A Host inside an existing named namespace of that machine, held as hosts.namespace.entered does."""
    held = ("ip", "netns", "exec", netns, "sh", "-c", f'echo "{_HELD}$$"; exec sleep infinity')
    with machine.start(Command(held, deadline_s=1e9)) as holder:
        deadline = time.monotonic() + _ENTER_S
        while not holder.output().endswith("\n"):
            if holder.finished() or time.monotonic() > deadline:
                raise HostFault(
                    f"on {machine.name}: namespace {netns} cannot be entered: "
                    f"{holder.stop().stderr.strip() or 'no answer'}",
                    hint="namespaces need root (CAP_SYS_ADMIN)",
                )
            time.sleep(0.005)
        yield RemoteNamespace(machine, name, netns, holder, int(holder.output().removeprefix(_HELD)))
