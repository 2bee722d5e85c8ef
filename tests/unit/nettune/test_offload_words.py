"""The words of `nettune offload`: what they mean, and what is wrong with them; two validations side by side."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nettune import offload_asked, offload_said
from nettune.say import Screen
from results.errors import WrongInput
from tests.unit.nettune.program import Program, here
from tests.unit.tuning.offload_made import TSO
from tests.unit.tuning.test_offload_document import FOUND
from tuning.offload.document import document
from tuning.offload.evidence import LEVELS, LevelVerdict, Soaked
from tuning.offload.soak import notes

ASKED: dict[str, Any] = {
    "inventory": "", "pair": "", "nic": "a", "levels": "", "only": "", "required": "", "soak": "", "payload_mb": 0,
    "console": False, "seed": 1,
}  # fmt: skip


def test_by_default_everything_but_the_soak() -> None:
    """A soak is asked for by its time."""
    plain = offload_asked.wish("nic", [], **ASKED).wanted
    soaked = offload_asked.wish("nic", [], **{**ASKED, "soak": "10m"}).wanted

    assert plain.levels == frozenset(LEVELS) - {"stability"}
    assert (soaked.levels, soaked.soak_s) == (frozenset(LEVELS), 600)


def test_levels_by_number_or_name_and_features_by_ethtool_s_words() -> None:
    """Tso is several of the kernel's."""
    found = offload_asked.wish("nic", [], **{**ASKED, "levels": "1,engaged,7", "only": "tso,rx-gro", "nic": "b.eth1",
                                       "pair": "a.eth1,b.eth1", "payload_mb": 5})  # fmt: skip

    assert found.wanted.levels == {"inventory", "engaged", "restored"}
    assert "tx-tcp6-segmentation" in found.wanted.features
    assert (found.wanted.nic_end, dict(found.wanted.devices)) == ("b", {"a": "eth1", "b": "eth1"})
    assert found.wanted.bulk_bytes == 5_000_000


def test_of_what_is_required_a_word_of_several_features_stays_one() -> None:
    """Those of which there is one are that feature."""
    found = offload_asked.wish("nic", [], **{**ASKED, "required": "tso,lro,rx-gro,tx-tcp-segmentation"})

    assert found.required == ("tso", "rx-lro", "rx-gro", "tx-tcp-segmentation")


WRONG = {
    "no level": ({"levels": "functon"}, "--levels 'functon' is none", "function"),
    "no number of one": ({"levels": "9"}, "--levels '9' is none", "inventory"),
    "a soak without a time": ({"levels": "stability"}, "takes a time", "--soak 10m"),
    "no time": ({"soak": "soon"}, "--soak 'soon' is no time", "10m"),
    "no feature": ({"only": "tx-tcp-segmentaton"}, "--features 'tx-tcp-segmentaton'", "tx-tcp-segmentation"),
    "one of an older kernel": ({"only": "tx-udp-fragmentation"}, "is no feature that a kernel up to 6.18 knows", "tx-"),
    "one of another kernel": ({"required": "tx-warp-drive"}, "--require 'tx-warp-drive'", "ethtool"),
    "no pair": ({"pair": "eth1,eth2"}, "--pair 'eth1' names no device of an end", "a.eth1"),
    "no end": ({"nic": "c.eth1"}, "--nic 'c.eth1' names no device of an end: there are a, b", "a.eth1"),
    "an end without a device": ({"nic": "pve1"}, "--nic 'pve1' names no device of an end", "a.eth1"),
    "a third end": ({"pair": "a.eth0,c.eth0"}, "--pair 'c.eth0' names no device of an end", "the ends a and b"),
    "one end twice": ({"pair": "a.eth0,a.eth1"}, "names two devices of end a", "the ends a and b"),
    "two devices of one end": ({"pair": "a.eth0,b.eth0", "nic": "b.eth1"}, "name two devices of end b", "in one"),
    "an inventory that is not there": ({"inventory": "/no/such"}, "no inventory '/no/such'", ""),
}


@pytest.mark.parametrize(("changed", "said", "hint"), WRONG.values(), ids=WRONG)
def test_a_slip_is_told_by_its_option(changed: dict[str, str], said: str, hint: str) -> None:
    """And what would have been right."""
    with pytest.raises(WrongInput) as caught:
        offload_asked.wish("nic", [], **{**ASKED, **changed})

    assert said in str(caught.value)
    assert hint in caught.value.hint


