"""PDR on channels whose truth is known: MLRsearch as `bench.capacity.rates` drives it, beside plain bisection."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.capacity.rates import PDR, Effort, Generator, Offered, searched
from benchmarks.capacity import kept
from benchmarks.capacity.verdicts import judgement, told

_MOST_FPS, _TRIAL_S = 100_000.0, 1.0
EXACT = 0.02  # of the truth
GOAL = 0.95  # of the truths within it
LEAST_TRUTHS = 30  # of which anything is said


@dataclass(slots=True)
class Channel:
    """A shaper of `truth_fps` with a queue, frames lost at random before it, bursts on either side of the rate.

    Trial `bad`, counted from 0, has 5 % of its frames dropped by something else.
    """

    truth_fps: float
    loss: float
    jitter: float  # relative spread of what the shaper lets pass in a trial
    dice: random.Random
    bad: int | None = None
    trials: int = 0
    seconds: float = field(default=0.0)

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer."""
        sent = round(rate_fps * seconds)
        arrived = _binomial(self.dice, sent, 1.0 - self.loss)
        passed = self.truth_fps * seconds * (1.0 + self.dice.gauss(0.0, self.jitter)) + self.truth_fps * _QUEUE_S
        received = min(arrived, round(passed))
        if self.trials == self.bad:
            received = round(0.95 * received)
        self.trials += 1
        self.seconds += seconds
        return Offered(rate_fps, seconds, sent, received)

    @property
    def pdr_fps(self) -> float:
        """The largest rate with a loss of at most 0.5 % over a trial, its expectation: what passes is known."""
        room = self.truth_fps * (1.0 + _QUEUE_S / _TRIAL_S)
        return min(_MOST_FPS, room / (1.0 - PDR.loss)) if self.loss < PDR.loss else 0.0


_QUEUE_S = 0.002  # of the shaper's rate that its queue and bucket hold: passes beyond the rate


def _binomial(dice: random.Random, n: int, p: float) -> int:
    """By its normal limit, which at these numbers is exact enough."""
    return min(n, max(0, round(dice.gauss(n * p, (n * p * (1.0 - p)) ** 0.5)))) if p < 1.0 else n


def bisected(generator: Generator, trial_s: float, width: float, most_fps: float) -> float:
    """Plain bisection between 0 and the most, one trial a rate, as RFC 2544 leaves it; the largest rate that passed."""
    low, high = 0.0, most_fps
    while high - low > width * high:
        middle = (low + high) / 2
        if generator.offer(middle, trial_s).loss <= PDR.loss:
            low = middle
        else:
            high = middle
    return low


def _ours(channel: Channel) -> float:
    found = searched(channel, most_fps=_MOST_FPS, goals=(PDR,), effort=Effort(trial_s=_TRIAL_S))
    return found.bounds[0].low or 0.0


def _theirs(channel: Channel) -> float:
    return bisected(channel, _TRIAL_S, Effort().width, _MOST_FPS)


WAYS: dict[str, Callable[[Channel], float]] = {"MLRsearch": _ours, "bisection": _theirs}


def rates(asked: kept.Asked) -> list[kept.Row]:
    """A row per channel and way: truths, share within 2 %, worst error, mean trial seconds, bad trials run, missed."""
    rows: list[kept.Row] = []
    print(f"rates: PDR of {asked.replays} truths a row, 5 to 90 % of {_MOST_FPS:.0f} frames/s")
    print(f"  {'channel':<40}{'way':<12}{'within 2 %':>11}{'worst':>8}{'seconds':>9}  bad trial")
    for name, loss, jitter, bad in (
        ("clean", 0.0, 0.0, False),
        ("0.2 % lost at random", 0.002, 0.0, False),
        ("rate scatters by 0.1 %", 0.0, 0.001, False),
        ("one bad trial", 0.0, 0.0, True),
        ("one bad trial, 0.2 % lost, scatter", 0.002, 0.001, True),
    ):
        for way, row in _rows(name, loss, jitter, asked.replays, bad=bad).items():
            rows.append(row)
            hit = f"  hit {row['hit']}, of which {row['hit_missed']} missed" if bad else ""
            print(f"  {name:<40}{way:<12}{row['within']:>11.1%}{row['worst']:>8.1%}{row['seconds']:>9.1f}{hit}",
                  flush=True)  # fmt: skip
    ours, theirs = ([row for row in rows if row["way"] == way] for way in WAYS)
    within = all(float(str(row["within"])) >= GOAL for row in ours)
    told(f"  goal: within {EXACT:.0%} in ≥ {GOAL:.0%} of truths on every channel: {_word(within, asked.replays)}")
    pairs = zip(ours, theirs, strict=True)
    less = all(float(str(mine["seconds"])) <= float(str(other["seconds"])) for mine, other in pairs)
    told(f"  goal: mean trial seconds no more than bisection's on every channel: {_word(less, asked.replays)}")
    return rows


def _word(held: object, truths: int) -> str:
    return judgement(held, truths, least=LEAST_TRUTHS, of=" truths a row")


def _rows(name: str, loss: float, jitter: float, replays: int, *, bad: bool) -> dict[str, kept.Row]:
    """The same truths and channels for both ways; the bad trial is one that both of them run."""
    dice = random.Random(name)
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    hits: dict[str, list[bool]] = {way: [] for way in WAYS}
    for number in range(replays):
        truth = dice.uniform(0.05, 0.9) * _MOST_FPS

        def channel(truth: float = truth, number: int = number, bad: int | None = None) -> Channel:
            return Channel(truth, loss, jitter, random.Random(f"{name} {number}"), bad)

        # Up to the bad one a search's trials are those that it makes without it.
        struck = dice.randrange(min(_trials(search, channel()) for search in WAYS.values())) if bad else None
        for way, search in WAYS.items():
            path = channel(bad=struck)
            errors[way].append(abs(search(path) / path.pdr_fps - 1))
            seconds[way].append(path.seconds)
            hits[way].append(struck is not None and path.trials > struck)
    return {
        way: {
            "channel": name, "way": way, "n": replays, "within": sum(each <= EXACT for each in errors[way]) / replays,
            "worst": max(errors[way]), "seconds": sum(seconds[way]) / replays, "hit": sum(hits[way]),
            "hit_missed": sum(hit and each > EXACT for hit, each in zip(hits[way], errors[way], strict=True)),
        }
        for way in WAYS
    }  # fmt: skip


def _trials(search: Callable[[Channel], float], channel: Channel) -> int:
    search(channel)
    return channel.trials
