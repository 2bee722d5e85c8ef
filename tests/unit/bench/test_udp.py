"""UDP by iperf3: rates and loss of the window, the account of where datagrams went, and output that is broken."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import asking
from bench.facts.counters import Counters
from bench.facts.sheet import FactSheet
from bench.labs.lab import Endpoint
from bench.losses import PLACES, placed
from bench.probes import iperf3_json
from bench.probes.iperf3_json import Row, whole
from bench.probes.probe import Datagrams, Measured, Pair, ProbeFailed, ToolBroke
from bench.probes.udp import Udp
from tests.unit.bench.fakes import FakeHost, lab
from tests.unit.bench.recorded import answered, outcomes

LIMITED = Udp("udp", 100, 1400, 0.8, 0.2, "forward")
PAIR = Pair(Endpoint(FakeHost("a"), "eth0", "198.18.0.1"), Endpoint(FakeHost("b"), "eth0", "198.18.0.2"), 20123, 30456)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("start", "end", "bytes", "sum", "packets", "lost_packets", "streams")), inner
        )
    ),
    max_leaves=8,
)


def _document(*, rate_bps: float, lost: int = 0, jitter: Any = 0.01) -> str:
    """A test of 1 s in tenths, each with 100 datagrams of which `lost` never came."""
    size = rate_bps / 80
    return json.dumps({
        "intervals": [
            {"sum": {"start": k / 10, "end": (k + 1) / 10, "bytes": size, "packets": 100, "lost_packets": lost}}
            for k in range(10)
        ],
        "end": {"sum": {"packets": 1000, "jitter_ms": jitter}, "streams": [{"udp": {"out_of_order": 3}}],
                "cpu_utilization_percent": {"host_total": 50.0}},
    })  # fmt: skip


def _values(measured: Measured) -> dict[str, float]:
    return {sample.metric: sample.value for sample in measured.samples}


def test_a_recorded_test_into_a_queue_of_half_its_rate_loses_half() -> None:
    """100 Mbit/s into tbf at 50: payload is 1400 of 1442 bytes on the wire, so 48.5 Mbit/s arrive."""
    client, server = outcomes("iperf3", "udp-limited")
    measured = LIMITED.measured(client, server, PAIR)
    found = _values(measured)

    assert found["offered"] == 100e6
    assert found["sent"] == pytest.approx(100e6, rel=0.01)
    assert found["goodput"] == pytest.approx(50e6 * 1400 / 1442, rel=0.02)
    assert found["loss"] == pytest.approx(1 - 0.5 * 1400 / 1442, abs=0.02)
    assert (found["out_of_order"], measured.flags) == (0.0, ())
    assert measured.datagrams == Datagrams(PAIR.client, PAIR.server, 8921, 4360)  # the queue dropped 4560
    assert measured.delivered_bytes == 4360 * 1400


def test_a_sender_that_sent_too_little_is_flagged_and_kept() -> None:
    """What the path carries was not asked; that is no fault of the path."""
    text = _document(rate_bps=98e6)
    measured = LIMITED.measured(answered(text), answered(text), PAIR)

    assert measured.flags == ("udp: under-sent, 98 % of what was offered",)
    assert _values(measured)["goodput"] == pytest.approx(98e6)


def test_without_a_rate_nothing_was_offered_and_nothing_is_under_sent() -> None:
    """A flood is as fast as its sender."""
    text = _document(rate_bps=98e6)
    measured = replace(LIMITED, rate_mbit=0).measured(answered(text), answered(text), PAIR)

    assert measured.flags == ()
    assert "offered" not in _values(measured)
    assert "udp.drops" in LIMITED.metrics
    assert "udp.drops" not in replace(LIMITED, rate_mbit=0).metrics


@pytest.mark.parametrize(("direction", "sender", "expected"), [("forward", "a", 0.1), ("reverse", "b", 0.0)])
def test_loss_is_what_the_receiver_missed(direction: Any, sender: str, expected: float) -> None:
    """The server receives forward and the client in reverse; the loss of whoever sends is none."""
    client, server = answered(_document(rate_bps=1e8)), answered(_document(rate_bps=1e8, lost=10))
    measured = replace(LIMITED, direction=direction).measured(client, server, PAIR)

    assert _values(measured)["loss"] == pytest.approx(expected)
    assert measured.datagrams is not None
    assert measured.datagrams.sender.host.name == sender


def test_when_everything_was_lost_the_path_gave_no_number() -> None:
    """A loss of 100 % has no goodput to compare."""
    text = _document(rate_bps=1e8, lost=100)
    with pytest.raises(ProbeFailed, match=r"nothing arrived in the window of 0\.8 s"):
        LIMITED.measured(answered(_document(rate_bps=1e8)), answered(text), PAIR)


def test_a_test_that_broke_off_has_no_window() -> None:
    """Half of the window is needed."""
    short = json.loads(_document(rate_bps=1e8))
    short["intervals"] = short["intervals"][:4]
    with pytest.raises(ProbeFailed, match=r"only 0\.20 s of the 0\.8 s window came"):
        LIMITED.measured(answered(_document(rate_bps=1e8)), answered(json.dumps(short)), PAIR)


@pytest.mark.parametrize("jitter", [None, "0.1", -1, math.nan, 10**400])
def test_a_broken_jitter_is_the_tools_fault(jitter: Any) -> None:
    """No number is made of it."""
    text = _document(rate_bps=1e8, jitter=jitter)
    with pytest.raises(ToolBroke, match=r"no number at end\.sum\.jitter_ms"):
        LIMITED.measured(answered(text), answered(text), PAIR)


@settings(max_examples=80, deadline=None)
@given(rows=JSON, end=JSON)
def test_whatever_json_says_gives_numbers_or_a_probe_failure(rows: Any, end: Any) -> None:
    """No other exception, and no negative, infinite or undefined number."""
    text = answered(json.dumps({"intervals": rows, "end": end}))
    try:
        measured = LIMITED.measured(text, text, PAIR)
    except ProbeFailed:
        return

    assert all(math.isfinite(sample.value) and sample.value >= 0 for sample in measured.samples)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.floats(0, 1e9), min_size=1, max_size=20),
    first_s=st.floats(0, 0.5),
    length_s=st.floats(0.01, 1.0),
)
def test_a_rate_never_exceeds_that_of_the_fastest_interval(sizes: list[float], first_s: float, length_s: float) -> None:
    """Shares of intervals add up to the window; what is missing counts as nothing."""
    rows = [Row(k / 10, (k + 1) / 10, size, 0, 0) for k, size in enumerate(sizes)]

    assert 0 <= iperf3_json.rate_bps(rows, first_s, first_s + length_s) <= max(sizes) * 80 * (1 + 1e-6)
    assert iperf3_json.rate_bps(rows, 0.0, len(sizes) / 10) == pytest.approx(sum(sizes) * 80 / len(sizes))
    assert whole(rows, 0.0, len(sizes) / 10 + 1e-9) == rows


def test_intervals_without_their_numbers_are_left_out() -> None:
    """Text, minus one, an end before the start."""
    good = {"start": 0, "end": 1, "bytes": 5}
    odd = [{**good, "bytes": "5"}, {**good, "end": 0}, {**good, "start": -1}, {**good, "packets": "x"}, None]

    assert iperf3_json.rows({"intervals": [{"sum": each} for each in (good, *odd)]}) == [Row(0, 1, 5, 0, 0)]


def test_the_interval_that_a_stopped_test_reports_twice_counts_once() -> None:
    """As recorded: a load of 1 Gbit/s reads 10 % more otherwise."""
    text = outcomes("iperf3", "load-stopped")[0].stdout
    told = [row["sum"]["start"] for row in json.loads(text)["intervals"]]
    found = iperf3_json.rows(json.loads(text))

    assert told[-1] == told[-2]
    assert len(found) == len(told) - 1


def test_the_client_is_told_rate_size_and_64_bit_counters() -> None:
    """32 bits of datagrams last 2.4 h at 480,000 a second; iperf3's -O is never used."""
    argv = replace(LIMITED, direction="reverse", window_bytes=4096).client_command(PAIR).argv

    assert argv[argv.index("--bitrate") + 1] == "100000000"
    assert argv[argv.index("--length") + 1] == "1400"
    assert {"--udp", "--udp-counters-64bit", "--reverse"} <= set(argv)
    assert argv[-2:] == ("--window", "4096")
    assert not {"-O", "--omit"} & set(argv)


