"""Whose a fact is."""

import pytest

from bench.facts.scope import but_anew, device_of, within

KEYS = {
    "link/eth0/mtu": "eth0",
    "address/vmbr0.10/2001:db8::1/64": "vmbr0.10",
    "qdisc/tap100i0/root": "tap100i0",
    "queue/eth0/rx-0/rps_cpus": "eth0",
    "ring/enp1s0/rx": "enp1s0",
    "sysctl/net.ipv4.conf.eth0/10.mtu": "eth0.10",
    "sysctl/net.ipv6.neigh.fwpr100p0.base_reachable_time_ms": "fwpr100p0",
    "sysctl/net.ipv4.conf.all.rp_filter": "",
    "sysctl/net.ipv4.tcp_rmem": "",
    "route/192.0.2.0/24 dev eth0 proto kernel": "eth0",
    "route/default nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 192.0.2.2 dev eth1 weight 1": "",
    'rule/4/{"priority": 0}': "",
    "qdisc/?/something new": "",
    "nft/bridge nettune": "",
}


@pytest.mark.parametrize(("key", "device"), KEYS.items())
def test_a_fact_is_of_a_device_or_of_the_host(key: str, device: str) -> None:
    """Dots in names, next hops in lines, and what is everybody's."""
    assert device == device_of(key)


def test_strangers_facts_are_left_out_and_the_hosts_own_kept() -> None:
    """A guest that starts on a hypervisor voids no trial."""
    facts = dict.fromkeys(KEYS, "x")

    assert {key for key, device in KEYS.items() if device in {"", "eth0"}} == within(facts, {"eth0"}).keys()


def test_a_guest_that_is_made_once_more_differs_in_what_follows_from_its_mac_and_lease() -> None:
    """All else of it is compared."""
    anew = {
        "link/eth0/address": "bc:24:11:00:00:01",
        "address/eth0/fe80::be24:11ff:fe00:1/64": "scope link",
        "route/local fe80::be24:11ff:fe00:1 dev eth0 table local proto kernel metric 0 pref medium": "present",
        "address/eth0/192.0.2.57/24": "broadcast 192.0.2.255 scope global dynamic True",
        "route/default via 192.0.2.254 dev eth0 proto dhcp src 192.0.2.57 metric 100": "present",
        "fdb/eth0/33:33:00:00:00:01 [] vlan -": "present",
    }
    same = {
        "link/eth0/mtu": "1500",
        "address/eth0/198.18.0.1/24": "scope global",
        "route/fe80::/64 dev eth0 proto kernel metric 256 pref medium": "present",
        "sysctl/net.ipv4.tcp_rmem": "4096 131072 6291456",
    }

    assert but_anew({**anew, **same}) == same
