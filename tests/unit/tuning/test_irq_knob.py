"""CPUs of a NIC's interrupts: facts, what a value deals, where it is refused. On text in the kernel's format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import irqs, state
from bench.facts.sheet import Difference, FactSheet, Sheets
from bench.hosts.command import Command, Outcome
from tests.unit.bench.fakes import FakeHost, lab
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, check, owner
from tuning.surroundings import repairs

TEXT = "eth0 near 2-3\neth0 26 0-3\neth0 27 1\neth0 101 0-3\n"
FACTS = {"irq/eth0/near": "2-3", "irq/eth0/26": "0-3", "irq/eth0/27": "1", "irq/eth0/101": "0-3"}
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
    assert irqs.path("irq/eth0/101") == "/proc/irq/101/smp_affinity_list"


@pytest.mark.parametrize(
    ("value", "expected"), [("spread", ["2", "3", "2"]), ("0", ["0", "0", "0"]), ("5,1-2", ["5", "1", "2"])]
)
def test_interrupts_are_dealt_in_the_order_of_their_numbers(value: str, expected: list[str]) -> None:
    """101 comes after 27, not before 26."""
    here = lab(a=_refusing(balancer=False))
    changes = KNOB.changes("smp_affinity_list", value, here, "guest", _sheets(FACTS))

    assert changes == tuple(
        Change("a", f"irq/eth0/{irq}", cpu) for irq, cpu in zip((26, 27, 101), expected, strict=True)
    )
    assert KNOB.writes(changes)[0] == Command(("tee", "/proc/irq/26/smp_affinity_list"), stdin=expected[0])
    assert owner("irq/eth0/26") is KNOB


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
    """What channels drag along is explained by them, and put back; an interrupt that is gone cannot be."""
    moved = Difference("a", "irq/eth0/26", "1", "0-3")

    assert repairs([moved, Difference("a", "irq/eth0/27", "1", None)]) == (
        Command(("tee", "/proc/irq/26/smp_affinity_list"), stdin="1"),
    )
    assert KNOBS["channels"].explains("channels", moved)
    assert not KNOB.owns("irq/eth0/near")


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_list_of_cpus_is_read_as_the_kernel_writes_it(parts: list[tuple[int, int]]) -> None:
    """bitmap_print_to_pagebuf: numbers and ranges with commas."""
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in parts)

    assert irqs.cpus_of(text) == tuple(cpu for first, more in parts for cpu in range(first, first + more + 1))
