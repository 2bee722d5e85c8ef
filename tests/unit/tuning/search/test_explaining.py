"""What is said of each setting of a pick: its own symptom gone, or what moved with it where it was left out once."""

import json
from collections.abc import Mapping

from bench.plan import SettingSpec
from nettune.wiring import load_plan
from results.records import CURRENT, Trial
from results.statistics import Estimate
from tests.unit.tuning.search.made import design
from tuning.search.exploring import explanations
from tuning.search.planned import Explored
from tuning.search.stages import Measured, Pick, Purpose, Stage, config

RMEM, NOTSENT = "net.ipv4.tcp_rmem", "net.ipv4.tcp_notsent_lowat"
BOTH = config(SettingSpec(RMEM, "4096 131072 33554432", None), SettingSpec(NOTSENT, "131072", None))
NARROW, WIDE = 12032.0, 4e6
GAIN = Estimate(12, 0.5, 0.1, 0.4, 0.6, 0.42, 0.58, 0.001)


PLAN = load_plan("quick", ())


class _Kept:
    """Raw output by trial, as a store has it."""

    def __init__(self) -> None:
        self._windows: list[tuple[float, float]] = []

    def baseline(self, run_id: str, topology: str) -> Mapping[str, Mapping[str, str]]:
        """See Store.baseline."""
        del run_id, topology
        return {}

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
