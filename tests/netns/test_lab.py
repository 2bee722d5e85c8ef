"""Labs on the real kernel: paths that carry traffic, a machine that is left alone, leftovers that can be removed."""

import os
import signal
import subprocess  # noqa: TID251 - kills a process of its own
import sys
import time
from pathlib import Path

import pytest

from bench import asking, carryover, document
from bench.facts import counters, state
from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs import capability, lease
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.reading import topologies
from bench.labs.standing import LabBroken
from bench.labs.topology import Kind, Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Measured, Pair
from bench.trust import Untrusted, dropped, path_was_taken
from tests.netns.able import able


@pytest.mark.parametrize("kind", ["direct", "bridge", "routed"])
@pytest.mark.parametrize("mtu", [1500, 9000])
def test_traffic_takes_the_path_of_the_topology(state: Path, kind: Kind, mtu: int) -> None:
    """iperf3's bytes pass every counting device of the path, in both directions, at the MTU asked for."""
    with standing(Topology(kind, mtu), leases_folder=state / "leases") as lab:
        facts = lab.read()
        before = counters.read(lab.hosts)
        measured = Tcp("tcp", 0.6, 0.2, 1, "reverse", "", 0).measure(Pair(lab.a, lab.b, 20001, 30001))
        after = counters.read(lab.hosts)

    path_was_taken(lab.path, measured, before, after)
    assert dropped(lab, before, after)[1] > 0
    assert measured.receiver == "a"
    assert {facts[each.host.name].facts[f"link/{each.device}/mtu"] for each in lab.path} == {str(mtu)}


# One of each kind and option; what this kernel lacks is skipped by name, and runs where it is there.
PATHS = topologies(document.read("""\
- {kind: bridge, ends: 3, ip: 6}
- {kind: bridge, queues: 2}
- {kind: bridge, mtu: 600}
- {kind: routed, mtu: 600, gro: on}
- {kind: vlan, id: 10}
- {kind: vlan, id: 20, tagged: on, ip: 6, mtu: 1400, port_mtu: 1500}
- {kind: bond, mode: 802.3ad}
- {kind: bond, mode: active-backup}
- {kind: bond, mode: balance-rr, legs: 3}
- {kind: bond, mode: balance-tlb}
- {kind: bond, mode: balance-alb}
- {kind: bond, mode: balance-xor, xmit_hash_policy: layer3+4, vlan: 30}
- {kind: bond, mode: broadcast}
- {kind: bond, mode: active-backup, primary: 2, vlan: 30, name: vlan-over-backup}
- {kind: vlan, id: 40, trunk: on}
- {kind: vlan, id: 50, tagged: on, protocol: 802.1ad}
- {kind: routed, ends: 3, ip: 6}
- {kind: routed, routing: policy}
- {kind: routed, routing: policy, ip: 6, name: routed-policy-ip6}
- nat
- {kind: nat, ip: 6}
- {kind: nat, forward: on}
- {kind: nat, forward: on, ip: 6}
- {kind: firewall, rules: 100}
- {kind: firewall, rules: 100, hook: inet, ip: 6}
- {kind: firewall, rules: 100, hook: br_netfilter}
- {kind: bridge, delay_ms: 5, loss_pct: 0.1}
- {kind: routed, rate_mbit: 200, subnets: {a: 10.77.0.0/30, b: 10.78.0.0/29}}
""", "paths.yaml"))  # fmt: skip


def _measured(lab: Lab) -> tuple[Measured, dict[str, counters.Counters], dict[str, counters.Counters]]:
    """A second of TCP from a to b, and the counters around it."""
    before = counters.read(lab.hosts)
    pair = Pair(lab.a, lab.b, 20001, 30001, lab.reached(lab.a, lab.b))
    measured = Tcp("tcp", 0.6, 0.2, 1, "forward", "", 0).measure(pair)
    return measured, before, counters.read(lab.hosts)


