"""The `failover` probe: what switches amount to, and what a plan may ask."""

from dataclasses import replace

import pytest

from bench import document
from bench.plan import Plan, parse
from bench.probes.failover import Failover, Switch
from bench.probes.outages import Packet, Train
from bench.probes.probe import Measured, Pair
from results.errors import WrongInput
from tests.unit.bench import fakes
from tuning.knobs.table import check

PROBE = Failover("failover", "link-down", 2, 2.0, 2.0, 0.5)
LAB = fakes.lab()
PAIR = Pair(LAB.a, LAB.b, 20001, 30001)


def _switch(cut_ms: int, *, back_ms: int = 0, pace_ms: int = 1, returning_ms: int = 0) -> Switch:
    """A train of 6 s: cut at 1 s for `cut_ms` there and `back_ms` on the way back, and at 3 s for `returning_ms`."""

    def within(at: int, since: int, ms: int) -> bool:
        return since <= at < since + ms

    packets = [
        Packet(100 + at / 1e3, within(at, 1000, cut_ms) or within(at, 3000, returning_ms), within(at, 1000, back_ms))
        for at in range(0, 6000, pace_ms)
    ]
    received = sum(not packet.forward for packet in packets)
    returned = sum(not (packet.forward or packet.back) for packet in packets)
    return Switch("leg-1", 101.0, 103.0, 0.05, Train(tuple(packets), received, returned))


def _values(measured: Measured) -> dict[tuple[str, str], float]:
    return {(sample.metric, sample.direction): sample.value for sample in measured.samples}


def test_outages_are_told_for_each_way_and_for_both() -> None:
    """The first sample of a metric, which is compared, is the worse of both."""
    measured = PROBE.measured([_switch(100, back_ms=100), _switch(300, back_ms=200)], PAIR)
    found = _values(measured)

    assert found["outage_max", "-"] == found["outage_max", "a>b"] == pytest.approx(0.301)
    assert found["outage_max", "b>a"] == pytest.approx(0.201)
    assert found["outage_p50", "-"] == pytest.approx(0.201)
    assert found["lost_packets", "a>b"] == 400
    assert found["held", "-"] == 1
    assert measured.flags == ()
    assert measured.samples[0].metric == "outage_max"


def test_an_outage_above_the_limit_does_not_hold_and_is_named() -> None:
    """With its leg, its kind and the switch."""
    measured = PROBE.measured([_switch(100), _switch(900)], PAIR)

    assert _values(measured)["held", "-"] == 0
    assert measured.flags == (
        (
            "failover did not hold: 1 of 2 outages were longer than 0.5 s; the longest took 0.90 s (leg-1, link-down, "
            "switch 2)"
        ),
    )


def test_what_is_lost_at_the_return_is_told_apart() -> None:
    """A leg that comes back can cut the path too."""
    found = _values(PROBE.measured([_switch(10, returning_ms=40), _switch(10)], PAIR))

    assert found["outage_return_max", "-"] == pytest.approx(0.041)
    assert found["outage_max", "-"] == pytest.approx(0.041)


def test_what_was_lost_before_the_leg_failed_is_no_outage_of_it() -> None:
    """It was over before, by more than the clocks may differ."""
    early = replace(_switch(100), cut_s=101.5)

    assert early.seconds() == 0.0


def test_a_switch_without_loss_is_no_outage() -> None:
    """As where another leg carries the packets."""
    found = _values(PROBE.measured([_switch(0), _switch(0)], PAIR))

    assert (found["outage_max", "-"], found["lost_packets", "-"], found["held", "-"]) == (0, 0, 1)


def test_a_slow_sender_is_told() -> None:
    """No outage shorter than its pace can be seen."""
    measured = PROBE.measured([_switch(100, pace_ms=5)] * 2, PAIR)

    assert measured.flags == ("failover: a packet every 5.0 ms, not every 1 ms",)


PLAN = """name: legs
lab: {provider: qemu, nodes: on}
topologies: [{kind: bond, mode: active-backup, legs: 2}]
probes: [{kind: failover, switches: 3}]
primary: failover.outage_max
treatments: {}
blocks: 2
"""


def _plan(old: str = "", new: str = "") -> Plan:
    return parse(document.read(PLAN.replace(old, new) if old else PLAN, "legs.yaml"), check=check)


def test_a_plan_may_have_a_check_alone() -> None:
    """No treatment: the primary metric is compared with itself."""
    plan = _plan()

    assert plan.design.metrics == ("failover.outage_max", "failover.outage_p50", "failover.outage_return_max")
    assert "failover.held" in plan.design.definitions


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{kind: bond, mode: active-backup, legs: 2}", "bridge", "failover needs a bond of mode active-backup"),
        ("active-backup", "balance-rr", "bond-balance-rr-2legs is none"),
        ("switches: 3", "leg: 3", "there is no leg 3 of 2"),
        ("switches: 3", "how: pulled", "'pulled' is none of link-down, tap-removed, silent"),
        ("switches: 3", "switches: 0", "0 is outside"),
        ("failover.outage_max", "failover.held", "failover.held"),
    ],
)
def test_what_cannot_fail_over_is_refused_by_name(old: str, new: str, words: str) -> None:
    """With line and key."""
    with pytest.raises(WrongInput, match=words):
        _plan(old, new)


def test_a_tap_can_be_removed_only_where_there_is_one() -> None:
    """Legs between namespaces are veth pairs, also where the ends are guests."""
    asked = PLAN.replace("switches: 3", "how: tap-removed")

    assert parse(document.read(asked, "legs.yaml"), check=check).probes
    for lab in ("{provider: qemu}", "{provider: netns}"):
        other = asked.replace("{provider: qemu, nodes: on}", lab)
        with pytest.raises(WrongInput, match="hang on no taps"):
            parse(document.read(other, "legs.yaml"), check=check)
