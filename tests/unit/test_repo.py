"""The repository keeps its own rules: sizes, docstrings, what the wheel holds, and nothing of anybody's machine."""

import ast
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from bench.hosts.command import Command
from bench.hosts.local import Local

ROOT = Path(__file__).parents[2]
ROOMS = ("nettune", "bench", "tuning", "results")
MODULE_LINES, FUNCTION_LINES = 400, 60
# Built from parts, so that this file does not find itself.
TRACES = {
    "a folder of one machine": re.compile(rf"(?<![\w.])/({'|'.join(('wo' + 'rk', 'ro' + 'ot', 'ho' + 'me'))})/[\w.]"),
    "a registry of one machine": re.compile(
        r"(index-url|registry|trusted-host)\s*[=:]\s*\S*//(?!pypi\.org)", re.IGNORECASE
    ),
    "an address of a private network": re.compile(r"https?://(10|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d"),
    "a key": re.compile("-----BEGIN [A-Z ]*PRIVATE " + "KEY"),
}


def _tracked() -> list[Path]:
    listed = Local().run(Command(("git", "-C", str(ROOT), "ls-files", "-z")))
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


TRACKED = _tracked()
MODULES = [path for path in TRACKED if path.suffix == ".py"]


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


needs_git = pytest.mark.skipif(not TRACKED, reason="not a checkout with git")


@needs_git
def test_modules_and_functions_stay_small() -> None:
    """400 lines a module and 60 a function outside tests: what grows past that is two things."""
    ours = [path for path in MODULES if path.relative_to(ROOT).parts[0] in (*ROOMS, "benchmarks", "scripts")]
    long = {_shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ours}
    functions = {
        f"{_shown(path)}:{each.name}": (each.end_lineno or 0) - each.lineno + 1
        for path in ours
        for each in _functions(path)
    }

    assert {name: lines for name, lines in long.items() if lines > MODULE_LINES} == {}
    assert {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES} == {}


@needs_git
def test_every_test_says_in_one_line_what_it_shows() -> None:
    """A failing test is read by its name and its first line."""
    dumb = [
        f"{_shown(path)}:{each.name}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == "tests"
        for each in _functions(path)
        if each.name.startswith("test_") and not (ast.get_docstring(each) or "").strip()
    ]

    assert dumb == []


@needs_git
def test_every_test_lies_where_make_looks_for_it() -> None:
    """What needs more than Python is collected from a few folders; the rest from two."""
    real = re.search(r"^REAL = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert real is not None
    folders = [ROOT / word for word in real[1].split()]
    tests = [each for each in MODULES if each.name.startswith("test_") and each.is_relative_to(ROOT / "tests")]
    marked = re.compile(r"mark\.(netns|chromium|postgresql|vm|pve|apart|quiet)\b")
    lost = [
        str(each.relative_to(ROOT)) for each in tests
        if not any(each.is_relative_to(folder) for folder in folders)
        and (not each.is_relative_to(ROOT / "tests" / "unit") or marked.search(each.read_text(encoding="utf-8")))
    ]  # fmt: skip

    assert lost == []


def test_no_tracked_file_tells_of_a_machine() -> None:
    """Neither folders nor registries, addresses or keys of the machine it was written on."""
    found = []
    for path in TRACKED:
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{_shown(path)}: {what}: {hit[0]}" for what, trace in TRACES.items() if (hit := trace.search(text))]

    assert found == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel that this checkout builds."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_four_rooms_and_nothing_beside_them(wheel: list[str]) -> None:
    """Top-level names are shared with every other package: no more of them than needed."""
    tops = {name.split("/")[0] for name in wheel}

    assert {name for name in tops if not name.endswith(".dist-info")} == set(ROOMS)
    assert len(tops) == len(ROOMS) + 1


def test_the_wheel_holds_what_the_program_reads(wheel: list[str]) -> None:
    """Every module, plan, template and migration of the checkout; no cache."""
    read = {
        _shown(path)
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path in set(TRACKED)
    }

    assert read <= set(wheel)
    assert {"bench/plans/quick.yaml", "results/migrations/env.py", "results/migrations/versions/0001_first.py"} <= set(
        wheel
    )
    assert [name for name in wheel if name.startswith("results/templates/")]
    profiles = {str(path.relative_to(ROOT)) for path in (ROOT / "profiles").rglob("*.yaml")}
    assert {f"nettune/{name}" for name in profiles} <= set(wheel)
    assert len(profiles) > 10
    assert not [name for name in wheel if "__pycache__" in name or name.startswith("tests")]
