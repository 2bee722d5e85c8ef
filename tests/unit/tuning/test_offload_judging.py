"""What exchanges amount to, whom a fault is laid to, what each level says."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tuning.offload_made import CASES, PLAIN, SUPER, TSO, nic, observed, result
from tuning.offload import blaming, document, exchange, judging, outcomes, pair
from tuning.offload.arms import Arm
from tuning.offload.cases import Case, judged, through
from tuning.offload.evidence import LEVELS, Benefit, Level, Observed, Validation

FOUND, OFF = Arm("found"), Arm("found", TSO, "off")
BAD = {"wrong": 3, "first_wrong": 1460}
ALL: frozenset[Level] = frozenset(LEVELS)
TCP = Case("tcp4", "tcp", "out", 4, 1000)

SAID: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, str]] = {
    "as sent": ("tcp", {}, {"got": 1000}, "ok", "1000 bytes as sent"),
    "another byte": ("tcp", {}, BAD, "corrupts", "from byte 1460 on"),
    "it crawls": ("tcp", {"retransmits": 9}, {"got": 500, "whole": False}, "drops", "500 of 1000 bytes came"),
    "it is slow": (
        "tcp",
        {"retransmits": 9},
        {"got": 999_000, "whole": False},
        "ok",
        "as sent: the path, or a machine",
    ),
    "it loses": ("tcp", {"retransmits": 900}, {"got": 999_000, "whole": False}, "drops", "900 segments sent again"),
    "it stands": ("tcp", {}, {"got": 0, "whole": False, "idle_s": 2.4}, "hangs", "none in the last 2.4 s"),
    "a wrong checksum": ("tcp", {}, {"bad_checksums": 2}, "drops", "2 packets dropped for a wrong checksum"),
    "sent again": ("tcp", {"retransmits": 700}, {}, "ok", "700 segments sent again"),
    "lost": ("udp", {}, {"lost": 9}, "drops", "9 of 60 did not come"),
    "one lost": ("udp", {}, {"lost": 1}, "ok", "60 of 60 as sent"),
    "twice": ("udp", {}, {"twice": 1}, "corrupts", "1 of 60 came twice"),
    "another size": ("gso", {}, {"missized": 4}, "corrupts", "in another size"),
    "refused": ("gso", {"refused": "Input/output error"}, {}, "can't be judged here", "Input/output error"),
    "no tag passes": ("tagged", {}, {"got": 0, "lost": 60}, "can't be judged here", "does not know these VLANs"),
    "tags get lost": ("tagged", {}, {"lost": 6}, "drops", "6 of 60 did not come"),
    "untagged": ("tagged", {}, {"untagged": 60}, "corrupts", "came without their tag"),
    "taken for right": ("forged", {}, {"passed": 30}, "corrupts", "were taken for right"),
    "valid ones lost": ("forged", {}, {"lost": 30}, "drops", "with a right checksum did not come"),
    "left out": ("tcp", {"skipped": "it hung"}, {}, "can't be judged here", "it hung"),
}


@pytest.mark.parametrize(("kind", "sender", "taker", "word", "said"), SAID.values(), ids=SAID)
def test_an_exchange_in_a_word(kind: Any, sender: dict[str, Any], taker: dict[str, Any], word: str, said: str) -> None:
    """What both ends say, and the evidence in words."""
    case = Case(TCP.name, kind, "out", 4, 1000)
    found = judged(result(case, sender, taker))

    assert (found[0], said in found[1]) == (word, True), found[1]


def test_an_end_that_says_nothing_hangs() -> None:
    """No exchange came about, and why."""
    from tuning.offload.cases import Result

    assert judged(Result(TCP, {"error": "timed out"}, {})) == ("hangs", "no exchange came about: timed out")


def test_a_fault_is_laid_to_the_feature_without_which_it_is_gone() -> None:
    """TSO off cures it. So does scatter-gather off, which takes TSO along: the narrower one is at fault."""
    wrong = {("out", "tcp4"): BAD}
    arms = [
        observed(FOUND, wrong),
        observed(Arm("found", "tx-scatter-gather", "off"), moves=(TSO,)),
        observed(OFF),
        observed(FOUND, wrong),
    ]
    found = blaming.blamed(arms, nic(), "a")

    assert {name: (each.word, each.value) for name, each in found.items()} == {TSO: ("corrupts", "on")}
    assert "not with tx-tcp-segmentation off" in found[TSO].said


def test_a_fault_that_no_toggle_cures_is_nobody_s() -> None:
    """The payload's row has it; of features of that kind nothing can be said, and of others everything."""
    wrong = {("out", "tcp4"): BAD}
    arms = [observed(FOUND, wrong), observed(OFF, wrong), observed(FOUND, wrong)]
    rows = {row.direction: row for row in pair.payload_rows(arms, "a", {})}
    tso = judging.verdict(TSO, nic(), arms, "a", ALL, {}, None)

    assert blaming.blamed(arms, nic(), "a") == {}
    assert (rows["tx"].verdict, rows["rx"].verdict) == ("corrupts", "works")
    assert (tso.verdict, "with it on and off" in tso.evidence["function"]) == ("can't be judged here", True)


