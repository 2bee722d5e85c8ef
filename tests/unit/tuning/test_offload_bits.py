"""The kernel's feature bitmaps: read from netlink's bytes, compared, told."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hosts.command import Command, Outcome, Overdue
from tests.unit.bench.fakes import FakeHost
from tests.unit.tuning.offload_made import nic
from tuning.offload import bitmaps, bits, outcomes
from tuning.offload.arms import Arm
from tuning.offload.evidence import Observed

ATTRIBUTES = st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=8)
NAMES = st.lists(st.text("abcdefgh-", min_size=1, max_size=12), unique=True, max_size=6)


@given(ATTRIBUTES)
def test_attributes_are_read_as_they_were_made(told: list[tuple[int, bytes]]) -> None:
    """Padding left out."""
    assert list(bits.attributes(b"".join(bits.attribute(*each) for each in told))) == told


@given(st.binary(max_size=64))
def test_what_is_no_attribute_is_an_error_or_nothing(data: bytes) -> None:
    """Never a read beyond the end, never a loop for ever."""
    try:
        found = list(bits.attributes(data))
    except ValueError:
        return

    assert sum(4 + len(body) for _, body in found) <= len(data)


def _bitset(given: list[str], others: list[str], *, listed: bool) -> bytes:
    """As the kernel makes it: with NOMASK those that are set alone, else all, with a flag at those that are."""
    rows = [(name, True) for name in given] + ([] if listed else [(name, False) for name in others])
    made = b""
    for name, value in rows:
        flag = bits.attribute(bits.BIT_VALUE, b"") if value and not listed else b""
        made += bits.attribute(1, bits.attribute(bits.BIT_NAME, name.encode() + b"\0") + flag)
    head = bits.attribute(bits.NOMASK, b"") if listed else b""
    return head + bits.attribute(2, struct.pack("I", len(rows))) + bits.attribute(bits.BITS | bits.NESTED, made)


@given(NAMES, NAMES, st.booleans())
def test_a_bitmap_holds_what_is_set(given: list[str], others: list[str], listed: bool) -> None:
    """Whichever way the kernel lists it."""
    others = [name for name in others if name not in given]
    answer = bits.attribute(2 | bits.NESTED, _bitset(given, others, listed=listed))

    assert bits.bitmaps(answer) == {"hw": given, "wanted": [], "active": [], "nochange": []}


def test_what_a_toggle_moves_is_told_by_bitmap() -> None:
    """What came and what went; nothing where nothing was known; what is not read any more is no silence."""
    before = {"hw": ("a", "b"), "wanted": ("a",), "active": ("a",), "nochange": ()}

    assert bitmaps.moved(before, {**before, "active": (), "wanted": ("b",)}) == {
        "wanted": ("+b", "-a"), "active": ("-a",),
    }  # fmt: skip
    assert bitmaps.moved({}, before) == {}
    assert bitmaps.words(bitmaps.moved(before, {})) == ["unread: the kernel does not tell them any more"]


UNREAD = {
    "no python3": (127, "sh: 1: python3: not found\n", "python3: not found"),
    "an old kernel": (1, "Traceback:\nOSError: [Errno 95] the kernel answered with error 95\n", "error 95"),
    "no word": (137, "", "exited with 137"),
    "no bitmaps": (0, "{}\n", "KeyError('hw')"),
}


@pytest.mark.parametrize(("code", "text", "why"), UNREAD.values(), ids=UNREAD)
def test_bitmaps_that_cannot_be_read_say_why_and_leave_negotiation_unjudged(code: int, text: str, why: str) -> None:
    """Level 2 is not "ok" without them."""
    found, unread = bitmaps.asked(FakeHost("a", lambda _: (code, text)), "eth0")
    toggled = Observed(Arm("found", "tx-tcp-segmentation", "off"))
    levels = {
        name: outcomes.levels(frozenset({"negotiation"}), each, "a", [toggled], [], None, ())[1]
        for name, each in {"read": nic(), "unread": replace(nic(), unread=unread)}.items()
    }

    assert (found, why in unread) == ({}, True), unread
    assert (levels["read"].outcome, levels["unread"].outcome) == ("ok", "can't be judged here")
    assert why in levels["unread"].evidence[0]


def test_a_machine_that_is_too_busy_to_tell_its_bitmaps_hangs_no_toggle() -> None:
    """It says so; with a toggle held the level cannot be judged, and the toggle is well."""

    def busy(command: Command) -> tuple[int, str]:
        raise Overdue(Outcome(command, "a", 137, "", "", 10.0))

    found, why = bitmaps.asked(FakeHost("a", busy), "eth0")
    before = {"hw": ("a",), "wanted": (), "active": (), "nochange": ()}
    toggled = Observed(Arm("found", "tx-tcp-segmentation", "off"), bits=bitmaps.moved(before, found))
    level = outcomes.levels(frozenset({"negotiation"}), nic(), "a", [toggled], [], None, ())[1]

    assert (found, "did not end within 10 s" in why) == ({}, True)
    assert (level.outcome, "were not read" in level.evidence[0]) == ("can't be judged here", True)


@pytest.mark.parametrize(
    ("feature", "why"), [("a", ""), ("b", "nochange"), ("c", "not in hw")], ids=["free", "never", "by the driver"]
)
def test_why_a_feature_is_fixed(feature: str, why: str) -> None:
    """Two reasons that ethtool tells as one."""
    told = {"hw": ("a", "b"), "wanted": (), "active": (), "nochange": ("b",)}

    assert (why in bitmaps.fixed(feature, told), bool(bitmaps.fixed(feature, told))) == (True, bool(why))
    assert bitmaps.fixed(feature, {}) == ""


def test_a_toggle_that_takes_another_out_of_hw_speaks_against_negotiation() -> None:
    """No toggle should change what can be changed."""
    arm = Observed(Arm("found", "tx-tcp-segmentation", "off"), bits={"hw": ("-rx-gro",), "active": ("-x",)})
    levels = outcomes.levels(frozenset({"negotiation"}), nic(), "a", [arm], [], None, ())
    said = {each.level: (each.outcome, each.evidence) for each in levels}["negotiation"]

    assert said[0] == "failed"
    assert "hw: -rx-gro" in said[1][0]
    assert "active" not in said[1][0]
