"""Who is asked by packets of the whole MTU, and whose silence after a change is a black hole."""

import json
from collections.abc import Mapping

import pytest

from bench.facts import roles
from bench.facts.riding import Riding
from bench.facts.roles import Link, Stack
from bench.facts.sheet import FactSheet
from bench.facts.tailed import files
from bench.hosts.command import Command
from tests.unit.bench import fakes
from tests.unit.bench.fakes import FakeHost
from tuning.applying import reaching
from tuning.applying.planning import Planned, Row
from tuning.applying.reaching import Reached
from tuning.knobs.knob import Change

SERVER, GATEWAY = "198.51.100.9", "198.51.100.1"
LOST = (f"packets of the whole MTU (9000) no longer reach {SERVER}",)


@pytest.mark.parametrize(
    ("was", "now", "mss", "lost"),
    [
        (Reached(1500, "full"), f"{SERVER} 9000 full", "", ()),
        (Reached(1500, "full"), f"{SERVER} 9000 small", "", LOST),
        (Reached(1500, "full"), f"{SERVER} 9000 small", f"{SERVER} 8948", LOST),
        (Reached(1500, "full"), f"{SERVER} 9000 small", f"{SERVER} 1448", ()),  # its own MTU is 1500
        (Reached(1500, "full"), f"{SERVER} 9000 told", "", ()),  # a router says so: no black hole
        (Reached(9000, "full"), f"{SERVER} 9000 small", f"{SERVER} 1448", LOST),
        (Reached(1500, "full"), "", "", (f"{SERVER} no longer answers",)),
        (Reached(1500, "small"), f"{SERVER} 9000 small", "", ()),  # it took no such packets before either
    ],
)  # fmt: skip
def test_a_black_hole_is_who_was_reached_and_is_not_though_it_takes_as_much(
    was: Reached, now: str, mss: str, lost: tuple[str, ...]
) -> None:
    """By the MSS that the other end takes on, and by what routers tell."""
    host = FakeHost(answer=lambda command: (0, now if command.argv[2] == reaching._ASKED else mss))

    assert reaching.lost(host, {SERVER: was}, [GATEWAY]) == lost


def test_a_gateway_has_to_take_what_it_is_sent() -> None:
    """Whatever its own MTU is: it leads to others."""
    host = FakeHost(answer=lambda _: (0, f"{GATEWAY} 9000 told"))

    assert reaching.lost(host, {GATEWAY: Reached(1500, "full")}, [GATEWAY]) == (
        f"packets of the whole MTU (9000) no longer reach {GATEWAY}",
    )


LINKS = (
    Link("eno1", master="vmbr0"), Link("vmbr0", "bridge", addresses=("198.51.100.2/24",)),
    Link("tap100i0", "tun", "vmbr0"), Link("eno2", addresses=("203.0.113.2/24",)),
)  # fmt: skip
NEIGHBOURS = [
    {"dst": "198.51.100.20", "dev": "vmbr0", "lladdr": "02:00:00:00:00:20", "state": ["STALE"]},
    {"dst": "198.51.100.21", "dev": "vmbr0", "lladdr": "02:00:00:00:00:21", "state": ["REACHABLE"]},  # the guest
    {"dst": "198.51.100.22", "dev": "vmbr0", "state": ["FAILED"]},
    {"dst": "fe80::1", "dev": "vmbr0", "lladdr": "02:00:00:00:00:20", "state": ["REACHABLE"]},
    {"dst": "203.0.113.9", "dev": "eno2", "lladdr": "02:00:00:00:00:09", "state": ["REACHABLE"]},
]
FDB = [{"mac": "02:00:00:00:00:20", "ifname": "eno1", "master": "vmbr0"},
       {"mac": "02:00:00:00:00:21", "ifname": "tap100i0", "master": "vmbr0"}]  # fmt: skip


def planned(key: str, costs: str) -> Planned:
    """A plan of one setting on such a host."""
    said: Mapping[str, object] = {"neigh": NEIGHBOURS, "fdb": FDB}
    host = FakeHost("pve1", answer=lambda command: (0, json.dumps(said[command.argv[2]])))
    riding = Riding(Stack(LINKS), (), (), peers=(("198.51.100.9", "vmbr0"), ("203.0.113.7", "eno2")))
    row = Row("x", Change("pve1", key, "9000"), "1500", costs, ())
    return Planned(host, fakes.lab(a=host), {"pve1": FactSheet("pve1", {})}, riding, (row,), (), (), ())


@pytest.mark.parametrize(
    ("key", "costs", "found"),
    [
        ("link/eno1/mtu", "d4", ("198.51.100.9", "198.51.100.20")),
        ("link/eno2/mtu", "d4", ("203.0.113.7", "203.0.113.9")),
        ("coalesce/eno1/rx-usecs", "d0", ()),
        ("sysctl/net.ipv4.tcp_rmem", "d4", ()),
    ],
)
def test_whoever_is_reached_over_the_changed_device_is_asked(key: str, costs: str, found: tuple[str, ...]) -> None:
    """Storage, rings and neighbours of the device and of what lies on it; the host's own guests are none."""
    assert reaching.peers(planned(key, costs)) == found


def test_servers_of_storage_and_other_nodes_rings_are_peers() -> None:
    """By address and by name; what is the host's own is none."""
    told = files("""\
==> /etc/pve/corosync.conf <==
    ring0_addr: 203.0.113.2
    ring0_addr: pve2

==> /etc/pve/storage.cfg <==
nfs: shared
\tserver 198.51.100.9

==> /etc/hosts <==
203.0.113.3 pve2
""")
    by = roles.routes([{"dst": "198.51.100.0/24", "dev": "vmbr0"}, {"dst": "203.0.113.0/24", "dev": "eno2"}])

    assert roles.peers(Stack(LINKS), by, told) == (("198.51.100.9", "vmbr0"), ("203.0.113.3", "eno2"))


def test_where_nobody_is_to_be_asked_nothing_runs() -> None:
    """Neither before nor after."""
    asked: list[Command] = []
    host = FakeHost(asked=asked)

    assert (reaching.asked(host, ()), reaching.lost(host, {}, ())) == ({}, ())
    assert asked == []
