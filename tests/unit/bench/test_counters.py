"""Running counters: parsed from a recorded host, subtracted, and turned into cores."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts import carriers
from bench.facts.counters import (
    CONNECTIONS,
    QUESTION,
    QUEUES,
    Counters,
    cores,
    grown,
    growth,
    missed,
    parse,
    parse_connections,
    parse_queues,
    questions,
    told,
)
from bench.hosts.command import Outcome
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.recorded import answered, outcomes

TEXT = outcomes("state", "end")[-1].stdout
ZERO = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"), 0)
START = Counters(100.0, ZERO, {}, {}, {})


def test_a_recorded_host_tells_its_counters() -> None:
    """The question is the recorded one; CPU, devices, softnet and the stack are there."""
    outcome = outcomes("state", "end")[-1]
    found = parse(outcome)

    assert outcome.command.argv == QUESTION.argv
    assert set(found.cpu) == set(ZERO)
    assert set(found.devices) == {"lo", "eth0"}
    assert set(found.devices["eth0"]) >= {"rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped", "tx_packets"}
    assert set(found.softnet) == {"processed", "dropped", "squeezed"}
    assert {"Tcp.RetransSegs", "Udp.InDatagrams", "TcpExt.TCPTimeouts"} <= set(found.stack)
    assert found.uptime_s > 0


def test_the_columns_of_a_device_are_the_kernels() -> None:
    """Sixteen numbers, receiving first (net/core/net-procfs.c)."""
    text = TEXT[: TEXT.index("==> /proc/net/dev")] + (
        "==> /proc/net/dev <==\nInter-| Receive\n face |bytes\n"
        " eth0.5: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    ) + TEXT[TEXT.index("\n==> /proc/net/softnet_stat") :]  # fmt: skip
    device = parse(answered(text)).devices["eth0.5"]

    assert (device["rx_bytes"], device["rx_dropped"], device["tx_bytes"], device["tx_dropped"]) == (1, 4, 9, 12)


def test_frames_that_a_ring_had_no_room_for_are_counted_where_the_nic_tells_them() -> None:
    """/proc/net/dev adds them to what the stack dropped (net/core/net-procfs.c); a NIC that is gone tells nothing."""
    host = FakeHost("node")
    asked = missed(["eth0", "gone"])
    text = "==> /sys/class/net/eth0/statistics/rx_missed_errors <==\n42\n"
    first, later = (
        told({host: (answered(TEXT), Outcome(asked, "node", 1, words, "tail: cannot open", 0.0))})["node"]
        for words in (text, text.replace("42", "49"))
    )

    assert later.devices["eth0"]["rx_missed"] == 49
    assert "rx_missed" not in later.devices["lo"]
    assert growth(first, later)["devices"] == {"lo": {}, "eth0": {"rx_missed": 7}}


def test_the_cpu_that_is_busiest_with_interrupts_is_named() -> None:
    """Hard and soft ones, of all its ticks without those of guests, which stand in user too; hot-plugged ones count."""
    before = replace(START, each_cpu={"cpu0": (100, 1000), "cpu1": (100, 1000)})
    text = TEXT.replace(
        "cpu  ", "cpu  1 1 1 1 1 1 1 1 1 1\ncpu0 10 0 0 1040 0 10 140 0 500 0\ncpu1 0 0 0 1000 0 0 190 10\n#", 1
    )
    after = parse(answered(text))

    assert after.each_cpu == {"cpu0": (150, 1200), "cpu1": (190, 1200)}
    assert growth(before, after)["busiest_softirq"] == {"cpu": "cpu1", "share": 0.45}
    assert "busiest_softirq" not in growth(START, START)


def test_connections_are_counted_over_all_cpus() -> None:
    """Hexadecimal, under the kernel's own names; how full the table is belongs to what grew."""
    text = (
        "==> /proc/sys/net/netfilter/nf_conntrack_count <==\n12\n\n"
        "==> /proc/sys/net/netfilter/nf_conntrack_max <==\n262144\n\n"
        "==> /proc/net/stat/nf_conntrack <==\nentries  clashres found drop\n0000000c  00000000 0000000a 00000001\n"
        "0000000c  00000001 00000010 00000000\n"
    )
    found = parse_connections(answered(text))

    assert found == {"count": 12, "max": 262144, "clashres": 1, "found": 26, "drop": 1}
    assert growth(START, replace(START, connections=found))["connections"] == found
    assert "connections" not in growth(START, START)


