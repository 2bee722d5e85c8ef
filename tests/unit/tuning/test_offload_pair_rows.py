"""Rows that are no feature's: connections over queues; LRO where the device forwards."""

import random
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.sheet import FactSheet
from tests.unit.tuning.offload_made import PLAIN, SUPER, nic, observed, result
from tuning.offload import blaming, cases, datagrams, inventory, judging, pair, validating
from tuning.offload import spread as spread_taps
from tuning.offload.arms import Arm
from tuning.offload.cases import FLOWS, judged, shared, spread
from tuning.offload.evidence import FeatureVerdict, Observed, Verdict
from tuning.offload.inventory import Nic
from tuning.offload.validating import Seen, Wanted


def _over(queues: Mapping[int, int]) -> list[list[int]]:
    """[number, queue] rows, so many connections a queue."""
    every = [queue for queue, count in queues.items() for _ in range(count)]
    return [list(each) for each in enumerate(every)]


def _nic(count: int) -> Nic:
    return replace(nic(), identity={"channels combined": str(count)})


SHARED: dict[str, tuple[int, Mapping[int, int], str]] = {
    "over all": (4, {0: 16, 1: 16, 2: 16, 3: 16}, "works"),
    "over one": (4, {2: 64}, "claimed but not engaged"),
    "over some": (4, {0: 32, 3: 32}, "can't be judged here"),
    "of one queue": (1, {0: 64}, "not present"),
    "unseen": (4, {}, "can't be judged here"),
    "over one of many": (32, {0: 64}, "claimed but not engaged"),
    "over most of many": (32, dict.fromkeys(range(27), 2) | {30: 10}, "works"),
    "over half of many": (32, dict.fromkeys(range(16), 4), "can't be judged here"),
    "more than connections": (128, {each * 2: 1 for each in range(64)}, "works"),
    "more than can be told": (300, {0: 64}, "can't be judged here"),
}


@pytest.mark.parametrize(("count", "queues", "word"), SHARED.values(), ids=SHARED)
@pytest.mark.parametrize("end", ["a", "b"])
def test_connections_over_queues(count: int, queues: Mapping[int, int], word: str, end: str) -> None:
    """What goes out as the sender saw it, what comes in as the taker did."""
    told = {"sent": FLOWS, "queues": _over(queues)}
    results = tuple(result(spread(flow), told, told) for flow in ("out", "in"))
    rows = pair.queue_rows([Observed(Arm("found"), results=results)], _nic(count), end)

    out = "can't be judged here" if word == "claimed but not engaged" else word  # the kernel's choice
    assert {row.direction: row.verdict for row in rows} == {"tx": out, "rx": word}


@pytest.mark.parametrize(
    ("queues", "flows", "least"), [(1, 64, 1), (4, 64, 4), (8, 64, 8), (16, 64, 14), (2, 1, 1), (64, 64, 33)]
)
def test_so_many_queues_have_some_by_chance(queues: int, flows: int, least: int) -> None:
    """Thrown two thousand times, fewer have some in no more than a few."""
    deal = random.Random(1)
    fell = [len({deal.randrange(queues) for _ in range(flows)}) for _ in range(2000)]

    assert cases.fewest(queues, flows) == least
    assert sum(each < least for each in fell) <= 8


def test_the_queues_of_a_table_are_those_that_can_have_some() -> None:
    """What RSS does not name gets nothing; what leaves may take any."""
    identity = {"channels combined": "63", "RSS": "128 entries over 16 queues"}
    found = replace(nic(), identity=identity)

    assert (found.queues("rx"), found.queues("tx")) == (16, 63)


def _segment(payload: int, queue: int) -> bytes:
    """A segment of TCP over IPv4 from port 1000, as the tap keeps it of a queue."""
    whole = 40 + payload
    head = b"\0" * 12 + b"\x08\x00" + struct.pack("!BBHHHBBH", 0x45, 0, whole, 0, 0, 64, 6, 0) + b"\0" * 8
    return (head + struct.pack("!HH", 1000, 2000)).ljust(14 + whole, b"\0")[: spread_taps.KEPT + queue]


