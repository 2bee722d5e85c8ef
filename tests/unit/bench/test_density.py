"""Density plans, the pairs as they would be stood, and what they take."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity import dense, guests, step
from bench.capacity.dense import KEPT_BYTES, PAIR_BYTES, PAIRS_MOST, Dense
from bench.capacity.plan import DensityPlan, load, parse, shipped
from bench.capacity.step import jain
from bench.document import from_plain, read
from bench.facts import carriers, counters
from bench.facts.counters import Counters
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs.guests import Guests
from bench.labs.lab import Endpoint
from bench.probes.iperf3_json import Row
from bench.probes.probe import Pair
from bench.probes.tcp_numbers import Began
from bench.probes.trips import Train
from bench.together import Came
from results.errors import NotAble, WrongInput
from tests.unit.bench.fakes import FakeHost

PLAN = """\
name: mine
layout: across
uplink_mbit: 100
pairs: [4, 1, 2]
duration_s: 5
"""


def planned(text: str) -> DensityPlan:
    """The plan in a text, as from a file."""
    return parse(read(text, "mine.yaml"))


def test_what_ships_can_be_read_and_carries_a_model() -> None:
    """Six numbers of pairs and three trials each, or its answer could have no forecast."""
    plans = [load(name, sited=False) for name in shipped()]

    assert [each.name for each in plans] == list(shipped())
    assert all(len(each.pairs) >= 6 and each.repeats >= 3 for each in plans)


def test_the_quick_plan_takes_less_than_four_minutes() -> None:
    """By its own estimate."""
    assert load("density-quick").estimate_s < 200


def test_pairs_are_ascending_and_the_rest_has_defaults() -> None:
    """A plan says what is unusual."""
    plan = planned(PLAN)

    assert (plan.pairs, plan.repeats, plan.rate_mbit, plan.congestion_control) == ((1, 2, 4), 3, 0.0, "")


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        ("{up_to: 5}", (1, 2, 3, 4, 5)),
        ("{up_to: 12, doubling: on}", (1, 2, 4, 8, 12)),
        ("{up_to: 16, doubling: true}", (1, 2, 4, 8, 16)),
        ("{up_to: 1, doubling: on}", (1,)),
    ],
)
def test_steps_are_linear_or_doubling(written: str, pairs: tuple[int, ...]) -> None:
    """The last is always the one that was named."""
    assert planned(PLAN.replace("[4, 1, 2]", written)).pairs == pairs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("layout: across", "layout: same"), "mine.yaml:3: uplink_mbit: pairs on one bridge have no uplink"),
        (("layout: across", "layout: arcoss"), "mine.yaml:2: layout: 'arcoss' is none of across, same"),
        (("layout: across\nuplink_mbit: 100", "lab: {provider: proxmox, cluster: x}\nlegs: 2"), "links are taken away"),
        (("uplink_mbit: 100", "leg_down: on"), "mine.yaml:3: leg_down: the only link cannot be taken away"),
        (("layout: across\nuplink_mbit: 100", "layout: same\nlegs: 2"), "legs: pairs on one bridge have no uplink"),
        (
            ("layout: across\nuplink_mbit: 100\npairs: [4, 1, 2]", "lab: {provider: qemu}\npairs: [5]"),
            "pairs: 4 pairs of guests are the most",
        ),
        (("uplink_mbit: 100", "lab: {provider: qemu}"), "layout: all guests are on one bridge of this machine"),
        (("layout: across\nuplink_mbit: 100", "lab: {provider: qemu, cpus: 0}"), "cpus: 0 is outside 1 … 64 CPUs"),
        (("[4, 1, 2]", "[4, 1, 4]"), "stands there twice"),
        (("[4, 1, 2]", "[]"), "names no number of pairs"),
        (("[4, 1, 2]", "[0]"), "outside 1 … 500 pairs"),
        (("[4, 1, 2]", "{doubling: on}"), "it has no 'up_to'"),
        (("pairs: [4, 1, 2]\n", ""), "it has no 'pairs'"),
        (("duration_s: 5", "duration_s: 1"), "p99 takes 368 probes; 1 pairs send about 124 in 1 s"),
        (("uplink_mbit: 100", "uplink_mbps: 100"), "unknown key 'uplink_mbps'"),
    ],
)
def test_a_plan_that_cannot_be_is_told_by_line_and_key(change: tuple[str, str], words: str) -> None:
    """Before anything is made."""
    with pytest.raises(WrongInput, match=re.escape(words)):
        planned(PLAN.replace(*change))


def test_the_hint_about_probes_holds() -> None:
    """The interval that the error names is enough."""
    with pytest.raises(WrongInput) as raised:
        planned(PLAN.replace("duration_s: 5", "duration_s: 1"))
    interval = raised.value.hint.rpartition(" ")[2]

    assert planned(PLAN.replace("duration_s: 5", f"duration_s: 1\nlatency_interval_s: {interval}")).pairs


def test_a_run_keeps_its_plan_such_that_it_is_read_again() -> None:
    """--resume reads the document of the run."""
    plan = planned(PLAN)

    assert parse(from_plain(dict(plan.document), "the run's plan")) == plan


def test_overrides_change_single_keys() -> None:
    """As of other plans."""
    plan = load("density-quick", ("repeats=7", "pairs=[1, 2, 3]"))

    assert (plan.repeats, plan.pairs) == (7, (1, 2, 3))


def test_a_plan_that_is_not_there_names_those_that_ship() -> None:
    """Or the nearest."""
    with pytest.raises(WrongInput, match="no plan 'density-quik'") as raised:
        load("density-quik")

    assert raised.value.hint == "did you mean 'density-quick'?"


@given(st.integers(1, PAIRS_MOST), st.sampled_from(["same", "across"]))
def test_every_end_has_an_address_and_a_mac_of_its_own(pairs: int, layout: dense.Layout) -> None:
    """In the prefix that is reserved for benchmarks."""
    ends = dense.names(pairs, layout)[: 2 * pairs]
    addresses = {dense.address(each) for each in ends}

    assert len(addresses) == len({dense.mac(each) for each in ends}) == 2 * pairs
    assert all(each.is_private or IPv4Address("198.18.0.0") < each for each in map(IPv4Address, addresses))


def test_a_device_passes_where_it_is_up_and_forwards_if_it_is_a_port() -> None:
    """As `ip -d -j link show` tells of them: loopback's state is UNKNOWN, a port that was just added is disabled."""

    def link(name: str, state: str, port: str = "") -> dict[str, object]:
        slave = {"linkinfo": {"info_slave_kind": "bridge", "info_slave_data": {"state": port}}} if port else {}
        return {"ifname": name, "operstate": state, **slave}

    told = [
        link("lo", "UNKNOWN"),
        link("br0", "UP"),
        link("port-c1", "UP", "forwarding"),
        link("port-c2", "UP", "disabled"),
        link("uplink", "DOWN", "forwarding"),
        link("eth0", "LOWERLAYERDOWN"),
    ]

    assert dense.not_passing(json.dumps(told)) == ["port-c2", "uplink", "eth0"]


