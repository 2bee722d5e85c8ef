"""The runs of pytest in the Makefile: every test of every tier is in one of them."""

import itertools
import re
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
RUNS = [Expression.compile(each) for each in re.findall(r'-m "([^"]+)"', MAKEFILE)]
TIERS = ("netns", "chromium", "postgresql", "vm", "pve")
MARKED = [
    (tier, *more) for tier in TIERS for size in range(3) for more in itertools.combinations(("apart", "quiet"), size)
]


@pytest.mark.parametrize("marks", [(), *MARKED], ids=" ".join)
def test_a_test_is_in_one_run_whatever_it_is_marked(marks: tuple[str, ...]) -> None:
    """One without a mark in that of `make check`."""
    of = [run.evaluate(lambda name, /, **_: name in marks) for run in RUNS]

    assert (len(of), sum(of)) == (5, 1)
