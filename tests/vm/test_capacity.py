"""Pairs of guests at once: what each is paced to comes, and nothing is left."""

import json
import os
import re
from pathlib import Path

import pytest

from nettune.places import places
from tests.netns.nettune_command import nettune, plan_file

PLAN = """\
name: guests
lab: {provider: qemu, memory_mb: 384}
pairs: [2]
rate_mbit: 8
duration_s: 2
warmup_s: 1
latency_interval_s: 0.005
repeats: 1
"""


def test_pairs_of_guests_that_memory_does_not_hold_are_refused_before_any_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how many fit: here as many as there is half of the machine's memory for each."""
    monkeypatch.setenv("NETTUNE_CACHE", str(places().cache))
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    plan = plan_file(tmp_path, PLAN.replace("memory_mb: 384", f"memory_mb: {total_mb // 3}"))
    done = nettune("capacity", plan, "--slo", "goodput>=6Mbit per vm")

    assert done.returncode == 3
    assert re.search(r"2 pairs need about [\d.]+ GiB of memory and [\d.]+ GiB are free: [01] pairs fit", done.stderr)
    assert list((tmp_path / "state").glob("leases/*")) == []


def test_two_pairs_of_guests_get_what_they_are_paced_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By gates of their own machines and clocks that are compared; the image and the CPU are told with the run."""
    monkeypatch.setenv("NETTUNE_CACHE", str(places().cache))
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    out = tmp_path / "out"
    done = nettune("capacity", plan_file(tmp_path, PLAN), "--slo", "goodput>=6Mbit per vm", "--out", str(out), "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    page = (out / "capacity.html").read_text(encoding="utf-8")
    assert (found["vms"]["value"], found["lost"]) == (2, [])
    assert found["rows"][0]["goodput_bps"] == pytest.approx(16e6, rel=0.2)
    assert found["rows"][0]["cpu_vhost_cores"] > 0  # QEMU's main loop, where there is no vhost
    assert "guest kernel" in page
    assert list((tmp_path / "state" / "leases").iterdir()) == []
