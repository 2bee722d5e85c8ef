"""Changes that are kept over boots, on a machine whose init runs our script: kept whole, on probation, taken back.

A boot is played: the values are lost, the kernel has another boot id, and the script is run. A real one is in the vm
tier.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from tests.netns.standing_hosts import RMEM, Machines, mtu, value, waited
from tests.netns.test_apply import HELD, A, changes, desk, profile
from tuning.applying import defaults
from tuning.guard import ROOT

BOOT, SYSCTLS = "/var/lib/nettune/boot", "/etc/sysctl.d"


@pytest.fixture
def booting(machines: Machines) -> Iterator[Machines]:
    """The machines; a's init runs our script, and its /etc/sysctl.d is its own. All is as it was afterwards."""
    before = machines.facts()
    sh(machines, f"mkdir -p /run/nettune {SYSCTLS}; : >/run/nettune/boots; mount -t tmpfs none {SYSCTLS}")
    yield machines
    sh(machines, f"umount {SYSCTLS}; umount /proc/sys/kernel/random/boot_id 2>/dev/null; rm -rf /var/lib/nettune")
    waited(lambda: "tentative" not in machines.a.run(Command(("ip", "-6", "addr"))).stdout, 10)
    assert differences(before, machines.facts()) == ()


def sh(machines: Machines, line: str) -> str:
    """What a line of shell prints on a."""
    return machines.a.run(Command(("sh", "-c", line), deadline_s=60.0)).stdout.strip()


def kept(machines: Machines, folder: Path, *words: str, **settings: str) -> Any:  # Any: CompletedProcess
    """`nettune apply --persist` of these settings, with a short probation."""
    mine = profile(folder, **settings)
    of = ("--host", A, "--device", "eth0", "--disruption", "d4", "--allow", "ssh")
    return desk(machines, "apply", mine, *of, "--persist", "--probation", "10", *words)


def boot(machines: Machines, was: str, number: int = 1) -> None:
    """The machine has booted: the sysctl is the kernel's again, the MTU too, and our script is run."""
    identity = f"/run/nettune/boot-id-{number}"
    sh(
        machines,
        f"echo 00000000-0000-4000-8000-00000000000{number} >{identity};"
        f"mount --bind {identity} /proc/sys/kernel/random/boot_id;"
        f"sysctl -qw {RMEM}='{was}'; ip link set eth0 mtu 1500; [ ! -e {BOOT} ] || sh {BOOT} boot",
    )


def test_a_change_that_is_kept_is_there_after_a_boot_and_taken_back_whole(booting: Machines, tmp_path: Path) -> None:
    """Sysctl by its file, MTU by the script; history tells of the probation; rollback leaves no file behind.

    A file with a later name does not give way to ours, which says so; a boot sets ours again after all files.
    """
    was, late = value(booting.a, RMEM), "4096 1000 2000"
    sh(booting, f"echo '{RMEM} = {late}' >{SYSCTLS}/zz-late.conf")
    done = kept(booting, tmp_path, **{RMEM: HELD, "mtu": "1400"})
    before_boot = changes(booting, A)[-1]["state"]
    files = sh(booting, f"ls {SYSCTLS}"), sh(booting, f"cat {SYSCTLS}/99-*")
    boot(booting, late)
    after = value(booting.a, RMEM), mtu(booting.a)
    stands, silent = desk(booting, "verify", A), desk(booting, "verify", A, "--watch")
    waited(lambda: changes(booting, A)[-1]["state"] == "kept", 30)
    back = desk(booting, "rollback", A)
    left = sh(booting, f"ls {SYSCTLS} {BOOT}")

    assert done.returncode == 0, done.stderr
    assert before_boot == "on probation"
    assert files[0].startswith("99-zz-nettune-0001-")
    assert f"{RMEM} = {HELD}" in files[1]
    assert (
        f"# not over {SYSCTLS}/zz-late.conf:1: {RMEM} = {late}: its name is later than ours: it wins after" in files[1]
    )
    assert after == (HELD, 1400)
    assert stands.returncode == 0, stands.stdout
    assert (silent.returncode, silent.stdout) == (0, "")
    assert back.returncode == 0, back.stderr
    assert (value(booting.a, RMEM), mtu(booting.a)) == (was, 1500)
    assert left == f"{SYSCTLS}:\nzz-late.conf"


