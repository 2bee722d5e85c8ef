"""CPUs of a NIC's interrupts: facts, what a value deals, where it is refused. On text in the kernel's format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import irqs, state
from bench.facts.sheet import Difference, FactSheet, Sheets
from bench.hosts.command import Outcome
from tests.unit.bench.fakes import FakeHost, lab
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, check, owner
from tuning.surroundings import repairs

TEXT = """\
eth0 near 2-3
eth0 virtio1-config 0-3
eth0 virtio1-input.0 0-3
eth0 virtio1-input.0/on 2
eth0 virtio1-output.0 0-3
eth0 virtio1-input.1 1
eth0 virtio1-output.1 1
"""
V = "irq/eth0/virtio1-"
FACTS = {"irq/eth0/near": "2-3", f"{V}config": "0-3", f"{V}input.0": "0-3", f"{V}input.0/on": "2",
         f"{V}output.0": "0-3", f"{V}input.1": "1", f"{V}output.1": "1"}  # fmt: skip
KNOB = KNOBS["smp_affinity_list"]


def _sheets(facts: dict[str, str]) -> Sheets:
    return {host.name: FactSheet(host.name, facts if host.name == "a" else {}) for host in lab().hosts}


def _refusing(*, balancer: bool) -> FakeHost:
    return FakeHost("a", answer=lambda command: (0 if balancer or command != irqs.BALANCER else 1, ""))


def test_they_are_facts_where_nobody_moves_them() -> None:
    """Each of a device's interrupts, and the CPUs near it."""
    question = irqs.question(("eth0",))

    assert irqs.parse(TEXT) == FACTS
    assert state.parse([Outcome(question, "a", 0, TEXT, "", 0.0)]) == FACTS
    assert question in state.questions(["eth0"], interrupts=True)
    assert question not in state.questions(["eth0"], machine=True)


@pytest.mark.parametrize(
    ("value", "expected"), [("spread", ["2", "2", "3", "3"]), ("0", ["0"] * 4), ("5,1-2", ["5", "5", "1", "1"])]
)
def test_queues_are_dealt_both_ways_together(value: str, expected: list[str]) -> None:
    """The interrupt of the configuration stays where it is."""
    here = lab(a=_refusing(balancer=False))
    changes = KNOB.changes("smp_affinity_list", value, here, "guest", _sheets(FACTS))
    names = ("input.0", "output.0", "input.1", "output.1")

    assert changes == tuple(Change("a", V + name, cpu) for name, cpu in zip(names, expected, strict=True))
    assert KNOB.writes(changes)[0].argv[-2:] == ("virtio1-input.0", expected[0])
    assert owner(f"{V}input.0") is KNOB


@pytest.mark.parametrize(
    ("name", "queue"),
    [("virtio1-input.0", 0), ("ens1f0-TxRx-3", 3), ("i40e-eth0-TxRx-12", 12), ("mlx5_comp3@pci:0000:01:00.0", 3),
     ("eth0-rx-1", 1), ("virtio1-config", None), ("mlx5_async0@pci:0000:01:00.0", None), ("ens1f0", None)],
)  # fmt: skip
def test_a_queue_is_known_by_the_interrupts_name(name: str, queue: int | None) -> None:
    """As drivers call them in /proc/interrupts."""
    assert irqs.queue(f"irq/eth0/{name}") == queue


def test_it_is_refused_where_irqbalance_runs_and_where_there_are_none() -> None:
    """Named with the host; a veth has no interrupts."""
    for facts, balancer, words in ((FACTS, True, "irqbalance runs on a"), ({}, False, "has interrupts")):
        with pytest.raises(NotSettable, match=words):
            KNOB.changes("smp_affinity_list", "spread", lab(a=_refusing(balancer=balancer)), "guest", _sheets(facts))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("spread", ""),
        ("0-3,8", ""),
        ("ff", "neither spread nor a list"),
        ("3-1", "3-1 runs backwards"),
        ("", "neither"),
    ],
)
def test_a_value_is_checked_before_any_host_is_asked(value: str, words: str) -> None:
    """Masks are another file's."""
    problem = check("smp_affinity_list", value)[0]

    assert words in problem
    assert bool(problem) == bool(words)


def test_queues_that_came_back_get_their_cpus_again() -> None:
    """What channels and rings drag along is explained by them, and put back; an interrupt that is gone cannot be."""
    moved = [Difference("a", f"{V}input.0", "0-3", "1"), Difference("a", f"{V}input.0/on", "2", "1")]
    gone = Difference("a", f"{V}input.1", "1", None)

    assert repairs([*moved, gone]) == (irqs.writing(moved[0].key, "0-3"), irqs.writing(moved[0].key, "2"))
    assert all(KNOBS[name].explains(name, each) for each in moved for name in ("channels", "rx-ring", "vm-queues"))
    assert [KNOB.owns(each.key) for each in moved] == [True, False]
    assert KNOB.explains("smp_affinity_list", moved[1])
    assert not KNOB.owns("irq/eth0/near")


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_list_of_cpus_is_read_as_the_kernel_writes_it(parts: list[tuple[int, int]]) -> None:
    """bitmap_print_to_pagebuf: numbers and ranges with commas."""
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in parts)

    assert irqs.cpus_of(text) == tuple(cpu for first, more in parts for cpu in range(first, first + more + 1))


def test_the_cpu_that_serves_is_the_kernel_s_choice_among_those_that_may() -> None:
    """An idle NIC's interrupt stays where it is; one that is served elsewhere is a difference."""
    facts = {"irq/eth0/rx-0": "0-1", "irq/eth0/rx-0/on": "1", "irq/eth0/rx-1": "0", "irq/eth0/rx-1/on": "1"}

    found = [irqs.chosen(key, facts) for key in (*facts, "irq/eth0/gone/on", "link/eth0/on")]
    assert found == [False, True, False, False, False, False]
