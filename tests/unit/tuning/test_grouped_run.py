"""Blocks of a run whose treatments start guests anew: one group a state, each on guests that have just been started."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench import ready, run
from bench.document import from_plain
from bench.facts.sheet import Sheets, differences
from bench.plan import Plan, parse
from bench.restarts import UNCOUNTED
from bench.treatment import Held, Treatment
from results.errors import NotAble
from results.records import CURRENT_ARMS, Trial
from results.store import Ended, Store, opened
from tests.unit.results.example import example_run
from tests.unit.tuning.kernel import Guest, KernelLab, with_guests
from tuning.journal import kept
from tuning.knobs.table import check
from tuning.treatments import treatments

SETTINGS = {"four": {"vm-queues": 4}, "four-jumbo": {"vm-queues": 4, "mtu": 9000}, "jumbo": {"mtu": 9000},
            "no-tso": {"settings": {"tso": "off"}, "target": "guest"}}  # fmt: skip


def _plan(settings: Mapping[str, object]) -> Plan:
    probes = [{"kind": "tcp", "duration_s": 1, "warmup_s": 0.1}]
    document = {"name": "anew", "lab": {"provider": "qemu"}, "topologies": ["bridge"], "probes": probes,
                "primary": "tcp.goodput", "treatments": dict(settings), "blocks": 6}  # fmt: skip
    return parse(from_plain(document, "anew.yaml"), check=check)


@dataclass
class _Seen:
    """What was probed: the arm's treatment, the queues that a had, and how often a had been started by then."""

    lab: KernelLab
    guests: list[Guest]
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def probed(self, campaign: run.Campaign, treatment: Treatment, lab: KernelLab, baseline: Sheets, held: Held,
               ports: tuple[int, int]) -> Ended:  # fmt: skip
        """In place of real probes."""
        del campaign, ports
        self.rows.append((treatment.name, held.within["a"].facts["vm/vm-queues"], len(self.guests[0].begun)))
        odd = [each for each in differences(baseline, held.within) if not treatment.explains(each)]
        self.broken += [str(each) for each in odd]
        if differences(held.within, lab.read()):
            self.broken.append("the lab is not what is said to be held")
        return Ended("done", "", 0.0)


def _measured(
    monkeypatch: pytest.MonkeyPatch, folder: Path, settings: Mapping[str, object], bears: int = 16
) -> tuple[_Seen, list[Trial], dict[str, str]]:
    """A whole run; what was seen, its trials, and what was skipped."""
    lab, guests = with_guests(bears)
    seen = _Seen(lab, guests)
    monkeypatch.setattr(run, "_probed", seen.probed)
    plan = _plan(settings)
    baseline = lab.read()
    with opened(str(folder / "store.db")) as store, kept(folder / "journal") as journal:
        there = ready.asked({"bridge": lab}, treatments(plan.treatments, journal), ())
        for each in guests:
            each.begun.clear()
        run.measure(_campaign(plan, there, store))
        trials = list(store.trials("anew"))

    assert differences(baseline, lab.read()) == ()
    assert not (folder / "journal").exists()  # nothing is outstanding
    return seen, trials, dict(there.skipped)


def _campaign(plan: Plan, there: ready.Ready, store: Store, run_id: str = "anew") -> run.Campaign:
    store.begin_run(replace(example_run(), run_id=run_id, design=plan.design, status="running", settings={}))
    return run.Campaign(run_id, plan, 3, there.labs, there.baselines, there.live, store, lambda _: None)


def test_each_group_is_measured_on_guests_that_have_just_been_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two states; a trial after each start that is not counted; every arm once a block."""
    seen, trials, skipped = _measured(monkeypatch, tmp_path, SETTINGS)
    arms = {*SETTINGS, *CURRENT_ARMS}
    uncounted = [row for row in seen.rows if row[0] == "vm-queues=4"]
    by_start: dict[int, list[str]] = {}
    for name, _, start in seen.rows:
        by_start.setdefault(start, []).append(name)

    assert skipped == {}
    assert seen.broken == []
    assert {trial.arm for trial in trials} == arms
    assert len(trials) == 6 * len(arms)
    assert {trial.status for trial in trials} == {"done"}
    assert {name: queues for name, queues, _ in seen.rows} == {
        **dict.fromkeys((*CURRENT_ARMS, "jumbo", "no-tso"), "1"),
        **dict.fromkeys(("vm-queues=4", "four", "four-jumbo"), "4"),
    }
    assert len(uncounted) == 6 * UNCOUNTED
    assert len(seen.rows) == 6 * (len(arms) + 2 * UNCOUNTED)
    assert all(each[0] == ("vm-queues=4" if "four" in each else "current") for each in by_start.values())
    assert sorted(map(len, by_start.values())) == [2 + UNCOUNTED] * 6 + [4 + UNCOUNTED] * 6
    assert seen.guests[0].begun.count(4) == 6
    assert 6 <= seen.guests[0].begun.count(1) <= 12


def test_a_run_without_such_treatments_starts_no_guest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And no trial is measured that does not count."""
    seen, trials, _ = _measured(monkeypatch, tmp_path, {"jumbo": {"mtu": 9000}})

    assert seen.guests[0].begun == []
    assert len(seen.rows) == len(trials) == 6 * 3


def test_a_state_that_guests_do_not_come_up_with_is_skipped_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tried before the first trial; the console is the reason; the rest is measured."""
    seen, trials, skipped = _measured(monkeypatch, tmp_path, SETTINGS, bears=2)

    assert skipped.keys() == {"bridge/four", "bridge/four-jumbo"}
    assert all("the console of guest a: too many" in reason for reason in skipped.values())
    assert {trial.arm for trial in trials} == {"jumbo", "no-tso", *CURRENT_ARMS}
    assert seen.guests[0].begun == []


def test_what_fails_at_a_later_start_is_missing_with_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The arms of that group alone; where guests are not what they were the run ends."""
    lab, guests = with_guests()
    seen = _Seen(lab, guests)
    monkeypatch.setattr(run, "_probed", seen.probed)
    plan = _plan(SETTINGS)
    with opened(str(tmp_path / "store.db")) as store, kept(tmp_path / "journal") as journal:
        there = ready.asked({"bridge": lab}, treatments(plan.treatments, journal), ())
        guests[1].bears = 2
        run.measure(_campaign(plan, there, store))
        status = {(trial.arm, trial.status, trial.cause.partition(";")[0]) for trial in store.trials("anew")}
        guests[1].fresh["link/eth0/mtu"] = "1400"
        again = _campaign(plan, there, store, "again")
        with pytest.raises(NotAble, match="link/eth0/mtu"):
            run.measure(again)

    assert status == {
        *((arm, "missing", "guest b ended") for arm in ("four", "four-jumbo")),
        *((arm, "done", "") for arm in ("jumbo", "no-tso", *CURRENT_ARMS)),
    }
