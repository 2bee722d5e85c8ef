"""What `nettune capacity` says of a run: on the screen, as a document for machines, as files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.capacity.watching import STOPPED
from nettune.files import write
from nettune.say import Screen
from results.scaling import beside, nodes, told
from results.scaling.counted import Counted
from results.scaling.page import Findings, page

_NOTED = 8  # lines on the screen


def everywhere(screen: Screen, found: Findings, others: list[Findings], out: Path | None, *, as_json: bool) -> None:
    """On the screen; in the folder `out` and on standard output where they are asked for."""
    _tell(screen, found, others)
    if out is not None:
        screen.line("  ".join(str(path) for path in _written(found, others, out)))
    if as_json:
        screen.document(document(found, others))


def _tell(screen: Screen, found: Findings, others: list[Findings]) -> None:
    """Tables, the curve in words, what was noted; the answer last."""
    tables = {
        "": told.table(found.answer, found.counted.costs),
        "CPU in cores, of all machines; packets dropped; the least pair": told.split_table(found.counted.splits),
        "TCP by RFC 6349": told.tcp_table(found.counted.transfers),
    }
    _tables(screen, tables)
    for line in told.curve_lines(found.answer):
        screen.line(line)
    for each in found.answer.allowed:
        screen.line(f"  {told.bound(each, found.answer.measured)}")
    for line in found.symptoms:
        screen.line(f"With {found.symptoms_at} pairs: {line}")
    lost = [f"{n} pairs, a trial without a number: {why}" for n, why in found.lost if not why.startswith(STOPPED)]
    for line in (*lost, *_noted(found), *_ended(found)):
        screen.line(line, "yellow")
    _tables(screen, {"One node fewer: of nodes like this one, VMs on each such that the rest carries them all":
                     nodes.table(nodes.spared(found.answer))})  # fmt: skip
    if others:
        screen.table("side by side", *beside.table((found, *others)))
    if down := told.down(found.down, found.outages):
        screen.line(down)
    screen.line(beside.sentence(found, others), "bold")


def _tables(screen: Screen, tables: Mapping[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]) -> None:
    """Those that have a row, by title."""
    for title, (headings, cells) in tables.items():
        if cells:
            screen.table(title, [f"#{each}" for each in headings], cells)


def _noted(found: Findings) -> list[str]:
    lines = [told.noted(each) for each in found.noted]
    more = len(lines) - _NOTED
    return lines if more <= 0 else [*lines[:_NOTED], f"and {more} notes more: --out has them all"]


def _ended(found: Findings) -> list[str]:
    """Where load was ended before its time, and what was left out for that."""
    return [f"Load was ended at {n} pairs, and no step with as many was begun after it: {why.removeprefix(STOPPED)}"
            for n, why in found.lost if why.startswith(STOPPED)]  # fmt: skip


def document(found: Findings, others: list[Findings]) -> dict[str, object]:
    """With what was put beside it as documents of their own."""
    lost = [{"pairs": n, "cause": why} for n, why in found.lost]
    down = (
        None if found.down is None else {**told.document(found.down, Counted(), ()), "outages_s": list(found.outages)}
    )
    own = told.document(found.answer, found.counted, found.symptoms, found.symptoms_at)
    own |= {
        "answer": beside.sentence(found, others),
        "run_id": found.run.run_id,
        "plan": found.run.plan_name,
        "label": found.run.label,
    }
    return {**own, "one_leg_down": down, "lost": lost, "load_ended": _ended(found),
            "one_node_fewer": nodes.documents(nodes.spared(found.answer)),
            "noted": [asdict(each) for each in found.noted],
            "beside": [document(each, []) for each in others]}  # fmt: skip


def _written(found: Findings, others: list[Findings], folder: Path) -> tuple[Path, ...]:
    """The files of `--out`, by their paths."""
    texts = {
        "capacity.html": page(found, others),
        "capacity.csv": told.spreadsheet(found.answer, found.counted),
        "capacity-nodes.csv": nodes.spreadsheet(nodes.spared(found.answer)),
        "capacity.json": json.dumps(document(found, others), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write(folder / name, text)
    return tuple(folder / name for name in texts)
