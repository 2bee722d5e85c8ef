"""The disk for Proxmox, built (or found) and booted for real, and the guard of standing hosts on its systemd."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts import state
from bench.facts.sheet import FactSheet, differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.ssh import Ssh, connected
from bench.images import cache
from bench.images.disk import DISK_KIND
from bench.plan import SettingSpec
from nettune.places import places
from tests.netns import sshd
from tests.netns.nettune_command import nettune
from tests.netns.standing_hosts import waited
from tests.netns.test_apply import HELD as LARGE
from tests.netns.test_apply import profile
from tests.vm.proxmox import ADDRESS, FIRMWARES, Machine, booted
from tests.vm.test_image import TOOLS
from tuning import guard
from tuning.journal import kept
from tuning.knobs.knob import Change
from tuning.knobs.table import owner
from tuning.restoring import script, undoing
from tuning.treatments import Settings

RMEM, HELD = "sysctl/net.ipv4.tcp_rmem", "4096 65536 1048576"
MTU = "link/eth1/mtu"
ARMED_S = 30.0  # that an emulated machine does not use up before it is looked at


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """One for each firmware, from one image, told apart by their cloud-init drives; booted to the end."""
    image = cache.built(places().cache, Local(), print, DISK_KIND)
    with booted(image, tmp_path_factory.mktemp("machines")) as running:
        for each in running.values():
            each.told("/usr/bin/cloud-init", "status", "--wait")
        yield running


@pytest.fixture(params=FIRMWARES)
def machine(machines: dict[str, Machine], request: pytest.FixtureRequest) -> Machine:
    """Each of them."""
    return machines[str(request.param)]


def test_a_machine_is_who_its_cloud_init_drive_says(machine: Machine) -> None:
    """Name, address and key; without a complaint of cloud-init; no unit has failed; the machine's Debian."""
    status = json.loads(machine.told("/usr/bin/cloud-init", "status", "--format", "json"))
    links = json.loads(machine.told("/usr/bin/ip", "-j", "-4", "address", "show", "eth0"))
    with connected(machine.name, machine.login) as host:
        said = host.run(Command(("sh", "-c", "hostname; systemctl is-system-running; cat /etc/os-release")))
        firmware = host.run(Command(("test", "-d", "/sys/firmware/efi")))

    assert (status["status"], status["errors"]) == ("done", [])
    assert status["datasource"] == "nocloud"
    assert [each["local"] for each in links[0]["addr_info"]] == [ADDRESS]
    assert said.stdout.splitlines()[:2] == [machine.name, "running"]
    assert said.stdout.split("\n", 2)[2] == Path("/etc/os-release").read_text(encoding="utf-8")
    assert firmware.ok == (machine.name == "ovmf")


def test_the_agent_answers_and_runs_commands(machine: Machine) -> None:
    """As `qm agent` and `qm guest exec` ask it."""
    assert machine.agent("guest-ping") == {}
    assert machine.told("/usr/bin/iperf3", "--version").startswith("iperf 3.")


def test_a_machine_has_the_tools_of_a_labs_guest(machine: Machine) -> None:
    """Everything that a lab drives, and none of the daemons that come with them runs."""
    lines = (
        f"for t in {' '.join(TOOLS.split())}; do command -v $t >/dev/null || echo no $t; done; pgrep -l 'irtt|haproxy'"
    )

    assert machine.told("/bin/sh", "-c", lines) == ""


def test_two_machines_of_one_image_share_no_identity(machines: dict[str, Machine]) -> None:
    """Machine-ids and host keys are made on the first boot."""
    ids = {each.told("/usr/bin/cat", "/etc/machine-id") for each in machines.values()}
    keys = {each.host_key.split()[1] for each in machines.values()}

    assert len(ids) == len(keys) == len(machines)
    assert {len(each.strip()) for each in ids} == {32}


# -- the guard, on a host whose systemd is real ------------------------------------------------------------------------
def _facts(host: Ssh) -> FactSheet:
    return state.read({host: ["eth1"]})[host.name]


