"""Settings of treatments as a plan's document has them: written, and those of winners put together."""

from collections.abc import Mapping, Sequence
from typing import cast

from bench.document import Node, from_plain
from bench.plan import SettingSpec
from results.records import TOGETHER

Given = dict[str, object]  # {"value": …, "target": …}, the long form of a setting


def written(specs: Sequence[SettingSpec]) -> Mapping[str, object]:
    """The settings in their long form; one that is set on several targets as a list of it."""
    return _joined(
        [(each.setting, {"value": each.value, **({"target": each.target} if each.target else {})}) for each in specs]
    )


def confirmation(document: Mapping[str, object], winners: Sequence[str], blocks: int) -> Node:
    """The document of a run that measures only the winners of another again, and all of them together."""
    treatments = cast("Mapping[str, Mapping[str, object]]", document["treatments"])
    kept: dict[str, object] = {name: treatments[name] for name in winners}
    if len(winners) > 1:
        together: list[tuple[str, Given]] = []
        for name in winners:
            for setting, given in _given(treatments[name]):
                if not any(setting == other and _meet(given, there) for other, there in together):
                    together.append((setting, given))
        kept[TOGETHER] = _joined(together)
    return from_plain({**document, "treatments": kept, "blocks": str(blocks)}, "confirmation")


def _given(treatment: Mapping[str, object]) -> list[tuple[str, Given]]:
    """Every setting of a treatment in its long form."""
    long = cast("Mapping[str, object]", treatment["settings"]) if "settings" in treatment else treatment
    target = {"target": treatment["target"]} if "settings" in treatment and "target" in treatment else {}
    return [
        (setting, {**target, **(each if isinstance(each, Mapping) else {"value": each})})
        for setting, value in long.items()
        for each in (value if isinstance(value, list) else [value])
    ]


def _meet(one: Given, other: Given) -> bool:
    """Whether both may set the same: all but the ends and the nodes between them. The first winner's counts then."""
    return {one.get("target"), other.get("target")} != {"guest", "node"}


def _joined(settings: Sequence[tuple[str, Given]]) -> dict[str, object]:
    found: dict[str, list[Given]] = {}
    for setting, given in settings:
        found.setdefault(setting, []).append(given)
    return {setting: given[0] if len(given) == 1 else given for setting, given in found.items()}
