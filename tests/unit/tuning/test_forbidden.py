"""What forbids a setting on a host: all of it is named, with the options that allow it."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.roles import WORDS, Role, Word
from tuning.applying import planning
from tuning.applying.planning import Row
from tuning.knobs.knob import Change

RINGS = Change("pve1", "ring/eno1/rx", "4096")


def row(*roles: Word) -> Row:
    """A ring of eno1, on which these ride."""
    rides = tuple(Role("eno1", role, f"{role} rides on eno1") for role in roles)
    return Row("rx-ring", RINGS, "512", "d3", rides)


def test_all_that_is_missing_is_named_at_once() -> None:
    """And not one word per try."""
    bar = planning._forbidden("rx-ring", [row("guests", "ssh", "ssh")], (), (), "d2", keep=False)

    assert bar.why == (
        "its disruption is d3: --disruption d3 allows it; ssh rides on eno1: --allow ssh says that this is known; "
        "guests rides on eno1: --allow guests says that this is known"
    )
    assert bar.options == (("--disruption", "d3"), ("--allow", "ssh"), ("--allow", "guests"))


@given(st.sets(st.sampled_from(WORDS)), st.sets(st.sampled_from(WORDS)), st.sampled_from(["d2", "d3", "d4"]))
def test_what_the_options_say_is_enough(there: set[Word], allowed: set[str], most: str) -> None:
    """The same question with them refuses nothing."""
    bar = planning._forbidden("rx-ring", [row(*there)], (), allowed, most, keep=False)
    given_now = allowed | {value for name, value in bar.options if name == "--allow"}
    most_now = max((most, *(value for name, value in bar.options if name == "--disruption")))

    assert planning._forbidden("rx-ring", [row(*there)], (), given_now, most_now, keep=False).why == ""
    assert bool(bar.why) == bool(bar.options)


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("net.bridge.bridge-nf-call-iptables", "sysctl/net.bridge.bridge-nf-call-iptables"),
        ("net.bridge.bridge-nf-call-ip6tables", "sysctl/net.bridge.bridge-nf-call-ip6tables"),
        ("net.ipv4.tcp_syncookies", "sysctl/net.ipv4.tcp_syncookies"),
    ],
)
def test_what_the_firewall_of_proxmox_ve_writes_is_left_to_it_while_it_is_on(setting: str, key: str) -> None:
    """No option of the node is for these; an installed firewall that is off owns nothing."""
    rows = [Row(setting, Change("pve1", key, "0"), "1", "d2", ())]
    on = planning._forbidden(setting, rows, ("pve-firewall",), (), "d4", keep=True)
    off = planning._forbidden(setting, rows, (), (), "d4", keep=True)

    assert on.why == (
        "pve-firewall writes it there, and no option of /etc/pve/local/host.fw is for it: leave it to that"
    )
    assert on.options == ()
    assert "pve-firewall" not in off.why


def test_one_command_allows_all_or_there_is_none() -> None:
    """Of two disruptions the greater; nothing where one is refused for good."""
    bar = planning._Bar
    one, two = bar("x", (("--allow", "ssh"), ("--disruption", "d3"))), bar("y", (("--disruption", "d4"),))
    of = planning._options

    assert of([("a", one), ("b", two)]) == (("--allow", "ssh"), ("--disruption", "d4"))
    assert of([("a", one), ("b", bar("it is never changed"))]) == ()
    assert list(itertools.chain(*of([]))) == []


def test_every_word_of_a_role_and_of_a_disruption_stands_in_the_guide() -> None:
    """Whoever must say one finds it there, and in the help."""
    guide = (Path(__file__).parents[3] / "docs" / "applying.md").read_text(encoding="utf-8")

    assert [word for word in WORDS if f"| `{word}` |" not in guide] == []
    assert [word for word in ("d0", "d1", "d2", "d3", "d4", "d5") if f"`{word}`" not in guide] == []
