"""Guests of others on a node: refused, allowed, watched; what counts as suffering and what does not."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pve import strangers
from bench.pve.errors import Unreachable
from bench.pve.strangers import Look, Usual, Watch, suffers, usual
from results.errors import NotAble
from tests.unit.bench.pve_api import Api

ROWS: list[dict[str, Any]] = [
    {"vmid": 100, "node": "pve1", "type": "qemu", "status": "running", "name": "mail"},
    {"vmid": 101, "node": "pve1", "type": "lxc", "status": "running", "name": "dns"},
    {"vmid": 102, "node": "pve1", "type": "qemu", "status": "stopped", "name": "old"},
    {"vmid": 103, "node": "pve2", "type": "qemu", "status": "running", "name": "web"},
]
MAIL = "/nodes/pve1/qemu/100/status/current"
ALL, NONE = {"/": {"VM.Audit": 1}}, {"/pool/bench": {"VM.Audit": 1}}


def api(rows: Sequence[dict[str, Any]] = ROWS, held: Any = ALL, **told: Any) -> Api:  # Any: JSON
    """A cluster with these guests, as somebody sees it."""
    fine = {"status": "running", "cpu": 0.1, "netin": 0, "netout": 0}
    states = {f"/nodes/{row['node']}/{row['type']}/{row['vmid']}/status/current": dict(fine) for row in rows}
    return Api({"/cluster/resources": list(rows), "/access/permissions": held, **states, **told})


def test_a_node_with_guests_of_others_is_refused_by_their_names() -> None:
    """Containers too; what does not run there has nothing to lose."""
    with pytest.raises(NotAble, match=r"VM 100 \(mail\) on pve1, container 101 \(dns\) on pve1$") as raised:
        strangers.checked(api(), ["pve1"], shared_host=False)

    assert "--shared-host" in raised.value.hint
    assert len(strangers.checked(api(), ["pve1"], shared_host=True)) == 2
    assert strangers.checked(api(), ["pve9"], shared_host=False) == ()


def test_a_node_whose_guests_may_not_be_seen_is_refused_too() -> None:
    """Nobody there is what somebody without rights sees everywhere."""
    with pytest.raises(NotAble, match="whether guests of others run on pve1 may not be seen"):
        strangers.checked(api([], NONE), ["pve1"], shared_host=False)

    assert strangers.checked(api([], NONE), ["pve1"], shared_host=True) == ()
    assert "were not watched" in strangers.notes((), seen=False)[0]


def looks(*, moved: int = 1_000_000, cpu: float = 0.5, pressure: float = 0.0, count: int = 4) -> list[Look]:
    """A second apart, `moved` bytes in each."""
    return [Look(float(at), at * moved, cpu, pressure) for at in range(count)]


WAS = Usual(1_000_000, 0.5, 0.0)


@pytest.mark.parametrize(
    ("seen", "was", "said"),
    [
        (looks(), WAS, ""),
        (looks(moved=600_000, cpu=0.3), WAS, ""),
        (looks(moved=400_000), WAS, "moves 3.2 Mbit/s, and had 8.0 at least before the load"),
        (looks(cpu=0.2), WAS, "gets 20 % of its CPUs, and had 50 % at least before"),
        (looks(pressure=35.0), WAS, "waits for a CPU in 35 % of its time (before: 0 %)"),
        (looks(pressure=35.0), Usual(0, 0, 30.0), ""),
        (looks(pressure=35.0), None, "waits for a CPU in 35 % of its time (before: 0 %)"),
        (looks(moved=0, cpu=0.0), Usual(100, 0.01, 0.0), ""),
        (looks(moved=0, cpu=0.0), None, ""),
        (looks(moved=0, cpu=0.0, count=3), WAS, ""),
        (looks(moved=-5), WAS, ""),
        ([*looks(moved=0)[:3], Look(3.0, 900_000, 0.5, 0.0)], WAS, ""),
        ([Look(0.0, 0, 0.0, 0.0, runs=False)], WAS, "does not run any more"),
        ([], WAS, ""),
    ],
)
def test_a_guest_suffers_where_every_look_says_so(seen: list[Look], was: Usual | None, said: str) -> None:
    """Half of the least that it had before; noise, a restarted counter and one bad second say nothing."""
    assert suffers(seen, was) == said


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 1), st.floats(0, 100)), max_size=8))
def test_what_is_usual_is_never_negative_and_no_more_than_was_seen(told: list[tuple[int, float, float]]) -> None:
    """Whatever the counters did."""
    seen = [Look(float(at), *each) for at, each in enumerate(told)]
    found = usual(seen)

    assert found.rate >= 0
    assert all(found.cpu <= each.cpu and found.pressure_pct >= each.pressure_pct for each in seen)


class Clock:
    """A second goes by with every question."""

    now = 100.0

    def __call__(self) -> float:
        """See time.monotonic."""
        return self.now


def watching(of: Api, *, shared_host: bool = True) -> tuple[Watch, Clock]:
    """A watch that has begun."""
    clock = Clock()
    found = strangers.checked(of, ["pve1"], shared_host=True)
    watch = Watch(of, ["pve1"], shared_host, found=found, clock=clock)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        of.answers[MAIL]["netin"] += 1_000_000 * seconds

    watch.begin(sleep)
    return watch, clock


def test_a_watch_tells_of_traffic_that_is_gone_within_a_step() -> None:
    """Nothing while it goes on; what a step before left is no look of this one."""
    of = api()
    watch, clock = watching(of)
    said = []
    for second in range(14):
        clock.now += 1.0
        of.answers[MAIL]["netin"] += 1_000_000 if second < 8 else 0
        said.append(watch())
        if second == 9:
            clock.now += 60

    assert said[:13] == [""] * 13
    assert said[13] == "VM 100 (mail) on pve1 moves 0.0 Mbit/s, and had 8.0 at least before the load"


def test_a_guest_that_comes_later_is_told_where_nobody_was_allowed() -> None:
    """Our own, made meanwhile, are no strangers."""
    of = api([])
    watch, _ = watching(of, shared_host=False)
    of.answers["/cluster/resources"] = [{**ROWS[0], "vmid": 300, "name": "nettune-c1"}]
    watch.ours = {300}
    first = watch()
    watch._last_s = float("-inf")
    of.answers["/cluster/resources"].append(ROWS[0])

    assert (first, watch()) == ("", "VM 100 (mail) on pve1 runs there now, and is not ours")


def test_who_cannot_be_asked_any_more_ends_the_load() -> None:
    """The API of a node that has enough is slow, too."""
    of = api()
    watch, _ = watching(of)
    of.answers[MAIL] = Unreachable("GET x", 599, "timeout")

    assert watch() == "the guests of others cannot be watched any more: GET x: timeout (599)"
