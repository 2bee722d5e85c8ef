"""Repairs: the Command for each kind of fact, in an order that works."""

import pytest

from bench.facts.sheet import Difference
from tuning.surroundings import repairs

V6 = "default via fe80::1 dev eth0 metric 1024 expires 123sec pref medium"
REPAIRS = {
    "mtu": ("link/eth0/mtu", "1500", "9000", "ip link set dev eth0 mtu 1500"),
    "queue length": ("link/eth0/txqlen", "1000", "1", "ip link set dev eth0 txqueuelen 1000"),
    "down": ("link/eth0/flags", "UP X", "X", "ip link set dev eth0 up"),
    "up": ("link/eth0/flags", "X", "UP X", "ip link set dev eth0 down"),
    "other flags": ("link/eth0/flags", "UP X", "UP", ""), "master": ("link/eth0/master", "br0", "br1", ""),
    "a device that is gone": ("link/eth0/mtu", "1500", None, ""), "a new device": ("link/eth9/mtu", None, "1500", ""),
    "feature": ("feature/eth0/rx-gro", "on", "off", "ethtool -K eth0 rx-gro on"),
    "wanted bit": ("feature/eth0/rx-gro", "off [requested on]", "off", "ethtool -K eth0 rx-gro on"),
    "fixed feature": ("feature/eth0/rx-lro", "off [fixed]", "on", ""),
    "sysctl": ("sysctl/net.ipv4.conf.eth0/5.mtu", "1 2", "3",
        "printf %s '1 2' | tee /proc/sys/net/ipv4/conf/eth0.5/mtu"),
    "new sysctl": ("sysctl/net.x", None, "3", ""),
    "lost address": ("address/eth0/10.0.0.1/24", "broadcast 10.0.0.255 scope global label eth0", None,
                     "ip address replace 10.0.0.1/24 dev eth0 broadcast 10.0.0.255 scope global label eth0"),
    "lost IPv6 address": ("address/eth0/fd00::1/64", "scope global noprefixroute True", None,
                          "ip address replace fd00::1/64 dev eth0 scope global noprefixroute nodad"),
    "surplus address": ("address/eth0/10.0.0.1/24", None, "scope global", "ip address del 10.0.0.1/24 dev eth0"),
    "lost neighbour": ("neighbour/eth0/10.0.0.9", "02:00:00:00:00:09", None,
                       "ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent"),
    "surplus neighbour": ("neighbour/eth0/10.0.0.9", None, "02:00:00:00:00:09", "ip neigh del 10.0.0.9 dev eth0"),
    "lost route": ("route/10.9.0.0/16 via 10.0.0.2 dev eth0 linkdown", "present", None,
                   "ip -4 route append 10.9.0.0/16 via 10.0.0.2 dev eth0"),
    "surplus route": ("route/10.9.0.0/16 dev eth0 scope link", None, "present",
                      "ip -4 route del 10.9.0.0/16 dev eth0 scope link"),
    "IPv6 route": (f"route/{V6}", "present", None,
                   "ip -6 route append default via fe80::1 dev eth0 metric 1024 pref medium"),
    "IPv6 default without an address": ("route/unreachable default dev lo metric 1 pref medium", "present", None,
                                        "ip -6 route append unreachable default dev lo metric 1 pref medium"),
    "size": ("link/eth0/gro_max_size", "65536", "131072", "ip link set dev eth0 gro_max_size 65536"),
    "the driver's size": ("link/eth0/tso_max_size", "65536", "131072", ""),
    "delay": ("coalesce/eth0/rx-usecs", "50", "3", "ethtool -C eth0 rx-usecs 50"),
    "ring": ("ring/eth0/tx", "512", "64", "ethtool -G eth0 tx 512"), "most": ("ring/eth0/tx-most", "9", "8", ""),
    "energy": ("cpu/policy0/energy_performance_preference", "power", "performance",
               "printf %s power | tee /sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference"),
    "RSS table": ("rss/eth0/table", "weight 96 32", "default", "ethtool -X eth0 weight 96 32"),
    "RSS of all queues": ("rss/eth0/table", "default", "equal 1", "ethtool -X eth0 default"),
    "RSS table without words": ("rss/eth0/table", "custom 1 0 0 1", "default", ""),
    "RSS key": ("rss/eth0/hkey", "aa:bb", "cc:dd", "ethtool -X eth0 hkey aa:bb"),
    "RSS that came": ("rss/eth0/table", None, "default", ""),
    "qdisc": ("qdisc/eth0/qdisc fq 0: root", "present", None, ""), "unknown": ("colour/eth0", "red", "blue", ""),
}  # fmt: skip


@pytest.mark.parametrize(("key", "before", "after", "expected"), REPAIRS.values(), ids=REPAIRS)
def test_a_difference_has_its_command(key: str, before: str | None, after: str | None, expected: str) -> None:
    """What nothing is known for is left out: the comparison afterwards says so."""
    assert [str(command) for command in repairs([Difference("a", key, before, after)])] == [expected] * bool(expected)


def test_repairs_run_in_an_order_that_works() -> None:
    """Links, features, sysctls, addresses, neighbours, routes; surplus goes first, gateways come last."""
    found = [
        Difference("a", "route/10.9.0.0/16 via 10.0.0.2 dev eth0", "present", None),
        Difference("a", "route/10.0.0.0/24 dev eth0", "present", None),
        Difference("a", "route/10.7.0.0/24 dev eth0", None, "present"),
        Difference("a", "neighbour/eth0/10.0.0.9", "02:00:00:00:00:09", None),
        Difference("a", "address/eth0/10.0.0.1/24", "scope global", None),
        Difference("a", "address/eth0/10.0.0.5/24", None, "scope global"),
        Difference("a", "sysctl/net.x", "1", "2"),
        Difference("a", "feature/eth0/rx-gro", "on", "off"),
        Difference("a", "link/eth0/mtu", "1500", "9000"),
    ]

    assert [str(command).split(" dev ")[0] for command in repairs(found)] == [
        "ip link set", "ethtool -K eth0 rx-gro on", "printf %s 1 | tee /proc/sys/net/x",
        "ip address del 10.0.0.5/24", "ip address replace 10.0.0.1/24",
        "ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09",
        "ip -4 route del 10.7.0.0/24", "ip -4 route append 10.0.0.0/24", "ip -4 route append 10.9.0.0/16 via 10.0.0.2",
    ]  # fmt: skip
    assert repairs(found) == repairs(found[::-1])
