"""`nettune apply --persist` cut short before each step of its journal, on a guest with Debian's kernel.

Killed; its way to the guest lost; the guest's power off. A step is a command that takes the host's lock, as all that
write to the host or its journal do; what is sent between two of them only reads. Whatever it had come to, the host puts
itself back, or the change was confirmed and is taken back; after a power-off the state is that of a boot without us.
Confirm time 5 s. All state that nettune reads is compared, but for what no file sets, or a boot draws anew; and files.
A kind is what is written alike: its settings go through every step together. Of bonds that is `ip link set type bond`;
`primary_reselect`, of another mode of bond, is written by that line too, and coalescing, which no NIC takes that this
kernel drives, by `ethtool` as rings are; a guest has no CPUs of its own. What only Proxmox VE has is cut short in
tests/netns/test_pve_vnics.py.
"""

import contextlib
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.facts import state
from bench.facts.sheet import Difference, FactSheet, differences
from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.images import cache
from nettune.places import places
from tests.netns import sshd
from tests.netns.nettune_command import nettune, run_program
from tests.netns.standing_hosts import waited
from tests.netns.test_apply import profile
from tests.vm import qmp
from tests.vm.booted import MANAGEMENT, Guest, booted, keys
from tuning.applying import keeping
from tuning.applying.record import Applied

DATA = "52:54:00:6e:74:02"
KINDS: Mapping[str, Mapping[str, str]] = {
    "sysctl": {"net.ipv4.tcp_rmem": "4096 131072 67108864", "net.ipv4.tcp_congestion_control": "reno"},
    "feature": {"tso": "off", "gro": "off"},
    "mtu": {"mtu": "1200"},
    "queue": {"rps_cpus": "1", "rps_flow_cnt": "256", "xps_cpus": "3", "napi_defer_hard_irqs": "2",
              "gro_flush_timeout": "20000", "threaded": "on", "smp_affinity_list": "0"},
    "qdisc": {"qdisc": "fq limit 500"},
    "link": {"txqueuelen": "2000", "gro_max_size": "131072"},
    "ring": {"rx-ring": "256", "tx-ring": "256"},
    "channels": {"channels": "4"},
    "bridge": {"ageing_time": "6000", "mcast_snooping": "off", "mcast_querier": "on", "mcast_hash_max": "8192",
               "forward_delay": "400", "vlan_stats_enabled": "on"},
    "bond": {"xmit_hash_policy": "layer3+4", "miimon": "50", "updelay": "200", "downdelay": "100",
             "packets_per_slave": "2"},
}  # fmt: skip
OWN = {"bridge": "br9", "bond": "bond9"}  # devices of those kinds; eth0 of all others
# After a boot there are two queues of four, short rings, and fq's module: each kind has something to change. And what
# an operator has beside it, all of which must come back with what is put back.
BOOTS = """\
modprobe -a sch_fq dummy bonding bridge 8021q sch_ingress cls_u32
ethtool -L eth0 combined 2 && ethtool -G eth0 rx 128 tx 128 || exit
ip link add br9 address 02:00:00:00:09:00 type bridge && ip link add bond9 type bond mode balance-rr miimon 100 || exit
for each in port:br9:1 leg:bond9:2 gel:bond9:3; do
  ip link add ${each%%:*} address 02:00:00:00:09:0${each##*:} type dummy; of=${each#*:}
  ip link set ${each%%:*} master ${of%:*} && ip link set ${each%%:*} up || exit
done
ip link set br9 type bridge vlan_filtering 1 && ip link set br9 up && ip link set bond9 up || exit
bridge vlan add vid 30 dev port && bridge fdb add 02:00:00:00:00:77 dev port master static || exit
ip link add link eth0 name eth0.7 type vlan id 7 && ip link set eth0.7 up || exit
ip address add 192.0.2.129/28 dev eth0.7 && ip address add 2001:db8:9::1/64 dev eth0 nodad || exit
ip address add 2001:db8:7::1/64 dev eth0.7 nodad && ip -6 route add 2001:db8:77::/48 dev eth0.7 metric 7 || exit
ip route add 198.51.100.0/24 via 192.0.2.2 dev eth0 metric 50 mtu 1100 || exit
ip -6 route add 2001:db8:99::/48 via 2001:db8:9::2 dev eth0 || exit
ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent || exit
ip neigh replace 2001:db8:9::77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent || exit
ip -6 rule add from 2001:db8:9::/64 lookup 77 && tc qdisc add dev eth0 clsact || exit
tc filter add dev eth0 ingress protocol ip pref 9 u32 match ip dst 198.51.100.9 flowid :1
"""
STEPS = range(1, 9)  # that write: armed, written, verified, confirmed, the files of the next boot; and after the last
WAYS = ("kill", "cut", "off")
# Which of the CPUs that may serve an interrupt does: no file sets that. And what each boot draws anew.
EXCLUDED = re.compile(r"irq/[^/]+/[^/]+/on")
DRAWN = re.compile(r"rss/[^/]+/hkey|sysctl/net\.core\.netdev_rss_key")


