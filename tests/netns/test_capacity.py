"""Pairs at once between real namespaces: what they carry is known beforehand, and nothing is left of them."""

import csv
import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import dense, step
from bench.capacity.plan import parse
from bench.document import from_plain, read
from bench.hosts.command import Command
from bench.hosts.host import ask_everywhere
from bench.hosts.local import Local
from nettune.places import places
from results.records import Trial
from results.scaling.arms import PROBE
from results.store import opened
from tests.netns.nettune_command import nettune, plan_file, start

PORTS = step.Ports(21000, 31000, 22000, 42000)
PLAN = """\
name: known
layout: across
uplink_mbit: 100
rate_mbit: 40
pairs: [1, 2, 3, 4, 5, 6]
duration_s: 1.3
warmup_s: 0.6
latency_interval_s: 0.002
repeats: 3
"""
SLO = "goodput>=35Mbit per vm, loss<=5%"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("NETTUNE_STORE", raising=False)


def test_sixty_four_ends_stand_meet_and_leave_nothing(tmp_path: Path, labs_left: Callable[[], set[str]]) -> None:
    """Every client reaches its server; afterwards no namespace and no lease is there."""
    with dense.standing(32, layout="across", uplink_mbit=100.0, leases_folder=tmp_path / "leases") as lab:
        pings = {client.host: (Command(("ping", "-c1", "-W3", server.address)),)
                 for client, server in zip(lab.clients, lab.servers, strict=True)}  # fmt: skip
        told = [outcome.ok for (outcome,) in ask_everywhere(pings).values()]

    assert told == [True] * 32
    assert labs_left() == set()
    assert list((tmp_path / "leases").iterdir()) == []


def test_what_stands_passes_at_once(tmp_path: Path) -> None:
    """The kernel may take a second to note that a link is up, and drop what comes until then: in two of five labs."""
    for _ in range(8):
        with dense.standing(1, layout="across", uplink_mbit=100.0, leases_folder=tmp_path / "leases") as lab:
            shut = shut_devices(lab)
        assert shut == [[], []]


def test_a_leg_that_was_down_passes_when_it_is_back(tmp_path: Path) -> None:
    """Not a second later: trials follow each other sooner."""
    with dense.standing(2, layout="across", uplink_mbit=100.0, leases_folder=tmp_path / "leases", legs=2) as lab:
        for _ in range(4):
            with dense.leg_down(lab, 2):
                assert all("uplink-1" in each for each in shut_devices(lab))
            assert shut_devices(lab) == [[], []]


def shut_devices(lab: dense.Dense) -> list[list[str]]:
    """Those of each node that do not pass packets right now."""
    asked = Command(("ip", "-d", "-j", "link", "show"))
    return [dense.not_passing(node.run(asked).require().stdout) for node in lab.nodes]


def test_one_pair_that_fails_leaves_the_others_numbers_and_marks_the_trial(tmp_path: Path) -> None:
    """The second of three servers has lost its link, and the third's drops half of what comes."""
    plan = parse(from_plain({"name": "three", "pairs": [3], "rate_mbit": 40, "duration_s": 1.5, "warmup_s": 0.4,
                             "latency_interval_s": 0.002, "connections": 1, "connections_s": 1}, "a test"))  # fmt: skip
    with dense.standing(3, layout="across", uplink_mbit=0.0, leases_folder=tmp_path / "leases") as lab:
        lab.servers[1].host.run(Command(("ip", "link", "set", "eth0", "down"))).require()
        full = ("tbf", "rate", "20mbit", "burst", "5kb", "limit", "5kb")
        lab.nodes[1].run(Command(("tc", "qdisc", "add", "dev", "port-s3", "root", *full))).require()
        made = step.trial(lab, 3, plan, PORTS, Local())
    each_way = {each.direction: each.value for each in made.samples if each.metric == "goodput" and each.end != "all"}
    ways = set(each_way)
    of_all = {each.metric: each.value for each in made.samples if each.end == "all"}

    assert made.status == "failed"
    assert made.cause.startswith("pair c2>s2: ")
    assert "the other pairs' numbers stand" in made.cause
    assert ways == {"c1>s1", "c3>s3"}
    assert {each.direction for each in made.samples if each.metric == "connections"} == ways  # of all together none
    assert [each.value for each in made.samples if each.name == f"{PROBE}.connections_failed"] == [1.0]
    assert any(flag.startswith("c2>s2: on c2: wrk") for flag in made.flags)
    assert each_way["c1>s1"] == pytest.approx(40e6, rel=0.1)
    assert each_way["c3>s3"] < 21e6
    assert of_all["goodput"] == pytest.approx(sum(each_way.values()))
    assert of_all["goodput_least"] == each_way["c3>s3"]
    assert of_all["fairness"] == pytest.approx(step.jain(list(each_way.values())))
    assert of_all["dropped_packets"] > 0


def test_a_machine_that_has_enough_while_connections_are_opened_ends_them(tmp_path: Path) -> None:
    """The guard looks in that stage as in the streams' own."""
    text = "name: one\npairs: [1]\nrate_mbit: 10\nduration_s: 0.8\nwarmup_s: 0\nlatency_interval_s: 0.001\n"
    plan = parse(read(f"{text}connections: 1\nconnections_s: 60\n", "one.yaml"))
    with dense.standing(1, layout="same", uplink_mbit=0.0, leases_folder=tmp_path / "leases") as lab:
        listens = Command(("ss", "-Hltn", "sport", "=", f":{PORTS.web}"))
        asked = replace(lab, trouble=lambda: "too much" if lab.servers[0].host.run(listens).stdout else "")
        began = time.monotonic()
        made = step.trial(asked, 1, plan, PORTS, Local())

    assert (made.status, made.cause) == ("missing", "stopped: too much")
    assert time.monotonic() - began < 50


