"""Knobs of links, queues, NAPI, qdiscs and a lab's node: what they take, refuse, write, and hold to be the same."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.sheet import Difference, FactSheet, Sheets
from bench.hosts.command import Command
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Topology
from tests.unit.bench.fakes import FakeHost
from tuning.knobs.device_files import DEVICE_FILES
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.link import LINK_NUMBERS
from tuning.knobs.node import FirewallRules, Nat
from tuning.knobs.qdisc import Qdisc
from tuning.knobs.table import KNOBS, check, owner

LINK = {knob.kind: knob for knob in LINK_NUMBERS}
FILES = {knob.kind: knob for knob in DEVICE_FILES}
FIREWALL = Topology("firewall")
QDISC, RULES, NAT = Qdisc(), FirewallRules(), Nat()

END = {
    "link/eth0/txqlen": "1000", "link/eth0/gso_max_size": "65536", "link/eth0/tso_max_size": "131072",
    "link/eth0/num_tx_queues": "2", "qdisc/eth0/root": "noqueue 0:",
    "queue/eth0/rx-0/rps_cpus": "0", "queue/eth0/rx-1/rps_cpus": "0", "queue/eth0/tx-0/xps_cpus": "0",
    "napi/eth0/threaded": "0", "napi/eth0/gro_flush_timeout": "0",
}  # fmt: skip
NODE = {"firewall/bridge/rules": "0", "nat/masquerade": "off", "qdisc/port-a/root": "tbf 1: rate 100Mbit"}


def _stand(topology: Topology = FIREWALL, facts: Mapping[str, str] = {}) -> tuple[Lab, Sheets]:
    """Two ends with two queues each, and a node that filters."""
    a, b, node = FakeHost("a"), FakeHost("b"), FakeHost("node")
    path = (PathDevice(a, "eth0"), PathDevice(node, "br0", counts=False), PathDevice(b, "eth0"))
    ends = (Endpoint(a, "eth0", "198.18.0.1"), Endpoint(b, "eth0", "198.18.0.2"))
    sheets = {name: FactSheet(name, END | {**facts}) for name in ("a", "b")} | {
        "node": FactSheet("node", NODE | {**facts})
    }
    return Lab(topology, ends, (node,), path), sheets


VALUES = {
    "a queue": ("txqueuelen", "5000", ""), "no queue": ("txqueuelen", "0", "from 1 to 100000"),
    "big packets": ("gso_max_size", "131072", ""), "too big": ("gro_max_size", "600000", "from 2048 to 524280"),
    "in words": ("gso_max_size", "big", "no number of bytes"),
    "a mask": ("rps_cpus", "3", ""), "a long mask": ("xps_cpus", "f,00000000", ""),
    "no mask": ("rps_cpus", "0x3", "mask"),
    "a mask in words": ("rps_cpus", "most", "mask of CPUs in hexadecimal"), "polls": ("napi_defer_hard_irqs", "2", ""),
    "nanoseconds": ("gro_flush_timeout", "20us", "number of nanoseconds"), "threads": ("threaded", "on", ""),
    "half a thread": ("threaded", "2", "switch (on or off)"), "fq": ("qdisc", "fq", ""),
    "fifo": ("qdisc", "pfifo limit 200", ""), "half an option": ("qdisc", "pfifo limit", "options come in pairs"),
    "no qdisc": ("qdisc", "fast", "is none of fq, fq_codel"),
    "a shell": ("qdisc", "fq $(id) 1", "options come in pairs"),
    "rules": ("firewall_rules", "5000", ""), "too many rules": ("firewall_rules", "15001", "from 0 to 15000"),
    "nat": ("nat", "masquerade", ""), "nat on": ("nat", "on", "takes masquerade or off"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "value", "words"), VALUES.values(), ids=VALUES)
def test_a_value_is_checked_before_any_host_is_asked(setting: str, value: str, words: str) -> None:
    """A slip in a plan is found while it is read."""
    problem, _ = check(setting, value)

    assert words in problem
    assert bool(problem) == bool(words)


def test_every_fact_that_a_knob_changes_has_that_knob_as_its_only_owner() -> None:
    """Undo finds the way back by the key alone, also from a journal."""
    lab, now = _stand()
    changed = {
        "txqueuelen": "5", "gso_max_size": "4096", "rps_cpus": "3", "xps_cpus": "1", "threaded": "on",
        "qdisc": "pfifo limit 5", "firewall_rules": "7",
    }  # fmt: skip
    for setting, value in changed.items():
        for change in KNOBS[setting].changes(setting, value, lab, KNOBS[setting].target, now):
            assert [knob.kind for knob in KNOBS.values() if knob.owns(change.key)] == [setting]
            assert owner(change.key).kind == setting
    with pytest.raises(KeyError, match="no knob sets colour/eth0"):
        owner("colour/eth0")


def test_a_bridge_itself_is_left_out() -> None:
    """Its limits follow its ports, and it forwards without a queue."""
    lab, now = _stand()
    found = [LINK["txqueuelen"].changes("txqueuelen", "5", lab, "path", now),
             FILES["rps_cpus"].changes("rps_cpus", "1", lab, "path", now)]  # fmt: skip

    assert {change.host for changes in found for change in changes} == {"a", "b"}
    with pytest.raises(NotSettable, match="no device on the target 'node'"):
        LINK["txqueuelen"].changes("txqueuelen", "5", lab, "node", now)


def test_a_device_says_how_large_its_packets_may_be() -> None:
    """tso_max_size bounds what gso may build; gro has no such bound."""
    lab, now = _stand()
    with pytest.raises(NotSettable, match=r"a/eth0 builds packets of at most 131072 bytes \(tso_max_size\)"):
        LINK["gso_max_size"].changes("gso_max_size", "200000", lab, "guest", now)
    with pytest.raises(NotSettable, match="shows no gro_ipv4_max_size of eth0"):
        LINK["gro_ipv4_max_size"].changes("gro_ipv4_max_size", "200000", lab, "guest", now)


def test_a_file_that_asks_for_the_machines_root_is_refused_in_a_user_namespace_only() -> None:
    """It looks writable there; so the kernel is asked with the value that the file has, and nowhere else."""

    def answer(command: Command) -> tuple[int, str]:
        if command.argv == ("cat", "/proc/self/uid_map"):
            return 0, ids
        return (0, "") if command.argv[-1].endswith("/threaded") else (1, "Operation not permitted")

    lab, now = _stand()
    for host in (lab.a.host, lab.b.host):
        assert isinstance(host, FakeHost)
        host.answer = answer
    ids = "         0       1000          1\n"
    with pytest.raises(NotSettable, match="rps_cpus asks for the machine's root"):
        FILES["rps_cpus"].changes("rps_cpus", "3", lab, "path", now)
    with pytest.raises(NotSettable, match="gro_flush_timeout asks for the machine's root"):
        FILES["gro_flush_timeout"].changes("gro_flush_timeout", "3", lab, "path", now)
    threaded = FILES["threaded"].changes("threaded", "on", lab, "path", now)
    ids = "         0          0 4294967295\n"
    steered = FILES["rps_cpus"].changes("rps_cpus", "3", lab, "path", now)

    assert [change.host for change in threaded] == ["a", "b"]
    assert [change.host for change in steered] == ["a", "a", "b", "b"]


def test_links_are_written_by_the_word_that_ip_takes() -> None:
    """`txqlen` is what it prints, `txqueuelen` what it takes."""
    change = Change("a", "link/eth0/txqlen", "5")

    assert LINK["txqueuelen"].writes((change,)) == (Command(("ip", "link", "set", "dev", "eth0", "txqueuelen", "5")),)


def test_every_queue_of_a_device_is_steered() -> None:
    """One file each; the kernel's own spelling of a mask holds."""
    lab, now = _stand()
    changes = FILES["rps_cpus"].changes("rps_cpus", "3", lab, "guest", now)

    assert [f"{each.host}:{each.key}" for each in changes] == [
        "a:queue/eth0/rx-0/rps_cpus", "a:queue/eth0/rx-1/rps_cpus", "b:queue/eth0/rx-0/rps_cpus",
        "b:queue/eth0/rx-1/rps_cpus",
    ]  # fmt: skip
    assert FILES["rps_cpus"].writes(changes[:1]) == (
        Command(("tee", "/sys/class/net/eth0/queues/rx-0/rps_cpus"), stdin="3"),
    )
    assert FILES["rps_cpus"].holds("3", "00000000,00000003")
    assert not FILES["rps_cpus"].holds("3", "00000000,00000001")
    assert not FILES["rps_cpus"].holds("3", None)


