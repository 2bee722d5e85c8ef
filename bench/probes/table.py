"""PROBES: every kind of probe a plan may name, with its options; all of them are validated here and nowhere else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.document import Node
from bench.labs.lab import ENDS
from bench.options import Options, taken, word
from bench.probes import irtt, tcp_options
from bench.probes.probe import Probe
from bench.schedule import PROBES_AT_MOST
from results.json_schema import Schema, mapping


@dataclass(frozen=True, slots=True)
class Kind:
    """What a plan may say of a kind of probe, and how a probe is made of it."""

    options: Options
    read: Callable[[str, tuple[str, str], Mapping[str, Any], Node], Probe]  # name, ends, options' values, its place


PROBES: Mapping[str, Kind] = {
    "tcp": Kind(tcp_options.OPTIONS, tcp_options.read),
    "latency": Kind(irtt.OPTIONS, irtt.read),
}
_ENDS: Options = {
    "from": word(ENDS, "a", "the endpoint of the client"),
    "to": word(ENDS, "b", "the endpoint of the server"),
}


def probes(node: Node, defaults: Mapping[str, str] | None = None) -> tuple[Probe, ...]:
    """All of them, in the plan's order; raises WrongInput naming line and key.

    `defaults` are the plan's own: option -> the word that stands for it in probes that have the option and name none.
    """
    found: list[Probe] = []
    for item in node.items():
        members = item.mapping()
        if "kind" not in members:
            item.wrong("a probe needs a kind", hint="kind: tcp, or kind: latency")
        word_of = members["kind"].choice(tuple(PROBES))
        kind = PROBES[word_of]
        item.mapping(("kind", "name", *_ENDS, *kind.options))
        name = members["name"].name() if "name" in members else word_of
        if "." in name or name in {probe.name for probe in found}:
            item.wrong(f"the name {name!r} has a dot or stands twice", hint="give each probe its own name")
        ends = taken(members, _ENDS)
        if ends["from"] == ends["to"]:
            item.wrong(
                f"it runs from {ends['from']} to itself", hint="from: a and to: b, unless the plan says otherwise"
            )
        given = taken(members, kind.options)
        given |= {key: word for key, word in (defaults or {}).items() if key in kind.options and key not in members}
        found.append(kind.read(name, (ends["from"], ends["to"]), given, item))
    if not 0 < len(found) <= PROBES_AT_MOST:
        node.wrong(f"the plan has {len(found) or 'no'} probes; 1 to {PROBES_AT_MOST} can be")
    return tuple(found)


def schemas(name: Schema) -> list[Schema]:
    """The JSON Schema of each kind; `name` is the schema of a probe's name."""
    return [
        mapping(
            {
                "kind": {"const": word_of},
                "name": name,
                **{key: option.schema for key, option in {**_ENDS, **kind.options}.items()},
            },
            optional=("name", *_ENDS, *kind.options),
        )
        for word_of, kind in PROBES.items()
    ]