@pytest.mark.quiet
def test_a_known_uplink_is_found_and_named_with_the_answer(tmp_path: Path, labs_left: Callable[[], set[str]]) -> None:
    """100 Mbit/s carry two pairs of 40; the third has too little, and the counters say that the line is full."""
    out = tmp_path / "out"
    done = nettune("capacity", plan_file(tmp_path, PLAN), "--slo", SLO, "--seed", "5", "--out", str(out), "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["vms"]["value"] == 2
    assert found["limited_by"] == ["goodput>=35Mbit per vm"]
    assert found["model"]["name"].endswith("-ceiling")
    assert found["model"]["ceiling_bps"] == pytest.approx(95.6e6, rel=0.03)
    assert [words.partition(":")[0] for words in found["bottleneck"]].count("line-rate") == 1
    assert found["lost"] == []
    with (out / "capacity.csv").open(encoding="utf-8") as file:
        rows = {int(row["pairs"]): row for row in csv.DictReader(file)}
    assert float(rows[6]["goodput_bps"]) == pytest.approx(95.6e6, rel=0.05)
    assert rows[12]["measured"] == "False"
    one, six = rows[1], rows[6]
    assert all(float(row["cpu_softirq_cores"]) + float(row["cpu_system_cores"]) > 0 for row in (one, six))
    assert 0.5 < float(six["fairness"]) <= 1.0
    assert float(six["goodput_least_bps"]) <= float(six["goodput_per_pair_bps"])
    assert 0 < float(one["p50_s"]) <= float(one["p99_s"])
    assert "2 VMs (95 %:" in (out / "capacity.html").read_text(encoding="utf-8")
    assert labs_left() == set()


@pytest.mark.quiet
def test_a_leg_is_taken_away_while_pairs_run_and_fewer_fit_what_is_left(
    tmp_path: Path, labs_left: Callable[[], set[str]]
) -> None:
    """Two legs of 100 Mbit/s bear four pairs of 40, one bears two; the pairs that moved go on."""
    text = PLAN.replace("[1, 2, 3, 4, 5, 6]", "[2, 4]").replace("repeats: 3", "repeats: 1")
    plan = plan_file(tmp_path, f"{text}legs: 2\nleg_down: on\nconnections: 2\nconnections_s: 1\n")
    done = nettune("capacity", plan, "--slo", "goodput>=35Mbit per vm", "--seed", "5", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    down = found["one_leg_down"]
    rows, left = ({row["pairs"]: row for row in each["rows"]} for each in (found, down))
    assert (found["vms"]["value"], found["vms"]["open"], down["vms"]["value"]) == (4, True, 2)
    assert rows[4]["goodput_bps"] == pytest.approx(160e6, rel=0.05)
    assert left[4]["goodput_bps"] == pytest.approx(95.6e6, rel=0.1)
    assert 0 <= max(down["outages_s"]) < 2.5
    assert rows[4]["connections_per_s"] > 100
    assert rows[4]["transfer_time_ratio"] == pytest.approx(1.0, abs=0.05)
    assert 0.9 < rows[4]["tcp_efficiency"] <= 1.0
    assert rows[4]["buffer_delay"] > 0
    assert labs_left() == set()


def test_an_interrupted_run_goes_on_and_measures_no_complete_block_again(
    tmp_path: Path, labs_left: Callable[[], set[str]]
) -> None:
    """SIGTERM in the second block; what stands of the first is in the answer already, and resume ends the rest."""
    text = PLAN.replace("[1, 2, 3, 4, 5, 6]", "[1, 2]")
    program = start("capacity", plan_file(tmp_path, text), "--seed", "5")
    deadline = time.monotonic() + 60
    while _complete() < 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    program.send_signal(signal.SIGTERM)
    _, said = program.communicate(timeout=60)
    left = labs_left()
    first = [each.trial_id for each in _trials() if each.status == "done"]
    partial = nettune("capacity", "--from", "last", "--slo", SLO, "--json")
    rest = nettune("capacity", "--resume", "last", "--slo", SLO, "--json")

    assert program.returncode == 130
    assert "nettune capacity --resume" in said
    assert left == set()
    assert "it takes 6" in json.loads(partial.stdout)["no_model"]
    assert rest.returncode == 0, rest.stderr
    done = [each for each in _trials() if each.status == "done"]
    assert len(done) == 6
    assert _set() != {}
    assert [each.trial_id for each in done][: len(first)] == first


def _complete() -> int:
    if not Path(places().store).exists():
        return 0
    with opened(places().store) as store:
        return sum(status == "complete" for listed in store.run_ids()[:1] for *_, status in store.blocks(listed))


def _set() -> dict[str, str]:
    """What this machine was set to, as it was kept with the trials."""
    with opened(places().store) as store:
        return store.baseline(store.run_ids()[0], "across", arm="")["local"]


def _trials() -> tuple[Trial, ...]:
    with opened(places().store) as store:
        return store.trials(store.run_ids()[0])
