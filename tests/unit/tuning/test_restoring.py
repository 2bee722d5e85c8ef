"""The script that puts a host back, run through a real sh with tools that only write down what they were told."""

import shutil
import socket
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts.sheet import Difference, FactSheet
from bench.facts.state import sysctl_path
from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.netns.standing_hosts import waited
from tuning.applying import keeping
from tuning.guard import FIRED
from tuning.knobs.knob import Change
from tuning.knobs.table import knob_for
from tuning.restoring import PATIENCE_S, per_host, script, undoing

# $FAKE holds what was written: a file per path for tee, lines of arguments for the others. `sync` is not worth a wait:
# it writes down what it was told, and what lay in the guard's folder then.
_TEE = 'cat >"$FAKE/$(printf %s "$1" | tr / _)"'
_TOLD = """\
{ for word do printf '%s\\037' "$word"; done; echo; } >>"$FAKE/${0##*/}"
exit "${FAKE_CODE:-0}\""""
_SYNCED = """echo "$*: $(cd "$FAKE/../root/id" && echo *)" >>"$FAKE/sync\""""
_TOOLS = {"tee": _TEE, "ip": _TOLD, "ethtool": _TOLD, "tc": _TOLD, "sync": _SYNCED}
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/.\n\r\t \0", min_codepoint=33), min_size=1, max_size=9
)
VALUES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30).map(
    lambda text: " ".join(text.split()) or "0"
)


def _nothing(_: Difference) -> bool:
    return False


def _everything(_: Difference) -> bool:
    return True


class Ran:
    """A script run once in its folder, `now` unless said otherwise."""

    def __init__(self, folder: Path, lines: Sequence[str], *words: str, code: int = 0, shell: str = "sh") -> None:
        self.fake = folder / "fake"
        self.guard = folder / "root" / "id"
        self.guard.mkdir(parents=True, exist_ok=True)
        if not self.fake.exists():
            self.fake.mkdir()
            for name, text in _TOOLS.items():
                tool = folder / "tools" / name
                tool.parent.mkdir(exist_ok=True)
                tool.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
                tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
            (self.guard / "restore").write_text(script(lines), encoding="utf-8")
            (self.guard / "deadline").write_text("0\n", encoding="utf-8")
        environment = (f"PATH={folder}/tools:/usr/bin:/bin", f"FAKE={self.fake}", f"FAKE_CODE={code}")
        argv = ("env", "-i", *environment, *shell.split(), str(self.guard / "restore"), *(words or ("now",)))
        self.outcome = Local().run(Command(argv))

    def written(self, path: str) -> str:
        """What tee was given for a file."""
        return (self.fake / path.replace("/", "_")).read_text(encoding="utf-8")

    def told(self, tool: str) -> list[list[str]]:
        """The arguments of each call of a tool."""
        path = self.fake / tool
        lines = path.read_text(encoding="utf-8").split("\037\n") if path.exists() else []
        return [line.split("\037") for line in lines if line]


def _lines(originals: Mapping[str, str], changed: Sequence[str] | None = None) -> tuple[str, ...]:
    changes = [Change("a", key, "1") for key in (originals if changed is None else changed)]
    return undoing(changes, FactSheet("a", dict(originals)), _nothing)