def test_the_uplink_alone_is_limited_and_both_ways() -> None:
    """One shaper on each node, none where no rate is given."""
    every = {name: name for name in dense.names(3, "across")}
    limited = [host for each in dense.steps(3, "across", 100.0, every) for host, c in each if c.argv[0] == "tc"]
    free = [host for each in dense.steps(3, "across", 0.0, every) for host, c in each if c.argv[0] == "tc"]

    assert (limited, free) == (["node", "far"], [])


@given(st.integers(1, 40), st.integers(2, 8))
def test_legs_are_links_of_their_own_and_pairs_take_them_in_turn(pairs: int, legs: int) -> None:
    """Both ends of a pair hang on bridges of one leg, and no leg has two pairs more than another."""
    every = {name: name for name in dense.names(pairs, "across")}
    lines = [line for each in dense.steps(pairs, "across", 100.0, every, legs) for _, c in each
             for line in c.stdin.splitlines()]  # fmt: skip
    taken = {port: re.search(rf"link add port-{port} .*\n", "\n".join(lines) + "\n") for port in every}
    dealt = [dense.leg_of(f"c{n}", legs) for n in range(1, pairs + 1)]

    assert sum(line.startswith("link add uplink-") for line in lines) == legs
    assert sum("tbf" in line for line in lines) == 2 * legs
    assert all(dense.leg_of(f"s{n}", legs) == dealt[n - 1] for n in range(1, pairs + 1))
    assert max(map(dealt.count, range(legs))) - min(map(dealt.count, range(legs))) <= 1
    assert all(found is None or f"link set port-{port} addrgenmode none master br{dense.leg_of(port, legs)} up" in lines
               for port, found in taken.items())  # fmt: skip


