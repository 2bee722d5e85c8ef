"""Machines that already stand, measured over SSH; and what becomes of them when nettune or the way to them is lost."""

import os
import signal
import subprocess  # noqa: TID251 - the tests stand outside the door
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import FactSheet, differences
from bench.hosts import ssh_connection
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs import hosts
from bench.labs.inventory import load
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from tests.netns import standing_hosts
from tests.netns.nettune_command import nettune, shown, start
from tests.netns.standing_hosts import RMEM, Machines, guards, held_first, mtu, restored, tso, value, waited
from tuning import guard
from tuning.journal import kept
from tuning.knobs.knob import Change
from tuning.restoring import script, undoing
from tuning.through import Through
from tuning.treatments import Settings
from tuning.undoing import write

CONTROL = " ".join(standing_hosts.CONTROL.values())
LATENCY = "[{kind: latency, duration_s: 0.1, interval_s: 0.002}]"
LONG = "[{kind: latency, duration_s: 20, interval_s: 0.01}]"
NODE = "[port-a, br0, port-b]"
BUFFERS = "{net.ipv4.tcp_rmem: 4096 16384 16384}"
HELD = "4096 16384 16384"


@pytest.fixture
def untouched(machines: Machines) -> Iterator[Machines]:
    """The machines; afterwards their whole state is what it was, and no guard is left."""
    before = machines.facts()
    yield machines
    for host in (*machines.both, machines.node):
        host.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))

    assert differences(before, machines.facts()) == ()


def _started(machines: Machines, plan: str) -> "subprocess.Popen[str]":
    """A run whose first trial holds the treatment `held`."""
    return start("run", plan, "--seed", str(held_first("standing")), prefix=machines.prefix)


def test_a_killed_controller_that_never_comes_back_leaves_hosts_that_restore_themselves(
    untouched: Machines, state: Path
) -> None:
    """SIGKILL while sysctl, offload and MTU are held: ends and node are as before within deadline and a few seconds."""
    treatment = "{held: {net.ipv4.tcp_rmem: 4096 16384 16384, tso: off, mtu: 1400}}"
    before = untouched.facts()
    # One probe of 1 s: 1 s traffic, its watchdog of 8 s, a grace of 1 s.
    plan = untouched.plan(treatment, "[{kind: latency, duration_s: 1, interval_s: 0.01}]", node=NODE)
    running = _started(untouched, plan)
    a, b = untouched.both
    waited(lambda: all(value(h, RMEM) == HELD and mtu(h) == 1400 and tso(h) == "off" for h in (a, b)), 60)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    time.sleep(1)
    bridge = mtu(untouched.node, "br0")
    held = [(value(host, RMEM), mtu(host), tso(host)) for host in (a, b)]
    took_s = waited(lambda: all(restored(host) for host in (a, b, untouched.node)), 20)
    left = differences(before, untouched.facts())

    assert held == [(HELD, 1400, "off")] * 2
    assert bridge == 1400
    assert took_s > 2
    assert left == ()
    # The next run finds what was left, says so, and goes on.
    plan = untouched.plan("{small: {mtu: 1450}}", LATENCY, node=NODE)
    done = nettune("run", plan, "--seed", "1", prefix=untouched.prefix)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "on a: a run ended without undoing its changes" in told
    assert "it had put itself back" in told
    assert [guards(host) for host in (a, b, untouched.node)] == [[], [], []]


def test_a_host_whose_ssh_path_is_lost_restores_itself(untouched: Machines, state: Path) -> None:
    """The control network falls silent while a treatment is held; nettune ends naming one, the hosts restore."""
    before = untouched.facts()
    running = _started(untouched, untouched.plan(f"{{held: {BUFFERS}}}", LONG.replace("20", "2")))
    a, b = untouched.both
    waited(lambda: all(value(host, RMEM) == HELD for host in (a, b)), 60)
    try:
        for name in ("a", "b"):
            untouched.desk.run(Command(("ip", "link", "set", f"port-{name}", "nomaster"))).require()
        waited(lambda: value(a, RMEM) != HELD and value(b, RMEM) != HELD, 20)
        _, errors = running.communicate(timeout=60)
    finally:
        for name in ("a", "b"):
            untouched.desk.run(Command(("ip", "link", "set", f"port-{name}", "master", "br0"))).require()
        if running.poll() is None:
            running.kill()
            running.communicate()
    waited(lambda: all(restored(host) for host in (a, b)), 5)

    reaped = nettune("lab", "reap", "--inventory", str(untouched.folder / "hosts.yaml"), prefix=untouched.prefix)

    assert differences(before, untouched.facts()) == ()
    assert (reaped.returncode, reaped.stdout.count("it had put itself back")) == (0, 2), reaped.stderr
    assert [guards(host) for host in (a, b)] == [[], []]
    assert running.returncode == 3
    assert "on a: " in errors or "on b: " in errors or " cannot be reached" in errors
    assert len(list((state / "journals-of-hosts").glob("*.jsonl"))) == 1


