"""The words of `nettune offload`: what they mean, and what is wrong with them; two validations side by side."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nettune import offload, offload_said
from nettune.say import Screen
from results.errors import WrongInput
from tests.unit.nettune.program import Program, here
from tests.unit.tuning.test_offload_document import FOUND
from tuning.offload.document import document
from tuning.offload.evidence import LEVELS

ASKED: dict[str, Any] = {
    "inventory": "", "pair": "", "nic": "a", "levels": "", "only": "", "required": "", "soak": "", "payload_mb": 0,
    "console": False, "seed": 1,
}  # fmt: skip


def test_by_default_everything_but_the_soak() -> None:
    """A soak is asked for by its time."""
    plain = offload.wish("nic", [], **ASKED).wanted
    soaked = offload.wish("nic", [], **{**ASKED, "soak": "10m"}).wanted

    assert plain.levels == frozenset(LEVELS) - {"stability"}
    assert (soaked.levels, soaked.soak_s) == (frozenset(LEVELS), 600)


def test_levels_by_number_or_name_and_features_by_ethtool_s_words() -> None:
    """Tso is several of the kernel's."""
    found = offload.wish("nic", [], **{**ASKED, "levels": "1,engaged,7", "only": "tso,rx-gro", "nic": "b.eth1",
                                       "pair": "a.eth1,b.eth1", "payload_mb": 5})  # fmt: skip

    assert found.wanted.levels == {"inventory", "engaged", "restored"}
    assert "tx-tcp6-segmentation" in found.wanted.features
    assert (found.wanted.nic_end, dict(found.wanted.devices)) == ("b", {"a": "eth1", "b": "eth1"})
    assert found.wanted.bulk_bytes == 5_000_000


WRONG = {
    "no level": ({"levels": "functon"}, "--levels 'functon' is none", "function"),
    "no number of one": ({"levels": "9"}, "--levels '9' is none", "inventory"),
    "a soak without a time": ({"levels": "stability"}, "takes a time", "--soak 10m"),
    "no time": ({"soak": "soon"}, "--soak 'soon' is no time", "10m"),
    "no feature": ({"only": "tx-tcp-segmentaton"}, "--features 'tx-tcp-segmentaton'", "tx-tcp-segmentation"),
    "one of another kernel": ({"required": "tx-warp-drive"}, "--require 'tx-warp-drive'", "ethtool"),
    "no pair": ({"pair": "eth1,eth2"}, "--pair 'eth1' names no device of an end", "a.eth1"),
    "no end": ({"nic": "c.eth1"}, "a pair has the ends a and b", "--pair a.eth1"),
    "an inventory that is not there": ({"inventory": "/no/such"}, "no inventory '/no/such'", ""),
}


@pytest.mark.parametrize(("changed", "said", "hint"), WRONG.values(), ids=WRONG)
def test_a_slip_is_told_by_its_option(changed: dict[str, str], said: str, hint: str) -> None:
    """And what would have been right."""
    with pytest.raises(WrongInput) as caught:
        offload.wish("nic", [], **{**ASKED, **changed})

    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_a_plan_of_several_paths_is_refused() -> None:
    """A pair is one path."""
    with pytest.raises(WrongInput, match="takes one path"):
        offload.wish("offloads", [], **ASKED)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


def test_two_validations_side_by_side(tmp_path: Path, program: Program) -> None:
    """What differs in the NICs, their features and the verdicts; what is alike is left out."""
    other = replace(
        FOUND,
        nic=replace(FOUND.nic, identity={**FOUND.nic.identity, "firmware": "2"}),
        features=tuple(replace(row, verdict="drops") if row.feature == "payload" else row for row in FOUND.features),
    )
    for name, each in (("one", FOUND), ("other", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "offload.json").write_text(json.dumps(document(each)), encoding="utf-8")
    done = program("offload", "compare", str(tmp_path / "one"), str(tmp_path / "other" / "offload.json"), "--json")
    found = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert (found["nic"], found["features"]) == ({"firmware": ["absent", "2"]}, {})
    assert found["verdicts"] == {"payload tx": ["works", "drops"]}
    assert "tx-tcp-segmentation tx" in found["verdicts alike"]


def test_what_is_no_validation_is_not_compared(tmp_path: Path, program: Program) -> None:
    """Exit code 2, by the file's name."""
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    done = program("offload", "compare", str(tmp_path / "x.json"), str(tmp_path / "no.json"))

    assert done.returncode == 2
    assert "x.json is no validation" in done.stderr


def test_a_fault_is_told_with_what_to_do_until_it_is_repaired(capsys: pytest.CaptureFixture[str]) -> None:
    """On the screen: the row, the reason, the command, and that it does not hold; none where as found it is well."""
    for at, helps in (("on", True), ("off", False)):
        rows = tuple(
            replace(row, verdict="corrupts", at=at) if row.feature == "tx-tcp-segmentation" else row
            for row in FOUND.features
        )
        offload_said.told(Screen(), replace(FOUND, features=rows), ())
        out = capsys.readouterr().out

        assert ("ethtool -K eth0 tx-tcp-segmentation off" in out) == helps
        assert "the validation does not hold" in out
