"""Naming runs: ids, beginnings, last:N, label:NAME, plan:NAME, and the hints for slips."""

import pytest

from results.errors import WrongInput
from results.selection import chosen
from results.store import Listed

LISTED = [
    Listed("20260203-c", "noise", "complete", 3.0, "", "main"),
    Listed("20260202-b", "quick", "complete", 2.0, "", "main"),
    Listed("20260201-a", "quick", "complete", 1.0, "", "branch"),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("last", "c"), ("last:2", "bc"), ("label:main", "bc"), ("plan:quick", "ab"), ("20260201", "a"),
        ("20260203-c,20260201-a", "ac"), (" 20260203 , 20260203-c ", "c"), ("label:branch,last:1", "ac"),
    ],
)  # fmt: skip
def test_runs_are_named_in_many_ways(words: str, found: str) -> None:
    """Oldest first, each once."""
    assert "".join(each.run_id[-1] for each in chosen(words, LISTED, "store x")) == found


WRONG = {
    "no such run": ("1999", "store x has no run '1999'", "`nettune runs` lists them"),
    "two of them": ("2026", "store x has more than one run '2026'", "`nettune runs` lists them"),
    "a label with a slip": ("label:mian", "store x has no run 'label:mian'", "did you mean 'main'?"),
    "a label far from any": ("label:zzz", "has no run", "there is branch, main"),
    "a plan with a slip": ("plan:quik", "has no run 'plan:quik'", "did you mean 'quick'?"),
    "last of how many": ("last:x", "'x' is no number of runs", "last:3 is the three newest"),
    "last of none": ("last:0", "'0' is no number of runs", "last:3 is the three newest"),
    "more than there are": ("last:9", "store x has 3 runs", "`nettune runs` lists them"),
    "another kind": ("lable:main", "'lable:main' is no way to name runs", "label:NAME or plan:NAME"),
    "an empty word": ("last,", "names a run with an empty word", "with commas between"),
    "nothing": ("", "names a run with an empty word", "with commas between"),
}


@pytest.mark.parametrize(("words", "said", "hint"), WRONG.values(), ids=WRONG)
def test_a_slip_is_told_with_the_nearest(words: str, said: str, hint: str) -> None:
    """What was typed, and what there is."""
    with pytest.raises(WrongInput) as raised:
        chosen(words, LISTED, "store x")

    assert said in str(raised.value)
    assert hint in raised.value.hint


def test_an_empty_store_has_no_runs_to_name() -> None:
    """Also not the last one."""
    for words in ("last", "label:main", "plan:quick"):
        with pytest.raises(WrongInput, match="has no run"):
            chosen(words, [], "store x")
