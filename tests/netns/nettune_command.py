"""Runs the console program as its users do: in a process of its own."""

import json
import subprocess  # noqa: TID251 - the tests stand outside the door
import sys
from pathlib import Path
from typing import Any

PROGRAM = (sys.executable, "-m", "nettune")
SOONER = (sys.executable, "-m", "tests.netns.sooner")
# Two arms of latency only: a block takes about a second, so that a run can be killed often.
LATENCY_PLAN = """\
name: short
topologies: [bridge]
probes: [{kind: latency, duration_s: 0.1, interval_s: 0.002}]
primary: latency.rtt_p50
treatments:
  mtu-1300: {mtu: 1300}
blocks: 6
"""


def nettune(*words: str, stdin: str = "", prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The finished program; its exit code and both outputs."""
    return subprocess.run([*prefix, *PROGRAM, *words], input=stdin, capture_output=True, text=True, check=False)


def run_program(argv: tuple[str, ...], prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Another program of the tests', finished."""
    return subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False)


def sooner(*words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """As nettune, which watches what it applies for a shorter time."""
    return run_program((*SOONER, *words), prefix)


def start(*words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The program on its way, leader of a process group of its own."""
    return subprocess.Popen(
        [*prefix, *PROGRAM, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def shown(run: str = "last") -> dict[str, Any]:  # Any: JSON
    """The document of `show RUN --json`."""
    done = nettune("show", run, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def plan_file(folder: Path, text: str = LATENCY_PLAN) -> str:
    """A plan file; its name."""
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)
