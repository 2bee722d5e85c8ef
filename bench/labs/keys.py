"""Key pairs for SSH, and the folder that has them: made for one lab and gone with it, or by `reap` with its lease."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.labs import lease
from bench.labs.lease import Lease
from results.errors import NotAble

CLIENT = "client"  # the private half of what logs in to all guests of a lab


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Ed25519: `private` as OpenSSH's own file format, `public` as the line of authorized_keys."""

    private: bytes
    public: str

    @classmethod
    def made(cls) -> "KeyPair":
        """A new one."""
        from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - 0.1 s, for guests alone
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        key = Ed25519PrivateKey.generate()
        return cls(
            key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()),
            key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode(),
        )


@contextlib.contextmanager
def folder(of: Lease, leases_folder: Path) -> Iterator[Path]:
    """A folder for root alone, of keys and seeds of the guests, below the state's. Raises NotAble."""
    path = leases_folder.parent / "guests" / of.lease_id
    of.note("folder", str(path))
    with writing(path):
        path.mkdir(mode=0o700, parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def leased(leases_folder: Path) -> Iterator[Path]:
    """Such a folder under a lease of its own. Raises NotAble."""
    with lease.held(leases_folder) as held:
        try:
            with folder(held, leases_folder) as place:
                yield place
        finally:
            if not (leases_folder.parent / "guests" / held.lease_id).exists():
                held.release()


def client(place: Path) -> KeyPair:
    """The key that logs in to every guest of a lab; its private half lies in that folder as CLIENT. Raises NotAble."""
    made = KeyPair.made()
    with writing(place / CLIENT):
        (place / CLIENT).touch(mode=0o600)
        (place / CLIENT).write_bytes(made.private)
    return made


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that writes there. Raises NotAble naming the place."""
    try:
        yield
    except OSError as error:
        hint = "is the disk full? NETTUNE_STATE names another place"
        raise NotAble(f"{path} cannot be written: {error.strerror}", hint=hint) from error
