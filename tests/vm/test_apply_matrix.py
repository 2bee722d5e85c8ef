"""`nettune apply --persist` cut short before each command that it sends, on a guest with Debian's kernel.

Killed; its way to the guest lost; the guest's power off. Whatever it had come to, the host puts itself back, or the
change was confirmed and is taken back; after a power-off the state is that of a boot without us. Confirm time 5 s. All
state that nettune reads is compared, but for what EXCLUDED names.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.facts import state
from bench.facts.sheet import Difference, FactSheet, differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import connected
from bench.images import cache
from nettune.places import places
from tests.netns import sshd
from tests.netns.nettune_command import nettune, run_program
from tests.netns.standing_hosts import waited
from tests.netns.test_apply import profile
from tests.vm import qmp
from tests.vm.booted import MANAGEMENT, Guest, booted, keys

DATA = "52:54:00:6e:74:02"
KINDS: Mapping[str, Mapping[str, str]] = {
    "sysctl": {"net.ipv4.tcp_rmem": "4096 131072 67108864", "net.ipv4.tcp_congestion_control": "reno"},
    "feature": {"tso": "off", "gro": "off"},
    "mtu": {"mtu": "1200"},
    "queue": {"rps_cpus": "1", "napi_defer_hard_irqs": "2"},
    "qdisc": {"qdisc": "fq limit 500"},
    "link": {"txqueuelen": "2000", "gro_max_size": "131072"},
    "ring": {"rx-ring": "128", "tx-ring": "128"},
    "channels": {"channels": "2"},
}
STEPS = range(6, 46)  # of about 44; what comes before the guard changes nothing
WAYS = ("kill", "cut", "off")
# Each kind at each step, and of the ways each in turn: after three neighbours a step has had all of them.
CASES = [(kind, step, WAYS[(step + place) % 3]) for place, kind in enumerate(KINDS) for step in STEPS]
# The interrupts of a device whose queues came again: the kernel draws them anew at each boot.
EXCLUDED = re.compile(r"irq/.*")


@dataclass(frozen=True)
class Kept:
    """A guest that stays for all cases, and the desk: a home folder whose ssh knows it."""

    guest: Guest
    home: Path
    login: Login

    @property
    def word(self) -> str:
        """As nettune names it."""
        return f"ssh://root@127.0.0.1:{self.guest.port}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a program at the desk."""
        cable = f"{sys.executable} -m tests.vm.qmp {self.guest.folder / 'qmp'}"
        down = f'{cable} set_link {{"name":"m","up":false}}'
        return ("env", f"HOME={self.home}", f"NETTUNE_TEST_CUT={down}", "NETTUNE_TEST_GIVES_UP_S=12")

    def off(self) -> tuple[str, ...]:
        """The same where what is cut is the power."""
        reset = f"NETTUNE_TEST_CUT={sys.executable} -m tests.vm.qmp {self.guest.folder / 'qmp'} system_reset"
        return (*self.prefix[:2], reset)

    def facts(self) -> FactSheet:
        """All of its state, once addresses are settled."""
        with connected("kept", self.login) as host:
            waited(lambda: "tentative" not in host.run(Command(("ip", "-6", "address"))).stdout, 60)
            return state.read({host: ["eth0"]})[host.name]

    def changes(self) -> list[dict[str, Any]]:  # Any: JSON
        """What it tells of its changes."""
        done = nettune("history", self.word, "--json", prefix=self.prefix)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def boots(self) -> int:
        """How often it has said that it is ready."""
        return self.guest.console.read_text(encoding="utf-8", errors="replace").count("nettune: ready")

    def reset(self) -> None:
        """Power off and on; ready again."""
        before = self.boots()
        qmp.told(self.guest.folder / "qmp", "system_reset")
        waited(lambda: self.boots() > before, 120)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One guest with one of two queues in use, whose /var/lib/nettune is a disk of its own."""
    folder = tmp_path_factory.mktemp("kept")
    disk = folder / "state.img"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    Local().run(Command(("mke2fs", "-q", "-t", "ext4", str(disk)), deadline_s=60.0)).require()
    nics = f"{MANAGEMENT} mgmt0 10.0.2.15/24\n{DATA} eth0 192.0.2.1/24\n"
    files = {**keys(folder), "etc/nettune/nics": nics.encode(),
             "etc/nettune/mounts": b"vdc /var/lib/nettune ext4\n"}  # fmt: skip
    more = (
        *("-action", "reboot=reset", "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
        *("-drive", f"file={disk},if=none,id=state,format=raw", "-device", "virtio-blk-pci,drive=state"),
        *("-netdev", f"tap,id=d,queues=2,vhost=off,script=no,downscript=no,ifname={_tap(folder)}"),
        *("-device", f"virtio-net-pci,netdev=d,mq=on,vectors=6,mac={DATA}"),
    )
    try:
        with booted(cache.built(places().cache, Local(), print), folder, files, more=more) as guest:
            home = sshd.home(folder, folder / "user", (folder / "known_hosts").read_text(encoding="utf-8"))
            pinned = (folder / "host.pub").read_text(encoding="utf-8")
            yield Kept(guest, home, Login("127.0.0.1", guest.port, keys=(folder / "user",), pinned=pinned))
    finally:
        Local().run(Command(("ip", "link", "delete", _tap(folder))))


def _tap(folder: Path) -> str:
    return f"nt-k{abs(hash(str(folder))) % 10**6}"


@pytest.mark.sampled(0)  # an emulated guest takes 20 s a case, and minutes beside another one: `make bench` alone
@pytest.mark.parametrize(("kind", "step", "how"), CASES)
def test_a_guest_is_as_it_was_wherever_it_is_cut_short(
    kept: Kept, tmp_path: Path, kind: str, step: int, how: str
) -> None:
    """By itself, or by the rollback of what was confirmed; nothing of it is armed afterwards."""
    before, boots = kept.facts(), kept.boots()
    mine = profile(tmp_path, **KINDS[kind])
    words = ("-m", "tests.netns.cut_short", str(step), how, "apply", mine, "--host", kept.word, "--device", "eth0",
             "--disruption", "d4", "--confirm-within", "5", "--persist", "--probation", "10")  # fmt: skip
    done = run_program((sys.executable, *words), kept.off() if how == "off" else kept.prefix)
    if how == "off" and done.returncode == 0:  # it came to its end before that step
        kept.reset()
    if how == "off":
        waited(lambda: kept.boots() > boots, 240)
    if how == "cut":
        qmp.told(kept.guest.folder / "qmp", "set_link", name="m", up=True)
    waited(lambda: nettune("history", kept.word, prefix=kept.prefix).returncode == 0, 120)
    waited(lambda: not any(each["state"] == "armed" for each in kept.changes()), 120)
    known = kept.changes()
    if known and known[-1]["state"] in {"confirmed", "kept", "on probation"}:
        back = nettune("rollback", kept.word, prefix=kept.prefix)
        assert back.returncode == 0, back.stderr

    until = time.monotonic() + 20  # an emulated guest beside another one comes to rest late
    while (left := _different(before, kept.facts())) and time.monotonic() < until:
        time.sleep(1)
    with connected("kept", kept.login) as host:
        files = host.run(Command(("sh", "-c", "ls -d /etc/sysctl.d/99-zz-nettune* /var/lib/nettune/boot"))).stdout
        host.run(Command(("sh", "-c", "rm -rf /var/lib/nettune/guard")))
    assert left == []
    assert files == ""


def _different(before: FactSheet, now: FactSheet) -> list[Difference]:
    return [each for each in differences({"kept": before}, {"kept": now}) if not EXCLUDED.fullmatch(each.key)]


@pytest.mark.sampled(0)
def test_the_steps_of_the_matrix_are_those_of_an_apply(kept: Kept, tmp_path: Path) -> None:
    """The first comes before anything is armed, the last at or after all is kept."""
    mine = profile(tmp_path, **KINDS["mtu"])
    words = ("-m", "tests.netns.cut_short", "0", "count", "apply", mine, "--host", kept.word, "--device", "eth0",
             "--disruption", "d4", "--persist", "--probation", "10")  # fmt: skip
    said = run_program((sys.executable, *words), kept.prefix).stderr
    sent = re.search(r"^sent (\d+)$", said, re.MULTILINE)
    back = nettune("rollback", kept.word, prefix=kept.prefix)

    assert sent is not None, said
    assert back.returncode == 0, back.stderr
    assert STEPS[0] < int(sent[1]) <= STEPS[-1] + 1
