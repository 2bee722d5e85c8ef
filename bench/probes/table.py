"""PROBES: every kind of probe a plan may name, with its options; all of them are validated here and nowhere else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.document import Node, nearest
from bench.labs.lab import ENDS
from bench.options import Options, taken, word
from bench.probes import failover, isolation, latency, path_mtu, rate, requests, tcp_options, udp
from bench.probes.probe import Probe
from bench.schedule import PROBES_AT_MOST
from results.json_schema import Schema, mapping
from results.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Kind:
    """What a plan may say of a kind of probe, and how a probe is made of it."""

    options: Options
    read: Callable[[str, tuple[str, str], Mapping[str, Any], Node], Probe]  # name, ends, options' values, its place


PROBES: Mapping[str, Kind] = {
    "tcp": Kind(tcp_options.OPTIONS, tcp_options.read),
    "udp": Kind(udp.OPTIONS, udp.read),
    "rate": Kind(rate.OPTIONS, rate.read),
    "latency": Kind(latency.OPTIONS, latency.read),
    "rr": Kind(requests.OPTIONS, requests.read_rr),
    "crr": Kind(requests.OPTIONS, requests.read_crr),
    "failover": Kind(failover.OPTIONS, failover.read),
    "isolation": Kind(isolation.OPTIONS, isolation.read),
    "path-mtu": Kind(path_mtu.OPTIONS, path_mtu.read),
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
            item.wrong("a probe needs a kind", hint=f"kind: tcp is one of {', '.join(PROBES)}")
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
        probe = kind.read(name, (ends["from"], ends["to"]), given, item)
        if isinstance(probe, latency.Latency) and probe.load is not None:
            _check_capacity(probe.load.of, found, members["load"].mapping()["of"])
        found.append(probe)
    if not 0 < len(found) <= PROBES_AT_MOST:
        node.wrong(f"the plan has {len(found) or 'no'} probes; 1 to {PROBES_AT_MOST} can be")
    return tuple(found)


def _check_capacity(of: str, earlier: Sequence[Probe], node: Node) -> None:
    """A load is a share of a rate that an earlier probe of the plan measures. Raises WrongInput."""
    rates = [name for probe in earlier for name in probe.metrics if METRICS[name.partition(".")[2]].unit == "bit/s"]
    if of not in rates:
        earlier_ones = f"earlier probes have {', '.join(rates)}" if rates else "no earlier probe has a rate"
        node.wrong(
            f"{of!r} is no rate of an earlier probe: {earlier_ones}",
            hint=nearest(of, rates) or "put a tcp or udp probe before this one: of: tcp.goodput",
        )


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
