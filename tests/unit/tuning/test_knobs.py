"""Knobs: what a setting changes where, what it refuses and why, and the Commands that write it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts.sheet import Difference
from bench.labs.lab import Target
from bench.labs.topology import Kind
from tests.unit.tuning.kernel import CC, RMEM, Kernel, lab
from tuning.knobs.feature import KERNEL, SHORT, Feature, wanted_bit
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.mtu import Mtu
from tuning.knobs.sysctl import Sysctl, cuts_off
from tuning.knobs.table import KNOBS, check, knob_for

FEATURE, MTU, SYSCTL = Feature(), Mtu(), Sysctl()


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("tso", "feature"), ("rx-udp-gro-forwarding", "feature"), ("mtu", "mtu"), ("txqueuelen", "txqueuelen"),
     ("qdisc", "qdisc"), ("congestion_control", "sysctl"),
     (RMEM, "sysctl"), ("net.ipv4.conf.eth0/5.rp_filter", "sysctl"), ("tsoo", None), ("kernel.panic", None),
     ("net", None), ("net.", None), ("net.ipv4.x; reboot", None), ("", None), ("vm.swappiness", None)],
)  # fmt: skip
def test_a_setting_has_one_knob_or_none(setting: str, kind: str | None) -> None:
    """Features by ethtool's short names and the kernel's strings, sysctls below net., mtu; nothing else."""
    knob = knob_for(setting)

    assert (knob.kind if knob else None) == kind
    assert sum(each.takes(setting) for each in KNOBS.values()) == int(kind is not None)


def test_the_order_of_writing_is_links_features_sysctls() -> None:
    """An MTU may reset the queues and offloads that come later."""
    assert list(KNOBS) == [
        "vm-queues", "vm-rx-queue-size", "vm-host-mtu", "vm-model", "vm-rate", "vm-firewall",
        "mtu", "channels", "rx-ring", "tx-ring",
        "txqueuelen", "gso_max_size", "gro_max_size", "gso_ipv4_max_size",
        "gro_ipv4_max_size", "xmit_hash_policy", "miimon", "updelay", "downdelay", "packets_per_slave",
        "primary_reselect", "mcast_snooping", "mcast_querier", "mcast_hash_max", "ageing_time", "forward_delay",
        "vlan_stats_enabled", "coalescing", "feature", "smp_affinity_list",
        "rps_cpus", "rps_flow_cnt", "xps_cpus", "napi_defer_hard_irqs",
        "gro_flush_timeout", "threaded", "scaling_governor", "energy_performance_preference",
        "pm_qos_resume_latency_us", "qdisc", "pve-nftables", "host.fw", "sysctl", "firewall_rules", "nat",
    ]  # fmt: skip


VALUES = {
    "feature on": ("tso", "on", ""), "feature maybe": ("tso", "maybe", "tso takes on or off, not 'maybe'"),
    "feature 1": ("tso", "1", "takes on or off"), "loopback": ("loopback", "on", "it is never tuned"),
    "rx-all": ("rx-all", "off", "it is never tuned"), "mtu": ("mtu", "9000", ""), "least mtu": ("mtu", "576", ""),
    "most mtu": ("mtu", "65535", ""), "small mtu": ("mtu", "575", "from 576 to 65535"),
    "huge mtu": ("mtu", "65536", "from 576 to 65535"), "mtu in words": ("mtu", "jumbo", "is no MTU"),
    "mtu with sign": ("mtu", "+1500", "is no MTU"), "mtu of other digits": ("mtu", "１５００", "is no MTU"),
    "sysctl": ("net.ipv4.tcp_ecn", "1", ""), "no value": ("net.ipv4.tcp_ecn", " ", "needs a value on one line"),
    "two lines": ("net.ipv4.tcp_ecn", "1\n2", "on one line"), "escape": ("net.ipv4.tcp_ecn", "1\x1b", "on one line"),
    "long": ("net.ipv4.tcp_ecn", "1" * 1001, "on one line"), "rmem": (RMEM, "4096 16384 16384", ""),
    "rmem by tabs": (RMEM, "4096\t16384\t16384", ""), "rmem of two": (RMEM, "4096 16384", "takes three numbers"),
    "rmem in words": (RMEM, "small big huge", "takes three numbers"),
    "rmem backwards": (RMEM, "16384 4096 1", "least ≤ default ≤ most"),
    "rmem of nothing": (RMEM, "0 0 0", "least ≤ default ≤ most"),
    "rmem too much": (RMEM, "4096 16384 2147483648", "least ≤ default ≤ most"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "value", "words"), VALUES.values(), ids=VALUES)
def test_a_value_is_checked_before_any_host_is_asked(setting: str, value: str, words: str) -> None:
    """A slip in a plan is found while it is read."""
    problem, _ = check(setting, value)

    assert words in problem
    assert bool(problem) == bool(words)


@pytest.mark.parametrize(
    ("setting", "hint"), [("tsoo", "did you mean 'tso'?"), ("net.ipv4x", "sysctl below net."), ("zzz", "an offload")]
)
def test_an_unknown_setting_gets_the_nearest_word_or_the_kinds(setting: str, hint: str) -> None:
    """No knob, but a way on."""
    problem, told = check(setting, "on")

    assert f"{setting!r} is no knob" in problem or "needs" in problem or problem == ""
    assert hint in told or knob_for(setting) is not None


@settings(max_examples=80, deadline=None)
@given(setting=st.text(max_size=20) | st.sampled_from([*SHORT, *KERNEL, "mtu", RMEM]), value=st.text(max_size=12))
def test_any_text_is_a_setting_or_has_a_problem(setting: str, value: str) -> None:
    """Never an exception."""
    problem, hint = check(setting, value)

    assert isinstance(problem, str)
    assert isinstance(hint, str)


# -- features --------------------------------------------------------------------------------------------------------


def _keys(changes: tuple[Change, ...]) -> list[str]:
    return [f"{each.host}:{each.key}" for each in changes]


def test_a_group_is_its_features_without_the_fixed_ones() -> None:
    """`tx` is every tx-checksum-*; the one that the driver fixed is left out."""
    stand = lab("direct")
    changes = FEATURE.changes("tx", "off", stand, "guest", stand.read())

    assert _keys(changes) == ["a:feature/eth0/tx-checksum-ip-generic", "b:feature/eth0/tx-checksum-ip-generic"]
    assert {each.wanted for each in changes} == {"off"}


TARGETS: dict[str, tuple[Kind, Target, list[str]]] = {
    "path": ("bridge", "path", ["a:eth0", "node:port-a", "node:port-b", "b:eth0"]),
    "guest": ("bridge", "guest", ["a:eth0", "b:eth0"]),
    "node": ("routed", "node", ["node:port-a", "node:port-b"]),
}


@pytest.mark.parametrize(("kind", "target", "expected"), TARGETS.values(), ids=TARGETS)
def test_a_feature_is_set_on_the_devices_of_its_target(kind: Kind, target: Target, expected: list[str]) -> None:
    """A bridge's own features act on the node's own traffic only, so the bridge is left out."""
    stand = lab(kind)
    changes = FEATURE.changes("gro", "on", stand, target, stand.read())

    assert [f"{each.host}:{each.key.split('/')[1]}" for each in changes] == expected


@pytest.mark.parametrize(
    ("setting", "words"),
    [("lro", "lro on a/eth0 is fixed by its driver"),
     ("rx-fcs", "rx-fcs on a/eth0 is not a feature of this kernel or device")],
)  # fmt: skip
def test_a_feature_that_cannot_be_set_is_refused_with_its_device(setting: str, words: str) -> None:
    """Fixed, or absent: the difference is told."""
    stand = lab("direct")
    with pytest.raises(NotSettable, match=words):
        FEATURE.changes(setting, "on", stand, "path", stand.read())


@pytest.mark.parametrize(("setting", "value"), [("gro", "on"), ("mtu", "9000")])
def test_a_target_without_a_device_is_refused(setting: str, value: str) -> None:
    """A direct path has no node; that is not the same as being set already."""
    stand = lab("direct")
    knob = knob_for(setting)
    assert knob is not None

    with pytest.raises(NotSettable, match="no device on the target 'node'"):
        knob.changes(setting, value, stand, "node", stand.read())


def test_a_target_without_a_host_is_refused_for_sysctls() -> None:
    """The same for what belongs to a host."""
    stand = lab("direct")
    with pytest.raises(NotSettable, match="no host on the target 'node'"):
        SYSCTL.changes("net.ipv4.tcp_ecn", "1", stand, "node", stand.read())


def test_all_features_of_a_device_are_written_in_one_call() -> None:
    """The kernel drops what lacks its prerequisite, so they go together; the wanted bit is asked for."""
    changes = [
        Change("a", "feature/eth0/tx-scatter-gather", "on"),
        Change("a", "feature/eth0/rx-gro", "off [requested on]"),
        Change("a", "feature/eth1/rx-gro", "off"),
    ]

    assert [each.argv for each in FEATURE.writes(changes)] == [
        ("ethtool", "-K", "eth0", "tx-scatter-gather", "on", "rx-gro", "on"), ("ethtool", "-K", "eth1", "rx-gro", "off")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [("on", "on"), ("off", "off"), ("off [requested on]", "on"), ("on [requested off]", "off"), ("off [fixed]", "off")],
)
def test_the_wanted_bit_is_what_to_ask_for(value: str, expected: str) -> None:
    """A feature that reads off but was asked to be on comes back when on is asked for again."""
    assert wanted_bit(value) == expected


# -- mtu -------------------------------------------------------------------------------------------------------------


def _order(value: str) -> list[tuple[str, bool]]:
    stand = lab("bridge")
    changes = MTU.changes("mtu", value, stand, "path", stand.read())
    return [(f"{each.host}/{each.key.split('/')[1]}", each.follows) for each in changes]


def test_an_mtu_is_raised_at_the_ends_last_and_the_bridge_follows() -> None:
    """Nobody sends what none takes; a bridge is written only where it does not follow its ports."""
    assert _order("9000") == [
        ("node/port-a", False), ("node/br0", True), ("node/port-b", False), ("a/eth0", False), ("b/eth0", False)
    ]  # fmt: skip


def test_an_mtu_is_lowered_at_the_ends_first() -> None:
    """The other way round."""
    assert _order("1400") == [
        ("a/eth0", False), ("b/eth0", False), ("node/port-a", False), ("node/br0", True), ("node/port-b", False)
    ]  # fmt: skip


def test_a_bridge_that_would_lose_ipv6_for_good_is_refused() -> None:
    """Below 1280 bytes a bridge with IPv6 does not come back as it was; without IPv6, or above, it does."""
    stand = lab("bridge")
    node = stand.named("node")
    assert isinstance(node, Kernel)
    MTU.changes("mtu", "1279", stand, "path", stand.read())
    node.facts["sysctl/net.ipv6.conf.br0.mtu"] = "1500"
    MTU.changes("mtu", "1280", stand, "path", stand.read())
    with pytest.raises(NotSettable, match="below 1280 bytes the bridge node/br0"):
        MTU.changes("mtu", "1279", stand, "path", stand.read())


def test_an_mtu_is_written_by_ip_link() -> None:
    """One call per device."""
    (command,) = MTU.writes([Change("a", "link/eth0/mtu", "9000")])

    assert command.argv == ("ip", "link", "set", "dev", "eth0", "mtu", "9000")


# -- sysctls ---------------------------------------------------------------------------------------------------------


def test_a_sysctl_is_set_at_the_ends_and_written_from_stdin() -> None:
    """White space is one space; the value never stands in the arguments."""
    stand = lab("bridge")
    changes = SYSCTL.changes(RMEM, "4096  16384\t16384", stand, "guest", stand.read())
    (command,) = SYSCTL.writes(changes[:1])

    assert _keys(changes) == [f"a:sysctl/{RMEM}", f"b:sysctl/{RMEM}"]
    assert (command.argv, command.stdin) == (("tee", "/proc/sys/net/ipv4/tcp_rmem"), "4096 16384 16384")


def test_congestion_control_for_short_is_the_sysctl() -> None:
    """One fact under two words."""
    stand = lab("direct")

    assert _keys(SYSCTL.changes("congestion_control", "reno", stand, "guest", stand.read())) == [
        f"a:sysctl/{CC}", f"b:sysctl/{CC}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("net.core.rmem_max", "1", "net.core.rmem_max is not a's own"),
     ("congestion_control", "bbr", r"bbr is not in tcp_allowed_congestion_control \(reno cubic\)")],
)  # fmt: skip
def test_a_sysctl_that_is_not_the_namespaces_is_refused(setting: str, value: str, words: str) -> None:
    """It would be the whole machine's, or it would be refused by the kernel."""
    stand = lab("direct")
    with pytest.raises(NotSettable, match=words):
        SYSCTL.changes(setting, value, stand, "guest", stand.read())


