"""The knob catalogue: every knob that nettune knows, as data (catalogue.yaml), read into frozen entries.

An Entry says how a knob is read, what it takes, where it acts, what a change of it costs, and whether a search may
turn it. Its `setting` is the word of a plan that turns it (knobs.table); "" where nettune turns it not.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from bench.diagnosis import SYMPTOMS
from bench.document import Node, nearest, read
from bench.options import Option, Options, taken, word
from results.errors import WrongInput
from tuning.knobs.entry import OWNERS, POLICIES, Basis, Disruption, Entry, How, Namespace, Policy, Scope, Type
from tuning.knobs.feature import members
from tuning.knobs.sysctl import sysctl_key

__all__ = ["Entry", "catalogue", "chosen", "entries_for", "entry", "load", "meant", "policies"]

_PERSIST = ("sysctl.d", "post-up", "ifupdown2", "qm", "at-boot", "modprobe.d", "boot")
_NEEDED = ("about", "read", "type", "scope", "namespace", "disruption", "policy", "source")
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_ID = re.compile(r"[a-z0-9][A-Za-z0-9._-]{0,79}")
_SOURCES = {
    "kernel": r"[A-Za-z0-9_./-]+",  # a path in the kernel's tree
    "commit": r"[0-9a-f]{12}",  # of the kernel
    "man": r"[a-z0-9._-]+\([1-8]\)",
    "pve": r"[a-z0-9.-]+(\([1-8]\))?",  # a package of Proxmox VE, or a page of its manual
    "guide": r"[A-Za-z0-9_-]+",  # one of the file's `guides`
}


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """The knobs that ship, by id, in the order of the file."""
    path = Path(__file__).with_name("catalogue.yaml")
    return load(path.read_text(encoding="utf-8"), path.name)


def entry(name: str) -> Entry:
    """The knob of that id. Raises WrongInput that names the nearest."""
    known = catalogue()
    if name not in known:
        by_word = [each.id for each in entries_for(name)]
        ending = [each for each in known if each.endswith(f".{name}")]
        like = f"`nettune knobs {name}` lists those with that word" if chosen(name) else ""
        hint = (
            f"that word turns {', '.join(by_word)}"
            if by_word
            else f"that may be {', '.join(ending)}"
            if ending
            else nearest(name, known) or like
        )
        raise WrongInput(f"no knob {name!r} is in the catalogue", hint=hint or "`nettune knobs` lists them")
    return known[name]


def meant(words: str) -> Entry:
    """The knob of that id, or the one whose id ends with it or that it turns in a plan. Raises WrongInput."""
    if words in catalogue():
        return entry(words)
    turned = {each.id for each in entries_for(words)}
    found = [each for each in catalogue().values() if each.id in turned or each.id.endswith(f".{words}")]
    return found[0] if len(found) == 1 else entry(words)


def entries_for(word: str) -> tuple[Entry, ...]:
    """The knobs that a setting of a plan turns: several for ethtool's groups (`tso`), none for what only a lab has."""
    names = {word, sysctl_key(word), *members(word)}
    return tuple(each for each in catalogue().values() if each.setting and each.setting in names)


def chosen(words: str, policies: Collection[str] = ()) -> tuple[Entry, ...]:
    """The knobs in whose id, kind, setting or description every one of the words stands, and of these policies."""
    wanted = words.lower().split()
    return tuple(
        each
        for each in catalogue().values()
        if (not policies or each.policy in policies)
        and all(word in f"{each.id} {each.kind} {each.setting} {each.about}".lower() for word in wanted)
    )


def policies(letters: str) -> tuple[str, ...]:
    """`A,C` or `AC` as policies; () for "". Raises WrongInput."""
    found = tuple(letters.upper().replace(",", "").replace(" ", ""))
    for each in found:
        if each not in get_args(Policy):
            said = ", ".join(f"{letter} ({words})" for letter, words in POLICIES.items())
            raise WrongInput(f"{each!r} is no policy", hint=f"there are {said}")
    return found


