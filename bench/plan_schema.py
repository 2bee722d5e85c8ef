"""The JSON Schema of a plan, for editors.

What the readers of a plan take stands here a second time. A test holds the two together, and names the key that only
one of them knows: tests/unit/nettune/test_schemas.py.
"""

from collections.abc import Mapping
from typing import get_args

from bench.document import NAME
from bench.labs.lab import Target
from bench.labs.topology import KINDS, MTU_RANGE
from bench.schedule import PROBES_AT_MOST
from results.json_schema import Schema, document, mapping
from results.records import CURRENT_ARMS, Goal

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$", "examples": ["my-path"]}
_CONTROL: Schema = {"type": "string", "pattern": "^[a-z0-9_]{1,15}$", "examples": ["bbr", "cubic", "reno"]}


def _whole(low: int, high: int, unit: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": unit}


def _number(low: float, high: float, unit: str) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high, "description": unit}


PROBES: Mapping[str, Mapping[str, Schema]] = {  # by kind: its own keys
    "tcp": {
        "duration_s": _number(0.3, 3600, "seconds that are measured"),
        "warmup_s": _number(0, 60, "seconds before them that are cut off"),
        "streams": _whole(1, 128, "parallel streams"),
        "direction": {"enum": ["forward", "reverse"]},
        "congestion_control": {
            "anyOf": [_CONTROL, {"type": "array", "items": _CONTROL}],
            "description": "one, or several in order of preference: the first that the kernel has, in every arm",
        },
        "window_bytes": _whole(4096, 1 << 30, "bytes of socket buffer; left to the kernel when not given"),
    },
    "latency": {
        "duration_s": _number(0.05, 3600, "seconds"),
        "interval_s": _number(0.0002, 10, "seconds between packets"),
        "size_bytes": _whole(60, 65000, "bytes of a packet"),
    },
}


def plan_schema(shapes: Mapping[str, Schema], settings: Mapping[str, str], patterns: Mapping[str, str]) -> Schema:
    """The schema; `settings` are the knobs' words and `patterns` what else they take, each with a name in `shapes`."""
    target: Schema = {"enum": list(get_args(Target)), "description": "guest: the ends; node: between them; path: all"}
    values = {
        name: {"anyOf": [shape, mapping({"value": shape, "target": _ref("target")}, optional=("target",))]}
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
            "lab": mapping({"provider": {"enum": ["netns"]}}, optional=("provider",)),
            "topologies": {"type": "array", "items": _topology(), "minItems": 1},
            "probes": {"type": "array", "items": _probe(), "minItems": 1, "maxItems": PROBES_AT_MOST},
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
            "margin_pct": _number(0.1, 50, "percent: a gain below it is not worth naming (5 when not given)"),
            "goal": {"enum": list(get_args(Goal))},
        },
        optional=("about", "lab", "treatments", "blocks", "margin_pct", "goal"),
    )


def _topology() -> Schema:
    return {
        "oneOf": [
            {"enum": list(KINDS)},
            mapping({"kind": {"enum": list(KINDS)}, "mtu": _whole(*MTU_RANGE, "bytes")}, optional=("mtu",)),
        ]
    }


def _probe() -> Schema:
    return {
        "oneOf": [
            mapping({"kind": {"const": kind}, "name": _probe_name(), **keys}, optional=("name", *keys))
            for kind, keys in PROBES.items()
        ]
    }


def _probe_name() -> Schema:
    """Its metrics are called name.metric, so that a name has no dot."""
    return {**_NAME, "not": {"pattern": r"\."}, "examples": ["one-stream"], "description": "its kind when not given"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
