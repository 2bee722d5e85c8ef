"""Lease: the list, on disk before creation, of what a lab creates, so that anyone can remove a dead run's leftovers.

A lease file is locked (flock) by the process that works under it; the kernel drops the lock when that process ends,
however it ends. `reap` removes what unlocked leases list.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from results.errors import NotAble, WrongInput

Remove = Callable[[str, str], "bool | str"]


def append_durably(file: IO[str], line: Mapping[str, object]) -> None:
    """Append one JSON line and have it on disk before returning. Raises NotAble; half a line is taken away again."""
    data = (json.dumps(line, separators=(",", ":")) + "\n").encode()
    descriptor = file.fileno()  # not through its buffer: what failed once would be written again when it is closed
    start = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, start)
        raise NotAble(f"cannot write {file.name}: {error.strerror}", hint="is the disk full?") from error


def create_durably(path: Path) -> IO[str]:
    """A new file, open for appending, whose name is on disk too. Raises NotAble naming path and cause."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8")
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotAble(
            f"cannot create {path}: {error.strerror}", hint="set NETTUNE_STATE to a folder on a local disk with space"
        ) from error
    return file


def read_lines(path: Path) -> list[dict[str, object]]:
    """The JSON lines of a file; one cut short by a crash is left out (nothing was done under it)."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


class Lease:
    """What one lab creates; every name is on disk before the thing itself exists."""

    def __init__(self, lease_id: str, path: Path, file: IO[str]) -> None:
        self.lease_id = lease_id
        self._path = path
        self._file = file

    def note(self, kind: str, name: str) -> None:
        """Promise to remove `name`; on disk when this returns."""
        append_durably(self._file, {"kind": kind, "name": name})

    def release(self) -> None:
        """Everything is removed: the list goes too."""
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Lease]:
    """A new, locked lease. The caller releases it once all it noted is gone; otherwise it stays for `reap`."""
    while True:
        lease_id = secrets.token_hex(4)
        path = folder / f"{lease_id}.jsonl"
        with create_durably(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # before it was locked, reap took it for a dead run's
            append_durably(file, {"lease": lease_id, "pid": os.getpid(), "created_at": time.time()})
            yield Lease(lease_id, path, file)
            return


@contextlib.contextmanager
def only_run(folder: Path, what: str) -> Iterator[None]:
    """At most one measuring run on a machine: two would spoil each other. Raises NotAble naming the other one."""
    path = folder / "running.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise NotAble(
            f"cannot write {path}: {error.strerror}", hint="set NETTUNE_STATE to a folder of yours"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "another run"
            raise NotAble(
                f"{other} is measuring on this machine; two at once would spoil each other",
                hint="wait for it, or end it",
            ) from None
        file.truncate(0)
        file.write(f"{what} (pid {os.getpid()})")
        file.flush()
        yield


def measuring(folder: Path) -> str:
    """What the living process that holds `only_run` said of itself ("run 2026… (pid 12)"); "" when there is none."""
    try:
        file = (folder / "running.lock").open(encoding="utf-8")
    except OSError:
        return ""
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return ""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What `reap` did about one lease; `problem` is "" when nothing of it is left."""

    lease_id: str
    removed: tuple[str, ...]
    problem: str


def reap(folder: Path, remove: Remove) -> tuple[Reaped, ...]:
    """Remove what dead runs left: `remove(kind, name)` says whether there was something to remove, or what in words.

    Leases of living runs are left alone. A lease whose removal fails stays on disk and is reported.
    """
    done = []
    for path in sorted(folder.glob("*.jsonl"), key=_written_at, reverse=True):  # VMs before the network they are on
        try:
            file = path.open("r+", encoding="utf-8")
        except FileNotFoundError:
            continue  # released meanwhile
        except OSError as error:
            done.append(Reaped(path.stem, (), f"cannot open {path}: {error.strerror}"))
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # released between opening and locking it
            done.append(_reap_one(path, remove))
    return tuple(done)


def _written_at(path: Path) -> tuple[int, str]:
    """When it last promised something; 0 where it was released meanwhile."""
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:
        return 0, path.name


def _reap_one(path: Path, remove: Remove) -> Reaped:
    removed: list[str] = []
    problem = ""
    for line in reversed(read_lines(path)):
        if "kind" not in line:
            continue
        name = str(line["name"])
        try:
            if found := remove(str(line["kind"]), name):
                removed.append(found if isinstance(found, str) else name)
        except (HostFault, NotAble, WrongInput) as error:  # the next lines and leases are removed all the same
            problem = problem or str(error)
    if not problem:
        path.unlink(missing_ok=True)
    return Reaped(path.stem, tuple(removed), problem)


def remove_namespace(local: Host, name: str) -> bool:
    """End what runs inside a namespace of ours and delete it; False when it was gone already."""
    if name not in namespaces(local):
        return False
    pids = local.run(Command(("ip", "netns", "pids", name))).stdout.split()
    if pids:
        # Each was started in a namespace that only this lab uses; a pid may be gone by now, which is as good.
        local.run(Command(("kill", "-KILL", *pids)))
    local.run(Command(("ip", "netns", "delete", name))).require("is it still mounted elsewhere?")
    return True


def remove_folder(state: Path, folder: Path) -> bool:
    """Delete a lab's folder below `state`; False when it was gone already. Raises HostFault for any other place."""
    if state.resolve() not in folder.resolve().parents:
        raise HostFault(f"{folder} is not below {state}: a lease names no such folder", hint="delete it by hand")
    if not folder.is_dir():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise HostFault(f"on local: {folder} cannot be deleted: {error.strerror}") from error
    return True


def namespaces(local: Host) -> set[str]:
    """The named network namespaces of the machine."""
    listed = local.run(Command(("ip", "netns", "list"))).require().stdout
    return {line.split()[0] for line in listed.splitlines() if line.strip()}
