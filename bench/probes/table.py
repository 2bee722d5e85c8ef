"""The probes a plan may name, each with its options; every option is validated here and nowhere else."""

import re
from collections.abc import Mapping

from bench.document import Node
from bench.probes.iperf3 import Tcp
from bench.probes.irtt import Latency
from bench.probes.probe import Probe
from bench.schedule import PROBES_AT_MOST


def probes(node: Node, controls: dict[str, tuple[str, ...]]) -> tuple[Probe, ...]:
    """All of them, in order; `controls` takes each tcp probe's congestion controls in order of preference."""
    found: list[Probe] = []
    for item in node.items():
        members = item.mapping()
        if "kind" not in members:
            item.wrong("a probe needs a kind", hint="kind: tcp, or kind: latency")
        kind = members["kind"].choice(tuple(_PROBE_KEYS))
        item.mapping(("kind", "name", *_PROBE_KEYS[kind]))
        name = members["name"].name() if "name" in members else kind
        if "." in name or name in {probe.name for probe in found}:
            item.wrong(f"the name {name!r} has a dot or stands twice", hint="give each probe its own name")
        found.append(_tcp(name, members, controls) if kind == "tcp" else _latency(name, members))
    if not 0 < len(found) <= PROBES_AT_MOST:
        node.wrong(f"the plan has {len(found) or 'no'} probes; 1 to {PROBES_AT_MOST} can be")
    return tuple(found)


_PROBE_KEYS: Mapping[str, tuple[str, ...]] = {
    "tcp": ("duration_s", "warmup_s", "streams", "direction", "congestion_control", "window_bytes"),
    "latency": ("duration_s", "interval_s", "size_bytes"),
}


def _tcp(name: str, members: Mapping[str, Node], controls: dict[str, tuple[str, ...]]) -> Tcp:
    given = members.get("congestion_control")
    if given is not None:
        words = given.items() if isinstance(given.value, list) else (given,)
        for word in words:
            if not re.fullmatch(r"[a-z0-9_]{1,15}", word.text()):
                word.wrong(f"{word.text()!r} is no name of a congestion control")
        controls[name] = tuple(word.text() for word in words)
    return Tcp(
        name=name,
        duration_s=members["duration_s"].number(0.3, 3600, "seconds") if "duration_s" in members else 10.0,
        warmup_s=members["warmup_s"].number(0, 60, "seconds") if "warmup_s" in members else 0.0,
        streams=members["streams"].integer(1, 128, "streams") if "streams" in members else 1,
        direction="reverse"
        if "direction" in members and members["direction"].choice(("forward", "reverse")) == "reverse"
        else "forward",
        congestion_control="",
        window_bytes=members["window_bytes"].integer(4096, 1 << 30, "bytes") if "window_bytes" in members else 0,
    )


def _latency(name: str, members: Mapping[str, Node]) -> Latency:
    return Latency(
        name=name,
        duration_s=members["duration_s"].number(0.05, 3600, "seconds") if "duration_s" in members else 1.0,
        interval_s=members["interval_s"].number(0.0002, 10, "seconds") if "interval_s" in members else 0.001,
        size_bytes=members["size_bytes"].integer(60, 65000, "bytes") if "size_bytes" in members else 60,
    )
