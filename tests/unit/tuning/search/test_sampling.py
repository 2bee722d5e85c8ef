"""A search by Optuna: a worker that was cut short asks the same again, and workers of one study choose alike."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from results.errors import WrongInput
from tests.unit.tuning.search.made import Machine, adding, design, factors
from tuning.search.planned import Explored
from tuning.search.sampling import sampled
from tuning.search.stages import Answer, Factor, Measured, Stage

GAINS = adding({"net.knob0": 0.3})


class _Cut(Exception):  # noqa: N818 - no error: what SIGINT does to a worker
    """The worker ends here."""


class _Worker:
    """One worker: what it measured stays, as runs in a store do."""

    def __init__(self, folder: Path, name: str, knobs: Sequence[Factor], seed: int = 0) -> None:
        self._storage, self._name, self._knobs, self._seed = f"sqlite:///{folder}/s.db", name, tuple(knobs), seed
        self._machine = Machine(GAINS, seed=seed)
        self.kept: list[Measured] = []
        self.asked: list[Stage] = []

    def searched(self, *, cut_at: int = 1000, begun: bool = False) -> Answer:
        """The answer; `cut_at` a stage it ends in mid-measurement, `begun` says that a trial of it was kept."""
        self.asked = []

        def measure(stage: Stage, number: int) -> Measured:
            self.asked.append(stage)
            if number == len(self.kept):
                if number == cut_at and not begun:
                    raise _Cut
                self.kept.append(self._machine.measure(stage, design()))
            if number == cut_at:
                raise _Cut
            return self.kept[number]

        answer, _ = sampled(
            design(), 120, storage=self._storage, study="shared", worker=self._name, seed=self._seed, measure=measure,
            explore=lambda _: Explored(self._knobs, {}, (), ()), watch=lambda _, __: None,
        )  # fmt: skip
        return answer


@pytest.mark.parametrize("begun", [False, True], ids=["before its run is kept", "with its run kept"])
@pytest.mark.parametrize("cut_at", [3, 6])
def test_a_worker_that_was_cut_short_is_asked_for_what_it_measured(tmp_path: Path, cut_at: int, *, begun: bool) -> None:
    """Though another one told the study of its own meanwhile: no run is credited with another configuration."""
    worker = _Worker(tmp_path, "one", factors(4), seed=3)
    with pytest.raises(_Cut):
        worker.searched(cut_at=cut_at, begun=begun)
    before = worker.asked
    _Worker(tmp_path, "two", factors(4), seed=8).searched()
    answer = worker.searched()

    assert [each.arms for each in worker.asked[: len(before)]] == [each.arms for each in before]
    assert [each.stage.arms for each in worker.kept] == [each.arms for each in worker.asked]
    assert answer.status == "confirmed"


def test_a_worker_that_was_cut_short_confirms_the_candidate_that_it_began_to(tmp_path: Path) -> None:
    """Fresh blocks of one candidate, named before the first of them, whatever the study calls its best by now."""
    worker = _Worker(tmp_path, "one", factors(4), seed=3)
    worker.searched()
    last = len(worker.kept) - 1
    worker.kept.pop()
    with pytest.raises(_Cut):
        worker.searched(cut_at=last, begun=True)
    first = worker.asked[-1]
    for seed in range(3):
        _Worker(tmp_path, f"other-{seed}", factors(4), seed=seed).searched()
    worker.searched()

    assert worker.asked[-1] == first
    assert first.purpose == "confirm"


def test_a_worker_whose_hosts_offer_other_values_is_told_which_before_it_measures_for_the_study(tmp_path: Path) -> None:
    """Present values differ between pairs, and candidates with them: knob, both lists, and what to do."""
    _Worker(tmp_path, "one", factors(3)).searched()
    other = _Worker(tmp_path, "two", [*factors(2), replace(factors(3)[2], values=("2", "4"))])
    with pytest.raises(WrongInput, match=r"net\.knob2 among 1 there, 2, 4 here") as refused:
        other.searched()

    assert "--study NAME" in refused.value.hint
    assert [each.purpose for each in other.asked] == ["noise"]


@pytest.mark.parametrize(
    ("number", "words"), [(2, "net.knob2 among 1 there, nothing here"), (4, "net.knob3 among nothing there, 1 here")]
)
def test_a_worker_that_lacks_a_knob_of_the_study_or_has_one_more_is_told_so(
    tmp_path: Path, number: int, words: str
) -> None:
    """The study's best may set it: that is found before anything is measured for the study, and is no KeyError."""
    _Worker(tmp_path, "one", factors(3)).searched()
    other = _Worker(tmp_path, "two", factors(number))
    with pytest.raises(WrongInput) as refused:
        other.searched()

    assert words in str(refused.value)
    assert [each.purpose for each in other.asked] == ["noise"]


def test_workers_that_begin_a_study_at_once_with_other_choices_are_told_too(tmp_path: Path) -> None:
    """The storage refuses what the study's attributes, written twice, let through."""
    import optuna

    one = _Worker(tmp_path, "one", factors(2))
    with pytest.raises(_Cut):
        one.searched(cut_at=2)
    study = optuna.load_study(storage=f"sqlite:///{tmp_path}/s.db", study_name="shared")
    study.set_user_attr("nettune: choices", {"net.knob0": ["1"], "net.knob1": ["7"]})
    other = _Worker(tmp_path, "two", [factors(1)[0], Factor("knob-1", "net.knob1", ("7",))])

    with pytest.raises(WrongInput, match="the study shared does not choose among what this path has"):
        other.searched()


def test_a_full_link_ends_a_search_by_a_study_too(tmp_path: Path) -> None:
    """Nothing is asked of the study, and the sentence is that of nettune's own search."""
    machine = Machine(GAINS)
    found = Explored((), {}, (("line-rate", "936 of 957 Mbit/s"),), ())
    answer, stages = sampled(
        design(), 120, storage=f"sqlite:///{tmp_path}/s.db", study="s", worker="one", seed=1,
        measure=lambda stage, _: machine.measure(stage, design()), explore=lambda _: found, watch=lambda _, __: None,
    )  # fmt: skip

    assert answer.said == ("Nothing to gain: the link is full (936 of 957 Mbit/s).",)
    assert [each.stage.purpose for each in stages] == ["noise"]
