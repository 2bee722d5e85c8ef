"""A validation as a document, a page and a report for acceptance labs; whether it holds; what features are worth."""

from dataclasses import replace
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.errors import WrongInput
from results.metrics import METRICS
from results.records import Comparison, Judgement
from tests.unit.tuning.offload_made import TSO, nic
from tuning.offload import benefit
from tuning.offload.document import document, failed, read, required_words
from tuning.offload.evidence import LEVELS, FeatureVerdict, LevelVerdict, Soaked, Toggle, Validation, Verdict
from tuning.offload.junit import junit
from tuning.offload.page import page
from tuning.offload.soak import fresh, grown, notes, parse
from tuning.offload.weighing import weighed
from tuning.recommend import Advice, Evidence, Recommendation

FOUND = Validation(
    nic(),
    nic("b"),
    "direct",
    (LevelVerdict("function", "ok"), LevelVerdict("restored", "ok"), LevelVerdict("engaged", "failed", ("rx: no",))),
    (
        FeatureVerdict("payload", "tx", "works", {"function": "all"}),
        FeatureVerdict(TSO, "tx", "works", {"engaged": "99 %"}),
        FeatureVerdict("rx-checksum", "rx", "claimed but not engaged", {"engaged": "0 %"}),
        FeatureVerdict("rx-lro", "rx", "not present", {"negotiation": "off for good"}),
    ),
    hints=("known",),
    toggles=(Toggle(f"{TSO} off", "ok", "", 0.1, 0, {"a: feature/eth0/x": ("on", "off")}, {"active": ("-x",)}, ""),),
)


def _with(feature: str, verdict: Any) -> Validation:
    rows = tuple(replace(row, verdict=verdict) if row.feature == feature else row for row in FOUND.features)
    return replace(FOUND, features=rows)


_NOTHING = (
    "sg is required: nothing of it can be judged here: tx-scatter-gather not validated, "
    "tx-scatter-gather-fraglist not validated"
)
HOLDS: dict[str, tuple[Validation, tuple[str, ...], tuple[str, ...]]] = {
    "all well": (FOUND, (), ()),
    "a feature corrupts": (_with(TSO, "corrupts"), (), (f"{TSO} tx: corrupts",)),
    "it corrupts, another is required": (_with(TSO, "corrupts"), ("rx-checksum",),
                                         ("rx-checksum is required: claimed but not engaged",)),
    "required and works": (FOUND, (TSO,), ()),
    "required and not judged": (_with(TSO, "refused"), (TSO,), (f"{TSO} is required: refused",)),
    "required and never validated": (FOUND, ("rx-hashing",), ("rx-hashing is required: not validated",)),
    "payload goes wrong": (_with("payload", "drops"), (TSO,), ("payload tx: drops",)),
    "payload goes wrong at times": (
        _with("payload", "can't be judged here"), (), ("payload tx: can't be judged here",)),
    "a toggle goes wrong, and is not blamed": (
        replace(FOUND, levels=(LevelVerdict("function", "failed", ("tcp4 out (tx): drops",)),)), (),
        ("function: tcp4 out (tx): drops",)),
    "a word of which the rest is not there": (FOUND, ("tso",), ()),
    "a word of which one corrupts": (_with(TSO, "corrupts"), ("tso",), (f"tso is required: {TSO} corrupts",)),
    "a word of which one is ill": (
        replace(FOUND, features=(*FOUND.features, FeatureVerdict("tx-tcp6-segmentation", "tx", "can't be judged here",
                                                                 {"function": "payload goes wrong"}, ill=True))),
        ("tso",), ("tso is required: tx-tcp6-segmentation can't be judged here",)),
    "a word of which nothing can be judged": (
        FOUND, ("sg",), (_NOTHING,)),
    "not as before": (replace(FOUND, levels=(LevelVerdict("restored", "failed", ("mtu",)),)), (), ("restored: mtu",)),
}  # fmt: skip


def test_a_word_that_holds_says_what_could_not_be_judged() -> None:
    """By its features, and what is not there; in the document, on the page and in JUnit."""
    said = f"tso holds by {TSO}; not judged here: tx-tcp-ecn-segmentation"

    assert required_words(FOUND, ("tso", TSO))[0].startswith(said)
    assert len(required_words(FOUND, ("tso", TSO))) == 1
    assert document(FOUND, ("tso",))["required_said"] == list(required_words(FOUND, ("tso",)))
    assert said in page(FOUND, ("tso",))
    assert said in junit(FOUND, ("tso",))


