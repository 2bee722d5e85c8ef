"""What a search is told that its trials cost, and what it writes."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench.plan import SettingSpec
from bench.restarts import START_S, UNCOUNTED
from nettune import tune, tune_words, tuned
from nettune.__main__ import Interrupted
from nettune.places import places
from nettune.say import Screen
from nettune.wiring import load_plan
from results.errors import WrongInput
from results.statistics import Estimate
from results.store import opened
from tests.unit.nettune.kept import kept_example
from tests.unit.nettune.program import Program, here
from tests.unit.results.example import example_run
from tuning.search import planned
from tuning.search.ordered import Search, prices
from tuning.search.stages import Answer, Measured, Pick, Stage, config

GAIN = Estimate(12, 0.5, 0.1, 0.4, 0.6, 0.42, 0.58, 0.001)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


def test_guests_that_start_anew_are_paid_for_and_namespaces_have_none() -> None:
    """There and back, and the trials after a start that do not count."""
    guests, spaces = prices(load_plan("vm-queues", ())), prices(load_plan("quick", ()))

    assert guests.restart_s == 2 * START_S + UNCOUNTED * guests.trial_s
    assert guests.trial_s > spaces.trial_s > 0
    assert spaces.restart_s == 0.0


def test_a_budget_in_seconds_is_that_many_trials() -> None:
    """By the length that the plan's trials have."""
    plan = load_plan("quick", ())

    assert tune_words.budget(plan, 400.5 * prices(plan).trial_s, None, 160) == 400


def test_a_profile_that_a_hand_has_edited_ends_a_search_before_it_begins(program: Program, tmp_path: Path) -> None:
    """Exit code 2 and the words of `recommend`; a search that measures for hours must not find out at its end."""
    mine = tmp_path / "tuned.yaml"
    mine.write_text("settings: []  # mine\n", encoding="utf-8")
    refused = program("tune", "quick", "--trials", "20", "--out", str(mine))

    assert refused.returncode == 2
    assert f"{mine} is not as nettune wrote it: a hand has been at it, and it is not written over" in refused.stderr
    assert "name another file: --out FILE" in refused.stderr
    assert mine.read_text(encoding="utf-8") == "settings: []  # mine\n"


def test_picks_are_written_over_what_nettune_wrote_and_over_nothing_that_a_hand_edited(tmp_path: Path) -> None:
    """Of two picks none is written where the second one's file was edited; how to have them elsewhere is said."""
    run, trials = kept_example(tmp_path / "kept.db")
    arm = run.design.treatments[0]
    settings = config(*(SettingSpec(each["setting"], each["value"], None) for each in run.settings[arm]))
    first = Pick(("throughput",), arm, settings, run.design.primary, GAIN, ())
    answer = Answer("confirmed", (first, replace(first, names=("latency",))), ("said",), len(trials))
    done = (Measured(Stage("confirm", {arm: settings}, 12), run.design, trials, run.run_id),)
    search = Search("tune-x", load_plan("quick", ()), 1, 160, "d2", (), anchors=False)
    out, second = tmp_path / "out.yaml", tmp_path / "out-latency.yaml"

    with opened(str(tmp_path / "kept.db")) as store:
        assert tuned.written(search, store, answer, done, None, out) == (out, second)
        profile = yaml.safe_load(out.read_text(encoding="utf-8"))
        assert tuned.written(search, store, answer, done, None, out) == (out, second)
        out.unlink()
        mine = second.read_text(encoding="utf-8") + "# mine\n"
        second.write_text(mine, encoding="utf-8")
        with pytest.raises(WrongInput, match="a hand has been at it") as refused:
            tuned.written(search, store, answer, done, None, out)

    assert (profile["search"], profile["stages"]) == ("tune-x", [f"confirm: {run.run_id}"])
    assert (profile["told"], profile.get("rejected")) == (["said"], None)  # what was confirmed is not "rejected"
    assert {each["run"] for each in profile["settings"]} == {run.run_id}
    assert refused.value.hint == "name another file: nettune tune --resume tune-x --out FILE"
    assert second.read_text(encoding="utf-8") == mine
    assert not out.exists()


