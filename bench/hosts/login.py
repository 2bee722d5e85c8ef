"""How one machine is reached over SSH: a Login, and the texts that name one."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from results.errors import WrongInput


class Stream(Protocol):
    """What is read and written like a connected socket: one, or a channel of an SSH connection."""

    def recv(self, size: int, /) -> bytes:
        """What has come, at most that much; b"" at the end. Raises TimeoutError."""
        ...

    def sendall(self, data: bytes, /) -> None:
        """All of it; raises OSError."""
        ...

    def settimeout(self, seconds: float, /) -> None:
        """For each `recv` and `sendall`."""
        ...

    def close(self) -> None:
        """Both directions end."""
        ...


Dial = Callable[[str, int], Stream]  # (address, port) -> connected; raises OSError

SSH_PORT = 22
_HINT = "write it as ssh://root@pve1:22, root@pve1, or root@[2001:db8::1]:22"
# A user as useradd(8) takes it; a name as resolvers do (letters, digits, hyphen, underscore, dots).
_TEXT = re.compile(
    r"(?:ssh://)?(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]*)@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?))"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Login:
    """Address, user, keys, and the host key that is expected there; `jump` is the machine on the way.

    keys        private key files; () is the agent's and ~/.ssh's
    pinned      "ssh-ed25519 AAAA…", the one host key accepted (guests we made); "" is known_hosts, strictly
    known_hosts in place of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
    sudo        commands run as root through `sudo -n --`
    """

    address: str
    port: int = SSH_PORT
    user: str = "root"
    keys: tuple[Path, ...] = ()
    pinned: str = ""
    known_hosts: Path | None = None
    sudo: bool = False
    jump: "Login | None" = None

    @classmethod
    def parse(cls, text: str, *, user: str = "root", port: int = SSH_PORT) -> "Login":
        """The Login that ssh://user@address:port names; scheme, user and port may be left out, and are these then.

        Raises WrongInput. A password in it is refused, and not repeated in the error.
        """
        before, at, _ = text.rpartition("@")
        if at and ":" in before.removeprefix("ssh://"):
            raise WrongInput("an SSH address with a password in it is not taken", hint="use a key, or the SSH agent")
        found = _TEXT.fullmatch(text)
        if found is None:
            raise WrongInput(f"{text!r} is no address of an SSH host", hint=_HINT)
        if (six := found["six"]) is not None:
            try:
                ipaddress.IPv6Address(six)
            except ValueError as error:
                raise WrongInput(f"{six!r} in {text!r} is no IPv6 address", hint=_HINT) from error
        port = int(found["port"] or port)
        if not 1 <= port <= 65535:
            raise WrongInput(f"port {port} in {text!r} is not between 1 and 65535", hint=_HINT)
        return cls(address=six or found["name"], port=port, user=found["user"] or user)

    def __str__(self) -> str:
        """As errors name it, and as `parse` reads it."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{address}:{self.port}"