def test_a_fault_that_came_with_time_is_nobody_s() -> None:
    """Well at first, with the toggle not, and not at the end either: the toggle did not make it."""
    wrong = {("out", "tcp4"): BAD}

    assert blaming.blamed([observed(FOUND), observed(OFF, wrong), observed(FOUND, wrong)], nic(), "a") == {}
    assert blaming.blamed([observed(FOUND), observed(OFF, wrong), observed(FOUND)], nic(), "a").keys() == {TSO}


def test_a_transmit_feature_is_not_blamed_for_what_arrives() -> None:
    """What goes out of end a comes into end b."""
    wrong = {("in", "tcp4"): BAD}
    arms = [observed(FOUND, wrong), observed(OFF), observed(FOUND, wrong)]

    assert blaming.blamed(arms, nic(), "a") == {}
    assert blaming.blamed(arms, nic("b"), "b").keys() == {TSO}


ENGAGED = {
    "both as asked": (1.0, 0.0, "ok"),
    "never": (0.0, 0.0, "claimed but not engaged"),
    "always": (1.0, 1.0, "engaged though off"),
    "neither": (0.7, 0.0, "can't be judged here"),
    "off in part": (1.0, 0.3, "can't be judged here"),
}


@pytest.mark.parametrize(("on", "off", "word"), ENGAGED.values(), ids=ENGAGED)
def test_packets_show_a_feature_at_work(on: float, off: float, word: str) -> None:
    """At least 90 % while on, less than 5 % while off."""
    shares = [{**PLAIN, "super_bytes": int(1000 * share)} for share in (on, off)]
    arms = [observed(FOUND, watched=shares[0]), observed(OFF, watched=shares[1])]

    assert judging.engaged(TSO, arms, "a")[0] == word


BY_DEVICE = {
    "cut up while off": (SUPER, SUPER, PLAIN, "ok", ""),
    "as sent whatever is set": (SUPER, SUPER, SUPER, "can't be judged here", "the other end sends them so"),
    "never large": (SUPER, PLAIN, PLAIN, "claimed but not engaged", ""),
    "merged from a wire": (PLAIN, SUPER, PLAIN, "ok", ""),
    "merged though off": (PLAIN, SUPER, SUPER, "engaged though off", ""),
}


@pytest.mark.parametrize(("sent", "on", "off", "word", "said"), BY_DEVICE.values(), ids=BY_DEVICE)
def test_a_device_that_takes_packets_as_large_as_they_were_sent_is_at_work(
    sent: dict[str, int], on: dict[str, int], off: dict[str, int], word: str, said: str
) -> None:
    """Between virtio NICs no wire cuts them up: what counts is that they come cut up while it is off."""
    came = {("in", "tcp4"): {"watched": on}}, {("in", "tcp4"): {"watched": off}}
    arms = [observed(Arm("handed"), came[0], watched=sent),
            observed(Arm("handed", "rx-gro-hw", "off"), came[1], watched=sent)]  # fmt: skip

    found, why = judging.engaged("rx-gro-hw", arms, "a")
    assert (found, said in why) == (word, True)


MERGED = {
    "all by the kernel": ("rx-gro", 1.0, "ok"),
    "some by the kernel": ("rx-gro", 0.06, "ok"),
    "none by the kernel": ("rx-gro", 0.0, "can't be judged here"),
    "most by the device": ("rx-lro", 0.6, "ok"),
    "some by the device": ("rx-lro", 0.06, "claimed but not engaged"),
}


