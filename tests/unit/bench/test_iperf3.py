"""iperf3's output, real and broken: a number or a named failure, never a wrong number."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.hosts.command import Command, Outcome
from bench.labs.lab import Endpoint
from bench.probes.iperf3 import Tcp, parse
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from tests.unit.bench.fakes import FakeHost, FakeRunning
from tests.unit.bench.recorded import answered, outcomes

FORWARD = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0)
REVERSE = replace(FORWARD, direction="reverse", streams=2)
A, B = FakeHost("a"), FakeHost("b")
PAIR = Pair(Endpoint(A, "eth0", "198.18.0.1"), Endpoint(B, "eth0", "198.18.0.2"), 20123, 30456)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400) | st.just(1e308),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("start", "end", "bytes", "sum", "error", "version", "retransmits")), inner)
    ),
    max_leaves=8,
)


def _document(rows: list[tuple[float, float, float]], *, end: dict[str, Any] | None = None) -> str:
    return json.dumps({
        "start": {"version": "iperf 3.12"},
        "intervals": [{"streams": [], "sum": {"start": s, "end": e, "bytes": n}} for s, e, n in rows],
        "end": {"sum_sent": {"retransmits": 3}, "sum_received": {"bytes": sum(n for _, _, n in rows)},
                "cpu_utilization_percent": {"host_total": 50.0}} if end is None else end,
    })  # fmt: skip


def _tenths(first: float = 0.0, *, count: int = 10, size: float = 1e6) -> list[tuple[float, float, float]]:
    return [(round(first + k / 10, 6), round(first + (k + 1) / 10, 6), size) for k in range(count)]


def _measured(client: str, server: str, probe: Tcp = FORWARD) -> Measured:
    return probe.measured(answered(client), answered(server), PAIR)


def _values(measured: Measured) -> dict[str, float]:
    return {sample.metric: sample.value for sample in measured.samples}


def test_a_real_forward_test_gives_the_receivers_rate() -> None:
    """The recorded bytes from 0.2 to 1.0 s over those seconds; the server's numbers, not the client's."""
    client, server = outcomes("iperf3", "forward")
    rows = [row["sum"] for row in json.loads(server.stdout)["intervals"] if row["sum"]["start"] >= 0.18]
    rows = [row for row in rows if row["end"] <= 1.02]
    rate = sum(row["bytes"] for row in rows) * 8 / sum(row["end"] - row["start"] for row in rows)
    measured = FORWARD.measured(client, server, PAIR)

    assert _values(measured)["goodput"] == pytest.approx(rate)
    assert {"goodput", "sent", "generator_busy", "retransmits"} == set(_values(measured))
    assert {"a>b"} == {sample.direction for sample in measured.samples}
    assert (measured.receiver, measured.delivered_bytes) == ("b", 2079850496)
    assert measured.flags == ()
    assert set(measured.raw) == {"client", "server"}


def test_a_real_reverse_test_with_two_streams_gives_the_clients_rate() -> None:
    """In reverse the client receives; retransmits are the server's; both streams are summed."""
    client, server = outcomes("iperf3", "reverse-two-streams")
    measured = REVERSE.measured(client, server, PAIR)
    sent = json.loads(server.stdout)["end"]["sum_sent"]["retransmits"]

    assert measured.receiver == "a"
    assert {"b>a"} == {sample.direction for sample in measured.samples}
    assert _values(measured)["retransmits"] == sent
    assert measured.delivered_bytes == json.loads(client.stdout)["end"]["sum_received"]["bytes"]


@pytest.mark.parametrize(
    ("name", "words"), [("refused", "Connection refused"), ("server-killed", "the server has terminated")]
)
def test_an_error_that_iperf3_reports_counts_against_the_arm(name: str, words: str) -> None:
    """iperf3 3.12 exits with 0 after an error; the document says what it was, and it is kept."""
    client = outcomes("iperf3", name)[0]
    with pytest.raises(ProbeFailed, match=words) as raised:
        FORWARD.measured(client, answered(""), PAIR)

    assert not isinstance(raised.value, ToolBroke)
    assert raised.value.raw["client"] == client.stdout