def test_a_device_without_napi_is_refused() -> None:
    """It takes not even the value that `threaded` has."""
    lab, now = _stand()
    for host in lab.hosts:
        host.answer = lambda command: (1, "Operation not supported") if command.argv[0] == "tee" else (0, "")  # type: ignore[attr-defined]  # fakes
    with pytest.raises(NotSettable, match="a/eth0 has no NAPI instance"):
        FILES["gro_flush_timeout"].changes("gro_flush_timeout", "20000", lab, "guest", now)
    with pytest.raises(NotSettable, match="has no napi_defer_hard_irqs"):
        FILES["napi_defer_hard_irqs"].changes("napi_defer_hard_irqs", "2", lab, "guest", now)


# -- qdiscs ----------------------------------------------------------------------------------------------------------


def test_many_queues_get_a_leaf_each_below_mq() -> None:
    """One fq at the root of a multiqueue device would serialise all of its queues."""
    lab, now = _stand()
    changes = QDISC.changes("qdisc", "pfifo limit 50", lab, "guest", now)

    assert [(each.key, each.wanted) for each in changes if each.host == "a"] == [
        ("qdisc/eth0/root", "mq"),
        ("qdisc/eth0/parent 1:1", "pfifo limit 50"),
        ("qdisc/eth0/parent 1:2", "pfifo limit 50"),
    ]
    assert [str(command) for command in QDISC.writes(changes[:2])] == [
        "tc qdisc replace dev eth0 root handle 1: mq",
        "tc qdisc replace dev eth0 parent 1:1 pfifo limit 50",
    ]