def test_a_pause_is_the_longest_time_without_a_byte_after_a_moment() -> None:
    """What was before it is not counted."""
    sizes = [5, 0, 0, 0, 5, 5, 0, 0, 5]
    found = [Row(float(k), k + 1.0, size) for k, size in enumerate(sizes)]

    assert step.pause_s(found, 4.5) == 2.0
    assert step.pause_s(found, 0.0) == 3.0
    assert step.pause_s(found[4:6], 0.0) == 0.0


@given(st.integers(0, 1 << 40))
def test_as_many_pairs_fit_as_memory_holds(free: int) -> None:
    """One more would not."""
    fit = dense.fitting(free)

    assert fit == 0 or KEPT_BYTES + fit * PAIR_BYTES <= free
    assert KEPT_BYTES + (fit + 1) * PAIR_BYTES > free


def test_more_pairs_than_memory_holds_are_refused_with_how_many_fit() -> None:
    """Before the first namespace is made."""
    machine = FakeHost(answer=lambda _: (0, "MemAvailable:    2097152 kB\n"))

    dense.check_memory(33, machine)
    with pytest.raises(NotAble, match=r"34 pairs need about .* and 2\.0 GiB are free: 33 pairs fit") as raised:
        dense.check_memory(34, machine)

    assert raised.value.hint == "pairs up to 33"


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/user/here", {"user/memory.max": "1073741824", "user/memory.current": "536870912",
                           "user/memory.stat": "anon 7\ninactive_file 268435456\n",
                           "user/here/memory.max": "max", "user/here/memory.current": "1"}),
        ("5:cpu,memory:/box", {"memory/memory.limit_in_bytes": "1073741824",
                               "memory/memory.usage_in_bytes": "536870912",
                               "memory/memory.stat": "total_inactive_file 268435456\n"}),
    ],
)  # fmt: skip
def test_a_memory_cgroup_s_limit_counts_too(tmp_path: Path, line: str, files: dict[str, str]) -> None:
    """Of 1 GiB half is in use, of which half could be dropped: 768 MiB are left, 5 pairs beside what is kept."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemFree: 1 kB\nMemAvailable: 67108864 kB\n", encoding="utf-8")
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"1:name=systemd:/\n{line}\n", encoding="utf-8")
    for name, text in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")

    dense.check_fit(5, PAIR_BYTES, KEPT_BYTES, Local(), str(tmp_path))
    with pytest.raises(NotAble, match=r"768 MiB|0\.8 GiB are free in this program's memory cgroup: 5 pairs fit"):
        dense.check_fit(6, PAIR_BYTES, KEPT_BYTES, Local(), str(tmp_path))


def test_this_machine_tells_what_is_free() -> None:
    """By the same question; so many pairs no machine holds."""
    with pytest.raises(NotAble, match=r"1000000000 pairs need .* are free"):
        dense.check_memory(1_000_000_000, Local())


_FREE = "MemAvailable:    1536000 kB\n"  # 512 MB that are kept, and two of 480 MB


def test_memory_that_guests_take_is_counted_too() -> None:
    """Two guests a pair, and what QEMU takes beside them."""
    machine = FakeHost(answer=lambda _: (0, "MemAvailable:    2097152 kB\n"))

    guests.check_memory(Guests(memory_mb=384), 1, machine)
    with pytest.raises(NotAble, match=r"1 pairs need about .* 0 pairs fit"):  # its node is a guest as well
        guests.check_memory(Guests(memory_mb=384, nodes=True), 1, replace(machine, answer=lambda _: (0, _FREE)))
    with pytest.raises(NotAble, match=r"2 pairs need about .* 1 pairs fit"):
        guests.check_memory(Guests(memory_mb=384), 2, machine)


def test_guests_share_a_bridge_unless_something_else_is_said() -> None:
    """And so does a resumed run's plan."""
    plan = parse(from_plain({"name": "g", "pairs": [1, 2], "lab": {"provider": "qemu"}}, "a test"))

    assert (plan.layout, plan.guests) == ("same", Guests())
    assert parse(from_plain(dict(plan.document), "the run's plan")) == plan