OUTCOMES = st.sampled_from(["ok", "failed", "can't be judged here", "not asked"])
VERDICTS = st.sampled_from(get_args(Verdict))


@given(st.lists(st.tuples(st.sampled_from(LEVELS), OUTCOMES), unique_by=lambda each: each[0]),
       st.lists(st.tuples(st.sampled_from([TSO, "payload", "rx-gro", "tx-tcp6-segmentation"]), VERDICTS),
                unique_by=lambda each: each[0]),
       st.lists(st.sampled_from([TSO, "tso", "rx-gro", "rx-lro"]), unique=True))  # fmt: skip
def test_junit_fails_exactly_where_the_validation_does(
    levels: list[tuple[Any, Any]], rows: list[tuple[str, Any]], required: list[str]
) -> None:
    """Whatever was found and required: a failure for each reason, and none without one."""
    found = replace(
        FOUND,
        levels=tuple(LevelVerdict(level, outcome, ("why",)) for level, outcome in levels),
        features=tuple(FeatureVerdict(name, "tx", verdict, {"function": "why"}) for name, verdict in rows),
    )
    root = ET.fromstring(junit(found, required))  # noqa: S314 - our own

    assert len(list(root.iter("failure"))) == len(failed(found, required))


@pytest.mark.parametrize(("found", "required", "why"), HOLDS.values(), ids=HOLDS)
def test_whether_a_validation_holds(found: Validation, required: tuple[str, ...], why: tuple[str, ...]) -> None:
    """By what is required; else by what no NIC may do."""
    assert failed(found, required) == why
    assert document(found, required)["failed"] == list(why)


def test_a_document_can_be_read_again() -> None:
    """All that is compared with another."""
    assert read(document(FOUND), "x.json") == FOUND


DAMAGED: dict[str, Any] = document(FOUND)  # Any: JSON


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "no validation of format 2"),
        ({"format": 1}, "no validation"),
        ({"format": 2}, "damaged"),
        ({**DAMAGED, "nic": {**DAMAGED["nic"], "identity": "ab"}}, "damaged"),
        ({**DAMAGED, "toggles": [{"moved": []}]}, "damaged"),
    ],
)
def test_what_is_no_validation_is_refused(told: dict[str, Any], said: str) -> None:
    """By the file's name."""
    with pytest.raises(WrongInput, match=said):
        read(told, "x.json")


def test_junit_has_a_case_a_level_and_a_feature() -> None:
    """Failed, skipped with the reason, or passed; whatever a driver says is XML."""
    odd = _with(TSO, "corrupts")
    odd = replace(
        odd, notes=(), features=(*odd.features, FeatureVerdict("x\x01<&", "-", "works", {"function": "\x02<"}))
    )
    root = ET.fromstring(junit(odd, ()))  # noqa: S314 - our own
    kinds = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}

    assert kinds[f"{TSO} tx"] == ["failure"]
    assert kinds["rx-lro rx"] == ["skipped"]
    assert kinds["payload tx"] == ["system-out"]
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("levels", "3"), ("features", "5")]


def test_the_page_has_the_answer_and_escapes_what_a_driver_says() -> None:
    """One file; nothing runs in it."""
    odd = replace(FOUND, hints=("<script>alert(1)</script>",))
    text = page(odd)

    assert "The validation holds." in text
    assert "<script>" not in text
    assert "tx-tcp-segmentation" in text


def _comparison(verdict: Any, effect: float | None, treatment: str) -> Comparison:
    return Comparison("direct", "tcp.goodput", primary=True, treatment=treatment, verdict=verdict, reason="why",
                      effect_pct=effect, ci_low_pct=effect, ci_high_pct=effect, ci90_low_pct=effect,
                      ci90_high_pct=effect, boot_low_pct=None, boot_high_pct=None, p=0.5, p_holm=0.5, blocks=6,
                      failed=0, visible_effect_pct=9.0, blocks_to_decide=None, screening=False,
                      effects=())  # fmt: skip


WORTH = {
    "off is worse": ("worse", -60.0, f"no-{TSO}", TSO, "helps"),
    "off is better": ("better", 9.0, f"no-{TSO}", TSO, "harms"),
    "off is the same": ("equivalent", 0.1, f"no-{TSO}", TSO, "no visible effect"),
    "nobody knows": ("inconclusive", None, f"no-{TSO}", TSO, "can't be judged here"),
    "on is better": ("better", 9.0, "with-rx-gro", "rx-gro", "helps"),
    "on is worse": ("worse", -9.0, "with-rx-gro", "rx-gro", "harms"),
}