def test_the_kernels_own_qdisc_comes_back_by_deleting_what_was_set() -> None:
    """A default has no handle, and cannot be added by hand with its leaves."""
    back = Change("a", "qdisc/eth0/root", "noqueue 0:")

    assert [str(command) for command in QDISC.writes((back,))] == ["tc qdisc del dev eth0 root"]


def test_a_qdisc_of_somebody_is_not_exchanged() -> None:
    """Its classes and filters could not be listed and put back."""
    lab, now = _stand(facts={"qdisc/eth0/root": "htb 8001: default 0x30"})
    with pytest.raises(NotSettable, match="somebody gave a/eth0 the qdisc 'htb 8001: default 0x30'"):
        QDISC.changes("qdisc", "fq", lab, "guest", now)


OWN = {
    "the default": ("fq_codel", {"root": "fq_codel 0: limit 10240p"}, ""),
    "leaves of the default": ("fq", {"root": "mq 0:", "parent :1": "fq 0:", "parent :2": "fq 0:"}, ""),
    "no queue, whatever the default is": ("fq", {"root": "noqueue 0:"}, ""),
    "of before the default was set": ("fq", {"root": "fq_codel 0: limit 10240p"}, "has the qdisc fq_codel, and would"),
    "leaves of before": ("fq", {"root": "mq 0:", "parent :1": "pfifo_fast 0:"}, "has the qdisc pfifo_fast, and would"),
    "two kinds of leaves": ("fq", {"root": "mq 0:", "parent :1": "fq 0:", "parent :2": "pfifo_fast 0:"},
                            "has the qdisc fq and pfifo_fast, and would get fq back"),
}  # fmt: skip


