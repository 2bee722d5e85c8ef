"""PDR through a real token bucket whose rate is known, beside plain bisection over the same trials' length.

The bucket's burst is four of iperf3's pacing intervals; the queue behind it holds what a stalled scheduler bunches
together. Truth and result are frames a second at Ethernet: a qdisc counts the header, not the checksum. Frames are lost
at random before the bucket: what reaches it at its rate still fills it, so that PDR stays the bucket's rate as long as
less than 0.5 % is lost. NDR has no truth there: at any rate some trials lose a frame, and it is not searched.
"""

import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.capacity.datagrams import Datagrams
from bench.capacity.rates import PDR, Bounds, Effort, Offered, searched
from bench.hosts.command import Command
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.probe import Pair
from benchmarks.capacity import guest, kept
from benchmarks.capacity.rates import bisected
from benchmarks.capacity.verdicts import judgement, told
from results.errors import NotAble

_FRAME, _BURST_S = 1518, 0.004
_ROOM = 3.0  # the search begins at so many times the rate, which it is not told
EXACT, GOAL, LEAST_ROWS = 0.02, 0.95, 30
_TOLD_FRAMES = 2000  # in a trial: with fewer, 1 % lost at random is often no more than the 0.5 % of PDR
# Of the trials, one of which is bad: both searches take more, six and seven at least.
_DEALT = 6
_STRUCK = 0.9  # of what would pass does, in a bad trial
_DEADLINE_S = 1800.0  # of a row in a guest
_ORDERED = "/sys/class/net/eth0/queues/rx-0/rps_cpus"


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is measured: what bucket and queue pass beyond the rate is 0.9 % of a trial at most."""

    mbits: tuple[float, float]  # between which rates are dealt
    trial_s: float
    queue_s: float


HERE = Site((10.0, 120.0), 4.0, 0.03)
# An emulated CPU sends some thousand frames a second, and stands still for longer.
IN_GUEST = Site((10.0, 25.0), 8.0, 0.06)


@dataclass(frozen=True, slots=True)
class Planted:
    """`loss_pct`: between what share of the frames is lost at random; `bad`: whether one of the first trials is bad."""

    loss_pct: tuple[float, float] = (0.0, 0.0)
    bad: bool = False


PLANTED: Mapping[str, Planted] = {
    "shaped": Planted(),
    "shaped-bad": Planted(bad=True),
    "shaped-loss": Planted(loss_pct=(0.1, 0.3)),
    "shaped-none": Planted(loss_pct=(1.0, 1.0)),
}


@dataclass(slots=True)
class Bucket:
    """The path through a bucket of `mbit`, its trials and their seconds counted.

    In trial `bad`, counted from 0, it passes nine tenths of what it would: a trial below its rate fails, too.
    """

    lab: Lab
    path: Datagrams
    mbit: float
    queue_s: float
    loss_pct: float = 0.0
    bad: int | None = None
    trials: int = 0
    seconds: float = 0.0

    @property
    def hit(self) -> bool:
        """Whether the bad trial was run."""
        return self.bad is not None and self.trials > self.bad

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer."""
        with self._struck(rate_fps) if self.trials == self.bad else contextlib.nullcontext():
            self.trials += 1
            self.seconds += seconds
            return self.path.offer(rate_fps, seconds)

    @contextlib.contextmanager
    def _struck(self, rate_fps: float) -> Iterator[None]:
        self.filled(_STRUCK * min(self.mbit, rate_fps * (_FRAME - 4) * 8 / 1e6))
        yield
        self.filled(self.mbit)

    def filled(self, mbit: float) -> None:
        """The bucket at this rate. Raises CommandFailed where the kernel has no tbf or no netem."""
        held = mbit * 1e6 / 8 * (_BURST_S + self.queue_s)
        port = ("dev", "port-b")
        node = self.lab.named("node")
        node.run(Command(("tc", "qdisc", "del", *port, "root")))
        tbf = ("rate", f"{mbit:.6g}mbit", "burst", str(round(mbit * 1e6 / 8 * _BURST_S)), "limit", str(round(held)))
        node.run(Command(("tc", "qdisc", "add", *port, "root", "handle", "1:", "tbf", *tbf))).require()
        if self.loss_pct:
            netem = ("limit", str(round(held / _FRAME)), "loss", f"{self.loss_pct:g}%")
            added = Command(("tc", "qdisc", "add", *port, "parent", "1:1", "netem", *netem))
            node.run(added).require("where this kernel has no netem: --guest")


