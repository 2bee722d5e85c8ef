"""Slopes: the cost of one more, by a line per block."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.records import CURRENT_ARMS, Run, Sample, Trial
from results.slopes import slopes
from tests.unit.results.example import example_run
from tests.unit.results.made import RTT, design, trial

LEVELS = {"r100": 100.0, "r1000": 1000.0, "r5000": 5000.0}


def _run(settings: Mapping[str, str], was: str = "0") -> Run:
    rows = {
        name: ({"setting": "firewall_rules", "value": value, "target": "node", "was": was},)
        for name, value in settings.items()
    }
    plan = design(tuple(settings), primary=RTT)
    return replace(example_run(), design=plan, settings=rows)


def _trials(per_rule_s: float, noise_s: float = 1e-7, blocks: int = 8, unit: str = "s") -> list[Trial]:
    dealt = random.Random(5)
    found = []
    for block in range(blocks):
        for arm in (*CURRENT_ARMS, *LEVELS):
            value = 60e-6 + per_rule_s * LEVELS.get(arm, 0.0) + dealt.gauss(0, noise_s)
            sample = Sample("latency", "rtt_p50", value, unit, "a", "a>b", 1.0)
            found.append(replace(trial(arm, block, {}), samples=(sample,)))
    return found


RUN = _run({name: f"{level:.0f}" for name, level in LEVELS.items()})


@given(st.floats(1e-9, 1e-7))
def test_the_slope_of_a_planted_cost_is_found_within_its_interval(per_rule_s: float) -> None:
    """Up to the sixfold half-width, which the noise of 8 blocks does not leave."""
    (found,) = slopes(RUN, _trials(per_rule_s))

    assert found.levels == (0.0, 100.0, 1000.0, 5000.0)
    assert abs(found.per_unit - per_rule_s) <= 6 * (found.high - found.low) / 2
    assert found.blocks == 8


def test_a_clear_cost_is_a_straight_line() -> None:
    """15 ns a rule over 0.1 µs of noise."""
    (found,) = slopes(RUN, _trials(15e-9))

    assert found.low < 15e-9 < found.high
    assert found.line_r2 > 0.99
    assert math.isclose(found.per_unit, 15e-9, rel_tol=0.05)


@pytest.mark.parametrize(
    "run",
    [
        _run({"r100": "100"}),  # two levels are a comparison
        _run({"r100": "pfifo", "r1000": "bfifo"}),  # words
        _run({"r100": "100", "r1000": "1000"}, was="1 | 2"),  # current has no one number
        _run({"r100": "nan", "r1000": "inf"}),
        replace(RUN, settings={name: (*rows, rows[0]) for name, rows in RUN.settings.items()}),  # two settings each
    ],
)
def test_what_is_no_ladder_of_numbers_has_no_slope(run: Run) -> None:
    """Nothing is made up from fewer than three numbers of one setting."""
    assert slopes(run, _trials(15e-9)) == ()


def test_only_times_have_a_slope() -> None:
    """A rate is the reciprocal of a cost per packet: no line."""
    assert slopes(RUN, _trials(15e-9, unit="bit/s")) == ()


def test_a_block_without_one_level_is_left_out() -> None:
    """A line through other levels would be another line."""
    trials = [t for t in _trials(15e-9) if not (t.block == 3 and t.arm == "r1000")]

    assert slopes(RUN, trials)[0].blocks == 7
