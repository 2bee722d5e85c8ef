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
     (("boot", "restore", "deadline"), "armed"), (("restore", "deadline"), "booted"),
     (("boot", "restore", "confirmed"), ""), (("boot", "moved", "rolled-back"), "")],
)  # fmt: skip
def test_how_far_a_guard_came_is_told_by_its_files(files: Sequence[str], state: str, tmp_path: Path) -> None:
    """One that never had a deadline was never armed; what was confirmed is left alone, whatever its script is."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    texts = {"boot": boot, "restore": "exit 0\n", "deadline": "99999999\n", "restoring": "5\n",
             **dict.fromkeys(("confirmed", "moved", "rolled-back"), "")}  # fmt: skip
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


# Each tool writes down how it was called, and what lay in the guard's folder then.
_TOOL = """\
#!/bin/sh
echo "${{0##*/}} $*: $(cd {root}/0a1b && echo *)" >>{folder}/calls
exit {code}
"""


class Desk:
    """Scripts of the guard and of what becomes of it, by a real sh, where systemd's programs and sync are stand-ins."""

    def __init__(self, folder: Path, *fails: str) -> None:
        self.folder, self.root, self.units = folder, folder / "root", folder / "units"
        (folder / "tools").mkdir()
        for name in ("systemd-run", "systemctl", "sync"):
            tool = folder / "tools" / name
            tool.write_text(_TOOL.format(root=self.root, folder=folder, code=int(name in fails)), encoding="utf-8")
            tool.chmod(0o755)

    def told(self, text: str, *words: str, stdin: str = "") -> int:
        """Its exit code."""
        units, running = str(self.units), str(self.folder)
        text = text.replace("/etc/systemd/system", units).replace("/run/systemd/system", running)
        tools = f"PATH={self.folder}/tools:/usr/bin:/bin"
        argv = ("env", tools, "sh", "-c", text, "sh", str(self.root), "0a1b", *words)
        return Local().run(Command(argv, stdin=stdin)).returncode

    def armed(self, *files: str) -> int:
        """The exit code of ARM, of a script with these lines for what outlives a boot."""
        script = restoring.script((), files=files).replace("/etc/systemd/system", str(self.units))
        return self.told(guard.ARM, "30", str(len(script.encode())), stdin=script)

    def calls(self) -> list[tuple[str, list[str]]]:
        """Of all tools since the last time: the words, paths below the root, and what lay there."""
        lines = (self.folder / "calls").read_text(encoding="utf-8").replace(f"{self.root}/", "").splitlines()
        (self.folder / "calls").write_text("", encoding="utf-8")
        return [(words, there.split()) for words, _, there in (line.rpartition(": ") for line in lines)]


def test_what_is_to_outlive_a_power_failure_is_on_disk_before_anything_counts_on_it(tmp_path: Path) -> None:
    """Script, deadline and folders before a timer runs; what was moved before it has its name; a confirmation."""
    desk = Desk(tmp_path)
    armed = desk.armed(), desk.calls()
    made = desk.told(keeping.MADE, "verified", stdin="{}\n"), desk.calls()
    confirmed = desk.told(keeping.CONFIRM), desk.calls()
    back = desk.told(keeping.ROLLED_BACK), desk.calls()
    (first, there), (then, _), *_ = armed[1]

    assert (armed[0], made[0], confirmed[0], back[0]) == (0, 0, 0, 0)
    assert first == f"sync 0a1b/restore 0a1b/boot 0a1b/turn 0a1b/deadline 0a1b {desk.root}"
    assert {"restore", "boot", "turn", "deadline"} <= set(there)
    assert then.startswith("systemd-run")
    assert [words for words, _ in made[1]] == ["sync 0a1b/moved.next", "sync 0a1b"]
    assert [("moved" in there, "verified" in there) for _, there in made[1]] == [(False, False), (True, True)]
    assert [words.split()[0] for words, _ in confirmed[1]] == ["sync", "systemctl"]
    assert confirmed[1][0][0] == "sync 0a1b"
    assert {"deadline", "confirmed"} & set(confirmed[1][0][1]) == {"confirmed"}
    assert [(words, "rolled-back" in there) for words, there in back[1]] == [("sync 0a1b", True)]


def test_a_guard_whose_files_do_not_reach_the_disk_is_not_armed(tmp_path: Path) -> None:
    """fsync(2) fails: nothing is left, and no timer was begun."""
    desk = Desk(tmp_path, "sync")
    code, calls = desk.armed(), desk.calls()

    assert code != 0
    assert [words for words, _ in calls if words.startswith("systemd-run")] == []
    assert not (desk.root / "0a1b").exists()


@pytest.mark.parametrize("ends", ["confirmed", "disarmed", "put back", "not armed"])
def test_what_a_boot_would_leave_is_put_back_by_a_unit_that_goes_with_its_guard(tmp_path: Path, ends: str) -> None:
    """Where systemd runs; it is in the folder of units and wanted there while the guard is armed, and never after."""
    desk = Desk(tmp_path, *(("systemd-run",) if ends == "not armed" else ()))
    units, root = desk.units, desk.root
    armed = desk.armed("try true")
    there = sorted(each.name for each in units.rglob("*.service"))
    (unit, *_) = [*(each.read_text(encoding="utf-8") for each in units.glob("*.service")), ""]
    if ends == "confirmed":
        (root / "0a1b" / "verified").touch()
        assert desk.told(keeping.CONFIRM) == 0
    elif ends == "disarmed":
        assert desk.told(guard.DISARM) == 0
    elif ends == "put back":
        Local().run(Command(("sh", f"{root}/0a1b/restore", "now"))).require()

    assert there == (["nettune-guard-0a1b-boot.service"] * 2 if armed == 0 else [])
    assert (armed == 0) is (ends != "not armed")
    assert (f"ExecStart=/bin/sh {root}/0a1b/restore boot\n" in unit) is (armed == 0)
    assert [each for each in units.rglob("*") if each.is_file() or each.is_symlink()] == []