INVENTORY = """\
ends:
  a: {{ssh: root@{a}, device: vmbr0, below: [enp5s0.4], address: 192.0.2.1}}
  b: {{ssh: "ssh://root@{b}:2222", device: ens1, address: 192.0.2.2}}
"""
BY_NAME = {
    "by letter": ("a.enp5s0.4,b.ens1", "b"),
    "by name": ("pve1.example.enp5s0.4,pve2.ens1", "pve2"),
    "each its own way": ("pve2.ens1,a.enp5s0.4", "pve2.ens1"),
}


def _inventory(folder: Path, a: str = "pve1.example", b: str = "pve2") -> str:
    (folder / "hosts.yaml").write_text(INVENTORY.format(a=a, b=b), encoding="utf-8")
    return str(folder / "hosts.yaml")


@pytest.mark.parametrize(("pair", "nic"), BY_NAME.values(), ids=BY_NAME)
def test_machines_that_stand_are_named_as_one_reaches_them(tmp_path: Path, pair: str, nic: str) -> None:
    """By the name in the inventory's `ssh`, dots and all, or by the end's letter; in either order."""
    found = offload_asked.wish(
        "nic", [], **{**ASKED, "inventory": _inventory(tmp_path), "pair": pair, "nic": nic}
    ).wanted

    assert (found.nic_end, dict(found.devices)) == ("b", {"a": "enp5s0.4", "b": "ens1"})


def test_a_machine_that_is_both_ends_has_letters_alone(tmp_path: Path) -> None:
    """Two NICs of one: its name would be either."""
    asked = {**ASKED, "inventory": _inventory(tmp_path, "pve1", "pve1")}
    with pytest.raises(WrongInput, match=r"'pve1\.ens1' names no device of an end: there are a, b"):
        offload_asked.wish("nic", [], **{**asked, "pair": "pve1.ens1"})

    assert dict(offload_asked.wish("nic", [], **{**asked, "pair": "b.ens1"}).wanted.devices) == {"b": "ens1"}


def test_a_machine_of_no_inventory_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    """Their names, and the letters."""
    with pytest.raises(WrongInput, match=r"'pve9.ens1' names no device of an end: there are pve1.example, pve2, a, b"):
        offload_asked.wish("nic", [], **{**ASKED, "inventory": _inventory(tmp_path), "pair": "pve9.ens1"})


def test_a_plan_of_several_paths_is_refused() -> None:
    """A pair is one path."""
    with pytest.raises(WrongInput, match="takes one path"):
        offload_asked.wish("offloads", [], **ASKED)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


def test_two_validations_side_by_side(tmp_path: Path, program: Program) -> None:
    """What differs in the NICs, their features and the verdicts; what is alike is left out."""
    other = replace(
        FOUND,
        nic=replace(FOUND.nic, identity={**FOUND.nic.identity, "firmware": "2"}),
        other=replace(FOUND.other, identity={**FOUND.other.identity, "kernel": "6.17.2-1-pve"}),
        path="bond",
        features=tuple(replace(row, verdict="drops") if row.feature == "payload" else
                       replace(row, effect_pct=(200.0, 190.0, 210.0)) if row.feature == TSO else row
                       for row in FOUND.features),
        levels=(LevelVerdict("function", "failed", ("tcp4 out (tx): drops",)), *FOUND.levels[1:]),
        notes=notes(Soaked(600.0, 5_000_000_000)),
    )  # fmt: skip
    rows = tuple(replace(row, effect_pct=(10.0, 8.0, 12.0)) if row.feature == TSO else row for row in FOUND.features)
    for name, each in (("one", replace(FOUND, features=rows)), ("other", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "offload.json").write_text(json.dumps(document(each)), encoding="utf-8")
    done = program("offload", "compare", str(tmp_path / "one"), str(tmp_path / "other" / "offload.json"), "--json")
    found = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert (found["nic"], found["features"]) == ({"firmware": ["absent", "2"]}, {})
    assert found["verdicts"] == {"payload tx": ["works", "drops"]}
    assert "tx-tcp-segmentation tx" in found["verdicts alike"]
    assert found["partner"] == {"path": ["direct", "bond"], "kernel": ["6.8.12-4-pve", "6.17.2-1-pve"]}
    assert {name: [each.replace("\xa0", " ") for each in both] for name, both in found["worth"].items()} == {
        TSO: ["+10.0 % [+8.0, +12.0] %", "+200 % [+190, +210] %"]}  # fmt: skip
    assert found["levels"] == {
        "function": ["ok", "failed: tcp4 out (tx): drops"],
        "soak": ["absent", "Soaked for 600 s, 5 GB of payload compared."],
    }


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
