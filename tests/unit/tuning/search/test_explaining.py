"""What is said of each setting of a pick: its own symptom gone, or what moved with it where it was left out once."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.hosts.login import Login
from bench.labs.inventory import Inventory, Machine
from bench.plan import SettingSpec
from bench.run import FactsMoved
from nettune.wiring import load_plan
from results.records import CURRENT, Run, Trial
from results.statistics import Estimate
from tests.unit.results.example import example_run
from tests.unit.tuning.search.made import design
from tuning.search.advising import advice
from tuning.search.exploring import explanations, limits, path_of, unmoved
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Pick, Purpose, Stage, config

RMEM, WMEM, NOTSENT = "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_notsent_lowat"
BOTH = config(SettingSpec(RMEM, "4096 131072 33554432", None), SettingSpec(NOTSENT, "131072", None))
NARROW, WIDE = 12032.0, 4e6
GAIN = Estimate(12, 0.5, 0.1, 0.4, 0.6, 0.42, 0.58, 0.001)


PLAN = load_plan("quick", ())


class _Kept:
    """Raw output by trial, as a store has it."""

    def __init__(self) -> None:
        self._windows: list[tuple[float, float]] = []
        self.machine: dict[str, str] = {}
        self.machines: dict[str, dict[str, str]] = {}

    def baseline(self, run_id: str, topology: str) -> Mapping[str, Mapping[str, str]]:
        """See Store.baseline."""
        del run_id, topology
        return {}

    def run(self, run_id: str) -> Run:
        """See Store.run."""
        return example_run(run_id=run_id, machine=self.machines.get(run_id, self.machine))

    def raw(self, trial_id: int) -> Mapping[tuple[str, str], str]:
        """See Store.raw."""
        window, rtt_us = self._windows[trial_id]
        stream = {"bytes": 1e7, "seconds": 0.1, "snd_cwnd": 2e5, "snd_wnd": window + trial_id, "rtt": rtt_us}
        return {("tcp", "client"): json.dumps({"intervals": [{"streams": [stream] * 8}]})}

    def measured(self, purpose: Purpose, arms: Mapping[str, tuple[tuple[SettingSpec, ...], float, float]]) -> Measured:
        """Eight trials of each arm, whose receiver offers that window, with that round trip in microseconds."""
        stage = Stage(purpose, {name: settings for name, (settings, _, _) in arms.items() if name != CURRENT}, 8)
        trials = []
        for name, (_, window, rtt_us) in arms.items():
            for block in range(8):
                trials.append(Trial(len(self._windows), "path", block, 0, 0, name, "done", "", 0.0, 1.0, ()))
                self._windows.append((window, rtt_us + block))
        return Measured(stage, stage.design(design()), trials, f"run-{purpose}")


def test_a_setting_among_others_is_told_by_the_round_without_it() -> None:
    """Its own symptom where that is gone; else what moved between all settings and all but this one; else nothing."""
    kept = _Kept()
    without_rmem, without_notsent = ((each,) for each in BOTH)
    rounds = kept.measured("combine", {"all": (BOTH, WIDE, 100.0), "without-1": (without_rmem, NARROW, 100.0),
                                       "without-2": (without_notsent, WIDE, 900.0)})  # fmt: skip
    confirm = kept.measured("confirm", {CURRENT: ((), NARROW, 900.0), "pick": (BOTH, WIDE, 100.0)})
    pick = Pick(("balanced",), "pick", BOTH, "tcp.goodput", GAIN, ())
    seen = Explored((), {}, (("receive-window", "the receiver's window is 12 KiB"),), ())
    told = explanations(PLAN, (rounds, confirm), pick, seen, kept)  # type: ignore[arg-type]  # what of a store it asks
    unknown = explanations(PLAN, (confirm,), pick, None, kept)  # type: ignore[arg-type]  # as above

    assert [each.setting for each in BOTH] == [NOTSENT, RMEM]
    assert told[RMEM].startswith("receive-window is gone: the receiver's window from 12 KiB")
    assert told[NOTSENT] == "the round trip under load from 0.90 ms to 0.10 ms"
    assert unknown == {}


@pytest.mark.parametrize(
    ("rtt_us", "words"),
    [(900.0, "send-buffer is gone"), (2700.0, "send-buffer is gone: what is in flight from 88 KiB")],
)
def test_a_symptom_that_is_gone_is_shown_by_its_own_figure_or_by_none(rtt_us: float, words: str) -> None:
    """The receiver's window moved most, and says nothing of the send buffer."""
    kept = _Kept()
    pair = config(SettingSpec(RMEM, "4096 131072 33554432", None), SettingSpec(WMEM, "4096 16384 33554432", None))
    confirm = kept.measured("confirm", {CURRENT: ((), NARROW, 900.0), "pick": (pair, WIDE, rtt_us)})
    pick = Pick(("balanced",), "pick", pair, "tcp.goodput", GAIN, ())
    seen = Explored((), {}, (("receive-window", "12 KiB"), ("send-buffer", "88 KiB")), ())
    told = explanations(PLAN, (confirm,), pick, seen, kept)  # type: ignore[arg-type]  # what of a store it asks

    assert told[RMEM].startswith("receive-window is gone: the receiver's window from 12 KiB")
    assert told[WMEM].partition(" to ")[0] == words


