"""Changes of hosts as records, what forbids one, what drifted since, what would be overwritten. Without a kernel."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import cluster
from bench.facts.riding import Riding
from bench.facts.roles import Link, Role, Stack
from bench.facts.sheet import Difference, FactSheet
from bench.hosts.command import Command
from results.errors import NotAble, WrongInput
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.test_cluster import TEXT as CLUSTER
from tests.unit.tuning import kernel
from tuning import guard
from tuning.applying import record, returning, verifying
from tuning.applying.drift import drifted, of_spread
from tuning.applying.record import Applied, State, listed
from tuning.applying.returning import chosen, odd
from tuning.knobs.knob import Change

RMEM = "sysctl/net.ipv4.tcp_rmem"
SMALL, LARGE = "4096 131072 6291456", "4096 131072 67108864"


def _applied(change_id: str = "0123456789ab", *, state: State = "confirmed", at: float = 1.0, key: str = RMEM,
             moved: Mapping[str, tuple[str | None, str | None]] | None = None) -> Applied:  # fmt: skip
    change = Change("pve1", key, LARGE)
    return Applied(change_id, "pve1", "mine", at, ("eth0",), (("net.ipv4.tcp_rmem", LARGE),), (change,),
                   {key: SMALL}, {key: (SMALL, LARGE)} if moved is None else moved, state)  # fmt: skip


def _printed(applied: Applied, state: str, left: int = 0) -> str:
    """As LIST prints it."""
    moved = json.dumps({key: list(values) for key, values in applied.moved.items()}) if applied.moved else ""
    return (
        f"{applied.change_id} {state} {left} {applied.armed_at} {applied.turn}\n{record.header(applied)}\n{moved}\n\n"
    )


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.none() | TEXT


@given(
    TEXT, st.floats(0, 4e9), st.lists(TEXT, max_size=3).map(tuple), st.dictionaries(TEXT, st.tuples(VALUES, VALUES)),
    st.lists(st.tuples(TEXT, TEXT, st.booleans(), VALUES), max_size=4, unique_by=lambda each: each[0]),
)  # fmt: skip
def test_a_record_is_read_as_it_was_written(
    profile: str,
    at: float,
    devices: tuple[str, ...],
    moved: dict[str, tuple[str | None, str | None]],
    changed: list[tuple[str, str, bool, str | None]],
) -> None:
    """Whatever names and values hold: line feeds, quotes, what looks like another record."""
    changes = tuple(Change("pve1", key, wanted, follows) for key, wanted, follows, _ in changed)
    one = Applied("0123456789ab", "pve1", profile, round(at, 3), devices, ((profile, profile),), changes,
                  {key: was for key, _, _, was in changed}, moved, "confirmed", 7, 5, 3,
                  {"rss/eth0/table": profile})  # fmt: skip

    assert listed("pve1", _printed(one, "confirmed", 7)) == (one,)
    assert record.header(one).count("\n") == 0


def test_what_was_moved_is_told_with_both_values() -> None:
    """What was dragged along too."""
    text = record.moved_text([Difference("pve1", "link/eth0/mtu", "1500", "9000"), Difference("pve1", "x", None, "y")])

    assert json.loads(text) == {"link/eth0/mtu": ["1500", "9000"], "x": [None, "y"]}
    assert record.before(_applied(moved={"a": (None, "1"), "b": ("2", None)})).facts == {"b": "2"}


def test_what_a_link_has_for_a_moment_is_not_kept() -> None:
    """Its state while a driver resets it; the rest is."""
    lasting = Difference("pve1", "sysctl/net.ipv4.tcp_rmem", "1", "2")
    passing = [Difference("pve1", key, "UP", "DOWN") for key in ("link/eth0/operstate", "link/eth0/flags",
                                                                "route/default dev eth0 linkdown")]  # fmt: skip

    assert record.lasting([*passing, lasting]) == (lasting,)


def test_what_was_never_told_is_what_was_to_be_set() -> None:
    """Nettune was killed before it read anything back."""
    assert _applied(moved={}).known == {RMEM: (SMALL, LARGE)}


def test_the_hosts_clock_orders_its_changes() -> None:
    """Two desks whose clocks differ: B came after A."""
    one, two = replace(_applied(at=9.0), armed_at=1), replace(_applied("ba9876543210", at=2.0), armed_at=2)

    assert listed("pve1", _printed(two, "confirmed") + _printed(one, "confirmed")) == (one, two)


def test_a_host_whose_clock_was_set_back_counts_its_changes() -> None:
    """What came last is last; before all that is counted what an earlier version has made."""
    old = replace(_applied("00000000000a", at=9.0), armed_at=9)
    one, two = (replace(_applied(f"00000000000{each}", at=2.0), armed_at=9 - each, turn=each) for each in (1, 2))

    assert listed("pve1", "".join(_printed(each, "confirmed") for each in (two, one, old))) == (old, one, two)


def test_changes_are_listed_oldest_first_and_other_lines_are_left_out() -> None:
    """The state is the host's word."""
    old, new = _applied(at=1.0), _applied("ba9876543210", at=2.0)
    found = listed("pve1", "noise\n" + _printed(new, "armed", 9) + _printed(old, "rolled-back"))

    assert [(each.change_id, each.state, each.stands) for each in found] == [
        (old.change_id, "rolled back", False), (new.change_id, "armed", True),
    ]  # fmt: skip


