"""`nettune apply` cut short before each command that it sends, for each kind of knob: the host is as it was, always.

Killed, or its way to the host lost. Whatever it had come to, the host puts itself back, or the change was confirmed and
is taken back. Confirm time 5 s. All state that nettune reads is compared: values, addresses, routes, qdiscs, features;
and all files of /etc and of ours but the records of changes. A kind is what is written alike; those of NICs and bonds
are cut short in guests (tests/vm/test_apply_matrix.py).
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.facts import state
from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from tests.netns.nettune_command import run_program
from tests.netns.standing_hosts import Machines, waited
from tests.netns.test_apply import A, desk, lost, profile
from tuning.applying import keeping

KINDS: Mapping[str, Mapping[str, str]] = {
    "sysctl": {"net.ipv4.tcp_rmem": "4096 131072 67108864", "net.ipv4.tcp_congestion_control": "reno"},
    "feature": {"tso": "off", "gro": "off"},
    "mtu": {"mtu": "1200"},
    "queue": {"rps_cpus": "1", "rps_flow_cnt": "256"},
    "qdisc": {"qdisc": "pfifo limit 50"},
    "link": {"txqueuelen": "2000", "gro_max_size": "131072", "gso_max_size": "32768"},
    "bridge": {"ageing_time": "6000", "mcast_snooping": "off", "mcast_querier": "on", "mcast_hash_max": "8192",
               "forward_delay": "400", "vlan_stats_enabled": "on"},
}  # fmt: skip
OWN = {"bridge": "br9"}  # a device of that kind; the others are the data device's
# What an operator has beside what is set: all of it must come back with what is put back.
_MADE = """\
ip link show br9 >/dev/null 2>&1 && exit
set -e
ip link add br9 type bridge
ip link add port9 type veth peer name peer9
ip link set peer9 up
ip link set port9 master br9 up
ip link set br9 up
bridge fdb add 02:00:00:00:00:77 dev port9 master static
ip link add link eth0 name up7 type macvlan mode bridge
ip link set up7 up
ip address add 192.0.2.129/28 dev up7
ip address add 2001:db8:9::1/64 dev eth0 nodad
ip address add 2001:db8:7::1/64 dev up7 nodad
ip route add 198.51.100.0/24 via 192.0.2.2 dev eth0 metric 50 mtu 1100
ip -6 route add 2001:db8:99::/48 via 2001:db8:9::2 dev eth0
ip -6 route add 2001:db8:77::/48 dev up7 metric 7
ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
ip neigh replace 2001:db8:9::77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
ip -6 rule add from 2001:db8:9::/64 lookup 77
tc qdisc add dev eth0 clsact
tc filter add dev eth0 ingress protocol ip pref 9 u32 match ip dst 198.51.100.9 flowid :1
"""
STEPS = range(1, 22)  # from the arming on, of 14 to 19; what comes before it changes nothing


def _apply(machines: Machines, step: int, how: str, mine: str, kind: str) -> str:
    """What it said on its error output; apply with that many commands sent before it is cut short."""
    device = OWN.get(kind, "eth0")
    words = ("-m", "tests.netns.cut_short", f"g{step}", how, "apply", mine, "--host", A, "--device", device,
             "--allow", "guests", "--disruption", "d4", "--confirm-within", "5")  # fmt: skip
    done = run_program((sys.executable, *words), lost(machines))
    return done.stderr


def _facts(machines: Machines) -> Sheets:
    """The state of all machines, with a bridge of a's own."""
    machines.a.run(Command(("sh", "-c", _MADE))).require()
    waited(lambda: "tentative" not in machines.a.run(Command(("ip", "-6", "addr"))).stdout, 10)
    (mine,) = state.read({machines.a: ["eth0", "br9"]}, bridged=[machines.a]).values()
    return {**machines.facts("b", "node"), "a": mine}


def _files(machines: Machines) -> str:
    """Those of /etc and of ours, but the records of changes: digests, where links lead; and filters."""
    where = "/etc /var/lib/nettune -xdev -path /var/lib/nettune/guard -prune -o"
    told = (f"find {where} -type f -exec sha256sum {{}} +; find {where} -type l -printf '%l %p\\n';"
            "tc filter show dev eth0 ingress")  # fmt: skip
    return "".join(sorted(machines.a.run(Command(("sh", "-c", told))).stdout.splitlines(keepends=True)))


@pytest.mark.sampled(40)
@pytest.mark.parametrize("how", ["kill", "cut"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_host_is_as_it_was_wherever_it_is_cut_short(
    machines: Machines, tmp_path: Path, kind: str, step: int, how: str
) -> None:
    """The host alone, or by rollback of what was confirmed; nothing of it is armed afterwards."""
    before, files = _facts(machines), _files(machines)
    _apply(machines, step, how, profile(tmp_path, **KINDS[kind]), kind)
    machines.desk.run(Command(("ip", "link", "set", "port-a", "up"))).require()
    waited(lambda: desk(machines, "history", A).returncode == 0, 30)
    waited(lambda: not any(each.state == "armed" for each in keeping.changes(machines.a)), 20)
    known = keeping.changes(machines.a)
    if known and known[-1].to_stand:
        back = desk(machines, "rollback", A, "--allow", "guests")
        assert back.returncode == 0, back.stderr

    waited(lambda: "tentative" not in machines.a.run(Command(("ip", "-6", "addr"))).stdout, 5)
    assert differences(before, _facts(machines)) == ()
    assert _files(machines) == files
    machines.a.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_of_the_matrix_are_those_of_an_apply(machines: Machines, tmp_path: Path, kind: str) -> None:
    """The last of them comes after the confirmation, which is an apply's last command; a second apply has none."""
    _facts(machines)
    mine = profile(tmp_path, **KINDS[kind])
    said = ""
    for _ in range(3):  # its time is that of the cases: a busy machine may be too slow for it
        said = _apply(machines, 0, "count", mine, kind)
        if "put itself back" not in said:
            break
    again = _apply(machines, 0, "count", mine, kind)
    sent = re.search(r"^sent (\d+)$", said, re.MULTILINE)
    assert desk(machines, "rollback", A, "--allow", "guests").returncode == 0, said

    assert sent is not None, said
    assert "left out" not in said
    assert "\nsent 0\n" in again  # nothing to do: no guard, no lock, no write
    assert 10 < int(sent[1]) < STEPS[-1] + 1
