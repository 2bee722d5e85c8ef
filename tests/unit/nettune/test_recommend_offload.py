"""`nettune recommend --offload`: a validation as evidence, through the command line, the unhappy ways too."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.nettune.kept import kept_example
from tests.unit.nettune.program import Program, here
from tests.unit.tuning.offload_made import TSO, nic
from tests.unit.tuning.test_offload_document import FOUND
from tuning.offload.document import document
from tuning.offload.evidence import Validation, Verdict

MTU = {"target": "path", "setting": "mtu", "value": "9000", "was": "1500"}
STANDING = {"kernel of a": "6.8.12-4-pve", "driver of eth0 on a": "made", "firmware of eth0 on a": "1.2"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    (tmp_path / "state").mkdir()
    return here(tmp_path / "state", monkeypatch, capsys)


def _run(tmp_path: Path, *settings: Mapping[str, str], machine: Mapping[str, str] | None = None) -> None:
    """A run in the store whose one winner, `jumbo`, sets these."""
    changes: dict[str, object] = {"settings": {"jumbo": settings}}
    kept_example(tmp_path / "state" / "nettune.db", **changes, **({"machine": machine} if machine else {}))


def _feature(value: str, word: str = TSO) -> Mapping[str, str]:
    return {"target": "guest", "setting": word, "value": value, "was": "on" if value == "off" else "off"}


def _validation(tmp_path: Path, verdict: Verdict = "works", at: str = "", **identity: str) -> str:
    """A folder with a validation in which TSO has that verdict; its name."""
    rows = tuple(replace(row, verdict=verdict, at=at) if row.feature == TSO else row for row in FOUND.features)
    found: Validation = replace(FOUND, features=rows, nic=replace(nic(), identity={**nic().identity, **identity}))
    folder = tmp_path / "acceptance"
    folder.mkdir()
    (folder / "offload.json").write_text(json.dumps(document(found)), encoding="utf-8")
    return str(folder)


def _told(program: Program, tmp_path: Path, offload: str) -> tuple[dict[str, Any], str]:  # Any: JSON
    """What `recommend --json` says, and the profile that it has written."""
    profile = tmp_path / "profile.yaml"
    done = program("recommend", "-o", str(profile), "--offload", offload, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told, profile.read_text(encoding="utf-8")


def test_what_a_validation_found_well_is_said_so_in_the_reason(tmp_path: Path, program: Program) -> None:
    """On the screen's document and in the profile; nothing else is changed by it."""
    _run(tmp_path, _feature("on"), MTU)
    told, profile = _told(program, tmp_path, _validation(tmp_path))

    assert (told["status"], [each["setting"] for each in told["settings"]]) == ("candidate", [TSO, "mtu"])
    assert told["settings"][0]["reason"].endswith(f"Validated: {TSO} works.")
    assert "Validated" not in told["settings"][1]["reason"]
    assert f"{TSO} works" in profile


WRONG_ON: Mapping[str, tuple[str, Verdict, str]] = {
    "corrupts while on": ("on", "corrupts", "on"),
    "corrupts while off": ("off", "corrupts", "off"),
    "hangs while on": ("on", "hangs", "on"),
    "is refused": ("on", "refused", ""),
    "does nothing": ("on", "claimed but not engaged", ""),
}


@pytest.mark.parametrize(("value", "verdict", "at"), WRONG_ON.values(), ids=WRONG_ON)
def test_what_a_validation_speaks_against_is_not_recommended(
    tmp_path: Path, program: Program, value: str, verdict: Verdict, at: str
) -> None:
    """Nor what was measured together with it; the answer says of whom and why, and that nothing is to be changed."""
    _run(tmp_path, _feature(value), MTU)
    told, profile = _told(program, tmp_path, _validation(tmp_path, verdict, at))

    assert (told["status"], told["settings"], told["next_command"]) == ("nothing", [], "")
    assert f"change nothing. {TSO} {value} ({TSO} {verdict})" in told["sentence"]
    assert f"its validation speaks against it: {TSO} {verdict}" in profile
    assert f"it was measured together with {TSO} {value}" in profile


def test_a_fault_of_the_other_position_leaves_the_advice_as_it_is(tmp_path: Path, program: Program) -> None:
    """Off is recommended, and on is what corrupts: one reason more."""
    _run(tmp_path, _feature("off"))
    told, _ = _told(program, tmp_path, _validation(tmp_path, "corrupts", "on"))

    assert [(each["setting"], each["value"]) for each in told["settings"]] == [(TSO, "off")]
    assert f"Validated: {TSO} corrupts." in told["settings"][0]["reason"]


def test_a_validation_of_the_nic_as_it_was_measured_is_taken(tmp_path: Path, program: Program) -> None:
    """Device, driver, firmware and kernel are those that the run has kept."""
    _run(tmp_path, _feature("on"), machine=STANDING)
    told, _ = _told(program, tmp_path, _validation(tmp_path, firmware="1.2"))

    assert [each["setting"] for each in told["settings"]] == [TSO]


ANOTHER: Mapping[str, tuple[Mapping[str, str], str]] = {
    "device": ({"driver of eth7 on a": "made"}, "it is of a.eth0, and the run measured a.eth7"),
    "driver": ({**STANDING, "driver of eth0 on a": "ice"}, "its driver is made, and the run measured ice"),
    "firmware": (STANDING | {"firmware of eth0 on a": "9"}, "its firmware is 1.2, and the run measured 9"),
    "kernel": ({**STANDING, "kernel of a": "6.17.1"}, "its kernel is 6.8.12-4-pve, and the run measured 6.17.1"),
}


@pytest.mark.parametrize(("machine", "said"), ANOTHER.values(), ids=ANOTHER)
def test_a_validation_of_another_nic_is_no_evidence(
    tmp_path: Path, program: Program, machine: Mapping[str, str], said: str
) -> None:
    """Exit code 2 with what differs; no profile is written."""
    _run(tmp_path, _feature("on"), machine=machine)
    profile = tmp_path / "profile.yaml"
    done = program("recommend", "-o", str(profile), "--offload", _validation(tmp_path, firmware="1.2"))

    assert done.returncode == 2
    assert "says nothing of what run" in done.stderr
    assert said in " ".join(done.stderr.split())
    assert not profile.exists()


NONE: Mapping[str, tuple[str, str]] = {
    "is not there": ("", "is no validation: No such file or directory"),
    "is torn": ('{"format": 2, "nic"', "is no validation: it is no JSON"),
    "is of another format": ('{"format": 1}', "is no validation of format 2"),
    "lacks its half": ('{"format": 2}', "is a damaged validation"),
}


@pytest.mark.parametrize(("text", "said"), NONE.values(), ids=NONE)
def test_what_is_no_validation_is_told_by_its_file(tmp_path: Path, program: Program, text: str, said: str) -> None:
    """Exit code 2, before the store is opened or a profile is written."""
    _run(tmp_path, _feature("on"))
    file, profile = tmp_path / "x.json", tmp_path / "profile.yaml"
    if text:
        file.write_text(text, encoding="utf-8")
    done = program("recommend", "-o", str(profile), "--offload", str(file))

    assert done.returncode == 2
    assert f"x.json {said}" in " ".join(done.stderr.split())
    assert not profile.exists()