@pytest.mark.parametrize(("feature", "on", "word"), MERGED.values(), ids=MERGED)
def test_the_kernel_merges_what_comes_together(feature: str, on: float, word: str) -> None:
    """What one interrupt brings; packets that come one by one speak against nobody's GRO."""
    came = {("in", "tcp4"): {"watched": {**PLAIN, "super_bytes": int(1000 * on)}}}
    arms = [observed(Arm("plain"), watched=PLAIN), observed(Arm("plain", feature, "on"), came, watched=PLAIN)]

    assert judging.engaged(feature, arms, "a")[0] == word


@pytest.mark.parametrize(("sent", "word"), [(PLAIN, "can't be judged here"), (SUPER, "claimed but not engaged")])
def test_a_device_that_merges_nothing_itself_is_accused_only_of_what_was_sent_large(
    sent: dict[str, int], word: str
) -> None:
    """A guest whose partner cuts up by itself gets nothing that virtio could hand on."""
    came = {("in", "tcp4"): {"watched": PLAIN}}
    arms = [observed(arm, came, watched=sent) for arm in (Arm("handed"), Arm("handed", "rx-gro-hw", "off"))]

    assert judging.engaged("rx-gro-hw", arms, "a", "virtio_net")[0] == word


@pytest.mark.parametrize(
    ("on", "off", "word"), [(100, 0, "ok"), (0, 0, "claimed but not engaged"), (100, 100, "can't be judged here")]
)
def test_a_hash_is_the_device_s_where_none_comes_without_it(on: int, off: int, word: str) -> None:
    """With RPS the kernel computes one itself: then neither can be told."""
    arms = [
        observed(FOUND, {("in", "tcp4"): {"watched": {**PLAIN, "hashed": on}}}),
        observed(Arm("found", "rx-hashing", "off"), {("in", "tcp4"): {"watched": {**PLAIN, "hashed": off}}}),
    ]

    assert judging.engaged("rx-hashing", arms, "a")[0] == word


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_feature_that_shows_the_same_on_and_off_never_works(on: int, packets: int) -> None:
    """Whatever the share: what does not move with the bit is not its work."""
    watched = {**PLAIN, "super_bytes": on, "packets": packets}
    arms = [observed(FOUND, watched=watched), observed(OFF, watched=watched)]

    assert judging.engaged(TSO, arms, "a")[0] != "ok"


@pytest.mark.parametrize(("size", "word"), [(20_000, "works"), (2_000, "can't be judged here")])
def test_what_merges_so_well_that_few_packets_come_is_judged_by_bytes(size: int, word: str) -> None:
    """Six packets of a hundred datagrams are no fewer datagrams; six small ones prove nothing."""
    few = {**SUPER, "packets": 6, "bytes": size, "super_bytes": size}
    arms = [observed(Arm("plain"), watched=PLAIN), observed(Arm("plain", "rx-gro", "on"), watched=PLAIN)]
    arms[1] = replace(arms[1], results=tuple(
        replace(each, taker={**each.taker, "watched": few}) for each in arms[1].results))  # fmt: skip

    assert [row.verdict for row in pair.merged_row(arms, "a", {})] == [word]


def test_what_nothing_shows_and_what_is_not_there() -> None:
    """Each has its reason."""
    arms = [observed(FOUND), observed(Arm("found", "tx-scatter-gather", "off"))]
    verdicts = {
        name: judging.verdict(name, nic(), arms, "a", ALL, {}, None)
        for name in ("tx-scatter-gather", "rx-lro", "highdma", "rx-ntuple-filter")
    }

    assert {name: row.verdict for name, row in verdicts.items()} == {
        "tx-scatter-gather": "can't be judged here", "rx-lro": "not present", "highdma": "can't be judged here",
        "rx-ntuple-filter": "not present",
    }  # fmt: skip
    assert all(any(row.evidence.values()) for row in verdicts.values())


WORTH = {
    "helps": ("works and helps", SAID), "harms": ("works but harms", SAID),
    "no visible effect": ("works, no visible effect", SAID), "can't be judged here": ("works", SAID),
}  # fmt: skip


@pytest.mark.parametrize(("word", "verdict"), [(word, verdict) for word, (verdict, _) in WORTH.items()])
def test_what_a_run_found_it_worth_is_the_verdict(word: Any, verdict: str) -> None:
    """Where it was seen at work."""
    arms = [observed(FOUND), observed(OFF, watched=PLAIN)]

    assert judging.verdict(TSO, nic(), arms, "a", ALL, {}, Benefit(word, "x")).verdict == verdict