def load(text: str, file: str) -> Mapping[str, Entry]:
    """The entries of a catalogue file. Raises WrongInput naming file, line and key, and the nearest valid name."""
    root = read(text, file)
    document = root.mapping(("version", "guides", "kinds", "knobs"))
    for key in ("version", "kinds", "knobs"):
        if key not in document:
            root.wrong(f"it has no {key!r}")
    document["version"].integer(1, 1, "format")
    guides = tuple(document["guides"].mapping()) if "guides" in document else ()
    kinds = {kind: node.mapping(_OPTIONS) for kind, node in document["kinds"].mapping().items()}
    found: dict[str, Entry] = {}
    for node in document["knobs"].items():
        made = _entry(node, kinds, guides)
        if made.id in found:
            node.mapping()["id"].wrong(f"{made.id!r} stands twice")
        found[made.id] = made
    for node in document["knobs"].items():
        _known(node.mapping(), found)
    return found


def _known(keys: Mapping[str, Node], found: Mapping[str, Entry]) -> None:
    """Raise WrongInput where what a knob is to be set with turns no other knob, or not to that value."""
    made = found[keys["id"].text()]
    for name, of in keys["with"].mapping().items() if "with" in keys else ():
        other = next((each for each in found.values() if each.setting == name and each.id != made.id), None)
        if other is None:
            of.wrong(
                f"{name!r} is the setting of no other knob", hint=nearest(name, [x.setting for x in found.values()])
            )
        if problem := _problem(other, of.setting()):
            of.wrong(f"{of.setting()!r} of {name} {problem}")


def _entry(node: Node, kinds: Mapping[str, Mapping[str, Node]], guides: Sequence[str]) -> Entry:
    given = node.mapping(("id", "kind", *_OPTIONS))
    for key in ("id", "kind", "about"):
        if key not in given:
            node.wrong(f"it has no {key!r}")
    kind, name = given["kind"].choice(tuple(kinds)), given["id"].text()
    if not _ID.fullmatch(name):
        given["id"].wrong(f"{name!r} is no id: letters, digits, . _ - and at most 80 of them")
    keys = {**kinds[kind], **given}
    for key in _NEEDED:
        if key not in keys:
            node.wrong(f"{name} has no {key!r}, and its kind gives none")
    part = name if kind == "sysctl" else name.partition(".")[2]
    values = taken({key: _named(each, part) for key, each in keys.items()}, _OPTIONS)
    (how, where), source, beside = values.pop("read"), values.pop("source"), values.pop("with")
    for each, of in zip(source, keys["source"].items(), strict=True):
        family, _, rest = each.partition(" ")
        if family == "guide" and rest not in guides:
            of.wrong(f"{rest!r} is none of the file's guides", hint=nearest(rest, guides))
    made = Entry(id=name, kind=kind, how=how, where=where, source=source, beside=beside, **values)
    _fits(keys, made)
    return made


def _named(node: Node, part: str) -> Node:
    """The same with NAME replaced, in values only."""
    if isinstance(node.value, dict):
        return Node({key: _named(each, part) for key, each in node.value.items()}, node.place, node.path)
    if isinstance(node.value, list):
        return Node([_named(each, part) for each in node.value], node.place, node.path)
    return node if node.value is None else Node(node.value.replace("NAME", part), node.place, node.path)


def _fits(keys: Mapping[str, Node], made: Entry) -> None:
    """Raise WrongInput where two keys of a knob contradict each other."""
    if made.policy == "C" and not (made.trigger or made.symptom):
        keys["policy"].wrong(f"{made.id} has policy C and neither trigger nor symptom")
    if made.symptom and made.first_under:
        keys["first_under"].wrong(f"{made.id} waits for {made.symptom} anyway, and goes first where that is found")
    if made.maximum and made.type not in {"number", "numbers"}:
        keys["maximum"].wrong(f"a {made.type} is no maximum")
    if made.type == "choice" and not made.words:
        keys["type"].wrong(f"{made.id} is a choice without words")
    for each, of in zip(made.candidates, keys["candidates"].items() if made.candidates else (), strict=True):
        problem = _problem(made, each)
        if problem:
            of.wrong(f"candidate {each!r} {problem}")
    if len(set(made.candidates)) < len(made.candidates):
        keys["candidates"].wrong("a candidate stands twice")
    if made.type == "numbers" and len({len(each.split()) for each in made.candidates}) > 1:
        keys["candidates"].wrong("candidates of different lengths")