def test_the_last_change_that_stands_is_taken_back_and_none_below_a_later_one() -> None:
    """A later change of the same facts goes first; of other facts it does not matter."""
    old, new = _applied(at=1.0), _applied("ba9876543210", at=2.0)
    beside = _applied("ba9876543210", at=2.0, key="sysctl/net.ipv4.tcp_wmem")

    assert chosen("pve1", (old, new), "") == new
    assert chosen("pve1", (old, beside), old.change_id) == old
    with pytest.raises(WrongInput, match=r"change ba9876543210 \(mine\) came later and moved the same"):
        chosen("pve1", (old, new), old.change_id)
    with pytest.raises(WrongInput, match="no change 00"):
        chosen("pve1", (old,), "00")
    with pytest.raises(WrongInput, match="nothing to take back"):
        chosen("pve1", (_applied(state="rolled back"),), "")


def test_values_of_somebody_else_are_told_and_ours_are_not() -> None:
    """What was there before, what the change made of it, in other spelling too."""
    moved = {RMEM: (SMALL, LARGE), "address/eth0/fe80::1/64": ("scope link", None)}
    applied = _applied(moved=moved)

    assert odd(applied, FactSheet("pve1", {RMEM: LARGE})) == ()
    assert odd(applied, FactSheet("pve1", {RMEM: SMALL, "address/eth0/fe80::1/64": "scope link"})) == ()
    (said,) = odd(applied, FactSheet("pve1", {RMEM: "1 2 3"}))
    assert "reads '1 2 3'" in said


CAUSES = {
    "booted": ("booted since", SMALL, (), "the host was booted since"),
    "reset": ("confirmed", SMALL, (), "the value from before again"),
    "gone": ("confirmed", None, (), "is its module still loaded"),
    "owner": ("confirmed", "1 2 3", ("tuned",), "somebody set another value"),
    "stands": ("confirmed", LARGE, (), ""),
    "taken back": ("rolled back", SMALL, (), ""),
    "put back": ("put itself back", SMALL, (), ""),
    "not put back": ("put itself back", LARGE, (), "put itself back, but for this"),
    "another since": ("put itself back", "1 2 3", (), ""),
}


@pytest.mark.parametrize(("state", "actual", "owners", "cause"), CAUSES.values(), ids=CAUSES)
def test_drift_is_named_with_what_may_have_caused_it(
    state: State, actual: str | None, owners: tuple[str, ...], cause: str
) -> None:
    """Of changes that should stand."""
    facts = {} if actual is None else {RMEM: actual}
    found = drifted([_applied(state=state)], FactSheet("pve1", facts), owners)

    assert [cause in each.cause for each in found] == ([True] if cause else [])


