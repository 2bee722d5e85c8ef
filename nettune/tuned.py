"""What a search tells on its way, and what it gives: sentences, a profile for each pick, a document."""

from collections.abc import Sequence
from pathlib import Path

from nettune import files, outputs
from nettune.say import Screen, duration
from results.records import CURRENT_ARMS, Design
from results.statistics import percent
from results.store import Store
from tuning import profile_text
from tuning.search import planned
from tuning.search.advising import advice
from tuning.search.exploring import explanations
from tuning.search.ordered import Search, prices
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Stage, worded


def estimate(search: Search) -> str:
    """What is about to be searched, and how long it takes at most."""
    if search.budget_s is not None:
        most = f"{duration(search.budget_s)}, about {search.trials_most} trials"
    else:
        took = duration(search.trials_most * prices(search.plan).trial_s)
        most = f"up to {search.trials_most} trials, {took} and the time of its labs"
    return f"{search.plan.name}: {search.name}, {most}, seed {search.seed}"


def begun(screen: Screen, stage: Stage, number: int, base: Design) -> None:
    """What is measured next, and how long it takes at most."""
    what = f"{number + 1}. {stage.purpose}: {stage.why}"
    most = "up to " if stage.sequential else ""
    took = duration(stage.trials * base.block_s / len(CURRENT_ARMS))
    screen.line(f"{what}; {len(stage.arms)} arms, {most}{stage.blocks} blocks, {most}{took}", "bold")


def explored(screen: Screen, found: Explored, primary: str, only: Sequence[str] = ()) -> None:
    """What limits the path, and what is tried on it; of knobs that were asked for by name also why they are not."""
    for name, evidence in found.symptoms:
        screen.line(f"symptom {name}: {evidence}")
    if found.unseen:
        blind = ", ".join(name for name, _ in found.unseen)
        screen.line(f"not to be seen here, --json says why: {blind}", "dim")
    if found.full(primary):
        return
    names = ", ".join(map(worded, found.factors)) or "none"
    for name, why in found.left_out if only else ():
        screen.line(f"not tried: {name}: {why}", "dim")
    beside = ", ".join(f"{name} (settings: {len(arm)})" for name, arm in found.anchors.items()) or "none"
    screen.line(f"knobs to try: {names}; published profiles beside them: {beside}")


def told(screen: Screen, answer: Answer, explored: Explored | None) -> None:
    """The sentences of an answer, the conclusion last."""
    for sentence in answer.said:
        screen.line(sentence)
    if explored is not None and explored.left_out:
        screen.line(f"{len(explored.left_out)} knobs and profiles were left out or cut down; --json says why", "dim")
    conclusion = {
        "confirmed": f"{len(answer.picks)} confirmed on fresh blocks.",
        "nothing": "Change nothing.",
        "refused": "No claim can be made here.",
    }[answer.status]
    screen.line(f"{conclusion} {answer.trials} trials.", "bold")


def written(
    search: Search, store: Store, answer: Answer, stages: Sequence[Measured], explored: Explored | None, out: Path
) -> tuple[Path, ...]:
    """A profile for each pick: `out` for the first, `out` with the pick's name for the others.

    Raises WrongInput where one of them would be written over what a hand has edited; then none is written.
    """
    paths = [
        out if number == 0 else out.with_name(f"{out.stem}-{pick.names[0]}{out.suffix}")
        for number, pick in enumerate(answer.picks)
    ]
    for path in paths:
        outputs.untouched(path, option=f"nettune tune --resume {search.name} --out")
    for path, pick in zip(paths, answer.picks, strict=True):
        run = store.run(stages[-1].run_id)
        why = explanations(search.plan, stages, pick, explored, store)
        files.write(path, profile_text.text(run, advice(run, answer, pick, why, (search.name, stages))))
    return tuple(paths)


def document(
    search: Search, answer: Answer, stages: Sequence[Measured], explored: Explored | None
) -> dict[str, object]:
    """For machines."""
    return {
        "search": search.name,
        "plan": search.plan.name,
        "status": answer.status,
        "trials": answer.trials,
        "visible_pct": answer.visible_pct,
        "said": list(answer.said),
        "stages": [{"purpose": each.stage.purpose, "run": each.run_id, "arms": list(each.stage.arms),
                    "trials": len(each.trials)} for each in stages],
        "picks": [
            {"names": list(pick.names), "metric": pick.metric, "gain_pct": percent(pick.gain.mean),
             "interval_pct": [percent(pick.gain.low), percent(pick.gain.high)], "blocks": pick.gain.n,
             "settings": [{"setting": x.setting, "value": x.value, "target": x.target} for x in pick.config]}
            for pick in answer.picks
        ],
        "explored": None if explored is None else planned.as_document(explored),
    }  # fmt: skip