def test_a_sysctl_that_shows_but_cannot_be_written_is_refused() -> None:
    """Seen in the namespace, and read-only there."""
    stand = lab("direct")
    now = stand.read()
    host = stand.a.host
    assert isinstance(host, Kernel)
    del host.facts["sysctl/net.ipv4.tcp_ecn"]
    with pytest.raises(NotSettable, match=r"net\.ipv4\.tcp_ecn is not a's own"):
        SYSCTL.changes("net.ipv4.tcp_ecn", "1", stand, "guest", now)


# -- what a knob explains --------------------------------------------------------------------------------------------

EXPLAINED = {
    "own sysctl": (RMEM, f"sysctl/{RMEM}", True), "other sysctl": (RMEM, "sysctl/net.ipv4.tcp_wmem", False),
    "for short": ("congestion_control", f"sysctl/{CC}", True),
    "forwarding": ("net.ipv4.ip_forward", "sysctl/net.ipv4.conf.eth0.forwarding", True),
    "forwarding and tcp": ("net.ipv4.ip_forward", f"sysctl/{RMEM}", False),
    "conf all": ("net.ipv4.conf.all.rp_filter", "sysctl/net.ipv4.conf.eth0/5.rp_filter", True),
    "conf all of the other family": ("net.ipv6.conf.all.mtu", "sysctl/net.ipv4.conf.eth0.mtu", False),
    "conf all of another name": ("net.ipv4.conf.all.rp_filter", "sysctl/net.ipv4.conf.eth0.rp_filter2", False),
    "mtu": ("mtu", "link/br0/mtu", True), "ipv6 mtu": ("mtu", "sysctl/net.ipv6.conf.eth0.mtu", True),
    "ipv6 address": ("mtu", "address/eth0/fe80::1/64", True),
    "ipv4 address": ("mtu", "address/eth0/198.18.0.1/24", False),
    "ipv6 route": ("mtu", "route/fe80::/64 dev eth0 proto kernel metric 256 pref medium", True),
    "ipv4 route": ("mtu", "route/198.18.0.0/24 dev eth0 scope link", False),
        "mtu and tcp": ("mtu", f"sysctl/{RMEM}", False),
    "mtu and offload": ("mtu", "feature/eth0/rx-gro", False), "tso": ("tso", "feature/eth0/tx-tcp-segmentation", True),
    "coupled": ("tx", "feature/eth0/tx-tcp-segmentation", True), "gso size": ("gso", "link/eth0/gso_max_size", True),
    "tso and mtu": ("tso", "link/eth0/mtu", False),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "key", "expected"), EXPLAINED.values(), ids=EXPLAINED)
