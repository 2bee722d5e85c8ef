"""Engines: what may stand in the place of the word `iperf3` in a tcp probe's commands, and what each cannot do.

`iperf3` is the executable. `libiperf` is the same library through the `iperf3` wrapper of PyPI, in a program of its own
(bench.probes.libiperf_child): it takes the executable's words and prints its JSON document, so that commands, parser
and numbers are one and the same. It needs our own Python on the host, so its endpoints are on this machine.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.hosts.command import Command

EngineName = Literal["iperf3", "libiperf"]
# By path, and with -P: the folder of the program has a module named as the wrapper.
_CHILD = (sys.executable, "-P", str(Path(__file__).with_name("libiperf_child.py")))
# libiperf_child enlarges the pipe to 1 MiB; libiperf 3.12 prints 640 bytes per interval of 0.1 s and way, 1,000 here.
_FITS_S = {"one way": 100, "both ways": 50}


@dataclass(frozen=True, slots=True)
class Engine:
    """What a tcp probe is driven by. `local`: only for hosts that share this machine's files."""

    argv: tuple[str, ...]
    version: Command
    tool_s: float  # start, control connection, result exchange
    local: bool
    # A probe's options -> (the option that it cannot do, why, what instead); ("", "", "") when it can do all.
    lacks: Callable[[Mapping[str, object]], tuple[str, str, str]]


def _nothing(given: Mapping[str, object]) -> tuple[str, str, str]:
    del given
    return "", "", ""


def _libiperf_lacks(given: Mapping[str, object]) -> tuple[str, str, str]:
    for option in ("streams", "processes"):
        if given[option] != 1:
            return option, "libiperf runs one stream in one process", "engine: iperf3"
    if given["cpus"]:
        return "cpus", "libiperf cannot be told a CPU", "engine: iperf3"
    most_s = _FITS_S["both ways" if given["direction"] == "both" else "one way"]
    if float(str(given["duration_s"])) + float(str(given["warmup_s"])) > most_s:
        return (
            "duration_s",
            f"libiperf waits for ever once its report fills a pipe: at most {most_s} s fit",
            ("engine: iperf3, or a shorter duration_s"),
        )
    return "", "", ""


ENGINES: Mapping[EngineName, Engine] = {
    # Measured: 0.02 to 0.03 s.
    "iperf3": Engine(("iperf3",), Command(("iperf3", "--version")), 0.03, local=False, lacks=_nothing),
    # A Python starts at either end, the server's before the client's (measured: 0.25 s).
    "libiperf": Engine(_CHILD, Command((*_CHILD, "--version")), 0.25, local=True, lacks=_libiperf_lacks),
}
