"""Pairs of VMs as they are reached and looked at, without a cluster: what fails, what does not meet, what is said."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from bench.capacity import vms, watching
from bench.capacity.on_nodes import OnNodes
from bench.capacity.safety import Safety
from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.login import Login
from bench.hosts.shell import MARKER
from bench.labs.inventory import Machine
from bench.labs.lab import Endpoint
from bench.labs.standing import LabBroken
from bench.labs.topology import PVE, Topology
from bench.pve import preflight
from bench.pve.access import Access
from bench.pve.deployment import Cluster
from bench.pve.errors import PveFault
from bench.pve.strangers import Watch
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.pve_api import OF, Api

PATH = Topology(PVE, 1400, net=(("bridge", "vmbr0"),))
TWO = OnNodes(
    replace(OF, addresses=tuple(f"192.0.2.{n}/24" for n in range(10, 14))), PATH, (("pve1", "pve1"), ("pve1", "pve2"))
)


def test_ends_that_came_up_are_closed_also_where_another_did_not() -> None:
    """The first error is raised; nothing stays open."""
    closed: list[int] = []

    def end(number: int) -> tuple[contextlib.ExitStack, vms._End]:
        if number in {2, 4}:
            raise LabBroken(f"end {number} is silent")
        own = contextlib.ExitStack()
        own.callback(closed.append, number)
        return own, cast("vms._End", number)

    with pytest.raises(LabBroken, match="end 2 is silent"), contextlib.ExitStack() as stack:
        vms._side_by_side(stack, end, range(6))
    with contextlib.ExitStack() as stack:
        fine = vms._side_by_side(stack, end, [0, 1])

    assert sorted(closed) == [0, 0, 1, 1, 3, 5]
    assert len(fine) == 2


def ends(answer: Callable[[Command], tuple[int, str]]) -> tuple[list[Endpoint], list[Endpoint]]:
    """Two pairs whose hosts answer so, in batches of one."""

    def batched(command: Command) -> tuple[int, str]:
        code, text = answer(command)
        return 0, f"{text}\n{MARKER} {code}\n"

    class Batching(FakeHost):
        """Ends each answer on standard error too."""

        def run(self, command: Command) -> Outcome:
            """See Host.run."""
            return replace(super().run(command), stderr=f"\n{MARKER}\n")

    made = [Endpoint(Batching(f"{side}{n}", batched), "eth0", f"192.0.2.{n}") for side in "cs" for n in (1, 2)]
    return made[:2], made[2:]


def test_pairs_that_do_not_meet_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what may hold packets back; and an MTU that is another than the plan's."""
    monkeypatch.setattr(vms, "_UP_S", 0.0)

    with pytest.raises(LabBroken, match=r"c1 does not reach s1 at 192\.0\.2\.1, c2 does not reach s2"):
        vms._meet(*ends(lambda _: (1, "")), 1400)
    with pytest.raises(LabBroken, match="c1 has an MTU of 1500, the plan's path 1400"):
        vms._meet(*ends(lambda _: (0, "1500")), 1400)
    vms._meet(*ends(lambda _: (0, "1400")), 1400)


def test_what_would_be_made_is_shown_with_names_and_nodes() -> None:
    """A line for each guest."""
    shown = vms.commands(TWO)

    assert [node for node, _ in shown] == ["pve1", "pve1", "pve1", "pve2"]
    assert [line.split(": ")[1].split(",")[0] for _, line in shown] == [
        "nettune-c1", "nettune-s1", "nettune-c2", "nettune-s2"]  # fmt: skip
    assert "address 192.0.2.13/24" in shown[3][1]


def test_a_run_says_whose_cpu_it_has_and_whose_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """By node; and where each pair stood."""
    machine = Machine("pve1", cast("Login", None), ())
    told: list[tuple[str, ...]] = []
    for seen in ({"pve1": machine}, {}):
        monkeypatch.setattr(vms, "load", lambda _, seen=seen: Cluster(cast("Access", None), seen))
        told.append(vms.notes(TWO))

    assert "pairs 1: pve1, 2: pve1 to pve2." in told[0][0]
    assert told[0][1].startswith("CPU is that of pve1,")
    assert told[0][2].startswith("Of pve2 and of what else it carries only")
    assert told[1][1].startswith("CPU was not seen")
    assert told[1][2].startswith("Of pve1 and pve2 and")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([{"cpu": 0.9}] * 2, "the CPUs of pve1 were 90 % busy, and --max-host-cpu allows 70 %"),
        ([{"cpu": 0.9}, {"cpu": 0.1}], ""),
        ([{"cpu": 0.9}, PveFault("GET x", 595, "No route to host")], "the nodes cannot be watched any more: GET x"),
        ([{}], "the nodes cannot be watched any more: GET /nodes/pve1/status: it tells no CPU"),
    ],
)
def test_a_node_without_ssh_is_looked_at_by_the_api(answers: list[object], said: str) -> None:
    """One that does not answer under load has enough."""
    api = Api({"/cluster/resources": []})
    of = OnNodes(OF, PATH, (("pve1", "pve1"),))
    trouble = vms._trouble(api, of, {}, Safety(0.7), Watch(api, ("pve1",), shared_host=False))
    found = ""
    for each in answers:
        api.answers["/nodes/pve1/status"] = each
        found = trouble()

    assert found.startswith(said) if said else found == ""


def test_a_ceiling_that_could_not_be_watched_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody learns under load that a node tells nothing."""
    monkeypatch.setattr(preflight, "refuse", lambda *_: None)
    api = Api({"/nodes/pve1/status": {}})
    of = OnNodes(OF, PATH, (("pve1", "pve1"),))

    with pytest.raises(NotAble, match="GET /nodes/pve1/status: it tells no CPU") as raised:
        vms._looked_at(api, of, Cluster(cast("Access", None), {}), Safety(0.7), lambda _: None, 9)
    assert "Sys.Audit" in raised.value.hint
    assert not isinstance(raised.value, HostFault)


@pytest.mark.parametrize(("seconds", "others", "said"), [(2.6, False, ""), (2.4, False, "2"), (2.6, True, "3")])
def test_steps_that_are_over_before_a_guard_says_anything_are_refused(
    monkeypatch: pytest.MonkeyPatch, seconds: float, others: bool, said: str
) -> None:
    """A ceiling takes two looks a second apart, others' guests three."""
    monkeypatch.setattr(preflight, "refuse", lambda *_: None)
    rows = [{"type": "qemu", "node": "pve1", "vmid": 100, "name": "x", "status": "running"}] if others else []
    api = Api({"/nodes/pve1/status": {"cpu": 0.1}, "/cluster/resources": rows, "/access/permissions": {}})
    asked = (api, OnNodes(OF, PATH, (("pve1", "pve1"),)), Cluster(cast("Access", None), {}),
             Safety(0.7, shared_host=True), lambda _: None, watching.looks((0.3, seconds), 1.0))  # fmt: skip
    seen = ""
    try:
        vms._looked_at(*asked)
    except (NotAble, KeyError) as error:
        seen = str(error)

    assert f"it takes {said} to end it" in seen if said else "to end it" not in seen
