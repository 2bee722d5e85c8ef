"""The `rate` probe: what a search becomes in a trial, and plans that cannot be."""

import json
import re
from collections.abc import Callable, Sequence

import pytest

from bench.capacity.pktgen import Pktgen
from bench.capacity.rates import NDR, PDR, Bounds, Found, Offered
from bench.facts import counters
from bench.facts.counters import Counters
from bench.hosts.command import Command
from bench.labs.lab import Endpoint
from bench.labs.topology import Topology
from bench.probes import rate
from bench.probes.probe import Pair, ProbeFailed, ToolBroke
from bench.probes.rate import Rate
from bench.probes.share import held
from nettune.wiring import load_plan
from results.errors import NotAble, WrongInput
from results.metrics import METRICS
from tests.unit.bench.fakes import FakeHost

PROBE = Rate("rate", 1518, 100.0, 1.0, 3.0, 1.0, 60.0)
PAIR = Pair(Endpoint(FakeHost("a"), "eth0", "198.18.0.1"), Endpoint(FakeHost("b"), "eth0", "198.18.0.2"), 20123, 30456)
TRIAL = Offered(4000.0, 1.0, 4000, 3990)


def found(low: float | None = 3900.0, note: str = "") -> Found:
    """A search with both goals."""
    bounds = (Bounds(NDR, None, 10.0, None, "no rate down to 10 frames/s has a loss that low"),
              Bounds(PDR, low, 3940.0, 3890.0))  # fmt: skip
    return Found(bounds, (TRIAL,), ((Offered(8234.0, 1.0, 10, 10), "the generator sent 0.1 %"),), note)


def test_a_search_becomes_bounds_payload_and_flags() -> None:
    """NDR that was not found is left out, never 0."""
    measured = PROBE.measured(found(), PAIR)

    assert {each.metric: each.value for each in measured.samples} == {
        "ndr_high": 10.0, "pdr": 3900.0, "pdr_high": 3940.0, "pdr_goodput": 3900 * 1472 * 8
    }  # fmt: skip
    assert all(each.unit == METRICS[each.metric].unit for each in measured.samples)
    assert measured.flags == (
        "rate: 1 trials rejected: the generator sent 0.1 %",
        "rate: NDR: no rate down to 10 frames/s has a loss that low",
    )
    assert (measured.receiver, measured.delivered_bytes) == ("b", 3990 * 1472)


def test_every_trial_is_in_the_record() -> None:
    """Rejected ones with their reason."""
    document = json.loads(PROBE.measured(found(), PAIR).raw["search"])

    assert [each["received"] for each in document["trials"]] == [3990]
    assert [each["why"] for each in document["rejected"]] == ["the generator sent 0.1 %"]
    assert document["bounds"]["PDR"]["low"] == 3900.0


def test_a_path_that_passes_nothing_counts_against_the_arm() -> None:
    """No number is made up."""
    with pytest.raises(ProbeFailed, match="no rate up to 8235 frames/s passes"):
        PROBE.measured(found(low=None), PAIR)


def test_a_generator_that_cannot_is_the_tools_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is missing, and counts against nobody."""

    class Silent:
        def __init__(self, *_: object) -> None: ...

        def offer(self, rate_fps: float, seconds: float) -> Offered:
            return Offered(rate_fps, seconds, 0, 0)

    monkeypatch.setattr(rate, "Datagrams", Silent)
    with pytest.raises(ToolBroke, match=r"rate: 3 trials in a row: the generator sent 0\.0 %"):
        PROBE.measure(PAIR)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ("{kind: rate, frame_bytes: 1600}", "does not fit the MTU 1500: 1518 do"),
        ("{kind: rate, trial_s: 5}", "3 s are less than a trial of 5 s"),
        ("{kind: rate, most_mbps: 5}", "unknown key 'most_mbps'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_its_key(sets: str, words: str) -> None:
    """Before anything stands."""
    with pytest.raises(WrongInput, match=re.escape(words)):
        load_plan("rates", (f"probes=[{sets}]", "primary=rate.pdr"))


RESULT = """\
Params: count 600  min_pkt_size: 508  max_pkt_size: 508
Result: OK: 2000123(c1990000+d10123) usec, 600 (508byte,0frags)
  299pps 1Mb/sec (1215056bps) errors: 0
