"""Labs on the real kernel: paths that carry traffic, a machine that is left alone, leftovers that can be removed."""

import os
import signal
import subprocess  # noqa: TID251 - kills a process of its own
import sys
import time
from pathlib import Path

import pytest

from bench.facts import counters, state
from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs import capability, lease
from bench.labs.namespaces import standing
from bench.labs.topology import Kind, Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair
from bench.trust import Untrusted, dropped, path_was_taken


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
