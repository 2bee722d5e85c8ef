"""What a finished or interrupted run gives: the summary, the report, the profile."""

from pathlib import Path

from nettune import say
from results.errors import NotAble
from results.judgement import judge, run_visible
from results.records import Judgement, Run, Trial
from results.store import Store
from results.summary import summary
from tuning import profile
from tuning.recommend import Advice, recommend


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


def page(store: Store, name: str) -> str:
    """The report as one HTML file."""
    from results.report import report  # noqa: PLC0415 - matplotlib takes half a second to import

    run, trials, judgement = judged(store, name)
    _, advice = advice_for(store, run, judgement)
    return report(run, trials, judgement, recommendation=advice.as_mapping())


def document(store: Store, name: str) -> dict[str, object]:
    """The document of `show --json`."""
    return summary(*judged(store, name))


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises NotAble naming it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise NotAble(f"cannot write {path}: {error.strerror}") from error


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
        screen.line(f"This run could see changes ≥ {visible:.1f} %{more}.")
    _, advice = advice_for(store, run, judgement)
    screen.line(advice.sentence, "bold")
    if advice.next_command:
        screen.line(f"  {advice.next_command}")
