"""wrk's results, recorded and broken; the commands of both programs."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.labs.lab import Endpoint
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from bench.probes.requests import SERVER_PORTS, Requests
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import answered, outcomes

RR = Requests("rr", "rr", 1, 2, 1)
CRR = Requests("crr", "crr", 1, 4, 2)
PAIR = Pair(Endpoint(FakeHost("a"), "eth0", "198.18.0.1"), Endpoint(FakeHost("b"), "eth0", "198.18.0.2"), 20123, 30456)
GOOD = {"requests": 1000, "micros": 2_000_000, "connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0,
        "latency": [[50, 600], [100, 395], [5000, 5]]}  # fmt: skip
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400)


def _told(**changed: Any) -> str:  # Any: odd values on purpose
    return "Running 1s test\n" + json.dumps({**GOOD, **changed}, separators=(",", ":")) + "\n"


def _values(measured: Measured) -> dict[str, float]:
    return {sample.metric: sample.value for sample in measured.samples}


def test_a_recorded_run_over_kept_connections_gives_rate_and_percentiles() -> None:
    """The same rate as wrk's own table, which rounds."""
    (client,) = outcomes("wrk", "rr")
    (own,) = (line for line in client.stdout.splitlines() if line.startswith("Requests/sec:"))
    measured = RR.measured(client, PAIR)
    found = _values(measured)

    assert found["requests"] == pytest.approx(float(own.split()[1]), rel=1e-3)
    assert set(found) == {"requests", "errors", "request_p50", "request_p99"}
    assert 0 < found["request_p50"] <= found["request_p99"] < 0.1
    assert (found["errors"], measured.flags, measured.histograms[0].metric) == (0.0, (), "request")


def test_a_recorded_run_of_new_connections_gives_their_rate_alone() -> None:
    """The time of a request does not hold its connection's opening, so it is not told."""
    (client,) = outcomes("wrk", "crr")
    measured = CRR.measured(client, PAIR)

    assert set(_values(measured)) == {"connections", "errors"}
    assert _values(measured)["connections"] > 1000
    assert measured.histograms == ()


def test_percentiles_are_of_all_counted_times() -> None:
    """Nearest rank over the bins."""
    found = _values(RR.measured(answered(_told()), PAIR))

    assert found == {"requests": 500.0, "errors": 0.0, "request_p50": 50e-6, "request_p99": 100e-6}


def test_few_times_have_no_p99() -> None:
    """368 are needed, as for every p99."""
    found = _values(RR.measured(answered(_told(requests=10, latency=[[50, 10]])), PAIR))

    assert set(found) == {"requests", "errors", "request_p50"}


def test_errors_are_flagged_by_kind_and_wrong_answers_are_no_requests() -> None:
    """Ports that ran out (connect), resets (read), and answers of another status."""
    measured = RR.measured(answered(_told(connect=3, status=100)), PAIR)

    assert measured.flags == ("rr: 3 connect errors", "rr: 100 status errors")
    assert _values(measured)["requests"] == 450.0
    assert _values(measured)["errors"] == 103.0


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"requests": 0, "connect": 9, "latency": []}, "9 connect"), ({"status": 1000}, "1000 status"),
     ({"requests": 0, "latency": []}, "none was sent")],
)  # fmt: skip
def test_when_no_request_was_answered_the_path_gave_no_number(changed: dict[str, Any], words: str) -> None:
    """With what failed."""
    with pytest.raises(ProbeFailed, match=f"no request was answered: {words}") as raised:
        RR.measured(answered(_told(**changed)), PAIR)

    assert not isinstance(raised.value, ToolBroke)


def test_a_refused_connection_counts_against_the_arm() -> None:
    """As recorded from wrk, which then prints no result."""
    (client,) = outcomes("wrk", "refused")
    with pytest.raises(ProbeFailed, match="Connection refused") as raised:
        CRR.measured(client, PAIR)

    assert not isinstance(raised.value, ToolBroke)


BROKEN = {"nothing": "", "cut": _told()[:60], "no result": "Running 1s test\n", "text": _told(requests="many"),
          "negative": _told(requests=-1), "no time": _told(micros=0), "no list": _told(latency=5),
          "odd bins": _told(latency=[[1, 2, 3]])}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_output_is_the_tools_fault(text: str) -> None:
    """The trial is missing."""
    with pytest.raises(ToolBroke):
        RR.measured(answered(text), PAIR)


@settings(max_examples=80, deadline=None)
@given(key=st.sampled_from(sorted(GOOD)), value=JSON | st.lists(st.lists(JSON, max_size=3), max_size=3))
def test_whatever_json_says_gives_numbers_or_a_probe_failure(key: str, value: Any) -> None:
    """No other exception, and no negative, infinite or undefined number."""
    try:
        measured = RR.measured(answered(_told(**{key: value})), PAIR)
    except ProbeFailed:
        return

    assert all(math.isfinite(sample.value) and sample.value >= 0 for sample in measured.samples)


def test_new_connections_go_round_over_many_ports_of_the_server() -> None:
    """One port of a server has 28,232 client ports, each of which waits a minute after use."""
    server, client = CRR.server_command(PAIR), CRR.client_command(PAIR)

    assert f"bind 198.18.0.2:20123-{20123 + SERVER_PORTS - 1}\n" in server.stdin
    assert f"n % {SERVER_PORTS}]" in client.stdin
    assert "Connection: close" in client.argv
    assert "bind 198.18.0.2:20123-20123\n" in RR.server_command(PAIR).stdin
    assert "wrk.thread.addr" not in RR.client_command(PAIR).stdin


@pytest.mark.parametrize(("address", "expected"), [("198.18.0.9", "http://198.18.0.9:20123/"),
                                                   ("2001:2::9", "http://[2001:2::9]:20123/")])  # fmt: skip
def test_the_client_meets_the_server_where_the_pair_says(address: str, expected: str) -> None:
    """Behind NAT that is another address; IPv6 stands in brackets."""
    assert RR.client_command(replace(PAIR, server_address=address)).argv[-1] == expected
