"""What a finished or interrupted run gives: the summary, the report, the profile."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.labs import lease
from nettune import say
from nettune.files import write
from nettune.places import Places
from results import rows
from results.judgement import judge, run_visible
from results.paths import path_differences
from results.records import Judgement, Run, Trial
from results.slopes import slopes
from results.store import Listed, Store
from results.summary import summary
from results.units import percent
from tuning import profile
from tuning.recommend import Advice, recommend

__all__ = ["advice_for", "closing", "document", "judged", "page", "standing", "write", "write_profile"]


def judged(store: Store, name: str) -> tuple[Run, tuple[Trial, ...], Judgement]:
    """A run with its trials and what they amount to."""
    run = store.run(name)
    trials = store.trials(run.run_id)
    return run, trials, judge(run.design, trials)


def advice_for(store: Store, run: Run, judgement: Judgement) -> tuple[Run, Advice]:
    """The advice of a run; where a complete run confirmed it, that run's, which alone may speak of a gain."""
    for run_id in store.run_ids():
        other = store.run(run_id)
        if other.confirms == run.run_id and other.status == "complete":
            return other, recommend(other, judge(other.design, store.trials(run_id)))
    return run, recommend(run, judgement)


def standing(listed: Sequence[Listed], places: Places) -> list[Listed]:
    """The runs as they stand: one that reads running while no process on this machine measures it was killed.

    Only a store in a file is of one machine; what a shared database says of another's runs is left as it is.
    """
    if "://" in places.store and not places.store.startswith("sqlite"):
        return list(listed)
    alive = lease.measuring(places.state) if any(each.status == "running" for each in listed) else ""
    return [
        replace(each, status="killed") if each.status == "running" and each.run_id not in alive else each
        for each in listed
    ]


def page(store: Store, name: str) -> str:
    """The report as one HTML file."""
    from results.report import report  # noqa: PLC0415 - matplotlib takes half a second to import

    run, trials, judgement = judged(store, name)
    _, advice = advice_for(store, run, judgement)
    return report(run, trials, judgement, recommendation=advice.as_mapping())


def document(store: Store, name: str) -> dict[str, object]:
    """The document of `show --json`."""
    return summary(*judged(store, name))


def write_profile(store: Store, name: str, path: Path) -> Advice:
    """Write profile.yaml; the advice that it holds."""
    run, _, judgement = judged(store, name)
    speaker, advice = advice_for(store, run, judgement)
    write(path, profile.text(speaker, advice))
    return advice


def closing(screen: say.Screen, store: Store, name: str) -> None:
    """The table of verdicts and the sentences below it: what was advised, and what this run could see."""
    run, trials, judgement = judged(store, name)
    say.verdicts(screen, run, judgement)
    odd = sum(trial.status in {"failed", "missing"} for trial in trials)
    if odd:
        screen.line(f"{odd} trials failed or are missing; `nettune show {run.run_id}` says why", "yellow")
    visible, blocks = run_visible(run.design, judgement)
    if visible is not None:
        more = ""
        if blocks is not None and blocks > run.design.blocks:
            whole = say.duration(blocks * run.design.block_s * len(run.design.topologies))
            more = f"; for {run.design.margin_pct:g} % use --blocks {blocks} (≈ {whole})"
        screen.line(f"This run could see changes ≥ {percent(visible, signed=False)}{more}.")
    say.paths(screen, rows.path_rows(trials, path_differences(run.design, trials)))
    for sentence in rows.slope_sentences(slopes(run, trials)):
        screen.line(sentence)
    _, advice = advice_for(store, run, judgement)
    screen.line(advice.sentence, "bold")
    if advice.next_command:
        screen.line(f"  {advice.next_command}")
