"""Profiles as files of other tools, each taken by the tool itself: sysctl, ifupdown2, tuned, systemd, udev, and sh."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts import state
from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command, Outcome
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.netns.exported_root import entered, inside, made, put
from tests.netns.nettune_command import nettune
from tests.netns.standing_hosts import RMEM, Machines, mtu, tso, value, waited
from tests.netns.test_apply import HELD, A, desk, profile
from tuning.applying.lasting import UNIT
from tuning.exports import interfaces
from tuning.knobs.catalogue import catalogue
from tuning.knobs.table import KNOBS

INTERFACES = """\
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 192.0.2.1/24
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with the tools."""
    sshd.skip_where_it_cannot_run()
    return made(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A namespace with eth0, one end of a veth."""
    sshd.skip_where_it_cannot_run()
    with sshd.namespace() as found:
        words = ("link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
        Local().run(Command(("ip", "-netns", found.netns, *words))).require()
        for device in ("eth0", "peer0"):
            found.run(Command(("ip", "link", "set", device, "up"))).require()
        waited(lambda: "tentative" not in found.run(Command(("ip", "-6", "address"))).stdout, 10)
        yield found


def exported(folder: Path, form: str, *words: str, **settings: str) -> str:
    """What `nettune profile export` prints of a profile with these settings."""
    done = nettune("profile", "export", profile(folder, **settings), "--format", form, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(host: Namespace) -> Sheets:
    """All of its state."""
    return state.read({host: ["eth0"]})


def test_sysctl_takes_the_file_and_ours_wins(host: Namespace, root: Path, tmp_path: Path) -> None:
    """`sysctl --system`, against a file of somebody else's with the usual name."""
    entered(host, root)
    put(root, "/etc/sysctl.d/99-local.conf", f"{RMEM} = 4096 1000 2000\n")
    put(root, "/etc/sysctl.d/99-zz-nettune.conf", exported(tmp_path, "sysctl.d", **{RMEM: HELD, "tso": "off"}))
    done = inside(host, root, "sysctl --system 2>&1")

    assert value(host, RMEM) == HELD
    assert done.stdout.index("99-local.conf") < done.stdout.index("99-zz-nettune.conf")


def test_a_file_for_a_host_has_there_the_last_word_but_where_it_says_otherwise(
    machines: Machines, tmp_path: Path
) -> None:
    """Asked over SSH of a host with files of its own, among them one with a late name; then `sysctl --system` there."""
    wmem, ecn, few = "net.ipv4.tcp_wmem", "net.ipv4.tcp_ecn", "4096 1000 2000"
    line = (
        "mkdir -p /etc/sysctl.d; for each in /usr/lib /usr/local/lib /run /etc; do"
        " [ ! -d $each/sysctl.d ] || mount -t tmpfs none $each/sysctl.d || exit; done; "
        f"echo '{RMEM} = {few}' >/usr/lib/sysctl.d/50-x.conf; echo '{wmem} = {few}' >/etc/sysctl.d/zz-late.conf; "
        f"echo '{ecn} = 0' >/etc/sysctl.conf"
    )
    machines.a.run(Command(("sh", "-c", line))).require()
    backlog = value(machines.a, "net.core.somaxconn")
    mine = profile(tmp_path, **{RMEM: HELD, wmem: HELD, ecn: "1", "net.core.somaxconn": "16"})
    (tmp_path / "out").mkdir()
    was = value(machines.a, RMEM)
    words = ("profile", "export", mine, "--format", "sysctl.d", "--host", A, "--output", str(tmp_path / "out"))
    done = desk(machines, *words)
    (file,) = (tmp_path / "out").iterdir()
    text = file.read_text(encoding="utf-8")
    machines.a.run(Command(("tee", f"/etc/sysctl.d/{file.name}"), stdin=text)).require()
    applied = machines.a.run(Command(("sysctl", "--system")))
    again = desk(machines, *words[:-2])

    assert (done.returncode, applied.returncode) == (0, 0), done.stderr + applied.stderr
    assert file.name == "zz-nettune.conf"
    assert f"# now {was}\n# over /usr/lib/sysctl.d/50-x.conf:1: {RMEM} = {few}\n{RMEM} = {HELD}\n" in text
    assert f"# over /etc/sysctl.d/zz-late.conf:1: {wmem} = {few}\n{wmem} = {HELD}\n" in text
    assert f"{ecn}: not over /etc/sysctl.conf:1: {ecn} = 0: it wins after `sysctl --system`" in done.stderr
    assert [value(machines.a, each) for each in (RMEM, wmem, ecn)] == [HELD, HELD, "0"]
    assert "# net.core.somaxconn = 16: lowers a maximum" in text
    assert value(machines.a, "net.core.somaxconn") == backlog
    assert f"# now {HELD}\n# over /usr/lib/sysctl.d/50-x.conf:1: " in again.stdout
    assert again.stdout.splitlines()[1] == text.splitlines()[1]


def test_ifupdown2_takes_the_edited_file_and_applies_it(host: Namespace, root: Path, tmp_path: Path) -> None:
    """MTU, offload, a command for what has no option; the file reads as before but for those lines."""
    entered(host, root)
    (tmp_path / "interfaces").write_text(INTERFACES, encoding="utf-8")
    words = ("--device", "eth0", "--interfaces", str(tmp_path / "interfaces"))
    text = exported(tmp_path, "ifupdown2", *words, mtu="1400", tso="off", txqueuelen="77")
    put(root, "/etc/network/interfaces", text)
    asked = inside(host, root, "ifquery eth0")
    done = inside(host, root, "ifreload -a 2>&1")
    held = inside(host, root, "ifquery eth0 --check")

    assert (asked.returncode, done.returncode, held.returncode) == (0, 0, 0), done.stdout + held.stdout
    assert (mtu(host), tso(host)) == (1400, "off")
    assert host.run(Command(("cat", "/sys/class/net/eth0/tx_queue_len"))).stdout.strip() == "77"
    assert set(INTERFACES.splitlines()) <= set(text.splitlines())


def test_what_ifupdown2_would_pass_over_is_a_command(host: Namespace, root: Path, tmp_path: Path) -> None:
    """It reads "on" of every line with a "segmentation", so `tso-offload on` does nothing where it is off."""
    entered(host, root)
    host.run(Command(("ethtool", "-K", "eth0", "tso", "off"))).require()
    (tmp_path / "interfaces").write_text(INTERFACES, encoding="utf-8")
    put(root, "/etc/network/interfaces", INTERFACES.replace("inet static\n", "inet static\n    tso-offload on\n"))
    inside(host, root, "mkdir -p /run/network; ifreload -a").require()
    passed_over = tso(host)
    words = ("--device", "eth0", "--interfaces", str(tmp_path / "interfaces"))
    put(root, "/etc/network/interfaces", exported(tmp_path, "ifupdown2", *words, tso="on"))
    inside(host, root, "ifreload -a").require()

    assert (passed_over, tso(host)) == ("off", "on")


def test_ifupdown2_knows_every_option_that_we_write(host: Namespace, root: Path) -> None:
    """It passes over unknown ones without a word, so its own list is asked."""
    entered(host, root)
    known = inside(host, root, "ifquery --syntax-help").stdout
    words = {word for knob in KNOBS.values() for word in knob.words()} | {each.setting for each in catalogue().values()}
    ours = {found[0] for word in words if word for each in ("1", "off") if (found := interfaces.attribute(word, each))}

    assert {each for each in ours if not re.search(rf"^\s*{re.escape(each)}:?\s*$", known, re.MULTILINE)} == set()
    assert {"mtu", "tso-offload", "bond-xmit-hash-policy", "bridge-mcsnoop"} <= ours


def test_tuned_takes_the_profile_and_verifies_it(host: Namespace, root: Path, tmp_path: Path) -> None:
    """It sets the sysctls; `tuned-adm verify` agrees, and no longer does once one is another."""
    entered(host, root)
    text = exported(tmp_path, "tuned", "--device", "eth0",
                    **{RMEM: HELD, "net.ipv4.tcp_slow_start_after_idle": "0", "tso": "off", "gro": "off"})  # fmt: skip
    put(root, "/etc/tuned/mine/tuned.conf", text)
    # setsid: what is left of a command's group when it ends is killed, and a daemon leaves it only after its fork.
    inside(host, root, "mkdir -p /run/dbus; setsid dbus-daemon --system --fork --nopidfile")
    inside(host, root, "setsid tuned --profile mine --daemon --log /tmp/tuned.log --pid /run/tuned.pid")
    asked = "for i in $(seq 300); do tuned-adm active 2>/dev/null | grep -q mine && break; sleep 0.1; done"
    active = inside(host, root, f"{asked}; tuned-adm active", 180.0)
    good = inside(host, root, "tuned-adm verify")
    set_to = value(host, RMEM), value(host, "net.ipv4.tcp_slow_start_after_idle")
    host.run(Command(("sysctl", "-qw", f"{RMEM}=4096 1000 2000"))).require()
    bad = inside(host, root, "tuned-adm verify")
    log = inside(host, root, "cat /tmp/tuned.log").stdout

    assert "mine" in active.stdout, log
    assert set_to == (HELD, "0")
    assert good.returncode == 0, log
    assert bad.returncode == 1
    assert "features=tso off gro off" in text
    assert not re.search(r"WARNING.*(option|unknown|invalid)", log), log


def test_the_script_sets_says_and_puts_back(host: Namespace, tmp_path: Path) -> None:
    """Of every kind that a veth has; twice is once; undone all of the state is as it was."""
    before = facts(host)
    settings = {RMEM: HELD, "mtu": "1400", "tso": "off", "gro": "on", "txqueuelen": "77",
                "gso_max_size": "16384", "rps_cpus": "1", "qdisc": "pfifo limit 50", "congestion_control": "reno",
                "rx-ring": "4096"}  # fmt: skip
    script = tmp_path / "mine.sh"
    script.write_text(exported(tmp_path, "shell", **settings), encoding="utf-8")

    def run(*words: str) -> Outcome:
        return host.run(Command(("sh", str(script), *words)))

    host.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
    empty = run("undo")
    first, held, told = run("apply", "eth0"), facts(host), run("status", "eth0")
    again, same = run("apply", "eth0"), facts(host)
    back = run("undo")

    assert empty.returncode == 0
    assert first.returncode == 0, first.stderr
    assert "left out, as it is not there: ring eth0 rx 4096" in first.stderr
    assert told.returncode == 0, told.stdout
    assert (value(host, RMEM), mtu(host), tso(host)) != (HELD, 1400, "off")
    sheet = held[host.name].facts
    assert (sheet["link/eth0/mtu"], sheet["link/eth0/gso_max_size"], sheet["link/eth0/txqlen"]) == (
        "1400",
        "16384",
        "77",
    )
    assert sheet["sysctl/net.ipv4.tcp_congestion_control"] == "reno"
    assert sheet["qdisc/eth0/root"].startswith("pfifo")
    assert (again.returncode, differences(held, same)) == (0, ())
    assert back.returncode == 0, back.stderr
    assert differences(before, facts(host)) == ()


def test_the_script_puts_all_back_where_one_is_refused(host: Namespace, tmp_path: Path) -> None:
    """And where a device is none, or a boot lies between, it says so."""
    before = facts(host)
    script = tmp_path / "mine.sh"
    settings = {"mtu": "1400", RMEM: HELD, "congestion_control": "nobodys"}
    script.write_text(exported(tmp_path, "shell", **settings), encoding="utf-8")
    host.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
    refused = host.run(Command(("sh", str(script), "apply", "eth0")))
    after = facts(host)
    nobody = host.run(Command(("sh", str(script), "apply", "eth9")))
    usage = host.run(Command(("sh", str(script))))

    assert refused.returncode == 1
    assert "not all could be set: put back" in refused.stderr
    assert differences(before, after) == ()
    assert (nobody.returncode, usage.returncode) == (2, 2)
    assert "there is no device eth9" in nobody.stderr


def test_systemd_takes_the_unit(host: Namespace, root: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify`, with its script in its place; the one of changes that are kept, too."""
    entered(host, root)
    folder = tmp_path / "out"
    words = ("--format", "unit", "--device", "eth0", "--output", str(folder))
    done = nettune("profile", "export", profile(tmp_path, mtu="1400"), *words)
    put(root, "/usr/local/lib/nettune/mine.sh", (folder / "mine.sh").read_text(encoding="utf-8"))
    put(root, "/var/lib/nettune/boot", "")
    service = "/etc/systemd/system/nettune-profile-mine.service"
    put(root, service, (folder / "nettune-profile-mine.service").read_text(encoding="utf-8"))
    put(root, "/etc/systemd/system/nettune-boot.service", UNIT)
    told = inside(host, root, f"systemd-analyze verify {service} /etc/systemd/system/nettune-boot.service 2>&1")

    assert done.returncode == 0, done.stderr
    assert (told.returncode, told.stdout) == (0, "")


def test_udev_takes_the_link_file(host: Namespace, root: Path, tmp_path: Path) -> None:
    """Its own parser has no complaint, takes it for the device, and would not name that anew."""
    entered(host, root)
    done = nettune("profile", "export", profile(tmp_path, mtu="1400", tso="off", **{"rx-usecs": "8", "rx-ring": "512"}),
                   "--format", "link", "--device", "eth0")  # fmt: skip
    put(root, "/etc/systemd/network/10-nettune-eth0.link", done.stdout)
    told = inside(
        host, root, "SYSTEMD_LOG_LEVEL=debug udevadm test-builtin net_setup_link /sys/class/net/eth0 2>&1"
    ).stdout

    assert "warning: of .link files only the first" in done.stderr
    assert "10-nettune-eth0.link" in told
    assert not re.search(r"10-nettune-eth0.link:\d+:|Unknown|Failed to parse", told), told
    assert not re.search(r"ID_NET_NAME=(?!eth0$)", told, re.MULTILINE), told


def test_the_script_keeps_the_first_original_of_each_thing_that_it_sets(host: Namespace, tmp_path: Path) -> None:
    """A newer script of that name: all of it is put back; the kernel's own names of offloads are understood."""
    before = facts(host)
    script = tmp_path / "mine.sh"
    host.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
    for settings in ({"mtu": "1400", "rx-gro": "on"}, {"mtu": "1300", RMEM: HELD, "qdisc": "pfifo limit 50"}):
        script.write_text(exported(tmp_path, "shell", **settings), encoding="utf-8")
        done = host.run(Command(("sh", str(script), "apply", "eth0")))
        assert done.returncode == 0, done.stderr
        assert "left out" not in done.stderr
    nothing = host.run(Command(("sh", str(script), "apply")))
    gro = facts(host)[host.name].facts["feature/eth0/rx-gro"]
    back = host.run(Command(("sh", str(script), "undo")))

    assert nothing.returncode == 2
    assert gro == "on"
    assert back.returncode == 0, back.stderr
    assert differences(before, facts(host)) == ()


def test_a_qdisc_with_options_is_set_though_one_of_that_kind_is_there_by_itself(
    host: Namespace, tmp_path: Path
) -> None:
    """And put back to the kernel's own, by the sysctl that says which."""
    host.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
    script = tmp_path / "mine.sh"
    script.write_text(exported(tmp_path, "shell", qdisc="noqueue"), encoding="utf-8")
    same = host.run(Command(("sh", str(script), "status", "eth0")))
    script.write_text(exported(tmp_path, "shell", qdisc="pfifo limit 50"), encoding="utf-8")
    host.run(Command(("sh", str(script), "apply", "eth0"))).require()
    held = host.run(Command(("tc", "qdisc", "show", "dev", "eth0", "root"))).stdout
    status = host.run(Command(("sh", str(script), "status", "eth0")))
    host.run(Command(("sh", str(script), "undo"))).require()

    assert same.returncode == 0, same.stdout
    assert "limit 50p" in held
    assert status.returncode == 0, status.stdout
