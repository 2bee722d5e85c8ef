"""Symptoms from trials: each from its own figures, none from a healthy path, nothing from text that is no JSON."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.diagnosis import SYMPTOMS, Evidence, Interval, Path, diagnose, evidence, moved, unseen

HEALTHY = Interval(sent_bytes=2e8, seconds=0.1, cwnd_bytes=4e5, window_bytes=4e6, rtt_s=6e-5)
LIMITED = Interval(sent_bytes=2.6e7, seconds=0.1, cwnd_bytes=2.2e5, window_bytes=12032, rtt_s=3.6e-5)
PATH = Path(send_buffer_most=4_194_304, rate_bps=2e8)


def _trial(
    *, interval: Interval = HEALTHY, flags: tuple[str, ...] = (), goodput: float = 1e8, **grown: object
) -> Evidence:
    return Evidence({"tcp.goodput": goodput}, flags, (interval,) * 8, ({"seconds": 1.0, **grown},))


SHOWN: Mapping[str, Evidence] = {
    "receive-window": _trial(interval=LIMITED),
    "retransmits": _trial(stack={"Tcp.RetransSegs": 206, "Tcp.OutSegs": 16363}),
    "softirq-bound": _trial(busiest_softirq={"cpu": "cpu1", "share": 0.93}),
    "time-squeeze": _trial(softnet={"squeezed": 40}),
    "backlog-drops": _trial(softnet={"dropped": 3}),
    "udp-buffer": _trial(stack={"Udp.RcvbufErrors": 9}),
    "listen-overflow": _trial(stack={"TcpExt.ListenOverflows": 2}),
    "mtu-black-hole": _trial(stack={"TcpExt.TCPMTUPFail": 1}),
    "rx-ring-drops": _trial(devices={"eth0": {"rx_fifo": 5}}),
    "qdisc-drops": _trial(queue_drops={"eth0": 11}),
    "sender-cpu-bound": _trial(flags=("tcp: generator-bound: 99 %",)),
    "line-rate": _trial(goodput=1.88e8),
    "vhost-bound": _trial(busiest_carrier={"thread": "guest b: vhost-4711", "share": 0.97}),
    "conntrack": _trial(connections={"count": 190_000, "max": 262_144}),
}


@pytest.mark.parametrize("counter", ["rx_fifo", "rx_missed"])
def test_a_ring_that_ran_over_is_seen_in_either_counter(counter: str) -> None:
    """Drivers differ in which one they use; what the stack dropped says nothing of a ring."""
    (found,) = diagnose([_trial(devices={"eno1": {counter: 7, "rx_dropped": 9}})], PATH)

    assert (found.symptom, found.evidence) == ("rx-ring-drops", f"eno1: {counter} grew by 7; in 1 of 1 trials")
    assert diagnose([_trial(devices={"eno1": {"rx_dropped": 9}})], PATH) == ()


@pytest.mark.parametrize("symptom", SHOWN)
def test_each_symptom_is_named_by_its_own_figures(symptom: str) -> None:
    """With the figures in words; where fewer than two thirds of the trials show it, it is none."""
    shown, healthy = SHOWN[symptom], _trial()
    (found,) = diagnose([shown, shown, healthy], PATH)

    assert found.symptom == symptom
    assert found.evidence.endswith("in 2 of 3 trials")
    assert any(letter.isdigit() for letter in found.evidence)
    assert diagnose([shown, healthy], PATH) == ()


def test_a_small_send_buffer_is_told_by_what_is_in_flight() -> None:
    """8 KiB of 16 KiB at most; with the kernel's usual 4 MiB it is none."""
    trial = _trial(interval=Interval(2.6e7, 0.1, 2.2e5, 4e6, 3.6e-5))

    assert [each.symptom for each in diagnose([trial], Path(16384))] == ["send-buffer"]
    assert diagnose([trial], Path(4_194_304)) == ()


def test_a_table_of_connections_that_drops_is_told_though_it_is_not_full() -> None:
    """The kernel has dropped early to make room; a table with room and no drops is none."""
    (found,) = diagnose([_trial(connections={"count": 60, "max": 262_144, "early_drop": 9})], PATH)

    assert found.evidence == "60 of 262144 connections are tracked, early_drop grew by 9; in 1 of 1 trials"
    assert diagnose([_trial(connections={"count": 60, "max": 262_144, "found": 9})], PATH) == ()
    raced = {"count": 60, "max": 262_144, "drop": 2, "insert_failed": 2}  # two CPUs, one connection
    assert diagnose([_trial(connections=raced)], PATH) == ()


