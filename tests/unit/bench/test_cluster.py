"""What a node says of high availability and of corosync's links, as those programs print it."""

import pytest

from bench.facts.cluster import Cluster, Ring, parse

# `ha-manager status` of pve-ha-manager 4 and `corosync-cfgtool -s` of corosync 3.1, by their sources' print statements.
TEXT = """\
pve1
== ha
quorum OK
master pve2 (active, Sat Nov 28 20:00:00 2026)
lrm pve1 ({state}, Sat Nov 28 20:00:01 2026)
lrm pve2 (active, Sat Nov 28 20:00:02 2026)
service vm:100 (pve1, started)
== links
Local node ID 1, transport knet
LINK ID 0 udp
\taddr\t= 10.0.0.1
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tconnected
LINK ID 1 udp
\taddr\t= 10.0.1.1
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\t{second}
"""


@pytest.mark.parametrize(
    ("state", "fences"),
    [
        ("active", True),
        ("idle", False),
        ("maintenance mode", False),
        ("wait_for_agent_lock", True),
        ("lost_agent_lock", True),
    ],
)
def test_a_node_is_fenced_unless_it_is_idle_or_in_maintenance(state: str, fences: bool) -> None:
    """By what its own resource manager says, not another node's."""
    found = parse(
        TEXT.format(state=state, second="connected").replace("vm:100 (pve1, started)", "vm:100 (pve1, stopped)")
    )
    moving = parse(TEXT.format(state=state, second="connected"))

    assert (found.ha, found.fences) == (state, fences)
    assert moving.fences == (state != "idle")  # in maintenance its watchdog runs until all services have left
    assert found.rings == (Ring("10.0.0.1", up=True), Ring("10.0.1.1", up=True))


def test_a_ring_that_reaches_not_everybody_is_not_up() -> None:
    """And a host without any of it has none."""
    assert parse(TEXT.format(state="active", second="disconnected")).rings[1] == Ring("10.0.1.1", up=False)
    assert parse("debian\n== ha\n== links\n") == Cluster("debian", "", ())
    assert not parse("debian\n== ha\n== links\n").fences