class Kept:
    """A guest that stays for all cases, and the desk: a home folder whose ssh knows it. Its power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._power, self._way = folder, contextlib.ExitStack(), contextlib.ExitStack()
        self._host: Ssh | None = None
        self.was: tuple[FactSheet, str] | None = None  # as the last case left it, where nothing has happened since
        self.guest, self.home, self.login = Guest(folder, 0, folder / "console"), folder, Login("127.0.0.1")
        self._files = {
            **keys(folder),
            "etc/nettune/nics": f"{MANAGEMENT} mgmt0 10.0.2.15/24\n{DATA} eth0 192.0.2.1/24\n".encode(),
            "etc/nettune/mounts": b"vdc /var/lib/nettune ext4\n",
        }

    def on(self) -> None:
        """Power on: a machine of its own, the same disk, ready."""
        self._power.close()
        self.was = None
        name = f"nt-k{abs(hash(str(self.folder))) % 10**6}"
        self._power.callback(Local().run, Command(("ip", "link", "delete", name)))
        more = (
            *("-action", "reboot=reset", "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"),
            *("-pidfile", str(self.folder / "pid")),
            *("-drive", f"file={self.folder / 'state.img'},if=none,id=state,format=raw"),
            *("-device", "virtio-blk-pci,drive=state"),
            *("-netdev", f"tap,id=d,queues=4,vhost=off,script=no,downscript=no,ifname={name}"),
            *("-device", f"virtio-net-pci,netdev=d,mq=on,rss=on,hash=on,vectors=10,mac={DATA}"),
            *("-smp", "2"),
        )
        image, first = cache.built(places().cache, Local(), print), not self.guest.port
        machine = booted(image, self.folder, self._files, more=more, port=self.guest.port)
        self.guest = self._power.enter_context(machine)
        if first:
            known = (self.folder / "known_hosts").read_text(encoding="utf-8")
            self.home = sshd.home(self.folder, self.folder / "user", known)
        pinned = (self.folder / "host.pub").read_text(encoding="utf-8")
        self.login = Login("127.0.0.1", self.guest.port, keys=(self.folder / "user",), pinned=pinned)
        done = self.guest.ssh(BOOTS)
        assert done.ok, done.stderr

    def off(self) -> None:
        """Power off, at once."""
        self._power.close()
        self._way.close()

    def answers(self) -> bool:
        """Whether it is up and lets us in."""
        if self.guest.port == 0:
            return False
        with contextlib.suppress(HostFault):
            self.host()
            return True
        return False

    def host(self) -> Ssh:
        """It, by a connection of the test's own, which stands as long as it answers: an emulated CPU takes seconds."""
        if self._host is not None:
            with contextlib.suppress(HostFault):
                self._host.run(Command(("true",), deadline_s=20.0)).require()
                return self._host
        self._way.close()
        self._host = self._way.enter_context(connected("kept", self.login))
        return self._host

    @property
    def word(self) -> str:
        """As nettune names it."""
        return f"ssh://root@127.0.0.1:{self.guest.port}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a program at the desk, where a cut takes the guest's cable."""
        cable = f"{sys.executable} -m tests.vm.qmp {self.folder / 'qmp'}"
        down = f'{cable} set_link {{"name":"m","up":false}}'
        return ("env", f"HOME={self.home}", f"NETTUNE_TEST_CUT={down}", "NETTUNE_TEST_GIVES_UP_S=8")

    @property
    def powerless(self) -> tuple[str, ...]:
        """The same where a cut takes its power."""
        pid = (self.folder / "pid").read_text(encoding="utf-8").strip()
        return (*self.prefix[:2], f"NETTUNE_TEST_CUT=kill -KILL {pid}")

    def facts(self) -> FactSheet:
        """All of its state, once addresses are settled."""
        host = self.host()
        waited(lambda: "tentative" not in host.run(Command(("ip", "-6", "address"))).stdout, 60)
        devices = ["eth0", *OWN.values()]
        return state.read({host: devices}, bridged=[host], clocked=[host], interrupts=[host.name])[host.name]

    def files(self) -> str:
        """All files and links of /etc, and what of us would run at boot or keep anything: digests, where links lead.

        VLANs of ports and filters too, which no setting moves.
        """
        places = "/etc /var/lib/nettune"
        told = f"find {places} -xdev -type f -exec sha256sum {{}} +; find {places} -xdev -type l -printf '%l %p\\n'"
        told += "; bridge vlan show; tc filter show dev eth0 ingress"
        return "".join(sorted(self.host().run(Command(("sh", "-c", told))).stdout.splitlines(keepends=True)))

    def at_rest(self) -> tuple[Applied, ...]:
        """Its changes, once it answers and none of them is armed."""
        waited(self.answers, 120)
        waited(lambda: not any(each.state == "armed" for each in keeping.changes(self.host())), 120)
        return keeping.changes(self.host())


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One guest with one of two queues in use, whose /var/lib/nettune is a disk of its own."""
    folder = tmp_path_factory.mktemp("kept")
    disk = folder / "state.img"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    Local().run(Command(("mke2fs", "-q", "-t", "ext4", str(disk)), deadline_s=60.0)).require()
    guest = Kept(folder)
    try:
        yield guest
    finally:
        guest.off()


@pytest.fixture
def kept(standing: Kept) -> Kept:
    """It, up: a case that lost it does not fail the next one."""
    if not standing.answers():
        standing.on()
    return standing


@pytest.mark.sampled(2)  # an emulated guest takes 10 to 40 s a case: `make bench` runs all
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_is_as_it_was_wherever_it_is_cut_short(
    kept: Kept, tmp_path: Path, kind: str, step: int, how: str
) -> None:
    """By itself, or by the rollback of what was confirmed; nothing of it is armed afterwards."""
    before, files = kept.was or (kept.facts(), kept.files())
    kept.was = None
    mine = profile(tmp_path, **KINDS[kind])
    on = OWN.get(kind, "eth0")
    words = ("-m", "tests.netns.cut_short", f"w{step}", how, "apply", mine, "--host", kept.word, "--device", on,
             "--disruption", "d4", "--confirm-within", "5", "--persist", "--probation", "10")  # fmt: skip
    run_program((sys.executable, *words), kept.powerless if how == "off" else kept.prefix)
    if how == "off":  # also where it came to its end before that step
        kept.off()
        kept.on()
    if how == "cut":
        qmp.told(kept.folder / "qmp", "set_link", name="m", up=True)
    known = kept.at_rest()
    if known and known[-1].to_stand:
        back = nettune("rollback", kept.word, prefix=kept.prefix)
        assert back.returncode == 0, back.stderr

    until = time.monotonic() + 20  # an emulated guest beside another one comes to rest late
    while (left := _different(before, kept.facts(), how)) and time.monotonic() < until:
        time.sleep(1)
    kept.host().run(Command(("sh", "-c", "rm -rf /var/lib/nettune/guard")))
    assert left == []
    assert kept.files() == files
    kept.was = (before, files) if how != "off" else None


def _different(before: FactSheet, now: FactSheet, how: str = "") -> list[Difference]:
    found = [each for each in differences({"kept": before}, {"kept": now}) if not EXCLUDED.fullmatch(each.key)]
    return [each for each in found if how != "off" or not DRAWN.fullmatch(each.key)]


# The kernel sets no time that lies before its own boot.
@pytest.mark.quiet
@pytest.mark.sampled(1, "clock")
@pytest.mark.parametrize("moment", ["@1000000", "@4000000000"], ids=["1970", "2096"])
def test_a_clock_that_jumps_moves_no_deadline(kept: Kept, tmp_path: Path, moment: str) -> None:
    """Set back or ahead while a change waits and its operator is gone: the host puts itself back in its own time."""
    kept.was = None
    before = kept.facts()
    mine = profile(tmp_path, **KINDS["mtu"])
    words = ("-m", "tests.netns.cut_short", "w3", "off", "apply", mine, "--host", kept.word, "--device", "eth0",
             "--disruption", "d4", "--confirm-within", "40", "--runtime-only")  # fmt: skip
    jump = f"NETTUNE_TEST_CUT={' '.join(kept.guest.login)} date -s {moment}"
    run_program((sys.executable, *words), (*kept.prefix[:2], jump))
    cut_s = time.monotonic()
    year = kept.guest.ssh("date +%Y").stdout.strip()
    held = kept.guest.ssh("cat /sys/class/net/eth0/mtu").stdout.strip()
    waited(lambda: kept.guest.ssh("cat /sys/class/net/eth0/mtu").stdout.strip() == "1500", 120)
    took_s = time.monotonic() - cut_s
    kept.at_rest()

    assert year == {"@1000000": "1970", "@4000000000": "2096"}[moment]
    assert held == "1200"
    assert 2 < took_s < 100  # 40 s less what went by before, and what an emulated guest takes to say so
    assert _different(before, kept.facts()) == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_of_the_matrix_are_those_of_an_apply(kept: Kept, tmp_path: Path, kind: str) -> None:
    """Every kind has something to change there; the last step but one is the last that writes."""
    kept.was = None
    mine = profile(tmp_path, **KINDS[kind])
    on = OWN.get(kind, "eth0")
    words = ("-m", "tests.netns.cut_short", "w0", "count", "apply", mine, "--host", kept.word, "--device", on,
             "--disruption", "d4", "--persist", "--probation", "10")  # fmt: skip
    done = run_program((sys.executable, *words), kept.prefix)
    sent = re.search(r"^sent (\d+)$", done.stderr, re.MULTILINE)
    back = nettune("rollback", kept.word, prefix=kept.prefix)

    assert "left out" not in done.stdout + done.stderr
    assert (done.returncode, back.returncode) == (0, 0), (done.stdout, done.stderr, back.stderr)
    assert sent is not None, done.stderr
    assert int(sent[1]) == STEPS[-1] - 1
