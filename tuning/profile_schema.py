"""The JSON Schema of a profile (tuning.profile), and of the settings that plans and profiles share."""

from collections.abc import Mapping
from typing import get_args

from bench.labs.lab import Target
from bench.labs.topology import MTU_RANGE
from bench.options import SWITCH
from results.json_schema import Schema, document, listed
from tuning.knobs.table import KNOBS
from tuning.profile import FORMAT
from tuning.recommend import Status

TARGETS: Schema = {"enum": list(get_args(Target))}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
SHAPES: Mapping[str, Schema] = {
    "switch": SWITCH,
    "scalar": SCALAR,
    "mtu": {"type": "integer", "minimum": MTU_RANGE[0], "maximum": MTU_RANGE[1], "description": "bytes"},
}
# Settings that are no fixed words, with the shape of their values (test_schemas.py holds them to what knobs take).
PATTERNS: Mapping[str, str] = {r"^net(\.[A-Za-z0-9_/-]+)+$": "scalar"}


def setting_values() -> Mapping[str, str]:
    """Setting -> the shape of its value, for every word of every knob that can be set at all."""
    switches = [word for word in KNOBS["feature"].words() if not KNOBS["feature"].problem(word, "on")]
    others = [word for kind, knob in KNOBS.items() if kind != "feature" for word in knob.words()]
    return {**dict.fromkeys(switches, "switch"), **dict.fromkeys(others, "scalar"), "mtu": "mtu"}


def profile_schema() -> Schema:
    """Of the current format."""
    text: Schema = {"type": "string"}
    number: Schema = {"type": "number"}
    names: Schema = {"anyOf": [{"enum": list(setting_values())}, *({"pattern": pattern} for pattern in PATTERNS)]}
    status: Schema = {"enum": list(get_args(Status))}
    setting: Schema = {
        "type": "object",
        "properties": {
            "setting": {**text, **names, "description": "a knob: mtu, a feature of `ethtool -k`, a sysctl below net."},
            "value": SCALAR,
            "target": {**TARGETS, "description": "guest: the endpoints; node: the hypervisor; path: every device"},
            "was": SCALAR,
            "status": status,
            "reason": text,
            "effect_pct": number,
            "interval_pct": {"type": "array", "prefixItems": [number, number], "items": False, "minItems": 2},
            "blocks": {"type": "integer"},
            **dict.fromkeys(("run", "topology", "metric", "treatment", "risk", "do", "undo"), text),
        },
        "required": ["setting", "value", "target"],
        "additionalProperties": False,
    }
    return document(
        "nettune profile",
        "Settings to keep on a host, each with reason and evidence, as `nettune recommend` writes them.",
        {
            "type": "object",
            "properties": {
                "format": {"type": "integer", "minimum": 1, "maximum": FORMAT},
                "name": text,
                "status": status,
                "sentence": text,
                "run": text,
                "confirms": text,
                "measured_on": {"type": "object", "additionalProperties": text},
                "transfer": listed(text),
                "guards_not_resolved": listed(text),
                "next_command": text,
                "settings": listed(setting),
                "rejected": listed({"type": "object", "additionalProperties": text}),
            },
            "required": ["format", "name", "status", "settings"],
            "additionalProperties": False,
        },
    )
