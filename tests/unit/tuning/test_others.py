"""Who else sets what a profile sets, by the files of a host; and which of the two wins when."""

import os
from pathlib import Path

import pytest

from bench.facts import tailed
from bench.hosts.command import Command
from bench.hosts.local import Local
from tuning.applying import others
from tuning.applying.others import Other, found, wins

RMEM = ("net.ipv4.tcp_rmem", "sysctl/net.ipv4.tcp_rmem", "4096 131072 67108864")
INTERFACES = """\
auto eno1
iface eno1 inet manual
    mtu 1500
    offload-tso on
    post-up /sbin/ethtool -G $IFACE rx 512
    post-up ip link set dev eno1 txqueuelen 500
    # post-up ethtool -K eno1 gro off
iface eno2 inet manual
    mtu 9000
"""


def of(texts: dict[str, str], *settings: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    """Where, what, when."""
    return [(each.where, each.text, each.when) for each in found(texts, settings)]


def test_of_sysctl_files_the_last_word_is_told() -> None:
    """By name over all folders, of one name that of /etc; ours is none of them; patterns and slashes count."""
    texts = {
        "/usr/lib/sysctl.d/50-default.conf": "net.ipv4.tcp_rmem = 1 2 3\n",
        "/etc/sysctl.d/10-a.conf": "# net.ipv4.tcp_rmem = 9 9 9\nnet/ipv4/tcp_rmem=4096 87380 6291456\n",
        "/usr/lib/sysctl.d/60-b.conf": "net.ipv4.tcp_rmem = 7 8 9\n",
        "/etc/sysctl.d/60-b.conf": "net.ipv4.tcp_wmem = 1 1 1\n",
        "/etc/sysctl.d/99-zz-nettune-0001-0123456789ab.conf": "net.ipv4.tcp_rmem = 4 5 6\n",
    }
    conf = {"/etc/sysctl.d/99-x.conf": "-net.ipv4.conf.*.rp_filter = 2\n"}

    assert of(texts, RMEM) == [("/usr/lib/sysctl.d/50-default.conf:1", "net.ipv4.tcp_rmem = 1 2 3", "at boot")]
    assert of(conf, ("net.ipv4.conf.eth0/10.rp_filter", "sysctl/net.ipv4.conf.eth0/10.rp_filter", "1")) == [
        ("/etc/sysctl.d/99-x.conf:1", "-net.ipv4.conf.*.rp_filter = 2", "at boot")
    ]


def test_a_devices_options_and_commands_are_told() -> None:
    """Attributes of both ifupdowns, post-up lines for the device or $IFACE; not another's, nor a comment."""
    texts = {"/etc/network/interfaces": INTERFACES}

    assert of(texts, ("mtu", "link/eno1/mtu", "9000")) == [
        ("/etc/network/interfaces:3", "mtu 1500", "at boot and by ifreload")
    ]
    assert of(texts, ("tso", "feature/eno1/tx-tcp-segmentation", "off"))[0][1] == "offload-tso on"
    assert of(texts, ("rx-ring", "ring/eno1/rx", "4096"))[0][0] == "/etc/network/interfaces:5"
    assert of(texts, ("txqueuelen", "link/eno1/txqlen", "1000"))[0][0] == "/etc/network/interfaces:6"
    assert of(texts, ("gro", "feature/eno1/rx-gro", "on")) == []
    assert of(texts, ("tx-ring", "ring/eno1/tx", "4096")) == []


ELSEWHERE = """\
iface vmbr0 inet static
    bridge-ports eno1
    post-up ethtool -K eno1 tso on
    pre-up ip link set dev eno1 txqueuelen 500
    up for leg in eno1 eno2; do ethtool -G $leg rx 512; done
    post-up ethtool -K $IFACE gro off
    post-down ethtool -K eno1 sg off
"""


def test_lines_of_another_devices_stanza_that_name_the_device_are_told() -> None:
    """A bridge's stanza often sets its NIC; $IFACE is the bridge there, and what runs at its end sets nothing."""
    texts = {"/etc/network/interfaces": ELSEWHERE}

    assert of(texts, ("tso", "feature/eno1/tx-tcp-segmentation", "off")) == [
        ("/etc/network/interfaces:3", "post-up ethtool -K eno1 tso on", "at boot and by ifreload")
    ]
    assert of(texts, ("txqueuelen", "link/eno1/txqlen", "1000"))[0][0] == "/etc/network/interfaces:4"
    assert of(texts, ("rx-ring", "ring/eno2/rx", "4096"))[0][0] == "/etc/network/interfaces:5"
    assert of(texts, ("gro", "feature/eno1/rx-gro", "on")) == []
    assert of(texts, ("sg", "feature/eno1/tx-scatter-gather", "on")) == []
    assert of(texts, ("tso", "feature/eno2/tx-tcp-segmentation", "off")) == []


NETPLAN = """network:
  version: 2
  ethernets:
    eno2:
      mtu: 9000
    uplink:
      match: {macaddress: "02:00:00:00:00:01"}
      set-name: eno1
      mtu: 1400
      tcp-segmentation-offload: false
    storage:
      match: {name: ens*}
      mtu: 8000
    by-driver:
      match: {driver: [mlx5_core, ice]}
      mtu: 7000
  bonds:
    bond0:
      interfaces: [eno2]
      mtu: 6000
"""
_NETPLAN = "/etc/netplan/50-cloud-init.yaml"


def test_what_netplan_sets_is_told_of_the_device_alone() -> None:
    """By its name, a pattern of names, its MAC or its driver; what cannot be told counts, and no YAML sets nothing."""
    known = {f"device:{name}": f"mac 02:00:00:00:00:0{number}\ndriver {driver}\n" for number, (name, driver) in
             enumerate({"eno1": "igb", "eno2": "igb", "eno3": "ice", "bond0": "", "vmbr0": ""}.items(), 1)}  # fmt: skip
    known["device:ens1"] = "mac 02:00:00:00:00:09\n"

    def lines(device: str, more: dict[str, str]) -> list[str]:
        texts = {_NETPLAN: NETPLAN, **more}
        return [each[0].partition(":")[2] for each in of(texts, ("mtu", f"link/{device}/mtu", "1500"))]

    assert [lines(each, known) for each in ("eno1", "eno2", "eno3", "ens1", "bond0", "vmbr0")] == [
        ["9"], ["5"], ["16"], ["13", "16"], ["20"], [],
    ]  # fmt: skip
    assert lines("eno1", {}) == ["9", "16"]  # a host that tells neither MAC nor driver
    assert of({_NETPLAN: NETPLAN, **known}, ("tso", "feature/eno1/tx-tcp-segmentation", "on")) == [
        (f"{_NETPLAN}:10", "tcp-segmentation-offload: false", "at boot")
    ]
    for odd in ("network: [\n  mtu: 1400\n", "mtu: 1400\n", "network: {ethernets: {eno1: 5, eno2: {mtu: [1]}}}\n", ""):
        assert of({_NETPLAN: odd}, ("mtu", "link/eno1/mtu", "1500")) == []


TUNED = {
    "tuned:mine": "[main]\ninclude=parent\n[net]\ndevices=eno*, !eno2\nfeatures=tso off, gro on  # why\n"
    "ring=rx 4096 tx 512\n",
    "tuned:parent": "[net]\nfeatures=gso off\nmtu=9000\n[others]\ntype=net\ndevices=eno2\ntxqueuelen=77\n"
    "channels=combined 4\ncoalesce=adaptive-rx off rx-usecs 3\n[disk]\nmtu=4\n[off]\ntype=net\nenabled=false\n"
    "txqueuelen=5\n",
}  # fmt: skip


def test_what_tuneds_profile_sets_of_devices_is_told() -> None:
    """Its [net], and sections of that type: a profile goes before those that it includes, option by option."""
    tso, ring = ("tso", "feature/{}/tx-tcp-segmentation", "on"), ("rx-ring", "ring/{}/rx", "1")
    gso, mtu = ("gso", "feature/{}/tx-generic-segmentation", "on"), ("mtu", "link/{}/mtu", "1500")
    segments = ("tx-tcp6-segmentation", "feature/{}/tx-tcp6-segmentation", "on")

    def told(setting: tuple[str, str, str], device: str, more: dict[str, str] | None = None) -> list[tuple[str, str]]:
        found_ = of({**TUNED, **(more or {})}, (setting[0], setting[1].format(device), setting[2]))
        return [(where, text) for where, text, when in found_ if when == "while it runs"]

    assert told(tso, "eno1") == [("tuned's profile mine", "[net] features=tso off, gro on")]
    assert told(segments, "eno1") == told(tso, "eno1")
    assert told(ring, "eno1") == [("tuned's profile mine", "[net] ring=rx 4096 tx 512")]
    assert told(gso, "eno1") == []  # the parent's features are the profile's own
    assert told(mtu, "eno1") == [("tuned's profile parent", "[net] mtu=9000")]
    assert [told(each, "eno2") for each in (tso, mtu)] == [[], []]
    dropped = {"tuned:mine": f"{TUNED['tuned:mine']}drop=mtu\n"}
    replaced = {"tuned:mine": f"{TUNED['tuned:mine']}replace=1\n"}
    assert [told(mtu, "eno1", each) for each in (dropped, replaced)] == [[], []]
    assert told(("txqueuelen", "link/{}/txqlen", "1000"), "eno2") == [
        ("tuned's profile parent", "[others] txqueuelen=77")
    ]
    assert told(("channels", "channel/{}/combined", "1"), "eno2")[0][1] == "[others] channels=combined 4"
    assert told(("rx-usecs", "coalesce/{}/rx-usecs", "1"), "eno2")[0][1].endswith("rx-usecs 3")
    assert told(tso, "eno1", {"device:eno1": "virtual\n"}) == []  # tuned leaves bridges, bonds, taps and veths alone


def test_link_files_netplan_and_programs_are_told() -> None:
    """The .link file that udev took for the device; what runs is told while it runs."""
    texts = {
        "link:eno1:/usr/lib/systemd/network/50-x.link": "[Match]\n[Link]\nMTUBytes=9000\n",
        "/etc/netplan/50-cloud-init.yaml": "network:\n  ethernets:\n    eno1:\n      mtu: 1400\n",
        "tuned:mine": "[sysctl]\nnet.ipv4.tcp_rmem=1 2 3\n",
        "running": "bpftune\ntuned\n",
    }

    assert {each[0] for each in of(texts, ("mtu", "link/eno1/mtu", "1500"))} == {
        "/usr/lib/systemd/network/50-x.link:3", "/etc/netplan/50-cloud-init.yaml:4",
    }  # fmt: skip
    assert of(texts, RMEM) == [
        ("tuned's profile mine", "net.ipv4.tcp_rmem=1 2 3", "while it runs"),
        ("bpftune", "it tunes sysctls of net. by itself", "while it runs"),
    ]


FILES = {
    "etc/sysctl.d/50-x.conf": "# mine\nnet.ipv4.tcp_rmem = 1 2 3\n",
    "usr/lib/sysctl.d/10-y.conf": "net.ipv4.tcp_rmem = 7 8 9\n",
    "etc/sysctl.conf": "net.ipv4.tcp_rmem = 3 2 1\n",
    "etc/network/interfaces": f"{INTERFACES}source more/*.cfg\nsource-directory /etc/network/dir\n",
    "etc/network/more/one.cfg": "iface vmbr0 inet static\n  post-up ethtool -K eno1 tso on\nsource two\n",
    "etc/network/more/two": "iface eno1 inet6 static\n  mtu 1280\n",
    "etc/network/dir/three": "iface eno1 inet manual\n  mtu 1290\n",
    "etc/network/dir/not.read": "iface eno1 inet manual\n  mtu 1299\n",
    "etc/network/interfaces.d/50-cloud-init": "iface eno1 inet dhcp\n    mtu 1450\n",
    "etc/netplan/50-cloud-init.yaml": "network:\n  ethernets:\n    eno1:\n      mtu: 1400\n",
    "etc/systemd/network/10-x.network": "[Match]\nName=eno1\n[Link]\nMTUBytes=1300\n",
    "etc/udev/rules.d/60-x.rules": 'ACTION=="add", RUN+="/sbin/ip link set dev $name txqueuelen 77"\n',
    "etc/tuned/active_profile": "mine\n",
    "run/tuned/tuned.pid": "8\n",
    "etc/tuned/mine/tuned.conf": "[main]\ninclude = throughput-performance\n[sysctl]\nvm.swappiness=1\n",
    "usr/lib/tuned/profiles/throughput-performance/tuned.conf": "[sysctl]\nnet.ipv4.tcp_rmem=4 5 6\n"
    "[net]\nfeatures=tso off\n",
    "proc/7/comm": "irqbalance\n",
    "proc/8/comm": "tuned\n",
    "proc/9/comm": "bpftune\n",
    "proc/10/comm": "sshd\n",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A host's files, real ones."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_shell_asks_for_all_of_these_files_and_programs(files: Path) -> None:
    """As they lie on a host: post-up lines, what cloud-init wrote, netplan, networkd, udev, tuned's, what runs."""
    texts = others.asked(Local(), (), str(files))
    irq = ("smp_affinity_list", "irq/eno1/input.0", "2")

    assert of(dict(texts), RMEM) == [
        ("/etc/sysctl.d/50-x.conf:2", "net.ipv4.tcp_rmem = 1 2 3", "at boot"),
        ("/etc/sysctl.conf:1", "net.ipv4.tcp_rmem = 3 2 1", "by sysctl --system"),
        ("tuned's profile throughput-performance", "net.ipv4.tcp_rmem=4 5 6", "while it runs"),
        ("bpftune", "it tunes sysctls of net. by itself", "while it runs"),
    ]
    assert {each[0] for each in of(dict(texts), ("mtu", "link/eno1/mtu", "9000"))} == {
        "/etc/network/interfaces:3", "/etc/network/interfaces.d/50-cloud-init:2", "/etc/netplan/50-cloud-init.yaml:4",
        "/etc/systemd/network/10-x.network:4", "/etc/network/more/two:2", "/etc/network/dir/three:2",
    }  # fmt: skip
    assert [each[0] for each in of(dict(texts), ("tso", "feature/eno1/tx-tcp-segmentation", "off"))] == [
        "/etc/network/interfaces:4", "/etc/network/more/one.cfg:2", "tuned's profile throughput-performance",
    ]  # fmt: skip
    assert of(dict(texts), ("rx-ring", "ring/eno1/rx", "4096"))[0][0] == "/etc/network/interfaces:5"
    assert [each[0] for each in of(dict(texts), ("txqueuelen", "link/eno1/txqlen", "1000"))] == [
        "/etc/network/interfaces:6", "/etc/udev/rules.d/60-x.rules:1",
    ]  # fmt: skip
    assert of(dict(texts), irq) == [("irqbalance", "it moves interrupts every ten seconds", "while it runs")]


def test_tuned_that_does_not_run_and_programs_that_do_not_are_none(files: Path) -> None:
    """A profile is chosen there, and nobody sets it."""
    for path in ("run/tuned/tuned.pid", "proc/7/comm", "proc/8/comm", "proc/9/comm"):
        (files / path).unlink()
    texts = others.asked(Local(), (), str(files))

    assert texts["running"].strip() == ""
    assert [each[0] for each in of(dict(texts), RMEM)] == ["/etc/sysctl.d/50-x.conf:2", "/etc/sysctl.conf:1"]


def test_the_link_file_is_the_one_that_udev_took(tmp_path: Path) -> None:
    """By udevadm's word, whose stand-in knows of one device."""
    link = tmp_path / "50-x.link"
    link.write_text("[Match]\n[Link]\nMTUBytes=9000\n", encoding="utf-8")
    udevadm = tmp_path / "udevadm"
    udevadm.write_text(f"#!/bin/sh\ncase $* in *eno1) echo ID_NET_LINK_FILE={link} ;; esac\n", encoding="utf-8")
    udevadm.chmod(0o755)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    told = Local().run(Command(("env", path, "sh", "-c", others.LINK, "sh", "eno1", "eno2"))).require().stdout

    assert of(tailed.files(told), ("mtu", "link/eno1/mtu", "1500")) == [(f"{link}:3", "MTUBytes=9000", "at boot")]
    assert of(tailed.files(told), ("mtu", "link/eno2/mtu", "1500")) == []


@pytest.mark.parametrize(
    ("where", "when", "kept", "said"),
    [
        ("/etc/sysctl.d/99-local.conf:3", "at boot", False, "it wins after a boot"),
        ("/etc/sysctl.d/99-local.conf:3", "at boot", True, "ours wins after a boot"),
        ("/etc/sysctl.d/99-zzz.conf:3", "at boot", True, "a boot sets ours again, after all files"),
        ("/etc/network/interfaces:3", "at boot and by ifreload", True, "after `ifreload -a` it wins"),
        ("bpftune", "while it runs", True, "at any time"),
    ],
)
def test_who_wins_is_said(where: str, when: others.When, kept: bool, said: str) -> None:
    """Kept over a boot or not."""
    assert said in wins(Other("net.ipv4.tcp_rmem", where, "", when), kept=kept)


def test_a_file_of_ours_names_what_it_overrides_and_what_does_not_give_way() -> None:
    """By its name: an earlier file, a later one, what is read after all of them, a program."""
    rmem = "net.ipv4.tcp_rmem"
    early, late, last, program = (
        Other(rmem, "/usr/lib/sysctl.d/50-x.conf:2", f"{rmem} = 1 2 3", "at boot"),
        Other(rmem, "/etc/sysctl.d/99-zzz.conf:3", f"{rmem} = 1 2 3", "at boot"),
        Other(rmem, "/etc/sysctl.conf:1", f"{rmem} = 1 2 3", "by sysctl --system"),
        Other(rmem, "bpftune", "it tunes sysctls of net. by itself", "while it runs"),
    )

    assert others.said(early) == f"over /usr/lib/sysctl.d/50-x.conf:2: {rmem} = 1 2 3"
    assert others.said(late).startswith(f"not over /etc/sysctl.d/99-zzz.conf:3: {rmem} = 1 2 3: its name is later")
    assert others.said(late, "zz-nettune.conf", kept=False).startswith("over ")
    assert others.said(last).endswith(": it wins after `sysctl --system`, which packages run")
    assert others.said(program).startswith("not over bpftune: ")
