"""A search by Optuna: a worker that was cut short asks the same again, and workers of one study choose alike."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from results.errors import WrongInput
from tests.unit.tuning.search.made import Machine, adding, design, factors
from tuning.search.planned import Explored
from tuning.search.sampling import _Study, sampled
from tuning.search.stages import Answer, Factor, Measured, Stage

GAINS = adding({"net.knob0": 0.3})


class _Cut(Exception):  # noqa: N818 - no error: what SIGINT does to a worker
    """The worker ends here."""


class _Worker:
    """One worker: what it measured stays, as runs in a store do."""

    def __init__(
        self, folder: Path, name: str, knobs: Sequence[Factor], seed: int = 0, sd: float = 0.01, trials: int = 120
    ) -> None:
        self._storage, self._name, self._knobs, self._seed = f"sqlite:///{folder}/s.db", name, tuple(knobs), seed
        self._machine, self._trials = Machine(GAINS, seed=seed, sd=sd), trials
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
            design(), self._trials, storage=self._storage, study="shared", worker=self._name, seed=self._seed,
            measure=measure, explore=lambda _: Explored(self._knobs, {}, (), ()), watch=lambda _, __: None,
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
    assert any(said.startswith("two confirms it for the whole study") for said in answer.said)


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


def test_a_study_has_one_confirmation_whatever_the_number_of_its_workers(tmp_path: Path) -> None:
    """The first that reaches the end makes it; of k at .05 one would hold by chance oftener than one in twenty."""
    workers = [_Worker(tmp_path, f"worker-{seed}", factors(4), seed=seed) for seed in range(3)]
    answers = [each.searched() for each in workers]
    asked = [sum(stage.purpose == "confirm" for stage in each.asked) for each in workers]
    sampled_there = sum(stage.purpose == "sample" for each in workers for stage in each.asked)

    assert [each.status for each in answers] == ["confirmed", "nothing", "nothing"]
    assert asked == [1, 0, 0]
    assert all("`nettune tune --resume worker-0` goes on with it" in each.said[-1] for each in answers[1:])
    (count,) = [
        int(word.split(" in the study")[0].rsplit(" ", 1)[1]) for word in answers[2].said if "in the study" in word
    ]
    assert count >= sampled_there


def test_of_workers_that_reach_the_end_at_once_one_confirms(tmp_path: Path) -> None:
    """The storage numbers their claims; none sees itself first beside another."""
    url = f"sqlite:///{tmp_path}/s.db"
    first = _Study(url, "shared", "first", 0)
    first.over(factors(2))
    ticket, _ = first.ask(0)
    first.tell(ticket, 0.3)
    studies = [_Study(url, "shared", f"worker-{n}", n) for n in range(4)]
    for each in studies:
        each.over(factors(2))
    together = threading.Barrier(len(studies))

    def claimed(each: _Study) -> str:
        together.wait()
        claim = each.claimed()
        assert claim is not None
        return claim.worker

    with ThreadPoolExecutor(len(studies)) as pool:
        found = set(pool.map(claimed, studies))

    assert len(found) == 1
    assert first.count() == 1


def test_a_confirmation_of_a_study_is_sized_by_its_noise_and_guards(tmp_path: Path) -> None:
    """A p99 that scatters takes more than twelve blocks to be resolved; the budget keeps them back."""
    worker = _Worker(tmp_path, "one", factors(2), seed=1, sd=0.06, trials=200)
    answer = worker.searched()
    (confirm,) = [each for each in worker.asked if each.purpose == "confirm"]

    assert 14 < confirm.blocks <= 25
    assert answer.trials <= 200
    assert answer.said[0].startswith("The effect of a block scatters by")
    assert answer.picks[0].gain.n == confirm.blocks


def test_noise_that_the_budget_cannot_see_through_is_refused_before_anything_is_asked_of_a_study(
    tmp_path: Path,
) -> None:
    """As in nettune's own search."""
    worker = _Worker(tmp_path, "one", factors(2), sd=3.0)
    answer = worker.searched()

    assert answer.status == "refused"
    assert [each.purpose for each in worker.asked] == ["noise"]
    assert "is too small for any claim" in answer.said[-1]


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

    assert answer.said[-1] == "Nothing to gain: the link is full (936 of 957 Mbit/s)."
    assert [each.stage.purpose for each in stages] == ["noise"]