def test_a_share_is_one_of_the_traffics_time() -> None:
    """A thread that ran all through a second of traffic, in a reading that took 1.4 s."""
    trial = _trial(seconds=1.4, traffic_s=1.0, busiest_carrier={"thread": "guest b: main loop", "share": 0.7})
    idle = _trial(seconds=1.4, traffic_s=1.0, busiest_carrier={"thread": "guest b: main loop", "share": 0.5})

    assert [each.symptom for each in diagnose([trial], PATH)] == ["vhost-bound"]
    assert diagnose([idle], PATH) == ()


def test_one_stream_that_is_held_back_is_told_by_several_that_are_not() -> None:
    """Half as much again or more; where only one or only several are measured, it is said that nothing can show it."""
    streams = Path(streams={"tcp": 1, "many": 4})
    held, free = (replace(_trial(), values={"tcp.goodput": 4e9, "many.goodput": 4e9 * by}) for by in (2.0, 1.4))

    (found,) = diagnose([held], streams)
    assert found.evidence == "one stream carries 4000 Mbit/s, 4 of them 8000; in 1 of 1 trials"
    assert diagnose([free], streams) == ()
    assert "one-flow-bound" not in dict(unseen([held], streams))
    assert "one-flow-bound" in dict(unseen([held], Path(streams={"tcp": 1})))
    assert "one-flow-bound" in dict(unseen([held], Path(streams={"tcp": 2, "many": 4})))


def test_a_healthy_path_has_no_symptom_and_says_what_cannot_be_seen() -> None:
    """What nothing reads is named with its reason, once."""
    blind = dict(unseen([_trial()], Path()))

    assert diagnose([_trial()] * 20, PATH) == ()
    assert diagnose([], PATH) == ()
    assert set(blind) <= set(SYMPTOMS)
    assert "line-rate" in blind
    assert {"conntrack", "vhost-bound"} <= set(blind)
    assert not {"conntrack", "vhost-bound"} & set(dict(unseen([SHOWN["conntrack"], SHOWN["vhost-bound"]], PATH)))
    assert "line-rate" not in dict(unseen([_trial()], PATH))
    assert "receive-window" in dict(unseen([Evidence({}, (), (), ())], PATH))


def test_what_moved_is_told_with_both_values() -> None:
    """The window that was opened, not what stayed."""
    wider = [_trial(interval=Interval(1.2e8, 0.1, 2.3e5, 2e7 + n, 3.6e-5)) for n in range(6)]
    before = [_trial(interval=Interval(2.6e7, 0.1, 2.2e5, 12032 + n, 3.6e-5)) for n in range(6)]
    found = moved(before, wider)

    assert found == ("the receiver's window from 12 KiB to 19531 KiB",)
    assert moved(before, before) == ()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["intervals", "streams", "bytes", "seconds", "snd_cwnd", "snd_wnd", "rtt", "a"]), inner
        )
    ),
    max_leaves=12,
)


@given(JUNK, st.sampled_from(["client", "counters", "server"]))
def test_any_output_is_read_or_left_out(document: object, name: str) -> None:
    """A tool's broken document costs the diagnosis nothing."""
    found = evidence({}, (), {("tcp", name): json.dumps(document), ("tcp", "x"): "no JSON"})

    assert isinstance(found, Evidence)


def test_a_symptom_says_whose_counters_show_it() -> None:
    """A hypervisor's queue of packets is not its guests'; what iperf3 tells of a path is no host's alone."""
    raw = {("tcp", "counters"): json.dumps({"a": {"softnet": {}}, "node": {"softnet": {"dropped": 3}}})}
    (dropped,) = diagnose([evidence({}, (), raw)] * 3, PATH)
    (window,) = diagnose([_trial(interval=LIMITED, host="a")], PATH)

    assert dropped.hosts == ("node",)
    assert dropped.evidence.endswith("in 3 of 3 trials, on node")
    assert (window.symptom, window.hosts) == ("receive-window", ())
