"""RSS: the table, key and function of `ethtool -x` as facts, and the words that write them back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import rss
from bench.facts.state import parse
from bench.hosts.command import Command, Outcome

# `ethtool -x` of virtio-net (ethtool 6.1, Linux 6.1), shortened to 16 places.
TEXT = """\
RX flow hash indirection table for eth0 with {rings} RX ring(s):
    0:      {first}
    8:      {second}
RSS hash key:
ea:f9:ee:e8:26
RSS hash function:
    toeplitz: on
    xor: off
    crc32: off
"""
KEYS = {"rss/eth0/hkey": "ea:f9:ee:e8:26", "rss/eth0/hfunc": "toeplitz"}


def _text(rings: int, table: list[int]) -> str:
    rows = ["     ".join(map(str, table[at : at + 8])) for at in (0, 8)]
    return TEXT.format(rings=rings, first=rows[0], second=rows[1])


def _filled(size: int, words: str) -> list[int]:
    """What `ethtool -X DEV WORDS` writes: fill_indir_table of ethtool 6.1, in Python."""
    kind, *numbers = words.split()
    if kind == "equal":
        start = int(numbers[2]) if len(numbers) > 1 else 0
        return [start + at % int(numbers[0]) for at in range(size)]
    weights = [int(each) for each in numbers]
    ring, partial, table = -1, 0, []
    for at in range(size):
        while at >= size * partial // sum(weights):
            ring += 1
            partial += weights[ring]
        table.append(ring)
    return table


@pytest.mark.parametrize(
    ("rings", "table", "told"),
    [
        (1, [0] * 16, "default"), (2, [0, 1] * 8, "default"), (4, [0, 1] * 8, "equal 2"), (2, [0] * 16, "equal 1"),
        (4, [2, 3] * 8, "equal 2 start 2"), (2, [0] * 12 + [1] * 4, "weight 12 4"),
        (2, [1, 0] * 8, "custom 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0"),
    ],
)  # fmt: skip
def test_a_table_is_told_by_the_words_that_write_it(rings: int, table: list[int], told: str) -> None:
    """By `default` where it is the spread over all queues."""
    asked = rss.question("eth0")
    outcome = Outcome(asked, "a", 0, _text(rings, table), "", 0.0)

    assert parse([outcome]) == {"rss/eth0/table": told, **KEYS}
    assert rss.queues(told) == (0 if told == "default" else max(table) + 1)


def test_a_device_without_tells_nothing() -> None:
    """A veth, a bridge: "Cannot get RX ring count: Operation not supported", on standard error."""
    outcome = Outcome(rss.question("eth0"), "a", 1, "", "Cannot get RX ring count: Operation not supported\n", 0.0)

    assert parse([outcome]) == {}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=128), st.booleans())
def test_the_words_write_that_very_table(table: list[int], in_order: bool) -> None:
    """Unless there are none, which is said of tables alone that are neither in turn nor in order."""
    table = sorted(table) if in_order else table
    told = rss.words(table)
    command = rss.writing("rss/eth0/table", told)

    if command is None:
        assert table != sorted(table)
        assert told == f"custom {' '.join(map(str, table))}"
    else:
        assert command == Command(("ethtool", "-X", "eth0", *told.split()))
        assert _filled(len(table), told) == table


@given(st.text())
def test_whatever_ethtool_prints_gives_facts_or_none(text: str) -> None:
    """An older or newer ethtool breaks no reading."""
    assert all(key.startswith("rss/eth0/") for key in rss.parse("eth0", text))


def test_what_somebody_chose_is_what_the_driver_would_not_have_by_itself() -> None:
    """A table over other queues than all in turn, a key that is not the kernel's; where that is not known, no key."""
    drawn = {"sysctl/net.core.netdev_rss_key": "ea:f9:ee:e8:26:00"}
    facts = {"rss/eth0/table": "equal 2", **KEYS, "rss/eth1/table": "equal 1"}

    assert rss.chosen({**facts, **drawn}, ["eth0"]) == {"rss/eth0/table": "equal 2"}
    assert rss.chosen({**drawn, "rss/eth0/table": "default", "rss/eth0/hkey": "6d:5a"}, ["eth0", "eth1"]) == {
        "rss/eth0/hkey": "6d:5a"
    }
    assert rss.chosen(KEYS, ["eth0"]) == {}
