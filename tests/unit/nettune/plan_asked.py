"""What the readers of a plan ask of it, recorded while they read, and the schema at the same place."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bench import document, plan
from bench.document import Node
from results.errors import WrongInput
from tuning.knobs.table import check

Schema = Mapping[str, Any]  # Any: JSON
FOREIGN = re.compile(r"unknown key|is no option of")  # how readers refuse a key that they do not know there


@dataclass(frozen=True)
class Asked:
    """One question of a reader: what it takes at `path`."""

    path: str
    question: str  # "mapping", "choice", "number" or "integer"
    answers: tuple[Any, ...]  # known keys, known words, or (low, high)


def read(given: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Asked], str]:
    """Every question that was asked while this plan was read, and the error that ended it ("" when it is a plan)."""
    asked: list[Asked] = []
    mapping, choice, number, integer = Node.mapping, Node.choice, Node.number, Node.integer

    def asked_mapping(node: Node, keys: Any = None) -> dict[str, Node]:
        if keys is not None:
            keys = tuple(keys)
            asked.append(Asked(node.path, "mapping", keys))
        return mapping(node, keys)

    def asked_choice(node: Node, words: Sequence[str]) -> str:
        asked.append(Asked(node.path, "choice", tuple(words)))
        return choice(node, words)

    def asked_number(node: Node, low: float, high: float, unit: str) -> float:
        asked.append(Asked(node.path, "number", (low, high)))
        return number(node, low, high, unit)

    def asked_integer(node: Node, low: int, high: int, unit: str) -> int:
        asked.append(Asked(node.path, "integer", (low, high)))
        return integer(node, low, high, unit)

    with monkeypatch.context() as patched:
        for name, replacement in {"mapping": asked_mapping, "choice": asked_choice, "number": asked_number,
                                  "integer": asked_integer}.items():  # fmt: skip
            patched.setattr(Node, name, replacement)
        problem = problem_of(given)
    return asked, problem


def problem_of(given: Mapping[str, object]) -> str:
    """Why it is no plan; "" when it is one. JSON is YAML, so that numbers and words stay as they are."""
    try:
        plan.parse(document.read(json.dumps(given), "given.yaml"), check=check)
    except WrongInput as error:
        return str(error)
    return ""


def branches(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, with references followed."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    inner = schema.get("oneOf") or schema.get("anyOf")
    if inner is None:
        yield schema
    for each in inner or ():
        yield from branches(each, root)


def at(root: Schema, given: Any, path: str) -> list[Schema]:  # Any: JSON
    """The schemas that hold at a place of a plan, of the alternatives that its `kind` chooses."""
    found = list(branches(root, root))
    for step in re.findall(r"[^.\[\]]+", path):
        inner: list[Schema] = []
        for schema in found:
            if isinstance(given, list):
                inner += branches(schema["items"], root) if "items" in schema else []
            elif _chosen(schema, given) and step in schema.get("properties", {}):
                inner += branches(schema["properties"][step], root)
        found, given = inner, given[int(step)] if isinstance(given, list) else given[step]
    return [schema for schema in found if not isinstance(given, dict) or _chosen(schema, given)]


def _chosen(schema: Schema, given: Mapping[str, object]) -> bool:
    """Of schemas that a word tells apart (a topology's or probe's kind, a lab's provider) those with this word."""
    known = schema.get("properties", {})
    words = ("kind", "provider")
    return "properties" in schema and all(known.get(w, {}).get("const", given.get(w)) == given.get(w) for w in words)


def example(schema: Schema, root: Schema) -> Any:  # Any: JSON
    """Something that the schema takes: its first word, its least number, its first example."""
    first = next(branches(schema, root))
    if "const" in first:
        return first["const"]
    for words in ("examples", "enum"):
        if words in first:
            return first[words][0]
    if first.get("type") == "array":
        return [example(first["items"], root)] * first.get("minItems", 1)
    if first.get("type") == "object":
        return {key: example(first["properties"][key], root) for key in first.get("required", ())}
    return {"integer": first.get("minimum"), "number": first.get("minimum"), "boolean": True}.get(first["type"], "x")
