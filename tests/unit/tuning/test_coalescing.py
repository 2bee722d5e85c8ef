"""Coalescing: facts, set in one call, refused where there is none. On a transcript of virtio-net (ethtool 6.1)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import coalescing, part, state
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, FactSheet
from bench.hosts.command import Command, Outcome
from tests.unit.bench.fakes import lab
from tests.unit.tuning.surveyed import TRANSCRIPT
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, check, owner

VIRTIO = next(
    row["stdout"]
    for row in json.loads(TRANSCRIPT.read_text(encoding="utf-8"))["outcomes"]
    if row["argv"] == ["ethtool", "-c", "eth0"]
)
FACTS = {
    "coalesce/eth0/adaptive-rx": "off", "coalesce/eth0/rx-usecs": "0", "coalesce/eth0/rx-frames": "1",
    "coalesce/eth0/tx-usecs": "0", "coalesce/eth0/tx-frames": "1",
}  # fmt: skip
# The same with both adaptive switches, as NICs with hardware moderation print it (the format of ethtool 6.1).
ADAPTIVE = VIRTIO.replace("Adaptive RX: off  TX: n/a", "Adaptive RX: on  TX: on").replace("rx-usecs: 0", "rx-usecs: 50")
KNOB = KNOBS["coalescing"]


def test_what_a_nic_has_are_facts_and_the_rest_is_none() -> None:
    """n/a is no fact; a device without coalescing prints nothing on standard output."""
    assert coalescing.parse("eth0", VIRTIO) == FACTS
    assert coalescing.parse("eth0", ADAPTIVE)["coalesce/eth0/adaptive-tx"] == "on"
    assert coalescing.parse("veth0", "") == {}


def test_it_is_part_of_a_machines_state_and_not_of_a_namespaces() -> None:
    """A question more per device of a machine, in the same round trip; a veth costs nothing."""
    question = Command(("ethtool", "-c", "eth0"))
    answer = Outcome(question, "pve1", 0, VIRTIO, "", 0.0)

    assert question in state.questions(["eth0"], machine=True)
    assert question not in state.questions(["eth0"])
    assert state.parse([answer]) == FACTS
    assert part.questions(["coalesce/eth0/rx-usecs", "coalesce/eth0/tx-usecs"]) == (question,)
    assert part.renewed({**FACTS, "coalesce/eth0/gone": "1"}, ["coalesce/eth0/gone"], [answer]) == FACTS
    assert device_of("coalesce/eth0/rx-usecs") == "eth0"


def test_all_of_a_device_is_set_in_one_call() -> None:
    """A fixed delay and adaptive mode belong together: some drivers refuse one alone."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, FACTS if host.name in "ab" else {}) for host in here.hosts}
    changes = [
        KNOB.changes(word, value, here, "guest", sheets)[0]
        for word, value in (("adaptive-rx", "off"), ("rx-usecs", "8"))
    ]

    assert changes == [
        Change("a", "coalesce/eth0/adaptive-rx", "off"),
        Change("a", "coalesce/eth0/rx-usecs", "8"),
    ]
    assert [command.argv for command in KNOB.writes(changes)] == [
        ("ethtool", "-C", "eth0", "adaptive-rx", "off", "rx-usecs", "8")
    ]
    assert owner("coalesce/eth0/rx-usecs") is KNOB
    assert KNOB.explains("rx-usecs", Difference("a", "coalesce/eth0/tx-usecs", "0", "8"))
    assert not KNOB.explains("rx-usecs", Difference("a", "ring/eth0/rx", "256", "512"))


def test_a_lab_without_it_is_refused_by_name() -> None:
    """A node's taps and bridges have none."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, {}) for host in here.hosts}

    with pytest.raises(NotSettable, match=r"no device on the target 'node' has rx-usecs \(`ethtool -c` says n/a"):
        KNOB.changes("rx-usecs", "8", here, "node", sheets)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("rx-usecs", "-1", "rx-usecs '-1' is no whole number of microseconds"),
        ("rx-frames", "many", "rx-frames 'many' is no whole number of frames"),
        ("adaptive-rx", "1", "adaptive-rx takes on or off, not '1'"),
        ("rx-usecs", "50", ""),
        ("adaptive-tx", "off", ""),
    ],
)
def test_values_are_checked_before_any_host_is_asked(setting: str, value: str, problem: str) -> None:
    """By the plan's own check."""
    assert check(setting, value) == (problem, "")


@given(st.text())
def test_whatever_ethtool_prints_gives_facts_or_none(text: str) -> None:
    """An older or newer ethtool breaks no reading."""
    found = coalescing.parse("eth0", text).values()

    assert all(value in {"on", "off"} or value.isdecimal() for value in found)