BROKEN = {
    "nothing": "", "garbage": "iperf3: error - what?", "cut": outcomes("iperf3", "forward")[0].stdout[:2000],
    "no object": "[1, 2]", "a number": "3", "no end": json.dumps({"intervals": [{"sum": {}}]}),
    "no intervals": json.dumps({"end": {}}), "intervals of nothing": _document([]), "deep": "[" * 100_000,
    "end is a list": json.dumps({"intervals": [{"sum": {"start": 0, "end": 1, "bytes": 1}}], "end": []}),
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_output_is_the_tools_fault_and_never_a_number(text: str) -> None:
    """Truncated, empty or alien output makes the trial missing; it does not count against the arm."""
    with pytest.raises(ToolBroke):
        _measured(_document(_tenths()), text)
    with pytest.raises(ToolBroke):
        _measured(text, _document(_tenths()))


@pytest.mark.parametrize("code", [1, 2, 139, -9, -11])
def test_a_crash_without_a_named_error_is_the_tools_fault(code: int) -> None:
    """A whole document of a tool that then crashed is not trusted."""
    with pytest.raises(ToolBroke, match=f"exited with {code} and named no error"):
        parse(answered(_document(_tenths()), returncode=code), {})


ODD = {"negative": -5, "nan": math.nan, "infinite": math.inf, "text": "12", "true": True, "null": None,
       "list": [1], "huge": 10**400, "overflowing": 1e308}  # fmt: skip


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("field", ["start", "end", "bytes"])
def test_an_interval_with_an_odd_number_is_left_out(field: str, value: Any) -> None:
    """One odd row is not counted; the rest of the window stands."""
    document = json.loads(_document(_tenths()))
    document["intervals"][5]["sum"][field] = value
    measured = _measured(_document(_tenths()), json.dumps(document))

    assert _values(measured)["goodput"] == pytest.approx(8e7)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_count_of_retransmits_is_no_sample(value: Any) -> None:
    """A field that is no count is absent, not zero, and breaks nothing."""
    document = json.loads(_document(_tenths()))
    document["end"]["sum_sent"] = {"retransmits": value}
    measured = _measured(json.dumps(document), _document(_tenths()))

    assert set(_values(measured)) == {"goodput", "sent", "generator_busy"}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", [("sum_received", "bytes"), ("cpu_utilization_percent", "host_total")])
def test_an_odd_number_that_is_needed_is_the_tools_fault(path: tuple[str, str], value: Any) -> None:
    """The error names the path of the field."""
    document = json.loads(_document(_tenths()))
    document["end"][path[0]][path[1]] = value
    with pytest.raises(ToolBroke, match=rf"end\.{path[0]}\.{path[1]}"):
        _measured(_document(_tenths()), json.dumps(document))


@pytest.mark.parametrize("start", [None, [], "x", {"version": 3}, {"version": "iperf four"}, {"version": "iperf 3"}])
def test_a_version_that_cannot_be_read_is_an_old_one(start: Any) -> None:
    """An unknown version is taken for the single-threaded one, whose mark comes earlier."""
    document = json.loads(_document(_tenths()))
    document["start"] = start
    document["end"]["cpu_utilization_percent"]["host_total"] = 96.0
    measured = _measured(json.dumps(document), _document(_tenths()), replace(FORWARD, streams=4))

    assert "generator-bound" in measured.flags


@pytest.mark.parametrize(
    ("version", "busy", "streams", "bound"),
    [("iperf 3.12", 94.9, 1, False), ("iperf 3.12", 95.0, 1, True), ("iperf 3.12", 190.0, 4, True),
     ("iperf 3.16", 190.0, 4, False), ("iperf 3.17.1+", 379.0, 4, False), ("iperf 3.18", 380.0, 4, True),
     ("iperf 3.9", 96.0, 4, True)],
)  # fmt: skip
def test_a_busy_generator_is_marked(version: str, busy: float, streams: int, bound: bool) -> None:
    """95 % of a core per thread; before 3.16 iperf3 had one thread for all streams."""
    document = json.loads(_document(_tenths()))
    document["start"]["version"] = version
    document["end"]["cpu_utilization_percent"]["host_total"] = busy
    measured = _measured(json.dumps(document), _document(_tenths()), replace(FORWARD, streams=streams))

    assert ("generator-bound" in measured.flags) == bound


def test_the_window_is_cut_by_time() -> None:
    """Warm-up and warm-down are left out exactly: only what lies between 0.2 and 1.0 s counts."""
    sizes = [9e9, 9e9, 1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6, 8e6, 9e9, 9e9]
    rows = [(start, end, size) for (start, end, _), size in zip(_tenths(count=12), sizes, strict=True)]
    measured = _measured(_document(rows), _document(rows))

    assert _values(measured)["goodput"] == pytest.approx(36e6 * 8 / 0.8)
    assert [sample.interval_s for sample in measured.samples if sample.metric == "goodput"] == [pytest.approx(0.8)]


def test_uneven_intervals_are_weighed_by_their_length() -> None:
    """A long interval counts for its seconds; two timers that miss by a little stay inside the window."""
    rows = [(0.0, 0.1995, 9e9), (0.1995, 0.7, 50e6), (0.7, 1.0007, 30e6)]
    measured = _measured(_document(_tenths()), _document(rows))

    assert _values(measured)["goodput"] == pytest.approx(80e6 * 8 / 0.8012)


def test_an_interval_that_ends_before_it_starts_is_left_out() -> None:
    """A clock that stepped back shortens nothing."""
    rows = [*_tenths(), (0.9, 0.3, 5e6)]
    measured = _measured(_document(_tenths()), _document(rows))

    assert _values(measured)["goodput"] == pytest.approx(8e7)


def test_a_stall_is_kept_and_flagged() -> None:
    """An interval without a byte lowers the rate and is named by its time."""
    rows = [(start, end, 0 if start == 0.5 else size) for start, end, size in _tenths()]
    measured = _measured(_document(_tenths()), _document(rows))

    assert measured.flags == ("zero interval at 0.5 s",)
    assert _values(measured)["goodput"] == pytest.approx(7e7)


@pytest.mark.parametrize(
    ("rows", "words"),
    [(_tenths(count=5), "broke off"), (_tenths(size=0), "nothing arrived"), (_tenths(5.0), "broke off")],
    ids=["half a window", "no byte", "outside"],
)
def test_a_window_without_enough_is_a_failure_of_the_path(rows: list[tuple[float, float, float]], words: str) -> None:
    """No number is made from a fragment."""
    with pytest.raises(ProbeFailed, match=words) as raised:
        _measured(_document(_tenths()), _document(rows))

    assert not isinstance(raised.value, ToolBroke)


@settings(max_examples=80, deadline=None)
@given(field=st.sampled_from(("start", "intervals", "end")), value=JSON, server=st.booleans())
def test_whatever_json_says_gives_a_number_or_a_probe_failure(field: str, value: Any, server: bool) -> None:
    """No other exception, and no negative, infinite or undefined number."""
    document = json.loads(_document(_tenths()))
    document[field] = value
    texts = [_document(_tenths()), json.dumps(document)]
    try:
        measured = _measured(texts[not server], texts[server])
    except ProbeFailed:
        return

    assert all(math.isfinite(sample.value) and sample.value >= 0 for sample in measured.samples)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=50), code=st.integers(-15, 255))