def came(document: object, *, code: int = 0) -> Came:
    """What a client printed, as it comes back from the barrier."""
    return Came(Outcome(Command(("iperf3",)), "c1", code, json.dumps(document), "", 2.0), 100.0, 102.1)


def told(size_bytes: int) -> dict[str, object]:
    """A test of 2 s in tenths, with so many bytes in each."""
    rows = [{"sum": {"start": k / 10, "end": (k + 1) / 10, "bytes": size_bytes, "seconds": 0.1}} for k in range(20)]
    moved = {"retransmits": 0, "bytes": 20 * size_bytes}
    busy = {"host_total": 1.0, "remote_total": 1.0}
    end = {"cpu_utilization_percent": busy, "sum_sent": moved, "sum_received": moved}
    return {"start": {"connected": [{}]}, "intervals": rows, "end": end}


def test_a_pair_that_got_nothing_of_a_full_path_counts_as_nothing_and_does_not_fail() -> None:
    """Its test ran to the end; a pair whose connection broke is one that failed."""
    plan = parse(from_plain({"name": "two", "pairs": [2], "duration_s": 1.5, "warmup_s": 0.4}, "a test"))
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.5, 0.005, 60))
    pairs = [Pair(Endpoint(FakeHost(f"c{n}"), "eth0", f"198.18.0.{n}"), Endpoint(FakeHost(f"s{n}"), "eth0",
                  f"198.19.0.{n}"), 20000, 30000) for n in (1, 2, 3)]  # fmt: skip
    made.stream(pairs[0], came(told(1_000_000)), came(told(1_000_000)).outcome)
    made.stream(pairs[1], came(told(0)), came(told(0)).outcome)
    made.stream(pairs[2], came({"error": "unable to connect"}, code=1), came({}).outcome)

    assert made._goodput() == [pytest.approx(80e6), 0.0]
    assert made._flags == ["c2>s2: nothing arrived in the window"]
    assert [each.partition(": ")[0] for each in made._failed] == ["pair c3>s3"]


def test_a_pair_whose_probes_all_were_lost_counts_as_lost_and_does_not_fail() -> None:
    """Of 128 pairs some sent one probe in two seconds, and it did not come back in time: the path was full."""
    plan = parse(from_plain({"name": "two", "pairs": [2], "duration_s": 1.5, "warmup_s": 0.4}, "a test"))
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.5, 0.005, 60))
    pair = Pair(Endpoint(FakeHost("c1"), "eth0", "198.18.0.1"), Endpoint(FakeHost("s1"), "eth0", "198.19.0.1"), 1, 2)
    made.echo(pair, came({"round_trips": [{"delay": {}}]}))
    made.echo(pair, came({"round_trips": [{"delay": {"rtt": 1000}}] * 3}))
    made._latency()

    assert made._failed == []
    assert made._flags[0] == "c1>s1: none of 1 probes came back"
    assert {each.metric: each.value for each in made._samples} == {"loss": 0.25, "rtt_p50": 1e-6}


TWO = {"name": "two", "pairs": [2], "duration_s": 1.5, "warmup_s": 0.4}


def pairs_of(count: int) -> list[Pair]:
    """Ends that are fakes."""
    return [Pair(Endpoint(FakeHost(f"c{n}"), "eth0", f"198.18.0.{n}"), Endpoint(FakeHost(f"s{n}"), "eth0",
                 f"198.19.0.{n}"), 20000, 30000) for n in range(1, count + 1)]  # fmt: skip


