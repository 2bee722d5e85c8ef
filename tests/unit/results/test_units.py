"""How numbers are written for people."""

import pytest

from results.units import DASH, digits, interval, percent, quantity, scale, typeset


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected"),
    [
        ("tcp.goodput", "bit/s", 9.412e9, "9.41 Gbit/s"),
        ("tcp.goodput", "bit/s", 941.2e6, "941 Mbit/s"),
        ("tcp.goodput", "bit/s", 0.0, "0 Gbit/s"),
        ("tcp.goodput", "bit/s", 0.5, "0.500 bit/s"),
        ("latency.rtt_p50", "s", 63.14e-6, "63.1 µs"),
        ("latency.rtt_p99", "s", 1.5e-3, "1.50 ms"),
        ("tcp.drops", "1", 0.0002, "0.0200 %"),
        ("tcp.retransmits", "1", 17.0, "17"),
        ("tcp.cpu_per_10gbit", "cores", 1.844, "1.84 cores"),
        ("tcp.generator_busy", "%", 96.44, "96.4 %"),
        ("tcp.goodput", "bit/s", None, DASH),
    ],
)
def test_a_quantity_has_three_digits_and_the_unit_that_reads_best(
    name: str, unit: str, value: float | None, expected: str
) -> None:
    """Gbit/s and µs, never 9.41e9; a share in percent; a dash for nothing."""
    assert expected == quantity(name, unit, value).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4.16, "+4.2 %"),
        (-0.31, "−0.3 %"),
        (0.04, "0.0 %"),
        (-0.04, "0.0 %"),
        (140.2, "+140 %"),
        (-99.97, "−100 %"),
        (5e21, "+>9999 %"),
        (float("nan"), DASH),
        (None, DASH),
    ],
)
def test_a_percentage_has_a_sign_and_one_decimal(value: float | None, expected: str) -> None:
    """What rounds to zero has no sign, and what is beyond all measure does not fill the line."""
    assert expected == percent(value).replace("\u00a0", " ")


def test_an_interval_names_its_unit_once() -> None:
    """Both ends signed; a dash as soon as one is missing."""
    assert interval(-1.25, 7.31).replace("\u00a0", " ") == "[−1.2, +7.3] %"
    assert interval(None, 7.3) == DASH


def test_a_scale_is_chosen_by_the_largest_value() -> None:
    """One unit for a whole column, so that its numbers can be compared."""
    chosen = scale("tcp.goodput", "bit/s", [2e6, 23e9])

    assert (chosen.factor, chosen.label) == (1e9, "Gbit/s")
    assert quantity("tcp.goodput", "bit/s", 2e6, to=chosen).replace("\u00a0", " ") == "0.00200 Gbit/s"


def test_negative_numbers_have_a_real_minus_sign() -> None:
    """Also in sentences that were written for a terminal, where dates and options keep their hyphens."""
    assert digits(-0.5) == "−0.500"
    assert typeset("-1.5 % on 2026-01-31 by --x-1") == "−1.5 % on 2026-01-31 by --x-1"