_TABLE, _KEY, _DRAWN = "rss/eth0/table", "rss/eth0/hkey", {"sysctl/net.core.netdev_rss_key": "aa:bb:cc"}
SPREADS = {
    "as it was": ("weight 1 3", "cc:dd", {}, []),
    "reset": ("default", "aa:bb", {}, ["ethtool -X eth0 weight 1 3", "ethtool -X eth0 hkey cc:dd"]),
    "another choice": ("equal 1", "ee:ff", {}, []),
    "by the change itself": ("default", "cc:dd", {_TABLE: ("weight 1 3", "default")}, []),
}


@pytest.mark.parametrize(("table", "key", "moved", "told"), SPREADS.values(), ids=SPREADS)
def test_a_reset_that_took_a_chosen_spread_of_flows_is_told(
    table: str, key: str, moved: dict[str, tuple[str | None, str | None]], told: list[str]
) -> None:
    """RSS is no setting of ours: it is told where a driver has its own again, with what sets the choice again."""
    ring = _applied(key="ring/eth0/rx", moved=moved)
    one = replace(ring, spread={_TABLE: "weight 1 3", _KEY: "cc:dd"})
    now = FactSheet("pve1", {_TABLE: table, _KEY: key, **_DRAWN})

    assert [each.cause.split("`")[1] for each in of_spread([one], now)] == told
    assert all("eth0's driver was reset" in each.cause for each in of_spread([one], now))
    assert of_spread([one, replace(ring, change_id="ba9876543210", moved={})], now) == ()
    assert of_spread([replace(one, state="rolled back")], now) == ()


def test_what_a_later_change_set_is_not_laid_at_one_that_was_put_back() -> None:
    """The same value, confirmed the second time; or set, and taken back by hand."""
    first, again = _applied(state="put itself back"), _applied("ba9876543210", at=2.0)
    now = FactSheet("pve1", {RMEM: LARGE})

    assert drifted([first, again], now, ()) == ()
    assert drifted([first, replace(again, state="rolled back")], now, ()) == ()


def test_a_link_that_came_up_slower_and_a_port_that_was_lost_are_told() -> None:
    """One that tells no speed says nothing; a guest that has ended took its tap along."""
    ports = {"tap100i0": "vmbr0", "tap101i0": "vmbr0", "eth0": "vmbr0", "veth1": ""}
    before = Stack(Link(name, master=master) for name, master in ports.items())
    now = Stack(Link(name, master=master) for name, master in (ports | {"tap100i0": "", "eth0": "br1"}).items()
                if name != "tap101i0")  # fmt: skip

    assert verifying.slower({"eth0": 10000, "eth1": 1000, "eth2": 10000, "eth3": 25000},
                            {"eth0": 1000, "eth1": 10000, "eth2": -1}) == (
        "eth0 came up with 1000 Mbit/s and had 10000",
    )  # fmt: skip
    assert verifying.ports(before, now) == ("tap100i0 was a port of vmbr0 and is none",
                                            "eth0 was a port of vmbr0 and is one of br1")  # fmt: skip


def test_the_later_of_two_changes_is_what_is_wanted() -> None:
    """And what a program there writes is its owner's."""
    governor = "cpu/policy0/scaling_governor"
    one = Applied("0123456789ab", "pve1", "a", 1.0, (), (("scaling_governor", "performance"),),
                  (Change("pve1", governor, "performance"),), {governor: "powersave"}, {}, "confirmed")  # fmt: skip
    two = _applied("ba9876543210", at=2.0)
    earlier = Applied("aaaaaaaaaaaa", "pve1", "x", 0.5, (), (), (Change("pve1", RMEM, SMALL),), {}, {}, "confirmed")
    found = drifted([earlier, one, two], FactSheet("pve1", {RMEM: LARGE, governor: "schedutil"}), ("tuned",))

    assert [(each.key, each.cause) for each in found] == [(governor, "tuned writes it there")]


