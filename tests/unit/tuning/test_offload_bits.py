"""The kernel's feature bitmaps: read from netlink's bytes, compared, told."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tuning.offload_made import nic
from tuning.offload import bitmaps, bits, judging
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
    """What came and what went; nothing where nothing is known."""
    before = {"hw": ("a", "b"), "wanted": ("a",), "active": ("a",), "nochange": ()}

    assert bitmaps.moved(before, {**before, "active": (), "wanted": ("b",)}) == {
        "wanted": ("+b", "-a"), "active": ("-a",),
    }  # fmt: skip
    assert bitmaps.moved(before, {}) == bitmaps.moved({}, before) == {}


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
    levels = judging.levels(frozenset({"negotiation"}), nic(), "a", [arm], [], None, ())
    said = {each.level: (each.outcome, each.evidence) for each in levels}["negotiation"]

    assert said[0] == "failed"
    assert "hw: -rx-gro" in said[1][0]
    assert "active" not in said[1][0]
