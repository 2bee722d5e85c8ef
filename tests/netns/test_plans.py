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


def _provider(name: str) -> str:
    return str(yaml.safe_load(shipped()[name].read_text()).get("lab", {}).get("provider", "netns"))


HERE = sorted(name for name in set(shipped()) - {"quick", "noise"} if _provider(name) == "netns")  # those run elsewhere


def sampled(name: str, folder: Path) -> str:
    """A plan file with a seeded sample of topologies and treatments, and the same probes; rates by shorter trials."""
    plan: dict[str, Any] = yaml.safe_load(shipped()[name].read_text())
    dice = random.Random(_SEED)
    plan["topologies"] = dice.sample(plan["topologies"], _TOPOLOGIES.get(name, 1))
    treatments = plan.get("treatments", {})
    kept = dice.sample(sorted(treatments), min(_TREATMENTS, len(treatments)))
    plan["treatments"] = {arm: treatments[arm] for arm in kept}
    rates = [each for each in plan["probes"] if each["kind"] == "rate"]
    for each in rates:  # three searches a trial; here the last, of which the plan's primary metric is
        each |= {"trial_s": 1, "sum_s": 1}
    plan["probes"] = [each for each in plan["probes"] if each not in rates[:-1]]
    return plan_file(folder, yaml.safe_dump(plan))


@pytest.mark.quiet
@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", HERE)
def test_a_plan_that_ships_measures_or_says_what_is_lacking(state: Path, tmp_path: Path, name: str) -> None:
    """Two blocks; every trial is done, every skipped cell is named with its reason, the report is written."""
    done = nettune("run", sampled(name, tmp_path), "--blocks", "2", "--seed", "1", "--out", str(tmp_path / "out"))
    if done.returncode == 3:  # congestion, on a kernel without netem
        assert f"no topology of plan {name} can stand here: netem: " in done.stderr
        assert "Traceback" not in done.stderr
        return

    measured_or_named(tmp_path / "out", done.returncode, done.stderr)


def measured_or_named(out: Path, returncode: int, stderr: str) -> dict[str, Any]:  # Any: JSON
    """The document of a run whose trials are all done, whose skipped cells have reasons, and that has a report."""
    assert (returncode, stderr.count("Traceback")) == (0, 0), stderr
    document = shown()
    odd = {status: n for status, n in document["trials"].items() if n and status != "done"}
    measured = {each["topology"] for each in document["aa"] if each["blocks"]}
    skipped = {each["cell"].partition("/")[0]: each["reason"] for each in document["skipped"]}

    assert odd == {}
    assert measured | skipped.keys() >= set(document["design"]["topologies"])
    assert all(skipped.values())
    assert (out / "report.html").stat().st_size > 20_000
    return document
