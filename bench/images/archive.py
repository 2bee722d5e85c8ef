"""The bytes of an image: which files of a Debian tree go on, with which contents, and the initrd's cpio archive."""

import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bench.images import recipe

_PYC_HEADER_BYTES = 16
_PYC_UNCHECKED = b"\x01\0\0\0" + bytes(8)  # PEP 552: hash-based, never compared with the source
_CPIO_END = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder (mode says which) or link of an archive of ours; `name` is relative to the root."""

    name: str
    mode: int
    content: bytes = b""


def folder(name: str, mode: int = 0o755) -> Entry:
    """A folder."""
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, content: bytes, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | mode, content)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def dropped(name: str, patterns: Iterable[str]) -> bool:
    """Whether a path of Debian's tree (relative to its root) stays out of the image."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def normal(name: str) -> str:
    """A member's path as we write it: ./usr/bin -> usr/bin; the root itself is ""."""
    return name.removeprefix("./").strip("/") if name != "." else ""


def rewritten(name: str, content: bytes) -> bytes:
    """A file's content with what tells of the day of the build, or costs time in a guest, made constant."""
    if name.endswith(".pyc"):
        # compiled against a source whose date is another here: without this every start of Python compiles again
        return content[:4] + _PYC_UNCHECKED + content[_PYC_HEADER_BYTES:]
    if name == "etc/passwd":
        return content.replace(b":/root:/bin/bash\n", b":/root:/bin/sh\n")  # dash starts in less than half the time
    if name in {"etc/shadow", "etc/shadow-"}:
        # the third field is the day on which the password was changed: that of the build (shadow(5))
        lines = [line.split(b":") for line in content.splitlines()]
        return b"".join(b":".join((*each[:2], b"18518", *each[3:])) + b"\n" for each in lines)
    return content


def merge(tree: tarfile.TarFile, own: Iterable[Entry], out: tarfile.TarFile, patterns: Iterable[str]) -> None:
    """Debian's tree without what is dropped, then `own`, which may replace files of it. Owners stay; dates are one."""
    added, patterns = list(own), tuple(patterns)
    replaced = {entry.name for entry in added} | {""}  # the root's mode is given to sqfstar
    for member in tree:
        name = normal(member.name)
        if name in replaced or dropped(name, patterns):
            continue
        member.name = name
        member.mtime = recipe.EPOCH_S
        member.pax_headers = {}
        if member.islnk():
            member.linkname = normal(member.linkname)
        if not member.isreg():
            out.addfile(member)
            continue
        changed = rewritten(name, content(tree, member))
        member.size = len(changed)
        out.addfile(member, io.BytesIO(changed))
    for entry in added:
        _add(out, entry)


def content(tree: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """A member's content; of what has none, nothing."""
    opened = tree.extractfile(member)
    return b"" if opened is None else opened.read()


def _add(out: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.name)
    member.mode = stat.S_IMODE(entry.mode)
    member.mtime = recipe.EPOCH_S
    if stat.S_ISDIR(entry.mode):
        member.type = tarfile.DIRTYPE
        out.addfile(member)
    elif stat.S_ISLNK(entry.mode):
        member.type, member.linkname = tarfile.SYMTYPE, entry.content.decode()
        out.addfile(member)
    else:
        member.size = len(entry.content)
        out.addfile(member, io.BytesIO(entry.content))


def packages(status: str) -> dict[str, str]:
    """Installed packages and their versions, from dpkg's status file, by name."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(_fields(paragraph))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return dict(sorted(found.items()))


def _fields(paragraph: str) -> Iterator[tuple[str, str]]:
    for line in paragraph.splitlines():
        key, colon, value = line.partition(": ")
        if colon and not key.startswith(" "):
            yield key, value


def cpio(entries: Iterable[Entry]) -> bytes:
    """An initramfs in the newc format (Documentation/driver-api/early-userspace/buffer-format.rst), all root's."""
    out = bytearray()
    for number, entry in enumerate((*entries, Entry(_CPIO_END, 0)), start=1):
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        name = entry.name.encode() + b"\0"
        numbers = (number, entry.mode, 0, 0, links, recipe.EPOCH_S, len(entry.content), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % each for each in numbers) + name
        out += bytes(-len(out) % 4)
        out += entry.content
        out += bytes(-len(out) % 4)
    return bytes(out)
