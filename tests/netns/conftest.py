"""The netns tier: a real kernel, root (or that of a user namespace), and the real tools.

What is missing is said; in CI it is a failure.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.facts.machine import in_user_namespace
from bench.hosts.local import Local
from bench.labs import lease
from tests.netns import sshd, standing_hosts
from tests.netns.standing_hosts import Machines

# Namespaces of their own names, no labs that another test would count, and no figure that a busy machine moves.
_APART = {"test_ansible", "test_apply", "test_apply_faults", "test_apply_matrix", "test_apply_refusals",
          "test_clusters", "test_exports", "test_full_disk", "test_hosts_lab", "test_lasting", "test_looks",
          "test_offload_refusals", "test_own_ssh", "test_pve_node", "test_pve_vnics", "test_ssh"}  # fmt: skip
_TOOLS = ("iperf3", "irtt", "ethtool", "ip", "nsenter", "ss", "tc", "bridge", "ping", "tcpdump")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tier; skip it with the reason, or fail under CI=true."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    reason = f"not installed: {', '.join(lacking)}" if lacking else ""
    if os.geteuid() != 0:
        reason = "network namespaces need root"
    for item in items:
        if "tests/netns/" not in str(item.path):
            continue
        item.add_marker(pytest.mark.netns)
        if item.path.stem in _APART:
            item.add_marker(pytest.mark.apart)
        if os.geteuid() != 0 and item.path.name == "test_unprivileged.py" and not lacking:
            continue  # it is about that very user
        if reason and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason=reason))  # not in CI: it fails there


@pytest.fixture
def machines_root() -> None:
    """Skips a test of what the kernel allows to the machine's root only, where the tests run in a user namespace."""
    if in_user_namespace(Local()):
        pytest.skip("the kernel asks for the machine's root")


@pytest.fixture
def labs_left() -> Callable[[], set[str]]:
    """The namespaces of labs that this test has left so far; what others left on the machine before is not counted."""
    before = lease.namespaces(Local())

    def left() -> set[str]:
        made = lease.namespaces(Local()) - before
        return {name for name in made if name.startswith("nt-") and "-test-" not in name}

    return left


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labs_left: Callable[[], set[str]]) -> Iterator[Path]:
    """A state folder of the test's own; afterwards no namespace of its leases may be left."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    yield tmp_path / "state"

    assert labs_left() == set()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two machines and a desk for all tests of a file."""
    sshd.skip_where_it_cannot_run()
    with standing_hosts.standing(tmp_path_factory.mktemp("hosts")) as found:
        yield found
