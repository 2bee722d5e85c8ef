"""Proxmox VE, by a double of its API in a process of its own."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns import exported_root, sshd
from tests.pve import net_node
from tests.pve.kit import Double, running
from tests.pve.standing import Cluster, stood


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tier."""
    for item in items:
        if "tests/pve/" in str(item.path):
            item.add_marker(pytest.mark.pve)


@pytest.fixture(scope="session")
def node_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with ifupdown2, for the nodes that stand behind the double: built by one of the test processes."""
    sshd.skip_where_it_cannot_run()
    mine, shared = tmp_path_factory.mktemp("node"), tmp_path_factory.getbasetemp().parent
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return exported_root.made(mine, net_node.PACKAGES)
    with (shared / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "node").exists():
            (mine / "made").mkdir()
            exported_root.made(mine / "made", net_node.PACKAGES)
            (mine / "made").rename(shared / "node")
    return exported_root.copied(shared / "node" / "root", mine / "root")


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """With one node, and what fakepve has by itself."""
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """With guests behind it, and nettune's state in the test's own folder."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    with stood(tmp_path) as found:
        yield found