def test_a_toggle_that_was_refused_or_hung_is_the_verdict() -> None:
    """Whatever a run says."""
    found = [
        judging.verdict(TSO, nic(), [Observed(OFF, toggled, "why")], "a", ALL, {}, Benefit("helps", "x")).verdict
        for toggled in ("refused", "hangs", "not tried")
    ]

    assert found == ["refused", "hangs", "can't be judged here"]


_THROUGH = through("gre csum", 1_000_000, (4, 6))
_CUT = {"got": 9, "whole": False, "idle_s": 0.0}


def _arm(arm: Arm, ill: tuple[str, ...] = ()) -> Observed:
    """An arm of the exchanges through a tunnel alone, of which these cases are cut short."""
    return Observed(arm, results=tuple(result(each, {}, _CUT if each.name in ill else {}) for each in _THROUGH))


def test_a_fault_in_a_tunnel_is_that_of_the_feature_without_which_it_is_none() -> None:
    """While it stays so as found; one that was gone at the end is nobody's."""
    cut = ("gre csum tcp4", "gre csum tcp6")
    arms = [_arm(FOUND, cut), _arm(Arm("found", "tx-generic-segmentation", "off"), cut), _arm(OFF)]

    assert blaming.ill(arms[0]) == ("gre csum",)
    found = blaming.blamed([*arms, _arm(FOUND, cut)], nic(), "a")
    assert {name: each.word for name, each in found.items()} == {TSO: "drops"}
    assert blaming.blamed([*arms, _arm(FOUND)], nic(), "a") == {}


# QEMU's e1000e, gre csum tcp4: received of 4 MB in 2.9 s, sent again meanwhile; n = 14 in three validations.
_LEFT_WRONG = [(883_240, 127), (731_300, 129), (616_280, 102), (974_120, 136), (483_000, 93), (781_000, 108)]


@pytest.mark.parametrize(("got", "again"), _LEFT_WRONG)
def test_what_passes_by_being_sent_again_alone_is_dropped(got: int, again: int) -> None:
    """Larger packets are lost, and what is sent again one by one passes: a fifth and more of what came."""
    case = Case("gre csum tcp4", "tcp", "out", 4, 4_000_000, over="gre csum")

    assert judged(result(case, {"retransmits": again}, {"got": got, "whole": False}))[0] == "drops"


def test_what_is_cut_short_cures_nothing() -> None:
    """However well it went until then: a fault is gone where payload comes whole."""
    cut = ("gre csum tcp4", "gre csum tcp6")
    slow = Observed(OFF, results=tuple(result(each, {}, {"got": 999_000, "whole": False}) for each in _THROUGH))

    assert {judged(each)[0] for each in slow.results} == {"ok"}
    assert blaming.blamed([_arm(FOUND, cut), slow, _arm(FOUND, cut)], nic(), "a") == {}


def test_a_ground_that_was_cut_short_blames_no_toggle() -> None:
    """It may have gone wrong there as well, later."""
    slow = Observed(FOUND, results=tuple(result(each, {}, {"got": 999_000, "whole": False}) for each in _THROUGH))

    assert blaming.blamed([slow, _arm(OFF, ("gre csum tcp4",)), slow], nic(), "a") == {}


_LOST = {"got": 9, "whole": False, "idle_s": 0.0}
_TWICE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "lost each time": (_LOST, _LOST, "drops"),
    "lost once": (_LOST, {}, "can't be judged here"),
    "lost the second time": ({}, _LOST, "can't be judged here"),
    "corrupt once": (BAD, {}, "corrupts"),
    "corrupt the second time": ({}, BAD, "corrupts"),
    "well each time": ({}, {}, "works"),
}


@pytest.mark.parametrize(("first", "second", "verdict"), _TWICE.values(), ids=_TWICE)
def test_what_is_lost_in_one_of_two_exchanges_is_nobody_s(
    first: dict[str, Any], second: dict[str, Any], verdict: str
) -> None:
    """And nothing good is said of the feature either; bytes that are other than sent come by no chance."""
    arms = [observed(FOUND), replace(observed(OFF, {("out", "tcp4"): first}, watched=PLAIN),
                                     repeated=observed(OFF, {("out", "tcp4"): second}).results)]  # fmt: skip
    blame = blaming.blamed(arms, nic(), "a")
    row = judging.verdict(TSO, nic(), arms, "a", ALL, blame, None)

    assert row.verdict == verdict
    assert ("in one of two exchanges" in row.evidence["function"]) == (verdict == "can't be judged here")