@settings(max_examples=25)  # each is a process or ten
@given(
    st.dictionaries(st.sampled_from(["tcp_rmem", "tcp_ecn", "ip_forward", "conf.eth0/5.mtu"]), VALUES, min_size=1),
    st.dictionaries(NAMES, st.integers(576, 65535).map(str), max_size=4),
    st.dictionaries(NAMES, st.sampled_from(["on", "off", "off [requested on]"]), max_size=4),
)
def test_any_originals_arrive_as_they_were(
    sysctls: dict[str, str], mtus: dict[str, str], features: dict[str, str]
) -> None:
    """Whatever a value or device is called, quotes, dollars and all: the tools get exactly that."""
    originals = {
        **{f"link/{device}/mtu": value for device, value in mtus.items()},
        **{f"feature/{device}/tx-tcp-segmentation": value for device, value in features.items()},
        **{f"sysctl/net.ipv4.{name}": value for name, value in sysctls.items()},
    }
    with TemporaryDirectory() as folder:
        ran = Ran(Path(folder), _lines(originals))

        assert (ran.outcome.returncode, ran.outcome.stderr) == (0, "")
        assert sysctls == {name: ran.written(sysctl_path(f"net.ipv4.{name}")) for name in sysctls}
        assert mtus == {words[3]: words[5] for words in ran.told("ip")}
        wanted = {device: "on" if value.endswith("on]") else value for device, value in features.items()}
        assert wanted == {words[1]: words[3] for words in ran.told("ethtool")}
        assert (ran.guard / "restored").exists()


def test_changes_are_undone_in_reverse_order(tmp_path: Path) -> None:
    """What was written last goes first, as in every undo."""
    ran = Ran(tmp_path, _lines({"link/eth0/mtu": "1500", "link/eth1/mtu": "9000"}))

    assert [f"link set dev {device}" for device in ("eth1 mtu 9000", "eth0 mtu 1500")] == [
        " ".join(words) for words in ran.told("ip")
    ]


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_any_posix_shell_will_do(tmp_path: Path, shell: str) -> None:
    """What /bin/sh is elsewhere; a value with every quote arrives. Not busybox: it takes its own tee."""
    if shutil.which(shell.split(maxsplit=1)[0]) is None:
        pytest.skip(f"not installed: {shell.split(maxsplit=1)[0]}")
    value = "a 'b' \"c\" $d `e` \\n %s *"
    ran = Ran(tmp_path, _lines({"sysctl/net.ipv4.tcp_ecn": value}), shell=shell)

    assert (ran.outcome.returncode, ran.outcome.stderr) == (0, "")
    assert ran.written("/proc/sys/net/ipv4/tcp_ecn") == value
    assert (ran.guard / "restored").exists()


def test_a_line_that_fails_stops_no_other_and_is_in_the_log(tmp_path: Path) -> None:
    """The log has every line with its exit code."""
    originals = {"link/eth0/mtu": "1500", "feature/eth0/rx-gro": "on", "sysctl/net.ipv4.tcp_ecn": "2"}
    ran = Ran(tmp_path, _lines(originals), code=3)
    log = (ran.guard / "log").read_text(encoding="utf-8")

    assert ran.written("/proc/sys/net/ipv4/tcp_ecn") == "2"
    assert [len(ran.told("ip")), len(ran.told("ethtool"))] == [1, 1]
    assert "exit 3: ip link set dev eth0 mtu 1500" in log
    assert "exit 0: printf %s 2 | tee /proc/sys/net/ipv4/tcp_ecn" in log


def test_a_host_whose_disk_takes_no_writes_any_more_is_put_back_all_the_same(tmp_path: Path) -> None:
    """No log, no lock that can be written, a deadline that cannot be moved: a failing redirection ends a shell."""
    (tmp_path / "root" / "id" / "log").mkdir(parents=True)
    (tmp_path / "root" / "lock").mkdir()
    (tmp_path / "root" / "id" / "restoring" / "deadline" / "in its way").mkdir(parents=True)
    ran = Ran(tmp_path, ("try 'ip link set dev eth0 mtu 1500'",), "wait")

    assert (ran.fake / "ip").read_text(encoding="utf-8").split("\037") == [
        "link", "set", "dev", "eth0", "mtu", "1500", "\n",
    ]  # fmt: skip


def test_what_was_restored_once_is_not_restored_again(tmp_path: Path) -> None:
    """By hand after the timer, or the other way round: what changed since is somebody's own."""
    lines = _lines({"link/eth0/mtu": "1500"})
    Ran(tmp_path, lines)
    again = Ran(tmp_path, lines)

    assert again.outcome.returncode == 0
    assert len(again.told("ip")) == 1


