"""The options of the tcp probe on the real kernel: each of them really took effect."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts import counters
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes import limits, versions
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Measured, Pair
from bench.trust import path_was_taken
from results.errors import NotAble
from tests.netns.nettune_command import nettune, plan_file, shown

SHORT = Tcp("tcp", 0.7, 0.3, 1, "forward", "", 0)
PAIR = (20321, 30321)
# What the kernel says of the connections to the server's ports, half a second into the test.
LOOK = """\
sleep 0.6
ss -Htinp "( dport >= :$1 and dport < :$2 )"
for pid in $(ss -Htnp "( dport >= :$1 and dport < :$2 )" | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sort -u); do
  echo "$pid runs on $(sed -n 's/^Cpus_allowed_list:\\t//p' /proc/$pid/status)"
  sed -n 's/^rchar: /has read /p' /proc/$pid/io
done
"""


@pytest.fixture
def lab(state: Path) -> Iterator[Lab]:
    """A bridge."""
    with standing(Topology("bridge"), leases_folder=state / "leases") as lab:
        yield lab


def _looked(lab: Lab, probe: Tcp) -> tuple[Measured, str]:
    """What a probe gave, and what the sender's kernel said meanwhile."""
    pair = Pair(lab.a, lab.b, *PAIR)
    look = Command(("sh", "-c", LOOK, "sh", str(PAIR[0]), str(PAIR[0] + 128)), deadline_s=20)
    with lab.a.host.start(look) as looking:
        measured = probe.measure(pair)
        return measured, looking.wait().require().stdout


def _value(measured: Measured, metric: str, direction: str = "") -> float:
    return next(
        each.value
        for each in measured.samples
        if each.metric == metric and each.direction in {direction, direction or each.direction}
    )


def test_an_mss_is_what_the_kernel_sends_with(lab: Lab) -> None:
    """`ss -ti` of the data connection names it; the timestamps' 12 bytes come off."""
    _, told = _looked(lab, replace(SHORT, mss_bytes=600))

    assert set(re.findall(r"\bmss:(\d+)", told)) <= {"600", "588", "1448"}  # the control connection keeps its own
    assert {"600", "588"} & set(re.findall(r"\bmss:(\d+)", told))


def test_a_write_size_stands_in_the_reports_of_both_ends(lab: Lab) -> None:
    """The server learns of it from the client."""
    small = replace(SHORT, write_bytes=2048).measure(Pair(lab.a, lab.b, *PAIR))

    assert [json.loads(small.raw[end])["start"]["test_start"]["blksize"] for end in ("client", "server")] == [2048] * 2


@pytest.mark.parametrize("zerocopy", [False, True])
def test_zero_copy_sends_from_a_file(lab: Lab, zerocopy: bool) -> None:
    """Sendfile counts as reading too (fs/read_write.c); a client that only writes has read little."""
    _, told = _looked(lab, replace(SHORT, zerocopy=zerocopy))
    read_bytes = max(int(word) for word in re.findall(r"has read (\d+)", told))

    assert (read_bytes > 10_000_000) == zerocopy


def test_both_ways_are_counted_by_the_devices_in_both_directions(lab: Lab) -> None:
    """What each end read passed every port of the bridge, each way; the sum is both ways'."""
    before = counters.read(lab.hosts)
    measured = replace(SHORT, direction="both").measure(Pair(lab.a, lab.b, *PAIR))
    after = counters.read(lab.hosts)
    path_was_taken(lab.path, measured, before, after)
    moved = {name: counters.grown(before["a"].devices["eth0"], after["a"].devices["eth0"])[name]
             for name in ("tx_bytes", "rx_bytes")}  # fmt: skip

    assert {each.direction for each in measured.samples} == {"a<>b", "a>b", "b>a"}
    assert _value(measured, "goodput") == pytest.approx(
        _value(measured, "goodput_forward", "a>b") + _value(measured, "goodput_reverse", "b>a")
    )
    assert moved["tx_bytes"] >= measured.delivered_bytes > 0
    assert moved["rx_bytes"] >= measured.returned_bytes > 0


