"""Options: the keys of a mapping in a plan. Each is one row that its reader and the published schema are made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.document import Node
from results.json_schema import Schema, mapping

# YAML 1.1 reads a bare `off` as false, YAML 1.2 as text: both mean the same to nettune.
SWITCH: Schema = {"enum": ["on", "off", True, False, "yes", "no", "true", "false"]}
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Option(Generic[T_co]):
    """One key: how an editor is told of it, how it is read, and what it is when not given."""

    schema: Schema
    read: Callable[[Node], T_co]
    default: T_co


Options = Mapping[str, Option[Any]]  # Any: each key has its own type


def number(low: float, high: float, unit: str, default: float, about: str = "") -> Option[float]:
    """A number within [low, high] of `unit`; `about` is what an editor shows, the unit when not given."""
    schema = {"type": "number", "minimum": low, "maximum": high, "description": about or unit}
    return Option(schema, lambda node: node.number(low, high, unit), default)


def whole(low: int, high: int, unit: str, default: int, about: str = "") -> Option[int]:
    """A whole number within [low, high] of `unit`."""
    schema = {"type": "integer", "minimum": low, "maximum": high, "description": about or unit}
    return Option(schema, lambda node: node.integer(low, high, unit), default)


def word(words: Sequence[str], default: str, about: str = "") -> Option[str]:
    """One of some words."""
    schema: Schema = {"enum": list(words), **({"description": about} if about else {})}
    return Option(schema, lambda node: node.choice(words), default)


def switch(about: str, *, default: bool = False) -> Option[bool]:
    """On or off, in any of YAML's spellings."""
    return Option({**SWITCH, "description": about}, _switch, default)


def _switch(node: Node) -> bool:
    if node.setting() not in {"on", "off"}:
        node.wrong(f"{node.text()!r} is neither on nor off")
    return node.setting() == "on"


def nested(options: Options, about: str, *, required: Sequence[str] = ()) -> "Option[Mapping[str, Any] | None]":
    """A mapping with options of its own, as their values by key; None when the plan has none."""

    def read(node: Node) -> Mapping[str, Any]:  # Any: as in Options
        members = node.mapping(options)
        for key in required:
            if key not in members:
                node.wrong(f"it has no {key!r}")
        return taken(members, options)

    optional = tuple(key for key in options if key not in required)
    schema = mapping({key: option.schema for key, option in options.items()}, optional=optional)
    return Option({**schema, "description": about}, read, None)


def taken(members: Mapping[str, Node], options: Options) -> dict[str, Any]:  # Any: as in Options
    """Every option's value, its default where the plan has none. Raises WrongInput naming line and key."""
    return {key: option.read(members[key]) if key in members else option.default for key, option in options.items()}
