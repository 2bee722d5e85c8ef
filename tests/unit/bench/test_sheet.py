"""Fact sheets and their differences."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts.sheet import Difference, FactSheet, Sheets, differences

FACTS = st.dictionaries(st.sampled_from(("link/eth0/mtu", "link/eth1/mtu", "sysctl/a", "b")), st.sampled_from("012"))
SHEETS = st.dictionaries(st.sampled_from("xyz"), FACTS.filter(bool)).map(
    lambda hosts: {name: FactSheet(name, facts) for name, facts in hosts.items()}
)
SOME = settings(max_examples=60, deadline=None)


@SOME
@given(before=SHEETS, after=SHEETS)
def test_differences_are_the_same_backwards(before: Sheets, after: Sheets) -> None:
    """What changed one way changed back the other way."""
    forth, back = differences(before, after), differences(after, before)

    assert [Difference(each.host, each.key, each.after, each.before) for each in forth] == list(back)


@SOME
@given(before=SHEETS, after=SHEETS)
def test_there_is_no_difference_exactly_when_the_sheets_are_equal(before: Sheets, after: Sheets) -> None:
    """Nothing is overlooked, nothing is made up."""
    assert (differences(before, after) == ()) == (before == after)


@SOME
@given(before=SHEETS, after=SHEETS)
def test_differences_lead_from_one_sheet_to_the_other(before: Sheets, after: Sheets) -> None:
    """Applied to the first they give the second."""
    facts = {(host, key): value for host, sheet in before.items() for key, value in sheet.facts.items()}
    for each in differences(before, after):
        assert facts.pop((each.host, each.key), None) == each.before
        if each.after is not None:
            facts[each.host, each.key] = each.after

    assert facts == {(host, key): value for host, sheet in after.items() for key, value in sheet.facts.items()}


@SOME
@given(facts=FACTS, other=FACTS)
def test_the_digest_tells_contents_not_order(facts: dict[str, str], other: dict[str, str]) -> None:
    """Equal sheets have one digest, whatever the order; unequal ones, and other hosts, another."""
    turned = dict(reversed(list(facts.items())))

    assert FactSheet("a", facts).digest == FactSheet("a", turned).digest
    assert (FactSheet("a", facts).digest == FactSheet("a", other).digest) == (facts == other)
    assert FactSheet("a", facts).digest != FactSheet("b", facts).digest


def test_facts_below_a_prefix() -> None:
    """Keyed by the rest of their path."""
    sheet = FactSheet("a", {"feature/eth0/tso": "on", "feature/eth01/tso": "off", "link/eth0/mtu": "1500"})

    assert sheet.of("feature/eth0/") == {"tso": "on"}


def test_a_difference_is_told_in_one_line() -> None:
    """Absent is not empty."""
    assert str(Difference("a", "link/eth0/mtu", "1500", None)) == "a: link/eth0/mtu: '1500' -> absent"
    assert str(Difference("a", "route/x", None, "")) == "a: route/x: absent -> ''"
