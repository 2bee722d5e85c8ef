"""The design of Plackett and Burman, what it costs, and what its model says of made-up effects."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st

from bench.plan import SettingSpec
from results.records import Trial
from tests.unit.tuning.search.made import GOODPUT, P99, Machine, adding, design, factors
from tuning.search import model, screening
from tuning.search.breaking import breaking
from tuning.search.screening import Group
from tuning.search.stages import Config, Factor, Stage


def test_the_design_is_orthogonal_and_each_factor_is_set_in_half_of_its_runs() -> None:
    """Its first 12 rows are a Hadamard design; the mirrored ones leave every product of columns at 0."""
    rows = np.array(screening.signs())

    assert rows.shape == (24, 11)
    assert np.array_equal(rows[:12].T @ rows[:12], 12 * np.eye(11))
    assert np.array_equal(rows.T @ rows, 24 * np.eye(11))
    assert rows.sum(axis=0).tolist() == [0] * 11


def test_folding_over_frees_main_effects_of_every_pair() -> None:
    """Resolution IV: no column is correlated with the product of two others, as in the 12 rows alone some are."""
    rows = np.array(screening.signs())
    pairs = np.array([rows[:, i] * rows[:, j] for i in range(11) for j in range(i)]).T

    assert np.abs(rows.T @ pairs).max() == 0
    assert np.abs(rows[:12].T @ pairs[:12]).max() == 4


@pytest.mark.parametrize("number", range(5, 12))
def test_every_number_of_factors_can_be_told_apart(number: int) -> None:
    """Also where rows that set the same are one arm, and the row without a setting is current."""
    group = screening.groups(factors(number))[0]
    rows = np.array([*screening.pattern(group, group.arms).values(), (0.0,) * number])

    assert len(set(group.arms.values())) == len(group.arms) <= 23
    assert np.linalg.matrix_rank(np.column_stack([np.ones(len(rows)), rows])) == number + 1
    assert all(group.arms.values())


def test_more_than_eleven_factors_are_groups_and_costly_ones_stand_alone() -> None:
    """The first first; what restarts or relinks, or has several words, has arms of its own: one a block."""
    restart = Factor("q", "vm-queues", ("4",), cost="restart")
    words = Factor("cc", "congestion_control", ("bbr", "htcp"))
    found = screening.groups((*factors(13), restart, words))

    assert [[each.knob for each in group.together] for group in found] == [
        [f"knob-{n}" for n in range(11)], ["knob-11", "knob-12"]
    ]  # fmt: skip
    assert found[0].alone == (restart, words)
    assert sum(SettingSpec("vm-queues", "4", None) in arm for arm in found[0].arms.values()) == 1
    assert [name for name in found[0].arms if name.startswith("one-")] == ["one-1", "one-2", "one-3"]


def _fitted(
    truth: dict[str, float], pair: tuple[str, str] = ("", ""), *, together: float = -math.log(1.10), blocks: int = 8
) -> model.Model:
    group = screening.groups(factors(10))[0]

    def effects(settings: Config) -> dict[str, float]:
        both = {each.setting for each in settings} >= set(pair)
        return {GOODPUT: adding(truth)(settings)[GOODPUT] + (together if both and pair[0] else 0.0)}

    stage = Stage("screen", group.arms, blocks)
    found = model.fitted([Machine(effects, sd=0.02).measure(stage, design())], group, GOODPUT)
    assert found is not None
    return found


def test_the_model_finds_what_was_planted_and_little_else() -> None:
    """Effects within three errors of the truth; what has none does not pass."""
    found = _fitted({"net.knob2": 0.10, "net.knob5": 0.05, "net.knob7": -0.08})
    truth = [math.log1p({2: 0.10, 5: 0.05, 7: -0.08}.get(n, 0.0)) for n in range(10)]

    assert model.passing([found]) == [frozenset({2, 5})]
    assert all(abs(found.means[at] - true) < 3.5 * found.error(at) for at, true in enumerate(truth))
    assert model.best(found, frozenset({2, 5}), math.log1p(0.05)) == {2, 5}


def test_of_a_pair_that_does_not_add_up_one_is_taken() -> None:
    """Each gains alone, together they lose: their main effects alone would say nothing of it."""
    found = _fitted({"net.knob3": 0.06, "net.knob6": 0.05}, ("net.knob3", "net.knob6"), blocks=16)
    (able,) = model.passing([found])

    assert (3, 6) in found.terms
    assert len(model.best(found, able, math.log1p(0.05)) & {3, 6}) == 1
    assert found.gain(frozenset({3, 6})) < found.gain(frozenset({3}))


def test_a_setting_that_only_helps_another_goes_with_it() -> None:
    """A send buffer does nothing while the receive buffer is the smaller, and doubles what that one gains."""
    found = _fitted({"net.knob3": 1.0}, ("net.knob3", "net.knob6"), together=math.log(2.0), blocks=4)
    (able,) = model.passing([found])

    assert (3, 6) in found.terms
    assert able >= {3, 6}
    assert model.best(found, able, math.log1p(0.05)) >= {3, 6}


def test_what_harms_a_guard_is_told_apart_from_what_gains() -> None:
    """A knob that costs 40 % of p99; the others cost nothing."""
    group = screening.groups(factors(10))[0]
    machine = Machine(adding({}), late=lambda settings: {P99: 0.34 * any(x.setting == "net.knob4" for x in settings)})
    found = model.fitted([machine.measure(Stage("screen", group.arms, 6), design())], group, P99, pairs=False)

    assert found is not None
    assert model.harmful({P99: found}, {P99: math.log(1.1)}) == {4}


def test_an_arm_that_fails_leaves_the_rest_to_be_judged() -> None:
    """Every arm with one knob fails: half the rows are gone, that knob's effect cannot be told, all others' can."""
    group = screening.groups(factors(10))[0]
    stage = Stage("screen", group.arms, 6)
    machine = Machine(adding({"net.knob2": 0.1}), failing=["net.knob9"])
    found = model.fitted([machine.measure(stage, design())], group, GOODPUT)

    assert found is not None
    assert (set(found.lost), found.told) == ({9}, tuple(range(9)))
    assert model.passing([found]) == [frozenset({2})]
    assert (found.means[9], found.error(9), found.p(9)) == (0.0, math.inf, 1.0)
    assert found.means[2] == pytest.approx(math.log(1.1), abs=4 * found.error(2))


@given(st.sets(st.integers(0, 9), max_size=3), st.integers(0, 5))
@sized(max_examples=20, deadline=None)
def test_what_is_told_of_a_column_is_told_by_its_own_rows(failing: set[int], seed: int) -> None:
    """However many knobs fail: what is not lost is within its errors of the truth, and what fails is lost."""
    group = screening.groups(factors(10))[0]
    truth = {f"net.knob{n}": 0.02 * n for n in range(10)}
    machine = Machine(adding(truth), failing=[f"net.knob{n}" for n in failing], seed=seed)
    found = model.fitted([machine.measure(Stage("screen", group.arms, 6), design())], group, GOODPUT, pairs=False)

    assert found is not None or len(failing) > 1
    for at in found.told if found is not None else ():
        assert found is not None
        assert at not in failing
        assert abs(found.means[at] - math.log1p(0.02 * at)) < 6 * found.error(at)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_what_breaks_the_path_is_told_from_what_is_tried_with_it(share: float) -> None:
    """Two of ten, in each of whose arms others are held too; with the figures."""
    group = screening.groups(factors(10))[0]
    machine = Machine(adding({"net.knob2": 0.1}), failing=["net.knob4", "net.knob9"], share=share)
    stage = Stage("screen", group.arms, 10)
    found = breaking([machine.measure(stage, design())], group, GOODPUT)
    sound = breaking([Machine(adding({}), failing=["none"]).measure(stage, design())], group, GOODPUT)

    assert {factor.knob for factor, _ in found} == {"knob-4", "knob-9"}
    assert all(re.fullmatch(r"\d+ of \d+ trials with it failed, \d+ of \d+ without", said) for said in found.values())
    assert sound == {}


def test_failures_that_fall_on_any_arm_break_no_knob() -> None:
    """A path that loses one trial in fifty, whatever is held: every knob has some."""

    class Flaky(Machine):
        def _trial(self, place: tuple[str, int, int], *rest: Any) -> Trial:  # Any: as they come
            made = super()._trial(place, *rest)
            lost = place[0].startswith("pb-") and (7 * place[1] + place[2]) % 50 == 0
            return replace(made, status="failed", samples=()) if lost else made

    group = screening.groups(factors(10))[0]
    measured = Flaky(adding({})).measure(Stage("screen", group.arms, 20), design())

    assert sum(trial.status == "failed" for trial in measured.trials) >= 5
    assert breaking([measured], group, GOODPUT) == {}


def test_a_word_that_breaks_the_path_leaves_the_other_words() -> None:
    """Of a factor with arms of its own, by the method's rule of two blocks."""
    words = Factor("cc", "net.cc", ("bbr", "htcp"))
    group = screening.groups((*factors(5), words))[0]

    class Refusing(Machine):
        def _trial(self, place: tuple[str, int, int], held: Config, *rest: Any) -> Trial:  # Any: as they come
            made = super()._trial(place, held, *rest)
            broken = any(each.value == "htcp" for each in held)
            return replace(made, status="failed", samples=()) if broken else made

    found = breaking([Refusing(adding({})).measure(Stage("screen", group.arms, 2), design())], group, GOODPUT)

    assert list(found) == [(words, "htcp")]
    assert group.without(found).alone == (replace(words, values=("bbr",)),)
    assert group.without(found).together == group.together


def test_a_factor_has_candidates_that_differ_and_words_are_all_tried() -> None:
    """The strongest of a grid, every word of a list."""
    with pytest.raises(ValueError, match="candidates that differ"):
        Factor("a", "b", ("1", "1"))
    with pytest.raises(ValueError, match="candidates that differ"):
        Factor("a", "b", ())

    assert Factor("a", "b", ("1", "2"), numeric=True).tried == ("2",)
    assert Group((), (Factor("a", "b", ("x", "y")),)).columns[1][1] == "y"
