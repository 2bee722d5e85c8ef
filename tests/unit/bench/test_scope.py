"""Whose a fact is."""

import pytest

from bench.facts.scope import device_of, within

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
