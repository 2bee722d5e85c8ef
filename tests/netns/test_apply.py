"""Profiles on machines that stand, over a real sshd: applied, verified, confirmed, taken back; and put back alone."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.namespace import Namespace
from tests.netns import sshd, standing_hosts
from tests.netns.nettune_command import nettune, sooner, start
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, mtu, value, waited
from tuning.guard import ROOT

PROFILE = """\
format: 2
name: mine
status: published
source: a test
settings:
"""
ROW = '  - {{setting: {0}, value: "{1}", target: guest, source: a test, trigger: none, stated_effect: none}}\n'
HELD = "4096 131072 67108864"  # more than any kernel ships: what lowers a maximum is left out
A = f"ssh://root@{CONTROL['a']}:{sshd.PORT}"


@pytest.fixture
def untouched(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """The machines; afterwards their whole state is what it was."""
    monkeypatch.setenv("COLUMNS", "200")
    before = machines.facts()
    yield machines
    for host in machines.both:
        host.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))

    assert differences(before, machines.facts()) == ()


def profile(folder: Path, **settings: str) -> str:
    """A profile's file with these settings."""
    path = folder / "mine.yaml"
    path.write_text(PROFILE + "".join(ROW.format(name, each) for name, each in settings.items()), encoding="utf-8")
    return str(path)


def prefix(machines: Machines) -> tuple[str, ...]:
    """Runs a program at the desk, by a user whose ~/.ssh has the key of a and knows every host."""
    home = machines.folder / "home"
    if not home.exists():
        known = (machines.folder / "known_hosts").read_text(encoding="utf-8")
        sshd.home(machines.folder, machines.folder / "a" / "user", known)
    return (*machines.prefix, "env", f"HOME={home}")


def lost(machines: Machines) -> tuple[str, ...]:
    """The same, for a program whose way to a host is cut: it is ended once the host has put itself back, after 5 s."""
    return (*prefix(machines), "NETTUNE_TEST_GIVES_UP_S=6")


def desk(machines: Machines, verb: str, *words: str) -> Any:  # Any: CompletedProcess
    """The verb as it is typed at the desk; what may disturb a link is watched for a shorter time."""
    return sooner(verb, *words, prefix=prefix(machines))


