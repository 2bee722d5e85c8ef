"""Lines that say whether a goal was held: printed, and remembered where one was not."""

_MISSED: list[str] = []


def judgement(held: object, rows: int = 0, *, least: int = 0, of: str = "") -> str:
    """Of a goal, by so many rows (truths, searches); of fewer than `least` no verdict."""
    if rows < least:
        return f"not judged, it takes {least}{of}"
    return "held" if held else "MISSED"


def told(line: str) -> None:
    """Print a verdict's line."""
    print(line, flush=True)
    if "MISSED" in line:
        _MISSED.append(line.strip())


def missed() -> list[str]:
    """The lines so far of goals that were not held."""
    return list(_MISSED)
