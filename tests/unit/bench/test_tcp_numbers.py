"""Numbers of several processes and of both ways: laid on one clock, cut where all ran, summed."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.probes.iperf3_json import Row, parts
from bench.probes.probe import ProbeFailed, ToolBroke
from bench.probes.tcp_numbers import Asked, Numbers, Ran, numbers
from tests.unit.bench.recorded import answered, outcomes

ENDS = ("a", "b")
ONE = Asked("tcp", 0.8, 0.2, 1.0, 1, "forward")
BOTH = Asked("tcp", 0.8, 0.2, 1.0, 1, "both")


def _document(rates: list[float], *, busy: float = 50.0, version: str = "iperf 3.12") -> dict[str, Any]:  # Any: JSON
    """A test whose tenths of a second moved these bytes per second."""
    sums = [{"start": k / 10, "end": (k + 1) / 10, "bytes": rate / 10} for k, rate in enumerate(rates)]
    return {
        "start": {"version": version},
        "intervals": [{"streams": [], "sum": row} for row in sums],
        "end": {"sum_sent": {"retransmits": 3}, "sum_received": {"bytes": int(sum(rates) / 10)},
                "cpu_utilization_percent": {"host_total": busy}},
    }  # fmt: skip


def _ran(rates: list[float], started_s: float, overhead_s: float = 0.0, **options: Any) -> Ran:  # Any: as _document's
    text = json.dumps(_document(rates, **options))
    return Ran(answered(text), answered(text), started_s, started_s + len(rates) / 10 + overhead_s)


def _value(found: Numbers, metric: str) -> float:
    return next(sample.value for sample in found.samples if sample.metric == metric)


def test_processes_that_ran_together_are_summed() -> None:
    """Rates add, bytes add, retransmits add; the busiest process stands for the generator."""
    found = numbers([_ran([1e6] * 10, 5.0, busy=40.0), _ran([3e6] * 10, 5.0, busy=60.0)], ONE, ENDS)

    assert _value(found, "goodput") == pytest.approx(8 * 4e6)
    assert _value(found, "sent") == pytest.approx(8 * 4e6)
    assert _value(found, "retransmits") == 6
    assert _value(found, "generator_busy") == 60.0
    assert (found.delivered_bytes, found.returned_bytes, found.flags) == (4_000_000, 0, ())


def test_the_window_lies_where_all_of_them_ran() -> None:
    """Alone before the second began, the first is fast; that counts nowhere."""
    first = _ran([9e6] * 4 + [1e6] * 6, 100.0)
    second = _ran([1e6] * 10, 100.2)
    found = numbers([first, second], ONE, ENDS)

    assert _value(found, "goodput") == pytest.approx(8 * 2e6)
    assert [each.interval_s for each in found.samples if each.metric == "goodput"] == [pytest.approx(0.6)]


def test_an_interval_that_the_window_cuts_counts_by_its_share() -> None:
    """A window that begins 0.05 s into an interval takes half of its bytes."""
    second = _ran([2e6] * 10, 100.05)
    found = numbers([_ran([2e6] * 2 + [6e6] + [2e6] * 7, 100.0), second], ONE, ENDS)
    expected = (0.05 * 6e6 + 0.70 * 2e6) / 0.75 + 2e6

    assert _value(found, "goodput") == pytest.approx(8 * expected)


def test_the_error_of_the_starts_is_half_of_what_is_open() -> None:
    """Between its client's start, and its client's end less its test: the widest of all processes."""
    found = numbers([_ran([1e6] * 10, 5.0, 0.02), _ran([1e6] * 10, 5.0, 0.06)], ONE, ENDS)
    late = numbers([_ran([1e6] * 10, 5.0, 0.3), _ran([1e6] * 10, 5.0, 0.3)], ONE, ENDS)

    assert _value(found, "alignment") == pytest.approx(0.03)
    assert found.flags == ()
    assert late.flags == ("the starts of the processes are known to ±0.15 s only",)


def test_processes_that_hardly_met_give_no_number() -> None:
    """The harness started them too far apart: nothing that an arm could have done."""
    with pytest.raises(ToolBroke, match=r"ran together for only 0\.20 s of the 0\.8 s window") as raised:
        numbers([_ran([1e6] * 10, 5.0), _ran([1e6] * 10, 5.6)], ONE, ENDS)

    assert raised.value.hint == "a longer duration_s, or fewer processes"


def test_a_stall_of_one_process_is_flagged_with_its_number() -> None:
    """The others hide it in the sum."""
    found = numbers([_ran([1e6] * 10, 5.0), _ran([1e6] * 5 + [0] + [1e6] * 4, 5.0)], ONE, ENDS)

    assert found.flags == ("zero interval at 0.5 s in process 2",)


def test_an_error_of_any_client_is_the_cause_that_is_named() -> None:
    """Also where the first server has nothing to say."""
    good, bad = _ran([1e6] * 10, 5.0), Ran(answered('{"error": "Connection refused"}'), answered(""), 5.0, 5.1)
    with pytest.raises(ProbeFailed, match="Connection refused") as raised:
        numbers([Ran(good.client, answered(""), 5.0, 6.0), bad], ONE, ENDS)

    assert set(raised.value.raw) == {"client-1", "client-2"}


@pytest.mark.parametrize(
    ("busy", "version", "asked", "bound"),
    [([94.0, 60.0], "iperf 3.12", ONE, False), ([60.0, 95.0], "iperf 3.12", ONE, True),
     ([95.0, 60.0], "iperf 3.16", ONE, True), ([94.0, 94.0], "iperf 3.16", ONE, False)],
)  # fmt: skip
def test_the_generator_is_bound_where_one_process_is(
    busy: list[float], version: str, asked: Asked, bound: bool
) -> None:
    """Per process, never of their sum: four at 30 % are not one at 120 %."""
    ran = [_ran([1e6] * 10, 5.0, busy=each, version=version) for each in busy]

    assert ("generator-bound" in numbers(ran, asked, ENDS).flags) == bound


def _in_window(text: str, key: str) -> float:
    """Bits per second from 0.2 to 1.0 s."""
    rows = [row[key] for row in json.loads(text)["intervals"] if row[key]["start"] >= 0.18 and row[key]["end"] <= 1.02]
    return float(8 * sum(row["bytes"] for row in rows) / sum(row["end"] - row["start"] for row in rows))


def test_a_real_test_both_ways_gives_each_receivers_bytes() -> None:
    """Recorded from 3.12: the server's sum is the way there, the client's sum_bidir_reverse the way back."""
    client, server = outcomes("iperf3", "both-ways")
    found = numbers([Ran(client, server)], BOTH, ENDS)
    there = json.loads(server.stdout)["end"]["sum_received"]["bytes"]
    back = json.loads(client.stdout)["end"]["sum_received_bidir_reverse"]["bytes"]
    resent = (
        json.loads(client.stdout)["end"]["sum_sent"]["retransmits"]
        + json.loads(server.stdout)["end"]["sum_sent_bidir_reverse"]["retransmits"]
    )

    assert (found.delivered_bytes, found.returned_bytes) == (there, back)
    assert {(each.metric, each.direction) for each in found.samples} == {
        ("goodput", "a<>b"), ("goodput_forward", "a>b"), ("goodput_reverse", "b>a"), ("sent", "a<>b"),
        ("generator_busy", "a<>b"), ("retransmits", "a<>b"),
    }  # fmt: skip
    assert _value(found, "goodput") == pytest.approx(
        _value(found, "goodput_forward") + _value(found, "goodput_reverse")
    )
    assert _value(found, "goodput_forward") == pytest.approx(_in_window(server.stdout, "sum"))
    assert _value(found, "goodput_reverse") == pytest.approx(_in_window(client.stdout, "sum_bidir_reverse"))
    assert _value(found, "retransmits") == resent


def test_a_way_that_gave_nothing_fails_the_trial_though_the_other_is_fast() -> None:
    """Or the sum would hide it."""
    client, server = outcomes("iperf3", "both-ways")
    document = json.loads(client.stdout)
    for row in document["intervals"]:
        row["sum_bidir_reverse"]["bytes"] = 0
    with pytest.raises(ProbeFailed, match=r"nothing arrived b>a in the window"):
        numbers([Ran(answered(json.dumps(document)), server)], BOTH, ENDS)


def test_both_ways_have_twice_the_threads_from_316_on() -> None:
    """Each way of each stream has one."""
    client, server = (json.loads(each.stdout) for each in outcomes("iperf3", "both-ways"))
    for document in (client, server):
        document["start"]["version"] = "iperf 3.16"
        document["end"]["cpu_utilization_percent"]["host_total"] = 180.0
    ran = [Ran(answered(json.dumps(client)), answered(json.dumps(server)))]

    assert "generator-bound" not in numbers(ran, BOTH, ENDS).flags


SPANS = st.tuples(st.floats(0, 5), st.floats(0.01, 3)).map(lambda each: (each[0], each[0] + each[1]))


@settings(max_examples=80, deadline=None)
@given(rates=st.lists(st.floats(0, 1e10), min_size=1, max_size=30), window=SPANS)
def test_parts_never_hold_more_than_the_whole(rates: list[float], window: tuple[float, float]) -> None:
    """They lie in the window, keep each interval's rate, and two windows side by side hold what one over both does."""
    found = [Row(k / 10, (k + 1) / 10, rate / 10) for k, rate in enumerate(rates)]
    first, last = window
    middle = (first + last) / 2
    whole = math.fsum(row.size_bytes for row in parts(found, first, last))
    halves = math.fsum(row.size_bytes for half in ((first, middle), (middle, last)) for row in parts(found, *half))

    assert all(first <= row.start_s < row.end_s <= last for row in parts(found, first, last))
    assert whole <= math.fsum(row.size_bytes for row in found) * (1 + 1e-9)
    assert halves == pytest.approx(whole, rel=1e-6, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.floats(1e3, 1e10), min_size=1, max_size=6),
    starts=st.lists(st.floats(0, 0.2), min_size=6, max_size=6),
    overhead_s=st.floats(0, 0.05),
)
def test_steady_processes_sum_to_their_rates_whenever_they_start(
    rates: list[float], starts: list[float], overhead_s: float
) -> None:
    """Where rates do not change, no error of alignment can change the sum."""
    ran = [_ran([rate] * 10, 10 + start, overhead_s) for rate, start in zip(rates, starts, strict=False)]

    assert _value(numbers(ran, ONE, ENDS), "goodput") == pytest.approx(8 * sum(rates), rel=1e-6)
