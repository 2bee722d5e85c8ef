"""What all tiers share: how hypothesis is used, and of long matrices a sample that is another at each commit."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

# No deadline: no test is timed, and on a busy machine the first example waits for an import.
settings.register_profile("nettune", deadline=None, max_examples=60)
settings.load_profile("nettune")

Case = TypeVar("Case")
_ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: `make bench` runs all of a matrix."""
    parser.addoption("--whole", action="store_true", help="all of the matrices of which a sample runs otherwise")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a file's tests that are marked `sampled(n)` n are left, dealt by the commit; of those chosen by name all."""
    if config.getoption("whole") or config.getoption("keyword") or any("::" in arg for arg in config.args):
        return
    matrices: dict[tuple[str, int], list[pytest.Item]] = {}
    for item in items:
        if mark := item.get_closest_marker("sampled"):
            matrices.setdefault((str(item.path), mark.args[0]), []).append(item)
    out: set[pytest.Item] = set()
    for (path, least), matrix in matrices.items():
        out.update(set(matrix) - set(dealt(matrix, least, Path(path).name)))
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]


def dealt(matrix: Sequence[Case], least: int, name: str) -> list[Case]:
    """So many of a matrix of that name, others at each commit."""
    return random.Random(f"{_commit()}/{name}/{least}").sample(matrix, min(least, len(matrix)))


def _commit() -> str:
    """What git calls this tree; "" where there is no git."""
    try:
        head = (_ROOT / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (_ROOT / ".git" / name).read_text(encoding="utf-8").strip()
    except OSError:  # no git, a work tree, or packed references
        return ""