def test_what_another_kind_of_payload_lost_once_is_not_the_feature_s() -> None:
    """Datagrams of another family say nothing of TSO."""
    again = replace(observed(OFF, {("out", "udp6"): {"lost": 9}}, watched=PLAIN), repeated=observed(OFF).results)

    assert judging.verdict(TSO, nic(), [observed(FOUND), again], "a", ALL, {}, None).verdict == "works"


def test_a_fault_that_hits_another_case_each_time_is_one() -> None:
    """TCP hung in one of its cases, the rest of them left out, and the next time in another."""
    stands, out = {"got": 0, "whole": False, "idle_s": 3.0}, {"skipped": "a case before it did not end"}
    first = observed(FOUND, {("out", "tcp4 odd writes"): stands, ("out", "tcp4 MSS 536"): out})
    arm = replace(first, repeated=observed(FOUND, {("out", "tcp4"): stands, ("out", "tcp4 odd writes"): out}).results)

    assert {word for word, _ in blaming.faults(arm).values()} == {"hangs"}
    assert blaming.unsteady(arm) == {}


def test_a_ground_that_was_not_whole_hides_no_wrong_bytes() -> None:
    """A slow path: what a toggle makes of payload is its own."""
    slow = {("out", "tcp4"): {"got": 999_000, "whole": False}}
    arms = [observed(FOUND, slow), observed(OFF, {("out", "tcp4"): BAD}), observed(FOUND, slow)]

    assert {name: (each.word, each.value) for name, each in blaming.blamed(arms, nic(), "a").items()} == {
        TSO: ("corrupts", "off")
    }


_UNLAID: dict[str, tuple[Observed, Observed]] = {
    "as found it was cut short": (
        observed(FOUND, {("out", "tcp4"): {"got": 999_000, "whole": False}}), observed(OFF, {("out", "tcp4"): _LOST})),
    "as found it was lost once": (
        replace(observed(FOUND, {("out", "udp4"): {"lost": 9}}), repeated=observed(FOUND).results),
        observed(OFF, {("out", "udp4"): {"lost": 9}})),
    "as found another kind is lost": (
        observed(FOUND, {("out", "gso4"): {"lost": 20}}),
        observed(OFF, {("out", "gso4"): {"lost": 20}, ("out", "tcp4"): _LOST})),
}  # fmt: skip


@pytest.mark.parametrize(("found", "toggled"), _UNLAID.values(), ids=_UNLAID)
def test_what_goes_wrong_with_a_toggle_is_never_told_as_well(found: Observed, toggled: Observed) -> None:
    """Where it cannot be laid to the feature nothing can be said of it."""
    arms = [found, toggled, found]
    blame = blaming.blamed(arms, nic(), "a")
    row = judging.verdict(TSO, nic(), arms, "a", ALL, blame, None)

    assert (blame, row.verdict, "it is not laid to it" in row.evidence["function"]) == (
        {}, "can't be judged here", True)  # fmt: skip


def test_what_is_lost_at_times_at_the_end_blames_no_toggle() -> None:
    """Well at first, then with a toggle not, and as found at the end in one of two exchanges."""
    lost = {("out", "udp4"): {"lost": 9}}
    end = replace(observed(FOUND, lost), repeated=observed(FOUND).results)

    assert blaming.blamed([observed(FOUND), observed(OFF, lost), end], nic(), "a") == {}
    assert blaming.blamed([observed(FOUND), observed(OFF, lost), observed(FOUND)], nic(), "a").keys() == {TSO}


def test_what_hangs_at_times_as_found_is_told_by_the_level_and_fails() -> None:
    """A NIC that does so is none to accept, whatever is required."""
    end = replace(observed(FOUND, {("out", "tcp4"): {"got": 0, "whole": False, "idle_s": 3.0}}),
                  repeated=observed(FOUND).results)  # fmt: skip
    arms = [end, observed(OFF, watched=PLAIN), observed(FOUND)]
    rows = [*pair.payload_rows(arms, "a", {}), judging.verdict(TSO, nic(), arms, "a", ALL, {}, None)]
    levels = outcomes.levels(frozenset({"function"}), nic(), "a", arms, rows, None, ())
    found = Validation(nic(), nic("b"), "direct", levels, tuple(rows))

    function = next(each for each in levels if each.level == "function")
    assert (function.outcome, "in one of two exchanges" in function.evidence[0]) == ("can't be judged here", True)
    assert document.failed(found, ()) == ("payload tx: can't be judged here",)
    assert document.failed(found, ("rx-checksum",))[1:] == ("payload tx: can't be judged here",)


