"""`--max-host-cpu` between real namespaces: a machine that is busier than allowed carries nothing more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns.nettune_command import nettune, plan_file

PLAN = """\
name: full
layout: same
pairs: [1, 2]
duration_s: 0.9
warmup_s: 0.1
latency_interval_s: 0.001
repeats: 1
"""


def test_load_on_a_machine_that_is_busier_than_allowed_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labs_left: Callable[[], set[str]]
) -> None:
    """Also in a step of a second; said with what was allowed and how to go on; nothing is left."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("NETTUNE_STORE", raising=False)
    done = nettune("capacity", plan_file(tmp_path, PLAN), "--max-host-cpu", "5%")

    assert done.returncode == 3, done.stderr
    assert "% busy, and --max-host-cpu allows 5 %; that was the smallest number of pairs" in done.stderr
    assert "--resume" in done.stderr
    assert labs_left() == set()