@pytest.mark.parametrize("namespaced", [False, True], ids=["a machine", "a namespace"])
@pytest.mark.parametrize(("default", "there", "why"), OWN.values(), ids=OWN)
def test_the_kernels_own_qdisc_is_exchanged_where_the_kernel_would_give_it_again(
    default: str, there: Mapping[str, str], why: str, namespaced: bool
) -> None:
    """It gives what net.core.default_qdisc says at that time; a namespace cannot read that, and tries a tap."""
    lab, now = _stand(facts={f"qdisc/eth0/{place}": words for place, words in there.items()} | (
        {} if namespaced else {"sysctl/net.core.default_qdisc": default}))  # fmt: skip

    def tried(command: Command) -> tuple[int, str]:
        return 0, f"qdisc {default} 0: dev try root refcnt 2\n" if "tuntap" in str(command) else ""

    for host in lab.hosts:
        host.answer = tried  # type: ignore[attr-defined]  # fakes
    if not why:
        assert QDISC.changes("qdisc", "pfifo", lab, "guest", now)
        return
    with pytest.raises(NotSettable, match=f"a/eth0 {why}"):
        QDISC.changes("qdisc", "pfifo", lab, "guest", now)


def test_a_qdisc_is_left_alone_where_nobody_can_say_what_comes_back() -> None:
    """A namespace on a machine that makes no taps."""
    lab, now = _stand(facts={"qdisc/eth0/root": "fq_codel 0:"})
    for host in lab.hosts:
        host.answer = lambda command: (int("tuntap" in str(command)), "")  # type: ignore[attr-defined]  # fakes
    with pytest.raises(NotSettable, match="whether it would come back is not known"):
        QDISC.changes("qdisc", "pfifo", lab, "guest", now)


def test_a_module_is_never_loaded_for_a_qdisc() -> None:
    """On a modular kernel without sch_fq the command is named; a FIFO is always there."""
    lab, now = _stand()

    def modular(command: Command) -> tuple[int, str]:
        match command.argv:
            case ("test", "-e", path):
                return (0 if path == "/proc/modules" else 1, "")
            case ("modinfo", *_):
                return 0, "/lib/modules/x/sch_fq.ko\n"
        return 0, ""

    for host in lab.hosts:
        host.answer = modular  # type: ignore[attr-defined]  # fakes
    with pytest.raises(NotSettable, match="modprobe sch_fq  # stays loaded until reboot"):
        QDISC.changes("qdisc", "fq", lab, "guest", now)
    assert QDISC.changes("qdisc", "pfifo", lab, "guest", now)


HELD = {
    "as it was": ("noqueue 0:", "noqueue 0:", True),
    "with tc's units": ("pfifo limit 50", "pfifo 8004: limit 50p", True),
    "another number": ("pfifo limit 50", "pfifo 8004: limit 5p", False),
    "another kind": ("fq", "fq_codel 8001:", False),
    "nothing": ("fq", None, False), "more than was asked": ("fq", "fq 8001: limit 10000p", True),
    "milliseconds": ("fq_codel target 5ms", "fq_codel 0: limit 10240p target 5.0ms", True),
    "an option that is not there": ("fq maxrate 1gbit", "fq 8001: limit 10000p", False),
    "set, where the default was wanted": ("pfifo_fast 0: bands 3", "pfifo_fast 8001: bands 3", False),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "actual", "holds"), HELD.values(), ids=HELD)
def test_a_qdisc_holds_with_the_options_that_were_asked_for(wanted: str, actual: str | None, holds: bool) -> None:
    """Tc prints all of them, in units that it likes better."""
    assert QDISC.holds(wanted, actual) is holds


