"""A hypervisor's whole way with a profile, over real SSH: a bond, a VLAN-aware bridge on it, a "VM" on that; and boots.

Everything that nettune changes rides on the way by which it is reached. The system is Debian's own with systemd; a
power failure is a reset of the machine.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.facts import state
from bench.facts.sheet import FactSheet, differences
from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from bench.images import cache
from bench.images.disk import DISK_KIND
from nettune.places import places
from tests.netns import sshd
from tests.netns.nettune_command import nettune, run_program
from tests.netns.pve_node import _DAEMON, ESTABLISHED, HOST_FW, SYSCTL
from tests.netns.standing_hosts import waited
from tests.netns.test_apply import HELD, profile
from tests.vm import qmp
from tests.vm.proxmox import ADDRESS, CONTROL, DATA, GATEWAY, Machine, answers, moved, rebooting
from tuning.guard import ROOT

AFTER = pytest.mark.sampled(1)  # each takes minutes, the boots of an emulated machine above all
RMEM = "sysctl/net.ipv4.tcp_rmem"
DEVICES = ("eth0", "eth1", "bond0", "vmbr0")
# Of a guest that is not reached after a boot: what it waits for, its network, its doors, and its last words.
_WHY_AWAY = "uptime; systemctl list-jobs; ip address; ip neigh; ss -tan; journalctl -b -o short-monotonic | tail -150"
_KNOWN = tuple(word for role in ("ssh", "guests", "default-route") for word in ("--allow", role))
_NETWORKD = "/etc/systemd/network"
_VM = """\
[Unit]
After=systemd-networkd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip netns add vm1; ip link add tap1 type veth peer name eth0 netns vm1; \\
  ip link set tap1 address 02:00:00:00:00:01; ip -n vm1 link set eth0 address 02:00:00:00:00:02; \\
  until ip link set tap1 master vmbr0 up; do sleep 1; done; \\
  ip -n vm1 addr add 10.0.2.50/24 dev eth0; ip -n vm1 link set eth0 up'