def _problem(made: Entry, candidate: str) -> str:
    if made.type == "choice":
        return "" if candidate in made.words else f"is none of {', '.join(made.words)}"
    if made.type == "switch":
        return "" if candidate in {"on", "off", "0", "1"} else "is neither on nor off"
    if made.type not in {"number", "numbers"} or candidate in made.words:
        return ""
    if not all(_WHOLE.fullmatch(each) for each in candidate.split()):
        return "is no whole number"
    low, high = made.range or (0, 1 << 64)
    if all(low <= int(each) <= high for each in candidate.split()):
        return ""
    return f"is outside {low} … {high}"


def _only(node: Node, known: Sequence[str]) -> tuple[str, str]:
    """The one key of a mapping, and its text."""
    items = list(node.mapping(known).items())
    if len(items) != 1:
        node.wrong(f"exactly one of {', '.join(known)} belongs here")
    return items[0][0], items[0][1].text()


def _values(node: Node) -> tuple[str, ...]:
    return tuple(each.setting() for each in node.items())


def _bounds(node: Node) -> tuple[int, int]:
    ends = [each.text() for each in node.items()]
    if len(ends) != 2 or not all(_WHOLE.fullmatch(each) for each in ends) or int(ends[0]) > int(ends[1]):
        node.wrong(f"[least, most] belongs here, two whole numbers, not {ends}")
    return int(ends[0]), int(ends[1])


def _persist(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple((key, each.text()) for key, each in node.mapping(_PERSIST).items())


def _settings(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple((key, each.setting()) for key, each in node.mapping().items())


def _sources(node: Node) -> tuple[str, ...]:
    found = node.items()
    if not found:
        node.wrong("at least one source belongs here")
    for each in found:
        family, _, rest = each.text().partition(" ")
        if family not in _SOURCES:
            each.wrong(f"{family!r} is none of {', '.join(_SOURCES)}", hint=nearest(family, _SOURCES))
        if not re.fullmatch(_SOURCES[family], rest):
            each.wrong(f"{rest!r} does not name a {family}")
    return tuple(each.text() for each in found)


def _yes(node: Node) -> bool:
    return node.choice(("yes", "no")) == "yes"


def _read_by(reader: Callable[[Node], Any], default: object) -> Option[Any]:  # Any: each key has its own type
    return Option({}, reader, default)


_OPTIONS: Options = {
    "about": _read_by(Node.text, ""),
    "read": _read_by(lambda node: _only(node, get_args(How)), None),
    "setting": _read_by(Node.text, ""),
    "type": word(get_args(Type), ""),
    "unit": _read_by(Node.text, ""),
    "range": _read_by(_bounds, None),
    "words": _read_by(_values, ()),
    "candidates": _read_by(_values, ()),
    "maximum": _read_by(_yes, False),
    "endpoint": _read_by(_yes, False),
    "scope": word(get_args(Scope), ""),
    "namespace": word(get_args(Namespace), ""),
    "module": _read_by(Node.text, ""),
    "disruption": word(get_args(Disruption), ""),
    "driver": _read_by(_yes, False),
    "policy": word(get_args(Policy), ""),
    "symptom": word(SYMPTOMS, ""),
    "first_under": word(SYMPTOMS, ""),
    "with": _read_by(_settings, ()),
    "trigger": _read_by(Node.text, ""),
    "risk": _read_by(Node.text, ""),
    "persist": _read_by(_persist, ()),
    "owner": word(OWNERS, ""),
    "basis": word(get_args(Basis), "none"),
    "source": _read_by(_sources, ()),
}