@given(st.integers(0, 255))
def test_a_segment_with_payload_tells_any_queue_and_a_short_one_none_but_the_first(queue: int) -> None:
    """What is no longer than what was to be kept would tell a lower one."""
    short = spread_taps._queue(_segment(0, queue), {1000: 7})

    assert spread_taps._queue(_segment(spread_taps.FLOW_BYTES, queue), {1000: 7}) == (7, queue)
    assert short == ((7, queue) if queue < 14 else None)
    assert spread_taps._queue(_segment(400, queue), {1001: 7}) is None


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 15))))
def test_every_connection_is_counted_once(rows: list[tuple[int, int]]) -> None:
    """Whatever its queue."""
    assert sum(shared(rows).values()) == len(rows)


SPREAD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "all": ({}, {}, "ok", "64 connections"),
    "other content": ({}, {"wrong": 3}, "corrupts", "3 of 64"),
    "a queue": ({"queues": [[n, n % 2] for n in range(64)]}, {"numbers": list(range(0, 64, 2))}, "hangs", "queue 1,"),
    "some of each": ({"queues": [[n, n % 2] for n in range(64)]}, {"numbers": list(range(60))}, "drops", "4 of 64"),
    "before any queue": ({"queues": []}, {"numbers": list(range(60)), "queues": [[0, 2]]}, "drops", "by queue 2"),
}


@pytest.mark.parametrize(("sender", "taker", "word", "said"), SPREAD.values(), ids=SPREAD)
def test_connections_that_did_not_come(sender: dict[str, Any], taker: dict[str, Any], word: str, said: str) -> None:
    """Where all of a queue did not, that is named."""
    found = judged(result(spread("out"), {"sent": FLOWS, **sender}, {"numbers": list(range(FLOWS)), **taker}))

    assert (found[0], said in found[1]) == (word, True), found[1]


GRO_ON, PLAIN_GROUND = Arm("plain", "rx-gro", "on"), Arm("plain")
FEW = {**PLAIN, "super_bytes": 80}
GSO: tuple[str, str] = ("in", "gso4")
MERGED: dict[str, tuple[Mapping[str, int], Mapping[str, int], Verdict, str]] = {
    "merged": (SUPER, PLAIN, "works", "merged: 99.5% while rx-gro is on, 0.0% while off"),
    "a few": (FEW, PLAIN, "works", "8.0% while rx-gro is on"),
    "never two together": (PLAIN, PLAIN, "can't be judged here", "0.0% while rx-gro is on"),
    "merged either way": (SUPER, SUPER, "can't be judged here", "99.5% while off"),
    "hardly any came": ({**SUPER, "packets": 3}, PLAIN, "can't be judged here", "while rx-gro is on: 3 packets"),
}


def _datagrams(arm: Arm, watched: Mapping[str, int], **taker: object) -> Observed:
    """An arm in which only those that come in by UDP_SEGMENT look so, and the other end sends none above the MTU."""
    return replace(
        observed(arm, watched=PLAIN),
        results=tuple(
            result(each.case, {"watched": PLAIN}, {"watched": watched, **taker}) if each.case.key == GSO else each
            for each in observed(arm, watched=PLAIN).results
        ),
    )


@pytest.mark.parametrize(("on", "off", "word", "said"), MERGED.values(), ids=MERGED)
def test_datagrams_that_the_kernel_merges_are_a_row_of_their_own(
    on: Mapping[str, int], off: Mapping[str, int], word: Verdict, said: str
) -> None:
    """Some that came together are enough; none proves nothing."""
    arms = [observed(Arm("found")), _datagrams(PLAIN_GROUND, off), _datagrams(GRO_ON, on)]
    (row,) = pair.merged_row(arms, "a", {})

    assert (row.feature, row.direction, row.verdict, said in row.evidence["engaged"]) == ("udp-gro", "rx", word, True)