@pytest.mark.parametrize("words", ["wait", "now"])
def test_a_guard_that_was_disarmed_does_nothing(tmp_path: Path, words: str) -> None:
    """No deadline: the timer that comes too late ends; only by hand is it restored all the same."""
    lines = _lines({"link/eth0/mtu": "1500"})
    folder = tmp_path / "root" / "id"
    Ran(tmp_path, lines, "wait").guard.joinpath("restored").unlink()
    (folder / "restoring").unlink()
    (tmp_path / "fake" / "ip").unlink()
    ran = Ran(tmp_path, lines, words)

    assert ran.outcome.returncode == 0
    assert len(ran.told("ip")) == (1 if words == "now" else 0)


def test_a_restoring_that_was_cut_short_is_finished_by_whoever_comes_next(tmp_path: Path) -> None:
    """Its process was killed: the deadline is renamed already, and nothing says that it is over."""
    lines = _lines({"link/eth0/mtu": "1500", "sysctl/net.ipv4.tcp_ecn": "2"})
    folder = tmp_path / "root" / "id"
    Ran(tmp_path, lines, "wait").guard.joinpath("restored").unlink()
    (tmp_path / "fake" / "ip").unlink()
    ran = Ran(tmp_path, lines, "wait")

    assert not (folder / "deadline").exists()
    assert len(ran.told("ip")) == 1
    assert (folder / "restored").exists()


@pytest.mark.parametrize("word", ["now", "boot"])
def test_what_was_put_back_is_on_disk_once_it_is_over(tmp_path: Path, word: str) -> None:
    """A power failure after that finds it put back, and does it no second time."""
    lines = _lines({"link/eth0/mtu": "1500"})
    ran = Ran(tmp_path, lines, "look")  # makes the folder, and puts nothing back
    (ran.guard / "restore").write_text(script(lines, files=lines), encoding="utf-8")
    (ran.guard / "boot").write_text("another\n", encoding="utf-8")
    (ran.guard.parent / "lock").touch()
    Ran(tmp_path, lines, word)
    words, _, there = (ran.fake / "sync").read_text(encoding="utf-8").splitlines()[0].partition(": ")

    assert words.split() == ([] if word == "now" else [f"{ran.guard}/restored", str(ran.guard)])  # without words: all
    assert {"restored", "deadline"} & set(there.split()) == {"restored"}


def test_of_a_timer_and_a_confirmation_at_one_moment_one_gets_the_change(tmp_path: Path) -> None:
    """Ten times, with and without a head start: confirmed and written as it is, or put back and not confirmed."""
    for number in range(10):
        folder = tmp_path / str(number) / "root" / "id"
        ran = Ran(tmp_path / str(number), (), "look")  # makes the folder, and puts nothing back
        (folder / "verified").touch()
        confirming = ("sh", "-c", keeping.CONFIRM, "sh", str(folder.parent), "id")
        restoring = ("env", f"PATH={tmp_path}/{number}/tools:/usr/bin:/bin", f"FAKE={ran.fake}", "sh",
                     str(folder / "restore"), "wait")  # fmt: skip
        jobs = [Local().start(Command(each)) for each in ((confirming, restoring), (restoring, confirming))[number % 2]]
        codes = {job.wait().command.argv: job.wait().returncode for job in jobs}

        assert (folder / "confirmed").exists() != (folder / "restored").exists()
        assert codes[confirming] == (0 if (folder / "confirmed").exists() else FIRED)


