"""The verb `tune`: from the knobs of a path to a confirmed profile, or "change nothing"."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import Places, places
from nettune.say import Screen
from nettune.times import seconds

if TYPE_CHECKING:
    from tuning.search.ordered import Search
    from tuning.search.planned import Explored

TRIALS = 160  # of a search, where nobody says otherwise
OUT = Path("tuned.yaml")


def tune(
    context: typer.Context,
    plan: Annotated[
        str, typer.Argument(help="The plan whose path is tuned: its lab, probes, primary metric.")
    ] = "quick",
    *,
    budget: Annotated[str, typer.Option(help="The time that it has, labs too: 90s, 6m, 2h.", metavar="TIME")] = "",
    trials: Annotated[
        int | None, typer.Option(min=1, help=f"The same in trials; {TRIALS} when neither is given.")
    ] = None,
    knob: Annotated[
        list[str] | None, typer.Option(help="Try these alone, whatever their trigger.", metavar="KNOB")
    ] = None,
    disruption: Annotated[
        str, typer.Option(help="The most that a knob may disturb: d0 to d7.", metavar="CLASS")
    ] = "d2",
    anchors: Annotated[bool, typer.Option(help="Race what others have published, too.")] = True,
    search_by: Annotated[str, typer.Option("--search", help="own, or optuna: its samplers.", metavar="WAY")] = "own",
    storage: Annotated[str, typer.Option(help="Of an Optuna study that workers share: a URL.", metavar="URL")] = "",
    study: Annotated[str, typer.Option(help="The name of that study.", metavar="NAME")] = "",
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value of the plan.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of order and ports.")] = None,
    resume: Annotated[
        str, typer.Option(help="Go on with a search that was cut short, or 'last'.", metavar="SEARCH")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --resume: what was measured, what leads, what is next.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the profile goes, when one is confirmed; else a candidate.", show_default=str(OUT)),
    ] = None,
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search the knobs of a path: noise, screening, race, refinement, confirmation. Every change is undone."""
    from nettune import unprivileged

    screen, where = Screen(quiet=as_json), places(store)
    if not (dry_run or unprivileged.elsewhere(plan)):
        unprivileged.enter(where)
    from nettune import outputs, searches, tune_stopped, tune_words, tuned

    outputs.untouched(out or OUT, option="--out")  # told now, and not after hours of trials
    explored = None
    if resume:
        tune_words.resumed_alone(context)
        search, explored = searches.found(resume, where)
    else:
        search = tune_words.new(plan, sets or (), (seconds("--budget", budget), trials, TRIALS), seed, most=disruption,
                                only=knob or (), anchors=anchors, by=(search_by, storage, study))  # fmt: skip
        if not dry_run:
            searches.keep(search, where)
    screen.line(tuned.estimate(search), "bold")
    if dry_run:
        tune_stopped.shown(screen, search, explored, where)
        return
    unprivileged.announce(screen)
    if not _answered(screen, search, explored, where, out):
        raise typer.Exit(3)


def _answered(screen: Screen, search: "Search", explored: "Explored | None", where: Places, out: Path | None) -> bool:
    """Search, say what came of it, write it; whether any claim can be made there."""
    from nettune import tune as tuning_of
    from nettune import tune_stopped, tuned
    from results.store import opened

    with opened(where.store) as kept:
        with tune_stopped.leaving_candidate(search, where, kept, out):
            answer, stages, explored = tuning_of.carried_out(search, explored, where, kept, screen)
        tuned.told(screen, answer, explored)
        for path in tuned.written(search, kept, answer, stages, explored, out or OUT):
            screen.line(str(path))
        left = None if answer.picks else tune_stopped.leave_candidate(search, explored, where, kept, out)
        if left is not None:
            screen.line(f"Not confirmed: {left[0]}: {left[1]}")
        if screen.quiet:
            document = tuned.document(search, answer, stages, explored)
            screen.document({**document, "candidate": None if left is None else str(left[1])})
    return answer.status != "refused"
