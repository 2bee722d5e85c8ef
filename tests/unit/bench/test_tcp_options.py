"""Options of the tcp probe: what contradicts each other is refused by file, line and key, with what instead."""

from typing import Any

import pytest

from bench import document
from bench.document import from_plain
from bench.hosts.command import Command
from bench.plan import Plan, parse
from bench.probes import limits
from bench.probes.engine import ENGINES
from bench.probes.iperf3 import Tcp
from results.errors import NotAble, WrongInput
from results.metrics import METRICS
from tests.unit.bench.fakes import FakeHost
from tuning.knobs.table import check

PLAN = """\
name: my-path
topologies: [bridge]
probes:
  - {kind: tcp, duration_s: 0.8, warmup_s: 0.2}
primary: tcp.goodput
"""


def _plan(options: str = "", *overrides: str, top: str = "") -> Plan:
    text = PLAN.replace("warmup_s: 0.2", f"warmup_s: 0.2{', ' if options else ''}{options}") + top
    return parse(document.read(text, "my.yaml"), check=check, overrides=overrides)


def _tcp(options: str = "", *overrides: str, top: str = "") -> Tcp:
    probe = _plan(options, *overrides, top=top).probes[0]
    assert isinstance(probe, Tcp)
    return probe


BAD = {
    "streams and processes": ("streams: 4, processes: 2", "processes: each process has one stream", "one of streams"),
    "too many both ways": ("direction: both, streams: 65", "streams: both ways take two ports each", "streams: 64"),
    "too many processes": ("direction: both, processes: 128", "processes: both ways take two", "processes: 64"),
    "CPUs of streams": ("streams: 2, cpus: [0, 1]", "cpus: they are dealt to processes", "processes, for streams"),
    "CPUs to spare": ("cpus: [0, 1, 2]", "cpus: 3 CPUs for 1 processes of two ends", "two for each"),
    "no CPU": ("cpus: []", "cpus: no CPU is listed", "leave it out"),
    "a CPU too far": ("cpus: [1024]", "cpus[0]: 1024 is outside 0 … 1023", ""),
    "one CPU without a list": ("cpus: 1", "cpus: a list belongs here, not '1'", ""),
    "a write beyond iperf3's": ("write_bytes: 1048577", "write_bytes: 1048577 is outside 1 … 1048576", ""),
    "no write": ("write_bytes: 0", "write_bytes: 0 is outside 1 … 1048576 bytes", ""),
    "an MSS below the kernel's": ("mss_bytes: 87", "mss_bytes: 87 is outside 88 … 9216 bytes", ""),
    "an MSS beyond iperf3's": ("mss_bytes: 9217", "mss_bytes: 9217 is outside 88 … 9216 bytes", ""),
    "a window beyond iperf3's": ("window_bytes: 536870913", "window_bytes: 536870913 is outside 4096 … 536870912", ""),
    "a number for a control": ("congestion_control: [10, reno]", "congestion_control[0]: '10' is no name", ""),
    "half a switch": ("zerocopy: maybe", "zerocopy: 'maybe' is neither on nor off", ""),
    "an unknown engine": ("engine: iperf2", "engine: 'iperf2' is none of iperf3, libiperf", "did you mean 'iperf3'?"),
    "streams of libiperf": ("engine: libiperf, streams: 2", "streams: libiperf runs one stream", "engine: iperf3"),
    "processes of libiperf": ("engine: libiperf, processes: 2", "processes: libiperf runs one", "engine: iperf3"),
    "CPUs of libiperf": ("engine: libiperf, cpus: [0]", "cpus: libiperf cannot be told a CPU", "engine: iperf3"),
}


@pytest.mark.parametrize(("options", "words", "hint"), BAD.values(), ids=BAD)
def test_a_contradiction_names_file_line_key_and_what_instead(options: str, words: str, hint: str) -> None:
    """Before anything is measured."""
    with pytest.raises(WrongInput) as raised:
        _plan(options)

    assert str(raised.value).startswith(f"my.yaml:4: probes[0].{words[:5]}")
    assert words in str(raised.value)
    assert hint in raised.value.hint


@pytest.mark.parametrize(("direction", "most_s"), [("forward", 100), ("both", 50)])
def test_a_run_whose_report_does_not_fit_a_pipe_is_refused(direction: str, most_s: int) -> None:
    """Libiperf would wait for ever."""
    fits = f"duration_s={most_s - 1}"
    with pytest.raises(WrongInput, match=rf"duration_s: libiperf waits for ever.* at most {most_s} s fit"):
        _tcp(f"direction: {direction}, engine: libiperf", f"tcp.duration_s={most_s}")

    assert _tcp(f"direction: {direction}, engine: libiperf", f"tcp.{fits}").duration_s == most_s - 1


def test_the_plans_engine_drives_the_probes_that_name_none() -> None:
    """As a key, and as `--set engine=libiperf`; a probe's own word stands."""
    assert _tcp().engine == "iperf3"
    assert _tcp(top="engine: libiperf\n").engine == "libiperf"
    assert _tcp("", "engine=libiperf").engine == "libiperf"
    assert _tcp("engine: iperf3", "engine=libiperf").engine == "iperf3"
    with pytest.raises(WrongInput, match="engine: 'iperf4' is none of iperf3, libiperf"):
        _plan("", "engine=iperf4")
    with pytest.raises(WrongInput, match=r"my\.yaml:4: probes\[0\]\.streams: libiperf runs one stream"):
        _plan("streams: 2", "engine=libiperf")


def test_an_engine_without_a_probe_that_has_one_is_refused() -> None:
    """It would drive nothing."""
    text = PLAN.replace("{kind: tcp, duration_s: 0.8, warmup_s: 0.2}", "{kind: latency}").replace(
        "tcp.goodput", "latency.rtt_p50"
    )
    with pytest.raises(WrongInput, match=r"my\.yaml:6: engine: no probe has an engine"):
        parse(document.read(f"{text}engine: libiperf\n", "my.yaml"), check=check)