def test_a_trial_has_goodput_fairness_the_least_pair_and_percentiles_of_all() -> None:
    """Three times as much for one pair as for the other; p99 of both pairs' probes, one in a thousand of them lost."""
    plan = parse(from_plain(TWO, "a test"))
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.5, 0.005, 60))
    ends = pairs_of(2)
    for pair, size in zip(ends, (3_000_000, 1_000_000), strict=True):
        made.stream(pair, came(told(size)), came(told(size)).outcome)
    for pair, first in zip(ends, (1, 501), strict=True):
        trips = [{"delay": {"rtt": 1000 * number}} for number in range(first, first + 500)]
        made.echo(pair, came({"round_trips": [*trips[: 500 - (first > 1)], *([{"delay": {}}] if first > 1 else [])]}))
    late = replace(came({}), released_s=100.25)
    ended = made.ended({}, {}, (), [came({}), late])
    found = {each.metric: each.value for each in reversed(ended.samples)}

    assert (ended.status, ended.flags) == ("done", ("the pairs began 0.25 s apart",))
    assert found | {
        "goodput": 320e6, "goodput_least": 80e6, "fairness": (3 + 1) ** 2 / (2 * (9 + 1)),
        "rtt_p50": 500e-6, "rtt_p99": 990e-6, "loss": 1e-3, "start_skew": 0.25,
    } == pytest.approx(found)  # fmt: skip
    assert sum(sum(each.counts.values()) for each in ended.histograms) == 999


def counted(seconds: float, **grown: object) -> Counters:
    """A machine of four CPUs that counted so much since 0, of which each CPU was idle for what is left."""
    ticks = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest",
                           "guest_nice"), 0)  # fmt: skip
    cpu = ticks | {name: value for name, value in grown.items() if name in ticks and isinstance(value, int)}
    cpu["idle"] = int(400 * seconds) - sum(value for name, value in cpu.items() if name != "guest")
    kinds: dict[str, object] = {"devices": {}, "softnet": {}, "queues": {}, "carriers": {}}
    others = {name: cast("dict[str, Any]", grown.get(name, empty)) for name, empty in kinds.items()}
    return Counters(100.0 + seconds, cpu, stack={}, each_cpu=dict.fromkeys("abcd", (0, 0)), **others)


def test_what_a_trial_takes_of_the_cpus_is_split() -> None:
    """Two seconds of two machines: cores of both together, the share of the fuller one, and guests' packets."""
    plan = parse(from_plain(TWO, "a test"))
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.5, 0.005, 60))
    hosts = (FakeHost("pve1", local=False), FakeHost("pve2", local=False))
    vhost = {"guest a: vhost-7": 40, "guest a: main loop": 10}
    after = {
        "pve1": counted(2.0, user=250, guest=150, system=60, softirq=80, steal=20, carriers=vhost),
        "pve2": counted(2.0, user=20),
    }
    before = {"pve1": counted(0.0, carriers=dict.fromkeys(vhost, 0)), "pve2": counted(0.0)}
    made.stream(pairs_of(1)[0], came(told(1_000_000)), came(told(1_000_000)).outcome)
    found = {each.metric: each.value for each in reversed(made.ended(before, after, hosts, [came({})]).samples)}
    cpu = {name.removeprefix("cpu_"): value for name, value in found.items() if name.startswith("cpu_")}

    assert cpu == {
        "softirq": pytest.approx(0.4), "vhost": pytest.approx(0.25), "system": pytest.approx(0.3),
        "user": pytest.approx(0.6), "guest": pytest.approx(0.75), "steal": pytest.approx(0.1),
        "busy": pytest.approx(2.15), "share": pytest.approx(2.05 / 4), "per_10gbit": pytest.approx(2.15 / 0.008),
    }  # fmt: skip


def test_drops_are_those_of_queues_of_the_pairs_own_devices_and_of_backlogs() -> None:
    """Each kernel's backlog once; what a foreign device of a node drops is none of ours."""
    node, machine = FakeHost("node"), FakeHost("local")
    none = {"rx_dropped": 0, "tx_dropped": 0}
    devices = {"port-c1": {"rx_dropped": 2, "tx_dropped": 3}, "eth9": {"rx_dropped": 100, "tx_dropped": 0}}
    before = {"node": counted(0.0, devices=dict.fromkeys(devices, none)), "local": counted(0.0)}
    softnet = {"dropped": 40}
    after = {
        "node": counted(2.0, devices=devices, queues={"uplink": 500}, softnet=softnet),
        "local": counted(2.0, softnet=softnet, devices={"eth0": {"rx_dropped": 7, "tx_dropped": 0}}),
    }
    lab = Dense((), (), (node,), devices={node: "port-.*|uplink.*"})

    assert step.dropped(lab, (machine,), before, after) == 500 + 2 + 3 + 40
    assert step.dropped(Dense((), (), ()), (), {}, {}) == 0


