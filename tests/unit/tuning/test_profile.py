"""Profiles: what is written is read again; what a hand made wrong is named by line and key."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench import document
from results.errors import WrongInput
from results.records import Judgement
from tests.unit.results.example import comparison, example_run
from tuning.profile import Profile, ProfileSetting, load, parse
from tuning.profile_text import text
from tuning.recommend import recommend

GOOD = """\
format: 1
name: mine
status: candidate
settings:
  - {setting: tso, value: off, target: path}
  - setting: net.ipv4.tcp_rmem
    value: 4096 131072 6291456
    target: guest
"""


def _parse(content: str) -> Profile:
    return parse(document.read(content, "mine.yaml"))


def _written() -> str:
    run = replace(
        example_run(),
        run_id="r1",
        settings={"t": (
            {"setting": "tso", "value": "off", "target": "path", "was": "on"},
            {"setting": "net.ipv4.tcp_rmem", "value": "4096 16384 16384", "target": "guest", "was": "4096 131072 1"},
        )},
        notes=("Measured between namespaces: nothing of it transfers.",),
    )  # fmt: skip
    best = replace(comparison("bridge", "tcp.goodput",
        "t"), primary=True, verdict="better", candidate=True, effect_pct=9.0,
                   ci_low_pct=8.0, ci_high_pct=10.0)  # fmt: skip
    return text(run, recommend(run, Judgement((best,), (), ())))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Settings, values and targets as they were recommended."""
    (tmp_path / "profile.yaml").write_text(_written(), encoding="utf-8")

    assert load(tmp_path / "profile.yaml") == Profile(
        f"{example_run().plan_name}-r1",
        "candidate",
        (ProfileSetting("tso", "off", "path"), ProfileSetting("net.ipv4.tcp_rmem", "4096 16384 16384", "guest")),
    )


def test_a_profile_holds_reason_evidence_and_the_way_back() -> None:
    """A reader a year later needs no other file."""
    first = yaml.safe_load(_written())["settings"][0]

    assert first["undo"] == "ethtool -K DEVICE tso on"
    assert (first["run"], first["effect_pct"], first["interval_pct"]) == ("r1", 9.0, [8.0, 10.0])
    assert first["value"] == "off"
    assert yaml.safe_load(_written())["transfer"] == ["Measured between namespaces: nothing of it transfers."]


def test_a_profile_of_nothing_is_a_profile() -> None:
    """Change nothing is an answer that can be kept, and read."""
    run = replace(example_run(), settings={})
    content = text(run, recommend(run, Judgement((), (), ())))

    assert _parse(content).settings == ()
    assert _parse(content).status == "nothing"


def test_yamls_on_and_off_are_the_knobs() -> None:
    """A hand may write true, yes or off without quotes."""
    assert _parse(GOOD.replace("value: off", "value: No")).settings[0] == ProfileSetting("tso", "off", "path")


BAD = {
    "no settings": ("settings:", "setting:", "mine.yaml:4: unknown key 'setting'", "did you mean 'settings'?"),
    "no name": ("name: mine\n", "", "mine.yaml:1: the profile has no 'name'", ""),
    "newer": ("format: 1", "format: 3", "mine.yaml:1: format: this profile is of a newer format", "update nettune"),
    "no format": ("format: 1", "format: one", "mine.yaml:1: format: 'one' is no number", ""),
    "unknown status": ("status: candidate", "status: sure",
        "status: 'sure' is none of nothing, candidate, confirmed", ""),
    "no target": (", target: path", "", "mine.yaml:5: settings[0]: it has no 'target'", ""),
    "unknown target": ("target: guest", "target: gest", "mine.yaml:8: settings[1].target: 'gest' is none of guest",
                       "did you mean 'guest'?"),
    "unknown setting": ("setting: tso", "setting: tsoo", "mine.yaml:5: settings[0].setting: 'tsoo' is no knob",
                        "did you mean 'tso'?"),
    "bad value": ("4096 131072 6291456", "4096", "mine.yaml:7: settings[1].value: net.ipv4.tcp_rmem takes three", ""),
    "unknown key": ("target: guest", "where: guest", "mine.yaml:8: settings[1]: unknown key 'where'", ""),
    "settings are words": ("settings:\n", "settings: tso\nrejected:\n", "settings: a list belongs here", ""),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD.values(), ids=BAD)
def test_a_bad_profile_names_place_key_and_hint(old: str, new: str, words: str, hint: str) -> None:
    """One slip in a good profile; the error leads to it."""
    assert GOOD.count(old) == 1
    with pytest.raises(WrongInput) as raised:
        _parse(GOOD.replace(old, new))

    assert words in str(raised.value)
    assert hint in raised.value.hint


def test_a_profile_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    """A missing file, a file that is no text, an empty one."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    with pytest.raises(WrongInput, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(WrongInput, match="it is no text"):
        load(tmp_path / "bytes")
    with pytest.raises(WrongInput, match="empty:1: the file is empty"):
        load(tmp_path / "empty")
