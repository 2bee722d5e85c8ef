"""What a node says of high availability and of corosync's links, as those programs print it."""

import pytest

from bench.facts.cluster import Cluster, Health, Ring, health, parse

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


# `corosync-quorumtool -s` of corosync 3.1, by its source's print statements.
VOTES = """\
== votes
Quorum information
------------------
Date:             Sat Nov 28 20:00:00 2026
Quorum provider:  corosync_votequorum
Nodes:            {total}
Node ID:          0x00000001
Ring ID:          1.8
Quorate:          {quorate}

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      {total}
Quorum:           2
Flags:            Quorate
== ha
quorum OK
master pve2 (active, Sat Nov 28 20:00:00 2026)
lrm pve1 (active, Sat Nov 28 20:00:01 2026)
lrm pve2 ({lrm})
service vm:100 (pve1, {state})
service ct:101 (pve2, stopped)
"""
WELL = "active, Sat Nov 28 20:00:02 2026"


@pytest.mark.parametrize(
    ("total", "quorate", "state", "lrm", "problems"),
    [
        ("3", "Yes", "started", WELL, ()),
        ("3", "Yes", "migrate", WELL, ()),
        ("2", "Yes", "started", WELL, ("2 of 3 votes are there: a node of the cluster is missing",)),
        ("1", "No", "started", WELL, ("corosync has no quorum",)),
        ("3", "Yes", "error", WELL, ("HA has vm:100 on pve1 in error",)),
        ("3", "Yes", "fence", WELL, ("HA has vm:100 on pve1 in fence",)),
        ("3", "Yes", "recovery", WELL, ("HA has vm:100 on pve1 in recovery",)),
        ("3", "Yes", "started", "old timestamp - dead?, Sat Nov 28 19:00:02 2026",
         ("HA's manager on pve2 is old timestamp - dead?, Sat Nov 28 19:00:02 2026",)),
    ],
)  # fmt: skip
def test_a_cluster_is_well_while_all_votes_are_there_and_ha_has_nothing_to_mend(
    total: str, quorate: str, state: str, lrm: str, problems: tuple[str, ...]
) -> None:
    """Each of the rest is told."""
    told = VOTES.format(total=total, quorate=quorate, state=state, lrm=lrm)

    assert health(told) == Health(member=True, problems=problems, stays=state == "error")


def test_a_host_of_no_cluster_has_no_health_and_one_that_cannot_tell_is_not_well() -> None:
    """Nothing is printed there; where corosync is down its tool says so."""
    assert health("== votes\n== ha\n") == Health(member=False)
    assert health("== votes\nCannot initialize QUORUM service\n== ha\n").problems == (
        "corosync has no quorum: Cannot initialize QUORUM service",
    )