"""


@pytest.fixture
def pktgen_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pktgen]:
    """With a kernel that answers so; the next hop is known, and the receiver goes on reading for a while."""
    seen = iter([7, 7, 597, 607, 607, 607])

    def read(ends: Sequence[FakeHost]) -> dict[str, Counters]:
        return {each.name: Counters(1.0, {}, {}, {}, {"Udp.NoPorts": next(seen)}) for each in ends}

    def made(told: tuple[int, str], *, there: bool = True, listens: str = "") -> Pktgen:
        def answer(command: Command) -> tuple[int, str]:
            match command.argv[0]:
                case "test":
                    return (0 if there else 1), ""
                case "ip":
                    hop = '"gateway": "198.18.0.254"' if "route" in command.argv else '"lladdr": "02:00:00:00:00:01"'
                    return 0, f"[{{{hop}}}]"
                case "sh":
                    return told
                case "ss":
                    return 0, listens
            return 0, ""

        ends = [Endpoint(FakeHost(name, answer=answer), "eth0", f"198.18.0.{n}") for n, name in ((1, "a"), (2, "b"))]
        return Pktgen(Pair(ends[0], ends[1], 20123, 30456), 512)

    monkeypatch.setattr(counters, "read", read)
    return made


def test_what_pktgen_says_of_its_time_is_what_is_believed(pktgen_at: Callable[..., Pktgen]) -> None:
    """Frames over the seconds that it took; the receiver is read until no more arrive."""
    made = pktgen_at((0, RESULT)).offer(300.0, 2.0)

    assert (made.sent, made.received) == (600, 600)
    assert made.seconds == pytest.approx(2.000123)
    assert made.wrong == ""


def test_pktgen_is_not_believed_where_somebody_takes_its_frames(pktgen_at: Callable[..., Pktgen]) -> None:
    """The port is one that nobody listens on, or the kernel counts nothing."""
    made = pktgen_at((0, RESULT), listens="UNCONN 0 0 0.0.0.0:9 0.0.0.0:*")

    with pytest.raises(ToolBroke, match="on b: somebody listens on UDP's port 9"):
        made.offer(300.0, 2.0)


def test_a_pktgen_that_takes_longer_has_not_sent_the_rate(pktgen_at: Callable[..., Pktgen]) -> None:
    """It sends all that it is told to; the rate shows in the time."""
    made = pktgen_at((0, RESULT.replace("2000123", "4000000"))).offer(300.0, 2.0)

    assert made.wrong == "the generator sent 50.0 % of 300 frames/s"


@pytest.mark.parametrize(
    ("told", "there", "words"),
    [
        ((0, RESULT), False, "on a: the kernel's pktgen is not here"),
        ((1, ""), True, "on a: pktgen: ''"),
        ((0, "Result: Idle"), True, "on a: pktgen: 'Result: Idle'"),
    ],
)
def test_a_pktgen_that_is_not_there_or_breaks_is_the_tools_fault(
    pktgen_at: Callable[..., Pktgen], told: tuple[int, str], there: bool, words: str
) -> None:
    """The trial is missing, and counts against nobody."""
    with pytest.raises(ToolBroke, match=re.escape(words)):
        pktgen_at(told, there=there).offer(300.0, 2.0)


def test_the_shipped_plan_measures_latency_at_shares_of_pdr() -> None:
    """Idle, 10, 50 and 90 %: RFC 2544 asks at the rate alone."""
    plan = load_plan("rates", ())

    assert [each.name for each in plan.probes][-4:] == ["idle", "at-10", "at-50", "at-90"]
    assert plan.probes[2].commands(PAIR)[1][1].argv[:1] == Command(("iperf3",)).argv


def test_a_shared_link_bears_no_search_above_its_share() -> None:
    """The hint's rate is one that it bears."""
    with pytest.raises(NotAble, match=r"rate: its search begins at 101\.3 Mbit/s on the wire") as raised:
        held(PROBE, 50e6, Topology("bridge"))
    most = float(raised.value.hint.split("most_mbit=")[1].split(",")[0])
    slower = Rate("rate", 1518, most, 1.0, 3.0, 1.0, 60.0)

    assert held(slower, 50e6, Topology("bridge")) == slower
