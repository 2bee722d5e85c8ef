"""irtt's output, real and broken; percentiles with losses; the histogram's bins."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.labs.lab import Endpoint
from bench.probes import irtt
from bench.probes.latency import Latency
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from bench.probes.trips import P99_SAMPLES, Train, histogram_bin, percentile, unindented
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import answered, outcomes

PROBE = Latency("latency", 0.5, 0.001, 60)
PAIR = Pair(Endpoint(FakeHost("a"), "eth0", "198.18.0.1"), Endpoint(FakeHost("b"), "eth0", "198.18.0.2"), 20123, 30456)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("delay", "rtt", "lost")), inner),
    max_leaves=6,
)


def _trips(*rtts_ns: Any) -> str:  # Any: odd values on purpose
    return json.dumps({"round_trips": [{"delay": {} if rtt is None else {"rtt": rtt}} for rtt in rtts_ns]})


def _measured(text: str) -> Measured:
    return PROBE.measured(answered(text), PAIR)


def _values(measured: Measured) -> dict[str, float]:
    return {sample.metric: sample.value for sample in measured.samples}


def test_a_real_train_gives_mean_median_and_loss() -> None:
    """The same numbers as irtt's own summary of the recorded train; too few packets for a p99."""
    (client,) = outcomes("irtt", "paced")
    own = json.loads(client.stdout)["stats"]["rtt"]
    measured = PROBE.measured(client, PAIR)

    assert _values(measured) == {
        "rtt_mean": pytest.approx(own["mean"] / 1e9, rel=1e-5),
        "loss": 0.0,
        "rtt_p50": own["median"] / 1e9,
    }
    assert sum(measured.histograms[0].counts.values()) == own["n"]
    assert (measured.delivered_bytes, measured.flags) == (0, ())


def test_lost_packets_count_as_later_than_any() -> None:
    """Losses raise a percentile; one that falls among them is no number but a flag."""
    few = _measured(_trips(*range(1000, 1500), *[None] * 4))
    many = _measured(_trips(*[1000] * 300, *[None] * 400))

    assert _values(few)["rtt_p99"] == pytest.approx((1000 + math.ceil(0.99 * 504) - 1) / 1e9)
    assert _values(few)["loss"] == pytest.approx(4 / 504)
    assert set(_values(many)) == {"rtt_mean", "loss"}
    assert many.flags == ("rtt_p50 is beyond the lost packets", "rtt_p99 is beyond the lost packets")


@pytest.mark.parametrize(("count", "present"), [(P99_SAMPLES - 1, False), (P99_SAMPLES, True)])
def test_p99_needs_enough_packets(count: int, present: bool) -> None:
    """367 samples hold no upper end of its interval, 368 do."""
    assert ("rtt_p99" in _values(_measured(_trips(*[5000] * count)))) == present


@pytest.mark.parametrize(("duration_s", "expected"), [(0.5, False), (0.6, True)])
def test_p99_is_compared_only_where_a_trial_can_hold_enough(duration_s: float, expected: bool) -> None:
    """Irtt's timer misses a third of the packets, so the plan's own count is not enough."""
    assert ("latency.rtt_p99" in Latency("latency", duration_s, 0.001, 60).metrics) == expected


@pytest.mark.parametrize(
    ("ordered", "lost", "share", "expected"),
    [([1.0], 0, 0.5, 1.0), ([1.0, 2.0], 0, 0.5, 1.0), ([1.0, 2.0, 3.0], 0, 0.5, 2.0), ([1.0, 2.0], 1, 0.5, 2.0),
     ([1.0], 2, 0.5, None), ([1.0, 2.0, 3.0], 0, 0.99, 3.0), ([], 3, 0.5, None), ([1.0, 2.0], 0, 0.0, 1.0)],
)  # fmt: skip
def test_the_percentile_is_a_packet_that_was_sent(
    ordered: list[float], lost: int, share: float, expected: float | None
) -> None:
    """Nearest rank over all packets, no interpolation."""
    assert percentile(ordered, lost, share) == expected


BROKEN = {"nothing": "", "garbage": "Error: no", "cut": outcomes("irtt", "paced")[0].stdout[:3000], "a list": "[1]",
          "no trips": "{}", "trips are text": '{"round_trips": "x"}', "deep": "[" * 100_000}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_output_is_the_tools_fault(text: str) -> None:
    """Truncated, empty or alien output makes the trial missing."""
    with pytest.raises(ToolBroke):
        _measured(text)


def test_a_refusal_counts_against_the_arm_and_says_why() -> None:
    """Irtt that exits with an error and no document found no path."""
    refused = answered("", returncode=1, stderr="Error: no reply from server")
    with pytest.raises(ProbeFailed, match="no reply from server") as raised:
        PROBE.measured(refused, PAIR)

    assert not isinstance(raised.value, ToolBroke)
    assert raised.value.raw == {"client-errors": "Error: no reply from server"}


@pytest.mark.parametrize("trips", [(), (None, None), (-5, 0), ("12", True), (math.nan, math.inf), (10**400,)], ids=str)
def test_when_nothing_came_back_there_is_no_number(trips: tuple[Any, ...]) -> None:
    """Odd round-trip times are no round trips."""
    with pytest.raises(ProbeFailed, match=f"none of {len(trips)} packets came back"):
        _measured(_trips(*trips))