def test_a_first_boot_that_does_not_go_well_is_taken_back_by_the_host(booting: Machines, tmp_path: Path) -> None:
    """The link stays down after it: half of the probation later files and values are gone, and the log says why."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD, "mtu": "1400"})
    _link(booting, "down")
    boot(booting, was)
    set_again = value(booting.a, RMEM)
    took = waited(lambda: value(booting.a, RMEM) == was, 30)
    waited(lambda: mtu(booting.a) == 1500, 5)
    _link(booting, "up")
    waited(lambda: changes(booting, A)[-1]["state"] == "put itself back", 10)
    left, log = sh(booting, f"ls {SYSCTLS} {BOOT}"), sh(booting, f"cat {ROOT}/*/log")

    assert set_again == HELD
    assert 4 < took < 20
    assert left == f"{SYSCTLS}:"
    assert "probation: eth0 has no carrier" in log


def test_a_first_boot_that_ends_before_it_was_seen_to_be_well_is_the_last_with_it(
    booting: Machines, tmp_path: Path
) -> None:
    """A node that is fenced because of it comes back without it."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, "--probation", "600", **{RMEM: HELD})
    boot(booting, was, 1)
    sh(booting, f"kill $(cat {ROOT}/watcher); umount /proc/sys/kernel/random/boot_id")
    boot(booting, was, 2)

    assert value(booting.a, RMEM) == was
    assert changes(booting, A)[-1]["state"] == "put itself back"
    assert "ended before it was seen to be well" in sh(booting, f"cat {ROOT}/*/log")
    assert sh(booting, f"ls {SYSCTLS}") == ""


def test_a_probation_whose_process_is_killed_begins_again(booting: Machines, tmp_path: Path) -> None:
    """Else the next boot, weeks later, would take the change back; the kernel is asked to kill it last."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD})
    boot(booting, was)
    spared = sh(booting, f"cat /proc/$(cat {ROOT}/watcher)/oom_score_adj")
    sh(booting, f"kill -9 $(cat {ROOT}/watcher)")
    waited(lambda: changes(booting, A)[-1]["state"] == "kept", 40)
    stands = value(booting.a, RMEM)
    desk(booting, "rollback", A)

    assert spared == sh(booting, "echo -900 2>/dev/null >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj")
    assert stands == HELD
    assert sh(booting, f"ls {ROOT}/watcher") == ""


def test_a_boot_waits_until_a_guard_has_put_back(booting: Machines, tmp_path: Path) -> None:
    """However long it holds the host's lock: what is kept would be neither set nor on probation in that boot."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD})
    sh(booting, f"setsid flock {ROOT}/lock sleep 32 >/dev/null 2>&1 </dev/null & sleep 0.5")
    boot(booting, was)
    reads = value(booting.a, RMEM)
    desk(booting, "rollback", A)

    assert reads == HELD


