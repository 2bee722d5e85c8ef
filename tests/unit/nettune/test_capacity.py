"""The verb `capacity` over runs that are kept already: answers, tables, pages, and what is refused."""

import csv
import html
import io
import json
import math
import random
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import ready
from bench.capacity import density, settings
from bench.capacity.findings import findings
from bench.capacity.plan import load, parse
from bench.capacity.safety import Safety
from bench.document import read
from bench.facts import machine
from bench.facts.sheet import FactSheet
from bench.hosts.local import Local
from bench.run import FactsMoved
from nettune import capacity
from nettune.capacity import Order, carry_out, profiles_applied, resumed, same_machine, same_settings
from nettune.places import places
from results.errors import NotAble, WrongInput
from results.records import Run, Sample
from results.scaling import beside, told
from results.scaling.arms import DOWN, PROBE, arm
from results.scaling.page import page
from results.scaling.slo import parse as level
from results.store import Ended, Store, opened
from tests.unit.bench.fakes import FakeHost
from tests.unit.nettune.program import Program, here
from tuning.applying.record import Applied, header

SLO = "goodput>=100Mbit per vm, p99<=30ms"
PLAN = """\
name: kept
layout: across
uplink_mbit: 400
rate_mbit: 120
pairs: [1, 2, 3, 4, 5, 6]
duration_s: 4
repeats: 3
"""
COUNTERS = json.dumps({"local": {"seconds": 2.0, "busiest_softirq": {"cpu": "cpu3", "share": 0.99}}})


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune` with a state folder of its own."""
    return here(tmp_path, monkeypatch, capsys)


def kept(
    store: Store, *, fails: bool = False, run_id: str = "20260101-000000-aaaa", cost: float = 0.1, legs: int = 1,
    text: str = PLAN, cpu: str = "one CPU", label: str = "", dip: int = 0, full: int = 0,
    failing: Sequence[int] = (1,), line: str = "", facts: FactSheet | None = None,
) -> str:  # fmt: skip
    """A run of 1 … 6 pairs under 382 Mbit/s; with `fails` one trial with 5 pairs failed, or those of `failing` blocks.

    `dip`: so many pairs carry half of what they could. `full`: of so many one probe in fifty is lost.

    Of two legs one is taken away, and what is left carries 191 Mbit/s.
    """
    plan = parse(read(text + (f"legs: {legs}\nleg_down: on\n" if legs > 1 else ""), "kept.yaml"))
    dice = random.Random(11)
    if facts:
        store.keep_facts(facts.digest, facts.host, facts.facts)
    store.begin_run(
        Run(run_id, plan.name, plan.document, density.design(plan), 1, "running", time.time(), None, "test", (),
            {"kernel": "Linux", "cpuinfo": cpu, "idle CPU cores": "0.10",
             **({"line rate": line} if line else {})}, notes=("A note.",), label=label)
    )  # fmt: skip
    for block in range(plan.repeats):
        store.begin_block(run_id, plan.layout, block, 0, [arm(n) for n in plan.pairs])
        for position, n in enumerate(plan.pairs):
            trial = store.begin_trial(run_id, plan.layout, block, 0, position, arm(n))
            if fails and n == 5 and block in failing:
                store.end_trial(trial, Ended("failed", "pair c2>s2: refused; the other pairs' numbers stand", 1.0))
                continue
            values = {
                "goodput": min(n * 119e6, 382e6) * math.exp(dice.gauss(0, 0.01)) / (1 + (n == dip)),
                "rtt_p50": 1e-3 * n, "rtt_p99": 4e-3 * n, "loss": 0.0, "cpu_share": 0.12 * n, "fairness": 0.99,
                "cpu_busy": 0.1 + cost * n,
                "connections": 1000.0 * min(n, 4), "tcp_efficiency": 0.99, "tcp_rtt": 2e-3, "base_rtt": 1e-3,
                "cpu_softirq": 0.05 * n, "cpu_vhost": 0.02 * n, "dropped_packets": 100.0 * (n > 3),
                "goodput_least": 119e6 / n,
            }  # fmt: skip
            if n == full:
                del values["rtt_p99"]
                values["loss"] = 0.02
            noted = ("c1>s1: nothing arrived", "c2>s2: nothing arrived", "rtt_p99 is beyond") if n == full else ()
            samples = tuple(Sample(PROBE, name, value, "1", "all", "-", 4.0) for name, value in values.items())
            if legs > 1:
                left = {"goodput": min(n * 119e6, 191e6), "rtt_p99": 8e-3 * n, "outage": 0.2 + 0.01 * n}
                samples += tuple(Sample(DOWN, name, value, "1", "all", "-", 4.0) for name, value in left.items())
            before = {facts.host: facts.digest} if facts else {}
            store.end_trial(trial, Ended("done", "", 1.0, samples, raw={(PROBE, "counters"): COUNTERS},
                                         flags=noted, facts_before=before))  # fmt: skip
        store.end_block(run_id, plan.layout, block, 0)
    store.end_run(run_id, "complete")
    return run_id


def test_an_answer_comes_from_a_run_without_measuring(program: Program, tmp_path: Path) -> None:
    """The sentence has count, interval, the bound that ends it, and the counters' word for why."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    done = program("capacity", "--from", "last", "--slo", SLO).require()

    assert done.stdout.splitlines()[-1] == (
        "3 VMs (95 %: 3), limited by goodput>=100Mbit per vm; with 4 pairs softirq-bound: cpu3 spent 99 % of "
        "its time in interrupts; in 3 of 3 trials, on local"
    )


def test_the_document_says_what_the_screen_says(program: Program, tmp_path: Path) -> None:
    """For machines: counts, model, rows in base units."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    found = json.loads(program("capacity", "--from", "last", "--slo", SLO, "--json").require().stdout)

    assert found["vms"] == {"value": 3, "low": 3, "high": 3, "open": False}
    assert found["model"]["name"] == "linear-ceiling"
    assert found["model"]["ceiling_bps"] == pytest.approx(382e6, rel=0.02)
    assert [row["pairs"] for row in found["rows"]] == [1, 2, 3, 4, 5, 6, 9, 12]
    assert [row["level_holds"] for row in found["rows"]][:4] == [True, True, True, False]
    assert found["rows"][0]["cores_per_10gbit"] == pytest.approx(0.1 / 0.0119, rel=0.05)


def test_a_folder_gets_page_spreadsheet_and_document(program: Program, tmp_path: Path) -> None:
    """The spreadsheet has a row for each number of pairs, empty where nothing is known."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    program("capacity", "--from", "last", "--slo", SLO, "--out", str(tmp_path / "out")).require()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "capacity.csv").read_text(encoding="utf-8"))))

    assert [row["pairs"] for row in rows][-1] == "12"
    assert rows[-1]["p99_s"] == ""
    assert float(rows[0]["goodput_bps"]) == pytest.approx(119e6, rel=0.05)
    assert json.loads((tmp_path / "out" / "capacity.json").read_text(encoding="utf-8"))["vms"]["value"] == 3
    shown = (tmp_path / "out" / "capacity.html").read_text(encoding="utf-8")
    assert "3 VMs" in shown
    fewer = list(csv.DictReader(io.StringIO((tmp_path / "out" / "capacity-nodes.csv").read_text(encoding="utf-8"))))
    assert [(row["nodes"], row["vms_per_node"], row["then_on_each"]) for row in fewer][:2] == [
        ("2", "1", "2"), ("3", "2", "3")
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "capacity.json").read_text(encoding="utf-8"))["one_node_fewer"][1][
        "vms_in_all"] == 6  # fmt: skip
    assert "One node fewer" in shown


def test_the_page_is_whole_and_asks_nothing_of_a_network(tmp_path: Path) -> None:
    """Charts of all that was measured; no address in it but that of SVG's own names."""
    with opened(str(tmp_path / "nettune.db")) as store:
        found = findings(store, kept(store), level(SLO))
        text = page(found)

    assert text.count("<svg") == 5  # loss was 0 throughout
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "goodput&gt;=100Mbit per vm" in text
    assert "A note." in text


def test_a_trial_that_failed_is_in_no_curve_and_is_told(tmp_path: Path) -> None:
    """Two trials with five pairs are too few for a model; the measured range answers all the same."""
    with opened(str(tmp_path / "nettune.db")) as store:
        found = findings(store, kept(store, fails=True), level(SLO))

    assert found.lost == ((5, "pair c2>s2: refused; the other pairs' numbers stand"),)
    assert "fewer than 3 trials at 5 pairs" in found.answer.no_model
    assert found.answer.most is not None
    assert found.answer.most.value == 3


@pytest.mark.parametrize(
    ("text", "dip", "why"),
    [
        (PLAN, 4, "No model: the curve is not monotonic: 4 pairs carry less than 3 and than 5"),
        (
            PLAN.replace("[1, 2, 3, 4, 5, 6]", "[1, 2, 3, 4]"),
            0,
            "No model: 4 numbers of pairs are too few: it takes 6, with 3 trials each",
        ),
    ],
)
def test_a_curve_without_a_model_still_answers_by_what_was_measured(
    program: Program, tmp_path: Path, text: str, dip: int, why: str
) -> None:
    """One that falls and rises again, and one of four values: no forecast, and why."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store, text=text, dip=dip)
    done = program("capacity", "--from", "last", "--slo", "goodput>=100Mbit per vm").require()

    assert why in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1].startswith("3 VMs (95 %: 3), limited by goodput>=100Mbit per vm")
    assert "~" not in done.stdout


def test_without_a_level_the_curve_is_shown_and_what_to_ask(tmp_path: Path) -> None:
    """The run is worth the same later."""
    with opened(str(tmp_path / "nettune.db")) as store:
        found = findings(store, kept(store), ())

    assert found.answer.most is None
    assert "--slo" in told.sentence(found.answer)


def test_runs_stand_side_by_side(program: Program, tmp_path: Path) -> None:
    """Of two topologies, profiles or nodes."""
    with opened(str(tmp_path / "nettune.db")) as store:
        one, other = kept(store), kept(store, run_id="20260101-000001-bbbb", label="tuned")
        third = kept(store, run_id="20260101-000002-cccc", legs=2)
    words = ("capacity", "--from", one, "--beside", other, "--beside", third, "--slo", SLO)
    done = program(*words, "--out", str(tmp_path / "out")).require()
    found = json.loads((tmp_path / "out" / "capacity.json").read_text(encoding="utf-8"))
    shown = (tmp_path / "out" / "capacity.html").read_text(encoding="utf-8")

    assert "side by side" in done.stdout
    assert done.stdout.splitlines()[-2].endswith(f"; with tuned: 3 VMs (95 %: 3); with run {third}: 3 VMs (95 %: 3)")
    assert "; with tuned: 3 VMs (95 %: 3)" in shown
    assert "; with tuned: 3 VMs (95 %: 3)" in found["answer"]
    assert [each["run_id"] for each in found["beside"]] == [other, third]
    assert all(words in shown for words in ("Side by side", other, "plan: leg_down", "goodput of 6", "(+0 %)"))
    assert "plan: rate_mbit" not in shown  # it is alike


def test_with_one_leg_down_fewer_fit_and_it_is_said(program: Program, tmp_path: Path) -> None:
    """On the screen, in the document and on the page; with how long those that move are silent."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store, legs=2)
    out = tmp_path / "out"
    done = program("capacity", "--from", "last", "--slo", "goodput>=90Mbit per vm", "--out", str(out)).require()
    told_down = (
        "With one leg down: 2 VMs (95 %: 2), limited by goodput>=90Mbit per vm; those that move are without a byte"
    )

    assert f"{told_down} for up to 260" in " ".join(done.stdout.split())
    found = json.loads((out / "capacity.json").read_text(encoding="utf-8"))
    assert (found["vms"]["value"], found["one_leg_down"]["vms"]["value"]) == (4, 2)
    assert max(found["one_leg_down"]["outages_s"]) == pytest.approx(0.26)
    assert "With one leg down: 2 VMs" in (out / "capacity.html").read_text(encoding="utf-8")


def test_connections_and_rfc_6349_are_in_the_answer(program: Program, tmp_path: Path) -> None:
    """Transfer time by what pace and link allow; the round trip beside that of the idle path."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    found = json.loads(
        program("capacity", "--from", "last", "--slo", "connections>=900/s per vm", "--json").require().stdout
    )
    rows = {row["pairs"]: row for row in found["rows"]}

    assert (found["vms"]["value"], found["limited_by"]) == (4, ["connections>=900/s per vm"])
    assert [rows[n]["connections_per_s"] for n in (1, 4, 6)] == [1000.0, 4000.0, 4000.0]
    assert rows[2]["transfer_time_ratio"] == pytest.approx(240 / 238, rel=0.02)  # what the pace asks for
    assert rows[6]["transfer_time_ratio"] == pytest.approx(382.6 / 382, rel=0.02)  # what the link carries
    assert (rows[3]["tcp_efficiency"], rows[3]["buffer_delay"]) == (pytest.approx(0.99), pytest.approx(1.0))


def test_what_it_took_is_shown_by_number_of_pairs(program: Program, tmp_path: Path) -> None:
    """CPU by kind, drops and the least pair: on the screen, on the page, in the spreadsheet and in the document."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    out = tmp_path / "out"
    done = program("capacity", "--from", "last", "--slo", SLO, "--out", str(out)).require()
    rows = list(csv.DictReader(io.StringIO((out / "capacity.csv").read_text(encoding="utf-8"))))
    document = json.loads((out / "capacity.json").read_text(encoding="utf-8"))

    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["4", "0.200", "0.0800", "–", "–", "–", "–", "100", "29.8"] in lines
    names = ("cpu_softirq_cores", "cpu_vhost_cores", "dropped_packets", "goodput_least_bps")
    assert [float(rows[3][name]) for name in names] == pytest.approx([0.2, 0.08, 100.0, 29.75e6])
    assert (rows[3]["cpu_guest_cores"], rows[-1]["dropped_packets"]) == ("", "")
    assert (document["rows"][5]["cpu_vhost_cores"], document["rows"][5]["cpu_steal_cores"]) == (0.12, None)
    assert "What it took" in (out / "capacity.html").read_text(encoding="utf-8")


def test_a_known_line_rate_bounds_the_forecast(program: Program, tmp_path: Path) -> None:
    """Of a link that is known to carry 390 Mbit/s of goodput."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    words = ("capacity", "--from", "last", "--slo", SLO, "--line-rate", "390Mbit")
    found = json.loads(program(*words, "--json").require().stdout)

    assert max(row["goodput_forecast_bps"] for row in found["rows"]) == pytest.approx(382e6, rel=0.01)


def test_any_number_of_vms_can_be_asked_for(program: Program, tmp_path: Path) -> None:
    """With its forecast and the interval of that: on the screen, in the spreadsheet, in the document."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    out = tmp_path / "out"
    words = ("capacity", "--from", "last", "--slo", SLO, "--vms", "8, 10,11,2", "--out", str(out))
    done = program(*words).require()
    rows = {row["pairs"]: row for row in
            csv.DictReader(io.StringIO((out / "capacity.csv").read_text(encoding="utf-8")))}  # fmt: skip

    assert list(rows) == ["1", "2", "3", "4", "5", "6", "8", "9", "10", "11", "12"]
    low, value, high = (float(rows["10"][f"{name}_bps"]) for name in
                        ("forecast_low", "goodput_forecast", "forecast_high"))  # fmt: skip
    assert low < value < high
    assert value == pytest.approx(382e6, rel=0.02)
    assert {"8", "10", "11"} <= {line.split()[0] for line in done.stdout.splitlines() if line.split()}


def test_each_run_beside_has_a_line_of_its_own(program: Program, tmp_path: Path) -> None:
    """That which was said when it was measured, or is said of it; never the first run's."""
    with opened(str(tmp_path / "nettune.db")) as store:
        runs = [kept(store, run_id=f"20260101-000000-{each}aaa", line=line)
                for each, line in (("a", ""), ("b", ""), ("c", "300000000 bit/s"))]  # fmt: skip
    words = ("capacity", "--from", runs[0], "--beside", runs[1], "--beside", runs[2], "--json")
    told_one = json.loads(program(*words, "--line-rate", "300Mbit").require().stdout)
    told_b = json.loads(program(*words, "--line-rate", f"{runs[1]}=300Mbit").require().stdout)
    nobody = program(*words, "--line-rate", "last=300Mbit")

    def refused(found: dict[str, Any]) -> list[bool]:  # Any: JSON
        return ["Mbit/s of the line" in each["no_model"] for each in (found, *found["beside"])]

    assert refused(told_one) == [True, False, True]
    assert refused(told_b) == [False, True, True]
    assert (nobody.returncode, "no run last is beside" in nobody.stderr) == (2, True)


def test_the_rest_of_a_run_of_vms_is_refused_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a user namespace no network leads to a cluster; --resume names no plan that would have told so before."""
    monkeypatch.setattr(machine, "in_user_namespace", lambda _: True)
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path))
    order = Order(load("pve-density", sited=False), 1)
    with opened(":memory:") as store, pytest.raises(NotAble, match="a run without root has no network") as raised:
        carry_out(order, places(), store, lambda _: None)

    assert raised.value.hint == "run it with sudo"


def test_more_pairs_than_memory_holds_are_refused_before_anything_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a plan between namespaces, on a machine that can do all else."""
    monkeypatch.setattr(ready, "check_machine", lambda _: None)
    monkeypatch.setattr(capacity, "checked_version", lambda *_: None)
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path))
    machine_of_2_gb = FakeHost(answer=lambda _: (0, "MemAvailable:    2097152 kB\n"))
    plan = parse(read(PLAN.replace("[1, 2, 3, 4, 5, 6]", "[34]"), "kept.yaml"))

    with pytest.raises(NotAble, match=r"34 pairs need about .*: 33 pairs fit"):
        capacity._check(plan, machine_of_2_gb, places())  # type: ignore[arg-type]  # a fake


def test_the_rest_of_a_run_keeps_its_ceiling(tmp_path: Path) -> None:
    """Nothing of it stands on the line that goes on."""
    with opened(str(tmp_path / "nettune.db")) as store:
        plan = parse(read(PLAN, "kept.yaml"))
        store.begin_run(Run("20260101-000002-cccc", plan.name, plan.document, density.design(plan), 1, "interrupted",
                            time.time(), None, "test", (), {"max host CPU": "60 %"}))  # fmt: skip
        order = resumed(store, "last")

    assert order.safety == Safety(0.6)


@pytest.mark.parametrize(("line_bps", "seen"), [(math.inf, False), (383e6, True), (9.4e9, False)])
def test_a_line_that_is_full_is_named_where_the_operator_alone_knows_it(
    tmp_path: Path, line_bps: float, seen: bool
) -> None:
    """As on a Proxmox VE, whose plans have no uplink of their own."""
    bare = PLAN.replace("layout: across\nuplink_mbit: 400", "layout: same")
    with opened(str(tmp_path / "nettune.db")) as store:
        found = findings(store, kept(store, text=bare), level(SLO), line_bps=line_bps)

    assert any(each.startswith("line-rate: ") for each in found.symptoms) == seen


def test_profiles_that_are_applied_are_a_fact_of_the_run() -> None:
    """Those that stand on its machines; what cannot be asked is told and ends nothing."""
    of = Applied("0123456789ab", "pve1", "mine", 1.0, (), (), (), {})
    states = ("confirmed", "rolled-back", "kept")
    text = "".join(f"{n:012x} {state} 0 {n} {n}\n{header(of)}\n\n" for n, state in enumerate(states))
    hosts = (FakeHost("pve1", lambda _: (0, text)), FakeHost("pve2"), FakeHost("pve3", lambda _: (1, "no such")))

    assert profiles_applied(hosts[:2]) == "pve1: mine, mine"
    assert profiles_applied(hosts[1:2]) == "none"
    assert profiles_applied(hosts[2:]).startswith("pve3: not known (")


def test_another_model_of_cpu_is_seen_side_by_side(tmp_path: Path) -> None:
    """What the machines tell of themselves and is not alike, by the names of those facts."""
    with opened(str(tmp_path / "nettune.db")) as store:
        every = [findings(store, kept(store, run_id=f"20260101-000000-{cpu}", cpu=cpu), level(SLO))
                 for cpu in ("aaaa", "bbbb")]  # fmt: skip
    _, rows = beside.table(every)

    assert ("cpuinfo", "aaaa", "bbbb") in rows
    assert not [row for row in rows if row[0] == "kernel"]
    assert {row[0] for row in rows if row[0] in {"kernel", "cpus", "cpuinfo"}} <= set(machine.read(Local()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--slo", "p99>=2ms"), "--slo, column 4"),
        (("--slo", SLO, "--line-rate", "fast"), "'fast' is no rate"),
        (("--resume", "last", "--set", "repeats=9"), "--resume goes on with a run as it was ordered"),
        (("--label", "my host"), "--label 'my host': a label is a word"),
        (("--resume", "last"), "is complete; there is nothing to resume"),
        (("--from", "last", "--max-host-cpu", "70%"), "--from measures nothing"),
        (("--max-host-cpu", "101%"), "5% to 100%"),
        (("--from", "last", "--vms", "8,x"), "--vms 8,x: 'x' is no number of VMs"),
        (("--from", "last", "--vms", "13"), "--vms 13: no forecast goes beyond 2 times the 6 that are measured"),
        (("density-quick", "--vms", "99"), "--vms 99: no forecast goes beyond 2 times the"),
        (("density-quik",), "no plan 'density-quik'"),
        (("density-quick", "--set", "repeats"), "--set 'repeats' is no key=value"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    program: Program, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit 2, with what was wrong and what instead."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)
    done = program("capacity", *words)

    assert (done.returncode, said in done.stderr) == (2, True)


def test_a_run_of_treatments_and_one_of_pairs_are_not_taken_for_each_other(program: Program, tmp_path: Path) -> None:
    """`show` and `report` send a reader on to `capacity`."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store)

    for verb in ("show", "report", "recommend"):
        done = program(verb, "last")
        assert (done.returncode, "nettune capacity --from" in done.stderr) == (2, True)


def test_a_run_without_a_trial_says_why(tmp_path: Path) -> None:
    """Nothing can be answered from nothing."""
    with opened(str(tmp_path / "nettune.db")) as store:
        plan = parse(read(PLAN, "kept.yaml"))
        store.begin_run(Run("20260101-000002-cccc", plan.name, plan.document, density.design(plan), 1, "running",
                            time.time(), None, "test", (), {}))  # fmt: skip

        with pytest.raises(WrongInput, match="has no trial to answer from: none was finished"):
            findings(store, "last", level(SLO))


def test_a_run_does_not_go_on_with_another_kernel(tmp_path: Path) -> None:
    """Half a curve of each would be a curve of neither."""
    now = {"kernel": "Linux 7", "iperf3": "3.12", "irtt": "0.9", "cpus": "2"}
    with opened(str(tmp_path / "nettune.db")) as store:
        run = store.run(kept(store))

    same_machine(run, {**now, "kernel": "Linux"})
    with pytest.raises(FactsMoved, match="kernel was 'Linux' and is 'Linux 7'"):
        same_machine(run, now)
    began = replace(run, machine={**run.machine, "profiles applied": "none"})
    with pytest.raises(FactsMoved, match="profiles applied was 'none' and is 'pve1: mine'"):
        same_machine(began, {"kernel": "Linux", "profiles applied": "pve1: mine"})


def test_a_run_does_not_go_on_with_other_sysctls_or_another_nic(tmp_path: Path) -> None:
    """By what was kept with its first trial; what only one reading tells is of a module that came or went."""
    was = {"sysctl/net.core.rmem_max": "212992", "feature/eth0/rx-gro": "on", "sysctl/net.bridge.x": "1"}
    first = FactSheet("pve1", was)
    with opened(str(tmp_path / "nettune.db")) as store:
        run = store.run(kept(store, facts=first))
        with pytest.raises(FactsMoved) as raised:
            same_settings(run, store, {"pve1": FactSheet("pve1", {"sysctl/net.core.rmem_max": "4194304",
                                                                  "feature/eth0/rx-gro": "off"})})  # fmt: skip
        same_settings(run, store, {"pve1": FactSheet("pve1", {**was, "sysctl/net.other": "1"}), "pve2": first})

    assert str(raised.value).endswith(
        "cannot go on: pve1: feature/eth0/rx-gro: on -> off, pve1: sysctl/net.core.rmem_max: 212992 -> 4194304"
    )


def test_what_a_machine_is_set_to_is_read_twice_alike() -> None:
    """Its sysctls, without those of devices that come and go with labs."""
    first, second = (settings.read((Local(),)) for _ in range(2))
    facts = first["local"].facts

    assert settings.moved({"local": facts}, second) == ()
    assert "sysctl/net.core.rmem_max" in facts or "sysctl/net.core.somaxconn" in facts
    assert not [key for key in facts if key.startswith(("sysctl/net.ipv4.conf.lo.", "address/", "route/"))]


def test_a_plan_of_too_few_numbers_is_told_before_it_is_measured(program: Program) -> None:
    """Doubling up to 16 is five of them; up to 32 six."""
    five, six = (program("capacity", "density-quick", "--set", f"pairs={{up_to: {most}, doubling: on}}", "--dry-run")
                 for most in (16, 32))  # fmt: skip

    assert "No model will be made of it, and so no forecast: 5 numbers of pairs are too few" in " ".join(
        five.require().stdout.split()
    )
    assert "No model" not in six.require().stdout


def test_a_dry_run_prints_every_line_and_makes_nothing(program: Program, tmp_path: Path) -> None:
    """Namespaces, links, shapers; no store."""
    done = program("capacity", "density-quick", "--dry-run").require()

    assert "14 namespaces" in done.stdout
    assert "far: tc qdisc add dev uplink root handle 1: tbf rate 400mbit" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_was_lost_counts_in_the_answer_and_is_shown(program: Program, tmp_path: Path) -> None:
    """Of five pairs one probe in fifty was lost, so that there is no p99: it is later than any that came."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store, full=5)
    out = tmp_path / "out"
    done = program("capacity", "--from", "last", "--slo", "p99<=60ms", "--out", str(out)).require()
    rows = list(csv.DictReader(io.StringIO((out / "capacity.csv").read_text(encoding="utf-8"))))
    document = json.loads((out / "capacity.json").read_text(encoding="utf-8"))

    assert "4 VMs (95 %: 4), limited by p99<=60ms" in done.stdout
    assert "lost" in next(line for line in done.stdout.splitlines() if line.split()[:1] == ["5"])
    assert (rows[4]["p99_s"], rows[4]["beyond"], rows[3]["beyond"]) == ("", "p99", "")
    assert (document["rows"][4]["p99_s"], document["rows"][4]["beyond"]) == (None, "p99")
    assert "NaN" not in (out / "capacity.json").read_text(encoding="utf-8")
    assert "Infinity" not in (out / "capacity.json").read_text(encoding="utf-8")
    shown = (out / "capacity.html").read_text(encoding="utf-8")
    assert '<td class="number">lost</td>' in shown
    lines = (
        "5 pairs: nothing arrived (c1>s1, c2>s2), in 3 of 3 trials",
        "5 pairs: rtt_p99 is beyond, in 3 of 3 trials",
    )
    assert [line in done.stdout and html.escape(line) in shown for line in lines] == [True, True]
    assert [each["text"] for each in document["noted"]] == ["nothing arrived", "rtt_p99 is beyond"]


def test_pairs_that_failed_in_every_trial_end_the_answer(program: Program, tmp_path: Path) -> None:
    """Five pairs never all came to their end; six did, once in a while."""
    with opened(str(tmp_path / "nettune.db")) as store:
        kept(store, fails=True, failing=(0, 1, 2))
    done = program("capacity", "--from", "last", "--slo", "goodput>=50Mbit per vm").require()

    assert done.stdout.splitlines()[-1] == (
        "4 VMs (95 %: 4), limited by pairs that fail: no trial with 5 pairs succeeded"
    )
