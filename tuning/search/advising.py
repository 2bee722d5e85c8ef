"""A confirmed pick as advice: what to set, and the fresh blocks that it rests on."""

from collections.abc import Mapping, Sequence

from bench.plan import SettingSpec
from results.records import Run
from results.statistics import percent
from tuning.knobs.table import knob_for
from tuning.recommend import Advice, Evidence, Recommendation
from tuning.search.anchoring import plainly
from tuning.search.halfway import Leading
from tuning.search.stages import Answer, Measured, Pick, worded, words

Searched = tuple[str, Sequence[Measured]]  # a search's name, and its stages


def advice(run: Run, answer: Answer, pick: Pick, explained: Mapping[str, str], of: Searched) -> Advice:
    """The advice of one pick; `run` is the confirmation.

    `explained`: by what stages.worded says of a setting, the counter that moved, in words.
    """
    gain = pick.gain
    evidence = Evidence(
        run.run_id, run.design.topologies[0], pick.metric, pick.arm, percent(gain.mean), percent(gain.low),
        percent(gain.high), gain.n,
    )  # fmt: skip
    rows = run.settings.get(pick.arm, ())
    return Advice(
        status="confirmed",
        sentence=answer.said[-1] if len(answer.picks) == 1 else f"Confirmed for {', '.join(pick.names)}.",
        recommendations=tuple(_recommendation(row, evidence, explained) for row in rows),
        rejected=(),
        unresolved=tuple(guard.metric for guard in pick.guards if guard.word == "not resolved"),
        next_command="",
        search=of[0],
        stages=_stages(of[1]),
        told=answer.said,
    )


def candidate(runs: Sequence[Run], found: Leading, of: Searched) -> Advice:
    """The advice of what leads in a search that made no claim of it; `runs` are its stages', the last one first."""
    stage = found.measured
    metric, recommendations = stage.design.primary, []
    for spec in found.config:
        shown = found.shown[spec]
        evidence = Evidence(stage.run_id, stage.design.topologies[0], metric, found.arm, percent(shown.mean),
                            percent(shown.low), percent(shown.high), shown.blocks)  # fmt: skip
        row = _row(runs, spec)
        recommendations.append(_recommendation(row, evidence, {}, f"not confirmed: an estimate of its {_by(found)}"))
    return Advice(
        status="candidate",
        sentence=f"Candidate of a search without a confirmation: {estimated(found)}. Nothing is claimed.",
        recommendations=tuple(recommendations),
        rejected=(),
        unresolved=(),
        next_command=f"nettune tune --resume {of[0]}",
        search=of[0],
        stages=_stages(of[1]),
    )


def _stages(stages: Sequence[Measured]) -> tuple[str, ...]:
    return tuple(f"{each.stage.purpose}: {each.run_id}" for each in stages)


def estimated(found: Leading) -> str:
    """What leads, and what its stage says of it, in words."""
    metric = found.measured.design.primary
    shown = [found.shown[spec] for spec in found.config]
    if found.arm:
        shown = shown[:1]
    bounds = [
        f"{percent(each.mean):+.1f} % [{percent(each.low):+.1f}, {percent(each.high):+.1f}], {each.blocks} blocks"
        for each in shown
    ]
    return f"{words(found.config)}: {metric} {'; '.join(bounds)} by its {_by(found)}"


def _by(found: Leading) -> str:
    stage = found.measured.stage
    beside = len(stage.arms.get(found.arm, found.config)) - len(found.config)
    more = f", together with {beside} more settings" if beside else ""
    return f"{'screening' if stage.purpose == 'screen' else stage.purpose}{more}"


def _row(runs: Sequence[Run], spec: SettingSpec) -> Mapping[str, str]:
    """A setting as the last run that held it kept it: with its target, and what stood there."""
    return next(
        row
        for run in runs
        for rows in run.settings.values()
        for row in rows
        if (row["setting"], row["value"]) == (spec.setting, spec.value) and spec.target in {None, row["target"]}
    )


def _recommendation(
    row: Mapping[str, str], evidence: Evidence, explained: Mapping[str, str], reason: str = ""
) -> Recommendation:
    word, was = row["setting"], row.get("was", "")
    knob = knob_for(word)
    why = explained.get(worded(plainly(SettingSpec(word, row["value"], row["target"]))), "")  # type: ignore[arg-type]  # one of Target
    return Recommendation(
        setting=word,
        value=row["value"],
        target=row["target"],
        was=was,
        reason=reason or (f"explained: {why}" if why else "unexplained: no counter is known to have moved with it"),
        evidence=evidence,
        risk=knob.risk(word) if knob else "unknown",
        do=knob.command(word, row["value"]) if knob else "",
        undo=knob.command(word, was) if knob and was and "|" not in was else f"put back what was there: {was}",
    )
