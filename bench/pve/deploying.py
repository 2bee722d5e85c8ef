"""Several test guests at once: made side by side, and all of them gone when the block ends, however it ends."""

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from pathlib import Path

from bench.labs import lease
from bench.pve import leaving, machines, ownership, room, shells
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.machines import Made
from bench.pve.ownership import WORDS, Kind
from bench.pve.shells import NodeShells
from bench.pve.wanted import Wanted
from bench.shield import uninterrupted

KINDS: dict[str, Kind] = {"pve-vm": "qemu", "pve-ct": "lxc"}  # of a lease's lines
_AT_ONCE = 8  # more wait for one another's storage lock anyway


@contextlib.contextmanager
def deployed(client: Client, wanted: Sequence[Wanted], *, leases_folder: Path, cluster: Path, at_once: int = _AT_ONCE,
             by: NodeShells | None = None) -> Iterator[tuple[Made, ...]]:  # fmt: skip
    """The guests, started. `cluster` is the file by which `lab reap` finds the API again; `by` the nodes' SSH.

    Raises PveFault for the first that cannot be made; those beside it are removed too. Where one cannot be removed the
    lease stays, and the error names it.
    """
    origins = {source: machines.origin(client, source) for source in dict.fromkeys(each.source for each in wanted)}
    with lease.held(leases_folder) as held, shells.opened({}) as none:
        ids = _Ids(held, cluster, room.used(client) if len(wanted) > 2 else frozenset())
        jobs: list[Future[Made]] = []

        def gone() -> list[str]:
            going_on = sum(not job.done() for job in jobs)  # of a second interrupt: their ids stay in the lease
            left = [f"{going_on} that were still being made"] if going_on else []
            return [*_removed(client, ids.ours, held.lease_id, at_once), *left]

        with leaving.removing(held, gone, "nettune lab reap, once the cluster answers again"):
            makes = [
                functools.partial(machines.make, client, each, origins[each.source], held.lease_id, ids, by or none)
                for each in wanted
            ]
            yield _side_by_side(makes, at_once, jobs)


def _side_by_side(makes: Sequence[Callable[[], Made]], at_once: int, jobs: list[Future[Made]]) -> tuple[Made, ...]:
    """All of them, some at a time. Raises what the first that failed raised, once those under way have ended.

    From then on, and after an interrupt, none is begun: it would be made only to be removed. `jobs` gets all of them.
    """
    failed: list[BaseException] = []
    over = threading.Event()

    def begun(make: Callable[[], Made]) -> Made:
        if over.is_set():
            raise CancelledError
        try:
            return make()
        except BaseException as error:
            failed.append(error)
            over.set()  # here, since whoever waits for the jobs is slower than the next one of them
            raise

    pool = ThreadPoolExecutor(min(at_once, len(makes)) or 1)
    try:
        with uninterrupted():  # a thread that is begun and not yet known to the pool is waited for by nobody
            jobs += [pool.submit(begun, make) for make in makes]
        wait(jobs, return_when=FIRST_EXCEPTION)
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[0]
    return tuple(job.result() for job in jobs)


class _Ids:
    """See machines.Ids."""

    def __init__(self, held: lease.Lease, cluster: Path, taken: frozenset[int] = frozenset()) -> None:
        """`taken`: of others, as far as they may be seen; many siblings would else try a row of theirs one by one."""
        self.ours: list[tuple[Kind, str, int]] = []
        self._held, self._cluster, self._taken, self._lock = held, cluster, taken, threading.Lock()

    def claim(self, kind: Kind, node: str, lowest: int) -> int:
        """See machines.Ids."""
        line = next(name for name, each in KINDS.items() if each == kind)
        with self._lock:
            known = {vmid for _, _, vmid in self.ours} | self._taken
            vmid = next(each for each in itertools.count(lowest) if each not in known)
            self._held.note(line, name(self._cluster, node, vmid, self._held.lease_id))
            self.ours.append((kind, node, vmid))
        return vmid

    def theirs(self, kind: Kind, node: str, vmid: int) -> None:
        """See machines.Ids."""
        with self._lock:
            self.ours.remove((kind, node, vmid))


def name(cluster: Path, node: str, vmid: int, lease_id: str) -> str:
    """What a lease's line says of a guest."""
    return f"{vmid} {node} {lease_id} {cluster.absolute()}"


def reap(kind: str, line: str, client_of: Callable[[Path], Client]) -> bool:
    """Remove what a line of a lease names; False where nothing of ours is there. Raises PveFault."""
    vmid, node, lease_id, cluster = line.split(" ", 3)
    return ownership.remove(client_of(Path(cluster)), KINDS[kind], node, int(vmid), lease_id)


def _removed(client: Client, noted: Sequence[tuple[Kind, str, int]], lease_id: str, at_once: int) -> list[str]:
    """What could not be removed, in words. Every one is tried, though another failed."""

    def gone(of: tuple[Kind, str, int]) -> str:
        kind, node, vmid = of
        try:
            ownership.remove(client, kind, node, vmid, lease_id)
        except PveFault as error:
            return f"{WORDS[kind]} {vmid} on {node}: {error}"
        return ""

    with ThreadPoolExecutor(min(at_once, len(noted)) or 1) as pool:
        return [said for said in pool.map(gone, dict.fromkeys(noted)) if said]