@settings(max_examples=80, deadline=None)
@given(trips=JSON)
def test_whatever_json_says_gives_a_number_or_a_probe_failure(trips: Any) -> None:
    """No other exception, and no negative, infinite or undefined number."""
    try:
        measured = _measured(json.dumps({"round_trips": trips}))
    except ProbeFailed:
        return

    assert all(math.isfinite(sample.value) and sample.value >= 0 for sample in measured.samples)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=50), code=st.integers(-15, 255))
def test_whatever_text_comes_is_a_probe_failure(text: str, code: int) -> None:
    """Arbitrary text of a tool never raises anything else."""
    with pytest.raises(ProbeFailed):
        irtt.parse(answered(text, returncode=code), {}, Train(0.5, 0.001, 60))


@settings(max_examples=80, deadline=None)
@given(seconds=st.floats(1e-9, 100.0))
def test_a_bin_tells_the_time_within_one_percent(seconds: float) -> None:
    """Bin k begins at 1e-9 × 1.01^k: its lower edge is the time less one percent at most."""
    edge = 1e-9 * 1.01 ** histogram_bin(seconds)

    assert edge * (1 - 1e-9) <= seconds <= edge * 1.01 * (1 + 1e-9)


def test_the_client_is_asked_in_go_durations() -> None:
    """Irtt takes microseconds with their unit, and its own port."""
    argv = irtt.client(PAIR, Train(0.5, 0.0002, 172)).argv

    assert argv[:6] == ("irtt", "client", "-Q", "-o", "-", "-i")
    assert argv[6] == "200us"
    assert argv[9:13] == ("-d", "500000us", "-l", "172")
    assert argv[13:] == ("--local=198.18.0.1:30456", "198.18.0.2:20123")


def test_the_server_answers_packets_however_close() -> None:
    """With a least interval it dropped 62 of 805 packets that an emulated CPU had sent in bunches."""
    assert irtt.server(PAIR, Train(0.5, 0.0002, 172)).argv[:4] == ("irtt", "server", "-i", "0s")


# -- sockperf --------------------------------------------------------------------------------------------------------

LONG = Latency("latency", 5.0, 0.02, 60, tool="sockperf")


def _sockperf(name: str) -> Measured:
    (client,) = outcomes("sockperf", name)
    return LONG.measured(client, PAIR)


def test_sockperf_gives_whole_round_trips() -> None:
    """Its own median, which it prints as a round trip only when asked to; half of it is a common error."""
    (client,) = outcomes("sockperf", "whole")
    (own,) = (line for line in client.stdout.splitlines() if "percentile 50.000" in line)
    measured = LONG.measured(client, PAIR)

    assert "--full-rtt" in client.command.argv
    assert _values(measured)["rtt_p50"] == pytest.approx(float(own.split()[-1]) / 1e6, rel=0.01)
    assert _values(measured)["loss"] == 0.0
    assert "SentMessages=277; ReceivedMessages=277" in client.stdout
    assert sum(measured.histograms[0].counts.values()) == 277
    assert [sample.interval_s for sample in measured.samples] == [pytest.approx(5.54, abs=0.05)] * 3


def test_sockperf_counts_what_never_came_back() -> None:
    """The kernel dropped every tenth packet or so; the log holds those that came."""
    measured = _sockperf("every-tenth-lost")

    assert _values(measured)["loss"] == pytest.approx(28 / 277)
    assert sum(measured.histograms[0].counts.values()) == 277 - 28


def test_sockperf_that_nobody_answers_counts_against_the_arm() -> None:
    """It exits with 0 then, and says so in a sentence."""
    with pytest.raises(ProbeFailed, match="none of its packets came back") as raised:
        _sockperf("nobody")

    assert not isinstance(raised.value, ToolBroke)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 20_000), end=st.integers(0, 20_000), code=st.sampled_from((0, 1, -9)))
def test_sockperf_cut_short_is_a_number_or_a_probe_failure(cut: int, end: int, code: int) -> None:
    """A log that does not hold what the statistics count makes no number."""
    (client,) = outcomes("sockperf", "whole")
    try:
        measured = LONG.measured(answered(client.stdout[:cut], stderr=client.stderr[:end], returncode=code), PAIR)
    except ProbeFailed:
        return

    assert sum(measured.histograms[0].counts.values()) == 277


def test_sockperf_is_asked_for_whole_seconds_that_hold_the_window() -> None:
    """It cuts off 0.45 s itself."""
    (_, client) = LONG.commands(PAIR)[1]

    assert client.argv[client.argv.index("-t") + 1] == "6"
    assert client.argv[client.argv.index("--mps") + 1] == "50"
    assert LONG.traffic_s == 6.0
    assert LONG.tool_s == pytest.approx(2.2)


@given(JSON)
def test_what_is_kept_has_no_indentation_and_the_same_meaning(document: Any) -> None:  # Any: JSON
    """Two thirds of irtt's output indent its lines."""
    printed = json.dumps(document, indent=4)

    assert json.dumps(json.loads(unindented(printed)), indent=4) == printed  # NaN is no other NaN
    assert not any(line.startswith(" ") for line in unindented(printed).split("\n"))
