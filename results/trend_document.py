"""The document behind `nettune trend --json`, as plain JSON values."""

import dataclasses

from results.series import metric_of
from results.summary import plain
from results.trend import Series, Trend
from results.units import iso

# 1  first format
TREND_VERSION = 1


def document(found: Trend) -> dict[str, object]:
    """Every series with its runs' values, levels and changes; values in the unit beside them, runs oldest first."""
    runs = found.history.runs
    whole = {
        "version": TREND_VERSION,
        "plan": runs[-1].plan_name,
        "metric": found.metric,
        "margin_pct": found.margin_pct,
        "runs": [
            {"run_id": run.run_id, "label": run.label, "started": iso(run.started_at), "revision": run.revision}
            for run in runs
        ],
        "left_out": [{"run_id": run_id, "reason": reason} for run_id, reason in found.history.left_out],
        "series": [_series(each, deciding=each.metric == found.metric) for each in found.series],
    }
    return {key: plain(value) for key, value in whole.items()}


def _series(each: Series, *, deciding: bool) -> dict[str, object]:
    known = metric_of(each.metric)
    return {
        "topology": each.topology,
        "arm": each.arm,
        "metric": each.metric,
        "deciding": deciding,
        "better": known.better,
        "unit": known.unit,
        "values": [{"run_id": one.run_id, "value": one.shown, "blocks": one.blocks} for one in each.values],
        "without": [{"run_id": run_id, "reason": reason} for run_id, reason in each.without],
        "levels": [
            {
                "first_run_id": level.runs[0].run_id,
                "last_run_id": level.runs[-1].run_id,
                "runs": len(level.runs),
                "value": level.value,
                "spread_pct": level.spread_pct,
            }
            for level in each.levels
        ],
        "changes": [dataclasses.asdict(change) for change in each.changes],
        "modes": None if each.modes is None else dataclasses.asdict(each.modes),
        "apart": each.apart,
        "unknown": each.unknown,
    }