@pytest.mark.parametrize(("direction", "each"), [("forward", 1), ("both", 2)])
def test_processes_are_that_many_on_ports_and_cpus_of_their_own(lab: Lab, direction: str, each: int) -> None:
    """Three processes: three pids, three server ports, consecutive client ports, the CPUs dealt in turn."""
    probe = replace(SHORT, processes=3, cpus=(0, 1), duration_s=1.6, direction=direction)  # type: ignore[arg-type]  # a word of the test's own list
    measured, told = _looked(lab, probe)
    data = set(re.findall(r"\S+:(3032\d)\s+\S+:(2032\d)\s.*pid=(\d+)", told))

    assert {int(port) for port, _, _ in data} == {PAIR[1] + index for index in range(3 * each)}
    assert {int(port) for _, port, _ in data} == {PAIR[0] + index for index in range(3)}
    assert len({pid for _, _, pid in data}) == 3
    assert re.findall(r"runs on (\S+)", told) == ["0"] * 3
    assert {name for name in measured.raw if name.startswith("client")} == {"client-1", "client-2", "client-3"}
    assert 0 < _value(measured, "alignment") < 0.5
    assert measured.delivered_bytes == sum(
        json.loads(measured.raw[f"server-{index}"])["end"]["sum_received"]["bytes"] for index in (1, 2, 3)
    )


def test_processes_move_what_the_device_counts(lab: Lab) -> None:
    """Summed over processes, the path's bytes are accounted for."""
    before = counters.read(lab.hosts)
    measured = replace(SHORT, processes=4, direction="reverse").measure(Pair(lab.a, lab.b, *PAIR))
    path_was_taken(lab.path, measured, before, counters.read(lab.hosts))

    assert measured.receiver == "a"
    assert _value(measured, "goodput") > 1e6


def test_ipv6_works_by_address(lab: Lab) -> None:
    """One way and both, in several processes: an endpoint's address may be of either family."""
    ends = []
    for number, end in enumerate((lab.a, lab.b), 1):
        address = f"fd00:5e::{number}"
        end.host.run(Command(("ip", "address", "add", f"{address}/64", "dev", end.device, "nodad"))).require()
        ends.append(replace(end, address=address))
    pair = Pair(ends[0], ends[1], *PAIR)
    measured = replace(SHORT, processes=2, direction="both").measure(pair)
    connected = json.loads(measured.raw["client-2"])["start"]["connected"]

    assert {each["remote_host"] for each in connected} == {"fd00:5e::2"}
    assert measured.returned_bytes > 0


def test_a_cpu_that_is_not_there_and_a_window_that_is_cut_short_are_refused_before(lab: Lab) -> None:
    """iperf3 would refuse them in every trial."""
    limits.check(lab.a.host, replace(SHORT, cpus=(0,)))
    with pytest.raises(NotAble, match="CPU 1023 is not online on a"):
        limits.check(lab.a.host, replace(SHORT, cpus=(0, 1023)))


STREAMS = """\
name: many
topologies: [direct]
probes: [{kind: tcp, streams: 3, duration_s: 0.6, warmup_s: 0.2}]
primary: tcp.goodput
blocks: 2
"""


@pytest.mark.sampled(1)
def test_streams_are_processes_below_316_and_the_run_says_so(state: Path, tmp_path: Path) -> None:
    """In its notes and in the definition of its goodput; from 3.16 on they stay streams."""
    version = versions.parse(Local().run(Command(("iperf3", "--version"))).require().stdout)
    done = nettune("run", plan_file(tmp_path, STREAMS), "--seed", "1", "--out", str(tmp_path / "out"))
    report = (tmp_path / "out" / "report.html").read_text()
    document = shown()
    expected = version < versions.THREADED

    assert done.returncode == 0, done.stderr
    assert document["trials"]["done"] == 4
    assert ("3 streams run as 3 processes, because iperf3" in report) == expected
    assert ("summed over 3 iperf3 processes" in report) == expected


def test_a_missing_libiperf_is_named_before_anything_is_made(state: Path) -> None:
    """Exit code 3, the package to install; the executable need not be there for it."""
    script = 'for each in /usr/lib/*/libiperf.so.0; do mount --bind /dev/null "$each"; done; exec "$@"'
    hidden = ("unshare", "--mount", "sh", "-c", script, "sh")
    done = nettune("run", "quick", "--set", "engine=libiperf", prefix=hidden)

    assert done.returncode == 3
    assert "libiperf is needed and not there" in done.stderr
    assert "libiperf0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sampled(1)
def test_quick_runs_by_libiperf_as_typed(state: Path, tmp_path: Path) -> None:
    """`--set engine=libiperf`: the same plan, measured, judged and reported; the report says what drove it."""
    done = nettune(
        "run", "quick", "--set", "engine=libiperf", "--blocks", "2", "--seed", "1", "--out", str(tmp_path / "out")
    )
    document = shown()

    assert done.returncode == 0, done.stderr
    assert document["trials"]["done"] == 10
    assert {name for name, n in document["trials"].items() if n and name != "done"} == set()
    assert "driven by libiperf" in (tmp_path / "out" / "report.html").read_text()
