"""Outages: what is told of a train is what happened to it, and never less."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.probes.outages import Packet, Way, compact, longest, outages, parsed
from tests.unit.bench.recorded import outcomes

STEP_S = 0.001
FATES = {"ok": (False, False), "up": (True, False), "down": (False, True), "unknown": (True, True)}
fates = st.lists(st.sampled_from(list(FATES)), max_size=200)


def _train(words: list[str]) -> list[Packet]:
    return [Packet(STEP_S * place, *FATES[word]) for place, word in enumerate(words)]


@given(fates)
def test_every_lost_packet_is_in_exactly_one_outage(words: list[str]) -> None:
    """Their counts add up, each way, and they do not overlap."""
    packets = _train(words)
    for way in ("forward", "back"):
        found = outages(packets, way)

        assert sum(each.packets for each in found) == sum(packet.lost(way) for packet in packets)
        assert all(a.until_s <= b.since_s + STEP_S for a, b in itertools.pairwise(found))
        assert all(each.over for each in found[:-1])


@given(fates)
def test_an_outage_is_no_shorter_than_from_its_first_to_its_last_packet(words: list[str]) -> None:
    """And longer by no more than one packet on either side where all packets are on their way to the server."""
    for each in outages(_train(words), "forward"):
        assert each.seconds >= (each.packets - 1) * STEP_S - 1e-9
        assert each.seconds <= (each.packets + 1) * STEP_S + 1e-9


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_one_gap_is_found_with_its_length(before: int, lost: int, after: int) -> None:
    """From the last packet that arrived to the first that did again, by when they were sent."""
    found = outages(_train(["ok"] * before + ["unknown"] * lost + ["ok"] * after), "back")

    assert [each.packets for each in found] == [lost]
    assert found[0].seconds == pytest.approx((lost + 1) * STEP_S)
    assert found[0].since_s == pytest.approx((before - 1) * STEP_S)


def test_what_never_got_there_says_nothing_of_the_way_back() -> None:
    """A way is judged by packets that were sent on it: between two losses nothing arrived, so it is one outage."""
    words = ["ok", "down", "up", "up", "down", "ok", "up", "ok"]

    assert [(each.packets, each.over) for each in outages(_train(words), "back")] == [(2, True)]
    assert [each.packets for each in outages(_train(words), "forward")] == [2, 1]


def test_an_outage_to_the_end_is_not_over() -> None:
    """Nobody knows how much longer it would have been."""
    (found,) = outages(_train(["ok", "up", "up"]), "forward")

    assert not found.over
    assert found.seconds == pytest.approx(2 * STEP_S)


def test_the_longest_is_asked_for_within_a_window() -> None:
    """One that was over before does not count, one that began before and goes on does."""
    found = outages(_train(["ok", "up", "up", "up", "ok", "ok", "up", "ok", "ok"]), "forward")

    assert longest(found, since_s=0.0) == found[0]
    assert longest(found, since_s=3.5 * STEP_S) == found[0]
    assert longest(found, since_s=4.5 * STEP_S) == found[1]
    assert longest(found, since_s=8.5 * STEP_S) is None
    assert longest(found, since_s=4.5 * STEP_S, until_s=4.8 * STEP_S) is None


def test_a_recorded_session_has_the_cut_that_was_made() -> None:
    """A packet every 10 ms, both ways silent for 0.2 s: irtt knows the way of each, as the cut is below 64 packets."""
    train = parsed(outcomes("irtt", "cut")[0].stdout)
    (forward,), (back,) = (outages(train.packets, way) for way in ("forward", "back"))

    assert (len(train.packets), train.lost_forward, train.lost_back) == (60, 22, 2)
    assert (forward.packets, back.packets) == (22, 2)
    assert 0.2 < forward.seconds < 0.25
    assert train.pace_s == pytest.approx(0.01, rel=0.1)
    assert compact(train).count(" u\n") == 22


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"round_trips": 3}', '{"round_trips": [{}], "stats": {}}',
     json.dumps({"round_trips": [{"lost": "maybe", "timestamps": {}}], "stats": {}}), "[" * 20_000],
)  # fmt: skip
def test_what_irtt_never_writes_is_refused(text: str) -> None:
    """As one kind of error, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one too, with words of its own
        parsed(text)


def test_ways_are_the_two_that_there_are() -> None:
    """The marks of what is kept tell all four fates apart."""
    way: Way = "back"
    packets = _train(list(FATES))

    assert [packet.lost(way) for packet in packets] == [False, False, True, True]
    assert len({(packet.forward, packet.back) for packet in packets}) == 4
