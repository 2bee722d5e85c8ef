"""The truth of a benchmark: what each knob does to goodput, p99 and CPU, and what is a good configuration by that."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.plan import SettingSpec
from tuning.search.stages import Config, Factor

KNOBS = 10
GUARD = math.log(1.10)  # what a configuration may cost in p99
ANCHORS = (frozenset({1, 2, 7}), frozenset({0, 5}))  # published profiles, in the knobs that they set


@dataclass(frozen=True, slots=True)
class Surface:
    """Log effects of each knob (0 … KNOBS-1) on goodput, p99 and CPU, and of pairs on goodput; which break the path."""

    goodput: Mapping[int, float]
    p99: Mapping[int, float]
    pairs: Mapping[tuple[int, int], float]
    cpu: Mapping[int, float] = field(default_factory=dict)
    breaks: Mapping[int, float] = field(default_factory=dict)  # the share of trials that fail with it

    def gain(self, on: frozenset[int]) -> float:
        """The log gain in goodput of these knobs together."""
        own = math.fsum(self.goodput.get(knob, 0.0) for knob in on)
        return own + math.fsum(effect for pair, effect in self.pairs.items() if on >= set(pair))

    def delay(self, on: frozenset[int]) -> float:
        """The log change of p99."""
        return math.fsum(self.p99.get(knob, 0.0) for knob in on)

    def cost(self, on: frozenset[int]) -> float:
        """The log change of CPU per 10 Gbit/s."""
        return math.fsum(self.cpu.get(knob, 0.0) for knob in on)

    def stands(self, on: frozenset[int]) -> float:
        """The chance that a trial with these knobs does not fail."""
        return math.prod(1.0 - self.breaks.get(knob, 0.0) for knob in on)

    def worth(self, on: frozenset[int]) -> float:
        """What an operator gets: the gain, less what p99 exceeds its guard by."""
        return worth(self.gain(on), self.delay(on))

    @property
    def best(self) -> float:
        """The worth of the best configuration."""
        subsets = itertools.chain.from_iterable(itertools.combinations(range(KNOBS), n) for n in range(KNOBS + 1))
        return max(self.worth(frozenset(each)) for each in subsets)


def worth(gain: float, delay: float) -> float:
    """The one number that a sampler with one objective is given."""
    return gain - max(0.0, delay - GUARD)


NULL = Surface({}, {}, {})
_GAINS = {1: math.log(1.03), 3: math.log(1.05), 4: math.log(1.10), 6: math.log(1.05), 8: math.log(1.06)}
_PAIR = {(3, 6): -math.log(1.08)}  # each helps alone; together they do less than either
PLANTED = Surface(_GAINS, {8: math.log(1.50)}, _PAIR, {4: -math.log(1.05)})
GOODPUT_ALONE = Surface(_GAINS, {}, _PAIR)

# A knob that gains 10 % and breaks 40 % of trials, one that always does, two of which either gives 12 %, 15 % that take
# two settings, a buffer of four sizes with a knee at the second, and a knob that takes a relink.
SOMETIMES, ALWAYS, EITHER, BUNDLE, BUFFER, COSTLY = 0, 1, (2, 3), (4, 5), 6, 7
KNEE = BUFFER + 100
HOSTILE = Surface(
    {
        SOMETIMES: math.log(1.10), EITHER[0]: math.log(1.12), EITHER[1]: math.log(1.12), COSTLY: math.log(1.08),
        BUFFER: math.log(1.03), **{BUFFER + 100 * step: math.log(1.10) for step in (1, 2, 3)},
    },
    {},
    {EITHER: -math.log(1.12), BUNDLE: math.log(1.15)},
    breaks={SOMETIMES: 0.4, ALWAYS: 1.0},
)  # fmt: skip
HOSTILE_FACTORS = (
    *(Factor(f"knob-{k}", f"net.knob{k}", ("1",)) for k in (SOMETIMES, ALWAYS, *EITHER, BUNDLE[1], 8, 9, 10, 11)),
    Factor("bundle", f"net.knob{BUNDLE[0]}", ("1",), beside=(SettingSpec(f"net.knob{BUNDLE[1]}", "1", None),)),
    Factor("buffer", f"net.knob{BUFFER}", ("1", "2", "3", "4"), numeric=True),
    Factor("costly", f"net.knob{COSTLY}", ("1",), cost="relink"),
)
FACTORS = tuple(Factor(f"knob-{k}", f"net.knob{k}", ("1",)) for k in range(KNOBS))


def config_of(on: frozenset[int]) -> Config:
    """These knobs as settings."""
    return tuple(SettingSpec(f"net.knob{knob}", "1", None) for knob in sorted(on))


def held(settings: Config) -> frozenset[int]:
    """The knobs that a configuration sets; at a second value they count 100 more, and so on."""
    return frozenset(int(each.setting.removeprefix("net.knob")) + 100 * (int(each.value) - 1) for each in settings)