def test_a_look_that_stays_ill_is_not_waited_for(tmp_path: Path) -> None:
    """A link that is not there, for as long as its patience; a well one waits for its deadline."""
    lines = _lines({"link/eth0/mtu": "1500"})
    guard = Ran(tmp_path, lines, "wait").guard
    for name in ("restored", "restoring"):
        (guard / name).unlink()
    now_s = int(float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0]))
    (guard / "deadline").write_text(f"{now_s + 600}\n", encoding="utf-8")
    text = script(lines, about="# nettune applied: {}", looks=("carrier:no-such0", "ping:x"))
    (guard / "restore").write_text(text.replace(f"patience={PATIENCE_S}", "patience=1"), encoding="utf-8")
    ran = Ran(tmp_path, lines, "wait")

    assert text.split("\n")[1] == "# nettune applied: {}"
    assert ran.outcome.elapsed_s < 30
    assert "early: no-such0 has no carrier" in (guard / "log").read_text(encoding="utf-8")
    assert len(ran.told("ip")) == 2


class Watched:
    """A guard that watches one thing, on a host whose sysfs and corosync are stand-ins."""

    def __init__(self, folder: Path, look: str) -> None:
        self._folder, self.guard = folder, folder / "root" / "id"
        for each in (self.guard, folder / "tools", folder / "sys" / "eth0" / "bonding_slave"):
            each.mkdir(parents=True)
        text = script((), looks=(look,)).replace("/sys/class/net", str(folder / "sys"))
        (self.guard / "restore").write_text(text.replace(f"patience={PATIENCE_S}", "patience=1"), encoding="utf-8")
        self.leg(carrier="1", partner="61")
        self.quorum("Quorate:          Yes")

    def leg(self, *, carrier: str, partner: str) -> None:
        """What the kernel tells of eth0."""
        for name, value in (("carrier", carrier), ("bonding_slave/ad_partner_oper_port_state", partner)):
            new = self._folder / "new"
            new.write_text(f"{value}\n", encoding="utf-8")
            new.rename(self._folder / "sys" / "eth0" / name)

    def quorum(self, line: str) -> None:
        """What corosync tells."""
        new, tool = self._folder / "new", self._folder / "tools" / "corosync-quorumtool"
        new.write_text(f'#!/bin/sh\n[ "$1" = -s ] && printf "Nodes: 3\\n%s\\n" "{line}"\n', encoding="utf-8")
        new.chmod(0o755)
        new.rename(tool)

    def command(self, word: str) -> Command:
        """The script with that word."""
        return Command(("env", "-i", f"PATH={self._folder}/tools:/usr/bin:/bin", "sh", f"{self.guard}/restore", word))

    def looks(self) -> tuple[int, str]:
        """What `sh restore look` tells."""
        outcome = Local().run(self.command("look"))
        return outcome.returncode, outcome.stdout.strip()


@pytest.mark.parametrize(
    ("carrier", "partner", "well"),
    [
        ("1", "61", True), ("1", "63", True),  # at the slow rate and at the fast one
        ("1", "0", False),  # defaulted: its partner was heard no more
        ("1", "53", False), ("1", "197", False), ("1", "13", False),  # out of synchronization, or not distributing
        ("1", "N/A", False), ("1", "", False), ("0", "61", False),
    ],
)  # fmt: skip
def test_a_leg_without_its_lacp_partner_is_ill(tmp_path: Path, carrier: str, partner: str, well: bool) -> None:
    """By the partner's state bits: those of the bond stay as they are while another leg has a partner."""
    host = Watched(tmp_path, "lacp:eth0")
    host.leg(carrier=carrier, partner=partner)

    assert host.looks() == ((0, "") if well else (1, "eth0 has no LACP partner"))


def test_a_node_without_quorum_is_ill(tmp_path: Path) -> None:
    """Also one whose corosync no longer answers."""
    host = Watched(tmp_path, "quorum")
    well = host.looks()
    told = []
    for line in ("Quorate:          No", "Cannot initialize QUORUM service", ""):
        host.quorum(line)
        told.append(host.looks())

    assert well == (0, "")
    assert told == [(1, "corosync has no quorum")] * 3


