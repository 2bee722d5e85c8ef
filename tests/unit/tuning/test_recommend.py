"""Verdicts turned into advice: nothing, candidates, confirmed; never a combination that did not win."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from results.records import TOGETHER, Comparison, GuardResult, Judgement, Run, VerdictWord
from tests.unit.results.example import comparison, example_run
from tuning.recommend import recommend, winning

TSO: Mapping[str, str] = {"setting": "tso", "value": "off", "target": "path", "was": "on"}
MTU: Mapping[str, str] = {"setting": "mtu", "value": "9000", "target": "path", "was": "1500"}


def _run(settings: Mapping[str, tuple[Mapping[str, str], ...]], *, confirms: str = "") -> Run:
    return replace(example_run(), run_id="r2" if confirms else "r1", settings=settings, confirms=confirms)


def _found(
    treatment: str, effect_pct: float | None, verdict: VerdictWord = "better", *, topology: str = "bridge",
    candidate: bool | None = None, guards: tuple[GuardResult, ...] = (),
) -> Comparison:  # fmt: skip
    return replace(
        comparison(topology, "tcp.goodput", treatment),
        primary=True,
        verdict=verdict,
        effect_pct=effect_pct,
        ci_low_pct=None if effect_pct is None else effect_pct - 1,
        ci_high_pct=None if effect_pct is None else effect_pct + 1,
        blocks=8,
        reason="it is so",
        guards=guards,
        candidate=verdict == "better" if candidate is None else candidate,
    )


def _judged(*comparisons: Comparison) -> Judgement:
    return Judgement(tuple(comparisons), (), ())


SETTINGS = {"no-tso": (TSO,), "jumbo": (MTU,), TOGETHER: (TSO, MTU)}


def test_without_a_winner_nothing_is_recommended() -> None:
    """The answer is to change nothing, and how much stayed open."""
    advice = recommend(_run(SETTINGS), _judged(_found("no-tso", 0.1, "equivalent"), _found("jumbo", 3, "inconclusive")))

    assert (advice.status, advice.recommendations, advice.next_command) == ("nothing", (), "")
    assert advice.sentence == "Nothing that was measured is worth changing. 1 of 2 comparisons stayed open."
    assert advice.rejected == (
        ("no-tso on bridge", "equivalent: it is so"), ("jumbo on bridge", "inconclusive: it is so")
    )  # fmt: skip


def test_what_only_a_lab_has_is_never_recommended() -> None:
    """Fewer rules are faster: an answer, and no setting for anybody's firewall; its verdict is told all the same."""
    rules: Mapping[str, str] = {"setting": "firewall_rules", "value": "0", "target": "node", "was": "5000"}
    judged = _judged(_found("none", 250), _found("no-tso", 8))
    advice = recommend(_run({"none": (rules,), "no-tso": (TSO,)}), judged)
    alone = recommend(_run({"none": (rules,)}), _judged(_found("none", 250)))

    assert [each.setting for each in advice.recommendations] == ["tso"]
    assert ("none on bridge", "better: it is so; what only a lab has is no setting to keep") in advice.rejected
    assert (alone.status, alone.sentence) == ("nothing", "Nothing that was measured is worth changing.")


def test_a_run_without_treatments_compares_nothing() -> None:
    """The plan `noise`."""
    assert recommend(_run({}), _judged()).sentence == "Nothing was compared: change nothing."


def test_a_winner_is_a_candidate_until_it_is_confirmed() -> None:
    """With setting, evidence, risk, its undo, and the command that measures it again."""
    advice = recommend(_run(SETTINGS), _judged(_found("jumbo", 30.0), _found("no-tso", -5.0, "worse")))
    (only,) = advice.recommendations

    assert (advice.status, advice.next_command) == ("candidate", "nettune run --confirm r1")
    assert "not yet confirmed: jumbo tcp.goodput +30.0 % [+29.0, +31.0], 8 blocks on bridge" in advice.sentence
    assert (only.setting, only.value, only.target, only.was) == ("mtu", "9000", "path", "1500")
    assert (only.do, only.undo) == ("ip link set dev DEVICE mtu 9000", "ip link set dev DEVICE mtu 1500")
    assert (only.evidence.run_id, only.evidence.effect_pct, only.evidence.blocks) == ("r1", 30.0, 8)
    assert only.risk
    assert [what for what, _ in advice.rejected] == ["no-tso on bridge"]


def test_a_confirmation_makes_its_winners_confirmed() -> None:
    """Only its estimate is called the gain."""
    advice = recommend(_run({"jumbo": (MTU,)}, confirms="r1"), _judged(_found("jumbo", 20.0)))

    assert (advice.status, advice.next_command) == ("confirmed", "")
    assert advice.sentence.startswith("Confirmed on fresh blocks: jumbo tcp.goodput +20.0 %")
    assert [each.evidence.run_id for each in advice.recommendations] == ["r2"]


def test_what_was_not_confirmed_is_not_recommended() -> None:
    """A winner's curse ends here."""
    advice = recommend(_run({"jumbo": (MTU,)}, confirms="r1"), _judged(_found("jumbo", 1.0, "equivalent")))

    assert (advice.status, advice.recommendations) == ("nothing", ())
    assert advice.sentence == "Nothing of run r1 was confirmed on fresh blocks: change nothing."


