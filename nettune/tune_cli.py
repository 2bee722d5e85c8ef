"""The verb `tune`: from the knobs of a path to a confirmed profile, or "change nothing"."""

from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen
from nettune.times import seconds

TRIALS = 160  # of a search, where nobody says otherwise


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
    out: Annotated[Path, typer.Option(help="Where the profile goes, when one is confirmed.")] = Path("tuned.yaml"),
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search the knobs of a path: noise, screening, race, refinement, confirmation. Every change is undone."""
    from nettune import unprivileged

    screen, where = Screen(quiet=as_json), places(store)
    if not unprivileged.elsewhere(plan):
        unprivileged.enter(where)
    from nettune import outputs, tune_words, tuned
    from nettune import tune as tuning_of
    from results.store import opened

    outputs.untouched(out, option="--out")  # told now, and not after hours of trials
    explored = None
    if resume:
        tune_words.resumed_alone(context)
        search, explored = tuning_of.found(resume, where)
    else:
        search = tune_words.new(plan, sets or (), (seconds("--budget", budget), trials, TRIALS), seed, most=disruption,
                                only=knob or (), anchors=anchors, by=(search_by, storage, study))  # fmt: skip
        tuning_of.keep(search, where)
    screen.line(tuned.estimate(search), "bold")
    unprivileged.announce(screen)
    with opened(where.store) as kept:
        answer, stages, explored = tuning_of.carried_out(search, explored, where, kept, screen)
        tuned.told(screen, answer, explored)
        for path in tuned.written(search, kept, answer, stages, explored, out):
            screen.line(str(path))
        if as_json:
            screen.document(tuned.document(search, answer, stages, explored))
    if answer.status == "refused":
        raise typer.Exit(3)
