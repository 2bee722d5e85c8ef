"""Rulesets: what is ours in a listing is counted, everything else is kept by its digest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import ruleset
from bench.labs import rulesets

LISTING = """\
table bridge nettune {
    chain forward {
        type filter hook forward priority 0; policy accept;
        th sport 4096 drop
        th sport 4097 drop
    }
}
table inet filter {
    set blocked {
        type ipv4_addr
        elements = { 192.0.2.1,
        192.0.2.2 }
    }

    chain input {
        type filter hook input priority filter; policy accept;
        ip saddr @blocked drop
    }
}
table inet nettune-nat {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        masquerade
    }
}
"""


def test_a_listing_is_taken_apart_by_block() -> None:
    """Tables, chains and sets, each with its lines."""
    blocks = ruleset.blocks(LISTING)

    assert list(blocks) == [
        "bridge nettune", "bridge nettune chain forward", "inet filter", "inet filter set blocked",
        "inet filter chain input", "inet nettune-nat", "inet nettune-nat chain postrouting",
    ]  # fmt: skip
    assert blocks["inet filter chain input"][1:] == ["ip saddr @blocked drop"]
    assert len(blocks["inet filter set blocked"]) == 3


def test_our_rules_are_counted_and_foreign_ones_noticed() -> None:
    """A number that a knob can set, unless somebody else's rule stands among them."""
    ours = ruleset.facts(LISTING)
    theirs = ruleset.facts(LISTING.replace("th sport 4097 drop", "tcp dport 22 drop"))

    assert (ours["firewall/bridge/rules"], ours["nat/masquerade"]) == ("2", "on")
    assert theirs["firewall/bridge/rules"] == "foreign"
    assert ours["nft/bridge nettune chain forward"] != theirs["nft/bridge nettune chain forward"]
    assert ours["nft/inet filter chain input"] == theirs["nft/inet filter chain input"]
    assert ruleset.facts("") == {"nat/masquerade": "off"}


@given(st.integers(0, 500))
def test_what_is_written_reads_back_as_that_many(count: int) -> None:
    """The texts for nft hold the rules that the reader counts."""
    _, *texts = rulesets.filtering("inet", count)

    assert [ruleset.facts(text)["firewall/inet/rules"] for text in texts] == ([str(count)] if count else [])
    assert len(set(ruleset.rules(count))) == count


@pytest.mark.parametrize("count", [501, 1000, rulesets.RULES_MOST])
def test_many_rules_are_several_transactions(count: int) -> None:
    """Without the machine's root nft cannot send 1200 rules at once; all of them, in order, in parts of 500."""
    chain, *texts = rulesets.filtering("bridge", count)
    parts = [[line.strip() for line in text.splitlines() if "sport" in line] for text in texts]

    assert "policy accept" in chain
    assert [rule for part in parts for rule in part] == ruleset.rules(count)
    assert max(len(part) for part in parts) == 500
    assert rulesets.refilled("bridge", count) == ("flush chain bridge nettune forward\n" + texts[0], *texts[1:])


@given(st.text('abc{}= \n\t"', max_size=200))
def test_no_listing_breaks_the_reader(text: str) -> None:
    """Garbage is kept by digest, never fatal."""
    assert ruleset.facts(text)["nat/masquerade"] == "off"
