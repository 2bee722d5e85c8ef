"""A part of a host's state: what is asked for which facts, and what takes the place of what was known."""

from collections.abc import Mapping

import pytest

from bench.facts import part, state
from bench.hosts.command import Command, Outcome

KNOWN = {
    "sysctl/net.ipv4.conf.eth0/10.mtu": "1",
    "sysctl/net.ipv4.tcp_ecn": "2",
    "feature/eth0/rx-gro": "off",
    "feature/eth0/rx-lro": "off [fixed]",
    "feature/eth1/rx-gro": "on",
    "link/eth0/mtu": "1500",
    "address/eth0/192.0.2.1/24": "scope global",
    "route/192.0.2.0/24 dev eth0": "present",
}
LINKS = '[{"ifname": "eth0", "mtu": 9000, "addr_info": []}]\n[]\n[]\n'
FEATURES = '[{"ifname": "eth0", "rx-gro": {"active": true, "fixed": false, "requested": true}}]'


def _answered(asked: Mapping[Command, str]) -> list[Outcome]:
    return [Outcome(command, "a", 0, text, "", 0.0) for command, text in asked.items()]


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ({"sysctl/net.ipv4.conf.eth0/10.mtu"}, [("grep", "-Hs", ".", "/proc/sys/net/ipv4/conf/eth0.10/mtu")]),
        ({"queue/eth0/rx-0/rps_cpus"}, [("grep", "-Hs", ".", "/sys/class/net/eth0/queues/rx-0/rps_cpus")]),
        ({"napi/eth0/threaded"}, [("grep", "-Hs", ".", "/sys/class/net/eth0/threaded")]),
        ({"feature/eth0/rx-gro", "feature/eth0/rx-lro"}, [("ethtool", "--json", "-k", "eth0")]),
        ({"ring/eth0/rx", "channel/eth0/combined"}, [("ethtool", "-l", "eth0"), ("ethtool", "-g", "eth0")]),
        ({"link/eth0/mtu", "link/eth1/txqlen"}, [("ip", "-d", "-j", "-batch", "-")]),
    ],
)
def test_each_kind_of_fact_has_its_question(keys: set[str], asked: list[tuple[str, ...]]) -> None:
    """One question for all that comes in one answer."""
    questions = part.questions(keys)

    assert questions is not None
    assert [command.argv for command in questions] == asked


@pytest.mark.parametrize("key", ["qdisc/eth0/root", "firewall/bridge/rules", "nat/masquerade", "something/new"])
def test_what_only_the_whole_state_tells_has_none(key: str) -> None:
    """A qdisc brings filters and classes, rules their digests."""
    assert part.questions({"sysctl/net.ipv4.tcp_ecn", key}) is None


def test_what_an_answer_tells_takes_the_place_of_all_that_came_with_it() -> None:
    """A feature and an address that are gone are gone; other devices, routes and sysctls stay as they were known."""
    keys = {"sysctl/net.ipv4.conf.eth0/10.mtu", "feature/eth0/rx-gro", "link/eth0/mtu"}
    questions = part.questions(keys)
    assert questions is not None
    answers = dict(zip(questions, ("/proc/sys/net/ipv4/conf/eth0.10/mtu:7\n", FEATURES, LINKS), strict=True))

    assert part.renewed(KNOWN, keys, _answered(answers)) == {
        "sysctl/net.ipv4.conf.eth0/10.mtu": "7",
        "sysctl/net.ipv4.tcp_ecn": "2",
        "feature/eth0/rx-gro": "on",
        "feature/eth1/rx-gro": "on",
        "link/eth0/mtu": "9000",
        "link/eth0/flags": "",
        "link/eth0/kind": "",
        "route/192.0.2.0/24 dev eth0": "present",
    }


def test_a_file_that_is_gone_is_no_fact() -> None:
    """A queue that its device has lost."""
    keys = {"sysctl/net.ipv4.tcp_ecn"}
    answers = {Command(("grep", "-Hs", ".", state.sysctl_path("net.ipv4.tcp_ecn"))): ""}

    assert "sysctl/net.ipv4.tcp_ecn" not in part.renewed(KNOWN, keys, _answered(answers))
