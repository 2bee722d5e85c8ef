"""What all tiers share: how hypothesis is used, and of long matrices a sample that is another at each commit.

A matrix that runs whole goes on where it was cut short: what has passed at this commit stands in pytest's cache
(`--cache-clear` begins anew). A run that leaves something behind in the machine's own folders has failed.
"""

import random
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from tests import own_names

pytest.register_assert_rewrite(
    *(f"tests.{tier}" for tier in ("contract", "netns", "pve", "unit", "vm"))
)  # of helpers, too

# No deadline: no test is timed, and on a busy machine the first example waits for an import.
settings.register_profile("nettune", deadline=None, max_examples=60)
settings.load_profile("nettune")

Case = TypeVar("Case")
# Files that take minutes, begun first where several run side by side: the last one would keep the others waiting.
_LONG = ("vm/test_walk.py", "vm/test_plans.py", "vm/test_suite_inside.py", "vm/test_pve_guests.py",
         "netns/test_offload_faults.py", "netns/test_run.py", "netns/test_offload.py", "netns/test_tune.py",
         "netns/test_tune_study.py")  # fmt: skip
_KEPT = ("/etc", "/usr/local/bin", "/var/lib")  # of the machine: tests have their own, or leave them as they found them
_FOUND = pytest.StashKey[frozenset[Path]]()
_ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: `make bench` runs all of a matrix."""
    parser.addoption("--whole", action="store_true", help="all of the matrices of which a sample runs otherwise")


def pytest_configure(config: pytest.Config) -> None:
    """One of several test processes has the names of its labs to itself."""
    if hasattr(config, "workerinput"):
        own_names.take()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Of a file's tests that are marked `sampled(n)` n are left, dealt by the commit; of those chosen by name all.

    Dealt before `-m` has its turn, which parts a file's tests between runs. Afterwards long files come first.
    """
    _deal(config, items)
    yield
    items.sort(key=lambda item: (_place(item.path), item.path))


def _deal(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("keyword") or any("::" in arg for arg in config.args):
        return
    if config.getoption("whole"):
        _leave_out(config, items, {item for item in items if item.nodeid in _passed(config)})
        return
    matrices: dict[tuple[str, tuple[int | str, ...]], list[pytest.Item]] = {}
    for item in items:
        if mark := item.get_closest_marker("sampled"):
            matrices.setdefault((str(item.path), mark.args), []).append(item)
    out: set[pytest.Item] = set()
    for (path, (least, *_)), matrix in matrices.items():
        out.update(set(matrix) - set(dealt(matrix, int(least), Path(path).name)))
    _leave_out(config, items, out)


def _place(file: Path) -> int:
    return next((number for number, each in enumerate(_LONG) if str(file).endswith(each)), len(_LONG))


def _leave_out(config: pytest.Config, items: list[pytest.Item], out: set[pytest.Item]) -> None:
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what has passed of a matrix that runs whole."""
    report = yield
    sampled = item.config.getoption("whole") and item.get_closest_marker("sampled")
    if sampled and report.when == "call" and report.passed:
        with _kept(item.config).open("a", encoding="utf-8") as file:
            file.write(f"{item.nodeid}\n")
    return report


def _kept(config: pytest.Config) -> Path:
    found: Path = config.cache.mkdir("matrices") / (_commit() or "no-commit")
    return found


def _passed(config: pytest.Config) -> set[str]:
    return set(_kept(config).read_text(encoding="utf-8").splitlines()) if _kept(config).exists() else set()


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


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what there is."""
    session.stash[_FOUND] = _there()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where something is left behind, the run has failed."""
    found = session.stash[_FOUND]
    left = _there() - found
    if left and not hasattr(session.config, "workerinput"):
        names = ", ".join(sorted(map(str, left)))
        session.config.get_terminal_writer().line(f"\nleft behind on this machine: {names}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _there() -> frozenset[Path]:
    return frozenset(each for folder in _KEPT for each in Path(folder).glob("*"))
