"""What a part is asked for, and rows that are kept as they are made: a long part goes on where it was cut short."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """Curves a row, truths or repeats; the file that keeps rows; whether a guest is taken where this machine could."""

    replays: int
    file: Path | None = None
    guest: bool = False


def rows(part: str, asked: Asked, make: Callable[[int], Row]) -> list[Row]:
    """Rows 0 … replays − 1 of a part; those that stand in the file are not made again, others are added to it.

    What a guest measured and what this machine did are two parts.
    """
    name = f"{part} in a guest" if asked.guest else part
    found: dict[int, Row] = {}
    if asked.file is not None and asked.file.exists():
        for line in asked.file.read_text(encoding="utf-8").splitlines():
            each = json.loads(line)
            if each["part"] == name:
                found[each["number"]] = each["row"]
    for number in range(asked.replays):
        if number not in found:
            found[number] = make(number)
            if asked.file is not None:
                with asked.file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"part": name, "number": number, "row": found[number]}) + "\n")
    return [found[number] for number in range(asked.replays)]