@pytest.mark.parametrize("text", ["", "==> /proc/net/stat/nf_conntrack <==\nentries\nzz\n"])
def test_a_host_without_connection_tracking_tells_none(text: str) -> None:
    """The module is not loaded, or its file is not what it was."""
    assert parse_connections(answered(text)) == {}


def test_each_extra_question_is_read_by_its_own_parser() -> None:
    """Queues, connections and carriers come in any order behind the usual one."""
    host = FakeHost("node")
    asked = (carriers.question(("/run/a.pid",)), CONNECTIONS, QUEUES)
    usual, *rest = questions((host,), {host: asked})[host]
    said = (
        "guest a.pid 7\n7 (qemu) S 1 2 3 4 5 6 7 8 9 10 100 50 0 0\n",
        "",
        '[{"dev": "x", "root": true, "drops": 3}]',
    )
    outcomes_ = [answered(TEXT, argv=usual.argv), *(answered(a, argv=b.argv) for a, b in zip(said, rest, strict=True))]
    found = told({host: outcomes_})["node"]

    assert (found.queues, found.carriers, found.connections) == ({"x": 3}, {"guest a: main loop": 150}, {})


def test_softnet_is_hexadecimal_and_summed_over_the_cores() -> None:
    """Each line is a core."""
    text = TEXT[: TEXT.index("==> /proc/net/softnet_stat")] + (
        "==> /proc/net/softnet_stat <==\n0000000a 00000001 00000002 0\n00000010 00000002 00000000 0\n"
    ) + TEXT[TEXT.index("\n==> /proc/net/snmp") :]  # fmt: skip

    assert parse(answered(text)).softnet == {"processed": 26, "dropped": 3, "squeezed": 2}


def test_a_recorded_queue_tells_what_it_dropped() -> None:
    """Into tbf at half of the rate, before and after: the device itself counted none of it."""
    before, after = (parse_queues(outcome) for outcome in outcomes("state", "queues"))

    assert grown(before, after)["port-b"] == 4560
    assert grown(before, after)["port-a"] == 0


def test_what_a_leaf_dropped_is_counted_once() -> None:
    """Its parents count it too."""
    rows = [{"dev": "eth0", "root": True, "drops": 7}, {"dev": "eth0", "parent": "1:1", "drops": 7}]

    assert parse_queues(answered(json.dumps(rows))) == {"eth0": 7}


@pytest.mark.parametrize(
    "text", ["", "[", "{}x", "5", '[{"root": true}]', '[{"dev": "x", "root": true, "drops": "y"}]']
)
def test_queues_that_cannot_be_read_are_not_zero(text: str) -> None:
    """An old tc, or none."""
    with pytest.raises(NotAble, match="on a: `tc -s -j qdisc show` cannot be read"):
        parse_queues(answered(text))


FILES = [
    "/proc/uptime",
    "/proc/stat",
    "/proc/net/dev",
    "/proc/net/softnet_stat",
    "/proc/net/snmp",
    "/proc/net/netstat",
]  # snmp6 is not there where IPv6 is off


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_not_zero(name: str) -> None:
    """Tail prints no header for a file that is not there: the error names the host."""
    start = TEXT.index(f"==> {name} <==")
    end = TEXT.find("\n==> ", start)
    text = TEXT[:start] + ("" if end < 0 else TEXT[end + 1 :])
    with pytest.raises(NotAble, match="on a: counters cannot be read: KeyError"):
        parse(answered(text, returncode=1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cpu  ", "cpux "),
        ("cpu  ", "cpu  x"),
        ("  eth0:", "  eth0: 1 2 3\n  eth1:"),
        ("Tcp: RtoAlg", "Tcp: More RtoAlg"),
    ],
)
def test_counters_of_another_shape_are_refused(old: str, new: str) -> None:
    """A column more or less, a word for a number: nothing is read at the wrong place."""
    assert old in TEXT
    with pytest.raises(NotAble, match="on a: counters cannot be read"):
        parse(answered(TEXT.replace(old, new, 1)))


@pytest.mark.parametrize("text", ["", "tail: nothing", "==> /proc/uptime <==\n\n"])
def test_no_counters_at_all_are_refused(text: str) -> None:
    """Nothing is not zero."""
    with pytest.raises(NotAble):
        parse(answered(text))


def test_an_old_kernel_without_guest_columns_has_no_guests() -> None:
    """Columns that /proc/stat lacks count as 0."""
    line = next(line for line in TEXT.splitlines() if line.startswith("cpu  "))
    found = parse(answered(TEXT.replace(line, " ".join(line.split()[:8]))))

    assert (found.cpu["steal"], found.cpu["guest"], found.cpu["guest_nice"]) == (0, 0, 0)


