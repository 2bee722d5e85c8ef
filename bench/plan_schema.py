"""The JSON Schema of a plan, for editors.

Topologies and probes are made from their readers' own options; what else a plan has stands here a second time. A test
holds reader and schema together, and names the key that only one of them knows: tests/unit/nettune/test_schemas.py.
"""

from collections.abc import Mapping
from typing import get_args

from bench.document import NAME
from bench.labs import deploying, reading
from bench.labs.lab import Target
from bench.probes import table
from bench.probes.engine import ENGINES
from bench.schedule import PROBES_AT_MOST
from results.json_schema import Schema, document, mapping
from results.records import CURRENT_ARMS, Goal

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$", "examples": ["my-path"]}


def _whole(low: int, high: int, unit: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": unit}


def plan_schema(shapes: Mapping[str, Schema], settings: Mapping[str, str], patterns: Mapping[str, str]) -> Schema:
    """The schema; `settings` are the knobs' words and `patterns` what else they take, each with a name in `shapes`."""
    target: Schema = {"enum": list(get_args(Target)), "description": "guest: the ends; node: between them; path: all"}
    values = {
        name: {
            "anyOf": [
                shape,
                mapping({"value": shape, "target": _ref("target")}, optional=("target",)),
                {"type": "array", "items": mapping({"value": shape, "target": _ref("target")}), "minItems": 1},
            ]
        }
        for name, shape in shapes.items()
    }
    held = {
        "type": "object",
        "properties": {word: _ref(name) for word, name in settings.items()},
        "patternProperties": {pattern: _ref(name) for pattern, name in patterns.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
    long = mapping({"settings": _ref("settings"), "target": _ref("target")}, optional=("target",))
    shared = {"target": target, **values, "settings": held, "treatment": {"oneOf": [_ref("settings"), long]}}
    return document(
        "nettune plan",
        "What to measure: topologies, probes, treatments, blocks. Check one with `nettune plan check FILE`.",
        {"$defs": shared, **_plan()},
    )


def _plan() -> Schema:
    return mapping(
        {
            "name": _NAME,
            "about": {**_TEXT, "description": "the question that it answers, in a sentence"},
            "lab": deploying.schema(),
            "topologies": {"type": "array", "items": {"oneOf": reading.schemas(_NAME)}, "minItems": 1},
            "probes": {
                "type": "array",
                "items": {"oneOf": table.schemas(_probe_name())},
                "minItems": 1,
                "maxItems": PROBES_AT_MOST,
            },
            "engine": {
                "enum": list(ENGINES),
                "description": "what drives tcp probes that do not say it themselves (iperf3 when not given)",
            },
            "primary": {
                "type": "string",
                "pattern": r"^[^.]+\.[a-z0-9_]+$",
                "examples": ["tcp.goodput", "latency.rtt_p99"],
                "description": "the one metric that can name a winner, as probe.metric: tcp.goodput",
            },
            "treatments": {
                "type": "object",
                "propertyNames": {"allOf": [_NAME, {"not": {"enum": list(CURRENT_ARMS)}}]},
                "additionalProperties": {"$ref": "#/$defs/treatment"},
                "description": "arms beside `current`, which is always there, twice",
            },
            "blocks": {
                "oneOf": [_whole(2, 1000, "blocks"), mapping({"up_to": {"enum": [6, 12, 20]}})],
                "description": "rounds over all arms; {up_to: 20} looks after 6, 12 and 20 and may stop early",
            },
            "margin_pct": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 50,
                "description": "percent: a gain below it is not worth naming (5 when not given)",
            },
            "goal": {"enum": list(get_args(Goal))},
        },
        optional=("about", "lab", "engine", "treatments", "blocks", "margin_pct", "goal"),
    )


def _probe_name() -> Schema:
    """Its metrics are called name.metric, so that a name has no dot."""
    return {**_NAME, "not": {"pattern": r"\."}, "examples": ["one-stream"], "description": "its kind when not given"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
