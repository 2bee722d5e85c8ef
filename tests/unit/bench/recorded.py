"""Reads tests/transcripts: what real tools answered once, as Outcomes."""

import json
from pathlib import Path

from bench.hosts.command import Command, Outcome

FOLDER = Path(__file__).parent.parent.parent / "transcripts"


def outcomes(kind: str, name: str) -> list[Outcome]:
    """The Outcomes of a transcript, in the order in which they were recorded."""
    document = json.loads((FOLDER / kind / f"{name}.json").read_text(encoding="utf-8"))
    return [
        Outcome(
            Command(tuple(line["argv"]), line["stdin"]), "a", line["returncode"], line["stdout"], line["stderr"], 1.0
        )
        for line in document["outcomes"]
    ]


def answered(text: str, *, returncode: int = 0, stderr: str = "", argv: tuple[str, ...] = ("tool",)) -> Outcome:
    """An Outcome made up for a test."""
    return Outcome(Command(argv), "a", returncode, text, stderr, 1.0)
