"""What settings bear on: closed words for every knob, and no maximum is ever lowered unseen."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning import profile, shelf
from tuning.bearing import acts_on, disruption, lowers, persist, scope
from tuning.knobs.catalogue import entries_for
from tuning.knobs.entry import DISRUPTIONS, Scope
from tuning.knobs.table import KNOBS, LAB_ONLY

UNSURVEYED = {"loopback", "rx-fcs", "rx-all"}
WORDS = sorted({word for knob in KNOBS.values() for word in knob.words() if knob.kind not in LAB_ONLY})


@pytest.mark.parametrize("word", WORDS)
def test_every_setting_says_how_far_it_reaches_and_what_it_costs(word: str) -> None:
    """Words of the closed lists, and a line that keeps it; three features that no survey of knobs has say nothing."""
    assert (scope(word) in get_args(Scope)) is (word not in UNSURVEYED)
    assert (disruption(word) in DISRUPTIONS) is (word not in UNSURVEYED)
    assert acts_on(word) in {"own-sockets", "all-traffic"}
    assert persist(word, "1") != ""
    assert "VALUE" not in persist(word, "1")


def _shipped() -> set[str]:
    return {each.setting for _, path in shelf.listed(Path("/nonexistent")) for each in profile.load(path).settings}


@pytest.mark.parametrize("setting", sorted(_shipped()))
def test_the_catalogue_has_every_setting_that_ships(setting: str) -> None:
    """Nothing of a shipped profile or an anchor reads "" for want of an entry; one answer of all its knobs."""
    found = entries_for(setting)

    assert found
    assert len({(each.endpoint, each.maximum) for each in found}) == 1


def test_what_is_no_setting_bears_on_nothing() -> None:
    """Nothing in place of a guess."""
    assert (scope("tsoo"), disruption("tsoo"), persist("tsoo", "on")) == ("", "", "")


@given(
    st.sampled_from(("net.ipv4", "net.ipv6", "net.core")),
    st.from_regex(r"[a-z_]{1,20}(\.[a-z_]{1,20})?", fullmatch=True),
)
def test_a_sysctl_that_nobody_surveyed_costs_what_is_never_set_by_the_way(below: str, name: str) -> None:
    """What it drags along is not known: it may cut the way to the host, and is asked for by that word alone."""
    setting = f"{below}.{name}"

    assert disruption(setting) == max((each.disruption for each in entries_for(setting)), default="d4")


KNOWN = {
    "net.core.rmem_max": ("host", "d1", "own-sockets"),
    "net.core.somaxconn": ("namespace", "d1", "own-sockets"),
    "net.ipv4.tcp_rmem": ("namespace", "d1", "own-sockets"),
    "congestion_control": ("namespace", "d1", "own-sockets"),
    "net.ipv4.neigh.default.gc_thresh3": ("host", "d0", "all-traffic"),
    "net.netfilter.nf_conntrack_buckets": ("host", "d2", "all-traffic"),
    "net.ipv4.ip_early_demux": ("namespace", "d0", "all-traffic"),
    "net.ipv6.neigh.default.gc_thresh3": ("host", "d0", "all-traffic"),
    "net.netfilter.nf_conntrack_expect_max": ("host", "d0", "all-traffic"),
    "net.ipv4.ip_forward": ("namespace", "d4", "all-traffic"),
    "net.ipv4.tcp_sack": ("namespace", "d1", "own-sockets"),
    "net.ipv4.tcp_early_demux": ("namespace", "d0", "all-traffic"),
    "mtu": ("device", "d4", "all-traffic"),
    "tso": ("device", "d3", "all-traffic"),
    "gro": ("device", "d0", "all-traffic"),
    "rx-ring": ("device", "d3", "all-traffic"),
    "rps_cpus": ("queue", "d0", "all-traffic"),
    "xmit_hash_policy": ("bond", "d0", "all-traffic"),
    "mcast_snooping": ("bridge", "d0", "all-traffic"),
    "scaling_governor": ("host", "d0", "all-traffic"),
    "channels": ("device", "d3", "all-traffic"),
    "net.ipv4.tcp_retries2": ("", "d4", "own-sockets"),
    "net.ipv6.conf.all.mtu": ("", "d4", "all-traffic"),
    "vm-queues": ("guest", "d5", "all-traffic"),
}


@pytest.mark.parametrize("setting", KNOWN)
def test_scope_disruption_and_traffic_of_known_settings(setting: str) -> None:
    """As the kernel's sources have them."""
    assert (scope(setting), disruption(setting), acts_on(setting)) == KNOWN[setting]


LOWERING = {
    "a smaller third number": ("net.ipv4.tcp_rmem", "4096 87380 16777216", "4096 131072 33554432", True),
    "the same most, a smaller default": ("net.ipv4.tcp_rmem", "4096 87380 33554432", "4096 131072 33554432", True),
    "a larger most, a smaller default": ("net.ipv4.tcp_rmem", "4096 87380 67108864", "4096 131072 33554432", False),
    "the same": ("net.core.somaxconn", "4096", "4096", False),
    "less": ("net.core.somaxconn", "2048", "4096", True),
    "more": ("net.core.somaxconn", "8192", "4096", False),
    "a number that is no limit": ("net.ipv4.tcp_notsent_lowat", "131072", "4294967295", False),
    "a word": ("net.core.default_qdisc", "fq", "fq_codel", False),
    "absent": ("net.core.rmem_max", "212992", "", False),
}


@pytest.mark.parametrize(("setting", "value", "now", "expected"), LOWERING.values(), ids=LOWERING)
def test_a_maximum_below_the_one_that_stands_is_lowering(setting: str, value: str, now: str, expected: bool) -> None:
    """Newer kernels ship larger buffers than old guides."""
    assert lowers(setting, value, now) is expected


NUMBERS = st.integers(min_value=0, max_value=2**31)


@given(st.sampled_from(["net.core.rmem_max", "net.core.somaxconn", "rx-ring", "txqueuelen"]), NUMBERS, NUMBERS)
def test_one_number_lowers_exactly_when_it_is_less(setting: str, value: int, now: int) -> None:
    """For every limit of one number."""
    assert lowers(setting, str(value), str(now)) is (value < now)


@given(st.text(max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_nothing_that_is_no_number_is_called_lowering(setting: str, value: str, now: str) -> None:
    """Any text at all, without an error."""
    if lowers(setting, value, now):
        assert all(word.isdecimal() for word in (*value.split(), *now.split()))
