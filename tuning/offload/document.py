"""A validation as a document for machines, and back; and whether it holds by what was required of it. Pure."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from results.errors import WrongInput
from tuning.offload.evidence import BAD, GOOD, FeatureVerdict, Level, LevelVerdict, Toggle, Validation, Verdict
from tuning.offload.features import Direction
from tuning.offload.inventory import Nic

FORMAT = 2  # 1 (2026-11-29); 2: the kernel's bitmaps, of each NIC and of each toggle


def document(found: Validation, required: Sequence[str] = ()) -> dict[str, object]:
    """Everything but the raw exchange; `failed` says why the exit code is not 0."""
    return {
        "format": FORMAT,
        "path": found.path,
        "nic": _plain(found.nic),
        "partner": _plain(found.other),
        "levels": [_plain(each) for each in found.levels],
        "features": [_plain(each) for each in found.features],
        "toggles": [_plain(each) for each in found.toggles],
        "hints": list(found.hints),
        "notes": list(found.notes),
        "run_id": found.run_id,
        "required": list(required),
        "failed": list(failed(found, required)),
    }


def _plain(record: Nic | LevelVerdict | FeatureVerdict | Toggle) -> dict[str, Any]:  # Any: JSON
    """A record as JSON has it, where a tuple is a list."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record)))
    return plain


def failed(found: Validation, required: Sequence[str]) -> tuple[str, ...]:
    """Why the validation does not hold, in words; () where it does.

    With `required` each of these features must work; without, nothing may corrupt, drop, hang or stay on though off, be
    it one feature's doing or nobody's. Either way payload must pass as found, each time, and the NIC must be as it was
    found, and must have stood its soak.
    """
    rows = {row.feature: row for row in found.features}
    why = [f"{each.level}: {each.evidence[0]}" for each in found.levels if each.outcome == "failed" and each.level in
           {"restored", "stability"}]  # fmt: skip
    if required:
        for name in required:
            row = rows.get(name)
            if row is None or row.verdict not in GOOD:
                why.append(f"{name} is required: {row.verdict if row else 'not validated'}")
    bad = [f"{row.feature} {row.direction}: {row.verdict}" for row in found.features
           if (row.verdict in BAD and (row.feature == "payload" or not required))
           or (row.feature == "payload" and row.verdict not in GOOD)]  # fmt: skip
    nobody_s = [f"{each.level}: {each.evidence[0]}" for each in found.levels
                if each.level == "function" and each.outcome == "failed" and not bad and not required]  # fmt: skip
    return (*why, *bad, *nobody_s)


def read(told: Mapping[str, Any], name: str) -> Validation:  # Any: JSON
    """A validation of `document`. Raises WrongInput for what is none."""
    if told.get("format") != FORMAT:
        raise WrongInput(
            f"{name} is no validation of format {FORMAT}", hint="`nettune offload validate --out FOLDER` writes one"
        )
    try:
        return Validation(
            nic=_read_nic(told["nic"]),
            other=_read_nic(told["partner"]),
            path=str(told["path"]),
            levels=tuple(
                LevelVerdict(each["level"], each["outcome"], tuple(each["evidence"])) for each in told["levels"]
            ),
            features=tuple(
                FeatureVerdict(
                    each["feature"],
                    cast("Direction", each["direction"]),
                    cast("Verdict", each["verdict"]),
                    cast("Mapping[Level, str]", dict(each["evidence"])),
                    str(each.get("at", "")),
                )
                for each in told["features"]
            ),
            hints=tuple(told["hints"]),
            notes=tuple(told["notes"]),
            toggles=tuple(
                Toggle(**{**each, "moved": _tuples(each["moved"]), "bits": _tuples(each["bits"])})
                for each in told["toggles"]
            ),
            run_id=str(told["run_id"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongInput(f"{name} is a damaged validation: {error!r}") from error


def _read_nic(told: Mapping[str, Any]) -> Nic:  # Any: JSON
    names = dict(told["identity"]), dict(told["features"])
    return Nic(str(told["host"]), str(told["device"]), *names, _tuples(told["bits"]))


def _tuples(told: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:  # Any: JSON
    return {key: tuple(values) for key, values in told.items()}
