"""The verb `tune`: from the knobs of a path to a confirmed profile, or "change nothing"."""

import re
from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen

TRIALS = 160  # of a search, where nobody says otherwise
_BUDGET = re.compile(r"([0-9]{1,5}(?:\.[0-9]+)?)(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def tune(
    plan: Annotated[
        str, typer.Argument(help="The plan whose path is tuned: its lab, probes, primary metric.")
    ] = "quick",
    *,
    budget: Annotated[str, typer.Option(help="How long it may measure: 90s, 6m, 2h.", metavar="TIME")] = "",
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
    out: Annotated[Path, typer.Option(help="Where the profile goes, when something is confirmed.")] = Path(
        "tuned.yaml"
    ),
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search the knobs of a path: noise, screening, race, refinement, confirmation. Every change is undone."""
    from nettune import unprivileged

    screen, where = Screen(quiet=as_json), places(store)
    if not unprivileged.elsewhere(plan):
        unprivileged.enter(where)
    from nettune import tune as tuning_of
    from nettune import tuned
    from nettune.seeds import dealt
    from results.store import opened

    explored = None
    if resume:
        search, explored = tuning_of.found(resume, where)
    else:
        search = tuning_of.new(plan, sets or (), (_seconds(budget), trials, TRIALS), dealt() if seed is None else seed,
                               most=tuning_of.disruption(disruption), only=knob or (), anchors=anchors,
                               sampler=tuning_of.sampler(search_by, storage, study))  # fmt: skip
        tuning_of.keep(search, where)
    screen.line(tuning_of.estimate(search), "bold")
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


def _seconds(text: str) -> float | None:
    """A time as typed; None for "". Raises WrongInput."""
    from results.errors import WrongInput

    if not text:
        return None
    found = _BUDGET.fullmatch(text)
    if found is None:
        raise WrongInput(f"--budget {text!r} is no time", hint="90s, 6m or 2h")
    return float(found[1]) * _SECONDS[found[2]]
