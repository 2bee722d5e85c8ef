"""The document behind `nettune show RUN --json`: one run and what was concluded, as plain JSON values."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from statistics import median

from results.checks import checks
from results.metrics import METRICS
from results.paths import path_differences
from results.records import Comparison, Judgement, Run, SameArms, Trial
from results.slopes import slopes
from results.units import iso

# 1  first format
# 2  paths, slopes, label, capacities
# 3  checks
SUMMARY_VERSION = 3


def summary(run: Run, trials: Sequence[Trial], judgement: Judgement) -> dict[str, object]:
    """One run as a document of JSON values: no NaN, no infinity, times in ISO 8601 and UTC.

    Effects, intervals and visible effects are in percent of the current arms; guards carry the relative
    (or, with `absolute`, the metric's own) change; medians are in the unit that stands beside them.
    """
    done = Counter(trial.status for trial in trials)
    document = {
        "version": SUMMARY_VERSION,
        "run_id": run.run_id,
        "plan": run.plan_name,
        "plan_document": run.plan,
        "design": {**asdict(run.design), "family": run.design.family},
        "seed": run.seed,
        "status": run.status,
        "confirms": run.confirms or None,
        "label": run.label or None,
        "capacities": run.capacities,
        "revision": run.revision,
        "started": iso(run.started_at),
        "ended": iso(run.ended_at),
        "machine": run.machine,
        "settings": run.settings,
        "skipped": [{"cell": cell, "reason": reason} for cell, reason in run.skipped],
        "trials": {status: done[status] for status in ("done", "failed", "missing", "orphan", "running")},
        "aa": [_same_arms(same) for same in judgement.same_arms],
        "treatments": [_comparison(comparison) for comparison in judgement.comparisons],
        "paths": [asdict(each) for each in path_differences(run.design, trials)],
        "slopes": [asdict(each) for each in slopes(run, trials)],
        "checks": [{**asdict(each), "passed": each.passed} for each in checks(run, trials)],
        "medians": medians(trials),
        "notes": run.notes,
        "warnings": judgement.warnings,
    }
    return {key: plain(value) for key, value in document.items()}


def medians(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """The median over the done trials of each topology, metric and arm, in the order first met."""
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for trial in trials:
        if trial.status != "done":
            continue
        for name, unit in {s.name: s.unit for s in trial.samples}.items():
            value = trial.value(name)
            if value is not None:
                values.setdefault((trial.topology, name, unit, trial.arm), []).append(value)
    return [
        {
            "topology": topology,
            "probe": name.partition(".")[0],
            "metric": name.partition(".")[2],
            "arm": arm,
            "median": median(found),
            "unit": unit,
            "n": len(found),
        }
        for (topology, name, unit, arm), found in values.items()
    ]


def _same_arms(same: SameArms) -> dict[str, object]:
    probe, _, metric = same.metric.partition(".")
    return {
        "topology": same.topology,
        "probe": probe,
        "metric": metric,
        "effect_pct": same.effect_pct,
        "ci_low_pct": same.ci_low_pct,
        "ci_high_pct": same.ci_high_pct,
        "excludes_zero": same.excludes_zero,
        "p": same.p,
        "p_holm": same.p_holm,
        "blocks": same.blocks,
    }


def _comparison(found: Comparison) -> dict[str, object]:
    probe, _, metric = found.metric.partition(".")
    known = METRICS.get(metric)
    return {
        "topology": found.topology,
        "probe": probe,
        "metric": metric,
        "better": known.better if known else None,
        "primary": found.primary,
        "treatment": found.treatment,
        "verdict": found.verdict,
        "reason": found.reason,
        "candidate": found.candidate,
        "screening": found.screening,
        "effect_pct": found.effect_pct,
        "ci_low_pct": found.ci_low_pct,
        "ci_high_pct": found.ci_high_pct,
        "ci90_low_pct": found.ci90_low_pct,
        "ci90_high_pct": found.ci90_high_pct,
        "boot_low_pct": found.boot_low_pct,
        "boot_high_pct": found.boot_high_pct,
        "p": found.p,
        "p_holm": found.p_holm,
        "blocks": found.blocks,
        "failed": found.failed,
        "visible_effect_pct": found.visible_effect_pct,
        "blocks_to_decide": found.blocks_to_decide,
        "guards": [asdict(guard) for guard in found.guards],
    }


def plain(value: object) -> object:
    """The same value in JSON's own types; a number that JSON cannot hold becomes None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, date):  # YAML reads 2026-01-31 as a date
        return value.isoformat()
    return str(value)
