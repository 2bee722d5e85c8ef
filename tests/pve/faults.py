"""A wire that fails at its n-th request, in one of the ways in which requests fail; and the VMs that are asked for."""

from dataclasses import dataclass

from bench.pve import errors
from bench.pve.machines import Wanted
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
            "virtio,bridge=vmbr0",
            KEY,
            f"192.0.2.{number}/24",
            pool="bench",
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
        self.sent += 1
        if self.sent != self.at:
            return self.wire.call(method, path, parameters)
        call = f"{method} {path}"
        if self.way == "after":
            self.wire.call(method, path, parameters)
        status, said = {"before": (0, "connection refused"), "after": (596, "Broken pipe"),
                        "500": (500, "something broke"),
                        "403": (403, "Permission check failed (/vms/100, VM.Allocate)"),
                        "595": (595, "No route to host"),
                        "lock": (500, "can't lock file '/var/lock/x' - got timeout")}[self.way]  # fmt: skip
        raise errors.of(call, status, said, {}) if status else errors.Unreachable(call, 0, said)