def test_whatever_text_comes_is_a_probe_failure(text: str, code: int) -> None:
    """Arbitrary text of a tool never raises anything else."""
    with pytest.raises(ProbeFailed):
        FORWARD.measured(answered(text, returncode=code), answered(text), PAIR)


def _serving(client: Outcome, server: Outcome, *, overdue: bool = False) -> tuple[Pair, list[FakeRunning]]:
    """A pair whose iperf3s print these, and the servers that were started."""
    started: list[FakeRunning] = []

    class Server(FakeHost):
        def start(self, command: Command) -> FakeRunning:
            started.append(FakeRunning(self, command, overdue=overdue))
            return started[-1]

    def served(command: Command) -> tuple[int, str]:
        return (0, "LISTEN") if command.argv[0] == "ss" else (server.returncode, server.stdout)

    here = FakeHost("a", lambda _: (client.returncode, client.stdout))
    there = Server("b", served)
    return Pair(Endpoint(here, "eth0", "198.18.0.1"), Endpoint(there, "eth0", "198.18.0.2"), 1, 2), started


def test_a_server_is_awaited_after_a_good_test() -> None:
    """Its document is the one that counts, so it is let finish."""
    pair, started = _serving(*outcomes("iperf3", "forward"))
    measured = FORWARD.measure(pair)

    assert measured.delivered_bytes == 2079850496
    assert [each.waited for each in started] == [True]


def test_a_client_that_reports_an_error_is_the_cause_that_is_named() -> None:
    """iperf3 exits with 0 after an error; its server, which never met it, does not hide the cause by being overdue."""
    client = outcomes("iperf3", "refused")[0]
    pair, started = _serving(client, answered(""), overdue=True)
    with pytest.raises(ProbeFailed, match="Connection refused"):
        FORWARD.measure(pair)

    assert [each.stopped for each in started] == [True]


def test_the_client_is_asked_for_whole_seconds_and_the_ports_of_the_block() -> None:
    """`-t` takes whole seconds; the ports decide the hash of the flow."""
    argv = replace(REVERSE, congestion_control="reno", window_bytes=65536).client_command(PAIR).argv

    assert argv == (
        "iperf3", "--client", "198.18.0.2", "--port", "20123", "--bind", "198.18.0.1", "--cport", "30456",
        "--time", "1", "--interval", "0.1", "--parallel", "2", "--json",
        "--reverse", "--congestion", "reno", "--window", "65536",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("duration_s", "warmup_s", "traffic_s"), [(0.8, 0.2, 1), (0.1 + 0.2, 0.7, 1), (1.0, 0.01, 2), (10, 0, 10)]
)
def test_the_traffic_lasts_the_next_whole_second(duration_s: float, warmup_s: float, traffic_s: float) -> None:
    """Rounding errors of sums do not buy another second."""
    assert replace(FORWARD, duration_s=duration_s, warmup_s=warmup_s).traffic_s == traffic_s
