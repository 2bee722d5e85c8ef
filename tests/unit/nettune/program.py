"""Runs the program as its users do, with a state folder of its own: in a process of its own, or faster in this one."""

import sys
from pathlib import Path
from typing import Protocol

import pytest

from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from nettune import unprivileged
from nettune.__main__ import _run

ROOT = Path(__file__).parents[3]


def nettune(state: Path, *words: str, before: Path | None = None) -> Outcome:
    """The Outcome of `nettune WORDS` in a new process; `before` is a folder that Python searches first."""
    path = f"{before}:{ROOT}" if before else str(ROOT)
    return Local().run(
        Command(
            ("env", f"PYTHONPATH={path}", f"NETTUNE_STATE={state}", "NETTUNE_STORE=", "COLUMNS=200",
             sys.executable, "-P", "-m", "nettune", *words),
            deadline_s=60,
        )
    )  # fmt: skip


class Program(Protocol):
    """`nettune WORDS` in this process."""

    def __call__(self, *words: str) -> Outcome:
        """What it exited with and printed."""
        ...


def here(state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program with that state folder; all but claiming the rooms, taking the signals and entering a namespace."""
    monkeypatch.setattr(unprivileged, "enter", lambda _: None)
    for name, value in {"NETTUNE_STATE": str(state), "NETTUNE_STORE": "", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["nettune", *words])
        try:
            code = _run()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        printed = capsys.readouterr()
        return Outcome(Command(("nettune", *words)), "here", code, printed.out, printed.err, 0.0)

    return run
