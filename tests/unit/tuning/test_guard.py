"""Guards: nothing is written where none can be armed; what a dead run left is told."""

import fcntl
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.facts.roles import Role
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.plan import SettingSpec
from tests.unit.bench.fakes import FakeHost
from tests.unit.tuning import kernel
from tuning import guard, restoring
from tuning.applying import keeping
from tuning.guard import NotGuarded
from tuning.journal import kept
from tuning.treatments import Settings

SPECS = (SettingSpec("mtu", "1400", None), SettingSpec("net.ipv4.tcp_ecn", "1", None))


def test_nothing_is_written_where_a_guard_cannot_be_armed(tmp_path: Path) -> None:
    """On no host, also not on those whose guard stands; the journal has nothing outstanding."""
    lab = replace(kernel.lab(), guard_s=5.0)
    before = lab.read()
    with kept(tmp_path / "journal") as journal:
        settings = Settings("t", SPECS, journal)
        with (
            pytest.raises(NotGuarded, match="cannot be armed, so nothing was changed") as raised,
            settings.holds(lab, before),
        ):
            pass
        assert journal.clean
    asked = [command.argv for host in lab.kernels for command in host.asked]

    assert "/var/lib/nettune/guard must be writable" in raised.value.hint
    assert {name: sheet.facts for name, sheet in before.items()} == {
        name: sheet.facts for name, sheet in lab.read().items()
    }
    assert [argv for argv in asked if argv[0] in {"tee", "ip", "ethtool"}] == []


def test_a_device_with_a_role_is_refused_by_name(tmp_path: Path) -> None:
    """The reason says who rides there and the words that would allow it; a sysctl of the whole host is none."""
    lab = replace(kernel.lab("direct"), roles={"b": (Role("eth0", "ssh", "eth0 has 192.0.2.1"),)})
    with kept(tmp_path / "journal") as journal:
        refused = Settings("t", SPECS, journal).refusal(lab, lab.read())
        sysctl = Settings("t", SPECS[1:], journal).refusal(lab, lab.read())

    assert refused == (
        "not settable here: on b, eth0 has 192.0.2.1; it is left alone unless the inventory says allow: [ssh]"
    )
    assert sysctl == ""


def _left(*lines: str, log: str = "") -> FakeHost:
    def answer(command: Command) -> tuple[int, str]:
        return 0, {guard.LEFT: "\n".join(lines), guard.DISARM: log}.get(command.argv[2], "")

    return FakeHost("pve1", answer)


def test_a_guard_that_is_being_armed_is_waited_for(tmp_path: Path) -> None:
    """Half of its script is there, under the lock: it was a dead run's to whoever looked without it."""
    (tmp_path / "0a1b").mkdir()
    (tmp_path / "lock").touch()
    argv = ("sh", "-c", guard.LEFT, "sh", str(tmp_path))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    (tmp_path / "0a1b" / "boot").write_text(boot, encoding="utf-8")
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = Local().start(Command(argv))
        time.sleep(0.3)
        looked = job.finished()
        (tmp_path / "0a1b" / "restore").write_text("exit 0\n", encoding="utf-8")
        (tmp_path / "0a1b" / "deadline").write_text("99999999\n", encoding="utf-8")
    with job:
        told = job.wait().stdout

    assert not looked
    assert told.startswith("0a1b armed ")


