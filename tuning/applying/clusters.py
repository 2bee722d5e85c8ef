"""Between two nodes of one cluster: quorum is whole and HA has nothing to mend, or the next one is not touched."""

import time

from bench.facts import cluster
from bench.hosts.host import Host
from results.errors import NotAble

WAITED_S = 60.0  # for corosync to count a node again (token and consensus: 5 s at most by default) and for HA to settle
_EVERY_S = 1.0


class ClusterNotWell(NotAble):
    """A cluster that must not lose another node now."""


def well(host: Host, *, within_s: float = WAITED_S) -> bool:
    """Wait until the host's cluster is well; False where it is in none. Raises ClusterNotWell naming what is not."""
    until = time.monotonic() + within_s
    while True:
        found = cluster.health(host.run(cluster.HEALTH).require().stdout)
        if not found.problems:
            return found.member
        if found.stays or time.monotonic() >= until:
            waited = f" after {within_s:g} s" if within_s and not found.stays else ""
            raise ClusterNotWell(
                f"on {host.name}: its cluster is not well{waited}: {'; '.join(found.problems)}",
                hint="pvecm status and ha-manager status; one node at a time, and only while all others stand",
            )
        time.sleep(_EVERY_S)