@pytest.mark.parametrize(("verdict", "effect", "treatment", "feature", "word"), WORTH.values(), ids=WORTH)
def test_what_a_feature_is_worth(verdict: str, effect: float | None, treatment: str, feature: str, word: str) -> None:
    """The treatment is the feature in its other position."""
    found = benefit.judged(nic(), Judgement((_comparison(verdict, effect, treatment),), (), ()), {})

    assert {name: each.word for name, each in found.items()} == {feature: word}


def test_what_a_feature_is_worth_is_a_figure_of_having_it_on() -> None:
    """Half the goodput without it is twice as much with it; the interval is turned round with it."""
    low_to_high = {"ci_low_pct": -60.0, "ci_high_pct": -20.0}
    off = replace(_comparison("worse", -50.0, f"no-{TSO}"), **low_to_high)  # type: ignore[arg-type] # of numbers
    on = _comparison("better", 9.0, "with-rx-gro")
    found = benefit.judged(nic(), Judgement((off, on), (), ()), {})

    assert {name: each.effect_pct for name, each in found.items()} == {
        TSO: (100.0, 25.0, 150.0), "rx-gro": (9.0, 9.0, 9.0)}  # fmt: skip


def test_what_else_a_feature_moves_stands_beside() -> None:
    """CPU, small datagrams and p99 by the names that metrics have; what is not known is not told."""
    primary = _comparison("worse", -60.0, f"no-{TSO}")
    names = {"tcp.cpu_per_10gbit": 80.0, "small.goodput": 1.0, "latency.rtt_p99": -2.0, "tcp.retransmits": 9.0,
             "streams.goodput": None}  # fmt: skip
    others = [replace(primary, metric=name, primary=False, effect_pct=pct, ci_low_pct=pct and pct - 5,
                      ci_high_pct=pct and pct + 5) for name, pct in names.items()]  # fmt: skip
    said = benefit.judged(nic(), Judgement((primary, *others), (), ()), {})[TSO].said.replace("\xa0", " ")

    assert {name.rpartition(".")[2] for name in names} - METRICS.keys() == set()
    assert "; CPU per 10 Gbit/s of tcp +80.0 % [+75.0, +85.0] %" in said
    assert "; not seen to move: goodput of small, p99 RTT of latency" in said
    assert "retransmits" not in said
    assert "streams" not in said


@pytest.mark.parametrize(("end", "out"), [("a", "goodput_forward"), ("b", "goodput_reverse")])
def test_each_way_alone_stands_beside_as_the_nic_has_it(end: str, out: str) -> None:
    """Forward is from a to b: what a NIC of b takes in."""
    primary = _comparison("worse", -60.0, f"no-{TSO}")
    alone = replace(primary, metric=f"tcp.{out}", primary=False, effect_pct=-30.0, ci_low_pct=-35.0, ci_high_pct=-25.0)
    said = benefit.judged(replace(nic(), host=end), Judgement((primary, alone), (), ()), {})[TSO].said

    assert "; goodput out of tcp −30.0 % [−35.0, −25.0] %" in said.replace("\xa0", " ")


def _advice(setting: str, value: str) -> Advice:
    shown = Evidence("r", "direct", "tcp.goodput", "t", 9.0, 8.0, 10.0, 12)
    one = Recommendation(setting, value, "guest", "on", "it won.", shown, "", "do", "undo")
    return Advice("confirmed", "Confirmed.", (one,), (), (), "")


WEIGHED = {
    "on, and it corrupts": ("tso", "on", "corrupts", "nothing", 0),
    "on, and it works": ("tso", "on", "works", "confirmed", 1),
    "off, and it corrupts": ("tso", "off", "corrupts", "confirmed", 1),
    "by the kernel's string": (TSO, "on", "claimed but not engaged", "nothing", 0),
    "of which nothing is known": ("mtu", "9000", "corrupts", "confirmed", 1),
}


@pytest.mark.parametrize(("setting", "value", "verdict", "status", "count"), WEIGHED.values(), ids=WEIGHED)
def test_advice_is_weighed_by_a_validation(setting: str, value: str, verdict: Any, status: str, count: int) -> None:
    """Nothing that is at fault is recommended to be switched on; the reason of the rest says what was found."""
    found = weighed(_advice(setting, value), _with(TSO, verdict))

    assert (found.status, len(found.recommendations), len(found.rejected)) == (status, count, 1 - count)
    assert all(f"{TSO} {verdict}" in each.reason for each in found.recommendations if setting != "mtu")


