"""`nettune tune --search optuna`: two workers on two pairs of namespaces share a study and a store in PostgreSQL."""

import json
import re
import subprocess  # noqa: TID251 - the tests stand outside the door
from pathlib import Path

import pytest

from results.store import opened
from tests.contract.test_store import made_database, server  # noqa: F401 - a fixture
from tests.netns.nettune_command import nettune, plan_file, start
from tests.netns.test_tune import SMALL

pytestmark = pytest.mark.postgresql
ASKED = ("--search", "optuna", "--knob", "net.ipv4.tcp_rmem", "--knob", "net.ipv4.tcp_wmem", "--trials", "70")


def test_two_workers_share_one_study(
    state: Path,
    tmp_path: Path,
    server: str,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each measures configurations of its own, the last is told all of them, and one confirms on fresh blocks."""
    plan = plan_file(tmp_path, SMALL)
    url, shared = made_database(server), made_database(server)  # both keep a version table of that name
    jobs: list[subprocess.Popen[str]] = []
    for name in ("one", "two"):
        monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / name))
        words = ("--storage", shared, "--study", "shared", "--store", url, "--out", str(tmp_path / f"{name}.yaml"))
        jobs.append(start("tune", plan, *ASKED, *words, "--seed", str(len(jobs)), "--json"))
    ended = [job.communicate(timeout=400) for job in jobs]
    told = [json.loads(out) for out, _ in ended if out]
    with opened(url) as store:
        runs = store.listed()
    samples = [each for each in runs if each.label.endswith("-sample")]
    counted = re.compile(r"(\d+) configurations were measured here, (\d+) in the study shared")
    counts = [
        (int(found[1]), int(found[2])) for each in told for said in each["said"] if (found := counted.match(said))
    ]

    assert [job.returncode for job in jobs] == [0, 0], ended
    assert {each["status"] for each in told} <= {"confirmed", "nothing"}
    assert "confirmed" in {each["status"] for each in told}
    assert sum(stage["purpose"] == "confirm" for each in told for stage in each["stages"]) == 1
    assert all(each["stages"][-1]["purpose"] == "confirm" for each in told if each["status"] == "confirmed")
    assert {each.label.split(".")[0] for each in runs} == {each["search"] for each in told}
    assert len(samples) >= 2
    assert len(counts) == 2
    assert max(in_all for _, in_all in counts) == sum(here for here, _ in counts)
    assert len(samples) <= sum(here for here, _ in counts)  # one that asks for current is no run


def test_a_study_that_cannot_be_had_is_said(state: Path, tmp_path: Path) -> None:
    """A storage that is not there, one with a password, options that belong to another search."""
    plan = plan_file(tmp_path, SMALL)
    gone = nettune("tune", plan, *ASKED, "--storage", f"postgresql://me@/x?host={tmp_path}")
    secret = nettune("tune", plan, *ASKED, "--storage", "postgresql://me:hunter2@db/x")
    other = nettune("tune", plan, "--study", "x")

    assert gone.returncode == 3
    assert "the study nettune" in gone.stderr
    assert (secret.returncode, other.returncode) == (2, 2)
    assert "hunter2" not in secret.stderr
    assert "are of --search optuna" in other.stderr
