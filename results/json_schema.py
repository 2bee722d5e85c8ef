"""JSON Schema (draft 2020-12) of our own records: what a field's type says, said to other programs."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = Mapping[str, object]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_WORDS: Mapping[object, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def document(title: str, description: str, body: Schema) -> Schema:
    """A schema that stands alone."""
    return {"$schema": DRAFT, "title": title, "description": description, **body}


def mapping(properties: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    """An object of exactly these members, all required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def listed(items: Schema) -> Schema:
    """A list of any length."""
    return {"type": "array", "items": items}


def of_fields(record: type, *, without: Sequence[str] = ()) -> dict[str, Schema]:
    """Field -> schema of a dataclass, in the order of its fields."""
    hints = get_type_hints(record)
    return {field.name: of(hints[field.name]) for field in fields(record) if field.name not in without}


def of(kind: Any) -> Schema:  # Any: a type, or what typing makes of one
    """The schema of what `dataclasses.asdict` and JSON make of a value of that type."""
    if kind in _WORDS:
        return {"type": _WORDS[kind]}
    if is_dataclass(kind) and isinstance(kind, type):
        return mapping(of_fields(kind))
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if each is type(None) else of(each) for each in inner]}
    if origin is tuple:
        return listed(of(inner[0])) if inner[-1] is ... else _pair(inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"} if inner[1] is object else {"type": "object", "additionalProperties": of(inner[1])}
    raise TypeError(f"{kind!r}: no JSON Schema is known for it")


def _pair(inner: Sequence[Any]) -> Schema:  # Any: as in `of`
    return {"type": "array", "prefixItems": [of(each) for each in inner], "items": False, "minItems": len(inner)}