def changes(machines: Machines, word: str) -> list[dict[str, Any]]:
    """What a host tells of its changes."""
    done = desk(machines, "history", word, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def late_s(machines: Machines, known: dict[str, Any]) -> float:
    """Seconds after its deadline at which a's own script for a change came to its end, by its log."""
    folder = f"{ROOT}/{known['change']}"
    log, deadline = (machines.a.run(Command(("cat", f"{folder}/{each}"))).stdout for each in ("log", "restoring"))
    return float(log.split("ended at uptime ")[1].split()[0]) - float(deadline)


def test_a_profile_is_applied_verified_kept_and_taken_back(untouched: Machines, tmp_path: Path) -> None:
    """Sysctl, offload and MTU, and what the MTU drags along; a second time there is nothing to do."""
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off", "mtu": "1200"})
    host = ("--host", A)
    words = (*host, "--device", "eth0", "--disruption", "d4")
    before = untouched.facts()
    dry = desk(untouched, "apply", mine, *words, "--dry-run")
    after_dry = untouched.facts()
    first = nettune("apply", mine, *words, prefix=prefix(untouched))
    held = (value(untouched.a, RMEM), mtu(untouched.a), standing_hosts.tso(untouched.a))
    second = desk(untouched, "apply", mine, *words, "--json")
    stands = desk(untouched, "verify", A)
    (kept,) = changes(untouched, A)
    back = desk(untouched, "rollback", A)

    assert (dry.returncode, first.returncode, second.returncode) == (0, 0, 0), first.stderr
    assert "1500" in dry.stdout
    assert differences(before, after_dry) == ()
    assert held == (HELD, 1200, "off")
    assert json.loads(second.stdout)[0]["state"] == "nothing to do"
    assert (stands.returncode, kept["state"]) == (0, "confirmed")
    assert "link/eth0/mtu" in kept["moved"]
    assert back.returncode == 0, back.stderr
    assert differences(before, untouched.facts()) == ()
    assert changes(untouched, A)[0]["state"] == "rolled back"


def test_a_way_that_is_lost_meanwhile_is_put_back_by_the_host_alone(untouched: Machines, tmp_path: Path) -> None:
    """The desk's end of SSH goes down once the setting is written; and what rides on a device is asked for by name."""
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    was = value(untouched.a, RMEM)
    words = ("--host", A, "--device", "mgmt0", "--disruption", "d4", "--confirm-within", "6")
    refused = desk(untouched, "apply", mine, *words)
    job = start("apply", mine, *words, "--allow", "ssh", prefix=prefix(untouched))
    waited(lambda: value(untouched.a, RMEM) == HELD, 20)
    _batch(untouched.desk, "link set port-a down")
    took = waited(lambda: value(untouched.a, RMEM) == was, 20)
    _, said = job.communicate(timeout=120)
    _batch(untouched.desk, "link set port-a up")
    waited(lambda: desk(untouched, "history", A).returncode == 0, 30)

    assert refused.returncode == 3
    assert "our SSH connection came to" in refused.stderr
    assert "--allow ssh" in refused.stderr
    assert took < 11
    assert job.returncode == 3
    assert "puts itself back within 6 s" in said
    assert changes(untouched, A)[-1]["state"] == "put itself back"


def test_what_nobody_confirms_is_put_back_also_when_nettune_is_killed(untouched: Machines, tmp_path: Path) -> None:
    """Held for a confirmation that does not come; confirmed in time it stays; too late it is said."""
    mine = profile(tmp_path, **{RMEM: HELD})
    was = value(untouched.a, RMEM)
    held = desk(untouched, "apply", mine, "--host", A, "--hold", "--confirm-within", "5")
    set_to = value(untouched.a, RMEM)
    took = waited(lambda: value(untouched.a, RMEM) == was, 10)
    late = desk(untouched, "confirm", A)
    again = desk(untouched, "apply", mine, "--host", A, "--hold", "--confirm-within", "30")
    kept = desk(untouched, "confirm", A)
    desk(untouched, "rollback", A)

    assert (held.returncode, set_to) == (0, HELD), held.stderr
    assert took < 10
    assert late.returncode == 2
    assert "no change waits" in late.stderr
    assert (again.returncode, kept.returncode) == (0, 0), kept.stderr
    assert [each["state"] for each in changes(untouched, A)] == ["put itself back", "rolled back"]


def test_a_link_that_is_lost_while_a_change_waits_is_not_waited_for(untouched: Machines, tmp_path: Path) -> None:
    """Ten seconds without carrier, and the host takes it back, long before its deadline; its log says why."""
    mine = profile(tmp_path, **{RMEM: HELD})
    was = value(untouched.a, RMEM)
    words = ("--host", A, "--device", "eth0", "--hold", "--confirm-within", "300")
    held = desk(untouched, "apply", mine, *words)
    _batch(untouched.node, "link set port-a down")
    took = waited(lambda: value(untouched.a, RMEM) == was, 40)
    _batch(untouched.node, "link set port-a up")
    waited(lambda: "tentative" not in untouched.node.run(Command(("ip", "-6", "addr"))).stdout, 10)
    (known,) = changes(untouched, A)
    log = untouched.a.run(Command(("cat", f"{ROOT}/{known['change']}/log"))).stdout

    assert held.returncode == 0, held.stderr
    assert 8 < took < 30
    assert known["state"] == "put itself back"
    assert "early: eth0 has no carrier" in log


@pytest.mark.sampled(2)
@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9, 1.2, 1.6])
def test_a_killed_apply_leaves_a_host_that_puts_itself_back(
    untouched: Machines, tmp_path: Path, after_s: float
) -> None:
    """SIGKILL at some moment: in the end everything is as it was, or the change was confirmed and is taken back."""
    before = untouched.facts()
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    job = start("apply", mine, "--host", A, "--device", "eth0", "--disruption", "d4", "--confirm-within",
                "5", prefix=prefix(untouched))  # fmt: skip
    time.sleep(after_s)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    waited(lambda: not any(each["state"] == "armed" for each in changes(untouched, A)), 15)
    known = changes(untouched, A)
    if known and known[-1]["state"] == "confirmed":
        assert desk(untouched, "rollback", A).returncode == 0

    assert differences(before, untouched.facts()) == ()


def test_ctrl_c_puts_the_host_back_at_once_and_says_so(untouched: Machines, tmp_path: Path) -> None:
    """While it watches what it has written: exit code 130, and the host is as it was before its time has come."""
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    was = value(untouched.a, RMEM)
    job = start("apply", mine, "--host", A, "--device", "eth0", "--disruption", "d3", prefix=prefix(untouched))
    waited(lambda: value(untouched.a, RMEM) == HELD, 20)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=60)

    assert job.returncode == 130
    assert "was put back at once" in said
    assert "the machine is as it was. `nettune run" not in said
    assert value(untouched.a, RMEM) == was
    assert changes(untouched, A)[-1]["state"] == "put itself back"


