"""Verdicts turned into recommendations: what to set, where, why, how sure; or that nothing is worth changing.

A run yields candidates. Only a confirmation (fresh blocks, all winners together) makes them confirmed, and only its
estimate is called the gain: the estimate that made something a winner is biased upwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from results.records import TOGETHER, Comparison, Judgement, Run
from tuning.knobs.table import LAB_ONLY, knob_for

Status = Literal["nothing", "candidate", "confirmed"]
CONFIRMING_BLOCKS = 12  # at least


@dataclass(frozen=True, slots=True)
class Evidence:
    """The comparison that a recommendation rests on."""

    run_id: str
    topology: str
    metric: str
    treatment: str
    effect_pct: float
    ci_low_pct: float
    ci_high_pct: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One setting worth keeping."""

    setting: str
    value: str
    target: str
    was: str
    reason: str
    evidence: Evidence
    risk: str
    do: str
    undo: str


@dataclass(frozen=True, slots=True)
class Advice:
    """Everything that a run's verdicts amount to."""

    status: Status
    sentence: str
    recommendations: tuple[Recommendation, ...]
    rejected: tuple[tuple[str, str], ...]  # (treatment on topology, why)
    unresolved: tuple[str, ...]  # guards that this run could not settle
    next_command: str
    search: str = ""  # that it came out of
    stages: tuple[str, ...] = ()  # of that search, each with its run
    told: tuple[str, ...] = ()  # what that search said of everything it tried

    def as_mapping(self) -> Mapping[str, object]:
        """For the report: plain text and numbers."""
        return {
            "status": self.status,
            "sentence": self.sentence,
            "next_command": self.next_command,
            "settings": [
                {
                    "setting": each.setting,
                    "value": each.value,
                    "target": each.target,
                    "reason": each.reason,
                    "effect": f"{each.evidence.effect_pct:+.1f} %",
                    "interval": f"{each.evidence.ci_low_pct:+.1f} … {each.evidence.ci_high_pct:+.1f} %",
                    "n": each.evidence.blocks,
                    "risk": each.risk,
                    "undo": each.undo,
                }
                for each in self.recommendations
            ],
        }


def recommend(run: Run, judgement: Judgement) -> Advice:
    """The advice of one run; of a confirmation when `run.confirms` names the run whose candidates it measured."""
    confirming = bool(run.confirms)
    winners = winning(run, judgement)
    chosen = _chosen(judgement, winners)
    rejected = _rejected(run, judgement, winners, chosen)
    if not winners:
        return Advice("nothing", _nothing(run, judgement, confirming=confirming), (), rejected, (), "")
    kept: dict[tuple[str, str], Recommendation] = {}
    for name in chosen:
        best = winners[name]
        for setting in run.settings.get(name, ()):
            kept.setdefault((setting["setting"], setting["target"]), _recommendation(run, setting, best))
    unresolved = sorted(
        {guard.metric for name in chosen for guard in winners[name].guards if guard.word == "not resolved"}
    )
    gains = ", ".join(f"{name} {_gain(winners[name])}" for name in chosen)
    if confirming:
        sentence = f"Confirmed on fresh blocks: {gains}."
        return Advice("confirmed", sentence, tuple(kept.values()), rejected, tuple(unresolved), "")
    sentence = f"Candidate, not yet confirmed: {gains}. Measure it again before you keep it."
    command = f"nettune run --confirm {run.run_id}"
    return Advice("candidate", sentence, tuple(kept.values()), rejected, tuple(unresolved), command)


def winning(run: Run, judgement: Judgement) -> Mapping[str, Comparison]:
    """Treatments that win somewhere and are worse nowhere, with their smallest winning effect, best first.

    Without those that set what only a lab has: fewer rules are faster, and nobody's firewall is the better for it.
    """
    primary = [each for each in judgement.comparisons if each.primary and not _lab_only(run, each.treatment)]
    worse = {each.treatment for each in primary if each.verdict == "worse"}
    found: dict[str, Comparison] = {}
    for each in primary:
        if each.candidate and each.treatment not in worse and each.effect_pct is not None:
            known = found.get(each.treatment)
            if known is None or abs(each.effect_pct) < abs(known.effect_pct or 0.0):
                found[each.treatment] = each
    return dict(sorted(found.items(), key=lambda item: -abs(item[1].effect_pct or 0.0)))


def _recommendation(run: Run, setting: Mapping[str, str], best: Comparison) -> Recommendation:
    knob = knob_for(setting["setting"])
    word, was = setting["setting"], setting.get("was", "")
    evidence = Evidence(
        run.run_id,
        best.topology,
        best.metric,
        best.treatment,
        best.effect_pct or 0.0,
        best.ci_low_pct or 0.0,
        best.ci_high_pct or 0.0,
        best.blocks,
    )
    return Recommendation(
        setting=word,
        value=setting["value"],
        target=setting["target"],
        was=was,
        reason=f"{best.treatment} on {best.topology}: {best.reason}",
        evidence=evidence,
        risk=knob.risk(word) if knob else "unknown",
        do=knob.command(word, setting["value"]) if knob else "",
        undo=knob.command(word, was) if knob and was and "|" not in was else f"put back what was there: {was}",
    )


def _chosen(judgement: Judgement, winners: Mapping[str, Comparison]) -> Sequence[str]:
    """All together where they won so; the best one alone where they were measured together and did not win."""
    if TOGETHER in winners:
        return (TOGETHER,)
    lost_together = any(each.treatment == TOGETHER for each in judgement.comparisons)
    return tuple(winners)[:1] if lost_together else tuple(winners)


def _rejected(
    run: Run, judgement: Judgement, winners: Mapping[str, Comparison], chosen: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    rows = []
    for each in judgement.comparisons:
        if not each.primary or each.treatment in chosen or (TOGETHER in chosen and each.treatment in winners):
            continue
        alone = f"; not together with {', '.join(chosen)}" if each.treatment in winners else ""
        lab_only = "; what only a lab has is no setting to keep" if _lab_only(run, each.treatment) else ""
        rows.append((f"{each.treatment} on {each.topology}", f"{each.verdict}: {each.reason}{alone}{lab_only}"))
    return tuple(rows)


def _nothing(run: Run, judgement: Judgement, *, confirming: bool) -> str:
    verdicts: Sequence[str] = [each.verdict for each in judgement.comparisons if each.primary]
    if confirming:
        return f"Nothing of run {run.confirms} was confirmed on fresh blocks: change nothing."
    if not verdicts:
        return "Nothing was compared: change nothing."
    harmed = [
        each.treatment
        for each in judgement.comparisons
        if each.primary and each.verdict == "better" and not _lab_only(run, each.treatment)
    ]
    if harmed:
        return f"{', '.join(sorted(set(harmed)))} gains, but harms a guard or loses elsewhere: change nothing."
    open_ones = verdicts.count("inconclusive")
    tail = f" {open_ones} of {len(verdicts)} comparisons stayed open." if open_ones else ""
    return f"Nothing that was measured is worth changing.{tail}"


def _lab_only(run: Run, treatment: str) -> bool:
    return any(setting["setting"] in LAB_ONLY for setting in run.settings.get(treatment, ()))


def _gain(best: Comparison) -> str:
    return (
        f"{best.metric} {best.effect_pct or 0.0:+.1f} % "
        f"[{best.ci_low_pct or 0.0:+.1f}, {best.ci_high_pct or 0.0:+.1f}], {best.blocks} blocks on {best.topology}"
    )