def test_a_change_of_which_the_power_left_a_file_away_is_completed_at_boot(booting: Machines, tmp_path: Path) -> None:
    """It is kept from the rename of its folder on: the file of sysctl.d is made again."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD})
    before = sh(booting, f"cat {SYSCTLS}/*; rm {SYSCTLS}/*")
    gone = desk(booting, "verify", A)
    boot(booting, was)
    after, reads = sh(booting, f"cat {SYSCTLS}/*"), value(booting.a, RMEM)
    desk(booting, "rollback", A)

    assert gone.returncode == 1
    assert "is gone" in gone.stdout
    assert (after, reads) == (before, HELD)


def test_what_is_set_until_the_next_boot_can_be_kept_later(booting: Machines, tmp_path: Path) -> None:
    """The same profile again, with --persist: nothing is written but the files; a second time nothing at all."""
    mine = profile(tmp_path, **{RMEM: HELD})
    desk(booting, "apply", mine, "--host", A)
    first = changes(booting, A)
    again = desk(booting, "apply", mine, "--host", A, "--persist", "--json")
    third = desk(booting, "apply", mine, "--host", A, "--persist", "--json")
    now = changes(booting, A)
    desk(booting, "rollback", A)

    assert [each["state"] for each in first] == ["confirmed"]
    assert [each["state"] for each in now] == ["on probation"]
    assert json.loads(again.stdout)[0]["change"] == first[0]["change"]
    assert json.loads(third.stdout)[0]["state"] == "nothing to do"


def test_the_later_of_two_changes_wins_and_goes_alone(booting: Machines, tmp_path: Path) -> None:
    """Its file is later in the alphabet; the earlier stays kept when it is taken back."""
    was = value(booting.a, RMEM)
    more = HELD.replace("67108864", "134217728")
    kept(booting, tmp_path, **{RMEM: HELD})
    kept(booting, tmp_path, **{RMEM: more})
    names = sh(booting, f"ls {SYSCTLS}").split()
    boot(booting, was)
    both = value(booting.a, RMEM)
    desk(booting, "rollback", A)
    one, left = value(booting.a, RMEM), sh(booting, f"ls {SYSCTLS}").split()
    desk(booting, "rollback", A)

    assert [name[:18] for name in names] == ["99-zz-nettune-0001", "99-zz-nettune-0002"]
    assert (both, one) == (more, HELD)
    assert left == names[:1]
    assert value(booting.a, RMEM) == was
    assert sh(booting, f"ls {SYSCTLS} {BOOT}") == f"{SYSCTLS}:"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("rm /run/nettune/boots", "no systemd runs there"),
        (f"mount -o remount,ro {SYSCTLS}", "is it mounted read-only"),
    ],
)
def test_a_host_that_cannot_keep_it_is_refused_before_anything_is_changed(
    booting: Machines, tmp_path: Path, trouble: str, said: str
) -> None:
    """Without anything that runs it at boot, and where /etc cannot be written."""
    was = value(booting.a, RMEM)
    sh(booting, trouble)
    done = kept(booting, tmp_path, **{RMEM: HELD})
    sh(booting, f"mount -o remount,rw {SYSCTLS}")

    assert done.returncode == 3
    assert said in done.stderr
    assert value(booting.a, RMEM) == was
    assert changes(booting, A) == []


def test_a_full_etc_leaves_it_set_and_not_kept_and_says_so(booting: Machines, tmp_path: Path) -> None:
    """Nothing of it is left in /etc; once there is room the same words keep it."""
    sh(booting, f"umount {SYSCTLS}; mount -t tmpfs -o size=4k none {SYSCTLS}; head -c 4096 /dev/zero >{SYSCTLS}/full")
    full = kept(booting, tmp_path, **{RMEM: HELD})
    state, left = changes(booting, A)[-1]["state"], sh(booting, f"ls {SYSCTLS} {BOOT}")
    sh(booting, f"rm {SYSCTLS}/full")
    again = kept(booting, tmp_path, **{RMEM: HELD})
    desk(booting, "rollback", A)

    assert full.returncode == 3
    assert "No space left" in full.stderr
    assert "stands, and is not kept over a boot" in full.stderr
    assert (state, left) == ("confirmed", f"{SYSCTLS}:\nfull")
    assert again.returncode == 0, again.stderr


def test_a_file_that_somebody_edited_is_told_and_left(booting: Machines, tmp_path: Path) -> None:
    """By verify, and by the rollback that does not take it away."""
    kept(booting, tmp_path, **{RMEM: HELD})
    sh(booting, f"for file in {SYSCTLS}/*; do echo '# mine' >>$file; done")
    told = desk(booting, "verify", A)
    back = desk(booting, "rollback", A)
    left = sh(booting, f"tail -n 1 {SYSCTLS}/*")

    assert told.returncode == 1
    assert "was edited" in told.stdout
    assert "was edited since, and is left as it is" in back.stdout
    assert left == "# mine"


def _link(machines: Machines, state: str) -> None:
    machines.node.run(Command(("ip", "link", "set", "port-a", state))).require()
    if state == "up":
        waited(lambda: "tentative" not in machines.node.run(Command(("ip", "-6", "addr"))).stdout, 10)
        time.sleep(0.1)


def test_the_command_for_emergencies_takes_the_files_of_a_kept_change_too(booting: Machines, tmp_path: Path) -> None:
    """`sh restore now`, by hand on the host: a boot does not set it again."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD, "mtu": "1400"})
    sh(booting, f"sh {ROOT}/{changes(booting, A)[-1]['change']}/restore now")
    left = sh(booting, f"ls {SYSCTLS} {BOOT}")
    boot(booting, was)

    assert left == f"{SYSCTLS}:"
    assert (value(booting.a, RMEM), mtu(booting.a)) == (was, 1500)
    assert changes(booting, A)[-1]["state"] == "put itself back"