[Install]
WantedBy=multi-user.target
"""
FILES = {
    **{f"{_NETWORKD}/05-{name}.link": f"[Match]\nMACAddress={mac}\nType=ether\n[Link]\nName={name}\n"
       for name, mac in (("eth0", CONTROL), ("eth1", DATA))},
    f"{_NETWORKD}/05-bond0.netdev":
        f"[NetDev]\nName=bond0\nKind=bond\nMACAddress={CONTROL}\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n",
    f"{_NETWORKD}/05-vmbr0.netdev":
        f"[NetDev]\nName=vmbr0\nKind=bridge\nMACAddress={CONTROL}\n[Bridge]\nVLANFiltering=yes\nSTP=no\n",
    f"{_NETWORKD}/05-legs.network": "[Match]\nName=eth0 eth1\n[Network]\nBond=bond0\n",
    f"{_NETWORKD}/05-bond0.network": "[Match]\nName=bond0\n[Network]\nBridge=vmbr0\nLinkLocalAddressing=no\n",
    f"{_NETWORKD}/05-vmbr0.network":
        f"[Match]\nName=vmbr0\n[Network]\nAddress={ADDRESS}/24\nGateway={GATEWAY}\nAddress=2001:db8::1/64\n",
    "/etc/systemd/system/vm1.service": _VM,
    "/etc/cloud/cloud-init.disabled": "",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """The hypervisor, and the desk: a home folder whose ssh knows it."""

    machine: Machine
    login: Login
    home: Path

    @property
    def word(self) -> str:
        """As nettune names it."""
        return f"ssh://root@127.0.0.1:{self.machine.port}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a program at the desk; where that is cut short, the machine's power fails."""
        reset = f"{sys.executable} -m tests.vm.qmp {self.machine.folder / 'qmp'} system_reset"
        return ("env", f"HOME={self.home}", f"NETTUNE_TEST_CUT={reset}")

    def desk(self, *words: str) -> Any:  # Any: CompletedProcess
        """Nettune as it is typed there."""
        return nettune(*words, prefix=self.prefix)

    def apply(self, mine: str, *words: str, cut_at: str | None = None, how: str = "off") -> Any:  # Any: as above
        """The profile on bond, legs and bridge, all that rides there being known."""
        named = [word for device in DEVICES for word in ("--device", device)]
        typed = ("apply", mine, "--host", self.word, *named, *_KNOWN, "--disruption", "d4", *words)
        if cut_at is None:
            return self.desk(*typed)
        return run_program((sys.executable, "-m", "tests.netns.cut_short", cut_at, how, *typed), self.prefix)

    def told(self, line: str) -> str:
        """What a line of shell prints there."""
        with connected("node", self.login) as host:
            return host.run(Command(("sh", "-c", line), deadline_s=60.0)).stdout.strip()

    def facts(self) -> FactSheet:
        """All of its state, once addresses are settled."""
        with connected("node", self.login) as host:
            waited(lambda: "tentative" not in host.run(Command(("ip", "-6", "address"))).stdout, 30)
            return state.read({host: [*DEVICES, "tap1"]}, bridged=[host])[host.name]

    def files(self) -> set[str]:
        """All files and links of /etc, and what of us would run at boot: digests, and where links lead."""
        places = "/etc /var/lib/nettune/boot*"
        files = f"find {places} -xdev -type f -exec sha256sum {{}} + 2>/dev/null"
        return set(self.told(f"{files}; find {places} -xdev -type l -printf '%l %p\\n' 2>/dev/null").splitlines())

    def changes(self) -> list[dict[str, Any]]:  # Any: JSON
        """What it tells of its changes."""
        done = self.desk("history", self.word, "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def booted(self, how: str, before: str) -> None:
        """Wait until it is there again, with another boot id; `how` begins that: reboot, reset, or nothing."""
        if how == "reboot":
            self.told("systemctl reboot")
        if how == "reset":
            qmp.told(self.machine.folder / "qmp", "system_reset")
        try:
            waited(lambda: self._there(before), 600)
        except AssertionError as error:
            error.add_note(self._why_away())
            raise

    def _why_away(self) -> str:
        try:
            return self.machine.told("/usr/bin/timeout", "60", "/bin/sh", "-c", _WHY_AWAY)
        except (OSError, ValueError, KeyError) as error:
            return f"its agent says nothing: {error!r}"

    def boot_id(self) -> str:
        """Of this boot."""
        return self.told("cat /proc/sys/kernel/random/boot_id")

    def _there(self, before: str) -> bool:
        if not answers(self.machine.port):
            time.sleep(1)
            return False
        try:
            with connected("node", self.login) as host:
                asked = host.run(
                    Command(("sh", "-c", "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running"))
                )
        except HostFault:
            return False
        boot, *running = asked.stdout.split()
        return boot != before and running[-1:] not in ([], ["starting"], ["initializing"])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The machine, made a hypervisor, and booted as that."""
    folder = tmp_path_factory.mktemp("walk")
    image = cache.built(places().cache, Local(), print, DISK_KIND)
    with rebooting(image, folder / "node") as machine:
        machine.told("/usr/bin/cloud-init", "status", "--wait")
        login = machine.login
        home = sshd.home(folder, machine.folder / "user", f"[127.0.0.1]:{machine.port} {login.pinned}\n")
        found = Node(machine, login, home)
        with connected("node", login) as host:
            _made_a_hypervisor(host)
        found.booted("reboot", found.boot_id())
        yield found


def _made_a_hypervisor(host: Ssh) -> None:
    for path, text in FILES.items():
        host.run(Command(("tee", path), stdin=text)).require()
    host.run(Command(("sh", "-c", "systemctl enable vm1; sync"), deadline_s=60.0)).require()


def test_the_whole_way(node: Node, tmp_path: Path) -> None:
    """Apply, cut off, put back alone, apply, confirm, keep, boot, verify, take back: exactly what it was, files too."""
    before, files, boot = node.facts(), node.files(), node.boot_id()
    cutting = profile(tmp_path, qdisc="pfifo limit 0")
    cut = node.apply(cutting, "--confirm-within", "20")
    waited(lambda: answers(node.machine.port), 60)
    alone = node.changes()[-1]
    log = node.told(f"cat {ROOT}/{alone['change']}/log; cat {ROOT}/{alone['change']}/restoring")
    after_cut = node.facts()

    mine = profile(tmp_path, **{"net.ipv4.tcp_rmem": HELD, "mtu": "1400", "tso": "off", "txqueuelen": "900"})
    held = node.apply(mine, "--hold")
    confirmed = node.desk("confirm", node.word, "--persist")
    vm = node.told("ip netns exec vm1 ping -c 1 -W 2 10.0.2.15")
    again = node.apply(mine, "--persist", "--json")
    node.booted("reboot", boot)
    verified = node.desk("verify", node.word)
    state_then = node.changes()[-1]["state"]
    kept = node.facts().facts
    back = node.desk("rollback", node.word, *_KNOWN)
    after = node.facts()

    assert cut.returncode == 3, cut.stderr
    assert re.search("puts? itself back", cut.stderr), cut.stderr
    assert alone["state"] == "put itself back"
    ended, deadline = float(log.split("ended at uptime ")[1].split()[0]), float(log.split()[-1])
    assert ended <= deadline + 5
    assert differences({"node": before}, {"node": after_cut}) == ()
    assert held.returncode == 0, held.stderr
    assert confirmed.returncode == 0, confirmed.stderr
    assert "1 received" in vm
    assert json.loads(again.stdout)[0]["state"] == "nothing to do"
    assert verified.returncode == 0, verified.stdout
    assert state_then in {"on probation", "kept"}
    assert kept[RMEM] == HELD
    assert [kept[f"link/{device}/mtu"] for device in DEVICES] == ["1400"] * 4
    assert back.returncode == 0, back.stderr
    assert moved(before, after, RMEM) == []
    assert node.files() ^ files == set()


# While the setting stands, the bond is down: what a setting may do that nobody knows of.
_DOWN = f"""\
systemd-run --quiet --unit=planted sh -c 'while sleep 0.2; do
  case $(sysctl -n net.ipv4.tcp_rmem) in *{HELD.split()[-1]}) ip link set bond0 down ;; *) ip link set bond0 up ;; esac