@given(st.text(max_size=30), st.none() | st.text(max_size=30))
def test_no_text_of_tc_breaks_the_comparison(wanted: str, actual: str | None) -> None:
    """Whatever a plan or a kernel says."""
    if not QDISC.problem("qdisc", wanted):
        assert QDISC.holds(wanted, actual) in {True, False}


# -- nodes -----------------------------------------------------------------------------------------------------------


def test_rules_are_exchanged_in_one_transaction() -> None:
    """Flush and refill are one `nft -f`: no packet meets half a ruleset (of more than 500 rules, the first 500)."""
    lab, now = _stand()
    (change,) = RULES.changes("firewall_rules", "3", lab, "node", now)
    (command,) = RULES.writes((change,))

    assert (change.host, change.key, change.wanted) == ("node", "firewall/bridge/rules", "3")
    assert command.argv == ("nft", "-f", "-")
    assert command.stdin.startswith("flush chain bridge nettune forward\n")
    assert command.stdin.count(" drop\n") == 3
    assert [each.stdin.count(" drop\n") for each in RULES.writes((replace(change, wanted="1200"),))] == [500, 500, 200]


def test_rules_need_a_chain_of_ours_without_strangers() -> None:
    """A host's own firewall is never touched."""
    lab, now = _stand(facts={"firewall/bridge/rules": "foreign"})
    with pytest.raises(NotSettable, match="rules that are not ours stand in firewall/bridge/rules of node"):
        RULES.changes("firewall_rules", "3", lab, "node", now)
    with pytest.raises(NotSettable, match="only the node of a `firewall` topology"):
        RULES.changes(
            "firewall_rules", "3", lab, "guest", {name: replace(sheet, facts=END) for name, sheet in now.items()}
        )


def test_nat_needs_a_router_and_conntrack() -> None:
    """Without conntrack(8) one arm's connections would be handed on to the next."""
    lab, now = _stand()
    with pytest.raises(NotSettable, match="only a node that routes"):
        NAT.changes("nat", "masquerade", lab, "node", now)
    routed, now = _stand(Topology("routed"))
    (change,) = NAT.changes("nat", "masquerade", routed, "node", now)
    assert (change.key, change.wanted) == ("nat/masquerade", "on")
    routed.nodes[0].answer = lambda _: None  # type: ignore[attr-defined]  # fakes
    with pytest.raises(NotSettable, match="node has no conntrack"):
        NAT.changes("nat", "masquerade", routed, "node", now)


def test_what_a_knob_drags_along_is_explained_and_nothing_else() -> None:
    """The nft blocks behind a count, the qdisc's name at the link, the older limit below the newer."""
    explained = {
        ("firewall_rules", "nft/bridge nettune chain forward"): True, ("firewall_rules", "link/eth0/mtu"): False,
        ("nat", "sysctl/net.netfilter.nf_conntrack_count"): True, ("nat", "sysctl/net.ipv4.ip_forward"): False,
        ("qdisc", "link/eth0/qdisc"): True, ("qdisc", "link/eth0/mtu"): False,
        ("gso_max_size", "link/eth0/gso_ipv4_max_size"): True, ("txqueuelen", "link/eth0/gso_max_size"): False,
        ("rps_cpus", "queue/eth0/rx-0/rps_cpus"): True, ("rps_cpus", "queue/eth0/tx-0/xps_cpus"): False,
    }  # fmt: skip

    assert {
        (setting, key): KNOBS[setting].explains(setting, Difference("a", key, "1", "2")) for setting, key in explained
    } == explained


def test_the_kernel_s_own_mq_is_not_the_one_that_leaves_hang_on() -> None:
    """It has no handle: as found it holds as what it was, and is not yet what a plan of leaves needs."""
    held = [QDISC.holds("mq", "mq 0:"), QDISC.holds("mq", "mq 1:"), QDISC.holds("mq 0:", "mq 0:")]

    assert held == [False, True, True]
