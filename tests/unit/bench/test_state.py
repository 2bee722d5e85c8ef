"""The state of a host as flat facts: recorded from a real kernel, and made up where a driver is needed."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts import state
from bench.facts.state import Unreadable, parse, parse_features, parse_files, sysctl_name, sysctl_path
from bench.hosts.command import Command, CommandFailed, Outcome
from tests.unit.bench.recorded import answered, outcomes

END = outcomes("state", "end")[:-1]  # the last one asked for the counters
BRIDGE = outcomes("state", "bridge")[:-1]
BATCH = ("ip", "-d", "-j", "-batch", "-")


def _features(bits: dict[str, Any]) -> dict[str, str]:  # Any: JSON
    return parse_features(answered(json.dumps([{"ifname": "eth0"} | bits]), argv=("ethtool", "--json", "-k", "eth0")))


def test_an_end_of_the_lab_tells_its_state() -> None:
    """A few facts of every kind, as `ip`, `tc`, `ethtool` and /proc/sys printed them."""
    facts = parse(END)
    expected = {
        "link/eth0/mtu": "1500",
        "link/eth0/kind": "veth",
        "link/eth0/operstate": "UP",
        "link/eth0/address": "02:00:5e:00:00:0a",
        "link/lo/kind": "loopback",
        "address/eth0/198.18.0.1/24": "scope global label eth0",
        "route/198.18.0.0/24 dev eth0 proto kernel scope link src 198.18.0.1": "present",
        "qdisc/eth0/root": "noqueue 0:",
        "feature/eth0/tx-tcp-segmentation": "on",
        "feature/eth0/rx-gro": "off",
        "feature/eth0/rx-lro": "off [fixed]",
        "sysctl/net.ipv6.conf.default.accept_dad": "0",
    }

    assert {key: facts.get(key) for key in expected} == expected
    assert len(facts["sysctl/net.ipv4.tcp_rmem"].split(" ")) == 3
    assert {key.split("/")[0] for key in facts} == {
        "link", "address", "route", "rule", "qdisc", "queue", "napi", "feature", "sysctl",
    }  # fmt: skip


def test_a_node_tells_its_bridge() -> None:
    """Ports name their master; static entries of the bridge's table are facts, its own device is a bridge."""
    facts = parse(BRIDGE)

    assert facts["link/br0/kind"] == "bridge"
    assert (facts["link/port-a/master"], facts["link/port-b/master"]) == ("br0", "br0")
    assert "br0" not in facts.get("link/br0/master", "")
    assert any(key.startswith("fdb/br0/02:00:5e:00:01:01 ") for key in facts)


def test_learned_entries_of_a_bridge_are_no_facts() -> None:
    """They come and go with traffic."""
    rows: list[dict[str, Any]] = [  # Any: JSON
        {"mac": "02:00:00:00:00:01", "ifname": "p", "master": "br0", "state": ""},
        {"mac": "02:00:00:00:00:02", "ifname": "p", "state": "static", "vlan": 5, "flags": ["self"]},
    ]

    assert state.parse_fdb(rows) == {"fdb/p/02:00:00:00:00:02 ['self'] vlan 5": "present"}


def test_the_questions_are_the_ones_that_were_recorded() -> None:
    """A changed question needs a new recording; every answer has its reader."""
    asked = state.questions(("eth0",)), state.questions(("port-a", "br0", "port-b"), bridges=True)

    assert [[each.argv for each in listed] for listed in asked] == [
        [each.command.argv for each in END],
        [each.command.argv for each in BRIDGE],
    ]


FEATURES = {
    "on": ({"active": True, "fixed": False, "requested": True}, "on"),
    "off": ({"active": False, "fixed": False, "requested": False}, "off"),
    "fixed on": ({"active": True, "fixed": True, "requested": True}, "on [fixed]"),
    "fixed off": ({"active": False, "fixed": True, "requested": False}, "off [fixed]"),
    "fixed off, asked for": ({"active": False, "fixed": True, "requested": True}, "off [fixed]"),
    "asked for in vain": ({"active": False, "fixed": False, "requested": True}, "off [requested on]"),
    "on against the wish": ({"active": True, "fixed": False, "requested": False}, "on [requested off]"),
    "an ethtool that does not tell the wish": ({"active": True, "fixed": False, "requested": None}, "on"),
    "without that field": ({"active": False, "fixed": False}, "off"),
}