def test_a_run_that_holds_another_configuration_is_not_taken_for_a_stage(tmp_path: Path) -> None:
    """It is found by the stage's label; which settings were measured, and which are asked for now, is said."""
    plan = load_plan("quick", ())
    search = Search("tune-x", plan, 1, 160, "d2", (), anchors=False, study="s")
    small, large = (
        Stage("sample", {"sample": config(SettingSpec("net.ipv4.tcp_rmem", value, None))}, 2)
        for value in ("4096 87380 16777216", "4096 87380 33554432")
    )
    run, trials = kept_example(
        tmp_path / "kept.db", label="tune-x.1-sample", plan=planned.planned(plan, small).document
    )
    where, screen = places(str(tmp_path / "kept.db")), Screen(quiet=True)

    with opened(where.store) as store:
        found = tune._measured(search, small, 1, where, store, screen)
        with pytest.raises(WrongInput, match=r"tcp_rmem 4096 87380 33554432.* in 2 blocks; run") as refused:
            tune._measured(search, large, 1, where, store, screen)

    assert (found.run_id, len(found.trials)) == (run.run_id, len(trials))
    assert f"run {run.run_id}, which has its place, measured sample (net.ipv4.tcp_rmem 4096 87380 16" in str(
        refused.value
    )
    assert "start the search anew" in refused.value.hint


def test_the_order_of_settings_and_arms_is_no_other_question() -> None:
    """A database may hand out the keys of a document in another order."""
    plan = load_plan("quick", ())
    pair = config(SettingSpec("net.ipv4.tcp_rmem", "4096 87380 16777216", None), SettingSpec("tso", "off", None))
    asked = planned.planned(plan, Stage("race", {"both": pair, "one": pair[:1]}, 6, sequential=True))
    other = planned.planned(plan, Stage("race", {"one": pair[:1], "both": pair[::-1]}, 6, sequential=True))

    planned.same_question(asked, example_run(plan=other.document))
    with pytest.raises(WrongInput, match="in 12 blocks"):
        planned.same_question(asked, example_run(plan={**asked.document, "blocks": {"up_to": "12"}}))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--budget", "5m"), "--budget"),
        (("--trials", "400"), "--trials"),
        (("--knob", "tso", "--disruption", "d3"), "--knob, --disruption"),
        (("--search", "optuna"), "--search"),
        (("--no-anchors",), "--anchors"),
        (("--seed", "5"), "--seed"),
        (("--set", "blocks=3"), "--set"),
        (("bridge",), "the plan"),
    ],
)
def test_what_a_search_that_goes_on_would_pass_over_is_refused(
    program: Program, given: tuple[str, ...], words: str
) -> None:
    """It goes on as it was ordered; a budget or a knob that changes nothing must not look as if it did."""
    refused = program("tune", *given, "--resume", "last")

    assert refused.returncode == 2
    assert f"--resume goes on with a search as it was ordered, and {words} would be passed over" in refused.stderr
    assert "leave out --resume: that begins another search" in refused.stderr


def test_a_search_that_goes_on_may_say_where_its_profile_and_results_go(program: Program, tmp_path: Path) -> None:
    """These are no part of the question."""
    gone = program("tune", "--resume", "last", "--out", str(tmp_path / "x.yaml"), "--store", "x.db", "--json")

    assert "no search 'last'" in gone.stderr


@pytest.mark.parametrize("search_by", ["own", "optuna"])
def test_a_search_that_is_interrupted_says_how_it_goes_on(
    program: Program, monkeypatch: pytest.MonkeyPatch, search_by: str
) -> None:
    """Its own verb and name: `run --resume last` would finish one of its runs, and no search."""

    def interrupted(*_: object) -> Measured:
        raise Interrupted

    monkeypatch.setattr(tune, "_measured", interrupted)
    ended = program("tune", "quick", "--search", search_by)

    assert ended.returncode == 130
    assert "the machine is as it was. `nettune tune --resume tune-" in ended.stderr
    assert "nettune run --resume" not in ended.stderr
    assert search_by == "optuna" or "so far (0 trials) nothing is claimed. Next: noise:" in ended.stderr
