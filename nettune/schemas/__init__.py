"""The JSON Schemas that are published: files beside this module, made from the tables of the rooms (`made`)."""

import json
from collections.abc import Mapping
from pathlib import Path

NAMES = ("plan", "profile", "show")


def path(name: str) -> Path:
    """Where the schema of a plan, a profile or the document of `show --json` lies."""
    return Path(__file__).parent / f"{name}.schema.json"


def text(name: str) -> str:
    """That schema as JSON text."""
    return path(name).read_text(encoding="utf-8")


def made() -> Mapping[str, str]:
    """All of them as the code has them now; `make schemas` writes them, a test compares."""
    from bench.plan_schema import plan_schema  # noqa: PLC0415 - who only reads a file must not wait for the rooms
    from results.summary_schema import show_schema  # noqa: PLC0415
    from tuning.profile_schema import PATTERNS, SHAPES, profile_schema, setting_values  # noqa: PLC0415

    plan = plan_schema(SHAPES, setting_values(), PATTERNS)
    found = {"plan": plan, "profile": profile_schema(), "show": show_schema()}
    return {name: json.dumps(found[name], indent=1, ensure_ascii=False) + "\n" for name in NAMES}
