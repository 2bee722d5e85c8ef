"""What goes wrong while a change is made: a disk that fails, another operator, a timer that fires in the middle."""

import re
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.netns import sshd
from tests.netns.nettune_command import start
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, mtu, value, waited
from tests.netns.test_apply import HELD, A, changes, desk, late_s, prefix, profile
from tests.netns.test_apply import untouched as untouched  # noqa: PLC0414 - a fixture
from tests.netns.test_apply_refusals import sh
from tuning.guard import ROOT


def _at(machines: Machines, step: str, line: str, *words: str, gives_up_s: float = 0.0) -> tuple[int, str]:
    """nettune, and a line of shell on this machine right before its STEP, or its end there or later: code, output."""
    script = machines.folder / "meanwhile"
    script.write_text(f"{line}\n", encoding="utf-8")
    how = ("-m", "tests.netns.cut_short", step, "kill" if line == "kill" else "cut" if line else "count", *words)
    gives_up = (f"NETTUNE_TEST_GIVES_UP_S={gives_up_s}",) if gives_up_s else ()
    argv = (*prefix(machines), f"NETTUNE_TEST_CUT=sh {script}", *gives_up, sys.executable, *how)
    done = Local().run(Command(argv, deadline_s=120.0))
    return done.returncode, done.stdout + done.stderr


def test_what_another_operator_did_between_plan_and_guard_is_not_undone(untouched: Machines, tmp_path: Path) -> None:
    """The originals of the plan are stale then: nothing is written, nothing is put back, no guard is left."""
    wmem = "net.ipv4.tcp_wmem"
    was = value(untouched.a, wmem)
    theirs = f"ip netns exec {untouched.a.netns} sysctl -qw '{wmem}=4096 20000 5000000'"
    code, said = _at(untouched, "w1", theirs, "apply", profile(tmp_path, **{RMEM: HELD, wmem: HELD}), "--host", A)
    stands = value(untouched.a, wmem)
    sh(untouched, f"sysctl -qw '{wmem}={was}'")

    assert code == 3, said
    assert "since it was planned somebody else did" in " ".join(said.split())
    assert stands == "4096 20000 5000000"
    assert changes(untouched, A) == []


def test_a_route_that_goes_with_a_change_that_is_not_known_to_take_it_is_told(
    untouched: Machines, tmp_path: Path
) -> None:
    """Nothing is confirmed then, and what the guard could not bring back is said, in place of "as it was"."""
    was = value(untouched.a, RMEM)
    sh(untouched, "ip route add 198.51.100.0/24 via 192.0.2.9 dev eth0")
    theirs = f"ip -n {untouched.a.netns} route del 198.51.100.0/24"
    words = ("apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--device", "eth0")
    code, said = _at(untouched, "w3", theirs, *words)

    assert code == 3, said
    assert "route/198.51.100.0/24 via 192.0.2.9 dev eth0 was there before and is gone" in " ".join(said.split())
    assert "was put back at once" in said
    assert "but for" in said
    assert value(untouched.a, RMEM) == was


@pytest.mark.parametrize("step", ["first write", "confirmation"])
def test_a_timer_that_fires_in_the_middle_is_the_end_of_it(untouched: Machines, tmp_path: Path, step: str) -> None:
    """Between arming and writing, and right before it is confirmed: the host is as it was, and that is said."""
    words = ("apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--confirm-within", "6")
    was = value(untouched.a, RMEM)
    writes = "w2"  # the first arms it
    if step == "confirmation":
        code, said = _at(untouched, "w0", "", *words)
        assert code == 0, said
        desk(untouched, "rollback", A)
        writes = f"w{said.rpartition('sent ')[2].strip()}"
    code, said = _at(untouched, writes, "sleep 8", *words)

    assert code == 3
    assert "put itself back" in said, said
    assert value(untouched.a, RMEM) == was
    assert changes(untouched, A)[-1]["state"] == "put itself back"


