"""A confirmed pick as advice: what to set, and the fresh blocks that it rests on."""

from collections.abc import Mapping

from results.records import Run
from results.statistics import percent
from tuning.knobs.table import knob_for
from tuning.recommend import Advice, Evidence, Recommendation
from tuning.search.stages import Answer, Pick


def advice(run: Run, answer: Answer, pick: Pick, explained: Mapping[str, str]) -> Advice:
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
        rejected=tuple((f"search, sentence {n}", said) for n, said in enumerate(answer.said, 1)),
        unresolved=tuple(guard.metric for guard in pick.guards if guard.word == "not resolved"),
        next_command="",
    )


def _recommendation(row: Mapping[str, str], evidence: Evidence, explained: Mapping[str, str]) -> Recommendation:
    word, was = row["setting"], row.get("was", "")
    knob = knob_for(word)
    own = knob is not None and knob.target == row["target"]
    why = explained.get(word if own else f"{word} on the {row['target']}", "")
    return Recommendation(
        setting=word,
        value=row["value"],
        target=row["target"],
        was=was,
        reason=f"explained: {why}" if why else "unexplained: no counter is known to have moved with it",
        evidence=evidence,
        risk=knob.risk(word) if knob else "unknown",
        do=knob.command(word, row["value"]) if knob else "",
        undo=knob.command(word, was) if knob and was and "|" not in was else f"put back what was there: {was}",
    )
