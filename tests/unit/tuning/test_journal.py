"""The journal: originals on disk before any write; what is outstanding can be told after any crash."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.facts.sheet import FactSheet
from results.errors import NotAble, WrongInput
from tuning.journal import FORMAT, Intent, Journal, kept, outstanding
from tuning.knobs.knob import Change

SHEETS = {"a": FactSheet("a", {"k1": "1", "ü": "\n"}), "b": FactSheet("b", {"k1": "2"})}
FIRST = (Change("a", "k1", "9"), Change("b", "k1", "9", follows=True))
SECOND = (Change("a", "ü", "8"),)
TEXT = st.text(max_size=6)
FILES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the folder is shared, every example writes its own file


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where the journal is kept."""
    yield tmp_path / "journals" / "run.jsonl"  # noqa: PT022 - a generator like its neighbours


def test_an_intent_is_on_disk_before_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When `intend` returns, the originals and the intent were written and synced, in that order."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").name))
    with kept(path) as journal:
        before = len(synced)
        intent = journal.intend(FIRST, SHEETS)
        found = outstanding(path)
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        journal.undone(intent)

    assert found == (intent,)
    assert [next(iter(line)) for line in lines] == ["journal", "sheet", "sheet", "intent"]
    assert before + len(lines) - 1 == len(synced) - 1


def test_a_sheet_is_written_once(path: Path) -> None:
    """Two intents over the same state share its sheet."""
    with kept(path) as journal:
        for changes in (FIRST, SECOND):
            journal.undone(journal.intend(changes, SHEETS))
        text = path.read_text(encoding="utf-8")

    assert text.count('"facts"') == 2


def test_a_journal_with_nothing_outstanding_is_removed(path: Path) -> None:
    """Also when an error passed through."""
    with kept(path) as journal:
        journal.undone(journal.intend(FIRST, SHEETS))
    gone = not path.exists()
    with pytest.raises(KeyError), kept(path):
        raise KeyError

    assert (gone, path.exists()) == (True, False)


def test_a_journal_with_something_outstanding_is_kept(path: Path) -> None:
    """The values to come back to stand in it, those that the host made of ours too."""
    with kept(path) as journal:
        intent = journal.saw(journal.intend(FIRST, SHEETS), {("a", "k1"): "7"})
        journal.undone(journal.intend(SECOND, SHEETS))

    assert outstanding(path) == (intent,)
    assert intent.seen == {("a", "k1"): "7"}
    assert [intent.original(change) for change in FIRST] == ["1", "2"]
    assert intent.original(Change("a", "new", "1")) is None


def test_a_second_journal_does_not_overwrite_the_first(path: Path) -> None:
    """Originals are written once."""
    with pytest.raises(NotAble, match="File exists"), kept(path), kept(path):
        pass


FACTS = st.dictionaries(TEXT, TEXT, max_size=4)
CHANGES = st.lists(
    st.builds(Change, host=st.sampled_from("ab"), key=TEXT, wanted=TEXT, follows=st.booleans()), max_size=4
)
STEPS = st.lists(
    st.tuples(
        CHANGES, FACTS, FACTS, st.dictionaries(st.tuples(st.sampled_from("ab"), TEXT), TEXT, max_size=2), st.booleans()
    ),
    max_size=4,
)


@FILES
@given(steps=STEPS)
def test_what_was_journalled_is_what_is_outstanding(steps: list[tuple], tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Any text in keys and values, any number of intents, undone or not."""
    expected: list[Intent] = []
    path = tmp_path / "x.jsonl"
    path.unlink(missing_ok=True)
    with kept(path) as journal:
        for changes, facts_a, facts_b, seen, undo in steps:
            sheets = {"a": FactSheet("a", facts_a), "b": FactSheet("b", facts_b)}
            intent = journal.saw(journal.intend(changes, sheets), seen)
            if undo:
                journal.undone(intent)
            else:
                expected.append(intent)
        found = outstanding(path)

    assert found == tuple(expected)
    assert path.exists() == bool(expected)


def _written(path: Path) -> bytes:
    """A real journal: two intents, one with values seen and undone, one outstanding."""
    with kept(path) as journal:
        first = journal.saw(journal.intend(FIRST, SHEETS), {("a", "k1"): "7"})
        journal.intend(SECOND, SHEETS)
        journal.undone(first)
    return path.read_bytes()


def _expected(lines: list[dict[str, object]]) -> list[object]:
    """The ids of the intents that these whole lines leave outstanding."""
    intents = [line["intent"] for line in lines if "intent" in line]
    return [each for each in intents if {"undone": each} not in lines]


def test_a_journal_cut_anywhere_tells_every_whole_intent(path: Path) -> None:
    """Whatever byte was the last one on disk: no intent is lost, none is made up, nothing else is raised."""
    whole = _written(path)
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        lines = []
        for line in whole[:end].splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue

        assert [each.intent_id for each in outstanding(path)] == _expected(lines)


@FILES
@given(at=st.integers(0, 700), garbage=st.binary(min_size=1, max_size=6))
def test_a_journal_damaged_anywhere_is_read_or_refused_by_name(at: int, garbage: bytes, tmp_path: Path) -> None:
    """Bytes of a bad disk: intents or WrongInput, and no other exception."""
    path = tmp_path / "damaged.jsonl"
    if not path.exists():
        _written(path)
        (tmp_path / "whole").write_bytes(path.read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    path.write_bytes(whole[:at] + garbage + whole[at + len(garbage) :])
    try:
        found = outstanding(path)
    except WrongInput:
        return

    assert len(found) <= 2


WRONG = {
    "another format": ['{"journal":99}'], "something else": ['{"lease":"x"}'],
    "an intent without sheets": [f'{{"journal":{FORMAT}}}', '{"intent":1,"changes":[],"originals":{"a":"x"}}'],
    "a change of three": [f'{{"journal":{FORMAT}}}', '{"intent":1,"changes":[["a","k","v"]],"originals":{}}'],
    "seen of nothing": [f'{{"journal":{FORMAT}}}', '{"seen":5,"values":[]}'],
    "facts of text": [f'{{"journal":{FORMAT}}}', '{"sheet":"x","host":"a","facts":"abc"}'],
}  # fmt: skip


@pytest.mark.parametrize("lines", WRONG.values(), ids=WRONG)
def test_what_is_no_journal_is_refused_by_name(tmp_path: Path, lines: list[str]) -> None:
    """A newer format, another file, a damaged one."""
    (tmp_path / "x.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(WrongInput, match=r"x\.jsonl"):
        outstanding(tmp_path / "x.jsonl")


def test_an_empty_journal_has_nothing_outstanding(tmp_path: Path) -> None:
    """A run that was killed before its first line."""
    (tmp_path / "x.jsonl").write_text("", encoding="utf-8")

    assert outstanding(tmp_path / "x.jsonl") == ()


def test_a_clean_journal_says_so(path: Path) -> None:
    """Clean until an intent is written, and again once it is undone."""
    states = []
    with kept(path) as journal:
        states.append(journal.clean)
        intent = journal.intend(FIRST, SHEETS)
        states.append(journal.clean)
        journal.undone(intent)
        states.append(journal.clean)

    assert isinstance(journal, Journal)
    assert states == [True, False, True]