def _held(host: Ssh, before: FactSheet, tmp_path: Path, seconds: float) -> guard.Guard:
    """A guard that is armed, and behind it an MTU that drops IPv6, and a sysctl."""
    changes = [Change(host.name, MTU, "1200"), Change(host.name, RMEM, HELD)]
    guards: dict[str, guard.Guard] = {}
    with kept(tmp_path / "journal") as journal:
        specs = (SettingSpec("mtu", "1200", "guest"), SettingSpec("net.ipv4.tcp_rmem", HELD, "guest"))
        explains = Settings("t", specs, journal).explains
        guard.arm_all((host,), changes, {host.name: before}, explains, seconds, guards)
    armed = guards[host.name]
    for each in changes:
        armed.begin(owner(each.key).writes((each,)))()
    return armed


def _units(host: Ssh) -> list[str]:
    """Of guards, those that are active: a timer that waits, a script that runs."""
    words = ("systemctl", "list-units", "--plain", "--no-legend", "nettune-guard-*")
    return [line.split()[0] for line in host.run(Command(words)).require().stdout.splitlines()]


@pytest.mark.sampled(1)
def test_a_timer_of_systemd_puts_the_host_back_with_nobody_calling(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    """MTU, its IPv6 addresses and sysctls, and a sysctl; the log is told; no unit and no folder is left."""
    machine = machines["seabios"]
    login = machine.login
    with connected("disk", login) as host:
        before = _facts(host)
        armed = _held(host, before, tmp_path, ARMED_S)
        held = _facts(host)
        units = _units(host)
    time.sleep(ARMED_S)
    with connected("disk", login) as host:
        deadline = time.monotonic() + 180  # emulated, and not alone
        marker = Command(("test", "-e", f"{guard.ROOT}/{armed.guard_id}/restored"))
        while not host.run(marker).ok:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        while different := differences({"disk": before}, {"disk": _facts(host)}):
            assert time.monotonic() < deadline, different  # duplicate address detection takes up to 2 s
            time.sleep(0.5)
        (said,) = guard.settled(host)
        left = host.run(Command(("ls", guard.ROOT))).stdout.split(), _units(host)

    assert (held.facts[MTU], held.facts[RMEM]) == ("1200", HELD)
    assert not [key for key in held.facts if key.startswith("address/eth1/2001:db8")]
    assert units == [f"nettune-guard-{armed.guard_id}.timer"]
    assert "it had put itself back" in said
    assert left == (["lock"], [])


@pytest.mark.sampled(1)
def test_what_watches_a_change_is_a_service_beside_its_timer(machines: dict[str, Machine]) -> None:
    """A link that is lost for ten seconds is not waited for until the deadline; its log says why."""
    with connected("disk", machines["seabios"].login) as host:
        before = _facts(host)
        change = Change(host.name, RMEM, HELD)
        lines = undoing([change], before, lambda _: False)
        armed = guard.arm(host, script(lines, looks=("carrier:no-such0",)), 600)
        armed.begin(owner(RMEM).writes((change,)))()
        held = _facts(host).facts[RMEM]
        watching = host.run(Command(("systemctl", "is-active", f"nettune-watch-{armed.guard_id}"))).stdout.strip()
        deadline = time.monotonic() + 60
        while _facts(host).facts[RMEM] != before.facts[RMEM]:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        log = host.run(Command(("cat", f"{guard.ROOT}/{armed.guard_id}/log"))).stdout
        (said,) = guard.settled(host)

    assert (held, watching) == (HELD, "active")
    assert "early: no-such0 has no carrier" in log
    assert "it had put itself back" in said


@pytest.mark.sampled(1)
def test_a_guard_that_is_renewed_waits_and_one_that_is_disarmed_does_nothing(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    """The timer fires at its first time, and the script waits for the new one; disarmed, both are gone."""
    with connected("disk", machines["seabios"].login) as host:
        before = _facts(host)
        armed = _held(host, before, tmp_path, ARMED_S)
        armed.renew(600)
        deadline = time.monotonic() + 180
        while f"nettune-guard-{armed.guard_id}.service" not in _units(host):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        time.sleep(2)
        held = _facts(host)
        log = armed.disarm()
        time.sleep(2)
        after, left = _facts(host), (host.run(Command(("ls", guard.ROOT))).stdout.split(), _units(host))

    assert (held.facts[MTU], held.facts[RMEM]) == (after.facts[MTU], after.facts[RMEM]) == ("1200", HELD)
    assert log == ""
    assert left == (["lock"], [])


_JUMPS = """\
for jump in "date -s @$(($(date +%s) + 18000))" "date -s @$(($(date +%s) - 18000))" "systemctl daemon-reexec"; do
  $jump >/dev/null; sleep 1; echo $(date +%s) $(sysctl -n net.ipv4.tcp_rmem)
done
date -s @$(($(date +%s) + 18000)) >/dev/null"""


@pytest.mark.sampled(1)
def test_a_clock_that_jumps_makes_a_timer_of_systemd_fire_neither_early_nor_late(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    """Set ahead by five hours and back by ten, and systemd executed anew, as an upgrade does: its own time counts."""
    with connected("disk", machines["seabios"].login) as host:
        before = _facts(host)
        armed = _held(host, before, tmp_path, 2 * ARMED_S)
        jumping = Command(("sh", "-c", f"date +%s\n{_JUMPS}"), deadline_s=60.0)
        clock, *jumps = host.run(jumping).require().stdout.splitlines()
        folder = f"{guard.ROOT}/{armed.guard_id}"
        waited(lambda: host.run(Command(("test", "-e", f"{folder}/restored"))).ok, 180)
        log = host.run(Command(("cat", f"{folder}/log", f"{folder}/restoring"))).stdout
        waited(lambda: differences({"disk": before}, {"disk": _facts(host)}) == (), 60)
        (said,) = guard.settled(host)

    hours = [(int(line.split()[0]) - int(clock)) / 3600 for line in jumps]
    began, deadline = float(log.split("began at uptime ")[1].split()[0]), float(log.split()[-1])
    assert [round(each) for each in hours] == [5, -5, -5]
    assert [line.split()[1:] for line in jumps] == [HELD.split()] * 3
    assert deadline <= began < deadline + 5
    assert "it had put itself back" in said


# -- LACP that is real: two legs to a bond of the machine's own, in a namespace ----------------------------------------
_BOND = """\
set -e
ip netns add far
ip link add lacp0 type bond mode 802.3ad miimon 100 lacp_rate {rate}
ip -n far link add bond0 type bond mode 802.3ad miimon 100 lacp_rate {rate}
for leg in 1 2; do
  ip link add l$leg type veth peer name r$leg netns far
  ip link set l$leg master lacp0
  ip -n far link set r$leg master bond0
done
ip -n far link set bond0 up
ip link set lacp0 up"""
# The switch's port is up, and says nothing any more.
_SILENT = "read -r now rest </proc/uptime; ip netns exec far tc qdisc add dev r2 root pfifo limit 0 && echo $now"
_DEVICES = ("--device", "lacp0", "--device", "l1", "--device", "l2", "--allow", "guests", "--disruption", "d4")


@contextlib.contextmanager
def _lacp(host: Ssh, rate: str) -> Iterator[None]:
    """It stands, each leg with its partner; afterwards it is gone, and what was kept of changes."""
    host.run(Command(("sh", "-c", _BOND.format(rate=rate)), deadline_s=60.0)).require()
    try:
        waited(lambda: _paired(host) == [True, True], 120)
        yield
    finally:
        gone = f"ip link delete lacp0; ip link delete l1; ip link delete l2; ip netns delete far; rm -rf {guard.ROOT}"
        host.run(Command(("sh", "-c", gone), deadline_s=60.0))


def _paired(host: Ssh) -> list[bool]:
    words = [f"/sys/class/net/{leg}/bonding_slave/ad_partner_oper_port_state" for leg in ("l1", "l2")]
    return [int(line) & 56 == 56 for line in host.run(Command(("cat", *words))).stdout.split()]


def _desk(machine: Machine, folder: Path) -> tuple[tuple[str, ...], str]:
    """What runs a program where its ssh knows the machine; how nettune names that."""
    known = f"[127.0.0.1]:{machine.port} {machine.login.pinned}\n"
    return ("env", f"HOME={sshd.home(folder, machine.folder / 'user', known)}"), f"ssh://root@127.0.0.1:{machine.port}"


def _ended(host: Ssh) -> tuple[float, str]:
    """When the host began to put itself back, by its uptime, and its log."""
    waited(lambda: host.run(Command(("sh", "-c", f"test -e {guard.ROOT}/*/restored"))).ok, 300)
    log = host.run(Command(("sh", "-c", f"cat {guard.ROOT}/*/log"))).stdout
    found = re.search(r"began at uptime ([\d.]+)", log)
    assert found is not None, log
    return float(found[1]), log


@pytest.mark.sampled(1)
def test_a_leg_that_loses_its_lacp_partner_while_a_change_waits_puts_the_host_back(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    """After ten seconds, though the link is up and the other leg has its partner."""
    prefix, word = _desk(machines["seabios"], tmp_path)
    mine = profile(tmp_path, **{"net.ipv4.tcp_rmem": LARGE})
    with connected("disk", machines["seabios"].login) as host, _lacp(host, "fast"):
        before = _facts(host).facts[RMEM]
        held = nettune("apply", mine, "--host", word, *_DEVICES, "--hold", "--confirm-within", "900", prefix=prefix)
        between, well = _facts(host).facts[RMEM], _paired(host)
        silent = float(host.run(Command(("sh", "-c", _SILENT))).require().stdout)
        began, log = _ended(host)
        after, ill = _facts(host).facts[RMEM], _paired(host)
        up = host.run(Command(("cat", "/sys/class/net/l2/carrier", "/sys/class/net/lacp0/carrier"))).stdout.split()

    assert held.returncode == 0, held.stderr
    assert (between, after) == (LARGE, before)
    assert (well, ill, up) == ([True, True], [True, False], ["1", "1"])
    assert "early: l2 has no LACP partner" in log
    # The partner is missed 3 s after its last frame (Short_Timeout_Time of 802.1AX), which came up to 1 s before.
    assert 10 <= began - silent < 30


@pytest.mark.sampled(1)
def test_a_partner_at_the_slow_rate_is_waited_for(machines: dict[str, Machine], tmp_path: Path) -> None:
    """Where there is no time for that nothing is changed; a leg that loses it during the change is not well."""
    prefix, word = _desk(machines["seabios"], tmp_path)
    words = ("apply", profile(tmp_path, mtu="1400"), "--host", word, *_DEVICES)
    planted = f"until grep -q 1400 /sys/class/net/l1/mtu; do sleep 0.1; done; {{ {_SILENT}; }} >/run/silent"
    with connected("disk", machines["seabios"].login) as host, _lacp(host, "slow"):
        short = nettune(*words, "--confirm-within", "60", prefix=prefix)
        untouched = _mtus(host)
        host.run(Command(("systemd-run", "--quiet", "--collect", "sh", "-c", planted))).require()
        done = nettune(*words, "--confirm-within", "300", prefix=prefix)
        began, log = _ended(host)
        silent, after = float(host.run(Command(("cat", "/run/silent"))).require().stdout), _mtus(host)

    assert short.returncode == 3
    assert "lacp0 has LACP at its slow rate" in short.stderr
    assert "--confirm-within 115" in short.stderr
    assert (untouched, after) == (["1500"] * 3, ["1500"] * 3)
    assert done.returncode == 3, done.stderr
    assert "l2 has no LACP partner" in done.stderr + log
    # A frame each 30 s, missed after three of them (Long_Timeout_Time): so long it looks well.
    assert 55 < began - silent < 130


def _mtus(host: Ssh) -> list[str]:
    return host.run(Command(("sh", "-c", "cat /sys/class/net/lacp0/mtu /sys/class/net/l[12]/mtu"))).stdout.split()