def test_a_disk_that_turns_read_only_keeps_no_host_from_being_put_back(untouched: Machines, tmp_path: Path) -> None:
    """As the kernel does with one that fails, while a change waits for its confirmation."""
    sh(untouched, "mkdir -p /var/lib/nettune; mount -t tmpfs none /var/lib/nettune")
    was = value(untouched.a, RMEM)
    held = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--hold", "--confirm-within", "6")
    set_to = value(untouched.a, RMEM)
    sh(untouched, "mount -o remount,ro /var/lib/nettune")
    took = waited(lambda: value(untouched.a, RMEM) == was, 15)
    time.sleep(1.5)  # its watcher has come to its end
    sh(untouched, "umount /var/lib/nettune")

    assert (held.returncode, set_to) == (0, HELD), held.stderr
    assert took < 11


def test_what_a_host_could_not_put_back_is_told(untouched: Machines, tmp_path: Path) -> None:
    """Its script runs to its end whatever a line of it gives; whoever looks afterwards compares."""
    was = value(untouched.a, RMEM)
    held = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--hold", "--confirm-within", "5")
    sh(untouched, "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
    waited(lambda: [each["state"] for each in changes(untouched, A)] == ["put itself back"], 15)
    sh(untouched, "umount /proc/sys")
    told = desk(untouched, "verify", A)
    sh(untouched, f"sysctl -qw '{RMEM}={was}'")
    well = desk(untouched, "verify", A)

    assert held.returncode == 0, held.stderr
    assert (told.returncode, well.returncode) == (1, 0), told.stdout
    assert "the host put itself back, but for this" in " ".join(told.stdout.split())


def test_an_mtu_that_is_a_black_hole_is_put_back(untouched: Machines, tmp_path: Path) -> None:
    """Both ends believe in 9000, the port between them does not: logins pass, full packets do not."""
    before = untouched.facts()
    sh(untouched, "ethtool -K mgmt0 tso off gso off")
    desk_line = "ip link set br0 mtu 9000; ethtool -K br0 tso off gso off; ethtool -K port-a tso off gso off"
    untouched.desk.run(Command(("sh", "-c", desk_line))).require()
    words = ("--device", "mgmt0", "--allow", "ssh", "--disruption", "d4", "--confirm-within", "8")
    done = desk(untouched, "apply", profile(tmp_path, mtu="9000"), "--host", A, *words)
    waited(lambda: mtu(untouched.a, "mgmt0") == 1500, 30)
    desk_line = "ip link set br0 mtu 1500; ethtool -K br0 tso on gso on; ethtool -K port-a tso on gso on"
    untouched.desk.run(Command(("sh", "-c", desk_line))).require()
    sh(untouched, "ethtool -K mgmt0 tso on gso on")
    (known,) = changes(untouched, A)

    assert done.returncode == 3
    assert "put itself back" in done.stderr or "new connection" in done.stderr, done.stderr
    assert known["state"] == "put itself back"
    assert late_s(untouched, known) <= 5
    assert differences(before, untouched.facts()) == ()


_NO_SYN = (
    "add table ip wrong; add chain ip wrong drops {{ type filter hook input priority 0; }}; "
    "add rule ip wrong drops iifname mgmt0 tcp dport {port} tcp flags & (syn | ack) == syn reject with tcp reset"
)


def test_what_lets_no_new_connection_in_is_put_back_though_ours_goes_on(untouched: Machines, tmp_path: Path) -> None:
    """A rule that takes the first packet alone, once the setting is written: the session that stands sees nothing."""
    was = value(untouched.a, RMEM)
    rule = f"ip netns exec {untouched.a.netns} nft '{_NO_SYN.format(port=sshd.PORT)}'"
    code, said = _at(untouched, "w3", rule, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A)
    sh(untouched, "nft delete table ip wrong")

    assert code == 3, said
    assert f"on {CONTROL['a']}: a new connection fails" in " ".join(said.split())
    assert "was put back at once" in said
    assert value(untouched.a, RMEM) == was


_RULE = """\
cut='table ip wrong { chain drops { type filter hook input priority 0; iifname "mgmt0" drop; }; }'
while sleep 0.05; do
  case $(sysctl -n net.ipv4.tcp_rmem) in
  *67108864) nft list table ip wrong >/dev/null 2>&1 || nft "$cut" ;;
  *) nft delete table ip wrong 2>/dev/null ;;
  esac
done
"""


def test_a_rule_that_drops_our_packets_is_survived(untouched: Machines, tmp_path: Path) -> None:
    """It stands as long as the setting does: the host is out of reach, and puts itself back alone."""
    before = untouched.facts()
    with untouched.a.start(Command(("sh", "-c", _RULE), deadline_s=120.0)):
        job = start("apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--confirm-within", "8",
                    prefix=prefix(untouched))  # fmt: skip
        waited(lambda: value(untouched.a, RMEM) == HELD, 30)
        took = waited(lambda: value(untouched.a, RMEM) != HELD, 30)
        _, said = job.communicate(timeout=120)
        waited(lambda: "wrong" not in untouched.a.run(Command(("nft", "list", "tables"))).stdout, 10)

    assert job.returncode == 3, said
    assert took < 13
    assert changes(untouched, A)[-1]["state"] == "put itself back"
    assert differences(before, untouched.facts()) == ()


def test_every_verb_needs_root(untouched: Machines, tmp_path: Path) -> None:
    """An ordinary user may log in and reads nothing of root's folder: that is said, and is no "nothing was changed"."""
    mine, ordinary = profile(tmp_path, **{RMEM: HELD}), A.replace("root@", "nt-test@")
    held = desk(untouched, "apply", mine, "--host", A, "--hold", "--confirm-within", "60")
    sshd.ordinary(untouched.servers["a"], tmp_path)
    words = (("apply", mine, "--host", ordinary), *((verb, ordinary) for verb in ("history", "verify", "confirm")),
             ("rollback", ordinary, "--unclaimed"))  # fmt: skip
    told = [desk(untouched, *each) for each in words]
    sh(untouched, f"umount /etc/passwd /etc/shadow; rm {sshd.KEYS_FOR_ALL}")
    back = desk(untouched, "rollback", A)

    assert (held.returncode, back.returncode) == (0, 0), held.stderr + back.stderr
    assert [each.returncode for each in told] == [3, 3, 3, 3, 3]
    assert [("changes and their guard need root" in each.stderr, "ssh://root@" in each.stderr, each.stdout)
            for each in told] == [(True, True, "")] * 5, told  # fmt: skip


def test_what_was_put_back_in_part_is_told_and_brought_to_its_end(untouched: Machines, tmp_path: Path) -> None:
    """The host's script was killed in the middle: one of two settings still stands."""
    was = value(untouched.a, RMEM)
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    held = desk(untouched, "apply", mine, "--host", A, "--device", "eth0", "--disruption", "d3", "--hold")
    sh(untouched, f"cd {ROOT}/[0-9a-f]*; kill $(cat watcher); mv deadline restoring; sysctl -qw '{RMEM}={was}'")
    told, (known,) = desk(untouched, "verify", A), changes(untouched, A)
    back = desk(untouched, "rollback", A, "--to", known["change"])

    assert held.returncode == 0, held.stderr
    assert (told.returncode, known["state"]) == (1, "begun")
    assert "was cut short; not as before: feature/eth0/tx-tcp" in " ".join(told.stdout.split())
    assert (back.returncode, changes(untouched, A)[-1]["state"]) == (0, "put itself back"), back.stderr


def test_what_somebody_set_while_a_change_waits_is_not_overwritten_unasked(untouched: Machines, tmp_path: Path) -> None:
    """Rollback asks, and says that the host does not; what that overwrites in the end is told by all."""
    theirs, was = "4096 32768 65536", value(untouched.a, RMEM)
    held = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--hold", "--confirm-within", "90")
    sh(untouched, f"sysctl -qw '{RMEM}={theirs}'")
    asked = desk(untouched, "rollback", A)
    kept = value(untouched.a, RMEM)
    sh(untouched, f"echo 0 >$(echo {ROOT}/*/deadline)")
    waited(lambda: value(untouched.a, RMEM) == was, 12)
    well, again, (alone,) = desk(untouched, "verify", A), desk(untouched, "rollback", A), changes(untouched, A)

    assert held.returncode == 0, held.stderr
    assert (asked.returncode, kept) == (3, theirs)
    assert re.search(r"nothing was put back: somebody else .* puts it back all the same in \d+ s", _line(asked.stderr))
    assert alone["overwrote"] == {f"sysctl/{RMEM}": theirs}
    assert (well.returncode, again.returncode) == (0, 2)
    for said in (well.stdout, again.stderr):
        assert f"over sysctl/{RMEM} '{theirs}'" in _line(said)


def _line(text: str) -> str:
    return " ".join(text.split())


def test_one_record_that_cannot_be_read_stops_no_other(untouched: Machines, tmp_path: Path) -> None:
    """It is listed with the reason; what takes it back at the host does."""
    was, wmem = value(untouched.a, RMEM), value(untouched.a, "net.ipv4.tcp_wmem")
    for name in ("net.ipv4.tcp_wmem", RMEM):
        assert desk(untouched, "apply", profile(tmp_path, **{name: HELD}), "--host", A).returncode == 0
    bad, good = (each["change"] for each in changes(untouched, A))
    sh(untouched, f"sed -i '2s/\"format\"/format/' {ROOT}/{bad}/restore")
    told, (listed, _) = desk(untouched, "verify", A), changes(untouched, A)
    back, refused = desk(untouched, "rollback", A), desk(untouched, "rollback", A, "--to", bad)
    (command,) = re.findall(r"sh \S+/restore now", _line(refused.stderr))
    again = value(untouched.a, RMEM)
    sh(untouched, command)

    assert (told.returncode, listed["state"]) == (1, "confirmed")
    assert "it is damaged" in listed["unreadable"]
    assert f"its record: change {bad} (confirmed)" in _line(told.stdout)
    assert (back.returncode, refused.returncode, again) == (0, 3, was), back.stderr
    assert good in back.stdout
    assert value(untouched.a, "net.ipv4.tcp_wmem") == wmem


def test_of_two_that_come_at_the_same_moment_one_is_refused_by_the_host(untouched: Machines, tmp_path: Path) -> None:
    """Both found nothing under way; the other's guard is armed first."""
    other = tmp_path / "other"
    other.mkdir()
    theirs = profile(other, **{"net.ipv4.tcp_wmem": HELD})
    command = (sys.executable, "-m", "tests.netns.sooner", "apply", theirs, "--host", A, "--hold")
    was = value(untouched.a, RMEM)
    code, said = _at(untouched, "w1", f"{shlex.join(command)} >/dev/null", "apply",
                     profile(tmp_path, **{RMEM: HELD}), "--host", A)  # fmt: skip
    stands = value(untouched.a, RMEM), value(untouched.a, "net.ipv4.tcp_wmem")
    back = desk(untouched, "rollback", A)

    assert code == 3, said
    assert "another change is under way there" in " ".join(said.split())
    assert stands == (was, HELD)
    assert back.returncode == 0, back.stderr


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("verb", "step"), [*(("confirm", n) for n in range(2, 5)), *(("rollback", n) for n in range(1, 15))]
)
def test_a_change_is_whole_wherever_its_end_is_cut_short(
    untouched: Machines, tmp_path: Path, verb: str, step: int
) -> None:
    """SIGKILL right before each command of it; asked again it comes to its end, and the machine is as it was."""
    before = untouched.facts()
    held = ("--hold",) if verb == "confirm" else ()
    words = ("--host", A, "--device", "eth0", "--disruption", "d4", *held)
    applied = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD, "mtu": "1200"}), *words)
    code, _ = _at(untouched, str(step), "kill", verb, A)
    left = changes(untouched, A)[-1]["state"]
    if verb == "confirm" and left == "armed":
        sh(untouched, f"echo 0 >$(echo {ROOT}/*/deadline)")  # its time has come
        waited(lambda: changes(untouched, A)[-1]["state"] == "put itself back", 15)
    elif left == "confirmed":
        again = desk(untouched, "rollback", A)
        assert again.returncode == 0, again.stderr

    assert (applied.returncode, code) == (0, -9), applied.stderr
    assert changes(untouched, A)[-1]["state"] in {"put itself back", "rolled back"}
    assert differences(before, untouched.facts()) == ()