def test_a_knob_explains_what_the_kernel_couples_and_no_more(setting: str, key: str, expected: bool) -> None:
    """An explanation too wide would let a foreign change pass for the treatment."""
    knob = knob_for(setting)
    assert knob is not None

    assert knob.explains(setting, Difference("a", key, "1", "2")) == expected


@pytest.mark.parametrize(
    ("setting", "never"),
    [("net.ipv4.ip_forward", True), ("net.ipv4.conf.all.forwarding", True), ("net.ipv4.conf.eth0.forwarding", True),
     ("net.ipv6.conf.all.forwarding", True), ("net.ipv6.conf.eth0/10.mc_forwarding", True),
     ("net.ipv6.conf.all.disable_ipv6", True), ("net.ipv6.conf.eth0.accept_ra_defrtr", True),
     ("net.ipv6.conf.default.addr_gen_mode", True), ("net.ipv6.conf.eth0.autoconf", True),
     ("net.ipv4.conf.all.arp_ignore", False), ("net.ipv4.conf.all.rp_filter", False), (RMEM, False)],
)  # fmt: skip
def test_what_moves_addresses_and_routes_is_settable_where_we_made_the_machine_alone(
    setting: str, *, never: bool
) -> None:
    """By whatever name: a switch of all devices, of one, of a VLAN. Trials may set IPv4's, undone whole."""
    key, made = f"sysctl/{setting}", lab("direct")
    for host in made.kernels:
        host.facts[key] = "0"
    standing = replace(made, guard_s=5.0)

    assert cuts_off(setting) is never
    assert [each.key for each in SYSCTL.changes(setting, "1", made, "guest", made.read())] == [key] * 2
    if never and setting.startswith("net.ipv6."):
        with pytest.raises(NotSettable, match="on a machine that stands"):
            SYSCTL.changes(setting, "1", standing, "guest", made.read())
    else:
        assert SYSCTL.changes(setting, "1", standing, "guest", made.read())


@pytest.mark.parametrize("setting", ["tso", "mtu", RMEM, "net.ipv4.ip_forward"])
def test_every_knob_tells_its_command_and_risk(setting: str) -> None:
    """An operator sees what he would type, and what to fear."""
    knob = knob_for(setting)
    assert knob is not None

    assert setting in knob.command(setting, "1")
    assert knob.risk(setting)
    assert set(knob.words())