def test_what_the_owner_did_since_is_not_undone_by_a_failed_probation(booting: Machines, tmp_path: Path) -> None:
    """It takes back what the change moved, and no address or sysctl that the host has had since."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD, "mtu": "1400"})
    sh(booting, "sysctl -qw net.ipv6.conf.eth0.accept_ra=2; ip address add 2001:db8:9::1/64 dev eth0 nodad")
    _link(booting, "down")
    boot(booting, was)
    waited(lambda: value(booting.a, RMEM) == was and mtu(booting.a) == 1500, 30)
    _link(booting, "up")
    waited(lambda: changes(booting, A)[-1]["state"] == "put itself back", 10)
    kept_ra = value(booting.a, "net.ipv6.conf.eth0.accept_ra")
    kept_address = "2001:db8:9::1/64" in sh(booting, "ip -6 address show dev eth0")
    sh(booting, "sysctl -qw net.ipv6.conf.eth0.accept_ra=1; ip address del 2001:db8:9::1/64 dev eth0")

    assert (kept_ra, kept_address) == ("2", True)


def test_a_profile_that_came_in_two_changes_is_kept_whole_and_by_its_later_values(
    booting: Machines, tmp_path: Path
) -> None:
    """Both are kept, the older one without what the later one sets; a second time there is nothing to do."""
    was = value(booting.a, RMEM)
    more = HELD.replace("67108864", "134217728")
    of = ("--host", A, "--device", "eth0", "--disruption", "d4")
    desk(booting, "apply", profile(tmp_path, **{RMEM: HELD, "mtu": "1400"}), *of)
    mine = profile(tmp_path, **{RMEM: more, "mtu": "1400"})
    desk(booting, "apply", mine, *of)
    first = desk(booting, "apply", mine, *of, "--persist", "--probation", "10", "--json")
    second = desk(booting, "apply", mine, *of, "--persist", "--probation", "10", "--json")
    states = [each["state"] for each in changes(booting, A)]
    boot(booting, was)
    after = value(booting.a, RMEM), mtu(booting.a)
    for _ in range(2):
        assert desk(booting, "rollback", A).returncode == 0

    assert first.returncode == 0, first.stderr
    assert json.loads(second.stdout)[0]["state"] == "nothing to do"
    assert states == ["on probation", "on probation"]
    assert after == (more, 1400)
    assert (value(booting.a, RMEM), mtu(booting.a)) == (was, 1500)


def test_a_change_that_is_kept_during_anothers_first_boot_has_its_own_to_come(
    booting: Machines, tmp_path: Path
) -> None:
    """The first one's probation ends well; the later one stays on probation until a boot of its own went well."""
    was = value(booting.a, RMEM)
    kept(booting, tmp_path, **{RMEM: HELD})
    boot(booting, was, 1)
    kept(booting, tmp_path, **{"net.ipv4.tcp_wmem": HELD})
    waited(lambda: changes(booting, A)[0]["state"] == "kept", 30)
    states = [each["state"] for each in changes(booting, A)]
    for _ in range(2):
        desk(booting, "rollback", A)

    assert states == ["kept", "on probation"]


def test_what_a_kernel_ships_is_read_where_nobody_has_set_anything(machines: Machines) -> None:
    """In a namespace that was just made, whatever stands on the host; what is nowhere is left out."""
    name, was = "net.core.somaxconn", value(machines.a, "net.core.somaxconn")
    machines.a.run(Command(("sysctl", "-qw", f"{name}=7"))).require()
    found = defaults.asked(machines.a, (name, "net.core.nonesuch"))
    machines.a.run(Command(("sysctl", "-qw", f"{name}={was}"))).require()

    assert found.keys() == {name}
    assert int(found[name]) > 7