def part(name: str) -> Callable[[kept.Asked], list[kept.Row]]:
    """A row per truth: rate, loss, PDR's lower bound over the truth by MLRsearch and by bisection, their seconds."""

    def made(asked: kept.Asked) -> list[kept.Row]:
        with guest.at_need() as host:

            def make(number: int) -> kept.Row:
                if not asked.guest:
                    row = _row(name, number, HERE)
                else:
                    words = ("benchmarks.capacity.shaped", name, str(number))
                    said = host().run(guest.module(*words, deadline_s=_DEADLINE_S)).require().stdout
                    row = json.loads(said.splitlines()[-1])
                shown = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                         for key, value in row.items())  # fmt: skip
                print(f"  {number + 1}: " + ", ".join(shown), flush=True)
                return row

            rows = kept.rows(name, asked, make)
        for line in judged(name, rows):
            told(line)
        return rows

    return made


def judged(name: str, rows: list[kept.Row]) -> list[str]:
    """What the rows of a part show, in words: held or not from 30 rows on."""
    planted = PLANTED[name]
    if planted.loss_pct[0] > 100 * PDR.loss:
        none = sum(_number(row, "low_frames") < _TOLD_FRAMES for row in rows)
        right = f"{none} of {len(rows)} searches found no PDR where a trial has {_TOLD_FRAMES} frames or more"
        return [f"{name}: {right}: {judgement(none >= GOAL * len(rows), len(rows), least=LEAST_ROWS)}"]
    within = {way: [abs(_number(row, way) - 1) <= EXACT for row in rows] for way in ("low", "bisection")}
    ours, theirs = (sum(found) for found in within.values())
    seconds = [sum(_number(row, f"{way}_s") for row in rows) / max(len(rows), 1) for way in within]
    less = f"no more than bisection's: {judgement(seconds[0] <= seconds[1], len(rows), least=LEAST_ROWS)}"
    held = judgement(ours >= GOAL * len(rows), len(rows), least=LEAST_ROWS)
    lines = [
        f"{name}: {ours} of {len(rows)} truths within {EXACT:.0%} (bisection {theirs}): {held}",
        f"  mean trial seconds of {len(rows)} searches each: {seconds[0]:.1f}, bisection {seconds[1]:.1f}: {less}",
    ]
    if planted.bad:
        for way, word in (("low", "MLRsearch"), ("bisection", "bisection")):
            hits = [row[f"{way}_hit"] for row in rows]
            missed = sum(bool(hit) and not good for hit, good in zip(hits, within[way], strict=True))
            lines.append(f"  {word}: the bad trial fell into {sum(map(bool, hits))} of {len(rows)} searches, "
                         f"{missed} of those missed")  # fmt: skip
    return lines


def _number(row: kept.Row, key: str) -> float:
    return float(str(row[key]))


def _row(name: str, number: int, site: Site) -> kept.Row:
    planted, dice = PLANTED[name], random.Random(f"{name} {number}")
    mbit, loss_pct = round(dice.uniform(*site.mbits), 1), round(dice.uniform(*planted.loss_pct), 2)
    bad = dice.randrange(_DEALT) if planted.bad else None
    truth, effort = mbit * 1e6 / 8 / (_FRAME - 4), Effort(site.trial_s, 3 * site.trial_s)
    row: kept.Row = {"mbit": mbit, "loss_pct": loss_pct, "bad": bad}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, standing(Topology("bridge"), leases_folder=Path(folder)) as lab:
        # The bucket hands frames on from whichever CPU has its turn: they overtake each other unless one takes them.
        lab.b.host.run(Command(("tee", _ORDERED), stdin="1")).require()

        def bucket(port: int) -> Bucket:
            sender = Datagrams(Pair(lab.a, lab.b, port, port + 10000), _FRAME)
            made = Bucket(lab, sender, mbit, site.queue_s, loss_pct, bad)
            made.filled(mbit)
            return made

        path, bounds = bucket(21000), Bounds(PDR, None, None, None)
        try:
            found = searched(path, most_fps=_ROOM * truth, goals=(PDR,), effort=effort)
            bounds = found.bounds[0]
            row |= {"rejected": len(found.rejected), "note": found.note}
        except NotAble as error:  # a truth that was not found; the others go on
            row["note"] = str(error)
        low = bounds.low or 0.0
        row |= {"low": low / truth, "high": (bounds.high or 0.0) / truth, "low_s": path.seconds,
                "low_hit": path.hit, "low_frames": low * site.trial_s}  # fmt: skip
        if PDR.loss * 100 >= planted.loss_pct[1]:  # there is a PDR to bisect for
            path, low = bucket(22000), 0.0
            with contextlib.suppress(NotAble):
                low = bisected(path, site.trial_s, effort.width, _ROOM * truth)
            row |= {"bisection": low / truth, "bisection_s": path.seconds, "bisection_hit": path.hit}
    return {**row, "took_s": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    print(json.dumps(_row(sys.argv[1], int(sys.argv[2]), IN_GUEST)))
