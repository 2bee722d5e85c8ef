"""Cables between namespaces fail and are whole again; path checks find on the real kernel what was put there."""

import signal
import time
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.labs.cable import How
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology

_QUICK = Command(("ping", "-c", "1", "-W", "1", "198.18.0.2"))


def _settled(lab: Lab) -> None:
    """Until a answers again: a bridge's port that comes up is one within its forward delay."""
    deadline = time.monotonic() + 5
    while not lab.a.host.run(_QUICK).ok:
        assert time.monotonic() < deadline
    while lab.a.host.run(Command(("cat", "/sys/class/net/eth0/operstate"))).stdout.strip() != "up":
        assert time.monotonic() < deadline


@pytest.mark.parametrize(("how", "carrier"), [("link-down", "down"), ("silent", "up")])
def test_a_veth_cable_fails_as_asked_and_the_facts_are_as_before(state: Path, how: How, carrier: str) -> None:
    """Nothing passes; whether the end sees it is the difference between the two."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        before = lab.read()
        with lab.cables["a", "eth0"].broken(how):
            passed = lab.a.host.run(_QUICK).ok
            seen = lab.a.host.run(Command(("cat", "/sys/class/net/eth0/operstate"))).stdout.strip()
        _settled(lab)

        assert (passed, seen) == (False, carrier)
        assert differences(before, lab.read()) == ()


def test_a_signal_while_a_cable_is_cut_mends_it(state: Path) -> None:
    """It strikes in the middle; the cable is whole when it is raised."""

    def stop(number: int, frame: object) -> None:
        raise InterruptedError

    former = signal.signal(signal.SIGTERM, stop)
    try:
        with standing(Topology("bridge"), leases_folder=state) as lab:
            with pytest.raises(InterruptedError), lab.cables["b", "eth0"].broken("silent"):
                signal.raise_signal(signal.SIGTERM)
            _settled(lab)
    finally:
        signal.signal(signal.SIGTERM, former)
