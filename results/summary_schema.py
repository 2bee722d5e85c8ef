"""The JSON Schema of the document of `show --json` (results.summary), made from the records behind it."""

from typing import get_args

from results.checks import Check
from results.json_schema import Schema, document, listed, mapping, of, of_fields
from results.metrics import Better
from results.paths import PathDifference
from results.records import Comparison, Design, Run, SameArms, TrialStatus
from results.slopes import Slope
from results.summary import SUMMARY_VERSION

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}


def show_schema() -> Schema:
    """Of the current version; other versions are refused by the number."""
    run = of_fields(Run)
    return document(
        "nettune show",
        "One run of nettune and what was concluded from it. Effects and intervals are in percent of current.",
        mapping(
            {
                "version": {"const": SUMMARY_VERSION},
                "run_id": _TEXT,
                "plan": {**_TEXT, "description": "the plan's name"},
                "plan_document": {"type": "object", "description": "the plan as it was read; scalars are text"},
                "design": mapping({**of_fields(Design), "family": of(int)}),
                "seed": run["seed"],
                "status": run["status"],
                "confirms": of(str | None),
                "label": of(str | None),
                "capacities": run["capacities"],
                "revision": run["revision"],
                "started": _TIME,
                "ended": {"anyOf": [_TIME, {"type": "null"}]},
                "machine": run["machine"],
                "settings": run["settings"],
                "skipped": listed(mapping({"cell": _TEXT, "reason": _TEXT})),
                "trials": mapping({status: {"type": "integer", "minimum": 0} for status in get_args(TrialStatus)}),
                "aa": listed(mapping({**of_fields(SameArms, without=("effects",)), "probe": _TEXT})),
                "treatments": listed(
                    mapping(
                        {
                            **of_fields(Comparison, without=("effects",)),
                            "probe": _TEXT,
                            "better": of(Better | None),
                        }
                    )
                ),
                "paths": listed(of(PathDifference)),
                "slopes": listed(of(Slope)),
                "checks": listed(mapping({**of_fields(Check), "passed": of(bool)})),
                "medians": listed(
                    mapping(
                        {
                            **dict.fromkeys(("topology", "probe", "metric", "arm", "unit"), _TEXT),
                            "median": of(float),
                            "n": {"type": "integer", "minimum": 1},
                        }
                    )
                ),
                "notes": run["notes"],
                "warnings": listed(_TEXT),
            }
        ),
    )