def test_a_gain_that_harms_a_guard_is_no_winner() -> None:
    """Better, but not a candidate: the sentence says why nothing is recommended."""
    advice = recommend(_run(SETTINGS), _judged(_found("jumbo", 30.0, candidate=False)))

    assert advice.status == "nothing"
    assert advice.sentence.startswith("jumbo gains, but harms a guard or loses elsewhere")


def test_a_winner_that_is_worse_elsewhere_is_none() -> None:
    """A host has one value for all its paths."""
    judgement = _judged(
        _found("jumbo", 30.0), _found("jumbo", -20.0, "worse", topology="routed"), _found("no-tso", 6.0)
    )

    assert list(winning(_run(SETTINGS), judgement)) == ["no-tso"]
    assert "jumbo on bridge" in dict(recommend(_run(SETTINGS), judgement).rejected)


def test_the_smallest_gain_of_a_winner_is_its_evidence_and_the_best_winner_comes_first() -> None:
    """No topology promises more than it gave."""
    judgement = _judged(
        _found("no-tso", 6.0), _found("jumbo", 30.0), _found("jumbo", 12.0, topology="routed"),
        _found("jumbo", 1.0, "equivalent", topology="direct"),
    )  # fmt: skip

    assert [(name, each.topology, each.effect_pct) for name, each in winning(_run(SETTINGS), judgement).items()] == [
        ("jumbo", "routed", 12.0), ("no-tso", "bridge", 6.0)
    ]  # fmt: skip


def test_when_all_together_win_their_own_estimate_counts() -> None:
    """Effects of settings do not add up."""
    found = (_found("jumbo", 20.0), _found("no-tso", 10.0), _found(TOGETHER, 25.0))
    advice = recommend(_run(SETTINGS, confirms="r1"), _judged(*found))

    assert [(each.setting, each.evidence.treatment, each.evidence.effect_pct) for each in advice.recommendations] == [
        ("tso", TOGETHER, 25.0), ("mtu", TOGETHER, 25.0)
    ]  # fmt: skip


TOGETHER_LOST: dict[str, tuple[float, VerdictWord]] = {
    "worse": (-9.0, "worse"), "no better": (0.0, "equivalent"), "open": (7.0, "inconclusive"),
}  # fmt: skip


@pytest.mark.parametrize(("effect_pct", "verdict"), TOGETHER_LOST.values(), ids=TOGETHER_LOST)
def test_winners_that_do_not_win_together_are_not_recommended_together(effect_pct: float, verdict: VerdictWord) -> None:
    """Their combination was measured and did not win: the best one alone is what was confirmed."""
    found = (_found("no-tso", 10.0), _found("jumbo", 20.0), _found(TOGETHER, effect_pct, verdict))
    advice = recommend(_run(SETTINGS, confirms="r1"), _judged(*found))

    assert [each.setting for each in advice.recommendations] == ["mtu"]
    assert advice.sentence.startswith("Confirmed on fresh blocks: jumbo ")
    assert ("no-tso on bridge", "better: it is so; not together with jumbo") in advice.rejected


def test_the_same_setting_at_two_targets_is_two_settings() -> None:
    """Guests and nodes are set apart."""
    guest, node = {**TSO, "target": "guest"}, {**TSO, "target": "node"}
    run = _run({"guests": (guest,), "nodes": (node,)})
    advice = recommend(run, _judged(_found("guests", 9.0), _found("nodes", 8.0)))

    assert [(each.setting, each.target) for each in advice.recommendations] == [("tso", "guest"), ("tso", "node")]


def test_guards_that_stayed_open_are_named() -> None:
    """They stop `apply` unless told otherwise."""
    open_one = GuardResult("latency.rtt_p99", "not resolved", None, None, None, 0.1, absolute=False, visible=None)
    guards = (open_one, replace(open_one, metric="tcp.drops", word="ok"))

    assert recommend(_run(SETTINGS), _judged(_found("jumbo", 9.0, guards=guards))).unresolved == ("latency.rtt_p99",)


@pytest.mark.parametrize(
    ("was", "undo"),
    [("on", "ethtool -K DEVICE tso on"), ("off [requested on]", "ethtool -K DEVICE tso on"),
     ("off | on", "put back what was there: off | on")],
)  # fmt: skip
def test_the_way_back_is_a_command_where_there_is_one(was: str, undo: str) -> None:
    """Devices that differed have no single command."""
    advice = recommend(_run({"no-tso": ({**TSO, "was": was},)}), _judged(_found("no-tso", 9.0)))

    assert [each.undo for each in advice.recommendations] == [undo]


def test_advice_as_plain_text_is_for_the_report() -> None:
    """Signs and units in place."""
    mapping = recommend(_run(SETTINGS), _judged(_found("jumbo", 9.0))).as_mapping()
    rows = mapping["settings"]

    assert isinstance(rows, Sequence)
    assert mapping["status"] == "candidate"
    assert (rows[0]["effect"], rows[0]["interval"], rows[0]["n"]) == ("+9.0 %", "+8.0 … +10.0 %", 8)
