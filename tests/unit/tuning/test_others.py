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
    "etc/network/interfaces": INTERFACES,
    "etc/network/interfaces.d/50-cloud-init": "iface eno1 inet dhcp\n    mtu 1450\n",
    "etc/netplan/50-cloud-init.yaml": "network:\n  ethernets:\n    eno1:\n      mtu: 1400\n",
    "etc/systemd/network/10-x.network": "[Match]\nName=eno1\n[Link]\nMTUBytes=1300\n",
    "etc/udev/rules.d/60-x.rules": 'ACTION=="add", RUN+="/sbin/ip link set dev $name txqueuelen 77"\n',
    "etc/tuned/active_profile": "mine\n",
    "run/tuned/tuned.pid": "8\n",
    "etc/tuned/mine/tuned.conf": "[main]\ninclude = throughput-performance\n[sysctl]\nvm.swappiness=1\n",
    "usr/lib/tuned/profiles/throughput-performance/tuned.conf": "[sysctl]\nnet.ipv4.tcp_rmem=4 5 6\n",
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
        "/etc/systemd/network/10-x.network:4",
    }  # fmt: skip
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
