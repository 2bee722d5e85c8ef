"""`nettune apply` on a node of Proxmox VE: what its firewall keeps goes into host.fw, and is taken back to the byte."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Process
from tests.netns import pve_node
from tests.netns.nettune_command import run_program
from tests.netns.pve_node import ESTABLISHED, HOST_FW, SYSCTL, boot, host_fw, sh
from tests.netns.standing_hosts import RMEM, Machines, value, waited
from tests.netns.test_apply import HELD, A, changes, desk, lost, prefix, profile
from tuning.applying import keeping

WANTED = "86400"
WITH = HOST_FW.replace("[OPTIONS]\n", f"[OPTIONS]\n{ESTABLISHED}: {WANTED}\n", 1)
STEPS = range(1, 28)  # from the arming on, of 25; what comes before it changes nothing


@pytest.fixture
def node(machines: Machines) -> Iterator[Machines]:
    """Machine a is a node whose firewall is on; afterwards all is as it was."""
    before = machines.facts()
    with pve_node.node(machines):
        yield machines
    assert differences(before, machines.facts()) == ()


KEPT = ("--persist", "--probation", "10")


def apply(machines: Machines, folder: Path, *words: str, **settings: str) -> Any:  # Any: CompletedProcess
    """`nettune apply`, of the timeout where no other settings are told."""
    mine = profile(folder, **(settings or {SYSCTL: WANTED}))
    return desk(machines, "apply", mine, "--host", A, "--device", "eth0", *words)


def cut_short(machines: Machines, step: int, how: str, mine: str, *words: str) -> None:
    """A profile put on for good, cut short before that command; what was confirmed by then is taken back."""
    cut = ("-m", "tests.netns.cut_short", f"g{step}", how, "apply", mine, "--host", A, *words, "--persist")
    run_program((sys.executable, *cut, "--confirm-within", "5"), lost(machines))
    machines.desk.run(Command(("ip", "link", "set", "port-a", "up"))).require()
    waited(lambda: desk(machines, "history", A).returncode == 0, 30)
    waited(lambda: not any(each.state == "armed" for each in keeping.changes(machines.a)), 20)
    known = keeping.changes(machines.a)
    if known and known[-1].to_stand:
        back = desk(machines, "rollback", A)
        assert back.returncode == 0, back.stderr


def test_no_link_goes_down_while_a_backup_runs(node: Machines, tmp_path: Path) -> None:
    """By the node's list of tasks: one that has ended, or whose process id another has by now, keeps nobody waiting."""
    words = ("--disruption", "d4", "--dry-run")
    sh(node, "mount -t tmpfs none /var/log; mkdir -p /var/log/pve/tasks")
    try:
        with node.a.start(Command(("sleep", "300"), deadline_s=1e6)) as task:
            assert isinstance(task, Process)
            began = int(Path(f"/proc/{task.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[19])
            tasks = "".join(
                f"UPID:pve1:{task.pid:08X}:{at:08X}:6566A4E1:{of}:root@pam: {rest}\n"
                for at, of, rest in (
                    (began, "vzdump:101", "0"),
                    (7, "qmigrate:102", "1 6566A4E9 OK"),
                    (began, "qmstart:103", "0"),
                )
            )
            node.a.run(Command(("tee", "/var/log/pve/tasks/active"), stdin=tasks)).require()
            during = apply(node, tmp_path, *words, mtu="1400")
            light = apply(node, tmp_path, *words, **{RMEM: HELD})
            task.stop()
        after = apply(node, tmp_path, *words, mtu="1400")
    finally:
        sh(node, "umount /var/log")

    assert "refused: mtu: vzdump of 101 runs there: once that has ended" in during.stdout
    assert "refused" not in light.stdout
    assert "refused" not in after.stdout


def test_what_the_firewall_writes_is_kept_in_host_fw_and_taken_back_to_the_byte(node: Machines, tmp_path: Path) -> None:
    """Set at once, not written back by the firewall, no file in sysctl.d; verify finds it standing."""
    refused = apply(node, tmp_path)
    untouched = host_fw(node)
    dry = apply(node, tmp_path, *KEPT, "--dry-run", "--json")
    done = apply(node, tmp_path, *KEPT)
    sh(node, "sleep 1")  # the firewall has looked
    after, reads, files = host_fw(node), value(node.a, SYSCTL), sh(node, "ls /etc/sysctl.d")
    stands = desk(node, "verify", A)
    again = apply(node, tmp_path, *KEPT, "--json")
    back = desk(node, "rollback", A)

    assert refused.returncode == 3
    assert (
        "pve-firewall writes it there every ten seconds: --persist puts it into /etc/pve/local/host.fw"
        in refused.stderr
    )
    assert untouched == HOST_FW
    assert [row["fact"] for row in json.loads(dry.stdout)[0]["changes"]] == [
        f"host.fw/{ESTABLISHED}",
        f"sysctl/{SYSCTL}",
    ]
    assert done.returncode == 0, done.stderr
    assert (after, reads, files) == (WITH, WANTED, "")
    assert stands.returncode == 0, stands.stdout
    assert json.loads(again.stdout)[0]["state"] == "nothing to do"
    assert back.returncode == 0, back.stderr
    assert host_fw(node) == HOST_FW
    assert value(node.a, SYSCTL) == "432000"


def test_what_else_a_profile_sets_goes_where_it_always_went(node: Machines, tmp_path: Path) -> None:
    """A sysctl of the host's own into sysctl.d, beside it; both are there after a boot, and gone after a rollback."""
    was = value(node.a, RMEM)
    done = apply(node, tmp_path, *KEPT, **{SYSCTL: WANTED, RMEM: HELD})
    files = sh(node, "cat /etc/sysctl.d/*")
    sh(node, f"sysctl -qw {RMEM}='{was}'")
    boot(node, tmp_path, 1)
    after = value(node.a, RMEM), value(node.a, SYSCTL)
    waited(lambda: changes(node, A)[-1]["state"] == "kept", 30)
    back = desk(node, "rollback", A)

    assert done.returncode == 0, done.stderr
    assert f"{RMEM} = {HELD}" in files
    assert SYSCTL not in files
    assert after == (HELD, WANTED)
    assert back.returncode == 0, back.stderr
    assert (host_fw(node), value(node.a, RMEM), sh(node, "ls /etc/sysctl.d")) == (HOST_FW, was, "")


@pytest.mark.sampled(1)  # of any host both are in test_lasting
@pytest.mark.parametrize("ends", ["link", "early"])
def test_a_first_boot_that_does_not_go_well_takes_the_option_away(node: Machines, tmp_path: Path, ends: str) -> None:
    """One whose link stays down, and one that ends before it was seen to be well."""
    assert apply(node, tmp_path, *KEPT).returncode == 0
    if ends == "link":
        node.node.run(Command(("ip", "link", "set", "port-a", "down"))).require()
    boot(node, tmp_path, 1)
    if ends == "early":
        sh(node, "kill $(cat /var/lib/nettune/guard/watcher); umount /proc/sys/kernel/random/boot_id")
        boot(node, tmp_path, 2)
    waited(lambda: host_fw(node) == HOST_FW, 30)
    node.node.run(Command(("ip", "link", "set", "port-a", "up"))).require()
    waited(lambda: changes(node, A)[-1]["state"] == "put itself back", 10)
    waited(lambda: value(node.a, SYSCTL) == "432000", 5)
    waited(lambda: "tentative" not in node.node.run(Command(("ip", "-6", "addr"))).stdout, 10)


def test_a_boot_before_the_confirmation_leaves_the_option_until_somebody_comes(node: Machines, tmp_path: Path) -> None:
    """The timer is gone with the boot, and the file is not: the next one to come puts it back before anything else."""
    mine = profile(tmp_path, **{SYSCTL: WANTED})
    words = ("-m", "tests.netns.cut_short", "w3", "kill", "apply", mine, "--host", A, "--device", "eth0", "--persist")
    run_program((sys.executable, *words, "--confirm-within", "600"), prefix(node))
    between = host_fw(node)
    sh(node, "kill $(cat /var/lib/nettune/guard/*/watcher)")
    boot(node, tmp_path, 1)
    done = apply(node, tmp_path, *KEPT, "--json", **{RMEM: value(node.a, RMEM)})

    assert between == WITH
    assert done.returncode == 0, done.stderr
    assert host_fw(node) == HOST_FW


def _armed_at_boot(node: Machines, folder: Path) -> None:
    """A change of host.fw is armed, its nettune is killed, and the machine has booted without quorum."""
    words = ("-m", "tests.netns.cut_short", "w3", "kill", "apply", profile(folder, **{SYSCTL: WANTED}), "--host", A)
    run_program((sys.executable, *words, "--device", "eth0", "--persist", "--confirm-within", "600"), prefix(node))
    assert host_fw(node) == WITH
    sh(node, "kill $(cat /var/lib/nettune/guard/*/watcher); mount -o remount,ro /etc/pve")


def test_what_is_kept_is_set_at_a_boot_that_waits_for_quorum(node: Machines, tmp_path: Path) -> None:
    """Beside it an armed change of host.fw tries for a minute to be put back, and is once there is quorum."""
    was = value(node.a, RMEM)
    assert apply(node, tmp_path, *KEPT, **{RMEM: HELD}).returncode == 0
    _armed_at_boot(node, tmp_path)
    identity = tmp_path / "boot-id"
    identity.write_text("00000000-0000-4000-8000-000000000001\n", encoding="utf-8")
    sh(node, f"sysctl -qw {RMEM}='{was}'; mount --bind {identity} /proc/sys/kernel/random/boot_id; "
             "for each in /var/lib/nettune/guard/*/deadline; do "
             "setsid sh ${each%/deadline}/restore boot </dev/null >/dev/null 2>&1 & done; sleep 1")  # fmt: skip
    booted = node.a.run(Command(("sh", "/var/lib/nettune/boot", "boot"), deadline_s=60.0))
    reads, waits = value(node.a, RMEM), (host_fw(node), changes(node, A)[-1]["state"])
    sh(node, "mount -o remount,rw /etc/pve")
    waited(lambda: host_fw(node) == HOST_FW, 10)
    waited(lambda: [each["state"] for each in changes(node, A)] == ["kept", "put itself back"], 30)
    back = desk(node, "rollback", A)

    assert (booted.returncode, reads) == (0, HELD)
    assert waits == (WITH, "begun")
    assert back.returncode == 0, back.stderr
    assert value(node.a, RMEM) == was


def test_a_change_that_a_boot_did_not_undo_is_not_forgotten_without_quorum(node: Machines, tmp_path: Path) -> None:
    """The next nettune cannot put it back either, says so and changes nothing; with quorum a rollback does."""
    was = value(node.a, RMEM)
    _armed_at_boot(node, tmp_path)
    boot(node, tmp_path, 1)
    without = apply(node, tmp_path, **{RMEM: HELD})
    between = value(node.a, RMEM), host_fw(node), changes(node, A)[-1]["state"]
    told = desk(node, "verify", A)
    sh(node, "mount -o remount,rw /etc/pve")
    back = desk(node, "rollback", A)

    assert without.returncode == 3
    assert "not all that outlives a boot could be put back" in " ".join(without.stderr.split())
    assert between == (was, WITH, "begun")
    assert told.returncode == 1, told.stderr
    assert "not as before: host.fw/" in " ".join(told.stdout.split())
    assert (back.returncode, host_fw(node)) == (0, HOST_FW), back.stderr
    assert changes(node, A)[-1]["state"] == "put itself back"


def test_a_firewall_that_is_off_keeps_nothing(machines: Machines, tmp_path: Path) -> None:
    """Then it is a sysctl like any other: set until a boot, or by sysctl.d; host.fw is not touched."""
    before = machines.facts()
    with pve_node.node(machines, on=False):
        done = apply(machines, tmp_path)
        reads, untouched = value(machines.a, SYSCTL), host_fw(machines)
        kept = apply(machines, tmp_path, *KEPT)
        files = sh(machines, "cat /etc/sysctl.d/*")
        back = desk(machines, "rollback", A)

    assert done.returncode == 0, done.stderr
    assert (reads, untouched) == (WANTED, HOST_FW)
    assert kept.returncode == 0, kept.stderr
    assert f"{SYSCTL} = {WANTED}" in files
    assert back.returncode == 0, back.stderr
    assert differences(before, machines.facts()) == ()


@pytest.mark.parametrize(
    ("trouble", "wanted", "said"),
    [
        ("true", "60", "takes 7875 to 2147483647 for nf_conntrack_tcp_timeout_established, not 60"),
        ("mount -o remount,ro /etc/pve", WANTED, "was set to '86400' and reads 'unset'"),
    ],
)
def test_what_the_firewall_or_the_cluster_does_not_take_leaves_all_as_it_was(
    node: Machines, tmp_path: Path, trouble: str, wanted: str, said: str
) -> None:
    """A value out of its range; a cluster without quorum, whose /etc/pve cannot be written."""
    sh(node, trouble)
    done = apply(node, tmp_path, *KEPT, **{SYSCTL: wanted})
    sh(node, "mount -o remount,rw /etc/pve")
    told = done.stderr + done.stdout

    assert said in " ".join(told.split()), told
    assert host_fw(node) == HOST_FW
    assert value(node.a, SYSCTL) == "432000"


def test_the_steps_of_the_matrix_are_those_of_an_apply(node: Machines, tmp_path: Path) -> None:
    """The last of them comes after the keeping, which is an apply's last command."""
    mine = profile(tmp_path, **{SYSCTL: WANTED})
    words = ("-m", "tests.netns.cut_short", "g0", "count", "apply", mine, "--host", A, "--device", "eth0", "--persist")
    said = run_program((sys.executable, *words), prefix(node)).stderr
    sent = re.search(r"^sent (\d+)$", said, re.MULTILINE)
    assert desk(node, "rollback", A).returncode == 0

    assert sent is not None, said
    assert 20 < int(sent[1]) < STEPS[-1] + 1


@pytest.mark.sampled(4)
@pytest.mark.parametrize("how", ["kill", "cut"])
@pytest.mark.parametrize("step", STEPS)
def test_a_node_is_as_it_was_wherever_it_is_cut_short(node: Machines, tmp_path: Path, step: int, how: str) -> None:
    """Killed, or its way lost, before each command: by the host alone, or by a rollback of what was confirmed."""
    cut_short(node, step, how, profile(tmp_path, **{SYSCTL: WANTED}), "--device", "eth0")

    assert host_fw(node) == HOST_FW
    waited(lambda: value(node.a, SYSCTL) == "432000", 5)
    waited(lambda: "tentative" not in node.a.run(Command(("ip", "-6", "addr"))).stdout, 5)