def test_datagrams_that_merging_spoils_are_laid_to_it() -> None:
    """In the row of their own as in that of `rx-gro`; without `rx-gro` toggled there is none."""
    arms = [observed(Arm("found")), _datagrams(PLAIN_GROUND, PLAIN), _datagrams(GRO_ON, SUPER, wrong=4)]
    blame = blaming.blamed([*arms, observed(Arm("found"))], nic(), "a")
    (row,) = pair.merged_row(arms, "a", blame)

    assert (set(blame), row.verdict, row.at) == ({"rx-gro"}, "corrupts", "on")
    assert pair.merged_row(arms[:1], "a", {}) == []


def test_what_was_merged_is_taken_apart_by_the_size_that_the_kernel_tells() -> None:
    """The last one may be shorter; what comes alone, or without a size, is one."""
    size = [(17, 104, (1200).to_bytes(4, "little"))]

    assert [len(each) for each in datagrams.apart(bytes(2900), size)] == [1200, 1200, 500]
    assert datagrams.apart(b"abc", size) == [b"abc"]
    assert datagrams.apart(b"abc", []) == [b"abc"]
    assert datagrams.apart(b"", size) == [b""]


LRO = FeatureVerdict("rx-lro", "rx", "can't be judged here", {"negotiation": "x"})


@pytest.mark.parametrize(
    ("value", "forwards", "word"),
    [("on", True, "works but harms"), ("off", True, "can't be judged here"), ("on", False, "can't be judged here"),
     ("off [fixed]", True, "can't be judged here")],
)  # fmt: skip
def test_lro_where_the_device_forwards(value: str, forwards: bool, word: str) -> None:
    """On it harms; off it is the kernel's doing; where nothing is forwarded nothing is said."""
    row = judging.under_forwarding(LRO, nic(rx_lro=value), forwards=forwards)

    assert row.verdict == word
    assert ("function" in row.evidence) is (forwards and value != "off [fixed]")


@pytest.mark.parametrize(("value", "forwards", "toggled"), [("off", False, True), ("off", True, False),
                                                            ("on", True, True)])  # fmt: skip
def test_lro_is_not_switched_on_where_the_device_forwards(value: str, forwards: bool, toggled: bool) -> None:
    """Off it is switched always; and no run sets it where either end forwards."""
    own, there = nic(rx_lro=value), nic("b", rx_lro=value)
    listed = validating._listed(own, there, Wanted(features=("rx-lro",)), forwards=forwards)
    sheets = {name: FactSheet(name, {}) for name in ("a", "b")}
    other = FactSheet("b", {"sysctl/net.ipv4.conf.eth0.forwarding": "1"})
    seen = Seen(own, there, "direct", Wanted(), (), None, (), sheets)

    assert ("rx-lro" in {each.feature for each in listed}) is toggled
    assert seen.not_loaded == frozenset()
    assert replace(seen, before={**sheets, "b": other}).not_loaded == {"rx-lro"}


def test_a_device_forwards_where_it_routes_or_is_a_port_of_a_bridge() -> None:
    """Of a bond it is not."""
    told = {
        "routes": {"sysctl/net.ipv4.conf.eth0.forwarding": "1"},
        "routes IPv6": {"sysctl/net.ipv6.conf.eth0.forwarding": "1"},
        "bridged": {"link/eth0/master": "vmbr0", "link/vmbr0/kind": "bridge"},
        "bonded": {"link/eth0/master": "bond0", "link/bond0/kind": "bond"},
        "plain": {"sysctl/net.ipv4.conf.eth0.forwarding": "0"},
    }
    found = {name for name, facts in told.items() if inventory.forwards(FactSheet("a", facts), "eth0")}

    assert found == {"routes", "routes IPv6", "bridged"}
