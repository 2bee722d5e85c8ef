"""Every plan that ships, run short: it measures, or says by name what this kernel lacks."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.plan import shipped
from tests.netns.nettune_command import nettune, plan_file, shown

_TOPOLOGIES = {"topologies": 3, "nat-vs-routed": 2}  # of a plan here, else one; `make bench` runs the plans whole
_TREATMENTS = 1
_SEED = 3


def _sampled(name: str, folder: Path) -> str:
    """A plan file with a seeded sample of a plan's topologies and treatments, and the same probes."""
    plan: dict[str, Any] = yaml.safe_load(shipped()[name].read_text())
    dice = random.Random(_SEED)
    plan["topologies"] = dice.sample(plan["topologies"], _TOPOLOGIES.get(name, 1))
    kept = dice.sample(sorted(plan["treatments"]), min(_TREATMENTS, len(plan["treatments"])))
    plan["treatments"] = {arm: plan["treatments"][arm] for arm in kept}
    return plan_file(folder, yaml.safe_dump(plan))


@pytest.mark.parametrize("name", sorted(set(shipped()) - {"quick", "noise"}))  # those are run whole elsewhere
def test_a_plan_that_ships_measures_or_says_what_is_lacking(state: Path, tmp_path: Path, name: str) -> None:
    """Two blocks; every trial is done, every skipped cell is named with its reason, the report is written."""
    done = nettune("run", _sampled(name, tmp_path), "--blocks", "2", "--seed", "1", "--out", str(tmp_path / "out"))
    if done.returncode == 3:  # congestion, on a kernel without netem
        assert f"no topology of plan {name} can stand here: netem: " in done.stderr
        assert "Traceback" not in done.stderr
        return
    document = shown()
    odd = {status: n for status, n in document["trials"].items() if n and status != "done"}
    measured = {each["topology"] for each in document["aa"] if each["blocks"]}
    skipped = {each["cell"].partition("/")[0]: each["reason"] for each in document["skipped"]}

    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert odd == {}
    assert measured | skipped.keys() >= set(document["design"]["topologies"])
    assert all(skipped.values())
    assert (tmp_path / "out" / "report.html").stat().st_size > 20_000
