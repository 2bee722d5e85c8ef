"""Guests started anew within a standing lab: with other queues and back, in a run, and when one is killed meanwhile."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.namespace import Namespace
from bench.labs import qemu
from bench.labs.guests import STARTED_WITH, Guests
from bench.labs.lab import Lab
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from tests.netns.nettune_command import nettune, plan_file
from tests.netns.test_plans import measured_or_named
from tests.vm.kit import kit, leases
from tests.vm.test_guests import carries, guests_in
from tuning import journal
from tuning.treatments import treatments

ANEW = Guests(memory_mb=384, cpus=2, settings=tuple(STARTED_WITH))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two guests with one queue, which can be given more; every test leaves them as they were."""
    folder = tmp_path_factory.mktemp("lab")
    with qemu.standing(Topology("bridge"), kit(ANEW), leases_folder=leases(folder)) as made:
        yield made


@pytest.mark.sampled(1)
def test_queues_and_an_mtu_beyond_the_usual_one_are_held_and_undone(lab: Lab, tmp_path: Path) -> None:
    """The guest's driver has what QEMU offers; traffic passes; every fact that differs is explained, and comes back."""
    baseline = lab.read()
    plan = {"t": (SettingSpec("vm-queues", "2", None), SettingSpec("vm-host-mtu", "9500", None),
                  SettingSpec("mtu", "9500", "path"))}  # fmt: skip
    with journal.kept(tmp_path / "journal") as kept:
        (treatment,) = treatments(plan, kept)
        outer = treatment.outer(lab, baseline)
        assert outer is not None
        with outer.holds(lab, baseline) as around, treatment.holds(lab, around.within) as held:
            odd = [each for each in differences(baseline, held.within) if not treatment.explains(each)]
            said = lab.a.host.run(Command(("ethtool", "-l", "eth0"))).stdout
            large = lab.a.host.run(Command(("ping", "-c", "1", "-W", "5", "-M", "do", "-s", "9400", lab.b.address)))
            carries(lab)

    assert odd == []
    assert said.count("Combined:\t2") == 2  # at most, and now
    assert large.ok, large.stdout
    assert differences(baseline, lab.read()) == ()
    assert not (tmp_path / "journal").exists()
    carries(lab)


def test_guests_are_the_same_after_a_new_start(lab: Lab) -> None:
    """No fact differs from boot to boot, so that undo can be proved by comparing all of them."""
    baseline = lab.read()
    lab.restart({})

    assert differences(baseline, lab.read()) == ()


def test_a_guest_that_qemu_does_not_start_is_told_and_the_lab_is_as_before(lab: Lab) -> None:
    """A ring that is no power of two: QEMU's own words, after a second try; the guests have what they had."""
    baseline = lab.read()
    with pytest.raises(LabBroken) as raised:
        lab.restart({"a": {"vm/vm-rx-queue-size": "300"}})

    assert "guest a ended, also at a second start; the console of guest a:" in str(raised.value)
    assert "rx_queue_size" in str(raised.value)
    assert differences(baseline, lab.read()) == ()


def test_a_guest_that_is_killed_again_and_again_while_it_starts_is_named_with_its_console(tmp_path: Path) -> None:
    """Killed once it is started again; killed at every start the lab is broken, and the error has the console."""
    with qemu.standing(Topology("bridge"), kit(replace(ANEW, cpus=1)), leases_folder=leases(tmp_path)) as made:
        over = threading.Event()
        node = made.nodes[0]
        assert isinstance(node, Namespace)
        netns = node.netns
        old = set(guests_in(netns))  # asked before the start: a killer that asked at its first turn could be late

        def kill() -> None:
            while not over.is_set():
                for pid, name in guests_in(netns).items():
                    if name == "a" and pid not in old:
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.3)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with pytest.raises(LabBroken) as raised:
                made.restart({"a": {"vm/vm-queues": "2"}})
        finally:
            over.set()
            killer.join()

    assert "guest a ended, also at a second start; the console of guest a:" in str(raised.value)
    assert "QEMU was ended by signal 9" in str(raised.value)


RUN = """\
name: anew
lab: {provider: qemu, memory_mb: 384}
topologies: [bridge]
probes: [{kind: tcp, duration_s: 0.8, warmup_s: 0.2}]
primary: tcp.goodput
treatments:
  two: {vm-queues: 2}
  no-tso: {settings: {tso: off, gso: off}, target: guest}
  many: {vm-queues: 40}
blocks: 2
"""


@pytest.mark.sampled(1)
def test_a_run_with_a_treatment_that_starts_guests_anew_measures_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All trials are done, arms of one state together in each block."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "out"
    done = nettune("run", plan_file(tmp_path, RUN.replace("  many: {vm-queues: 40}\n", "")), "--seed", "1", "--out",
                   str(out))  # fmt: skip
    document = measured_or_named(out, done.returncode, done.stderr)

    assert document["trials"]["done"] == 2 * 4
    assert {each["treatment"] for each in document["treatments"]} == {"two", "no-tso"}


def test_a_number_that_qemu_does_not_take_is_wrong_input(tmp_path: Path) -> None:
    """With its line, before anything is made."""
    done = nettune("plan", "check", plan_file(tmp_path, RUN))

    assert done.returncode == 2
    assert "vm-queues '40' is no whole number from 1 to 16" in done.stderr
