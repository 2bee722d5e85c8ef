"""The plans for virtual machines, from the command line: plan, guests, SSH, verdicts, profile."""

from pathlib import Path

import pytest
import yaml

from tests.netns.nettune_command import nettune
from tests.netns.test_plans import measured_or_named, sampled

PLANS = ("vm-bridge-vlan-bond", "vm-mtu", "vm-queues")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and results of the test's own; the image is the machine's."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "state"


def test_vm_offloads_from_plan_to_profile(tmp_path: Path) -> None:
    """Without its NICs' offloads a pair of guests is slower by far; the report says what its CPU was."""
    out = tmp_path / "out"
    done = nettune("run", "vm-offloads", "--blocks", "2", "--seed", "1", "--out", str(out))
    document = measured_or_named(out, done.returncode, done.stderr)
    found = {each["treatment"]: each for each in document["treatments"] if each["primary"]}

    assert found["no-offloads"]["effect_pct"] < -20
    assert document["machine"]["guest kernel"].endswith("-cloud-amd64")
    assert document["machine"]["guests"] == "1 CPU, 512 MB, virtio-net"
    assert any("no physical NIC" in note for note in document["notes"])
    assert yaml.safe_load((out / "profile.yaml").read_text())["status"] in {"nothing", "candidate"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_for_guests_measures(tmp_path: Path, name: str) -> None:
    """A seeded sample of it, two blocks; every trial is done."""
    out = tmp_path / "out"
    done = nettune("run", sampled(name, tmp_path), "--blocks", "2", "--seed", "1", "--out", str(out))

    measured_or_named(out, done.returncode, done.stderr)