def test_the_rate_of_a_path_of_real_nics_is_what_they_tell_unless_the_plan_says_it() -> None:
    """Machines that stand have no shaper: without a rate nobody could say that the link is full."""
    ends = (Machine("a", Login("a"), ("eno1",), "192.0.2.1"), Machine("b", Login("b"), ("eno1",), "192.0.2.2"))
    topology = PLAN.topologies[0]
    shaped = replace(topology, shape=replace(topology.shape, rate_mbit=200))
    stand = replace(PLAN, inventory=Inventory(ends), topologies=(topology,))
    kept = _Kept()
    kept.machine |= {"speed of eno1 on a": "10000", "speed of eno1 on b": "1000"}
    noise = kept.measured("noise", {CURRENT: ((), NARROW, 900.0)})
    rates = [
        path_of(plan, noise, kept).rate_bps  # type: ignore[arg-type]  # what of a store it asks
        for plan in (stand, replace(stand, topologies=(shaped,)), PLAN)
    ]

    assert rates == [1e9, 200e6, 0.0]


class _Swept(_Kept):
    """Each of whose trials found a black hole."""

    def raw(self, trial_id: int) -> Mapping[tuple[str, str], str]:
        """See Store.raw."""
        del trial_id
        return {("path-mtu", "sweeps"): json.dumps([{"way": "a>b", "mtu": 1500, "passes": 1400, "silent": True}])}


def test_trials_of_current_that_failed_tell_of_a_black_hole() -> None:
    """Not one is done, so nothing can be searched; what the path is ill of is named all the same."""
    kept = _Swept()
    noise = kept.measured("noise", {CURRENT: ((), NARROW, 900.0)})
    failed = replace(noise, trials=[replace(each, status="failed") for each in noise.trials])
    missing = replace(noise, trials=[replace(each, status="missing") for each in noise.trials])
    found, nothing = (limits(PLAN, each, kept) for each in (failed, missing))  # type: ignore[arg-type]  # as above

    assert [name for name, _ in found.symptoms] == ["mtu-black-hole"]
    assert "mtu-black-hole" not in dict(found.unseen)
    assert nothing.symptoms == ()
    assert "mtu-black-hole" in dict(nothing.unseen)


@pytest.mark.parametrize("word", ["driver of eno1 on a", "firmware of eno1 on b", "speed of eno1 on a", "kernel of b"])
def test_a_nic_that_is_another_in_mid_search_ends_it(word: str) -> None:
    """A driver or firmware that was exchanged, a link that came up slower: named, and nothing goes on."""
    kept = _Kept()
    first, later = (kept.measured(purpose, {CURRENT: ((), NARROW, 900.0)}) for purpose in ("noise", "race"))
    kept.machines = {first.run_id: {word: "old", "only once": "x"}, later.run_id: {word: "new"}}
    with pytest.raises(FactsMoved, match=f"{word}: 'old' -> 'new'") as ended:
        unmoved(first, later, kept)  # type: ignore[arg-type]  # what of a store it asks
    kept.machines = {first.run_id: {word: "old"}, later.run_id: {}}
    unmoved(first, later, kept)  # type: ignore[arg-type]  # a run of an older nettune has none

    assert "(1 facts differ)" in str(ended.value)


def test_one_knob_on_ends_and_nodes_has_a_reason_for_each() -> None:
    """What moved with it on the hypervisor is not said of the guests."""
    budget = "net.core.netdev_budget"
    rows = tuple({"setting": budget, "value": "600", "target": target, "was": "300"} for target in ("guest", "node"))
    pick = Pick(("throughput",), "arm", (), "tcp.goodput", GAIN, ())
    found = advice(
        example_run(settings={"arm": rows}),
        Answer("confirmed", (pick,), ("said",), 12),
        pick,
        {f"{budget} on the node": "time-squeeze is gone"},
        ("tune-1", ()),
    )

    assert [each.reason.partition(":")[0] for each in found.recommendations] == ["unexplained", "explained"]