def test_a_rollback_whose_way_is_lost_comes_to_its_end_on_the_host(untouched: Machines, tmp_path: Path) -> None:
    """Cut off in mid-undo and its nettune dead: addresses and routes that the change had dragged along are back too."""
    before = untouched.facts()
    words = ("--host", A, "--device", "eth0", "--disruption", "d4")
    applied = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD, "tso": "off", "mtu": "1200"}), *words)
    code, said = _at(untouched, "g2", "(sleep 0.1; ip link set port-a down) >/dev/null 2>&1 &", "rollback", A,
                     gives_up_s=5.0)  # fmt: skip
    took = waited(lambda: not differences(_but_the_port(untouched, before), _but_the_port(untouched)), 40)
    untouched.desk.run(Command(("ip", "link", "set", "port-a", "up"))).require()
    waited(lambda: desk(untouched, "history", A).returncode == 0, 30)
    (left,) = changes(untouched, A)
    again = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD}), *words)
    desk(untouched, "rollback", A)

    assert applied.returncode == 0, applied.stderr
    assert code == -9, said
    assert took < 40
    assert left["state"] == "rolled back"
    assert "a rollback lost its way to the host" in " ".join(again.stdout.split())


def _but_the_port(machines: Machines, sheets: Sheets | None = None) -> Sheets:
    """The state without what the cut itself moves: the carrier of the device that SSH comes by."""
    return {
        name: replace(sheet, facts={key: value for key, value in sheet.facts.items() if "mgmt0" not in key})
        for name, sheet in (sheets or machines.facts()).items()
    }