done'
"""


@AFTER
def test_a_setting_that_takes_the_bond_down_is_put_back(node: Node, tmp_path: Path) -> None:
    """By the host alone, in its time or before it: ten seconds without the gateway are enough."""
    before, planted = node.facts(), node.told(_DOWN)
    cut = node.apply(profile(tmp_path, **{"net.ipv4.tcp_rmem": HELD}), "--confirm-within", "40")
    waited(lambda: answers(node.machine.port), 90)
    alone = node.changes()[-1]
    log = node.told(f"cat {ROOT}/{alone['change']}/log; cat {ROOT}/{alone['change']}/restoring; systemctl stop planted")
    after = node.facts()

    assert planted == ""
    assert cut.returncode == 3, cut.stderr
    assert alone["state"] == "put itself back"
    ended, deadline = float(log.split("ended at uptime ")[1].split()[0]), float(log.split()[-1])
    assert ended <= deadline + 5
    assert differences({"node": before}, {"node": after}) == ()


@AFTER
def test_a_kept_file_that_cuts_the_network_at_boot_is_taken_back_by_the_host(node: Node, tmp_path: Path) -> None:
    """It is valid, and drops every packet: in its probation the host is out of reach, and then it is as it was."""
    before, files, boot = node.facts(), node.files(), node.boot_id()
    done = node.apply(profile(tmp_path, qdisc="pfifo limit 500"), "--persist", "--probation", "20")
    change = node.changes()[-1]["change"]
    node.told(f"sed -i 's/limit 500/limit 0/' {ROOT}/{change}/keep/set; sync")
    node.booted("reboot", boot)
    waited(lambda: node.changes()[-1]["state"] == "put itself back", 60)
    log = node.told(f"cat {ROOT}/{change}/log")

    assert done.returncode == 0, done.stderr
    assert f"probation: {GATEWAY} does not answer" in log
    assert moved(before, node.facts()) == []
    assert node.files() ^ files == set()


@AFTER
@pytest.mark.parametrize("step", range(1, 27, 2))  # from the arming on, of about 25
def test_a_power_failure_at_any_step_leaves_it_kept_whole_or_not_at_all(node: Node, tmp_path: Path, step: int) -> None:
    """After the boot the state is that of a boot without us, or the change stands; taken back, nothing is left."""
    before, files, boot = node.facts(), node.files(), node.boot_id()
    mine = profile(tmp_path, **{"net.ipv4.tcp_rmem": HELD, "mtu": "1400", "tso": "off"})
    done = node.apply(mine, "--persist", "--probation", "10", cut_at=f"g{step}")
    node.booted("reset" if done.returncode == 0 else "", boot)
    known = node.changes()
    stands = bool(known) and known[-1]["state"] in {"on probation", "kept"}
    verified = node.desk("verify", node.word)
    if stands:
        assert verified.returncode == 0, verified.stdout
        assert node.desk("rollback", node.word, *_KNOWN).returncode == 0

    assert not [each for each in known if each["state"] in {"armed", "confirmed"}]
    assert moved(before, node.facts(), *([RMEM] if stands else [])) == []
    assert node.files() ^ files == set()


# What a node of Proxmox VE has for `apply`: the tree, of which pmxcfs takes nothing for a while after a boot (no quorum
# yet), the firewall that is on, and the unit that starts guests, which notes what it finds.
_PVE = {
    "/usr/local/bin/pveversion": "#!/bin/sh\necho 'pve-manager/8.4.1/2a5fa54a (running kernel: 6.8.12-9-pve)'\n",
    "/usr/local/bin/nt-firewall": _DAEMON,
    "/etc/modules-load.d/nt-conntrack.conf": "nf_conntrack\n",
    "/etc/systemd/system/pve-cluster.service": """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount --bind /etc/pve /etc/pve && mount -o remount,bind,ro /etc/pve && \\
  systemd-run --quiet --on-active=12 mount -o remount,bind,rw /etc/pve'