# -- where datagrams were lost ---------------------------------------------------------------------------------------

LAB = lab("bridge")
ZERO = {"rx_dropped": 0, "tx_dropped": 0}
STACK = {"Udp.InErrors": 0, "Udp.InDatagrams": 0, "Ip.FragCreates": 0}
BEFORE = {
    host.name: Counters(
        0.0, {}, {each.device: ZERO for each in LAB.path if each.host is host}, {"dropped": 0}, STACK
    )
    for host in LAB.hosts
}  # fmt: skip
SENT = Datagrams(LAB.a, LAB.b, 1000, 700)


def _after(**changed: Counters) -> dict[str, Counters]:
    """300 of 1000 datagrams did not arrive; `changed` replaces a host's counters."""
    taken = replace(BEFORE["b"], stack=STACK | {"Udp.InDatagrams": 700})
    return BEFORE | {"b": taken} | changed


def test_each_loss_has_its_place_and_the_rest_is_unaccounted() -> None:
    """Own device and queue: the sender; devices and queues between: the path; Udp InErrors: the receiver's socket."""
    after = _after(
        a=replace(BEFORE["a"], devices={"eth0": {"rx_dropped": 0, "tx_dropped": 20}}, queues={"eth0": 30}),
        node=replace(BEFORE["node"], devices={**BEFORE["node"].devices, "port-b": {"rx_dropped": 5, "tx_dropped": 5}},
                     queues={"port-b": 90}),
        b=replace(BEFORE["b"], stack=STACK | {"Udp.InErrors": 120, "Udp.InDatagrams": 700}),
    )  # fmt: skip
    found = placed(LAB, SENT, BEFORE, after)

    assert {place: getattr(found, place) for place in PLACES} == {
        "sender": 50,
        "path": 100,
        "receiver": 120,
        "unaccounted": 30,
    }
    assert found.flags == ()


