"""A run as Markdown: what a ticket needs, and no text that breaks its tables."""

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from results.judgement import judge
from results.records import Judgement
from results.ticket import ticket
from tests.unit.results.example import example_judgement, example_run, example_trials

RUN = example_run()
TRIALS = example_trials(RUN)
JUDGEMENT = example_judgement(RUN, TRIALS)
ADVICE = {"sentence": "Candidate, not yet confirmed: jumbo.", "next_command": "nettune run --confirm x"}


def _tables(text: str) -> list[list[list[str]]]:
    """The tables as GitHub would split them: lines of cells."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def test_the_answer_stands_before_what_it_rests_on() -> None:
    """Advice, next command, verdicts, noise, medians, what is missing; the run that it is of."""
    text = ticket(RUN, TRIALS, JUDGEMENT, advice=ADVICE)
    order = ["**Candidate, not yet confirmed: jumbo.**", "Next: `nettune run --confirm x`", "| bridge | jumbo | better",
             "**Noise**", "**What this run could see**", "**Medians on bridge**", "**Medians on vlan-10**",
             "- bond × jumbo: the kernel module bonding is not loaded; `modprobe bonding` would add bond0",
             "- vlan-10 block 6 no-tso: missing: wrong path: br0 counted no packets",
             "Run 20260131-120000-k7qd"]  # fmt: skip
    places = [text.index(words) for words in order]

    assert places == sorted(places)


def test_every_row_has_the_cells_of_its_head() -> None:
    """Eight verdicts, one path against the other, six arms on each of two topologies."""
    tables = _tables(ticket(RUN, TRIALS, JUDGEMENT, advice=ADVICE))

    assert [len(table) for table in tables] == [2 + 8, 2 + 1, 2 + 6, 2 + 6]
    assert [{len(line) for line in table} for table in tables] == [{8}, {5}, {7}, {7}]
    assert tables[0][2][:4] == ["bridge", "jumbo", "better (candidate)", "+14.3 % [+12.0, +16.7] %"]


def test_a_run_without_trials_says_so() -> None:
    """Nothing measured is not an error: the ticket says what was planned and that nothing was compared."""
    text = ticket(RUN, (), judge(RUN.design, ()), advice={"sentence": "Nothing was compared: change nothing."})

    assert "not measured" in text.lower()
    assert "Medians" not in text
    assert "Nothing was compared." in ticket(RUN, (), Judgement((), (), ()), advice={})


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_breaks_a_table_or_a_list(odd: str) -> None:
    """Causes and reasons come from tools: pipes, line ends, tags and styles are only text."""
    trials = (replace(TRIALS[0], status="failed", cause=odd, samples=()), *TRIALS[1:])
    run = replace(RUN, skipped=((odd, odd),), machine={"cpu": odd})
    text = ticket(run, trials, JUDGEMENT, advice={"sentence": odd})
    plain = ticket(RUN, trials, JUDGEMENT, advice={"sentence": "x"})

    assert len(text.splitlines()) == len(plain.splitlines())
    assert [[len(line) for line in table] for table in _tables(text)] == [
        [len(line) for line in table] for table in _tables(plain)
    ]
    assert not re.search(r"(?<!\\)<(?!/?sub>)", text)
