"""The document behind `nettune compare --json`, as plain JSON values."""

from collections.abc import Sequence

from results.between import Between, Change
from results.evidence import RunValue
from results.records import Run
from results.series import metric_of
from results.summary import plain
from results.units import iso

# 1  first format
COMPARE_VERSION = 1


def document(found: Between) -> dict[str, object]:
    """Every cell with its runs' values; percentages are of the baseline's value, values in the unit beside them."""
    whole = {
        "version": COMPARE_VERSION,
        "plan": found.baseline[0].plan_name,
        "metric": found.metric,
        "margin_pct": found.margin_pct,
        "baseline": _runs(found.baseline),
        "candidate": _runs(found.candidate),
        "changes": [_change(each) for each in found.changes],
        "worse": [{"topology": each.topology, "arm": each.arm} for each in found.worse],
        "sentence": found.sentence,
        "notes": found.notes,
    }
    return {key: plain(value) for key, value in whole.items()}


def _runs(side: Sequence[Run]) -> list[dict[str, object]]:
    return [
        {"run_id": run.run_id, "label": run.label, "started": iso(run.started_at), "revision": run.revision}
        for run in side
    ]


def _change(each: Change) -> dict[str, object]:
    known = metric_of(each.metric)
    return {
        "topology": each.topology,
        "arm": each.arm,
        "metric": each.metric,
        "gating": each.gating,
        "better": known.better,
        "unit": known.unit,
        "verdict": each.verdict,
        "reason": each.reason,
        "baseline_value": each.baseline_value,
        "candidate_value": each.candidate_value,
        "change_pct": each.change_pct,
        "ci_low_pct": each.ci_low_pct,
        "ci_high_pct": each.ci_high_pct,
        "ci90_low_pct": each.ci90_low_pct,
        "ci90_high_pct": each.ci90_high_pct,
        "p": each.p,
        "p_holm": each.p_holm,
        "runs_to_decide": each.runs_to_decide,
        "baseline": _values(each.baseline),
        "candidate": _values(each.candidate),
    }


def _values(side: Sequence[RunValue]) -> list[dict[str, object]]:
    return [{"run_id": each.run_id, "value": each.shown, "blocks": each.blocks, "failed": each.failed} for each in side]
