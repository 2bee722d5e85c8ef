"""What a finished or interrupted run gives: the summary, the report, the profile."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from nettune import say
from nettune.files import write
from results import rows
from results.checks import HELD, broken, checks
from results.errors import WrongInput
from results.judgement import judge, run_visible
from results.paths import path_differences
from results.records import Judgement, Run, Trial
from results.scaling.arms import is_density
from results.slopes import slopes
from results.store import Store
from results.summary import summary
from results.units import percent
from tuning import profile_text
from tuning.recommend import Advice, recommend

__all__ = ["advice_for", "closing", "document", "judged", "page", "untouched", "write", "write_profile"]


def judged(store: Store, name: str, *, whole: bool = False) -> tuple[Run, tuple[Trial, ...], Judgement]:
    """A run with its trials and what they amount to; `whole` ones with histograms and with secondary metrics."""
    run = store.run(name)
    if is_density(run):
        raise WrongInput(
            f"run {run.run_id} holds pairs at once, no treatments: nothing of it is compared",
            hint=f"nettune capacity --from {run.run_id}",
        )
    judged_by = () if whole else (*run.design.judged, f"every.{HELD}")
    trials = store.trials(run.run_id, histograms=whole, metrics=judged_by)
    return run, trials, judge(run.design, trials, whole=whole)


def advice_for(store: Store, run: Run, judgement: Judgement) -> tuple[Run, Advice]:
    """The advice of a run; where a complete run confirmed it, that run's, which alone may speak of a gain."""
    for listed in store.listed():
        if listed.confirms == run.run_id and listed.status == "complete":
            other, _, found = judged(store, listed.run_id)
            return other, recommend(other, found)
    return run, recommend(run, judgement)


def page(store: Store, name: str) -> str:
    """The report as one HTML file."""
    from results.report import report  # noqa: PLC0415 - matplotlib takes half a second to import

    run, trials, judgement = judged(store, name, whole=True)
    _, advice = advice_for(store, run, judgement)
    return report(run, trials, judgement, recommendation=advice.as_mapping())


def document(store: Store, name: str) -> dict[str, object]:
    """The document of `show --json`."""
    return summary(*judged(store, name, whole=True))


def write_all(store: Store, run_id: str, folder: Path) -> tuple[Path, ...]:
    """Report, profile and document of a run in a folder; their paths."""
    html, profile, shown = (folder / name for name in ("report.html", "profile.yaml", "show.json"))
    if profile.is_file() and profile_text.edited(_there(profile)):  # what was measured is not lost for that
        profile = folder / f"profile-{run_id}.yaml"
    write(html, page(store, run_id))
    write_profile(store, run_id, profile)
    write(shown, json.dumps(document(store, run_id), indent=1) + "\n")
    return html, profile, shown


def write_profile(store: Store, name: str, path: Path, weigh: Callable[[Run, Advice], Advice] | None = None) -> Advice:
    """Write profile.yaml; the advice that it holds, once `weigh` has had its say."""
    run, _, judgement = judged(store, name)
    speaker, advice = advice_for(store, run, judgement)
    advice = weigh(speaker, advice) if weigh else advice
    untouched(path)
    write(path, profile_text.text(speaker, advice))
    return advice


def untouched(path: Path, *, option: str = "-o") -> None:
    """Raises WrongInput where a file stands that is not exactly what nettune wrote; `option` names another one."""
    if path.is_file() and profile_text.edited(_there(path)):
        raise WrongInput(
            f"{path} is not as nettune wrote it: a hand has been at it, and it is not written over",
            hint=f"name another file: {option} FILE",
        )


def _there(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def closing(screen: say.Screen, store: Store, found: tuple[Run, tuple[Trial, ...], Judgement]) -> None:
    """The table of verdicts and the sentences below it: what was advised, and what this run could see."""
    run, trials, judgement = found
    say.checks(screen, checks(run, trials))
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
        shown = f"≥ {percent(visible, signed=False)}".replace("≥ >", "> ")
        screen.line(f"This run could see changes {shown}{more}.")
    say.paths(screen, rows.path_rows(trials, path_differences(run.design, trials)))
    for sentence in rows.slope_sentences(slopes(run, trials)):
        screen.line(sentence)
    _, advice = advice_for(store, run, judgement)
    screen.line(advice.sentence, "bold")
    if advice.next_command:
        screen.line(f"  {advice.next_command}")


def held(found: tuple[Run, tuple[Trial, ...], Judgement]) -> bool:
    """Whether every check of a run held under current."""
    run, trials, _ = found
    return not broken(checks(run, trials))


def details(screen: say.Screen, run: Run, trials: Sequence[Trial], judgement: Judgement) -> None:
    """What `show` adds: the guards, the trials without a number, the machine."""
    rows = [
        (each.topology, each.treatment, guard.metric, guard.word)
        for each in judgement.comparisons
        if each.primary
        for guard in each.guards
    ]
    if rows:
        screen.table("guards", ("topology", "treatment", "metric", "outcome"), rows)
    for trial in trials:
        if trial.status in {"failed", "missing"}:
            screen.line(
                f"{trial.topology} block {trial.block + 1} {trial.arm}: {trial.status}: {trial.cause}", "yellow"
            )
    screen.line(f"seed {run.seed}, {run.status}, nettune {run.revision}")
    screen.line(say.plain(run.machine))