@pytest.mark.parametrize(
    ("files", "state"),
    [((), ""), (("boot",), "unarmed"), (("boot", "restore"), "unarmed"), (("boot", "restore", "restoring"), "begun"),
     (("boot", "restore", "deadline"), "armed"), (("restore", "deadline"), "booted")],
)  # fmt: skip
def test_how_far_a_guard_came_is_told_by_its_files(files: Sequence[str], state: str, tmp_path: Path) -> None:
    """One that never had a deadline was never armed."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    texts = {"boot": boot, "restore": "exit 0\n", "deadline": "99999999\n", "restoring": "5\n"}
    (tmp_path / "0a1b").mkdir()
    (tmp_path / "lock").touch()
    for name in files:
        (tmp_path / "0a1b" / name).write_text(texts[name], encoding="utf-8")
    told = Local().run(Command(("sh", "-c", guard.LEFT, "sh", str(tmp_path)))).require().stdout.split()

    assert told[1:2] == ([state] if state else [])


def test_what_was_never_armed_is_taken_away_and_runs_nothing() -> None:
    """Whoever armed it was killed in the middle: its script may be half of one."""
    host = _left("aa unarmed 0 trial")
    (said,) = guard.settled(host)

    assert said.endswith("it had not come to its first write")
    assert [command.argv[2] for command in host.asked if command.argv[2] in {guard.PUT_BACK, guard.DISARM}] == [
        guard.DISARM
    ]


@pytest.mark.parametrize("state", ["armed -1", "armed 25"])
def test_a_guard_that_is_armed_stops_the_next_run(state: str) -> None:
    """Somebody measures there, or was killed a moment ago: the hint says how long and how."""
    with pytest.raises(NotGuarded, match=r"on pve1: another run has changed this host") as raised:
        guard.settled(_left(f"0a1b {state} trial"))
    assert "sh /var/lib/nettune/guard/0a1b/restore now" in raised.value.hint


def test_what_a_dead_run_left_is_told_and_taken_away() -> None:
    """It had run; it never could (its watcher was killed); the host was booted since."""
    host = _left("aa restored -9 trial", "bb armed -99 trial", "cc booted -5 trial", log="exit 0: x\nexit 2: y\n")
    said = guard.settled(host)
    ran = [command.argv[-1] for command in host.asked if command.argv[2] == guard.PUT_BACK]

    assert [words.rpartition(": ")[2] for words in said] == [
        "it had put itself back (1 lines had nothing to do or failed)",
        "it was put back now (1 lines had nothing to do or failed)",
        "it was booted since, which undid the changes (1 lines had nothing to do or failed)",
    ]
    assert ran == ["bb"]
    assert [command.argv[-1] for command in host.asked if command.argv[2] == guard.DISARM] == ["aa", "bb", "cc"]


def test_the_record_of_a_change_that_was_to_stay_is_kept() -> None:
    """Its host was booted, or its watcher killed: it is closed, not taken away."""
    host = _left("aa armed -99 change", "bb booted -5 change")
    guard.settled(host)

    assert [command.argv[-1] for command in host.asked if command.argv[2] == guard.PUT_BACK] == ["aa"]
    assert [command for command in host.asked if command.argv[2] == guard.DISARM] == []


def test_a_write_after_the_guard_has_fired_is_none() -> None:
    """The host says so by its exit code, and the error does too."""
    host = FakeHost("pve1", lambda _: (76, ""))
    with pytest.raises(NotGuarded, match="the guard had fired before the write"):
        guard.Guard(host, "0a1b").begin((Command(("true",)),))()
    with pytest.raises(NotGuarded, match="the guard had fired"):
        guard.Guard(host, "0a1b").renew(5)


_SYSTEMD = {"systemd-run": ":", "systemctl": ":", "sync": ":"}


@pytest.mark.parametrize("ends", ["confirmed", "disarmed", "put back", "not armed"])
def test_what_a_boot_would_leave_is_put_back_by_a_unit_that_goes_with_its_guard(tmp_path: Path, ends: str) -> None:
    """Where systemd runs; it is in the folder of units and wanted there while the guard is armed, and never after."""
    units, root = tmp_path / "units", tmp_path / "root"
    (tmp_path / "tools").mkdir()
    for name, text in _SYSTEMD.items():
        fails = ends == "not armed" and name == "systemd-run"
        (tmp_path / "tools" / name).write_text(f"#!/bin/sh\n{'exit 1' if fails else text}\n", encoding="utf-8")
        (tmp_path / "tools" / name).chmod(0o755)

    def told(text: str, *words: str, stdin: str = "") -> int:
        text = text.replace("/etc/systemd/system", str(units)).replace("/run/systemd/system", str(tmp_path))
        argv = ("env", f"PATH={tmp_path}/tools:/usr/bin:/bin", "sh", "-c", text, "sh", str(root), "0a1b", *words)
        return Local().run(Command(argv, stdin=stdin)).returncode

    script = restoring.script((), files=("try true",)).replace("/etc/systemd/system", str(units))
    armed = told(guard.ARM, "30", str(len(script.encode())), stdin=script)
    there = sorted(each.name for each in units.rglob("*.service"))
    (unit, *_) = [*(each.read_text(encoding="utf-8") for each in units.glob("*.service")), ""]
    if ends == "confirmed":
        (root / "0a1b" / "verified").touch()
        assert told(keeping.CONFIRM) == 0
    elif ends == "disarmed":
        assert told(guard.DISARM) == 0
    elif ends == "put back":
        Local().run(Command(("sh", f"{root}/0a1b/restore", "now"))).require()

    assert there == (["nettune-guard-0a1b-boot.service"] * 2 if armed == 0 else [])
    assert (armed == 0) is (ends != "not armed")
    assert (f"ExecStart=/bin/sh {root}/0a1b/restore boot\n" in unit) is (armed == 0)
    assert [each for each in units.rglob("*") if each.is_file() or each.is_symlink()] == []