def _drifts(key: str, word: str, wanted: str, actual: str, owners: tuple[str, ...], texts: Mapping[str, str]) -> str:
    """What `verify` names as the cause of one value that is another."""
    applied = Applied("0123456789ab", "pve1", "mine", 1.0, ("eno1",), ((word, wanted),),
                      (Change("pve1", key, wanted),), {key: "77"}, {}, "kept")  # fmt: skip
    (found,) = drifted([applied], FactSheet("pve1", {key: actual}), owners, texts)
    return found.cause


def test_a_line_that_ifreload_sets_again_is_named_with_its_place() -> None:
    """Where it says what stands there now, and where only a command is known; no comment is."""
    here = "/etc/network/interfaces"
    mtu = {here: "iface eno1 inet manual\n    mtu 1500\n"}
    ring = {here: "iface eno1 inet manual\n    # post-up ethtool -G eno1 rx 1\n    post-up ethtool -G eno1 rx 512\n"}

    assert _drifts("link/eno1/mtu", "mtu", "9000", "1500", (), mtu) == f"{here}:2 sets it (mtu 1500): ifreload?"
    assert _drifts("ring/eno1/rx", "rx-ring", "4096", "512", (), ring) == (
        f"{here}:3 sets it (post-up ethtool -G eno1 rx 512): ifreload?"
    )
    bridge = {here: "iface vmbr0 inet static\n    bridge-ports eno1\n    post-up ethtool -K eno1 tso on\n"}
    assert _drifts("feature/eno1/tx-tcp-segmentation", "tso", "off", "on", (), bridge) == (
        f"{here}:3 sets it (post-up ethtool -K eno1 tso on): ifreload?"
    )
    assert _drifts("link/eno1/mtu", "mtu", "9000", "1500", (), {}) == "somebody set another value"


def test_the_firewall_is_blamed_while_it_is_on() -> None:
    """What it writes itself, and nothing else."""
    name = "net.netfilter.nf_conntrack_max"

    assert _drifts(f"sysctl/{name}", name, "1048576", "262144", ("pve-firewall",), {}) == "pve-firewall writes it there"
    assert _drifts(f"sysctl/{name}", name, "1048576", "262144", (), {}) == "somebody set another value"
    assert _drifts(RMEM, "net.ipv4.tcp_rmem", LARGE, "1 2 3", ("pve-firewall",), {}) == "somebody set another value"


@pytest.mark.parametrize(
    ("allow", "state", "said"),
    [
        ((), "idle", "--allow corosync says that this is known"),
        (("corosync",), "active", "corosync has no other ring than by eth0"),
        (("corosync",), "idle", "cannot be armed"),  # nothing else is in its way, and no guard is to be had here
    ],
)
def test_a_rollback_that_starts_a_nic_anew_asks_as_apply_does(allow: tuple[str, ...], state: str, said: str) -> None:
    """For who rides on it, and for another ring of corosync; nothing is written before a guard stands."""
    ha = CLUSTER.format(state=state, second="connected").partition("LINK ID 1")[0]
    ha = ha.replace("pve1", "a").replace("10.0.0.1", "192.0.2.1")

    def answer(command: Command) -> tuple[int, str]:
        if command.argv[:3] == ("sh", "-c", guard.ARM):
            return 1, ""
        return 0, ha if command == cluster.QUESTION else ""

    host, lab = FakeHost("a", answer), kernel.lab("direct")
    lab.kernels[0].facts["ring/eth0/rx"] = "4096"
    lab = replace(lab, roles={"a": (Role("eth0", "corosync", "corosync's 192.0.2.1 is on eth0"),)})
    change = Change("a", "ring/eth0/rx", "4096")
    applied = Applied("0123456789ab", "a", "mine", 1.0, ("eth0",), (("rx-ring", "4096"),), (change,),
                      {change.key: "512"}, {change.key: ("512", "4096")}, "confirmed")  # fmt: skip
    told = Riding(Stack([Link("eth0", addresses=("192.0.2.1/24",))]), (), ())
    with pytest.raises(NotAble, match=said):
        returning.take_back(host, lab, applied, told, allow=allow)

    assert [command for command in host.asked if "ethtool" in command.argv] == []
