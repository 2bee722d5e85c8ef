"""The soak of offload validation: it ends when its time is over, and each thing that goes wrong meanwhile is told."""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.path_mtu import addresses
from tests.netns.nettune_command import nettune, start
from tests.netns.offload_relay import relaying
from tuning.journal import kept
from tuning.offload import soak
from tuning.offload.evidence import LevelVerdict
from tuning.offload.exchange import End
from tuning.offload.validating import Wanted, concluded, observe

# Frames of a kind that nobody takes (IEEE 802's second local experiment), as a switch's LLDP is: 40 in two seconds.
_FRAMES = """\
import socket, sys, time
door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
door.bind((sys.argv[1], 0))
for _ in range(40):
    door.send(bytes.fromhex("0180c200000e" "02005e00ff01" "88b6") + bytes(60))
    time.sleep(0.05)
"""
# For a second the other end of a's cable takes no full packet, then it loses its carrier.
_TROUBLE = """\
sleep 1; ip link set port-a mtu 1400; sleep 1; ip link set port-a mtu 1500
ip link set port-a down; sleep 0.2; ip link set port-a up
"""
_PINGS = 'ping -n -q -i 0.2 -c 12 -M do -s 1472 "$1" >/dev/null 2>&1; :'


def _soaked(lab: Lab, folder: Path, seconds: float) -> LevelVerdict:
    """Level 6 of the lab's a, and nothing else."""
    wanted = Wanted(levels=frozenset({"stability"}), soak_s=seconds, bulk_bytes=1_000_000)
    with kept(folder / "journal.jsonl") as journal:
        found = concluded(observe(lab, wanted, journal), {})
    return next(each for each in found.levels if each.level == "stability")


@contextlib.contextmanager
def _meanwhile(*jobs: tuple[Host, tuple[str, ...]]) -> Iterator[None]:
    """Commands that run while the block does, and that are waited for."""
    with contextlib.ExitStack() as stack:
        begun = [stack.enter_context(host.start(Command(argv, deadline_s=60))) for host, argv in jobs]
        yield
        for job in begun:
            job.wait().require()


def _count(lab: Lab, end: int, name: str) -> int:
    path = f"/sys/class/net/eth0/statistics/{name}"
    return int(lab.endpoints[end].host.run(Command(("cat", path))).require().stdout)


def test_a_soak_ends_when_its_time_is_over(state: Path) -> None:
    """Not before, and no more than a round later; how long and how much is told."""
    began = time.monotonic()
    done = nettune("offload", "validate", "--levels", "6,7", "--soak", "3s", "--json")
    took_s, found = time.monotonic() - began, json.loads(done.stdout)

    assert (done.returncode, found["failed"]) == (0, []), done.stderr
    assert {each["level"]: each["outcome"] for each in found["levels"]}["stability"] == "ok"
    (said,) = [each for each in found["notes"] if each.startswith("Soaked for ")]
    assert 3 <= int(said.split()[2]) <= took_s
    assert took_s < 30


def test_a_soak_that_is_broken_off_ends_at_once_and_leaves_nothing(state: Path) -> None:
    """SIGTERM after its first round of ten minutes: exit code 130, and no lab is left."""
    job = start("offload", "validate", "--levels", "6,7", "--soak", "10m")
    assert job.stderr is not None
    for line in job.stderr:
        if "soak: " in line:
            break
    job.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, errors = job.communicate(timeout=60)

    assert (job.returncode, time.monotonic() - began < 20) == (130, True), errors
    assert list((state / "leases").glob("*.jsonl")) == []


def test_a_soak_goes_where_the_ends_have_ipv6_alone(state: Path) -> None:
    """TCP and datagrams of that family."""
    with standing(Topology("direct"), leases_folder=state) as lab:
        sheets = lab.read()
        a, b = (
            End(end.host, end.device, {family: each for each, family in addresses(sheets, end.host.name, end.device)
                                       if family == 6}, "")
            for end in lab.endpoints
        )  # fmt: skip
        found = soak.soaked((a, b), 1500, Wanted(soak_s=0.1, bulk_bytes=1_000_000), lambda _: None)

    assert (found.faults, found.bytes >= 8_000_000) == ((), True)


def test_a_pause_that_ends_again_fails_a_soak(state: Path, tmp_path: Path) -> None:
    """All comes, and whole, but for more than a second nothing did."""
    with standing(Topology("bridge"), leases_folder=state) as lab, relaying(lab, "pauses"):
        level = _soaked(lab, tmp_path, 20)

    assert level.outcome == "failed"
    assert "tcp4 out: nothing came for 1." in level.evidence[0]


def test_a_flap_and_a_counter_of_errors_that_grows_fail_a_soak(state: Path, tmp_path: Path) -> None:
    """By host, name and number, though payload may have come through all the same."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        before = _count(lab, 0, "tx_dropped")
        trouble = (lab.nodes[0], ("sh", "-c", _TROUBLE))
        pings = (lab.a.host, ("sh", "-c", _PINGS, "sh", lab.b.address))
        with _meanwhile(trouble, pings):
            level = _soaked(lab, tmp_path, 4)
        dropped = _count(lab, 0, "tx_dropped")
    told = " | ".join(level.evidence)

    assert (level.outcome, dropped > before) == ("failed", True)
    assert "a: changes of carrier grew from " in told
    assert f"a: tx_dropped grew from {before} to {dropped}" in told


def test_frames_that_nobody_takes_fail_no_soak(state: Path, tmp_path: Path) -> None:
    """A switch's LLDP: the kernel counts each as dropped, and the NIC has done well."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        before = _count(lab, 1, "rx_dropped")
        with _meanwhile((lab.nodes[0], (sys.executable, "-c", _FRAMES, "port-b"))):
            level = _soaked(lab, tmp_path, 3)
        dropped = _count(lab, 1, "rx_dropped")

    assert dropped - before >= 20
    assert (level.outcome, level.evidence) == ("ok", ())
