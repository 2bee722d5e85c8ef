"""What each level says of the whole NIC; what is not measured any more of one that has failed."""

from dataclasses import replace
from typing import Literal

import pytest

from bench.facts.sheet import FactSheet
from tests.unit.tuning.offload_made import CASES, PLAIN, TSO, nic, observed, result
from tuning.offload import blaming, exchanging, judging, pair
from tuning.offload.arms import Arm
from tuning.offload.cases import Result, skipped, through
from tuning.offload.document import failed
from tuning.offload.evidence import LEVELS, Benefit, Level, Observed, Outcome, Soaked, Toggled
from tuning.offload.outcomes import levels
from tuning.offload.validating import Seen, Wanted, concluded

FOUND, OFF = Arm("found"), Arm("found", TSO, "off")
ALL: frozenset[Level] = frozenset(LEVELS)
BAD = {"wrong": 3, "first_wrong": 1460}
SHEETS = {name: FactSheet(name, {}) for name in ("a", "b")}


def test_levels_say_what_speaks_against_them() -> None:
    """Each its own, and nothing of those that were not asked for."""
    arms = [observed(FOUND, {("out", "udp4"): {"lost": 20}}), Observed(OFF, "refused", "no", restored="it is stuck")]
    rows = [judging.verdict(TSO, nic(), arms, "a", ALL, {}, None)]
    found = levels(ALL - {"benefit"}, nic(), "a", arms, rows, Soaked(9, 9, ("it stalled",)), ["mtu"])
    said = {each.level: (each.outcome, len(each.evidence)) for each in found}

    assert said == {
        "inventory": ("ok", 0), "negotiation": ("failed", 1), "function": ("failed", 1),
        "engaged": ("can't be judged here", 1),
        "benefit": ("not asked", 0), "stability": ("failed", 1), "restored": ("failed", 2),
    }  # fmt: skip


_NOT_TRIED = Observed(OFF, "not tried", "it rides on it")
_SKIPPED = Observed(FOUND, results=skipped(CASES, "the ends did not meet"))
_UNSEEN = [observed(FOUND, watched={**PLAIN, "packets": 2}), observed(OFF, watched={**PLAIN, "packets": 2})]
NOTHING: dict[str, tuple[Level, list[Observed], str]] = {
    "no toggle": ("negotiation", [observed(FOUND)], "the driver lets nothing be changed"),
    "no toggle was tried": ("negotiation", [observed(FOUND), _NOT_TRIED], "it rides on it"),
    "no payload": ("function", [Observed(OFF)], "no payload was exchanged"),
    "no exchange": ("function", [_SKIPPED], "the ends did not meet"),
    "no packet": ("engaged", _UNSEEN, f"{TSO}: while on: 2 packets with payload were seen"),
    "no feature": ("engaged", [], "no packet shows whether any feature is at work"),
    "no run": ("benefit", [], "nothing was measured"),
}


@pytest.mark.parametrize(("level", "arms", "why"), NOTHING.values(), ids=NOTHING)
def test_a_level_of_which_nothing_was_measured_is_not_ok(level: Level, arms: list[Observed], why: str) -> None:
    """It cannot be judged, and says why; asked for alone or with others."""
    for asked in (ALL, frozenset({level})):
        found = {each.level: each for each in levels(asked, nic(), "a", arms, [], None, ())}[level]

        assert (found.outcome, why in found.evidence[0]) == ("can't be judged here", True), found.evidence


@pytest.mark.parametrize(("word", "outcome"), [("can't be judged here", "can't be judged here"),
                                               ("no visible effect", "ok")])  # fmt: skip
def test_a_run_of_which_nothing_was_judged_says_so(word: Literal["can't be judged here", "no visible effect"],
                                                  outcome: Outcome) -> None:  # fmt: skip
    """Its reason stands there."""
    benefits = {TSO: Benefit(word, "irtt broke")}
    found = levels(ALL, nic(), "a", [], [], None, (), benefits=benefits)
    (benefit,) = [each for each in found if each.level == "benefit"]

    assert (benefit.outcome, benefit.evidence) == (outcome, () if outcome == "ok" else (f"{TSO}: irtt broke",))


def _seen(*arms: Observed, soaked: Soaked | None = None, left: tuple[str, ...] = ()) -> Seen:
    return Seen(nic(), nic("b"), "direct", Wanted(levels=ALL), arms, soaked, left, SHEETS)


UNFIT = {
    "all well": (_seen(observed(FOUND)), ""),
    "not put back": (_seen(Observed(OFF, restored="stuck")), f"as it was before: {TSO} off: stuck"),
    "not as before": (_seen(left=("a: mtu",)), "as it was before: a: mtu"),
    "a soak that failed": (_seen(soaked=Soaked(1, 1, ("after 1 s: tcp4 out: hangs",))), "the soak failed: after 1 s"),
    "a soak that held": (_seen(soaked=Soaked(1, 1)), ""),
    "payload that goes wrong": (_seen(observed(FOUND, {("in", "tcp4"): BAD})), "payload goes wrong as found (rx)"),
}