@pytest.mark.parametrize(("bits", "expected"), FEATURES.values(), ids=FEATURES)
def test_a_feature_tells_what_is_active_fixed_and_wanted(bits: dict[str, Any], expected: str) -> None:
    """The wanted bit is kept where it differs: undo must bring it back too."""
    assert _features({"tx-tcp-segmentation": bits}) == {"feature/eth0/tx-tcp-segmentation": expected}


def test_groups_that_ethtool_computes_are_no_facts_and_long_names_become_the_kernels() -> None:
    """`tx-checksumming` is a sum of others; `generic-receive-offload` is the kernel's rx-gro."""
    bits = {"active": True, "fixed": False, "requested": True}
    found = _features(
        {"tx-checksumming": bits | {"fixed": None}, "generic-receive-offload": bits, "rx-checksumming": bits}
    )

    assert found == {"feature/eth0/rx-gro": "on", "feature/eth0/rx-checksum": "on"}


@pytest.mark.parametrize("text", ["", "[]", "[{}]", "{}", "3", "null", "Usage: ethtool", '[["x"]]', "[{"])
def test_an_ethtool_that_tells_no_features_is_unreadable(text: str) -> None:
    """Nothing is not the same as no features."""
    with pytest.raises(Unreadable, match="ethtool --json -k eth0"):
        parse([answered(text, argv=("ethtool", "--json", "-k", "eth0"))])


@pytest.mark.parametrize("text", ["", "[]\n[]\n", "[]\n[]\n[]\n[]\n", "[]\n{}\n[]\n", "x\ny\nz\n", "[1]\n[]\n[]\n"])
def test_an_ip_batch_that_is_not_three_lists_is_unreadable(text: str) -> None:
    """Links, neighbours and rules, a line each."""
    with pytest.raises(Unreadable, match="ip -d -j -batch"):
        parse([answered(text, argv=BATCH)])


def test_a_tool_that_fails_is_not_read() -> None:
    """A device that is gone makes ethtool exit with an error, not an empty list of features."""
    gone = Outcome(Command(("ethtool", "--json", "-k", "eth9")), "a", 75, "", "netlink error: No such device", 0.0)
    with pytest.raises(CommandFailed, match="No such device"):
        parse([gone])


def test_an_answer_that_nobody_reads_is_a_mistake() -> None:
    """A question without a reader would be lost."""
    with pytest.raises(Unreadable, match="nobody reads the answer of `uptime`"):
        parse([answered("", argv=("uptime",))])


def test_permanent_neighbours_rules_and_addresses_are_facts() -> None:
    """Each in its own words, IPv4 and IPv6 rules apart."""
    links = [{"ifname": "eth0", "flags": ["UP", "BROADCAST"], "mtu": 9000, "link_type": "ether", "addr_info": [
        {"local": "fd00::1", "prefixlen": 64, "scope": "global", "tentative": True, "valid_life_time": 99},
        {"local": "10.0.0.1", "prefixlen": 24, "broadcast": "10.0.0.255", "scope": "global",
            "label": "eth0"}]}]  # fmt: skip
    neighbours = [{"dst": "10.0.0.9", "dev": "eth0", "lladdr": "02:00:00:00:00:09", "state": ["PERMANENT"]}]
    rules = [{"priority": 0, "src": "all", "table": "local"}]
    text = "\n".join(json.dumps(each) for each in (links, neighbours, rules))

    assert parse([answered(text, argv=BATCH)]) == {
        "link/eth0/mtu": "9000",
        "link/eth0/flags": "BROADCAST UP",
        "link/eth0/kind": "ether",
        "address/eth0/fd00::1/64": "scope global tentative True",
        "address/eth0/10.0.0.1/24": "broadcast 10.0.0.255 scope global label eth0",
        "neighbour/eth0/10.0.0.9": "02:00:00:00:00:09",
        'rule/4/{"priority": 0, "src": "all", "table": "local"}': "present",
    }


def test_qdiscs_are_kept_by_device_and_place() -> None:
    """With handle and options, as `tc qdisc replace` takes them; a line of another kind is kept as it is."""
    lines = [
        "qdisc mq 8003: dev eth0 root ",
        "qdisc pfifo 8004: dev eth0 parent 8003:2 limit 50p",
        "qdisc noqueue 0: dev lo root refcnt 2 ",
        "qdisc ingress ffff: dev eth0 parent ffff:fff1 ---------------- ",
        "something else",
    ]

    assert state.parse_qdiscs(lines) == {
        "qdisc/eth0/root": "mq 8003:",
        "qdisc/eth0/parent 8003:2": "pfifo 8004: limit 50p",
        "qdisc/lo/root": "noqueue 0:",
        "qdisc/eth0/parent ffff:fff1": "ingress ffff: ----------------",
        "qdisc/?/something else": "present",
    }


