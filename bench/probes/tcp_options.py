"""The options of a `tcp` probe, and which of them contradict each other. Their ranges are what iperf3 3.12 accepts."""

import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from bench.document import Node
from bench.options import Option, Options, number, switch, whole, word
from bench.probes.engine import ENGINES, EngineName
from bench.probes.iperf3 import Tcp

_CONTROL = re.compile(r"[a-z][a-z0-9_]{0,14}")  # a number is a slip, and no name of any kernel
_CONTROL_SCHEMA = {"type": "string", "pattern": f"^{_CONTROL.pattern}$", "examples": ["bbr", "cubic", "reno"]}
_CPU_MOST = 1023  # of iperf3's --affinity
_STREAMS_MOST = 128  # of iperf3's --parallel, and the ports that a probe is dealt
_WINDOW_MOST = 512 << 20  # "socket buffer size too large (maximum = 536870912 bytes)"
_WRITE_MOST = 1 << 20  # "block size too large (maximum = 1048576 bytes)"
_MSS = (88, 9216)  # the kernel's TCP_MIN_MSS (EINVAL below it), "TCP MSS too large (maximum = 9216 bytes)"


def _controls(node: Node) -> tuple[str, ...]:
    words = node.items() if isinstance(node.value, list) else (node,)
    for each in words:
        if not _CONTROL.fullmatch(each.text()):
            each.wrong(f"{each.text()!r} is no name of a congestion control")
    return tuple(each.text() for each in words)


def _cpus(node: Node) -> tuple[int, ...]:
    if not node.items():
        node.wrong("no CPU is listed", hint="cpus: [0, 1], or leave it out")
    return tuple(each.integer(0, _CPU_MOST, "as the number of a CPU") for each in node.items())


OPTIONS: Options = {
    "duration_s": number(0.3, 3600, "seconds", 10.0, "seconds that are measured"),
    "warmup_s": number(0, 60, "seconds", 0.0, "seconds before them that are cut off"),
    "streams": whole(1, _STREAMS_MOST, "streams", 1, "parallel streams; below iperf3 3.16 each is a process"),
    "processes": whole(1, _STREAMS_MOST, "processes", 1, "parallel iperf3 processes of one stream each"),
    "cpus": Option(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": _CPU_MOST},
            "minItems": 1,
            "description": "CPUs dealt in turn: the first process's client, its server, the second's client, …",
        },
        _cpus,
        (),
    ),
    "direction": word(("forward", "reverse", "both"), "forward", "forward: from sends, to receives"),
    "congestion_control": Option(
        {
            "anyOf": [_CONTROL_SCHEMA, {"type": "array", "items": _CONTROL_SCHEMA}],
            "description": "one, or several in order of preference: the first that the kernel has, in every arm",
        },
        _controls,
        (),
    ),
    "window_bytes": whole(4096, _WINDOW_MOST, "bytes", 0, "bytes of socket buffer; left to the kernel when not given"),
    "write_bytes": whole(1, _WRITE_MOST, "bytes", 0, "bytes of one write and read; iperf3's 131072 when not given"),
    "mss_bytes": whole(*_MSS, "bytes", 0, "most bytes of a segment; left to the kernel when not given"),
    "zerocopy": switch("send by sendfile, without copying from user space"),
    "engine": word(get_args(EngineName), "iperf3", "what drives it; the plan's `engine` when not given"),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Tcp:  # Any: as in Options
    """The `tcp` probe of a plan. Raises WrongInput where options contradict each other."""
    _check(given, node)
    return Tcp(
        name=name,
        duration_s=given["duration_s"],
        warmup_s=given["warmup_s"],
        streams=given["streams"],
        direction=given["direction"],
        congestion_control="",
        window_bytes=given["window_bytes"],
        ends=ends,
        preferred=given["congestion_control"],
        processes=given["processes"],
        cpus=given["cpus"],
        write_bytes=given["write_bytes"],
        mss_bytes=given["mss_bytes"],
        zerocopy=given["zerocopy"],
        engine=given["engine"],
    )


def _check(given: Mapping[str, Any], node: Node) -> None:  # Any: as in Options
    def wrong(option: str, message: str, hint: str) -> None:
        node.mapping().get(option, node).wrong(message, hint=hint)

    if given["streams"] > 1 and given["processes"] > 1:
        wrong("processes", "each process has one stream: it cannot go with streams", "one of streams and processes")
    if given["direction"] == "both":
        for option in ("streams", "processes"):
            if given[option] > _STREAMS_MOST // 2:
                wrong(
                    option,
                    f"both ways take two ports each: {given[option]} do not fit in a probe's {_STREAMS_MOST}",
                    f"{option}: {_STREAMS_MOST // 2}",
                )
    if given["cpus"] and given["streams"] > 1:
        wrong("cpus", "they are dealt to processes: all streams of one would share a CPU", "processes, for streams")
    if len(given["cpus"]) > 2 * given["processes"]:
        wrong("cpus", f"{len(given['cpus'])} CPUs for {given['processes']} processes of two ends", "two for each")
    option, why, instead = ENGINES[cast("EngineName", given["engine"])].lacks(given)
    if option:
        wrong(option, why, instead)
