"""Treatments on the real kernel: what a knob drags along comes back, also after SIGKILL."""

import os
import signal
import subprocess  # noqa: TID251 - kills a process of its own
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import netns  # noqa: TID251 - a second reader, to check ours against
from pyroute2.ethtool import Ethtool  # noqa: TID251

from bench import document, ready
from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import entered
from bench.labs import lease
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.namespaces import standing
from bench.labs.reading import topologies
from bench.labs.topology import Kind, Topology
from bench.plan import SettingSpec
from tests.netns.able import able
from tuning import journal
from tuning.treatments import Settings
from tuning.undoing import RestoreFailed, undo

_PREPARED = (
    # A state that knobs are known to drag along: IPv6 beside IPv4, static routes, a permanent neighbour, own sysctls.
    "address add fd00:1::1/64 dev eth0 nodad",
    "route add fd00:2::/64 via fe80::2 dev eth0",
    "route add 203.0.113.0/24 via 198.18.0.2 dev eth0 metric 77",
    "neigh add 198.18.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
)


def prepared(lab: Lab) -> None:
    """Endpoint a gets that state."""
    for line in _PREPARED:
        lab.a.host.run(Command(("ip", *line.split()))).require()
    for sysctl, value in (("ipv6/conf/eth0/accept_ra", "2"), ("ipv4/conf/eth0/rp_filter", "2")):
        lab.a.host.run(Command(("tee", f"/proc/sys/net/{sysctl}"), stdin=value)).require()