def test_steering_and_napi_are_facts_of_their_device() -> None:
    """Masks and numbers are kept; counters, limits and time-outs of a queue are not."""
    text = """\
/sys/class/net/eth0.5/queues/rx-0/rps_cpus:00000000,00000003
/sys/class/net/eth0.5/queues/tx-1/xps_cpus:2
/sys/class/net/eth0.5/queues/tx-1/byte_queue_limits/inflight:1234
/sys/class/net/eth0.5/queues/tx-0/tx_timeout:0
/sys/class/net/eth0.5/threaded:0
"""

    assert parse_files(text) == {
        "queue/eth0.5/rx-0/rps_cpus": "00000000,00000003",
        "queue/eth0.5/tx-1/xps_cpus": "2",
        "napi/eth0.5/threaded": "0",
    }
    assert state.device_path("queue/eth0.5/tx-1/xps_cpus") == "/sys/class/net/eth0.5/queues/tx-1/xps_cpus"
    assert state.device_path("napi/eth0.5/threaded") == "/sys/class/net/eth0.5/threaded"


def test_sysctls_of_several_lines_are_joined_and_white_space_is_one_space() -> None:
    """Grep prints the path before each line of a file."""
    text = "/proc/sys/net/ipv4/tcp_rmem:4096\t131072\t6291456\n/proc/sys/net/x/many:a b\n/proc/sys/net/x/many:  c\n"

    assert parse_files(text) == {"sysctl/net.ipv4.tcp_rmem": "4096 131072 6291456", "sysctl/net.x.many": "a b c"}


SECRET = ["ipv4/tcp_fastopen_key", "ipv6/conf/eth0/stable_secret", "ipv6/conf/eth0.5/stable_secret",
          "netfilter/nf_conntrack_count", "ipv4/route/flush"]  # fmt: skip


@pytest.mark.parametrize("path", SECRET)
def test_keys_and_running_counts_are_never_kept(path: str) -> None:
    """Keys have no place in a store; a count that runs with the traffic would void every trial."""
    assert parse_files(f"/proc/sys/net/{path}:12345678-9abcdef0\n") == {}


def test_the_recorded_hosts_tell_no_key() -> None:
    """The kernel printed its tcp_fastopen_key; the facts do not have it."""
    assert "tcp_fastopen_key" in END[0].stdout
    assert not [key for key in (*parse(END), *parse(BRIDGE)) if "key" in key or "secret" in key]


@pytest.mark.parametrize(
    ("path", "name"),
    [("/proc/sys/net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem"),
     ("/proc/sys/net/ipv4/conf/eth0.5/mtu", "net.ipv4.conf.eth0/5.mtu"),
     ("/proc/sys/net/ipv6/neigh/br0.100.200/gc_thresh1", "net.ipv6.neigh.br0/100/200.gc_thresh1")],
)  # fmt: skip
def test_a_dot_in_a_device_name_survives(path: str, name: str) -> None:
    """sysctl(8) writes the dot of a VLAN device as a slash."""
    assert (sysctl_name(path), sysctl_path(name)) == (name, path)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.text("abz019_.-", min_size=1, max_size=6), min_size=1, max_size=5))
def test_every_sysctls_name_leads_back_to_its_file(parts: list[str]) -> None:
    """Undo writes to the file that was read."""
    path = "/proc/sys/" + "/".join(parts)

    assert sysctl_path(sysctl_name(path)) == path


LINE = st.tuples(st.sampled_from(("/proc/sys/net/a", "/proc/sys/net/b/eth0.5", "/etc/x", "")), st.text(max_size=12))


@settings(max_examples=80, deadline=None)
@given(lines=st.lists(LINE.map(lambda pair: f"{pair[0]}:{pair[1]}"), max_size=6), garbage=st.text(max_size=20))
def test_any_text_of_proc_gives_sysctl_facts_or_none(lines: list[str], garbage: str) -> None:
    """No exception, no other kind of fact, no white space but single spaces."""
    facts = parse_files("\n".join([*lines, garbage]))

    assert all(key.startswith("sysctl/net.") for key in facts)
    assert all(value == " ".join(value.split()) for value in facts.values())
