"""`run --shared-link --max-share`: what is taken, and what is refused before anything is asked of a machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from nettune import shared
from results.errors import WrongInput
from tests.unit.bench.sites import documented
from tests.unit.nettune.program import Program, here
from tests.unit.results.example import example_run


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with a state folder of its own."""
    return here(tmp_path / "state", monkeypatch, capsys)


@pytest.mark.parametrize(("given", "pct"), [("", 30.0), ("30%", 30.0), ("1", 1.0), ("12.5 %", 12.5), ("90%", 90.0)])
def test_a_share_is_per_cent(given: str, pct: float) -> None:
    """With or without the sign."""
    assert shared.read(given=True, most=given) == pct
    assert shared.read(given=False, most="") == 0.0


BAD = ("0%", "0.9%", "90.1%", "95%", "-5%", "abc", "%", "30%%", "1e1", "nan", "٣٠%", "300 Mbit/s")


@pytest.mark.parametrize("given", BAD)
def test_a_share_that_is_none_is_refused(program: Program, given: str) -> None:
    """With the range, whatever the plan."""
    outcome = program("run", "quick", "--shared-link", f"--max-share={given}", "--dry-run")

    assert outcome.returncode == 2
    assert f"--max-share {given}: a share is 1% to 90%" in outcome.stderr


def test_a_share_of_no_shared_link_is_refused(program: Program) -> None:
    """The flag is what permits load there: it is never implied."""
    outcome = program("run", "quick", "--max-share", "30%", "--dry-run")

    assert outcome.returncode == 2
    assert "--shared-link --max-share 30%" in outcome.stderr


def test_a_plan_that_builds_its_lab_shares_no_link(program: Program) -> None:
    """It is refused before anything is made."""
    outcome = program("run", "quick", "--shared-link", "--dry-run")

    assert outcome.returncode == 2
    assert "--shared-link: plan quick builds its lab itself" in outcome.stderr
    assert "provider: hosts" in outcome.stderr


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("pve-same-node", "both VMs of plan pve-same-node are on pve1, and nothing of their load leaves it"),
        ("pve-cross-node", "the cluster's file gives no SSH of pve1, pve2"),
    ],
)
def test_test_vms_share_the_links_of_two_nodes_that_are_reached(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str, said: str
) -> None:
    """On one node nothing leaves it; a node without SSH watches nothing."""
    monkeypatch.setenv("NETTUNE_CLUSTER", str(documented(tmp_path / "pve.yaml")))
    outcome = program("run", plan, "--shared-link", "--dry-run")

    assert outcome.returncode == 2
    assert said in " ".join(outcome.stderr.split())


def test_a_resumed_run_keeps_its_share() -> None:
    """Another one would mix two limits in one comparison."""
    run = replace(example_run(), machine={"max share": "12.5 %: 125 of 1000 Mbit/s (eno1 on a)"})
    with pytest.raises(WrongInput, match=r"began with a share of 12\.5%"):
        shared.kept(run, 30.0)
    with pytest.raises(WrongInput, match="began with no shared link"):
        shared.kept(replace(run, machine={}), 30.0)

    assert [shared.kept(run, 0.0), shared.kept(run, 12.5), shared.kept(replace(run, machine={}), 0.0)] == [
        12.5,
        12.5,
        0,
    ]
