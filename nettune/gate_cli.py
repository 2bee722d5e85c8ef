"""The verbs over many runs: `compare` (a gate between runs) and `trend` (the history of a plan)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import places
from nettune.say import Screen

if TYPE_CHECKING:
    from results.between import Between, Change
    from results.evidence import Measured

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


def _measured(url: str, words: str, *, must_exist: bool = False) -> "list[Measured]":
    """The runs that `words` name in a store, with their trials."""
    from results.errors import WrongInput
    from results.evidence import Measured
    from results.selection import chosen
    from results.store import opened

    if must_exist and "://" not in url and not Path(url).exists():
        raise WrongInput(f"--baseline-store {url}: no such file", hint="the store that the baseline's runs went to")
    with opened(url) as kept:
        found = chosen(words, kept.listed(), kept.shown)
        return [Measured(kept.run(each.run_id), kept.trials(each.run_id, histograms=False)) for each in found]


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
