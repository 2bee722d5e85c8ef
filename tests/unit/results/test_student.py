"""Student's t of our own, against scipy's over the range that verdicts use, and against its own inverse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr, stdtrit

from results.student import t_probability, t_quantile_of

freedoms = st.one_of(st.integers(1, 2000).map(float), st.floats(0.5, 2000.0))  # Welch's are not whole
levels = st.floats(1e-12, 1.0 - 1e-9).filter(lambda p: abs(p - 0.5) > 1e-6)


@given(freedoms, st.floats(-1000.0, 1000.0))
def test_the_probability_is_scipys(df: float, t: float) -> None:
    """Also far in the tail, where only the relative error says something."""
    theirs = float(stdtr(df, t))

    assert t_probability(df, t) == pytest.approx(theirs, rel=1e-9, abs=1e-280)


@given(freedoms, levels)
def test_the_quantile_is_scipys(df: float, level: float) -> None:
    """From one in 10^12 to all but one in 10^9."""
    assert t_quantile_of(df, level) == pytest.approx(float(stdtrit(df, level)), rel=1e-7, abs=1e-9)


@given(freedoms, st.floats(1e-12, 0.499))
def test_the_quantile_undoes_the_probability(df: float, level: float) -> None:
    """Both ways round, in the lower tail."""
    assert t_probability(df, t_quantile_of(df, level)) == pytest.approx(level, rel=1e-8)


def test_printed_tables() -> None:
    """Student's table as every textbook has it."""
    rows = {(1, 0.975): 12.706, (7, 0.975): 2.365, (7, 0.95): 1.895, (19, 0.995): 2.861, (120, 0.975): 1.980}

    assert rows == {(df, level): round(t_quantile_of(df, level), 3) for df, level in rows}
    assert t_quantile_of(7, 0.5) == 0.0


@pytest.mark.parametrize("t", [math.inf, 1e200, -1e200, -math.inf])
def test_beyond_all_reason_it_is_certain(t: float) -> None:
    """A t whose square no float holds has no tail."""
    assert t_probability(3, t) == (1.0 if t > 0 else 0.0)


def test_what_is_no_distribution_is_refused() -> None:
    """No degrees of freedom, no number, no chance."""
    for df, t in ((0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (3.0, math.nan)):
        with pytest.raises(ValueError, match="no t distribution"):
            t_probability(df, t)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="no probability"):
            t_quantile_of(3, level)
