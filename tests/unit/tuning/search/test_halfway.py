"""A search that was stopped: what comes next, and what leads, without measuring anything."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan import SettingSpec
from tests.unit.tuning.search.made import GOODPUT, Machine, Truth, adding, design, factors, searched
from tests.unit.tuning.search.test_pipeline import searches
from tuning.search.advising import estimated
from tuning.search.halfway import Halfway, halfway
from tuning.search.pipeline import next_step
from tuning.search.stages import Config, Measured, Question, Stage, config


def _stopped(question: Question, done: list[Measured], begun: Measured | None = None) -> Halfway:
    """A search of which these stages are over and one was begun."""

    def there(_: Stage, number: int) -> tuple[Measured, bool] | None:
        if number < len(done):
            return done[number], True
        return (begun, False) if begun is not None and number == len(done) else None

    return halfway(question, there, explored=True)


def _first(measured: Measured, blocks: int) -> Measured:
    """Of a stage that was cut short so many blocks, as a store has them."""
    trials = [
        each if each.block < blocks else replace(each, status="running") for each in measured.trials
        if each.block <= blocks
    ]  # fmt: skip
    return replace(measured, trials=trials)


@settings(max_examples=30)
@given(searches(), st.data())
def test_what_is_next_is_what_a_search_that_goes_on_measures(
    made: tuple[Question, Machine], data: st.DataObject
) -> None:
    """After any of its stages, and in the midst of any; what leads has settings that were measured, and no claim."""
    question, machine = made
    _, done = searched(question, machine)
    over = data.draw(st.integers(0, len(done)), label="stages over")
    begun = _first(done[over], data.draw(st.integers(0, 30), label="blocks")) if over < len(done) else None
    found = _stopped(question, done[:over], begun)
    step = next_step(question, done[:over])
    held = {spec for each in done[: over + 1] for arm in each.stage.arms.values() for spec in arm}

    assert (found.following, found.done, found.begun is None) == (step, tuple(done[:over]), begun is None) or (
        found.answer == step
    )
    assert (found.answer.status == "open") == isinstance(step, Stage)
    assert found.answer.status != "open" or found.answer.picks == ()
    assert found.leading is None or set(found.leading.config) <= held
    assert over < len(done) or done[-1:] == [] or done[-1].stage.purpose != "confirm" or found.leading is None


def _after(purpose: str, truth: Truth, number: int, trials: int) -> tuple[Question, list[Measured]]:
    """A search up to the end of its first stage of that kind."""
    question = Question(design(), factors(number), {}, trials)
    _, done = searched(question, Machine(truth))
    last = next(at for at, each in enumerate(done) if each.stage.purpose == purpose)
    return question, done[: last + 1]


def _named(found: Config) -> list[str]:
    return [each.setting for each in found]


def test_what_leads_after_a_race_has_its_estimate() -> None:
    """One of three knobs gains 30 %: by the arm that holds it alone."""
    question, done = _after("race", adding({"net.knob1": 0.3}), 3, 300)
    leads = _stopped(question, done).leading

    assert leads is not None
    assert (_named(leads.config), leads.arm) == (["net.knob1"], "knob1-1")
    assert leads.measured is done[-1]
    assert all(0.2 < each.low < each.mean < each.high < 0.4 for each in leads.shown.values())
    assert estimated(leads).startswith("net.knob1 1: tcp.goodput +")
    assert estimated(leads).endswith(" blocks by its race")


def test_what_leads_in_the_midst_of_a_race_is_what_its_complete_blocks_show() -> None:
    """Four of them; of one block nothing is said."""
    question, done = _after("race", adding({"net.knob1": 0.3}), 3, 300)
    leads = _stopped(question, done[:1], _first(done[1], 4)).leading

    assert leads is not None
    assert _named(leads.config) == ["net.knob1"]
    assert [each.blocks for each in leads.shown.values()] == [4]
    assert _stopped(question, done[:1], _first(done[1], 1)).leading is None


def test_what_leads_after_screening_has_the_estimate_of_each_setting() -> None:
    """No arm held the two of them alone."""
    question, done = _after("screen", adding({"net.knob2": 0.10, "net.knob5": 0.2}), 10, 900)
    leads = _stopped(question, done).leading

    assert leads is not None
    assert (_named(leads.config), leads.arm) == (["net.knob2", "net.knob5"], "")
    assert leads.shown[SettingSpec("net.knob5", "1", None)].low > 0.1
    assert estimated(leads).endswith(" by its screening")


def test_what_was_confirmed_or_refuted_leads_no_more() -> None:
    """And a confirmation that was begun is not looked into: the race's estimate stays."""
    question, done = _after("confirm", adding({"net.knob1": 0.3}), 3, 300)
    begun = _stopped(question, done[:-1], _first(done[-1], 5))

    assert _stopped(question, done).leading is None
    assert begun.leading is not None
    assert begun.leading.measured.stage.purpose != "confirm"


def test_an_anchor_of_which_passengers_left_has_the_estimate_of_the_arm_that_is_left() -> None:
    """While they are only thought to be idle it leads whole, and as it was measured last."""
    anchors = {"published": config(*(SettingSpec(f"net.other{n}", "1", None) for n in range(4)))}
    question = Question(design(), factors(2), anchors, 700)
    _, done = searched(question, Machine(adding({"net.other1": 0.5})))
    rounds = [at for at, each in enumerate(done) if each.stage.purpose == "combine"]
    whole, left = (_stopped(question, done[: at + 1]).leading for at in (rounds[0], rounds[-1]))

    assert whole is not None
    assert left is not None
    assert (len(whole.config), _named(left.config)) == (4, ["net.other1"])
    assert "by its combine" in estimated(left)
    assert GOODPUT in estimated(left)


def test_before_the_path_was_explored_nobody_knows_what_follows() -> None:
    """The noise is told; no stage is asked for."""
    question = Question(design(), (), {}, 300)
    noise = Machine(adding({})).measure(Stage("noise", {}, 8), design())
    found = halfway(question, lambda *_: (noise, True), explored=False)

    assert (found.answer.status, found.following, found.done) == ("open", None, (noise,))
    assert found.answer.said[-1] == "Next: the knobs of the path are looked for."