def test_a_port_on_which_nothing_listens_any_more_is_ill(tmp_path: Path) -> None:
    """As sshd's, which ended."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        host = Watched(tmp_path, f"listen:{port}")
        well = host.looks()

    assert well == (0, "")
    assert host.looks() == (1, f"nothing listens on port {port}")


@pytest.mark.parametrize(
    ("look", "ill"), [("lacp:eth0", "eth0 has no LACP partner"), ("quorum", "corosync has no quorum")]
)
def test_what_is_lost_while_a_change_waits_is_not_waited_for(tmp_path: Path, look: str, ill: str) -> None:
    """Well when it begins to watch, then ill for as long as its patience: long before its deadline."""
    host = Watched(tmp_path, look)
    now_s = int(float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0]))
    (host.guard / "deadline").write_text(f"{now_s + 600}\n", encoding="utf-8")
    with Local().start(host.command("wait")) as job:
        waited((host.guard / "watcher").exists, 10)
        time.sleep(1.5)  # it has looked once
        before = (host.guard / "restored").exists()
        host.leg(carrier="1", partner="0")
        host.quorum("Quorate:          No")
        waited((host.guard / "restored").exists, 20)
        job.wait()

    assert not before
    assert f"early: {ill}" in (host.guard / "log").read_text(encoding="utf-8")


def test_it_waits_for_its_deadline_and_for_the_one_that_was_renewed(tmp_path: Path) -> None:
    """Uptime counts; a deadline that moves while it waits is the one that holds."""
    Ran(tmp_path, _lines({"link/eth0/mtu": "1500"}), "wait")
    folder = tmp_path / "root" / "id"
    for name in ("restored", "restoring"):
        (folder / name).unlink()
    now_s = int(float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0]))
    (folder / "deadline").write_text(f"{now_s + 1}\n", encoding="utf-8")
    ran = Ran(tmp_path, (), "wait")

    assert ran.outcome.elapsed_s > 0.9
    assert len(ran.told("ip")) == 2


def test_what_may_be_dragged_along_is_put_back_only_where_it_differs(tmp_path: Path) -> None:
    """A sysctl that reads what it read, a route that is there: untouched. An address is added, never replaced."""
    real = " ".join(Path("/proc/sys/net/ipv4/tcp_rmem").read_text(encoding="utf-8").split())
    facts = {
        "link/eth0/mtu": "1500",
        "link/br0/mtu": "1500", "link/br0/kind": "bridge",
        "link/eth0.5/mtu": "1500", "link/eth0.5/kind": "vlan",
        "sysctl/net.ipv4.tcp_rmem": real,
        "sysctl/net.ipv4.tcp_wmem": "1 2 3",
        "address/eth0/192.0.2.1/24": "scope global",
        "address/eth0/192.0.2.7/24": "scope global dynamic True",
        "route/192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1": "present",
        "route/default via 192.0.2.254 dev eth0": "present",
        "feature/eth0/rx-gro": "on", "feature/eth0/highdma": "on [fixed]",
    }  # fmt: skip
    ran = Ran(tmp_path, undoing([Change("a", "link/eth0/mtu", "1400")], FactSheet("a", facts), _everything))
    told = [" ".join(words) for words in ran.told("ip")]

    assert told[0] == "link set dev eth0 mtu 1500"
    assert "address add 192.0.2.1/24 dev eth0 scope global" in told
    assert "-4 route append default via 192.0.2.254 dev eth0" in told
    assert [line for line in told if "br0" in line or "192.0.2.7" in line or "proto kernel" in line] == []
    assert ran.written("/proc/sys/net/ipv4/tcp_wmem") == "1 2 3"
    assert not (ran.fake / "_proc_sys_net_ipv4_tcp_rmem").exists()
    assert ran.told("ethtool") == [["-K", "eth0", "rx-gro", "on"]]


DRAGGED: Mapping[str, tuple[str, str, Mapping[str, str], tuple[str, list[list[str]]]]] = {
    "delays of adaptive mode, before and after the switch": (
        "adaptive-rx", "coalesce/eth0/adaptive-rx",
        {"coalesce/eth0/adaptive-rx": "on", "coalesce/eth0/rx-usecs": "50", "coalesce/eth0/rx-frames": "9",
         "coalesce/eth0/adaptive-tx": "on"},
        ("ethtool", [["-C", "eth0", "rx-usecs", "50", "rx-frames", "9"], ["-C", "eth0", "adaptive-rx", "on"],
                     ["-C", "eth0", "adaptive-tx", "on"], ["-C", "eth0", "rx-usecs", "50", "rx-frames", "9"]]),
    ),
    "the other ring, and no maximum": (
        "rx-ring", "ring/eth0/rx", {"ring/eth0/rx": "512", "ring/eth0/tx": "256", "ring/eth0/tx-most": "4096"},
        ("ethtool", [["-G", "eth0", "rx", "512"], ["-G", "eth0", "tx", "256"]]),
    ),
    "sizes that offloads build": (
        "gso_max_size", "link/eth0/gso_max_size",
        {"link/eth0/gso_max_size": "65536", "link/eth0/gso_ipv4_max_size": "32768", "link/eth0/tso_max_size": "7"},
        ("ip", [["link", "set", "dev", "eth0", "gso_max_size", "65536"], ["-d", "link", "show", "dev", "eth0"],
                ["link", "set", "dev", "eth0", "gso_ipv4_max_size", "32768"]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DRAGGED.values(), ids=DRAGGED)
def test_what_a_driver_couples_to_a_setting_is_put_back_by_who_sets_it(
    tmp_path: Path, case: tuple[str, str, Mapping[str, str], tuple[str, list[list[str]]]]
) -> None:
    """Also where no line of the change names it."""
    setting, key, facts, (tool, expected) = case
    knob = knob_for(setting)
    assert knob is not None
    ran = Ran(tmp_path, undoing([Change("a", key, "1")], FactSheet("a", dict(facts)),
                                lambda each: knob.explains(setting, each)))  # fmt: skip

    assert ran.told(tool) == expected


def test_a_clock_that_went_with_its_governor_is_put_back_where_it_differs() -> None:
    """After the governor: under `performance` no other preference is taken."""
    facts = {"cpu/policy0/scaling_governor": "powersave", "cpu/policy0/energy_performance_preference": "power"}
    changes = [Change("a", "cpu/policy0/scaling_governor", "performance")]
    first, second = undoing(changes, FactSheet("a", facts), _everything)

    assert first.startswith("try ")
    assert "scaling_governor" in first
    assert second.startswith("differs /sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference power && ")


_BONDED = {
    "readlink": 'case $1 in */eth?/master) echo ../bond0 ;; *) exit 1 ;; esac',
    "cat": 'case $1 in */slaves) echo eth0 eth1 eth2 ;; */sys/*) exec /bin/cat "$FAKE/$(printf %s "$1" | tr / _)" ;; '
           '*) exec /bin/cat "$@" ;; esac',
    # Starts its NIC anew, which is told a moment later; notes whether the other leg is still doing so.
    "ethtool": 'other=eth$((1 - ${2#eth})) carrier=$FAKE/_sys_class_net_$2_carrier\n'
               '[ -e "$FAKE/anew-$other" ] && both=both || both=alone; echo "$2 $both" >>"$FAKE/found"\n'
               ': >"$FAKE/anew-$2"\n'
               '{ sleep 0.2; echo 0 >"$carrier"; sleep 1.5; rm "$FAKE/anew-$2"; echo 1 >"$carrier"; } '
               '>/dev/null 2>&1 &',
}  # fmt: skip


# The same of Open vSwitch, whose bonds the kernel does not know: `ovs-appctl bond/list` and `bond/show` as of 3.1.
_SWITCHED = {
    **_BONDED,
    "readlink": 'case $1 in */eth?/master) echo ../ovs-system ;; *) exit 1 ;; esac',
    "cat": 'case $1 in */slaves|*/bonding_slave/*) exit 1 ;; '
           '*/sys/*) exec /bin/cat "$FAKE/$(printf %s "$1" | tr / _)" ;; *) exec /bin/cat "$@" ;; esac',
    "ovs-appctl": 'case $2 in bond/list) printf "bond\\ttype\\trecircID\\tmembers\\n"\n'
                  'printf "b0\\tbalance-slb\\t1\\teth1, eth0, eth2\\n" ;;\n'
                  'bond/show) for leg in eth0 eth1 eth2; do case $(cat "/sys/class/net/$leg/carrier") in\n'
                  '1) echo "member $leg: enabled" ;; *) echo "member $leg: disabled" ;; esac; done ;; esac',
}  # fmt: skip


@pytest.mark.parametrize("tools", [_BONDED, _SWITCHED], ids=["the kernel's", "Open vSwitch's"])
def test_legs_of_a_bond_are_put_back_one_after_the_other(tmp_path: Path, tools: Mapping[str, str]) -> None:
    """A reset tells late that the link is gone; a leg that never carried is not waited for."""
    changes = [Change("a", f"ring/eth{leg}/rx", "1") for leg in (0, 1)]
    lines = undoing(changes, FactSheet("a", {each.key: "512" for each in changes}), _nothing)
    Ran(tmp_path, (), "look")  # makes the tools
    for name, text in tools.items():
        (tmp_path / "tools" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / "tools" / name).chmod(0o755)
    for leg, carrier in (("eth0", "1"), ("eth1", "1"), ("eth2", "0")):
        for name, value in (("carrier", carrier), ("bonding_slave_mii_status", "up" if carrier == "1" else "down"),
                            ("bonding_slave_ad_actor_oper_port_state", "63")):  # fmt: skip
            (tmp_path / "fake" / f"_sys_class_net_{leg}_{name}").write_text(value + "\n", encoding="utf-8")
    (tmp_path / "root" / "id" / "restore").write_text(script(lines), encoding="utf-8")
    ran = Ran(tmp_path, (), "now")

    assert (ran.fake / "found").read_text(encoding="utf-8").splitlines() == ["eth1 alone", "eth0 alone"]
    assert "does not carry" not in (ran.guard / "log").read_text(encoding="utf-8")


def test_rss_that_somebody_chose_is_written_again(tmp_path: Path) -> None:
    """After the channels; the key and function where they are others, and a default never: its channels make it."""
    facts = {
        "channel/eth0/combined": "2", "rss/eth0/table": "weight 96 32", "rss/eth0/hkey": "aa:bb",
        "rss/eth0/hfunc": "toeplitz", "rss/eth1/table": "default",
    }  # fmt: skip
    ran = Ran(tmp_path, undoing([Change("a", "channel/eth0/combined", "4")], FactSheet("a", facts), _everything))

    assert [words for words in ran.told("ethtool") if words[0] != "-x"] == [
        ["-L", "eth0", "combined", "2"], ["-X", "eth0", "weight", "96", "32"], ["-X", "eth0", "hkey", "aa:bb"],
        ["-X", "eth0", "hfunc", "toeplitz"],
    ]  # fmt: skip


def _booted(folder: Path, *files: str, boot: str = "another", code: int = 0) -> Ran:
    """`restore boot` of a guard with a file's line, in a folder with these files; its unit is below `units`."""
    units = folder / "units" / "multi-user.target.wants"
    units.mkdir(parents=True)
    (folder / "units" / "nettune-guard-id-boot.service").touch()
    (units / "nettune-guard-id-boot.service").symlink_to("../nettune-guard-id-boot.service")
    Ran(folder, (), "look")  # makes the tools
    (folder / "tools" / "sleep").symlink_to("/bin/true")
    guard = folder / "root" / "id"
    text = script(("try 'ip all'",), files=("try 'ip file'",)).replace("/etc/systemd/system", str(folder / "units"))
    (guard / "restore").write_text(text, encoding="utf-8")
    (guard / "deadline").unlink()
    (folder / "root" / "lock").touch()
    (guard / "boot").write_text(f"{boot}\n", encoding="utf-8")
    for name in files:
        (guard / name).touch()
    return Ran(folder, (), "boot", code=code)


