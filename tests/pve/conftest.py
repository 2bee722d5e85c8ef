"""Proxmox VE, by a double of its API in a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pve.kit import Double, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tier."""
    for item in items:
        if "tests/pve/" in str(item.path):
            item.add_marker(pytest.mark.pve)


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """With one node, and what fakepve has by itself."""
    with running(tmp_path) as found:
        yield found