def test_a_plan_with_an_engine_can_be_stored_and_read_again() -> None:
    """A resumed run is driven by what it began with."""
    plan = _plan("zerocopy: on, write_bytes: 4096, mss_bytes: 1200", "engine=libiperf")
    again = parse(from_plain(dict(plan.document), "the run's plan"), check=check)

    assert again == plan


def test_every_option_of_a_command_is_a_word_of_iperf3() -> None:
    """The client's line; the server is told by the client."""
    probe = _tcp("write_bytes: 4096, mss_bytes: 1200, window_bytes: 65536, zerocopy: yes, direction: both")
    words = probe.client_command(_pair()).argv

    assert words[words.index("--json") + 1 :] == (
        "--bidir", "--window", "65536", "--length", "4096", "--set-mss", "1200", "--zerocopy"
    )  # fmt: skip


def _pair() -> Any:  # Any: a Pair, whose hosts no command looks at
    from bench.labs.lab import Endpoint
    from bench.probes.probe import Pair

    ends = [Endpoint(FakeHost(name), "eth0", f"198.18.0.{n}") for n, name in enumerate("ab", 1)]
    return Pair(ends[0], ends[1], 20000, 30000)


@pytest.mark.parametrize(
    ("options", "ports", "cpus"),
    [("processes: 3", [30000, 30001, 30002], []),
     ("processes: 3, direction: both", [30000, 30002, 30004], []),
     ("processes: 3, cpus: [0]", [30000, 30001, 30002], ["0,0", "0,0", "0,0"]),
     ("processes: 3, cpus: [0, 1]", [30000, 30001, 30002], ["0,1", "0,1", "0,1"]),
     ("processes: 3, cpus: [0, 1, 2, 3]", [30000, 30001, 30002], ["0,1", "2,3", "0,1"])],
)  # fmt: skip
def test_processes_take_the_next_ports_and_are_dealt_the_cpus(options: str, ports: list[int], cpus: list[str]) -> None:
    """Servers count up by one, clients by the ports that each of them takes; servers come first."""
    commands = [command.argv for _, command in _tcp(options).commands(_pair())]
    clients = commands[3:]

    assert [argv[argv.index("--port") + 1] for argv in commands] == ["20000", "20001", "20002"] * 2
    assert [int(argv[argv.index("--cport") + 1]) for argv in clients] == ports
    assert [argv[argv.index("--affinity") + 1] for argv in clients if "--affinity" in argv] == cpus


def test_libiperf_is_a_program_of_its_own_that_takes_the_same_words() -> None:
    """What stands before the options is all that differs."""
    one, other = (_tcp("", f"engine={name}").client_command(_pair()).argv for name in ENGINES)

    assert one[0] == "iperf3"
    assert other[:3] == ENGINES["libiperf"].argv
    assert other[1] == "-P"
    assert one[1:] == other[3:]
    assert _tcp("", "engine=libiperf").tools == (Command((*ENGINES["libiperf"].argv, "--version")),)


DEFINED = {
    "": "",
    "direction: both": "both ends read in the window while both sent",
    "processes: 2": "summed over 2 iperf3 processes, the window lying where all of them ran",
    "write_bytes: 4096, zerocopy: on": "with writes of 4096 bytes, zero copy (sendfile)",
    "mss_bytes: 1200": "with an MSS of at most 1200 bytes",
    "engine: libiperf": "with libiperf through its Python wrapper",
    "cpus: [0, 1]": "with CPUs 0, 1 dealt to clients and servers",
}


@pytest.mark.parametrize(("options", "words"), DEFINED.items())
def test_what_goodput_means_says_how_it_was_driven(options: str, words: str) -> None:
    """A plain probe keeps the definition of the table; the report prints this beside each figure."""
    plan = _plan(options)

    assert words in plan.design.definitions.get("tcp.goodput", "")
    assert ("tcp.goodput" in plan.design.definitions) == bool(words)
    assert {name.partition(".")[2] for name in plan.design.metrics} <= set(METRICS)


def test_both_ways_compare_each_way_beside_the_sum() -> None:
    """A way that starves is seen, though the sum stands."""
    assert _plan("direction: both").design.metrics[:3] == (
        "tcp.goodput", "tcp.goodput_forward", "tcp.goodput_reverse"
    )  # fmt: skip


def _machine(command: Command) -> tuple[int, str]:
    return (0, "0-1,3\n") if command.argv[0] == "cat" else (0, "212992\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [("cpus: [0, 1]", ""), ("cpus: [3]", ""), ("cpus: [2, 3]", "CPU 2 is not online on here"),
     ("window_bytes: 425984", ""), ("window_bytes: 425985", "twice the 212992 of net.core.rmem_max"), ("", "")],
)  # fmt: skip
def test_what_this_machine_cannot_give_is_told_before_the_first_trial(options: str, words: str) -> None:
    """CPUs that are online, and the kernel's limit of socket buffers, which iperf3 compares with twice."""
    host, probe = FakeHost("here", _machine), _tcp(options)
    if not words:
        limits.check(host, probe)
        return
    with pytest.raises(NotAble, match=words):
        limits.check(host, probe)


@pytest.mark.parametrize(
    ("text", "found"), [("0\n", {0}), ("0-3", {0, 1, 2, 3}), ("0,2-3,7\n", {0, 2, 3, 7}), ("", set())]
)
def test_a_list_of_cpus_is_read_as_the_kernel_writes_it(text: str, found: set[int]) -> None:
    """Ranges and single ones."""
    assert limits.cpus(text) == found
