"""What current carries: measured on each topology where it is needed, kept at once, and not measured again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.calibrate import capacities
from bench.labs.lab import Lab
from bench.plan import Plan
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from bench.probes.load import Load
from bench.probes.probe import Measured, Pair, ProbeFailed
from bench.run import Campaign, Progress
from results.errors import NotAble
from results.records import Sample
from tests.unit.bench.fakes import lab

LOADED = Latency("loaded", 0.3, 0.001, 60, load=Load(50, "tcp.goodput", "current", "tcp", ("a", "b")))


@dataclass(frozen=True)
class Rates:
    """A tcp probe that gives these rates in turn; None is a failure. The rest is a real one's."""

    given: list[float | None]
    asked: list[Pair] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:  # Any: whatever Tcp has
        return getattr(Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0), name)

    def measure(self, pair: Pair) -> Measured:
        """The next rate."""
        self.asked.append(pair)
        value = self.given.pop(0)
        if value is None:
            raise ProbeFailed("on a: iperf3: no route to host", hint="is the path up?")
        return Measured((Sample("tcp", "goodput", value, "bit/s", "receiver", "a>b", 0.8),), {})


@pytest.fixture(autouse=True)
def nothing_is_carried_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts without a kernel have no sockets to take away (tests/netns/test_rates.py has)."""
    monkeypatch.setattr("bench.carryover.neutralise", lambda _: True)


class Kept:
    """A store that remembers what it was given."""

    def __init__(self) -> None:
        self.capacities: list[Mapping[str, float]] = []

    def keep_capacities(self, run_id: str, found: Mapping[str, float]) -> None:
        """See Store.keep_capacities."""
        assert run_id == "r"
        self.capacities.append(dict(found))


def _campaign(probe: Rates, *topologies: str, loaded: Latency = LOADED) -> tuple[Campaign, Kept, list[Progress]]:
    store, seen = Kept(), list[Progress]()
    labs: dict[str, Lab] = {name: lab("bridge") for name in topologies}
    plan = Plan("p", "", (), (probe, loaded), "loaded.rtt_p50", {}, 2, False, 5.0, "latency", {})
    return Campaign("r", plan, 1, labs, {}, {}, store, seen.append), store, seen  # type: ignore[arg-type]  # Kept is enough


def test_the_median_of_three_trials_under_current_is_kept_for_each_topology() -> None:
    """Each on ports of its own; whoever watches is told."""
    probe = Rates([9e9, 1e9, 8e9, 3e9, 3e9, 2e9])
    campaign, store, seen = _campaign(probe, "bridge", "routed")

    assert capacities(campaign, {}) == {("bridge", "tcp.goodput"): 8e9, ("routed", "tcp.goodput"): 3e9}
    assert store.capacities[-1] == {"bridge/tcp.goodput": 8e9, "routed/tcp.goodput": 3e9}
    assert len({pair.server_port for pair in probe.asked[:3]}) == 3
    assert [each.note for each in seen][:1] == ["measuring what current carries (tcp.goodput), 1 of 3"]


def test_a_resumed_run_goes_on_with_the_capacities_that_it_began_with() -> None:
    """Only what was cut off is measured."""
    probe = Rates([4e9, 4e9, 4e9])
    campaign, store, _ = _campaign(probe, "bridge", "routed")
    found = capacities(campaign, {"bridge/tcp.goodput": 7e9})

    assert found == {("bridge", "tcp.goodput"): 7e9, ("routed", "tcp.goodput"): 4e9}
    assert store.capacities == [{"bridge/tcp.goodput": 7e9, "routed/tcp.goodput": 4e9}]


def test_a_load_on_the_same_arms_capacity_needs_none() -> None:
    """It is known from the arm's own trial."""
    assert LOADED.load is not None
    own = replace(LOADED, load=replace(LOADED.load, capacity="arm"))
    campaign, store, _ = _campaign(Rates([]), "bridge", loaded=own)

    assert (capacities(campaign, {}), store.capacities) == ({}, [])


def test_current_that_gives_no_number_ends_the_run_before_its_first_block() -> None:
    """No load could be a share of it."""
    campaign, _, _ = _campaign(Rates([9e9, None]), "bridge")
    with pytest.raises(NotAble, match=r"bridge: tcp\.goodput under current.*gave no number: .*no route") as raised:
        capacities(campaign, {})

    assert raised.value.hint == "is the path up?"