def test_who_carries_guests_is_asked_what_moves_their_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that machine is none of the nodes: the room of cables between guests that are nodes themselves."""
    node, room = FakeHost("node", local=False), FakeHost("patch")
    asked: dict[str, tuple[Command, ...]] = {}
    question = carriers.question(("/run/a.pid",))

    def read(hosts: Iterable[Host], beside: Mapping[Host, Sequence[Command]]) -> dict[str, Counters]:
        asked.update({host.name: tuple(beside.get(host, ())) for host in hosts})
        return {host.name: counted(0.0) for host in hosts}

    monkeypatch.setattr(counters, "read", read)
    plan = replace(parse(from_plain(TWO, "a test")), duration_s=0.01)
    step._inside(Dense((), (), (node,), machines=(room,), beside={room: (question,)}), plan, FakeHost("local"))

    assert asked == {"patch": (question,), "node": (counters.QUEUES,)}


@given(st.integers(1, PAIRS_MOST))
def test_many_pairs_probe_no_oftener_than_the_machine_bears(n: int) -> None:
    """2000 a second in all; a few keep the interval of their plan."""
    plan = planned(PLAN)

    assert n / plan.probing_s(n) <= 2000.0 * (1 + 1e-9)
    assert plan.probing_s(n) >= plan.interval_s == plan.probing_s(1)


def test_a_pair_whose_machine_is_lost_fails_and_the_others_numbers_stand() -> None:
    """Client or server: nothing came of it, and nothing is asked of what it printed."""
    plan = parse(from_plain({"name": "two", "pairs": [2], "duration_s": 1.5, "warmup_s": 0.4}, "a test"))
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.5, 0.005, 60))
    pairs = [Pair(Endpoint(FakeHost(f"c{n}"), "eth0", f"198.18.0.{n}"), Endpoint(FakeHost(f"s{n}"), "eth0",
                  f"198.19.0.{n}"), 20000, 30000) for n in (1, 2)]  # fmt: skip
    made.stream(pairs[0], replace(came(told(1_000_000)), off_s=0.01), came(told(1_000_000)).outcome)
    lost = replace(came({}, code=-1), lost="c2 was lost")
    made.stream(pairs[1], lost, lost.outcome)
    made.echo(pairs[1], lost)
    ended = made.ended({}, {}, (), [came({}), replace(came({}), released_s=float("nan"), lost="c2 was lost")])

    assert ended.status == "failed"
    assert ended.cause == "pair c2>s2: c2 was lost (and 1 more); the other pairs' numbers stand"
    assert {
        each.metric for each in ended.samples if each.metric.startswith("cpu") or each.metric == "dropped_packets"
    } == set()
    assert next(each.value for each in ended.samples if each.metric == "goodput") == pytest.approx(80e6)
    assert next(each.value for each in ended.samples if each.metric == "start_skew") == 0.0
    assert next(each.value for each in ended.samples if each.metric == "alignment") >= 0.01


def test_streams_that_began_apart_are_cut_in_one_window() -> None:
    """The first sends faster before the second has begun: what it sent alone is in no sum."""
    plan = parse(from_plain({"name": "two", "pairs": [2], "duration_s": 1.2, "warmup_s": 0.4,
                             "latency_interval_s": 0.002}, "a test"))  # fmt: skip
    made = step._Made(Dense((), (), ()), plan, step._probe(plan), Train(1.2, 0.002, 60))
    rows = [Row(k / 10, (k + 1) / 10, 2e6 if k < 8 else 1e6) for k in range(24)]
    made._streams = [step._Stream("c1>s1", rows, Began(100.0, 100.0))]
    made._streams.append(
        step._Stream("c2>s2", [Row(k / 10, (k + 1) / 10, 1e6) for k in range(20)], Began(100.7, 100.9))
    )

    assert made._goodput() == [pytest.approx(80e6), pytest.approx(80e6)]
    assert [each.value for each in made._samples if each.metric == "alignment"] == [pytest.approx(0.1)]


@given(st.lists(st.floats(1e3, 1e10), min_size=1, max_size=50))
def test_fairness_is_one_where_all_are_equal_and_never_above(values: list[float]) -> None:
    """Jain's index lies between 1/n and 1."""
    assert 1 / len(values) - 1e-9 <= jain(values) <= 1 + 1e-9
    assert jain([values[0]] * len(values)) == pytest.approx(1.0)
