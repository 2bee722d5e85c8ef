"""Several test VMs at once: made side by side, and all of them gone when the block ends, however it ends."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.labs import lease
from bench.pve import machines
from bench.pve.client import Client
from bench.pve.errors import PveFault
from bench.pve.machines import Made, Wanted
from results.errors import NotAble

KIND = "pve-vm"
_AT_ONCE = 8  # more wait for one another's storage lock anyway


@contextlib.contextmanager
def deployed(client: Client, wanted: Sequence[Wanted], *, leases_folder: Path, cluster: Path,
             at_once: int = _AT_ONCE) -> Iterator[tuple[Made, ...]]:  # fmt: skip
    """The VMs, started. `cluster` is the file by which `lab reap` finds the API again.

    Raises PveFault for the first that cannot be made; those beside it are removed too. Where one cannot be removed the
    lease stays, and the error names it.
    """
    with lease.held(leases_folder) as held:
        ids = _Ids(held, cluster)
        try:
            with ThreadPoolExecutor(min(at_once, len(wanted)) or 1) as pool:
                jobs = [pool.submit(machines.make, client, each, held.lease_id, ids) for each in wanted]
                made = tuple(job.result() for job in jobs)
            yield made
        finally:
            left = _removed(client, ids.ours, held.lease_id, at_once)
            if not left:
                held.release()
        if left:
            raise NotAble(f"not removed: {'; '.join(left)}", hint="nettune lab reap, once the cluster answers again")


class _Ids:
    """See machines.Ids."""

    def __init__(self, held: lease.Lease, cluster: Path) -> None:
        self.ours: list[tuple[str, int]] = []
        self._held, self._cluster, self._lock = held, cluster, threading.Lock()

    def claim(self, node: str, lowest: int) -> int:
        """See machines.Ids."""
        with self._lock:
            known = {vmid for _, vmid in self.ours}
            vmid = next(each for each in itertools.count(lowest) if each not in known)
            self._held.note(KIND, name(self._cluster, node, vmid, self._held.lease_id))
            self.ours.append((node, vmid))
        return vmid

    def theirs(self, node: str, vmid: int) -> None:
        """See machines.Ids."""
        with self._lock:
            self.ours.remove((node, vmid))


def name(cluster: Path, node: str, vmid: int, lease_id: str) -> str:
    """What a lease's line says of a VM."""
    return f"{vmid} {node} {lease_id} {cluster.absolute()}"


def reap(line: str, client_of: Callable[[Path], Client]) -> bool:
    """Remove what a line of a lease names; False where nothing of ours is there. Raises PveFault."""
    vmid, node, lease_id, cluster = line.split(" ", 3)
    return machines.remove(client_of(Path(cluster)), node, int(vmid), lease_id)


def _removed(client: Client, noted: Sequence[tuple[str, int]], lease_id: str, at_once: int) -> list[str]:
    """What could not be removed, in words. Every one is tried, though another failed."""

    def gone(of: tuple[str, int]) -> str:
        node, vmid = of
        try:
            machines.remove(client, node, vmid, lease_id)
        except PveFault as error:
            return f"VM {vmid} on {node}: {error}"
        return ""

    with ThreadPoolExecutor(min(at_once, len(noted)) or 1) as pool:
        return [said for said in pool.map(gone, dict.fromkeys(noted)) if said]