@pytest.mark.parametrize(
    "settings",
    [
        {"mtu": "1000"},
        {"mtu": "9000"},
        {"tso": "off", "gso": "off"},
        {"sg": "off"},
        {"tx": "off", "rx": "off"},
        {"gro": "on"},
        {"net.ipv4.tcp_rmem": "4096 16384 16384", "net.ipv4.tcp_wmem": "4096 16384 16384"},
        {"congestion_control": "reno"},
        {"net.ipv4.ip_forward": "1"},
        {"net.ipv6.conf.all.forwarding": "1"},
        {"net.ipv4.conf.all.rp_filter": "1", "mtu": "1300", "sg": "off"},
    ],
    ids="+".join,
)
def test_everything_is_as_it_was(state: Path, settings: Mapping[str, str]) -> None:
    """After a treatment the whole state is equal: addresses, routes, neighbours, features with wanted bits, sysctls."""
    kind: Kind = "direct" if settings.get("mtu") == "1000" else "bridge"
    with standing(Topology(kind), leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        prepared(lab)
        before = lab.read()
        treatment = Settings("t", [SettingSpec(key, value, None) for key, value in settings.items()], kept)
        refusal = treatment.refusal(lab, before)
        with treatment.holds(lab, before) as held:
            changed = differences(before, held.within)
            unexplained = [each for each in changed if not treatment.explains(each)]
            part, whole = held.read(), lab.read()
        after = lab.read()

    assert refusal == ""
    assert changed
    assert unexplained == []
    assert differences(part, whole) == ()
    assert held.moved == ()
    assert differences(before, after) == ()
    assert not (state / "j" / "1").exists()


ELSEWHERE = {  # knobs that need a topology of their own
    "txqueuelen": ("- bridge", {"txqueuelen": "77"}),
    "gso and gro sizes": ("- bridge", {"gso_max_size": "131072", "gro_max_size": "131072"}),
    "small gso": ("- direct", {"gso_max_size": "4096"}),
    "steering": ("- {kind: bridge, queues: 2}", {"rps_cpus": "all", "rps_flow_cnt": "shared", "xps_cpus": "spread"}),
    "one queue's qdisc": ("- {kind: bridge, queues: 1}", {"qdisc": "pfifo limit 77"}),
    "leaves of mq": ("- {kind: bridge, queues: 3}", {"qdisc": "pfifo limit 77"}),
    "rules": ("- firewall", {"firewall_rules": "5000"}),
    "fewer rules": ("- {kind: firewall, rules: 50, hook: inet}", {"firewall_rules": "10"}),
    "rules on br_netfilter": ("- {kind: firewall, hook: br_netfilter}", {"firewall_rules": "100"}),
    "nat": ("- {kind: routed, ip: 6}", {"nat": "masquerade"}),
    "mtu behind nat": ("- nat", {"mtu": "1400"}),
    "IPv6 lost and found": ("- {kind: routed, ends: 3}", {"mtu": "1000"}),
    "a tagged VLAN, raised": ("- {kind: vlan, id: 10, tagged: on}", {"mtu": "9000"}),
    "a tagged VLAN, lowered": ("- {kind: vlan, id: 10, tagged: on}", {"mtu": "1400"}),
    "a bond": ("- {kind: bond, mode: active-backup}", {"mtu": "9000", "tso": "off"}),
    "multicast and ageing of a bridge": ("- bridge", {"mcast_snooping": "off", "ageing_time": "6000"}),
    "a bridge that asks": ("- bridge", {"mcast_querier": "on", "mcast_hash_max": "8192", "forward_delay": "200"}),
    "hash and link watch of a bond": (
        "- {kind: bond, mode: balance-xor}",
        {"xmit_hash_policy": "layer3+4", "miimon": "50", "updelay": "100"},
    ),
    "policy routing": ("- {kind: routed, routing: policy}", {"mtu": "1000", "txqueuelen": "50"}),
}


@pytest.mark.parametrize(("topology", "settings"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_everything_is_as_it_was_on_every_path(
    state: Path, topology: str, settings: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    """The same for knobs and paths beyond a bridge, with what they drag along."""
    if "rps_cpus" in settings:
        request.getfixturevalue("machines_root")
    made = topologies(document.read(topology, "x.yaml"))[0]
    able(made, state)
    with standing(made, leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        before = lab.read()
        treatment = Settings("t", [SettingSpec(key, value, None) for key, value in settings.items()], kept)
        refusal = treatment.refusal(lab, before)
        with treatment.holds(lab, before) as held:
            changed = differences(before, held.within)
            unexplained = [each for each in changed if not treatment.explains(each)]
            part, whole = held.read(), lab.read()
        after = lab.read()

    assert refusal == ""
    assert changed
    assert unexplained == []
    assert differences(part, whole) == ()
    assert differences(before, after) == ()


def test_napi_knobs_are_held_where_a_device_polls(state: Path, machines_root: None) -> None:
    """A veth polls while gro is on; where it does not, the knob is refused by that name."""
    settings = {"threaded": "on", "napi_defer_hard_irqs": "2", "gro_flush_timeout": "20000"}
    with standing(Topology("direct"), leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        treatment = Settings("t", [SettingSpec(key, value, None) for key, value in settings.items()], kept)
        without = treatment.refusal(lab, lab.read())
        for end in lab.endpoints:
            end.host.run(Command(("ethtool", "-K", "eth0", "gro", "on"))).require()
        before = lab.read()
        again = Settings("t", [SettingSpec(key, value, None) for key, value in settings.items()], kept)
        refusal = again.refusal(lab, before)
        with again.holds(lab, before) as held:
            within = held.within["a"].facts
        after = lab.read()

    assert "has no NAPI instance" in without
    assert refusal == ""
    assert [within[f"napi/eth0/{name}"] for name in settings] == ["1", "2", "20000"]
    assert differences(before, after) == ()


def test_a_value_that_the_kernel_rounds_is_no_candidate_and_is_put_back(state: Path, machines_root: None) -> None:
    """A table of flows has a power of two (net/core/net-sysfs.c); held for a moment, it is told what became of it."""
    with standing(Topology("direct"), leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        before = lab.read()
        odd, even = (
            ready.tried(Settings("t", [SettingSpec("rps_flow_cnt", value, None)], kept), lab, before)
            for value in ("1000", "1024")
        )
        after = lab.read()

    assert "rps_flow_cnt was set to '1000' and reads '1024'" in odd
    assert even == ""
    assert differences(before, after) == ()


def test_an_error_under_a_treatment_restores_all_the_same(state: Path) -> None:
    """The first error stays visible and the lab is as it was."""
    with standing(Topology("direct"), leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        prepared(lab)
        before = lab.read()
        treatment = Settings("t", [SettingSpec("mtu", "1000", None)], kept)
        with pytest.raises(KeyError, match="probe"), treatment.holds(lab, before):
            raise KeyError("probe")
        after = lab.read()

    assert differences(before, after) == ()


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("net.core.rmem_max", "1000000", "belongs to the whole machine"),
        ("net.core.netdev_budget", "600", "belongs to the whole machine"),
        ("net.ipv4.tcp_mem", "1 2 3", "belongs to the whole machine"),
        ("congestion_control", "nonesuch", "tcp_allowed_congestion_control"),
        ("tx-checksum-ipv4", "on", "fixed by its driver"),
        ("hw-tc-offload", "on", "fixed by its driver"),
        ("net.ipv4.tcp_sack", "1", "already so"),
        ("xps_cpus", "1", "one transmit queue"),
        ("gso_max_size", "65536", "already so"),
        ("qdisc", "pfifo limit nonsense", "does not take the qdisc"),
        ("firewall_rules", "5", "only the node of a `firewall` topology"),
        ("nat", "masquerade", "only a node that routes"),
    ],
)
def test_what_cannot_be_set_here_is_refused_with_the_reason(state: Path, setting: str, value: str, why: str) -> None:
    """Also as root: a namespace must not change the machine's own sysctls."""
    with (
        standing(Topology("direct", queues=1), leases_folder=state / "leases") as lab,
        journal.kept(state / "j" / "1") as kept,
    ):
        refusal = Settings("t", [SettingSpec(setting, value, None)], kept).refusal(lab, lab.read())

    assert why in refusal


def test_a_qdisc_that_somebody_made_is_left_alone(state: Path) -> None:
    """It has a handle: what hangs on it could not be put back."""
    made = topologies(document.read("- {kind: bridge, rate_mbit: 100}", "x.yaml"))[0]
    with standing(made, leases_folder=state / "leases") as lab, journal.kept(state / "j" / "1") as kept:
        refusal = Settings("t", [SettingSpec("qdisc", "pfifo limit 10", "node")], kept).refusal(lab, lab.read())
        free = Settings("t", [SettingSpec("qdisc", "pfifo limit 10", "guest")], kept).refusal(lab, lab.read())

    assert "somebody gave node/port-a the qdisc 'tbf 1: rate 100Mbit" in refusal
    assert free == ""


def test_a_tap_gets_the_kernels_own_qdisc_back(state: Path) -> None:
    """A namespace cannot read net.core.default_qdisc: that it is what the tap has is found out by another one."""
    with standing(Topology("direct"), leases_folder=state / "leases") as made, journal.kept(state / "j" / "1") as kept:
        for words in ("tuntap add dev tap0 mode tap", "link set tap0 up"):
            made.a.host.run(Command(("ip", *words.split()))).require()
        lab = replace(made, path=(PathDevice(made.a.host, "tap0"),))
        before = lab.read()
        treatment = Settings("t", [SettingSpec("qdisc", "pfifo limit 77", "path")], kept)
        refusal = treatment.refusal(lab, before)
        with treatment.holds(lab, before) as held:
            within = held.within["a"].facts["qdisc/tap0/root"]
        after = lab.read()

    assert refusal == ""
    assert within.endswith("limit 77p")
    assert before["a"].facts["qdisc/tap0/root"].split()[1] == "0:"
    assert differences(before, after) == ()


def test_a_value_that_somebody_else_changed_is_reported_and_not_overwritten(state: Path) -> None:
    """Undo restores the rest, leaves the foreign value, keeps the journal and names both."""
    path = Path("/proc/sys/net/ipv4/tcp_rmem")
    with standing(Topology("direct"), leases_folder=state / "leases") as lab:
        before = lab.read()
        with (
            pytest.raises(RestoreFailed, match="somebody else"),
            journal.kept(state / "j" / "1") as kept,
            Settings(
                "t",
                [SettingSpec("net.ipv4.tcp_rmem", "4096 16384 16384", None), SettingSpec("mtu", "2000", None)],
                kept,
            ).holds(lab, before),
        ):
            lab.b.host.run(Command(("tee", str(path)), stdin="4096 99999 99999")).require()
        left = differences(before, lab.read())
        outstanding = journal.outstanding(state / "j" / "1")

    assert [(each.host, each.key, each.after) for each in left] == [
        ("b", "sysctl/net.ipv4.tcp_rmem", "4096 99999 99999")
    ]
    assert len(outstanding) == 1


def test_a_killed_treatment_is_restored_from_its_journal_by_another_process(state: Path) -> None:
    """SIGKILL while an MTU of 1000 is held: a fresh process reads the journal and puts the exact state back."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from bench.labs.lab import *; from bench.labs.topology import Kind, Topology\n"
        "from bench.hosts.namespace import entered; from bench.plan import SettingSpec\n"
        "from tuning import journal; from tuning.treatments import Settings\n"
        "with entered('a', sys.argv[1]) as a, entered('b', sys.argv[2]) as b:\n"
        "    ends = (Endpoint(a, 'eth0', '198.18.0.1'), Endpoint(b, 'eth0', '198.18.0.2'))\n"
        "    lab = Lab(Topology('direct'), ends, (), (PathDevice(a, 'eth0'), PathDevice(b, 'eth0')))\n"
        "    with journal.kept(Path(sys.argv[3])) as kept:\n"
        "        specs = [SettingSpec('mtu', '1000', None), SettingSpec('tso', 'off', None)]\n"
        "        with Settings('t', specs, kept).holds(lab, lab.read()):\n"
        "            print('held', flush=True); time.sleep(100)\n"
    )
    names = [f"nt-test-{os.getpid()}-{end}" for end in ("a", "b")]
    local = Local()
    try:
        for name in names:
            local.run(Command(("ip", "netns", "add", name))).require()
        lines = f"link add eth0 type veth peer name eth0 netns {names[1]}\nlink set eth0 up\n"
        lines += "address add 198.18.0.1/24 dev eth0\n"
        local.run(Command(("ip", "-n", names[0], "-batch", "-"), stdin=lines)).require()
        local.run(Command(("ip", "-n", names[1], "link", "set", "eth0", "up"))).require()
        with entered("a", names[0]) as a, entered("b", names[1]) as b:
            lab = Lab(
                Topology("direct"),
                (Endpoint(a, "eth0", "198.18.0.1"), Endpoint(b, "eth0", "198.18.0.2")),
                (),
                (PathDevice(a, "eth0"), PathDevice(b, "eth0")),
            )
            _wait_for_addresses(lab)
            prepared(lab)
            before = lab.read()
            killed = subprocess.Popen(
                [sys.executable, "-c", script, *names, str(state / "journal")], stdout=subprocess.PIPE
            )
            assert killed.stdout is not None
            killed.stdout.readline()
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            killed.stdout.close()
            during = differences(before, lab.read())
            for intent in journal.outstanding(state / "journal"):
                undo(intent, lab)
            left = differences(before, lab.read())
    finally:
        for name in names:
            lease.remove_namespace(local, name)

    assert len(during) > 10
    assert left == ()


def _wait_for_addresses(lab: Lab) -> None:
    """Duplicate address detection ends after a second or two; then nothing changes by itself any more."""
    for _ in range(100):
        if not any("tentative" in value for sheet in lab.read().values() for value in sheet.facts.values()):
            return
        time.sleep(0.05)


def test_features_read_as_netlink_tells_them(state: Path) -> None:
    """The JSON of ethtool and the kernel's own bitmaps (read by pyroute2) agree on active, wanted and fixed."""
    with standing(Topology("direct"), leases_folder=state / "leases") as lab:
        lab.a.host.run(Command(("ethtool", "-K", "eth0", "sg", "off"))).require()
        facts = lab.read()["a"].of("feature/eth0/")
        netns.pushns(lab.a.host.netns)  # type: ignore[attr-defined]  # a Namespace here
        try:
            with Ethtool() as ethtool:
                told = ethtool.get_features("eth0").features
        finally:
            netns.popns()

    for name, bits in told.items():
        if not name:
            continue  # bits that this kernel has no string for
        value = "on" if bits.enable else "off"
        if not bits.available:
            value += " [fixed]"
        assert facts[name].replace(" [requested on]", "").replace(" [requested off]", "") == value, name
    assert facts["tx-tcp-segmentation"] == "off [requested on]"
