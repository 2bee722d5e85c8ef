"""The JSON Schema of a profile (tuning.profile), and of the settings that plans and profiles share."""

from collections.abc import Mapping

from bench.labs.topology import MTU_RANGE
from bench.options import SWITCH
from results.json_schema import Schema, document, listed
from tuning.knobs.table import KNOBS
from tuning.profile import FORMAT, NEEDED, REQUIRED, SCALAR, SETTING, TOP

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
    """Of the current format, which holds those before it."""
    names: Schema = {"anyOf": [{"enum": list(setting_values())}, *({"pattern": pattern} for pattern in PATTERNS)]}
    rows: dict[str, Schema] = {key: each.schema for key, each in SETTING.items()}
    setting: Schema = {
        "type": "object",
        "properties": {**rows, "setting": {**rows["setting"], **names}},
        "required": list(NEEDED),
        "additionalProperties": False,
    }
    return document(
        "nettune profile",
        "Settings to keep on a host, each with reason and evidence, as `nettune recommend` writes them.",
        {
            "type": "object",
            "properties": {
                "format": {"type": "integer", "minimum": 1, "maximum": FORMAT},
                **{key: each.schema for key, each in TOP.items()},
                "settings": listed(setting),
            },
            "required": list(REQUIRED),
            "additionalProperties": False,
        },
    )