def test_a_rollback_asks_who_rides_on_a_device_that_it_starts_anew(untouched: Machines, tmp_path: Path) -> None:
    """As apply did; who said it then may not know it now."""
    words = ("--host", A, "--device", "mgmt0", "--allow", "ssh", "--disruption", "d4")
    applied = desk(untouched, "apply", profile(tmp_path, mtu="1400"), *words)
    refused = desk(untouched, "rollback", A)
    held = mtu(untouched.a, "mgmt0")
    back = desk(untouched, "rollback", A, "--allow", "ssh")

    assert applied.returncode == 0, applied.stderr
    assert (refused.returncode, held) == (3, 1400)
    assert "--allow ssh" in refused.stderr
    assert back.returncode == 0, back.stderr
    assert mtu(untouched.a, "mgmt0") == 1500


@pytest.mark.sampled(1, "mtu")
@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_an_mtu_that_is_less_than_our_connection_was_made_with_is_seen_to_its_end(
    untouched: Machines, tmp_path: Path, verb: str
) -> None:
    """What SSH has under way is too large for the device then, and is dropped without a word; a new connection is not.

    Taken back from 9000, or applied below what there was: at the desk no offload makes packets anew.
    """
    wide = "ip link set br0 mtu 9000; ip link set port-a mtu 9000; for each in br0 port-a; do ethtool -K $each {}; done"
    untouched.desk.run(Command(("sh", "-c", wide.format("tso off gso off")))).require()
    sh(untouched, "ethtool -K mgmt0 tso off gso off")
    if verb == "apply":
        sh(untouched, "ip link set mgmt0 mtu 9000")
    words = ("--host", A, "--device", "mgmt0", "--allow", "ssh", "--disruption", "d4", "--confirm-within", "60")
    mine = profile(tmp_path, mtu={"apply": "1500", "rollback": "9000"}[verb])
    applied = desk(untouched, "apply", mine, *words)
    there, known = mtu(untouched.a, "mgmt0"), changes(untouched, A)[-1]["state"]
    back = desk(untouched, "rollback", A, "--allow", "ssh")
    again = mtu(untouched.a, "mgmt0")
    line = "ip link set br0 mtu 1500; ip link set port-a mtu 1500; for each in br0 port-a; do ethtool -K $each {}; done"
    untouched.desk.run(Command(("sh", "-c", line.format("tso on gso on")))).require()
    sh(untouched, "ip link set mgmt0 mtu 1500; ethtool -K mgmt0 tso on gso on")

    assert (applied.returncode, known) == (0, "confirmed"), applied.stderr
    assert back.returncode == 0, back.stderr
    assert (there, again) == {"apply": (1500, 9000), "rollback": (9000, 1500)}[verb]
