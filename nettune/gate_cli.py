"""The verbs over many runs: `compare` (a gate between runs) and `trend` (the history of a plan)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import places
from nettune.say import Screen

if TYPE_CHECKING:
    from results.between import Between, Change
    from results.evidence import Measured
    from results.records import Run
    from results.store import Store
    from results.trend import Trend

SIDE = "Runs: ids or beginnings, last:N, label:NAME or plan:NAME, with commas between."
AcrossOption = Annotated[
    list[str] | None, typer.Option("--across", help="A fact that may differ, e.g. kernel.", metavar="FACT")
]


def compare(
    baseline: Annotated[str, typer.Argument(help=f"The baseline. {SIDE}")],
    candidate: Annotated[str, typer.Argument(help="What is compared with it, named the same way.")],
    across: AcrossOption = None,
    fail_on: Annotated[str, typer.Option(help="'worse': exit 1 when a cell is.", metavar="worse")] = "",
    metric: Annotated[str, typer.Option(help="Decide by this metric in place of the plan's primary.")] = "",
    margin: Annotated[
        float | None, typer.Option(min=0.1, max=100, help="Percent worth naming, in place of the plan's.")
    ] = None,
    store: Annotated[str, typer.Option(help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    baseline_store: Annotated[str, typer.Option(help="Where the baseline's runs are, if elsewhere.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Runs against runs, unpaired: better, worse, equivalent or inconclusive. Needs 3 runs a side for a verdict."""
    from results.between import between
    from results.between_document import document
    from results.errors import WrongInput

    if fail_on not in ("", "worse"):
        raise WrongInput(f"--fail-on {fail_on!r}: only 'worse' can fail", hint="--fail-on worse")
    screen, where = Screen(quiet=as_json), places(store)
    sides = (
        _measured(baseline_store or where.store, baseline, must_exist=bool(baseline_store)),
        _measured(where.store, candidate),
    )
    found = between(*sides, across=tuple(across or ()), metric=metric, margin_pct=margin)
    _show(screen, found)
    if as_json:
        screen.document(document(found))
    if fail_on and found.worse:
        raise typer.Exit(1)


def trend(
    plan: Annotated[str, typer.Argument(help="The name of a plan that runs in the store were made with.")],
    label: Annotated[str, typer.Option(help="Only runs with this label.", metavar="NAME")] = "",
    metric: Annotated[str, typer.Option(help="Look at this metric first, in place of the plan's primary.")] = "",
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many runs to look back.", metavar="N")] = 50,
    store: Annotated[str, typer.Option(help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """The history of a plan: levels, since when, what differed when one began. Never fails on what it finds."""
    from results import trend as history
    from results.selection import of_plan
    from results.store import opened
    from results.trend_document import document

    screen = Screen(quiet=as_json)
    with opened(places(store).store) as kept:
        listed = of_plan(plan, label, kept.listed(), kept.shown)
        runs = history.comparable([kept.run(each.run_id) for each in listed[:last]])
        measured = [_with_trials(kept, run) for run in runs.runs]
    found = history.trend(runs, measured, metric=metric)
    _show_trend(screen, found, listed=len(listed), last=last)
    if as_json:
        screen.document(document(found))


def _show_trend(screen: Screen, found: "Trend", *, listed: int, last: int) -> None:
    """The series of the deciding metric with what there is to know of each, then others that changed, then the sum."""
    from nettune import say
    from results import trend_rows

    others = [each for each in found.series if each.metric != found.metric and (each.changes or each.modes)]
    for title, shown in ((trend_rows.title(found), found.deciding), ("\nother metrics that changed", others)):
        cells = [
            (each.topology, each.arm, each.metric, each.runs, each.level, say.mark(each.verdict), each.change)
            for each in map(trend_rows.row, shown)
        ]
        if cells:
            screen.table(title, ("topology", "arm", "metric", "#runs", "#level now", "newest change", "#by"), cells)
        deciding = shown == found.deciding
        for sentence in (words for each in shown for words in trend_rows.sentences(each, deciding=deciding)):
            screen.line(sentence, "dim")
    for note in trend_rows.notes(found):
        screen.line(note, "yellow")
    if listed > last:
        screen.line(f"{listed - last} older runs are not looked at; --last {listed} takes all", "yellow")
    screen.line(trend_rows.sentence(found), "bold")


def _measured(url: str, words: str, *, must_exist: bool = False) -> "list[Measured]":
    """The runs that `words` name in a store, with their trials."""
    from results.errors import WrongInput
    from results.selection import chosen
    from results.store import opened

    if must_exist and "://" not in url and not Path(url).exists():
        raise WrongInput(f"--baseline-store {url}: no such file", hint="the store that the baseline's runs went to")
    with opened(url) as kept:
        found = chosen(words, kept.listed(), kept.shown)
        return [_with_trials(kept, kept.run(each.run_id)) for each in found]


def _with_trials(kept: "Store", run: "Run") -> "Measured":
    from results.evidence import Measured

    return Measured(run, kept.trials(run.run_id, histograms=False, metrics=run.design.judged))


def _show(screen: Screen, found: "Between") -> None:
    """The cells of the deciding metric with their reasons, then the other metrics, notes, and what came of it."""
    for title, side in (("baseline ", found.baseline), ("candidate", found.candidate)):
        screen.line(f"{title} {', '.join(run.run_id for run in side)}")
    columns = ("topology", "arm", "verdict", "#change [95 % interval]", "#baseline", "#candidate")
    title = f"{found.baseline[0].plan_name}: {found.metric}, margin {found.margin_pct:g} %"
    screen.table(title, columns, [_row(each) for each in found.gating])
    for each in found.gating:
        screen.line(f"{each.topology} {each.arm}: {each.reason}", "dim")
    others = [each for each in found.changes if not each.gating]
    if others:
        rows = [(*_row(each)[:2], each.metric, *_row(each)[2:]) for each in others]
        title = "\nother metrics, which decide nothing (p not adjusted)"
        screen.table(title, (*columns[:2], "metric", *columns[2:]), rows)
    for note in found.notes:
        screen.line(note, "yellow")
    screen.line(found.sentence, "bold")


def _row(each: "Change") -> tuple[str, ...]:
    from nettune import say
    from results import series, units

    unit = series.metric_of(each.metric).unit
    values = (each.baseline_value, each.candidate_value)
    used = units.scale(each.metric, unit, [value for value in values if value is not None])
    shown = (units.quantity(each.metric, unit, value, to=used) for value in values)
    change = say.effect(each.change_pct, each.ci_low_pct, each.ci_high_pct)
    return (each.topology, each.arm, say.mark(each.verdict), change, *shown)