@pytest.mark.parametrize(("seen", "why"), UNFIT.values(), ids=UNFIT)
def test_a_nic_that_has_failed_is_not_loaded_by_a_run(seen: Seen, why: str) -> None:
    """And level 5 says what was in the way."""
    found = concluded(seen, {}, seen.unfit)
    (benefit,) = [each for each in found.levels if each.level == "benefit"]

    assert (bool(seen.unfit), why in seen.unfit) == (bool(why), True), seen.unfit
    assert benefit.evidence == (seen.unfit or "nothing was measured",)


def test_what_hung_or_was_refused_is_not_set_again_by_a_run() -> None:
    """Nor what is at fault; what was not tried, and what went well, is."""
    words: dict[str, Toggled] = {"rx-gro": "hangs", "rx-hashing": "refused", "tx-checksum-ipv4": "not tried", TSO: "ok"}
    arms = [Observed(Arm("found", name, "off"), word) for name, word in words.items()]

    assert _seen(*arms).not_loaded == {"rx-gro", "rx-hashing"}


def test_what_is_not_put_back_counts_though_nobody_asked() -> None:
    """A NIC that is not as it was is no detail of a level."""
    stuck = Observed(OFF, restored="it is stuck")
    found = {each.level: each.outcome for each in levels(frozenset({"negotiation"}), nic(), "a", [stuck], [], None, ())}

    assert (found["restored"], found["function"]) == ("failed", "not asked")


def test_a_ground_that_hangs_speaks_against_negotiation() -> None:
    """It is a toggle, too, though of no feature alone."""
    ground = Observed(Arm("plain"), "hangs", "no carrier 5 s after it")
    arms = [observed(FOUND), ground, replace(_NOT_TRIED, arm=Arm("plain", "rx-gro", "on"))]
    found = {each.level: each for each in levels(ALL, nic(), "a", arms, [], None, ())}["negotiation"]

    assert (found.outcome, found.evidence[0]) == ("failed", "plain packets: no carrier 5 s after it")
    assert failed(concluded(_seen(*arms), {}), ()) == ("ground: plain packets -: hangs",)


def test_a_nic_that_is_dead_at_the_end_has_a_matrix_and_nobody_is_blamed() -> None:
    """Of all levels: payload hangs, the toggle under which it died is named with it, and nothing is measured."""
    arms = [Observed(arm, results=tuple(Result(case, {"error": "timed out"}, {}) for case in CASES))
            for arm in (OFF, FOUND)]  # fmt: skip
    never = Observed(Arm("found", "tx-scatter-gather", "off"), "not tried", "nothing passed any more")
    seen = _seen(observed(FOUND), *arms, never)
    found = concluded(seen, {}, seen.unfit)
    rows = {(row.feature, row.direction): row.verdict for row in found.features}
    said = {each.level: each for each in found.levels}

    assert {rows["payload", "tx"], rows["payload", "rx"]} == {"hangs"}
    assert {rows[TSO, "tx"], rows["tx-scatter-gather", "tx"]} == {"can't be judged here"}
    assert f"(with {TSO} off, as found)" in said["function"].evidence[0]
    assert (said["function"].outcome, said["benefit"].outcome) == ("failed", "can't be judged here")
    assert failed(found, ()) == ("payload tx: hangs", "payload rx: hangs")


INSERT = "tx-vlan-hw-insert"
_VLAN = through("vlan", 1000, (4,))


def _over_vlan(arm: Arm, *, comes: bool) -> Observed:
    """The plain exchange, and that through a VLAN device; whether something comes through it, and frames with tags."""
    tags = {} if comes else {("out", "tagged"): {"got": 0, "lost": 60}}
    silent = tuple(Result(case, {"error": "timed out"}, {}) for case in _VLAN)
    passing = tuple(result(each, {}, {"got": 1000}) for each in _VLAN)
    made = observed(arm, tags)
    return replace(made, results=(*made.results, *(passing if comes else silent)))


@pytest.mark.parametrize(("as_found", "toggled", "value"), [(False, True, "on"), (True, False, "off"),
                                                            (False, False, ""), (True, True, "")])  # fmt: skip
def test_tags_that_pass_in_one_position_alone_are_that_feature_s(as_found: bool, toggled: bool, value: str) -> None:
    """Through a VLAN device and as frames; where they pass in neither, nothing is said of the NIC, as of a switch."""
    arms = [_over_vlan(FOUND, comes=as_found), _over_vlan(Arm("found", INSERT, "off"), comes=toggled),
            _over_vlan(FOUND, comes=as_found)]  # fmt: skip
    settled = exchanging.told(arms)
    blame = blaming.blamed(settled, nic(tx_vlan_hw_insert="on"), "a")
    rows = pair.payload_rows(settled, "a", blame)

    assert {name: each.value for name, each in blame.items()} == ({INSERT: value} if value else {})
    assert [key for each in blame.values() for key in each.cases if key == ("out", "tagged")] == (
        [("out", "tagged")] if value else [])  # fmt: skip
    assert ({row.verdict for row in rows} == {"works"}) is (value != "on")
