"""What the options of `nettune tune` mean: a search, its budget, its sampler. Each raises WrongInput."""

import re
from collections.abc import Sequence

import typer

from bench.plan import Plan
from nettune.say import duration
from nettune.seeds import dealt
from nettune.wiring import load_plan
from results.errors import WrongInput
from tuning.knobs.entry import DISRUPTIONS, Disruption
from tuning.search.course import least_trials
from tuning.search.ordered import Search, ordered, prices

_OF_A_RESUMED = {"resume", "dry_run", "out", "store", "as_json"}


def new(
    name: str,
    overrides: Sequence[str],
    asked: tuple[float | None, int | None, int],
    seed: int | None,
    *,
    most: str,
    only: Sequence[str],
    anchors: bool,
    by: tuple[str, str, str],
) -> Search:
    """A search of the one path of the plan of that name; without a seed one is dealt.

    `asked` is the budget: seconds, trials, trials otherwise; `by`: who chooses, storage and study.
    """
    plan = load_plan(name, overrides)
    return ordered(
        plan,
        budget(plan, *asked),
        dealt() if seed is None else seed,
        most=disruption(most),
        only=only,
        anchors=anchors,
        sampler=sampler(*by),
        budget_s=asked[0],
    )


def resumed_alone(context: typer.Context) -> None:
    """Refuses what was given beside --resume and would change nothing: a search goes on as it was ordered."""
    given = [
        each
        for each in context.command.params
        if each.name not in _OF_A_RESUMED
        and (source := context.get_parameter_source(str(each.name))) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        words = ", ".join(each.opts[0] if each.param_type_name == "option" else "the plan" for each in given)
        raise WrongInput(
            f"--resume goes on with a search as it was ordered, and {words} would be passed over",
            hint=f"leave out {words}, or leave out --resume: that begins another search",
        )


def budget(plan: Plan, seconds: float | None, trials: int | None, otherwise: int) -> int:
    """The trials that a search may take. Raises WrongInput for both, or for too few to claim anything."""
    if seconds is not None and trials is not None:
        raise WrongInput("--budget and --trials say the same", hint="leave one out")
    paid = prices(plan)
    trial_s = paid.trial_s
    most = paid.trials(seconds) if seconds is not None else trials or otherwise
    least = least_trials(1)
    if most < least:
        more = f"--trials {max(least, otherwise)}" if seconds is None else f"--budget {2 * least * trial_s / 60:.0f}m"
        raise WrongInput(
            f"a budget of {most} trials ({duration(most * trial_s)}) is too small for any claim: noise, the shortest "
            f"race of one arm and its confirmation take {least} ({duration(least * trial_s)})",
            hint=f"{more} or more, or a plan with shorter trials",
        )
    return most


def sampler(search: str, storage: str, study: str) -> tuple[str, str]:
    """(storage, study) of `--search optuna`; ("", "") for nettune's own search. Raises WrongInput."""
    if search not in {"own", "optuna"}:
        raise WrongInput(f"--search {search!r} is none", hint="own, or optuna")
    if search == "own":
        if storage or study:
            raise WrongInput("--storage and --study are of --search optuna", hint="add --search optuna")
        return "", ""
    if storage and "://" not in storage:
        raise WrongInput(f"--storage {storage!r} is no URL", hint="postgresql://USER@HOST/NAME, or sqlite:///FILE")
    if re.search(r"://[^/@]*:[^/@]*@", storage):
        raise WrongInput("--storage holds a password, which would be kept with the search",
                         hint="put it into ~/.pgpass or PGPASSWORD")  # fmt: skip
    if storage.startswith("postgresql://"):
        storage = storage.replace("postgresql://", "postgresql+psycopg://", 1)
    return storage, study or "nettune"


def disruption(word: str) -> Disruption:
    """d0 … d7. Raises WrongInput."""
    found = next((each for each in DISRUPTIONS if each == word), None)
    if found is None:
        said = "; ".join(f"{each}: {words}" for each, words in DISRUPTIONS.items())
        raise WrongInput(f"--disruption {word!r} is no class", hint=said)
    return found
