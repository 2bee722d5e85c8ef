"""A real cluster, where NETTUNE_TEST_CLUSTER names its file: with a site of at least two addresses and a bridge.

What is made there is made and removed as in any run; nothing else is touched. `tests/pve` has all else with a double.
"""

import json
import os
from pathlib import Path

import pytest

from bench.pve.client import Client
from bench.pve.deployment import load
from bench.pve.wire import Https
from tests.netns.nettune_command import nettune

FILE = os.environ.get("NETTUNE_TEST_CLUSTER", "")
pytestmark = pytest.mark.skipif(not FILE, reason="no cluster: NETTUNE_TEST_CLUSTER names the file of one")


def theirs() -> set[int]:
    """The ids of all guests of the cluster."""
    client = Client(Https(load(Path(FILE)).access))
    return {int(row["vmid"]) for row in client.get("/cluster/resources", {"type": "vm"})}


def test_two_vms_are_made_measured_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pve check` has nothing to say, every trial is done, and the cluster has the guests that it had."""
    monkeypatch.setenv("NETTUNE_CLUSTER", FILE)
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    store, before = ("--store", str(tmp_path / "store.db")), theirs()
    checked = nettune("pve", "check", "pve-same-node")
    done = nettune("run", "pve-same-node", "--set", "blocks=2", *store)
    document = json.loads(nettune("show", "last", "--json", *store).stdout or "{}")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert done.returncode == 0, done.stderr
    assert {name for name, count in document["trials"].items() if count} == {"done"}, done.stdout
    assert theirs() == before
