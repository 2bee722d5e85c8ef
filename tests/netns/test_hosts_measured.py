"""Machines that already stand, measured over SSH: what is known beforehand is found, and they are as they were."""

import json
import os
import signal
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from tests.netns.nettune_command import in_its_race, nettune, shown, start, the_search
from tests.netns.standing_hosts import RMEM, Machines, guards, restored, value, waited
from tests.netns.test_hosts_lab import BUFFERS, HELD


@pytest.mark.sampled(1)
def test_a_plan_is_measured_between_machines_that_stand(machines: Machines, state: Path) -> None:
    """Offload, MTU and sysctl, by iperf3 and irtt; every trial counts, all is as before, no guard is left."""
    plan = machines.plan(
        f"{{no-tso: {{tso: off}}, small-mtu: {{mtu: 1400}}, small-buffers: {BUFFERS}}}",
        "[{kind: tcp, duration_s: 0.8, warmup_s: 0.2}, {kind: latency, duration_s: 0.3}]",
        primary="tcp.goodput",
    )
    before = machines.facts()
    done = nettune("run", plan, "--seed", "1", prefix=machines.prefix)

    assert done.returncode == 0, done.stderr
    assert differences(before, machines.facts()) == ()
    document = shown()
    assert document["skipped"] == []
    assert document["trials"].items() >= {"done": 10, "failed": 0, "missing": 0, "orphan": 0}.items()
    found = {each["treatment"]: each["effect_pct"] for each in document["treatments"] if each["primary"]}
    assert found["no-tso"] < -20
    assert found["small-buffers"] < -20
    assert [guards(host) for host in machines.both] == [[], []]
    assert list((state / "journals-of-hosts").glob("*")) == []


@pytest.mark.quiet
@pytest.mark.sampled(1)
def test_a_search_between_machines_that_stand(machines: Machines, state: Path) -> None:
    """A small receive buffer of theirs is found and confirmed, every trial guarded; they and we are as before."""
    plan = machines.plan("{}", "[{kind: tcp, duration_s: 0.3, warmup_s: 0.1}]", primary="tcp.goodput")
    was = value(machines.b, RMEM)
    for host in machines.both:
        host.run(Command(("sysctl", "-w", f"{RMEM}={HELD}"))).require()
    before = machines.facts()
    try:
        done = nettune("tune", plan, "--knob", RMEM, "--no-anchors", "--trials", "75", "--seed", "3", "--json",
                       "--out", str(machines.folder / "tuned.yaml"), prefix=machines.prefix)  # fmt: skip
        after = machines.facts()
    finally:
        for host in machines.both:
            host.run(Command(("sysctl", "-w", f"{RMEM}={was}"))).require()

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "confirmed", found["said"]
    assert [each["setting"] for each in found["picks"][0]["settings"]] == [RMEM]
    assert "receive-window" in dict(found["explored"]["symptoms"])
    assert differences(before, after) == ()
    assert [guards(host) for host in machines.both] == [[], []]
    assert list((state / "journals-of-hosts").glob("*")) == []


@pytest.mark.sampled(1)
def test_a_search_that_was_killed_leaves_machines_that_restore_themselves(machines: Machines, state: Path) -> None:
    """SIGKILL while its race holds a setting, then SIGINT: ends and node are as before, exactly, each time.

    The search that goes on finds the guards of the one that was killed, says so, and takes them away.
    """
    plan = machines.plan("{}", "[{kind: tcp, duration_s: 0.3, warmup_s: 0.1}]", primary="tcp.goodput")
    was, before = value(machines.b, RMEM), machines.facts()
    words = ("--out", str(machines.folder / "stopped.yaml"))
    job = start("tune", plan, "--knob", RMEM, "--no-anchors", "--trials", "75", "--seed", "3", *words,
                prefix=machines.prefix)  # fmt: skip
    in_its_race(job, 1)
    waited(lambda: value(machines.b, RMEM) != was, 30)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    guarded = [guards(host) != [] for host in machines.both]
    waited(lambda: all(restored(host) for host in machines.both), 30)
    killed = differences(before, machines.facts())
    blocks = the_search(machines.prefix)["stages"][-1]["blocks"]
    again = start("tune", "--resume", "last", *words, prefix=machines.prefix)
    in_its_race(again, blocks + 1)
    again.send_signal(signal.SIGINT)
    told, said = again.communicate(timeout=60)
    (killed_run,) = (each["run_id"] for each in json.loads(nettune("runs", "--json").stdout) if "race" in each["label"])

    assert guarded == [True, True]
    assert killed == ()
    assert again.returncode == 130, said
    assert "on b: a run ended without undoing its changes" in told + said
    assert differences(before, machines.facts()) == ()
    assert [guards(host) for host in machines.both] == [[], []]
    # What was outstanding on a machine that stands is nobody's to remove: docs/hosts.md.
    assert [each.name.startswith(killed_run) for each in (state / "journals-of-hosts").glob("*")] == [True]
