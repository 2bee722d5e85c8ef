"""PDR on channels whose truth is known: MLRsearch as `bench.capacity.rates` drives it, beside plain bisection."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.capacity.rates import PDR, Effort, Offered, searched

_MOST_FPS, _TRIAL_S = 100_000.0, 1.0
EXACT = 0.02  # of the truth
GOAL = 0.95  # of the truths within it


@dataclass(slots=True)
class Channel:
    """A shaper of `truth_fps` with a queue, frames lost at random before it, bursts on either side of the rate.

    `hit` trials, counted from 0, have 5 % of their frames dropped by something else.
    """

    truth_fps: float
    loss: float
    jitter: float  # relative spread of what the shaper lets pass in a trial
    dice: random.Random
    hit: frozenset[int] = frozenset()
    trials: int = 0
    seconds: float = field(default=0.0)

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer."""
        sent = round(rate_fps * seconds)
        arrived = _binomial(self.dice, sent, 1.0 - self.loss)
        passed = self.truth_fps * seconds * (1.0 + self.dice.gauss(0.0, self.jitter)) + self.truth_fps * _QUEUE_S
        received = min(arrived, round(passed))
        if self.trials in self.hit:
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


def bisected(channel: Channel, trial_s: float, width: float) -> float:
    """Plain bisection between 0 and the most, one trial a rate, as RFC 2544 leaves it; the largest rate that passed."""
    low, high = 0.0, _MOST_FPS
    while high - low > width * high:
        middle = (low + high) / 2
        if channel.offer(middle, trial_s).loss <= PDR.loss:
            low = middle
        else:
            high = middle
    return low


def _ours(channel: Channel) -> float:
    found = searched(channel, most_fps=_MOST_FPS, goals=(PDR,), effort=Effort(trial_s=_TRIAL_S))
    return found.bounds[0].low or 0.0


def _theirs(channel: Channel) -> float:
    return bisected(channel, _TRIAL_S, Effort().width)


def rates(replays: int, _: object = None) -> list[dict[str, object]]:
    """A row per channel and way: truths, share within 2 %, worst error, mean trial seconds."""
    ways: dict[str, Callable[[Channel], float]] = {"MLRsearch": _ours, "bisection": _theirs}
    rows: list[dict[str, object]] = []
    print(f"rates: PDR of {replays} truths a row, 5 to 90 % of {_MOST_FPS:.0f} frames/s")
    print(f"  {'channel':<40}{'way':<12}{'within 2 %':>11}{'worst':>8}{'seconds':>9}")
    for name, loss, jitter, hits in (
        ("clean", 0.0, 0.0, 0),
        ("0.2 % lost at random", 0.002, 0.0, 0),
        ("rate scatters by 0.1 %", 0.0, 0.001, 0),
        ("one bad trial of the first ten", 0.0, 0.0, 1),
        ("one bad trial, 0.2 % lost, scatter", 0.002, 0.001, 1),
    ):
        for way, search in ways.items():
            row = _row(name, way, search, (loss, jitter, hits), replays)
            rows.append(row)
            print(f"  {name:<40}{way:<12}{row['within']:>11.1%}{row['worst']:>8.1%}{row['seconds']:>9.1f}", flush=True)
    ours = [row for row in rows if row["way"] == "MLRsearch"]
    word = "held" if all(float(str(row["within"])) >= GOAL for row in ours) else "MISSED"
    print(f"  goal: within {EXACT:.0%} in ≥ {GOAL:.0%} of truths on every channel: {word}")
    return rows


def _row(
    name: str, way: str, search: Callable[[Channel], float], planted: tuple[float, float, int], replays: int
) -> dict[str, object]:
    dice = random.Random(name)  # the same truths and bad trials for both ways
    loss, jitter, hits = planted
    errors, seconds = list[float](), list[float]()
    for number in range(replays):
        truth, hit = dice.uniform(0.05, 0.9) * _MOST_FPS, frozenset(dice.sample(range(10), hits))
        channel = Channel(truth, loss, jitter, random.Random(f"{name} {number}"), hit)
        errors.append(abs(search(channel) / channel.pdr_fps - 1))
        seconds.append(channel.seconds)
    within = sum(error <= EXACT for error in errors) / replays
    return {"channel": name, "way": way, "n": replays, "within": within, "worst": max(errors),
            "seconds": sum(seconds) / replays}  # fmt: skip
