"""Runs the console program as its users do: in a process of its own."""

import contextlib
import json
import os
import sqlite3
import subprocess  # noqa: TID251 - the tests stand outside the door
import sys
import time
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
    return started((*PROGRAM, *words), prefix)


def started(argv: tuple[str, ...], prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Another program of the tests' on its way, leader of a process group of its own."""
    return subprocess.Popen(
        [*prefix, *argv],
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


def the_search(prefix: tuple[str, ...] = ()) -> dict[str, Any]:  # Any: JSON
    """How the newest search stands, by what `--dry-run` tells of it; {} before it was begun."""
    done = nettune("tune", "--resume", "last", "--dry-run", "--json", prefix=prefix)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def in_its_race(job: subprocess.Popen[str], blocks: int) -> None:
    """Wait until so many blocks of a search's race are complete; the store is asked, which costs the search nothing."""
    until = time.monotonic() + 120
    while time.monotonic() < until and job.poll() is None:
        if _raced() >= blocks:
            return
        time.sleep(0.1)
    job.kill()
    raise AssertionError(f"no race: {job.communicate(timeout=30)}")


def _raced() -> int:
    query = "SELECT count(*) FROM blocks NATURAL JOIN (SELECT run_id FROM runs WHERE label LIKE '%.1-race')"
    there = f"file:{os.environ['NETTUNE_STATE']}/nettune.db?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(there, uri=True)) as store:
            found: int = store.execute(f"{query} WHERE status = 'complete'").fetchone()[0]
    except sqlite3.OperationalError:  # it is on its way, or its tables are
        return 0
    return found