def test_guest_time_is_not_counted_twice() -> None:
    """The kernel counts guest time in user too, and guest_nice in nice (proc(5))."""
    ticks = ZERO | {"user": 300, "nice": 60, "guest": 200, "guest_nice": 50, "system": 40, "irq": 2, "softirq": 8,
                    "steal": 10, "idle": 500, "iowait": 70}  # fmt: skip
    used = cores(START, replace(START, uptime_s=110.0, cpu=ticks))

    assert used == {
        "busy": pytest.approx(0.42), "softirq": 0.008, "system": 0.04, "user": pytest.approx(0.11), "guest": 0.25,
        "steal": 0.01,
    }  # fmt: skip


def test_a_counter_that_runs_backwards_uses_nothing() -> None:
    """Iowait and steal may step back on some kernels; no use is ever negative."""
    before = replace(START, cpu=ZERO | {"user": 500, "steal": 500})
    used = cores(before, replace(START, uptime_s=101.0))

    assert set(used.values()) == {0.0}


TWO = {"cpu0": (0, 0), "cpu1": (0, 0)}


def test_where_cpus_are_few_busy_is_what_idle_time_leaves() -> None:
    """Ten seconds of two CPUs, 17 of them idle or waiting: ticks that saw one second of work missed two."""
    ticks = ZERO | {"user": 60, "softirq": 40, "idle": 1650, "iowait": 50}
    used = cores(replace(START, each_cpu=TWO), replace(START, uptime_s=110.0, cpu=ticks, each_cpu=TWO))

    assert used["busy"] == pytest.approx(0.3)
    assert used["softirq"] == pytest.approx(0.04)


@pytest.mark.parametrize(("before", "after"), [(17, 17), (2, 1), (0, 0)], ids=["many", "one went off", "not told"])
def test_where_idle_time_says_less_ticks_are_counted(before: int, after: int) -> None:
    """An error of the window would count on each of many CPUs; CPUs that came or went have no idle time of it all."""
    first, last = ({f"cpu{number}": (0, 0) for number in range(count)} for count in (before, after))
    used = cores(
        replace(START, each_cpu=first),
        replace(START, uptime_s=110.0, cpu=ZERO | {"user": 100, "idle": 5}, each_cpu=last),
    )

    assert used["busy"] == pytest.approx(0.1)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_busy_is_never_less_than_nothing_or_more_than_all(idle: int, iowait: int) -> None:
    """Whatever idle time says."""
    after = replace(START, uptime_s=110.0, cpu=ZERO | {"idle": idle, "iowait": iowait}, each_cpu=TWO)

    assert 0 <= cores(replace(START, each_cpu=TWO), after)["busy"] <= 2


def test_two_readings_at_one_moment_divide_by_one_tick() -> None:
    """No division by zero when the clock did not move."""
    assert cores(START, START)["busy"] == 0.0


def test_growth_is_counted_from_zero_for_what_is_new() -> None:
    """A device that appeared grew from nothing; one that is gone is left out."""
    assert grown({"a": 5, "gone": 1}, {"a": 7, "new": 3}) == {"a": 2, "new": 3}


def test_the_host_that_answered_is_named() -> None:
    """With many hosts the error must say which."""
    outcome = Outcome(QUESTION, "node", 1, "", "tail: cannot open", 0.0)
    with pytest.raises(NotAble, match="on node: counters"):
        parse(outcome)


def test_growth_keeps_what_moved_and_leaves_out_what_did_not() -> None:
    """A device that is new grew from 0; counters that stood still are not kept."""
    still = {"rx_bytes": 5, "rx_dropped": 0}
    before = Counters(1.0, {"user": 3, "idle": 7}, {"eth0": still}, {"dropped": 0}, {"Tcp.RetransSegs": 4})
    after = Counters(
        2.5,
        {"user": 4, "idle": 7},
        {"eth0": {"rx_bytes": 9, "rx_dropped": 0}, "eth1": {"rx_bytes": 2}},
        {"dropped": 0},
        {"Tcp.RetransSegs": 6},
    )

    expected = {
        "seconds": 1.5,
        "cpu_ticks": {"user": 1},
        "devices": {"eth0": {"rx_bytes": 4}, "eth1": {"rx_bytes": 2}},
        "softnet": {},
        "stack": {"Tcp.RetransSegs": 2},
    }
    assert expected == growth(before, after)
