"""A search that was stopped: how it stands, and the candidate that it leaves. Nothing of it is measured here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nettune import files, outputs, searches, tune, tuned
from nettune.places import Places
from nettune.say import Screen
from results.errors import Fault, WrongInput
from results.store import Store, opened
from tuning import profile_text
from tuning.search.advising import candidate, estimated
from tuning.search.halfway import Halfway, halfway
from tuning.search.ordered import Search, prices
from tuning.search.planned import Explored
from tuning.search.stages import Measured, Question, Stage


def stands(search: Search, explored: Explored | None, places: Places, store: Store) -> Halfway:
    """How the search stands, by its runs. Raises WrongInput for one whose stages a study chooses."""
    if search.study:
        raise WrongInput(f"what {search.name} measures next is chosen by the study {search.study}",
                         hint="`nettune runs` lists what it measured")  # fmt: skip
    clock = searches.clock(search, places)
    paces = () if clock is None else clock.paces

    def there(stage: Stage, number: int) -> tuple[Measured, bool] | None:
        run = tune.stored(search, stage, number, store)
        if run is None:
            return None
        trials = store.trials(run.run_id, metrics=run.design.judged)
        pace = paces[number] if number < len(paces) else None
        over = run.status == "complete" and (clock is None or pace is not None)
        return Measured(stage, run.design, trials, run.run_id, pace), over

    base = search.plan.design
    factors, anchors = (explored.factors, explored.anchors) if explored else ((), {})
    full = explored.full(base.primary) if explored else ""
    question = Question(base, factors, anchors, search.trials_most, prices(search.plan), full)
    return halfway(question, there, explored=explored is not None)


def shown(screen: Screen, search: Search, explored: Explored | None, places: Places) -> None:
    """What was measured, what leads, and what is next, in words; for machines where the screen is quiet.

    Of a search that was never begun no store is made.
    """
    with opened(places.store if searches.beside(search, places, ".json").exists() else ":memory:") as store:
        found = stands(search, explored, places, store)
    if screen.quiet:
        screen.document(_document(search, found))
        return
    for number, each in enumerate([*found.done, *([found.begun] if found.begun else ())], 1):
        of = f"{each.blocks} of " if each.blocks < each.stage.blocks else ""
        screen.line(f"{number}. {each.stage.purpose}: run {each.run_id}, {of}{each.stage.blocks} blocks")
    if explored is not None:
        tuned.explored(screen, explored, search.plan.primary)
    for sentence in found.answer.said:
        screen.line(sentence)
    if found.leading is not None:
        screen.line(f"Leads, not confirmed: {estimated(found.leading)}.")
    elif found.answer.status == "open" and found.done:
        screen.line("Nothing leads so far.")
    if found.answer.status == "open" and (found.done or found.begun):
        screen.line(f"`nettune tune --resume {search.name}` goes on.", "bold")


def _document(search: Search, found: Halfway) -> dict[str, object]:
    """The same for machines."""
    leads, following = found.leading, found.following
    return {
        "search": search.name,
        "status": found.answer.status,
        "said": list(found.answer.said),
        "stages": [
            {"purpose": each.stage.purpose, "run": each.run_id, "blocks": each.blocks, "of": each.stage.blocks}
            for each in [*found.done, *([found.begun] if found.begun else ())]
        ],
        "leading": None if leads is None else [{"setting": x.setting, "value": x.value} for x in leads.config],
        "next": None if following is None else following.purpose,
    }


def leave_candidate(
    search: Search, explored: Explored | None, places: Places, store: Store, out: Path | None
) -> tuple[str, Path] | None:
    """Write what leads as a profile of status candidate; what it is, and the file. None where nothing leads.

    Into `out` where that was asked for, else beside the search.
    """
    found = None if search.study else stands(search, explored, places, store)
    if found is None or found.leading is None:
        return None
    leads = found.leading
    path = out or searches.beside(search, places, ".candidate.yaml")
    outputs.untouched(path, option=f"nettune tune --resume {search.name} --out")
    stages = [*found.done, *([found.begun] if found.begun else ())]
    runs = [store.run(each.run_id) for each in reversed(stages)]
    run = next(each for each in runs if each.run_id == leads.measured.run_id)
    files.write(path, profile_text.text(run, candidate(runs, leads, (search.name, stages))))
    return estimated(leads), path


@contextlib.contextmanager
def leaving_candidate(search: Search, places: Places, store: Store, out: Path | None) -> Iterator[None]:
    """An interruption leaves what leads so far, and says where. What goes wrong with that hides nothing else."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            with contextlib.suppress(Fault):
                left = leave_candidate(search, searches.found(search.name, places)[1], places, store, out)
                error.add_note("nothing leads so far" if left is None else f"not confirmed: {left[0]}: {left[1]}")
        raise
