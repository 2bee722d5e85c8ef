"""Channels and rings: read as facts, set by ethtool, refused beyond what the driver takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.sheet import Difference, FactSheet
from bench.facts.state import parse_numbers
from tests.unit.bench.fakes import lab
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, knob_for, owner

# `ethtool -g` and `-l` of virtio-net with two queues (ethtool 6.1).
RINGS = """\
Ring parameters for eth0:
Pre-set maximums:
RX:\t\t1024
RX Mini:\tn/a
RX Jumbo:\tn/a
TX:\t\t256
Current hardware settings:
RX:\t\t1024
RX Mini:\tn/a
RX Jumbo:\tn/a
TX:\t\t256
RX Buf Len:\t\tn/a
CQE Size:\t\tn/a
TX Push:\toff
"""
CHANNELS = """\
Channel parameters for eth0:
Pre-set maximums:
RX:\t\tn/a
TX:\t\tn/a
Other:\t\tn/a
Combined:\t2
Current hardware settings:
RX:\t\tn/a
TX:\t\tn/a
Other:\t\tn/a
Combined:\t2
"""
FACTS = parse_numbers("ring", "eth0", RINGS) | parse_numbers("channel", "eth0", CHANNELS)


def test_rings_and_channels_are_facts_with_their_most() -> None:
    """What a device does not have is no fact."""
    assert FACTS == {
        "ring/eth0/rx-most": "1024", "ring/eth0/tx-most": "256", "ring/eth0/rx": "1024", "ring/eth0/tx": "256",
        "channel/eth0/combined-most": "2", "channel/eth0/combined": "2",
    }  # fmt: skip
    assert parse_numbers("ring", "veth0", "") == {}


@given(st.text())
def test_whatever_ethtool_prints_gives_facts_or_none(text: str) -> None:
    """An older or newer ethtool breaks no reading."""
    assert all(value.isdecimal() for value in parse_numbers("ring", "eth0", text).values())


def test_they_are_set_at_the_guests_and_owned_by_their_knob() -> None:
    """One Change a guest; the command is ethtool's."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, FACTS if host.name in "ab" else {}) for host in here.hosts}
    knob = KNOBS["rx-ring"]
    changes = knob.changes("rx-ring", "512", here, "guest", sheets)

    assert changes == (Change("a", "ring/eth0/rx", "512"), Change("b", "ring/eth0/rx", "512"))
    assert [command.argv for command in knob.writes(changes[:1])] == [("ethtool", "-G", "eth0", "rx", "512")]
    assert owner("ring/eth0/rx") is knob
    assert owner("channel/eth0/combined") is knob_for("channels")


@pytest.mark.parametrize(
    ("setting", "value", "target", "problem"),
    [
        ("channels", "4", "guest", "a/eth0 takes at most 2"),
        ("tx-ring", "512", "guest", "a/eth0 takes at most 256"),
        ("rx-ring", "512", "node", "no device on the target 'node' has rx-ring"),
    ],
)
def test_what_no_driver_takes_is_refused_by_name(setting: str, value: str, target: str, problem: str) -> None:
    """The device, what it takes, what was asked."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, FACTS if host.name in "ab" else {}) for host in here.hosts}

    with pytest.raises(NotSettable, match=problem):
        KNOBS[setting].changes(setting, value, here, target, sheets)  # type: ignore[arg-type]  # a word of Target


def test_what_a_driver_moves_with_its_queues_is_explained() -> None:
    """Queues that come and go with channels, and nothing of another kind."""
    channels, ring = KNOBS["channels"], KNOBS["rx-ring"]

    assert channels.explains("channels", Difference("a", "queue/eth0/tx-1/xps_cpus", "2", None))
    assert channels.explains("channels", Difference("a", "link/eth0/num_tx_queues", "2", "1"))
    assert ring.explains("rx-ring", Difference("a", "ring/eth0/tx", "256", "512"))
    assert not ring.explains("rx-ring", Difference("a", "link/eth0/mtu", "1500", "9000"))


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "", "10000000"])
def test_what_is_no_count_is_refused_before_any_host_is_asked(value: str) -> None:
    """From 1 up."""
    assert "no number from 1 up" in KNOBS["channels"].problem("channels", value)


@pytest.mark.parametrize(
    ("table", "value", "problem"),
    [
        ("weight 96 32", "1", "needs 2 channels"), ("equal 2 start 1", "2", "needs 3 channels"),
        ("custom 1 0 1 0", "2", "ethtool cannot write back"),
        ("weight 96 32", "2", ""), ("equal 1", "1", ""), ("default", "1", ""), ("", "1", ""),
    ],
)  # fmt: skip
def test_channels_that_cost_a_chosen_rss_table_are_refused(table: str, value: str, problem: str) -> None:
    """The kernel refuses fewer than the table needs; what a driver may reset must be one that can be written again."""
    here = lab()
    facts = {**FACTS, **({"rss/eth0/table": table} if table else {}), "channel/eth0/combined-most": "4"}
    sheets = {host.name: FactSheet(host.name, facts if host.name in "ab" else {}) for host in here.hosts}
    channels = KNOBS["channels"]

    if problem:
        with pytest.raises(NotSettable, match=problem):
            channels.changes("channels", value, here, "guest", sheets)
    else:
        assert channels.changes("channels", value, here, "guest", sheets)[0].wanted == value


def test_rss_that_a_driver_resets_with_its_queues_is_explained() -> None:
    """With channels and with rings, and by no MTU."""
    lost = Difference("a", "rss/eth0/table", "weight 96 32", "default")

    assert KNOBS["channels"].explains("channels", lost)
    assert KNOBS["tx-ring"].explains("tx-ring", lost)
    assert not KNOBS["mtu"].explains("mtu", lost)