def test_a_second_run_waits_for_a_guard_that_is_armed(untouched: Machines, state: Path) -> None:
    """Killed a moment ago: the next run touches nothing, and says when the host puts itself back."""
    plan = untouched.plan(f"{{held: {BUFFERS}}}", LONG.replace("20", "2"), grace_s=30)
    running = _started(untouched, plan)
    waited(lambda: value(untouched.a, RMEM) == HELD and value(untouched.b, RMEM) == HELD, 60)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    done = nettune("run", untouched.plan("{small: {mtu: 1450}}", LATENCY), prefix=untouched.prefix)
    by_hand = [
        host.run(Command(("sh", f"/var/lib/nettune/guard/{guards(host)[0]}/restore", "now"))) for host in untouched.both
    ]

    assert done.returncode == 3
    assert "another run has changed this host" in done.stderr
    assert "/restore now" in done.stderr
    assert [outcome.returncode for outcome in by_hand] == [0, 0]
    assert [value(host, RMEM) == HELD for host in untouched.both] == [False, False]


def test_where_no_guard_can_be_armed_nothing_is_written(untouched: Machines, state: Path) -> None:
    """A full disk on one host: its trials are missing with that cause, on both hosts nothing moved."""
    full = "mkdir -p /var/lib/nettune/guard && mount -t tmpfs -o size=4k none /var/lib/nettune/guard"
    untouched.b.run(Command(("sh", "-c", full))).require()
    try:
        done = nettune("run", untouched.plan(f"{{held: {BUFFERS}}}", LATENCY), prefix=untouched.prefix)
    finally:
        left = guards(untouched.b)
        untouched.b.run(Command(("umount", "--lazy", "/var/lib/nettune/guard"))).require()
    told = nettune("show").stdout

    assert done.returncode == 0, done.stderr
    assert shown()["trials"].items() >= {"done": 4, "missing": 2}.items()
    assert "on b: the guard that would put the host back cannot be armed, so nothing was changed" in told
    assert "No space left on device" in told
    assert (left, guards(untouched.a)) == ([], [])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("lo", "192.0.2.1"), "leaves by eth0, not by lo"),
        (("eth7", "192.0.2.1"), "there is no device 'eth7'"),
        (("eth0", "192.0.2.77"), "there is no way from 192.0.2.77 to 192.0.2.2"),
        (("mgmt0", CONTROL), "has 203.0.113.1, the address that our SSH connection came to"),
    ],
    ids=["another device", "no device", "another address", "the link of our SSH"],
)
def test_a_path_that_is_not_the_plans_is_refused(
    untouched: Machines, state: Path, changed: tuple[str, str], words: str
) -> None:
    """Before anything is measured; the error names the host, what was expected and what was found."""
    device, address = changed
    plan = untouched.plan("{small: {mtu: 1450}}", LATENCY, device=device, address=address.split()[0])
    if " " in address:  # of both ends
        untouched.rewrite({"device: eth0": f"device: {device}", "192.0.2.2": address.split()[1]})
    done = nettune("run", plan, prefix=untouched.prefix)

    assert done.returncode == 3
    assert "on a: " in done.stderr
    assert words in done.stderr.replace("\n", " ")


def test_another_mtu_than_the_plans_is_refused(untouched: Machines, state: Path) -> None:
    """The hint is the topology that would fit."""
    plan = Path(untouched.plan("{small: {mtu: 1450}}", LATENCY))
    plan.write_text(plan.read_text().replace("[standing]", "[{kind: standing, mtu: 9000}]"))
    done = nettune("run", str(plan), prefix=untouched.prefix)

    assert done.returncode == 3
    assert "the plan's path has an MTU of 9000, and eth0 has 1500" in done.stderr.replace("\n", " ")