def test_a_change_that_was_never_seen_to_be_well_cannot_be_confirmed(untouched: Machines, tmp_path: Path) -> None:
    """Killed while it watches: somebody else's confirmation is refused, rollback takes it back at once."""
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    before = untouched.facts()
    words = ("apply", mine, "--host", A, "--device", "eth0", "--disruption", "d3", "--confirm-within", "60")
    job = start(*words, prefix=prefix(untouched))
    waited(lambda: value(untouched.a, RMEM) == HELD, 20)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    refused = desk(untouched, "confirm", A)
    back = desk(untouched, "rollback", A)

    assert refused.returncode == 3
    assert "was never seen to be well" in refused.stderr
    assert back.returncode == 0, back.stderr
    assert differences(before, untouched.facts()) == ()


def test_what_somebody_else_set_since_is_not_overwritten(untouched: Machines, tmp_path: Path) -> None:
    """It is told by drift and by rollback; `--anyway` puts back what was there before the change."""
    mine = profile(tmp_path, **{RMEM: HELD})
    was = value(untouched.a, RMEM)
    desk(untouched, "apply", mine, "--host", A)
    untouched.a.run(Command(("sysctl", "-w", f"{RMEM}=4096 32768 65536"))).require()
    drift = desk(untouched, "verify", A)
    asked = desk(untouched, "rollback", A)
    kept = value(untouched.a, RMEM)
    forced = desk(untouched, "rollback", A, "--anyway")

    assert drift.returncode == 1
    assert "somebody set another value" in drift.stdout
    assert asked.returncode == 3
    assert "4096 32768 65536" in asked.stderr
    assert kept == "4096 32768 65536"
    assert forced.returncode == 0, forced.stderr
    assert value(untouched.a, RMEM) == was


def test_the_last_change_is_the_last_whatever_the_hosts_clock_says(untouched: Machines, tmp_path: Path) -> None:
    """It was set back before the second one, as by a boot whose battery is empty: that one is taken back first."""
    was, more = value(untouched.a, RMEM), HELD.replace("67108864", "134217728")
    done = [desk(untouched, "apply", profile(tmp_path, **{RMEM: each}), "--host", A) for each in (HELD, more)]
    second = changes(untouched, A)[-1]["change"]
    untouched.a.run(Command(("touch", "-d", "@86400", f"{ROOT}/{second}/restore"))).require()
    last = changes(untouched, A)[-1]["change"]
    back = desk(untouched, "rollback", A)
    between = value(untouched.a, RMEM)
    again = desk(untouched, "rollback", A)

    assert [each.returncode for each in done] == [0, 0]
    assert last == second
    assert (back.returncode, between) == (0, HELD), back.stderr
    assert (again.returncode, value(untouched.a, RMEM)) == (0, was), again.stderr


def test_two_operators_at_once_and_what_is_wrong_are_told(untouched: Machines, tmp_path: Path) -> None:
    """While a change waits no other begins; unknown hosts, devices and roles; a profile for other machines."""
    mine = profile(tmp_path, **{RMEM: HELD})
    desk(untouched, "apply", mine, "--host", A, "--hold", "--confirm-within", "30")
    other = profile(tmp_path, **{"net.ipv4.tcp_wmem": HELD})
    second = desk(untouched, "apply", other, "--host", A)
    desk(untouched, "rollback", A)
    nobody = desk(untouched, "apply", mine, "--host", "pve1")
    device = desk(untouched, "apply", mine, "--host", A, "--device", "eth7")
    role = desk(untouched, "apply", mine, "--host", A, "--allow", "everything")
    nothing = desk(untouched, "rollback", A)
    with Path(mine).open("a", encoding="utf-8") as file:
        file.write("fits: {kernel: '>= 99.1'}\n")
    unfit = desk(untouched, "apply", mine, "--host", A)
    Path(mine).write_text(Path(mine).read_text(encoding="utf-8").replace("kernel: '>= 99.1'", "role: [storage]"),
                          encoding="utf-8")  # fmt: skip
    untold = desk(untouched, "apply", mine, "--host", A, "--dry-run")

    assert "is for it cannot be told: role storage" in untold.stdout
    assert second.returncode == 3
    assert "another run has changed this host" in second.stderr
    assert (nobody.returncode, role.returncode, nothing.returncode) == (2, 2, 2)
    assert "names no host" in nobody.stderr
    assert (device.returncode, unfit.returncode) == (3, 3)
    assert "there is no device 'eth7'" in device.stderr
    assert "kernel >= 99.1" in unfit.stderr


def _batch(host: Namespace, line: str) -> None:
    host.run(Command(("ip", *line.split()))).require()