def test_one_feature_s_fault_leaves_another_s_own_payload_unjudged() -> None:
    """TCP goes wrong whatever is set; that datagrams are cured by another feature changes nothing of it."""
    uso = Arm("found", "tx-udp-segmentation", "off")
    wrong = {("out", "tcp4"): BAD, ("out", "gso4"): {"lost": 20}}
    arms = [observed(FOUND, wrong), observed(uso, {("out", "tcp4"): BAD}), observed(OFF, wrong), observed(FOUND, wrong)]
    blame = blaming.blamed(arms, nic(), "a")
    rows = {row.direction: row for row in pair.payload_rows(arms, "a", blame)}

    assert blame.keys() == {"tx-udp-segmentation"}
    assert judging.verdict(TSO, nic(), arms, "a", ALL, blame, None).verdict == "can't be judged here"
    assert "it is not so" not in rows["tx"].evidence["function"]


def test_as_found_what_is_lost_in_one_of_two_exchanges_is_told() -> None:
    """Payload is not said to work, nor to be dropped."""
    arm = replace(observed(FOUND, {("out", "udp4"): {"lost": 9}}), repeated=observed(FOUND).results)
    rows = {row.direction: row for row in pair.payload_rows([arm], "a", {})}

    assert (rows["tx"].verdict, rows["rx"].verdict) == ("can't be judged here", "works")
    assert rows["tx"].evidence["function"] == "udp4 out, as found: 9 of 60 did not come in one of two exchanges"


def test_what_goes_otherwise_than_on_its_ground_is_named() -> None:
    """By what it goes through; the plain exchange by nothing. As found, what goes wrong at all."""
    cut = ("gre csum tcp4",)

    assert blaming.odd(_arm(FOUND), None) == frozenset()
    assert blaming.odd(_arm(FOUND, cut), None) == {"gre csum"}
    assert blaming.odd(_arm(OFF, cut), _arm(FOUND, cut)) == frozenset()
    assert blaming.odd(_arm(OFF), _arm(FOUND, cut)) == {"gre csum"}
    assert blaming.odd(observed(OFF, {("in", "udp4"): {"lost": 9}}), observed(FOUND)) == {""}


def test_what_goes_wrong_beside_a_feature_is_not_said_to_go_well() -> None:
    """A feature that no fault is laid to is not said to have had payload as sent."""
    wrong = {("out", "gso4"): {"lost": 20}}
    arms = [observed(FOUND, wrong), observed(OFF, wrong, watched=PLAIN), observed(FOUND, wrong)]
    row = judging.verdict(TSO, nic(), arms, "a", ALL, {}, None)

    assert (
        row.evidence["function"] == "payload as sent with tx-tcp-segmentation off, but gso4 out goes wrong either way"
    )


def test_what_the_ground_has_not_tried_blames_no_toggle() -> None:
    """A tunnel that was gone through under a toggle alone."""
    arms = [observed(FOUND), _arm(OFF, ("gre csum tcp4",))]

    assert blaming.blamed(arms, nic(), "a") == {}


def test_every_case_has_a_port_of_its_own_and_ends_in_time() -> None:
    """The order's limit is more than that of all its cases."""
    from tuning.offload.cases import SAYS_S, deadline_s, limit_s, longest_s, order

    told = order(CASES, {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}, ("a", "b"), ("e", "f"), 1500, 7)

    assert len({each["port"] for each in told["cases"]}) == len(CASES)
    assert told["limit_s"] > sum(map(limit_s, CASES))
    # A guard must not strike in the middle.
    assert deadline_s(CASES) > (exchange.command("drive", told).deadline_s or 0) + SAYS_S
    assert longest_s(1_000_000) > deadline_s(CASES) + 2 * deadline_s(through("vlan", 1_000_000, (4, 6)))


def test_ends_of_one_family_have_cases_of_that_alone() -> None:
    """Tagged frames are of none: they begin with a connection of the family that there is."""
    from tuning.offload.cases import of, order

    for family, pair_of in ((4, ("192.0.2.1", "192.0.2.2")), (6, ("fd00::1", "fd00::2"))):
        listed = of(1000, families=(family,), raw=True)
        told = order(listed, {family: pair_of}, ("a", "b"), ("e", "f"), 1500, 7)

        assert {each["client"] for each in told["cases"]} == {pair_of[0]}
        assert "tagged" in {each["kind"] for each in told["cases"]}