def test_counts_of_iperf3_that_the_kernel_does_not_share_are_flagged() -> None:
    """A receiver that reports no loss although the kernel handed out fewer (esnet/iperf #2055)."""
    found = placed(LAB, replace(SENT, received=1000), BEFORE, _after())

    assert found.flags == ("iperf3 received 1000 datagrams, the receiver's kernel handed out 700",)


def test_ipv6_has_counters_of_its_own() -> None:
    """The kernel keeps two sets: those of the family that the datagrams were of are read."""
    receiver = replace(LAB.b, address="2001:2::2")
    stack = STACK | {"Udp.InErrors": 7, "Udp6InErrors": 200, "Udp6InDatagrams": 700}
    found = placed(LAB, replace(SENT, receiver=receiver), BEFORE, BEFORE | {"b": replace(BEFORE["b"], stack=stack)})

    assert (found.receiver, found.unaccounted, found.flags) == (200, 100, ())


def test_fragments_are_flagged() -> None:
    """Under an arm with a smaller MTU drops count fragments, not datagrams."""
    after = _after(a=replace(BEFORE["a"], stack=STACK | {"Ip.FragCreates": 2000}))

    assert placed(LAB, SENT, BEFORE, after).flags == (
        "datagrams were fragmented (2000 fragments): drops are counted in fragments",
    )


def test_only_hosts_with_a_queue_that_can_drop_are_asked_for_it() -> None:
    """A noqueue never drops; a queue of a device that is not on the path does not matter."""
    facts = {
        "a": {"qdisc/eth0/root": "noqueue 0:"},
        "b": {"qdisc/eth0/root": "noqueue 0:", "qdisc/lo/root": "tbf 1:"},
        "node": {"qdisc/port-b/root": "tbf 8001: rate 50Mbit"},
    }

    assert asking.queued(LAB, {name: FactSheet(name, each) for name, each in facts.items()}) == {LAB.nodes[0]}


def test_machines_that_stand_are_asked_for_the_rings_of_their_nics() -> None:
    """A ring is a fact of a NIC; in what we make ourselves there is none that could run over."""
    sheets = {name: FactSheet(name, {"ring/eno1/rx": "512", "ring/eno1/rx-most": "4096"}) for name in ("a", "b")}
    sheets["node"] = FactSheet("node", {"link/br0/mtu": "1500"})
    stand = replace(LAB, guard_s=60.0)

    assert asking.ringed(stand, sheets) == {LAB.a.host: ("eno1",), LAB.b.host: ("eno1",)}
    assert asking.ringed(LAB, sheets) == {}
    assert str(asking.beside(stand, sheets)[LAB.a.host][-1]).endswith("/eno1/statistics/rx_missed_errors")
