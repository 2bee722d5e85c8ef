"""A load beside a latency probe: what it asks for, what it reached, and how it is told."""

import json
from dataclasses import replace

import pytest

from bench.labs.lab import Endpoint
from bench.probes.latency import Latency
from bench.probes.load import Beside, Load, told
from bench.probes.probe import Pair, ProbeFailed, ToolBroke
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import outcomes

LOAD = Load(50, "tcp.goodput", "arm", "tcp", ("a", "b"))
KNOWN = {"tcp.goodput": 2e9, "current/tcp.goodput": 3e9}
PAIR = Pair(
    Endpoint(FakeHost("a"), "eth0", "198.18.0.1"), Endpoint(FakeHost("b"), "eth0", "198.18.0.2"), 20123, 30456,
    known=KNOWN,
)  # fmt: skip
LOADED = Latency("loaded", 0.6, 0.001, 60, load=LOAD)


def _ran(begun_s: float = 0.5, ended_s: float = 1.0) -> Beside:
    return Beside(begun_s, ended_s, "", outcomes("iperf3", "load-stopped")[0].stdout)


@pytest.mark.parametrize(("capacity", "expected"), [("arm", 1e9), ("current", 1.5e9)])
def test_a_load_is_a_share_of_what_was_measured(capacity: str, expected: float) -> None:
    """Of the same arm's in this trial, or of current's before the run."""
    load = replace(LOAD, capacity=capacity)  # type: ignore[arg-type]  # one of the two words

    assert load.rate_bps(PAIR) == expected
    assert str(round(expected)) in load.client_command(PAIR, 1.0).argv


def test_a_load_whose_capacity_is_unknown_is_no_load() -> None:
    """Nothing is assumed in its place."""
    with pytest.raises(ToolBroke, match=r"50 % of tcp\.goodput, and that was not measured"):
        LOAD.rate_bps(replace(PAIR, known={}))


def test_a_recorded_load_tells_what_was_asked_and_reached() -> None:
    """Half of 2 Gbit/s, stopped after a second: its receiver's intervals in the probe's window."""
    measured = told(LOAD, PAIR, _ran(), "loaded")
    found = {sample.name: sample.value for sample in measured.samples}

    assert found["loaded.load_asked"] == 1e9
    assert found["loaded.load_rate"] == pytest.approx(1e9, rel=0.03)
    assert measured.flags == ()
    assert set(measured.raw) == {"load-client", "load-server"}


def test_a_load_that_fell_short_is_flagged() -> None:
    """The latency stands, under less load than the plan says."""
    measured = told(replace(LOAD, pct=75), PAIR, _ran(), "loaded")

    assert measured.flags == ("loaded: the load reached 67 % of what was asked",)


def test_a_load_that_ended_before_the_probe_counts_as_nothing_from_there_on() -> None:
    """The mean over the window, not over what there was."""
    measured = told(LOAD, PAIR, _ran(0.5, 2.0), "loaded")

    assert measured.samples[1].value < 0.5e9
    assert len(measured.flags) == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"intervals": [{"sum": {}}]})])
def test_a_receiver_that_printed_nothing_is_the_tools_fault(text: str) -> None:
    """The trial is missing: nobody knows under what load it was."""
    with pytest.raises(ToolBroke, match="printed no intervals"):
        told(LOAD, PAIR, Beside(0.5, 1.0, _ran().server, text), "loaded")


def test_a_load_that_never_got_through_counts_against_the_arm() -> None:
    """Neither end has an interval: a firewall, or no route."""
    with pytest.raises(ProbeFailed, match=r"on a: the load never reached 198\.18\.0\.2") as raised:
        told(LOAD, PAIR, Beside(0.5, 1.0, "{}", ""), "loaded")

    assert not isinstance(raised.value, ToolBroke)


def test_a_loaded_probe_says_so_in_every_definition() -> None:
    """Latency under load must not be taken for that of an idle path."""
    idle = Latency("idle", 0.6, 0.001, 60)
    words = LOADED.definitions.values()

    assert all("under 50 % of the same arm's tcp.goodput, put on by paced TCP from a to b" in each for each in words)
    assert all("on an idle path" in each for each in idle.definitions.values())


def test_a_loaded_probe_shows_both_programs_of_its_load() -> None:
    """`--dry-run` knows no capacity yet; the rate is a word then."""
    pair = replace(PAIR, known={}, beside=replace(PAIR, known={}, server_port=22000))
    commands = LOADED.commands(pair)

    assert [host for host, _ in commands] == ["b", "a", "b", "a"]
    assert [command.argv[0] for _, command in commands] == ["iperf3", "iperf3", "irtt", "irtt"]
    assert "50%-of-tcp.goodput" in commands[1][1].argv


def test_udp_is_paced_by_iperf3_and_tcp_by_the_kernel() -> None:
    """SO_MAX_PACING_RATE does nothing for UDP without an fq queue."""
    udp = replace(LOAD, protocol="udp", congestion_control="reno").client_command(PAIR, 1.0).argv
    tcp = replace(LOAD, congestion_control="reno").client_command(PAIR, 1.0).argv

    assert udp[-3:] == ("--udp", "--bitrate", "1000000000")
    assert tcp[-4:] == ("--fq-rate", "1000000000", "--congestion", "reno")