@pytest.mark.parametrize(("value", "at", "status"), [("off", "off", "nothing"), ("on", "off", "confirmed"),
                                                     ("off", "on", "confirmed"), ("on", "on", "nothing")])  # fmt: skip
def test_the_position_in_which_a_feature_goes_wrong_is_not_recommended(value: str, at: str, status: str) -> None:
    """Whichever it is."""
    rows = tuple(replace(row, verdict="corrupts", at=at) if row.feature == TSO else row for row in FOUND.features)

    assert weighed(_advice("tso", value), replace(FOUND, features=rows)).status == status


def test_what_was_measured_together_is_left_out_together() -> None:
    """The rest of an arm has no figure; another arm's has its own, and is a candidate again."""
    one, mtu, other = (_advice(*each).recommendations[0] for each in (("tso", "on"), ("mtu", "9000"), ("gro", "on")))
    apart = replace(other, evidence=replace(other.evidence, treatment="another"))
    advice = replace(_advice("tso", "on"), recommendations=(one, mtu, apart), next_command="nettune run --confirm r")
    found = weighed(advice, _with(TSO, "corrupts"))

    assert [each.setting for each in found.recommendations] == ["gro"]
    assert [name for name, _ in found.rejected] == ["tso on", "mtu 9000"]
    assert (found.status, found.next_command) == ("candidate", "")
    assert f"Left out, as the validation speaks against it: tso on ({TSO} corrupts)" in found.sentence


def test_only_what_both_ends_can_change_is_measured_and_nothing_at_fault() -> None:
    """Each of them at the guests, in its other position."""
    arms = benefit.treatments(nic(), nic("b", tx_scatter_gather="on [fixed]"), without={"rx-checksum"})

    assert set(arms) == {"with-rx-gro", f"no-{TSO}", "no-tx-checksum-ip-generic"}
    assert arms["with-rx-gro"] == {"settings": {"rx-gro": "on"}, "target": "guest"}


OLD_LOG = "e1000e 0000:00:1f.6 eno1: NIC Link is Up 1000 Mbps\nall well\n"
HANG = "e1000e 0000:00:1f.6 eno1: Detected Hardware Unit Hang:\n"


def test_a_soak_tells_counters_and_words_of_the_log_that_grew() -> None:
    """Those whose name speaks of errors, and what drivers say in trouble."""
    before = parse("NIC statistics:\n     rx_missed_errors: 1\n     rx_packets: 9\n", "/x/statistics/tx_errors:0\n")
    after = parse("     rx_missed_errors: 4\n     rx_packets: 99\n", "/x/statistics/tx_errors:0\n")

    assert grown("a", before, after) == ["a: rx_missed_errors grew from 1 to 4"]
    assert fresh(OLD_LOG, OLD_LOG + HANG) == [f"kernel log: {HANG.strip()}"]
    assert fresh(OLD_LOG + HANG, OLD_LOG + HANG) == []


def test_what_comes_into_a_full_log_is_told_though_as_many_lines_went() -> None:
    """A new hang that has pushed an old one out; the old one is not told again."""
    old, new = f"[    9.1] {HANG}", f"[  712.4] {HANG}"

    assert fresh(old + OLD_LOG, OLD_LOG + new) == [f"kernel log: {new.strip()}"]


def test_frames_that_nobody_asked_for_are_no_fault_of_the_nic() -> None:
    """A switch's LLDP and spanning tree count as rx_dropped; what finds no room in a ring counts elsewhere."""
    counters = "     rx_dropped: {0}\n     rx_queue_0_drops: {0}\n     rx_fifo_errors: {0}\n"
    sums = "/x/statistics/rx_dropped:{0}\n/x/statistics/rx_nohandler:{0}\n/x/statistics/rx_missed_errors:{0}\n"
    before, after = (parse(counters.format(each), sums.format(each)) for each in (1, 5))

    assert {line.split()[1] for line in grown("a", before, after)} == {
        "rx_queue_0_drops", "rx_fifo_errors", "rx_missed_errors"}  # fmt: skip


def test_a_log_that_cannot_be_read_is_told_beside_the_soak() -> None:
    """Nobody has looked: that is no "ok" of the log."""
    said = notes(Soaked(600.0, 5_000_000_000, (), ("a: dmesg: read kernel buffer failed: Operation not permitted",)))

    assert said[0] == "Soaked for 600 s, 5 GB of payload compared."
    assert said[1].startswith("The kernel's log was not looked at: a: dmesg: read kernel buffer failed")
    assert notes(None) == ()