[Install]
WantedBy=multi-user.target
""",
    "/etc/systemd/system/pve-firewall.service": f"""\
[Unit]
After=pve-cluster.service
[Service]
ExecStart=/bin/sh /usr/local/bin/nt-firewall {ESTABLISHED}
[Install]
WantedBy=multi-user.target
""",
    "/etc/systemd/system/pve-guests.service": """\
[Unit]
After=pve-cluster.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /etc/pve/local/host.fw /proc/sys/net/ipv4/tcp_rmem >/run/nt-at-guests'
[Install]
WantedBy=multi-user.target
""",
    "/etc/pve/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "/etc/pve/nodes/pve1/host.fw": HOST_FW,
}
_UNITS = "pve-cluster pve-firewall pve-guests"


@pytest.fixture
def pve(node: Node) -> Iterator[Node]:
    """It is a node of Proxmox VE meanwhile."""
    with connected("node", node.login) as host:
        for path, text in _PVE.items():
            host.run(Command(("mkdir", "-p", str(Path(path).parent)))).require()
            host.run(Command(("tee", path), stdin=text)).require()
    node.told(
        "chmod +x /usr/local/bin/pveversion; ln -s nodes/pve1 /etc/pve/local; modprobe nf_conntrack; "
        f"systemctl daemon-reload; systemctl enable {_UNITS}; systemctl start pve-firewall; sync"
    )
    yield node
    node.told(
        f"systemctl disable --now {_UNITS}; umount /etc/pve; rm -rf /etc/pve {' '.join(_PVE)}; "
        "systemctl daemon-reload; modprobe -r nf_conntrack; sync"
    )


# $1 a signal: it ends the process that watches, and prints how that was spared, and how often it was started again.
_ENDED = """\
old=$(systemctl show -P MainPID nettune-probation)
cat "/proc/$old/oom_score_adj"
kill -s "$1" "$old"
tries=0 new=$old
while { [ "$new" = "$old" ] || [ "$new" = 0 ]; } && [ "$tries" -lt 20 ]; do
  sleep 1; tries=$((tries + 1)); new=$(systemctl show -P MainPID nettune-probation)
done
systemctl show -P NRestarts nettune-probation"""


@AFTER
def test_a_boot_in_the_middle_of_a_change_takes_that_back_and_sets_what_is_kept(pve: Node, tmp_path: Path) -> None:
    """Of one in host.fw that waits for its confirmation when the power fails: by its unit, before guests start.

    What is kept beside it is on probation at that boot, which goes on though its process is killed, twice.
    """
    before, files, boot = pve.facts(), pve.files(), pve.boot_id()
    kept = pve.apply(
        profile(tmp_path, **{"net.ipv4.tcp_rmem": HELD, "txqueuelen": "900"}), "--persist", "--probation", "600"
    )
    change = pve.changes()[-1]["change"]
    of_fw = profile(tmp_path, **{SYSCTL: "86400"})
    pve.apply(of_fw, "--persist", "--confirm-within", "900", cut_at="w3", how="kill")
    armed = (
        pve.changes()[-1]["state"],
        pve.told("cat /etc/pve/local/host.fw; sync /etc/pve/local/host.fw /etc/pve/local/"),
    )
    pve.booted("reset", boot)
    at_guests = pve.told("cat /run/nt-at-guests").split("\n")
    host_fw, states = pve.told("cat /etc/pve/local/host.fw"), [each["state"] for each in pve.changes()[-2:]]
    failed = pve.told("systemctl --failed --plain --no-legend; find /etc/systemd -name 'nettune-guard-*'")
    tries = pve.told("journalctl -b -o cat -u 'nettune-guard-*-boot.service' -u nettune-boot")
    killed = pve.told(f"set -- KILL\n{_ENDED}")
    pve.told(f"echo 15 >{ROOT}/{change}/keep/probation")
    ended = pve.told(f"set -- TERM\n{_ENDED}")
    waited(lambda: pve.changes()[-2]["state"] == "kept", 180)
    verified, back = pve.desk("verify", pve.word), pve.desk("rollback", pve.word, *_KNOWN)

    assert kept.returncode == 0, kept.stderr
    assert (armed[0], f"{ESTABLISHED}: 86400" in armed[1]) == ("armed", True)
    assert "\n".join(at_guests[:-1]) == HOST_FW.strip(), tries
    assert at_guests[-1].split() == HELD.split(), tries
    assert (host_fw, states, failed) == (HOST_FW.strip(), ["on probation", "put itself back"], ""), tries
    assert (killed, ended) == ("-900\n1", "-900\n2")
    assert (verified.returncode, back.returncode) == (0, 0), verified.stdout + back.stderr
    assert moved(before, pve.facts(), RMEM) == []
    assert pve.files() ^ files == set()
