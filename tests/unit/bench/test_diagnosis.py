"""Symptoms from trials: each from its own figures, none from a healthy path, nothing from text that is no JSON."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.diagnosis import SYMPTOMS, Path, diagnose, unseen
from bench.evidence import Evidence, Interval, evidence
from bench.figures import moved, moved_with

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


SWEPT = json.dumps([
    {"way": "IPv4 a>b", "mtu": 1500, "passes": 1400, "silent": True},
    {"way": "IPv4 b>a", "mtu": 1500, "passes": 1500, "silent": False},
])  # fmt: skip


def _iperf3(*, sender: bool, arrived: int = 0, **more: object) -> str:
    """What one end tells of a stream of ten intervals, of which nothing but the first and `arrived` bytes came."""
    rows = [{"bytes": 14480 if n == 0 else arrived, "seconds": 0.1, "sender": sender, "retransmits": 1}
            for n in range(10)]  # fmt: skip
    return json.dumps({"intervals": [{"streams": [row]} for row in rows], "end": {"streams": []}, **more})


def _stuck(**told: str) -> Evidence:
    return evidence({}, (), {("failed", name): text for name, text in told.items()}, failed=True)


def test_a_black_hole_is_known_by_a_sweep_and_by_a_stream_that_hangs() -> None:
    """Trials of it have failed: they count for this symptom, and for no other."""
    swept = evidence({}, (), {("path-mtu", "sweeps"): SWEPT, ("failed", "client"): "{}"}, failed=True)
    hung = _stuck(client=_iperf3(sender=True), server=_iperf3(sender=False))

    (found,) = diagnose([swept, swept, hung], PATH)
    assert found.symptom == "mtu-black-hole"
    assert "IPv4 a>b carries 1400 of 1500 bytes, and larger packets vanish" in swept.holes[0]
    assert hung.holes[0].startswith("TCP opens and then hangs: 10 segments were sent again and none arrived")
    assert diagnose([swept, *[_trial()] * 4], PATH) == ()
    assert [each.symptom for each in diagnose([hung, hung, SHOWN["retransmits"]], PATH)] == [
        "retransmits", "mtu-black-hole",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        {"client": _iperf3(sender=True)},
        {"client": _iperf3(sender=True), "server": _iperf3(sender=False, arrived=1448)},
        {"client": _iperf3(sender=True, error="control socket has closed"), "server": _iperf3(sender=False)},
        {"client": _iperf3(sender=False), "server": _iperf3(sender=False)},
    ],
    ids=["one end alone", "slow", "all is lost", "nothing sent again"],
)
def test_a_stream_that_failed_for_another_reason_is_no_black_hole(told: Mapping[str, str]) -> None:
    """A path that carries something, or nothing at all, is ill in another way."""
    assert _stuck(**told).holes == ()


def test_a_router_that_says_what_fits_is_no_black_hole() -> None:
    """It counts a packet that it may not fragment, and tells the sender, whose next one passes."""
    assert diagnose([_trial(stack={"Ip.FragFails": 9})], PATH) == ()


def test_a_black_hole_that_nobody_looked_for_is_said_to_be_unseen() -> None:
    """Latency alone shows none; a sweep or a stream would."""
    alone = Evidence({}, (), (), ())
    looked = evidence({}, (), {("path-mtu", "sweeps"): "[]"})

    assert "path-mtu" in dict(unseen([alone], PATH))["mtu-black-hole"]
    assert "mtu-black-hole" not in dict(unseen([looked], PATH))
    assert "mtu-black-hole" not in dict(unseen([_trial()], PATH))


MOVES: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # Any: as JSON of the counters
    "softirq-bound": ({"busiest_softirq": {"cpu": "cpu1", "share": 0.93}},
                      {"busiest_softirq": {"cpu": "cpu0", "share": 0.41}},
                      "the busiest CPU's time in interrupts from 93 % to 41 %"),
    "vhost-bound": ({"busiest_carrier": {"thread": "vhost-1", "share": 0.99}},
                    {"busiest_carrier": {"thread": "vhost-2", "share": 0.5}},
                    "the busiest thread under a guest from 99 % to 50 %"),
    "time-squeeze": ({"softnet": {"squeezed": 40}}, {"softnet": {}}, "used-up budgets a second from 40 to 0"),
    "backlog-drops": ({"softnet": {"dropped": 30}}, {"softnet": {}}, "packets that the backlog dropped from 30 to 0"),
    "rx-ring-drops": ({"devices": {"eno1": {"rx_fifo": 4, "rx_missed": 5}}}, {"devices": {"eno1": {}}},
                      "frames for which a ring had no room from 9 to 0"),
    "qdisc-drops": ({"queue_drops": {"eth0": 11}}, {"queue_drops": {}}, "packets that queues dropped from 11 to 0"),
    "udp-buffer": ({"stack": {"Udp.RcvbufErrors": 9}}, {"stack": {}},
                   "datagrams for which a socket had no room from 9 to 0"),
    "listen-overflow": ({"stack": {"TcpExt.ListenDrops": 8}}, {"stack": {}},
                        "connections that a full backlog refused from 8 to 0"),
    "retransmits": ({"stack": {"Tcp.RetransSegs": 20, "Tcp.OutSegs": 1000}}, {"stack": {"Tcp.OutSegs": 1000}},
                    "segments sent again, of all from 2.00 % to 0.00 %"),
    "": ({"cpu_ticks": {"user": 50, "softirq": 100, "idle": 50}}, {"cpu_ticks": {"user": 50, "idle": 150}},
         "busy CPUs from 1.50 to 0.50"),
}  # fmt: skip


@pytest.mark.parametrize("symptom", MOVES)
def test_each_counter_that_moved_is_told_by_its_own_figure(symptom: str) -> None:
    """Also one that reads 0 afterwards; one that did not move, or that nobody told, says nothing."""
    before, after, words = MOVES[symptom]
    current, treated = ([_trial(**told)] * 8 for told in (before, after))

    assert moved(current, treated) == (words,)
    assert moved_with(symptom, current, treated) == (words if symptom else "")
    assert bool(moved(treated, current)) == (symptom not in {"softirq-bound", "vhost-bound", ""})  # goodput costs CPU
    assert moved(current, current) == ()
    assert moved(current, [_trial()] * 8) == ()
    assert moved(current, [replace(each, failed=True) for each in treated]) == ()


def test_of_all_figures_together_one_in_twenty_moves_by_chance() -> None:
    """What is asked of one alone is not enough among all."""
    before = [_trial(stack={"Udp.RcvbufErrors": n}) for n in (10, 14, 22, 12, 16)]
    after = [_trial(stack={"Udp.RcvbufErrors": n}) for n in (36, 24, 29, 20, 40)]

    assert moved_with("udp-buffer", before, after)
    assert moved(before, after) == ()


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
            st.sampled_from(
                ["intervals", "streams", "sender", "retransmits", "bytes", "seconds", "snd_cwnd", "snd_wnd", "rtt", "a"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JUNK, st.sampled_from(["client", "counters", "server", "sweeps"]))
def test_any_output_is_read_or_left_out(document: object, name: str) -> None:
    """A tool's broken document costs the diagnosis nothing."""
    text = json.dumps(document)
    whole = json.dumps({"end": {"a": 1}, **document}) if isinstance(document, dict) else text
    found = evidence({}, (), {("tcp", name): text, ("tcp", "x"): "no JSON", ("failed", "client"): whole,
                              ("failed", "server"): whole})  # fmt: skip

    assert isinstance(found, Evidence)


def test_a_symptom_says_whose_counters_show_it() -> None:
    """A hypervisor's queue of packets is not its guests'; what iperf3 tells of a path is no host's alone."""
    raw = {("tcp", "counters"): json.dumps({"a": {"softnet": {}}, "node": {"softnet": {"dropped": 3}}})}
    (dropped,) = diagnose([evidence({}, (), raw)] * 3, PATH)
    (window,) = diagnose([_trial(interval=LIMITED, host="a")], PATH)

    assert dropped.hosts == ("node",)
    assert dropped.evidence.endswith("in 3 of 3 trials, on node")
    assert (window.symptom, window.hosts) == ("receive-window", ())
