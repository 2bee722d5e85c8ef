"""A validation as a document for machines, and back; and whether it holds by what was required of it. Pure."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from results.errors import WrongInput
from tuning.knobs.feature import members
from tuning.offload.evidence import BAD, GOOD, FeatureVerdict, Level, LevelVerdict, Toggle, Validation, Verdict
from tuning.offload.features import Direction
from tuning.offload.inventory import Nic

FORMAT = 2  # 1 (2026-11-29); 2: the kernel's bitmaps, of each NIC and of each toggle. Since 2026-11-30
# `unread` of a NIC, `ill` and `effect_pct` of a feature; a file without them is read.


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
        "required_said": list(required_words(found, required)),
        "failed": list(failed(found, required)),
    }


def _plain(record: Nic | LevelVerdict | FeatureVerdict | Toggle) -> dict[str, Any]:  # Any: JSON
    """A record as JSON has it, where a tuple is a list."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record)))
    return plain


@dataclasses.dataclass(frozen=True, slots=True)
class Against:
    """One reason why a validation does not hold: the case that it is of (a level, a feature or a word), and why."""

    suite: Literal["levels", "features", "required"]
    case: str
    why: str


def failed(found: Validation, required: Sequence[str]) -> tuple[str, ...]:
    """Why the validation does not hold, in words; () where it does.

    With `required` each of these must work: a feature, or of a word of ethtool's (`tso`) all that can be judged here,
    and at least one; without, nothing may corrupt, drop, hang or stay on though off, be it one feature's doing or
    nobody's. Either way payload must pass as found, each time, and the NIC must be as it was found, and must have stood
    its soak.
    """
    return tuple(each.why for each in against(found, required))


def against(found: Validation, required: Sequence[str]) -> tuple[Against, ...]:
    """The same with what each reason is of; JUnit's failures are these and no others."""
    levels = [Against("levels", each.level, f"{each.level}: {each.evidence[0]}") for each in found.levels
              if each.outcome == "failed" and each.level in {"restored", "stability"}]  # fmt: skip
    lacking = [Against("required", word, why) for word in required if (why := _lacking(found, word))]
    bad = [
        Against("features", f"{row.feature} {row.direction}", f"{row.feature} {row.direction}: {row.verdict}")
        for row in found.features
        if (row.verdict in BAD and (row.feature == "payload" or not required))
        or (row.feature == "payload" and row.verdict not in GOOD)
    ]
    nobody_s = [Against("levels", each.level, f"{each.level}: {each.evidence[0]}") for each in found.levels
                if each.level == "function" and each.outcome == "failed" and not bad and not required]  # fmt: skip
    return (*levels, *lacking, *bad, *nobody_s)


def _lacking(found: Validation, word: str) -> str:
    """Why what is required does not hold, in words; "" where it does."""
    rows = {row.feature: row for row in found.features}
    names = members(word)
    if not names:
        verdict = rows[word].verdict if word in rows else "not validated"
        return "" if verdict in GOOD else f"{word} is required: {verdict}"
    judged = [name for name in names if name not in unjudged(found, word)]
    if not judged:
        why = ", ".join(f"{name} {rows[name].verdict if name in rows else 'not validated'}" for name in names)
        return f"{word} is required: nothing of it can be judged here: {why}"
    wrong = [f"{name} {rows[name].verdict}" for name in judged if rows[name].verdict not in GOOD]
    return f"{word} is required: {', '.join(wrong)}" if wrong else ""


def unjudged(found: Validation, word: str) -> tuple[str, ...]:
    """The features of a word of ethtool's that are not there or cannot be judged here, though nothing goes wrong."""
    rows = {row.feature: row for row in found.features}
    open_ones = {"not present", "can't be judged here"}
    return tuple(name for name in members(word)
                 if name not in rows or (rows[name].verdict in open_ones and not rows[name].ill))  # fmt: skip


def required_words(found: Validation, required: Sequence[str]) -> tuple[str, ...]:
    """What holds of the words that are required, and of what nothing could be said, a sentence each."""
    said = []
    for word in required:
        rest = unjudged(found, word)
        if rest and not _lacking(found, word):
            held = ", ".join(name for name in members(word) if name not in rest)
            said.append(f"{word} holds by {held}; not judged here: {', '.join(rest)}")
    return tuple(said)


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
                    bool(each.get("ill", False)),
                    tuple(float(number) for number in each.get("effect_pct", ())),
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
    return Nic(str(told["host"]), str(told["device"]), *names, _tuples(told["bits"]), str(told.get("unread", "")))


def _tuples(told: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:  # Any: JSON
    return {key: tuple(values) for key, values in told.items()}
