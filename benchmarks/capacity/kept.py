"""Rows that are kept as they are made, so that a long part goes on where it was cut short."""

import json
from collections.abc import Callable
from pathlib import Path

Row = dict[str, object]


def rows(part: str, count: int, make: Callable[[int], Row], file: Path | None) -> list[Row]:
    """Rows 0 … count − 1 of a part; those that stand in the file are not made again, others are added to it."""
    found: dict[int, Row] = {}
    if file is not None and file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            each = json.loads(line)
            if each["part"] == part:
                found[each["number"]] = each["row"]
    for number in range(count):
        if number not in found:
            found[number] = make(number)
            if file is not None:
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"part": part, "number": number, "row": found[number]}) + "\n")
    return [found[number] for number in range(count)]