@pytest.mark.parametrize(
    ("files", "runs"),
    [(("deadline",), True), (("restoring",), True), (("restoring", "restored"), False), (("confirmed",), False)],
    ids=str,
)
def test_a_boot_puts_back_what_it_left_of_a_change_that_nobody_confirmed(
    tmp_path: Path, files: Sequence[str], *, runs: bool
) -> None:
    """Its files alone, once; the unit is gone whatever it found."""
    ran = _booted(tmp_path, *files)

    assert ran.outcome.returncode == 0
    assert ran.told("ip") == ([["file"]] if runs else [])
    assert (ran.guard / "restored").exists() == ("confirmed" not in files)
    assert not (ran.guard / "deadline").exists()
    assert list((tmp_path / "units").rglob("*.service")) == []


def test_a_unit_that_is_run_in_the_same_boot_does_nothing(tmp_path: Path) -> None:
    """The timer is still there then."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    ran = _booted(tmp_path, "deadline", boot=boot)

    assert ran.told("ip") == []
    assert (ran.guard / "deadline").exists()
    assert (tmp_path / "units" / "nettune-guard-id-boot.service").exists()


def test_what_a_boot_could_not_put_back_is_left_to_the_next_one(tmp_path: Path) -> None:
    """/etc/pve without quorum: tried for a minute."""
    ran = _booted(tmp_path, "deadline", code=3)

    assert ran.outcome.returncode == 1
    assert len(ran.told("ip")) == 12
    assert (ran.guard / "deadline").exists()
    assert not (ran.guard / "restored").exists()
    assert (tmp_path / "units" / "nettune-guard-id-boot.service").exists()


def test_the_cpus_that_may_serve_an_interrupt_are_written_last() -> None:
    """Not the one that did: an interrupt whose CPUs were changed would stay pinned to that one."""
    facts = {"irq/eth0/input.0": "0-1", "irq/eth0/input.0/on": "1"}
    lines = undoing([Change("a", "irq/eth0/input.0", "0")], FactSheet("a", facts), _everything)

    assert len(lines) == 1
    assert lines[0].endswith("0-1'")


def test_a_bridge_that_follows_its_ports_is_not_written(tmp_path: Path) -> None:
    """Its MTU once set by hand is never free again; `lo` stands for one that is as it was."""
    mtu = Path("/sys/class/net/lo/mtu").read_text(encoding="utf-8").strip()
    changes = [Change("a", "link/lo/mtu", "1400", follows=True)]
    same = Ran(tmp_path / "same", undoing(changes, FactSheet("a", {"link/lo/mtu": mtu}), _nothing))
    other = Ran(tmp_path / "other", undoing(changes, FactSheet("a", {"link/lo/mtu": "1234"}), _nothing))

    assert same.told("ip") == []
    assert other.told("ip") == [["link", "set", "dev", "lo", "mtu", "1234"]]


def test_what_a_boot_does_not_undo_of_a_trial_is_told_apart() -> None:
    """`sh restore files` of a trial's guard too: an option of host.fw, and none of the sysctls beside it."""
    changes = [Change("pve1", "host.fw/nftables", "1"), Change("pve1", "sysctl/net.ipv4.tcp_ecn", "1")]
    facts = {"host.fw/nftables": "unset", "sysctl/net.ipv4.tcp_ecn": "2"}
    text = per_host(changes, {"pve1": FactSheet("pve1", facts)}, lambda _: False)["pve1"]
    files = text.partition("put() {")[2].partition("= files ]; then")[0]

    assert "nftables unset" in files
    assert "tcp_ecn" not in files
    assert "tcp_ecn" in text
