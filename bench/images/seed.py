"""The seed: a tar archive as a second disk, by which a guest learns who it is.

`etc/hostname`, `root/.ssh/authorized_keys`, `etc/ssh/ssh_host_ed25519_key` (and .pub), `etc/nettune/nics` with a line
`MAC NAME [ADDRESS/PREFIX]` per NIC, `etc/nettune/modules` with a module and its parameters a line; anything else is
laid over the root too.
"""

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bench.images import recipe
from results.errors import NotAble

_SECTOR_BYTES = 512  # a virtio disk is whole sectors; what tar writes is whole records of 20 of them
_PUBLIC = (".pub", "etc/hostname", "etc/nettune/")  # readable by all; everything else may be a key


def seed(path: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (path in the guest, content) as a seed of whole sectors, readable by its owner only.

    All belongs to root; keys have mode 0600, folders 0755 or, around keys of a user, 0700. Raises ValueError for a path
    that leads out of the guest's root, NotAble where it cannot be written.
    """
    content = archive(files)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # it may have been there
            file.write(content)
    except OSError as error:
        raise NotAble(f"cannot write the seed {path}: {error.strerror}", hint="is the disk full?") from error


def archive(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a seed; the same files give the same bytes. Raises ValueError as `seed` does."""
    out = io.BytesIO()
    folders: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(files):
            inside = PurePosixPath(name)
            if inside.is_absolute() or ".." in inside.parts or str(inside) != name or name == "." or "\0" in name:
                raise ValueError(f"{name!r} is no path below a guest's root, like etc/hostname")
            if any(str(folder) in files for folder in inside.parents):
                raise ValueError(f"{name!r} lies below what is a file")
            for folder in reversed(inside.parents[:-1]):
                if str(folder) not in folders:
                    folders.add(str(folder))
                    tar.addfile(_folder(str(folder)))
            tar.addfile(_file(name, len(files[name])), io.BytesIO(files[name]))
    content = out.getvalue()
    return content + b"\0" * (-len(content) % _SECTOR_BYTES)


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    # sshd wants nobody else to write to the folders of a key (sshd(8), StrictModes)
    entry.mode = 0o700 if name == "root" or name.endswith(".ssh") else 0o755
    return _dated(entry)


def _file(name: str, size_bytes: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size_bytes
    entry.mode = 0o644 if name.endswith(_PUBLIC[0]) or name.startswith(_PUBLIC[1:]) else 0o600
    return _dated(entry)


def _dated(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = recipe.EPOCH_S
    entry.uname = entry.gname = "root"
    return entry
