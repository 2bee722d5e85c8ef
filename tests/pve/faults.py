"""A wire that fails at its n-th request, in one of the ways in which requests fail; and the VMs that are asked for."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.pve import errors
from bench.pve.wanted import Wanted
from bench.pve.wire import Parameters, Reply, Wire

WAYS = ("before", "after", "500", "403", "595", "lock")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5c2tleQ== somebody@desk+x"


def wanted(source: str) -> tuple[Wanted, ...]:
    """Two of them."""
    return tuple(
        Wanted(
            f"nettune-{end}",
            "pve1",
            source,
            "local-lvm",
            (("virtio,bridge=vmbr0", f"192.0.2.{number}/24"), ("virtio,bridge=vmbr0,tag=7", f"198.18.0.{number}/24")),
            KEY,
            pool="bench",
            rules=int(end == "b"),
        )
        for number, end in enumerate("ab", 10)
    )


@dataclass
class Faulty:
    """Fails once, at request `at`: unsent, done without an answer, or refused."""

    wire: Wire
    at: int
    way: str
    sent: int = 0

    def call(self, method: str, path: str, parameters: Parameters) -> Reply:
        """See Wire.call."""
        return self._sent(f"{method} {path}", lambda: self.wire.call(method, path, parameters))

    def upload(self, path: str, fields: Parameters, file: Path, name: str) -> Reply:
        """See Wire.upload."""
        return self._sent(f"POST {path}", lambda: self.wire.upload(path, fields, file, name))

    def _sent(self, call: str, send: Callable[[], Reply]) -> Reply:
        self.sent += 1
        if self.sent != self.at:
            return send()
        if self.way == "after":
            send()
        status, said = {"before": (0, "connection refused"), "after": (596, "Broken pipe"),
                        "500": (500, "something broke"),
                        "403": (403, "Permission check failed (/vms/100, VM.Allocate)"),
                        "595": (595, "No route to host"),
                        "lock": (500, "can't lock file '/var/lock/x' - got timeout")}[self.way]  # fmt: skip
        raise errors.of(call, status, said, {}) if status else errors.Unreachable(call, 0, said)


class Mortal(Faulty):
    """SIGKILL ends this process right before, or right after, request `at`."""

    def _sent(self, call: str, send: Callable[[], Reply]) -> Reply:
        self.sent += 1
        if self.sent == self.at and self.way == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        reply = send()
        if self.sent == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply


@dataclass
class Older(Faulty):
    """Proxmox VE 7: its schema has no `ciupgrade`."""

    at: int = 0
    way: str = ""

    def call(self, method: str, path: str, parameters: Parameters) -> Reply:
        """See Wire.call."""
        if "ciupgrade" in parameters:
            said = "property is not defined in schema and the schema does not allow additional properties"
            raise errors.of(f"{method} {path}", 400, "Parameter verification failed.", {"ciupgrade": said})
        return self.wire.call(method, path, parameters)