def test_a_dry_run_asks_nobody(untouched: Machines, state: Path) -> None:
    """It prints what would be asked and set, from anywhere."""
    done = nettune("run", untouched.plan(f"{{held: {BUFFERS}}}", LATENCY), "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "a: ip -j route get 192.0.2.2 from 192.0.2.1" in done.stdout
    assert 'sysctl -w net.ipv4.tcp_rmem="4096 16384 16384"' in done.stdout


DRAGGING = {
    "an MTU without IPv6": {"mtu": "1200"},
    "forwarding": {"net.ipv4.ip_forward": "1"},
    "scatter-gather": {"sg": "off"},
    "a queue": {"qdisc": "pfifo limit 100", "txqueuelen": "500"},
}


@pytest.mark.parametrize("settings", DRAGGING.values(), ids=DRAGGING)
def test_what_a_setting_drags_along_comes_back_with_nobody_calling(
    untouched: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    """Addresses, routes, sysctls and features that the kernel couples to it: the host's own script has them all."""
    monkeypatch.setattr(ssh_connection, "straight", untouched.desk.dial)
    inventory = load(untouched.inventory())
    with hosts.standing(Topology("standing"), inventory, trial_s=60) as lab, kept(tmp_path / "journal") as journal:
        treatment = Settings("t", [SettingSpec(*each, "guest") for each in settings.items()], journal)
        before = lab.read()
        changes = treatment.changes(lab, before)
        guards_of: dict[str, guard.Guard] = {}
        guard.arm_all(lab.hosts, changes, before, treatment.explains, 2, guards_of)
        held = write(changes, Through(lab, guards_of))
        waited(lambda: all(restored(host) for host in untouched.both), 12)
        waited(lambda: differences(before, lab.read()) == (), 6)  # duplicate address detection takes up to 2 s

    assert len(differences(before, held)) >= len(changes)


def test_a_device_with_a_role_is_changed_only_where_the_inventory_says_so(untouched: Machines, state: Path) -> None:
    """The default route leaves by it: the treatment is skipped with who rides there and the word that allows it."""
    Local().run(Command(("ip", "-n", untouched.a.netns, "route", "add", "default", "via", "192.0.2.2"))).require()
    treatments = f"{{small: {{mtu: 1450}}, small-buffers: {BUFFERS}}}"
    refused = nettune("run", untouched.plan(treatments, LATENCY), prefix=untouched.prefix)
    skipped = shown()["skipped"]
    allowed = nettune("run", untouched.plan(treatments, LATENCY, allow="[default-route]"), prefix=untouched.prefix)
    Local().run(Command(("ip", "-n", untouched.a.netns, "route", "del", "default"))).require()

    assert (refused.returncode, allowed.returncode) == (0, 0), refused.stderr + allowed.stderr
    assert "standing/small" in str(skipped)
    assert "on a, the default route leaves by eth0" in str(skipped)
    assert "allow: [default-route]" in str(skipped)
    assert "small-buffers" not in str(skipped)
    assert shown()["skipped"] == []


_SYSTEMD_RUN = """\
#!/bin/sh
printf '%s ' "$@" >/run/asked
for word do case $word in --on-active=*) seconds=${word#*=};; esac; script=$word; done
setsid sh -c ': >/run/slept; sleep "$1"; exec sh "$2"' sh "$seconds" "$script" </dev/null >/dev/null 2>&1 &
until [ -e /run/slept ]; do sleep 0.02; done
"""


def test_where_systemd_runs_its_timer_restores(untouched: Machines, tmp_path: Path) -> None:
    """With a stand-in: unit, time and accuracy are as documented; tests/vm/test_disk.py has the real systemd-run."""
    host = untouched.a
    for name, text in (("systemd-run", _SYSTEMD_RUN), ("systemctl", '#!/bin/sh\necho "$@" >>/run/told\n')):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
        host.run(Command(("mount", "--bind", str(tmp_path / name), f"/usr/bin/{name}"))).require()
    host.run(Command(("mkdir", "-p", "/run/systemd/system"))).require()
    try:
        before = value(host, RMEM)
        changes = [Change("a", f"sysctl/{RMEM}", HELD)]
        lines = undoing(changes, FactSheet("a", {f"sysctl/{RMEM}": before}), lambda _: False)
        armed = guard.arm(host, script(lines), 5)
        armed.begin((Command(("tee", "/proc/sys/net/ipv4/tcp_rmem"), stdin=HELD),))()
        held = value(host, RMEM)
        waited(lambda: restored(host), 15)
        with pytest.raises(guard.NotGuarded):
            armed.begin((Command(("tee", "/proc/sys/net/ipv4/tcp_rmem"), stdin=HELD),))()
        log = armed.disarm()
        asked, told = (host.run(Command(("cat", f"/run/{name}"))).stdout for name in ("asked", "told"))
    finally:
        host.run(Command(("umount", "/usr/bin/systemd-run", "/usr/bin/systemctl")))
        host.run(Command(("rm", "-r", "/run/systemd")))

    assert (held, value(host, RMEM)) == (HELD, before)
    unit = f"nettune-guard-{armed.guard_id}"
    assert f"--unit={unit} --on-active=5 --property=DefaultDependencies=no" in asked
    assert "--timer-property=DefaultDependencies=no --timer-property=AccuracySec=100ms /bin/sh" in asked
    assert told.splitlines() == [f"--quiet is-active {unit}.timer", f"stop {unit}.timer"]
    assert "began at uptime" in log
    assert guards(host) == []
