"""A rate search on the real kernel, against a shaper whose rate is known."""

import time
from pathlib import Path

import pytest

from bench.capacity.datagrams import Datagrams
from bench.hosts.command import Command
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.probe import Pair
from bench.probes.rate import Rate

_MBIT, _FRAME = 40.0, 1518
_TRUTH_FPS = _MBIT * 1e6 / 8 / (_FRAME - 4)  # a qdisc counts Ethernet's header, not its checksum
# What a scheduler's stall bunches together fits the queue; in a trial it passes 1 % more than the rate.
_QUEUE_S, _TRIAL_S = 0.03, 3.0

_READS = """\
import socket, sys
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taking.bind((sys.argv[1], 5353))
print("reads", flush=True)
while True:
    taking.recv(99)
"""
_SENDS = "while :; do echo x >/dev/udp/$1/5353; sleep 0.01; done"


@pytest.mark.quiet
def test_pdr_is_the_rate_of_a_shaper(tmp_path: Path) -> None:
    """Both bounds within 3 % of the token bucket's rate: 1 % its queue, 0.5 % the loss allowed, 1 % the width."""
    rate_bytes = _MBIT * 1e6 / 8
    shaper = ("tbf", "rate", f"{_MBIT:g}mbit", "burst", str(round(rate_bytes * 0.004)), "limit",
              str(round(rate_bytes * (_QUEUE_S + 0.004))))  # fmt: skip
    with standing(Topology("bridge"), leases_folder=tmp_path) as lab:
        lab.named("node").run(Command(("tc", "qdisc", "add", "dev", "port-b", "root", *shaper))).require()
        probe = Rate("rate", _FRAME, 2 * _MBIT, _TRIAL_S, _TRIAL_S, 1.0, 120.0)
        measured = probe.measure(Pair(lab.a, lab.b, 21000, 31000))

    found = {sample.metric: sample.value for sample in measured.samples}
    assert found["pdr"] == pytest.approx(_TRUTH_FPS, rel=0.03)
    assert found["pdr_high"] == pytest.approx(_TRUTH_FPS, rel=0.03)
    assert found["pdr_goodput"] == pytest.approx(found["pdr"] * (_FRAME - 46) * 8)
    assert measured.delivered_bytes > 0


@pytest.mark.quiet
def test_what_is_in_a_queue_when_the_sender_stops_is_counted(tmp_path: Path) -> None:
    """Below the rate nothing is lost, though a queue of 0.4 s still holds frames when iperf3's test is over."""
    with standing(Topology("bridge"), leases_folder=tmp_path) as lab:
        shaper = ("tbf", "rate", "8mbit", "burst", "10kb", "limit", "400kb")
        lab.named("node").run(Command(("tc", "qdisc", "add", "dev", "port-b", "root", *shaper))).require()
        made = Datagrams(Pair(lab.a, lab.b, 21000, 31000), _FRAME).offer(800.0, 1.0)  # 9.7 Mbit/s for a second

    assert made.received == made.sent
    assert made.sent == pytest.approx(800, abs=8)


@pytest.mark.quiet
def test_what_others_send_to_the_receiver_is_not_counted(tmp_path: Path) -> None:
    """A name server's worth of datagrams that another program reads there; each hid one that was lost."""
    with standing(Topology("bridge"), leases_folder=tmp_path) as lab:
        reads = Command(("python3", "-c", _READS, lab.b.address), deadline_s=60)
        sends = Command(("bash", "-c", _SENDS, "bash", lab.b.address), deadline_s=60)
        with lab.b.host.start(reads) as reading:
            until = time.monotonic() + 30
            while not reading.output() and time.monotonic() < until:
                time.sleep(0.02)
            with lab.a.host.start(sends):
                made = Datagrams(Pair(lab.a, lab.b, 21000, 31000), _FRAME).offer(800.0, 1.0)

    assert made.sent == pytest.approx(800, abs=8)
    assert (made.received, made.wrong) == (made.sent, "")