@pytest.mark.parametrize("topology", PATHS, ids=[each.name for each in PATHS])
def test_every_topology_carries_traffic_over_its_own_devices(state: Path, topology: Topology) -> None:
    """The path from a to b counts the bytes; all ends are up; what one trial leaves is taken away."""
    able(topology, state)
    with standing(topology, leases_folder=state / "leases") as lab:
        facts = lab.read()
        measured, before, after = _measured(lab)
        clean = carryover.neutralise(lab)
        again = lab.read()

    path_was_taken(lab.between(lab.a, lab.b), measured, before, after)
    assert clean
    assert differences(facts, again) == ()
    assert len(lab.endpoints) == topology.ends
    assert {":" in each.address for each in lab.endpoints} == {topology.ip == 6}


def test_lacp_without_a_partner_is_no_lab(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch that knows no LACP leaves each leg in an aggregator of its own: the lab does not stand, by name."""
    topology = Topology("bond", bond_mode="802.3ad", legs=2)
    able(topology, state)
    monkeypatch.setattr(Topology, "paired", False)  # the far side is a bridge then, with the legs as its ports

    with (
        pytest.raises(LabBroken, match=r"LACP bundled \{'node': '1'\} of 2 legs"),
        standing(topology, leases_folder=state / "leases"),
    ):
        pytest.fail("it stood")


@pytest.mark.parametrize("ip", [4, 6])
def test_policy_routing_takes_the_second_link_and_not_the_first(state: Path, ip: int) -> None:
    """By destination alone the traffic would take the first."""
    with standing(Topology("routed", ip=ip, policy=True), leases_folder=state / "leases") as lab:
        measured, before, after = _measured(lab)

    def passed(device: str) -> int:
        return after["node"].devices[device]["tx_bytes"] - before["node"].devices[device]["tx_bytes"]

    assert passed("leg-2") >= measured.delivered_bytes
    assert passed("leg-1") < 100_000


@pytest.mark.parametrize("ip", [4, 6])
@pytest.mark.parametrize("forward", [False, True])
def test_nat_translates_the_side_that_it_should(state: Path, ip: int, forward: bool) -> None:
    """The node's own table of connections says which addresses it exchanged."""
    with standing(Topology("nat", ip=ip, forward=forward), leases_folder=state / "leases") as lab:
        _measured(lab)
        counted = counters.read(lab.hosts, asking.beside(lab, lab.read()))["node"].connections
        family = "ipv6" if ip == 6 else "ipv4"
        listed = lab.nodes[0].run(Command(("conntrack", "-L", "-p", "tcp", "-f", family))).require().stdout
        carryover.neutralise(lab)
        left = lab.nodes[0].run(Command(("conntrack", "-L", "-p", "tcp", "-f", family))).require().stdout
        expected = (lab.reached(lab.a, lab.b), lab.reached(lab.b, lab.a))
    words = dict(reversed([word.split("=", 1) for word in listed.split() if "=" in word]))  # the first of each name
    answers = dict(word.split("=", 1) for word in listed.split() if "=" in word)  # the last: the reply's

    assert (words["src"], words["dst"]) == (lab.a.address, expected[0])
    assert (answers["src"], answers["dst"]) == (lab.b.address, expected[1])
    assert lab.a.address not in left
    assert 0 < counted["count"] < counted["max"]


def test_a_shaped_link_gives_its_rate_and_no_more(state: Path) -> None:
    """200 Mbit/s of bits on the wire, so a little less of goodput."""
    topology = topologies(document.read("- {kind: bridge, rate_mbit: 200}", "x.yaml"))[0]
    with standing(topology, leases_folder=state / "leases") as lab:
        measured, _, _ = _measured(lab)
    goodput = next(each.value for each in measured.samples if each.metric == "goodput")

    assert 150e6 < goodput < 202e6


def test_rules_of_a_firewall_stand_and_are_counted(state: Path) -> None:
    """As facts of the node, by which a treatment and its undo are judged."""
    for hook, family in (("bridge", "bridge"), ("inet", "inet")):
        topology = topologies(document.read(f"- {{kind: firewall, rules: 300, hook: {hook}}}", "x.yaml"))[0]
        with standing(topology, leases_folder=state / "leases") as lab:
            facts = lab.read()["node"].facts

        assert facts[f"firewall/{family}/rules"] == "300"
        assert facts[f"nft/{family} nettune chain forward"].startswith("301 lines, ")


def test_traffic_beside_the_path_is_found_out(state: Path) -> None:
    """Bytes that did not cross the lab's devices void the trial."""
    with standing(Topology("bridge"), leases_folder=state / "leases") as lab:
        before = counters.read(lab.hosts)
        measured = Tcp("tcp", 0.6, 0.2, 1, "forward", "", 0).measure(Pair(lab.a, lab.b, 20001, 30001))

    with pytest.raises(Untrusted, match="wrong path"):
        path_was_taken(lab.path, measured, before, before)


def test_two_labs_of_one_topology_have_equal_facts(state: Path) -> None:
    """A resumed run finds the facts that it left."""
    sheets = []
    for _ in range(2):
        with standing(Topology("routed"), leases_folder=state / "leases") as lab:
            sheets.append(lab.read())

    assert differences(*sheets) == ()


def test_the_machine_itself_is_left_alone(state: Path) -> None:
    """Links, addresses, routes, rules, sysctls and modules of the machine are the same after a lab as before."""
    local = Local()

    def machine() -> tuple[dict[str, str], str]:
        facts = dict(state_of(local))
        return facts, local.run(Command(("cat", "/proc/modules"))).stdout

    before = machine()
    with standing(Topology("routed"), leases_folder=state / "leases"):
        during = machine()
    capability.answers(local, state / "leases")
    after = machine()

    assert before == during
    assert before == after


def state_of(local: Local) -> dict[str, str]:
    """The machine's own state, without neighbours that come and go by themselves."""
    sheet = state.read({local: ()})[local.name]
    return {key: value for key, value in sheet.facts.items() if "/neigh" not in key}


def test_a_killed_lab_is_reaped_and_a_living_one_is_not(state: Path) -> None:
    """SIGKILL leaves namespaces and a lease; reap removes those, and only those."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from bench.labs.namespaces import standing; from bench.labs.topology import Topology\n"
        "from bench.hosts.command import Command\n"
        "with standing(Topology('bridge'), leases_folder=Path(sys.argv[1])) as lab:\n"
        "    server = lab.b.host.start(Command(('iperf3', '-s'), deadline_s=100))\n"
        "    print('up', flush=True); time.sleep(100)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(state / "leases")], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    killed.stdout.readline()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    local = Local()
    with standing(Topology("direct"), leases_folder=state / "leases") as living:
        done = lease.reap(state / "leases", lambda _, name: lease.remove_namespace(local, name))
        answer = living.a.host.run(Command(("ip", "link", "show", "eth0")))
    again = lease.reap(state / "leases", lambda _, name: lease.remove_namespace(local, name))

    assert [len(each.removed) for each in done] == [3]
    assert answer.ok
    assert again == ()
    assert list((state / "leases").iterdir()) == []


def test_a_lab_that_cannot_be_built_leaves_nothing(state: Path) -> None:
    """An error halfway (an MTU that no bridge takes) removes what was made, and says what was tried."""
    with (
        pytest.raises(Exception, match="ip -batch"),
        standing(Topology("bridge", 65600), leases_folder=state / "leases"),
    ):
        pass  # pragma: no cover - never stands

    assert list((state / "leases").iterdir()) == []


def test_capabilities_are_answered_by_trying(state: Path) -> None:
    """Every kind has an answer; what is not there has a reason and a command."""
    answers = capability.answers(Local(), state / "leases")

    assert {each.name for each in answers} == {each.name for each in capability.CAPABILITIES}
    assert [each.name for each in answers if each.word != "yes" and not (each.reason and each.command)] == []
    assert next(each.word for each in answers if each.name == "bridge") == "yes"


def test_a_namespace_whose_holder_died_is_unreachable_at_once(state: Path) -> None:
    """Commands to a lab that somebody reaped fail by name in place of hanging."""
    from bench.hosts.command import Unreachable

    with standing(Topology("direct"), leases_folder=state / "leases") as lab:
        for pid in Local().run(Command(("ip", "netns", "pids", lab.a.host.netns))).stdout.split():  # type: ignore[attr-defined]  # a Namespace here
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)
        with pytest.raises(Unreachable, match="gone"):
            lab.a.host.run(Command(("true",)))
