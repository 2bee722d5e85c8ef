"""Everything that is printed: tables and progress for people, JSON for machines. Nothing else prints."""

from __future__ import annotations  # the rooms are imported for their types only: --help must not wait for scipy

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from results import units

if TYPE_CHECKING:
    from bench.labs.capability import Answer
    from results.checks import Check
    from results.records import Comparison, Judgement, Run, SameArms
    from results.rows import PathRow

_ICONS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"} | {
    "no change": "=", "unknown": "?", "two modes": "≠"}  # fmt: skip
_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "no change": "cyan"}  # all others: yellow


class Screen:
    """One command's output; `quiet` keeps standard output for JSON and lets only progress through, on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.out = Console(highlight=False, quiet=quiet)
        self.err = Console(stderr=True, highlight=False)

    def line(self, text: str, style: str = "") -> None:
        """One line for people."""
        self.out.print(text, style=style or None, markup=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """What is under way, on standard error."""
        self.err.print(f"  {text}", markup=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table for people; columns whose name begins with # are right-aligned numbers."""
        table = Table(
            title=title or None,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
            collapse_padding=True,
        )
        for column in columns:
            table.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell if "[/" in cell else cell.replace("[", "\\[") for cell in row))
        self.out.print(table)

    def document(self, value: object) -> None:
        """JSON on standard output."""
        sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def duration(seconds: float) -> str:
    """`95 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def verdicts(screen: Screen, run: Run, judgement: Judgement) -> None:
    """The table of verdicts on the primary metric, the noise above it; below it words, skipped cells, warnings."""
    skipped = {cell for cell, _ in run.skipped}
    shown = [
        each
        for each in judgement.comparisons
        if each.primary and not {each.topology, f"{each.topology}/{each.treatment}"} & skipped
    ]
    rows = [_noise(each) for each in judgement.same_arms if each.metric == run.design.primary and each.blocks]
    rows += [_verdict(each) for each in shown]
    columns = ("topology", "treatment", "verdict", "#effect [95 % interval]", "#n", "#sees ≥")
    screen.table(f"{run.plan_name}: {run.design.primary}, run {run.run_id}", columns, rows)
    for each in shown:
        guards = "".join(f"; {guard.metric} {guard.word}" for guard in each.guards if guard.word != "ok")
        screen.line(f"{each.topology} {each.treatment}: {each.reason}{guards}", "dim")
    for cell, reason in run.skipped:
        screen.line(f"skipped {cell}: {reason}", "yellow")
    for warning in judgement.warnings:
        screen.line(f"warning: {warning}", "yellow")


def _noise(same: SameArms) -> Sequence[str]:
    word = "A/A: not 0" if same.excludes_zero else "A/A: noise"
    shown = effect(same.effect_pct, same.ci_low_pct, same.ci_high_pct)
    return (same.topology, "current again", word, shown, str(same.blocks), "")


def _verdict(found: Comparison) -> Sequence[str]:
    shown = effect(found.effect_pct, found.ci_low_pct, found.ci_high_pct)
    seen = units.percent(found.visible_effect_pct, signed=False)
    return (found.topology, found.treatment, mark(found.verdict), shown, str(found.blocks), seen)


def mark(verdict: str) -> str:
    """A verdict with its icon and colour."""
    colour = _COLOURS.get(verdict, "yellow")
    return f"[{colour}]{_ICONS[verdict]} {verdict}[/{colour}]"


def effect(value: float | None, low: float | None, high: float | None) -> str:
    """An effect in percent with its interval."""
    return (
        f"{units.percent(value, unit=False)} {units.interval(low, high)}" if low is not None else units.percent(value)
    )


def checks(screen: Screen, found: Sequence[Check]) -> None:
    """Each check with its figures, and why it did not hold where it did not."""
    if not found:
        return
    rows = [
        (
            each.topology,
            each.probe,
            each.arm,
            "[green]✔ held[/green]" if each.passed else "[red]✘ did not hold[/red]",
            f"{each.held} of {each.trials}",
            "; ".join(each.figures),
        )
        for each in found
    ]
    screen.table("checks", ("topology", "check", "arm", "outcome", "#trials", "figures"), rows)
    for each in found:
        for words in each.reasons:
            screen.line(f"{each.topology} {each.probe} {each.arm}: {words}", "yellow")


def paths(screen: Screen, found: Sequence[PathRow]) -> None:
    """Current on each topology against the plan's first, on the primary metric."""
    shown = [
        (each.topology, mark(each.verdict), f"{each.effect} {each.interval}", str(each.n), each.medians)
        for each in found
        if each.primary
    ]
    if shown:
        columns = ("topology", "against the first", "#difference [95 % interval]", "#n", "median")
        screen.table("paths compared (current only)", columns, shown)


def capabilities(screen: Screen, answers: Sequence[Answer]) -> None:
    """What `lab check` found."""
    marks = {"yes": "[green]✔ yes[/green]", "no": "[red]✘ no[/red]", "not loaded": "[yellow]– not loaded[/yellow]"}
    rows = [
        (each.name, marks[each.word], each.what_for, "; ".join(filter(None, (each.reason, each.command))))
        for each in answers
    ]
    screen.table(
        "What this machine's kernel can do for a lab", ("kind", "here", "for", "why not, and the command"), rows
    )


def plain(facts: Mapping[str, str]) -> str:
    """Facts in one line."""
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value and value != "absent")
