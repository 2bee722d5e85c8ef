"""The connection rate of many pairs at once: each opens, asks, is answered and closes, over and over (the `crr` probe).

It is measured after the streams of a trial have ended: what new connections cost is no part of what streams carry.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench.capacity.dense import Dense
from bench.capacity.readiness import listening, longer, tcp
from bench.capacity.watching import LoadStopped, apart_s, look, watched
from bench.probes.probe import Pair, ProbeFailed
from bench.probes.requests import Requests
from bench.together import Job, armed
from results.errors import NotAble
from results.records import Sample
from results.scaling.kept import FAILED

METRIC = "connections"
_LATE_S = 1.0  # by which wrk may end after its time


@dataclass(frozen=True, slots=True)
class Opened:
    """Samples of each pair and of all: their rate, or how many failed; raw output by pair, and what was noted."""

    samples: tuple[Sample, ...]
    raw: dict[tuple[str, str], str]
    flags: tuple[str, ...]


def probe(name: str, seconds: float, at_a_time: int) -> Requests:
    """That of each pair."""
    return Requests(name, "crr", seconds, at_a_time, 1)


def opened(pairs: Sequence[Pair], asked: Requests, lab: Dense) -> Opened:
    """What all pairs open at once. A pair that fails is told, and all of them together have no rate then.

    Raises LoadStopped.
    """
    try:
        return _opened(pairs, asked, lab)
    except LoadStopped:
        raise
    except NotAble as error:
        return Opened((), {}, (f"connections: {error}",))


def _opened(pairs: Sequence[Pair], asked: Requests, lab: Dense) -> Opened:
    n = len(pairs)
    with ExitStack() as stack:
        for pair in pairs:
            stack.enter_context(pair.server.host.start(longer(asked.server_command(pair), n)))
        ports = (tcp(pairs[0].server_port),)
        listening([pair.server.host for pair in pairs], ports, "haproxy")
        jobs = [Job(pair.client.host, longer(asked.client_command(pair), n)) for pair in pairs]
        waiting = stack.enter_context(armed(jobs))
        look(lab)
        waiting.release()
        watched(asked.duration_s + _LATE_S, lab, apart_s(lab, asked.duration_s), waiting.over)
        came = waiting.awaited()
    found: list[Sample] = []
    raw: dict[tuple[str, str], str] = {}
    flags: list[str] = []
    failed = 0
    for pair, each in zip(pairs, came, strict=True):
        way = f"{pair.client.host.name}>{pair.server.host.name}"
        raw[way, METRIC] = each.outcome.stdout
        try:
            measured = asked.measured(each.outcome, pair)
        except ProbeFailed as error:
            failed += 1
            flags.append(f"{way}: {error}")
            continue
        found += [replace(sample, direction=way) for sample in measured.samples if sample.metric == METRIC]
        flags += [f"{way}: {flag}" for flag in measured.flags]
    if failed:
        found.insert(0, Sample(asked.name, FAILED, float(failed), "1", "all", "-", asked.duration_s))
    elif found:
        total, window_s = sum(each.value for each in found), min(each.interval_s for each in found)
        found.insert(0, Sample(asked.name, METRIC, total, "1/s", "all", "-", window_s))
    return Opened(tuple(found), raw, tuple(flags))
