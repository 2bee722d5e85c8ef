"""`nettune knobs` as its users meet it: lists, pages, JSON, and what cannot be."""

import json
from pathlib import Path

import pytest

from tests.unit.nettune.program import Program, here


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with a state folder that nobody makes."""
    return here(tmp_path / "state", monkeypatch, capsys)


def test_words_list_and_policies_choose(program: Program) -> None:
    """`knobs WORDS` is `knobs list WORDS`; the JSON has every field."""
    listed, same = program("knobs", "rmem", "--policy", "c"), program("knobs", "list", "rmem", "--policy", "C")
    found = json.loads(program("knobs", "rmem", "--policy", "C", "--json").stdout)

    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout == same.stdout
    assert listed.stdout.startswith("3 knobs")
    assert [each["id"] for each in found] == ["net.core.rmem_default", "net.core.rmem_max", "net.ipv4.tcp_rmem"]
    assert found[2]["symptom"] == "receive-window"
    assert program("knobs").stdout.startswith("323 knobs")


def test_one_knob_is_explained_without_a_host(program: Program) -> None:
    """No value then, and none is made up."""
    told = program("knobs", "show", "ring.rx")
    document = json.loads(program("knobs", "show", "ring.rx", "--json").stdout)

    assert told.returncode == 0
    assert "rx-ring: VALUE" in told.stdout
    assert document["survey"] is None
    assert document["offered"] == document["candidates"] == ["1024", "2048", "4096"]


WRONG = {
    "unknown knob": (("show", "net.ipv4.tcp_rmen"), 2, "no knob 'net.ipv4.tcp_rmen'", "did you mean 'net.ipv4.tcp_rm"),
    "a plan's word": (("show", "tso"), 2, "no knob 'tso'", "that word turns feature.tx-tcp-accecn-segmentation"),
    "a word of several": (("show", "rmem"), 2, "no knob 'rmem'", "`nettune knobs rmem` lists those with that word"),
    "unknown policy": (("rmem", "--policy", "A,Q"), 2, "'Q' is no policy", "there are A (a search may turn it)"),
    "no host": (("check", "ssh://root@127.0.0.1:1"), 3, "cannot be reached: Connection refused", "is it up"),
    "no address": (("check", "ssh://a b"), 2, "'ssh://a b' is no address of an SSH host", "write it as ssh://"),
    "no host's name": (("check", "pve1"), 2, "'pve1' names no host", "ssh://root@pve1"),
    "no device": (("check", "--device", "nt-none"), 3, "on local: there is no device 'nt-none'", "ip -br link"),
    "a path as device": (("show", "ring.rx", "--device", "a/b"), 2, "'a/b' names no network device", "ip -br link"),
}


@pytest.mark.parametrize(("words", "code", "message", "hint"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told(program: Program, words: tuple[str, ...], code: int, message: str, hint: str) -> None:
    """One line, one hint, and the exit code of its kind."""
    done = program("knobs", *words)

    assert code == done.returncode
    assert message in done.stderr
    assert hint in done.stderr
