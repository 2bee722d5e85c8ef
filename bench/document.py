"""YAML that remembers where each value stood, so that every error can name file, line and key.

Scalars stay text until a reader asks for a number: YAML 1.1 would make `tso: off` False and `16384e1` a float.
"""

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from results.errors import WrongInput

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")  # of plans, probes and treatments
_NODES_MOST = 100_000  # a plan has a hundred; aliases of aliases make 10^9 out of ten lines
_SWITCH = {"on": "on", "true": "on", "yes": "on", "off": "off", "false": "off", "no": "off"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place ("plan.yaml:7") and path ("probes[0].duration_s")."""

    value: "str | dict[str, Node] | list[Node] | None"
    place: str
    path: str = ""

    def wrong(self, message: str, *, hint: str = "") -> NoReturn:
        """Raise WrongInput that names file, line and key."""
        raise WrongInput(f"{self.place}: {self.path + ': ' if self.path else ''}{message}", hint=hint)

    def mapping(self, keys: Iterable[str] | None = None) -> "dict[str, Node]":
        """Its members; with `keys`, any other key is an error that names the nearest one."""
        if not isinstance(self.value, dict):
            self.wrong(f"a mapping (key: value) belongs here, not {self._shown()}")
        if keys is not None:
            known = tuple(keys)
            for key, node in self.value.items():
                if key not in known:
                    Node(node.value, node.place, self.path).wrong(
                        f"unknown key {key!r}", hint=nearest(key, known) or f"known here: {', '.join(known)}"
                    )
        return self.value

    def items(self) -> "Sequence[Node]":
        """The members of a list."""
        if not isinstance(self.value, list):
            self.wrong(f"a list belongs here, not {self._shown()}")
        return self.value

    def text(self) -> str:
        """A scalar as it was written."""
        if not isinstance(self.value, str):
            self.wrong(f"a single value belongs here, not {self._shown()}")
        return self.value

    def name(self) -> str:
        """A name that may stand in reports, files and stores."""
        if not NAME.fullmatch(self.text()):
            self.wrong(f"{self.text()!r} is no name: small letters, digits, . _ - and at most 40 of them")
        return self.text()

    def choice(self, words: Sequence[str]) -> str:
        """One of the given words."""
        word = self.text()
        if word not in words:
            self.wrong(f"{word!r} is none of {', '.join(words)}", hint=nearest(word, words))
        return word

    def setting(self) -> str:
        """A knob's value: YAML's ways to say on and off become those words, everything else stays text."""
        word = self.text()
        return _SWITCH.get(word.lower(), word)

    def number(self, low: float, high: float, unit: str) -> float:
        """A number within [low, high], in `unit`."""
        word = self.text()
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.wrong(f"{word!r} is no number of {unit}", hint="write the bare number; the key names the unit")
        if not low <= value <= high:
            self.wrong(f"{word} is outside {low:.12g} … {high:.12g} {unit}")
        return value

    def integer(self, low: int, high: int, unit: str) -> int:
        """A whole number within [low, high]."""
        value = self.number(low, high, unit)
        if value != int(value):
            self.wrong(f"{self.text()} is no whole number of {unit}")
        return int(value)

    def plain(self) -> object:
        """The same without places: text, dicts, lists."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def _shown(self) -> str:
        if self.value is None:
            return "nothing"
        kinds: Mapping[type, str] = {dict: "a mapping", list: "a list"}
        return kinds.get(type(self.value), repr(self.value))


_STARTS = "to start from: `nettune plans` lists plans, `nettune profile show NAME --yaml` prints a profile"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that asks "did you mean …?", or "" when nothing comes near."""
    found = difflib.get_close_matches(word, tuple(known), n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else ""


def load(path: Path, what: str, *, hint: str = "") -> Node:
    """The document in a file. Raises WrongInput: no `what` of that name, with the hint; and what `read` raises."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"no {what}: {getattr(error, 'strerror', None) or 'it is no text'}", hint=hint) from error
    return read(text, path.name)


def read(text: str, file: str) -> Node:
    """The document in `text`. Raises WrongInput for what is no YAML, doubled keys, or an empty document."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        written_out = _written_out(root, {}) if root is not None else 0
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # the last two: \\U beyond Unicode
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or str(error) or "nested too deeply"
        raise WrongInput(f"{file}{line}: this is no YAML: {said}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value and not root.style):
        raise WrongInput(f"{file}:1: the file is empty", hint=_STARTS)
    if written_out > _NODES_MOST:
        raise WrongInput(f"{file}:1: more than {_NODES_MOST} values once its aliases are written out")
    return _node(root, file, "", 0)


def from_plain(value: object, place: str) -> Node:
    """A document that was kept as plain data (Node.plain), to be read again; everything stands at `place`."""
    return _placed(value, place, "")


def _placed(value: object, place: str, path: str) -> Node:
    if isinstance(value, Mapping):
        return Node(
            {key: _placed(each, place, f"{path}.{key}".lstrip(".")) for key, each in value.items()}, place, path
        )
    if isinstance(value, list | tuple):
        return Node([_placed(each, place, f"{path}[{index}]") for index, each in enumerate(value)], place, path)
    return Node("" if value is None else str(value), place, path)


def replaced(node: Node, path: Sequence[str], text: str, place: str) -> Node:
    """A copy in which the member at `path` is the YAML in `text`; list members are found by their name or kind."""
    if not path:
        return _placed(read(text, place).plain(), place, node.path)
    head, rest = path[0], path[1:]
    if isinstance(node.value, list):
        for index, item in enumerate(node.value):
            named = item.value if isinstance(item.value, dict) else {}
            if head in {each.value for key, each in named.items() if key in {"name", "kind"}}:
                return Node(
                    [*node.value[:index], replaced(item, rest, text, place), *node.value[index + 1 :]],
                    node.place,
                    node.path,
                )
        raise WrongInput(f"{place}: {node.path} has no member named {head!r}")
    if not isinstance(node.value, dict):
        raise WrongInput(f"{place}: {node.path or 'the plan'} has no members")
    inner = node.value.get(head, Node(None if not rest else {}, place, f"{node.path}.{head}".lstrip(".")))
    return Node({**node.value, head: replaced(inner, rest, text, place)}, node.place, node.path)


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Values that a node holds with every alias written out; counted once per node, so that a bomb costs nothing."""
    if id(node) not in known:
        known[id(node)] = _NODES_MOST + 1  # met again inside itself: endless
        inner: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            inner = itertools.chain.from_iterable(node.value)
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_written_out(each, known) for each in inner)
    return known[id(node)]


def _node(node: yaml.Node, file: str, path: str, depth: int) -> Node:
    place = f"{file}:{node.start_mark.line + 1}"
    if depth > 20:
        raise WrongInput(f"{place}: nested too deeply")
    if isinstance(node, yaml.MappingNode):
        members: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise WrongInput(f"{place}: a key must be a word")
            word = _text(key, place, path)
            inner = _node(value, file, f"{path}.{word}".lstrip("."), depth + 1)
            if word in members:
                raise WrongInput(f"{file}:{key.start_mark.line + 1}: {inner.path}: this key stands twice")
            # A key's own line is what a reader looks for, also when its value begins below.
            members[word] = Node(inner.value, f"{file}:{key.start_mark.line + 1}", inner.path)
        return Node(members, place, path)
    if isinstance(node, yaml.SequenceNode):
        listed = [_node(value, file, f"{path}[{index}]", depth + 1) for index, value in enumerate(node.value)]
        return Node(listed, place, path)
    return Node(_text(node, place, path), place, path)


def _text(node: yaml.Node, place: str, path: str) -> str:
    text = str(node.value)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise WrongInput(f"{place}: {path + ': ' if path else ''}half of a character (a lone surrogate)")
    return text
