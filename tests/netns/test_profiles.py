"""Profiles on a real kernel: how one stands on this machine, and measured beside current in a lab of namespaces."""

import json
import re
import sys
from pathlib import Path

import pytest

from bench.hosts.command import Command
from bench.hosts.local import Local
from tests.netns import sshd
from tests.netns.nettune_command import nettune, plan_file, shown

ROOT = Path(__file__).parents[2]
PLAN = """\
name: short
topologies: [bridge]
probes:
  - {kind: tcp, duration_s: 0.3, warmup_s: 0.1}
  - {kind: latency, duration_s: 0.1, interval_s: 0.002}
primary: tcp.goodput
blocks: 2
"""
# One setting that a namespace has, one that it has not, one that would be lowered.
MINE = """\
format: 2
name: mine
status: candidate
settings:
  - {setting: net.ipv4.tcp_wmem, value: 4096 16384 268435456, target: guest}
  - {setting: net.core.netdev_budget, value: 600, target: guest}
  - {setting: net.core.somaxconn, value: 16, target: guest}
"""


@pytest.mark.sampled(1)
def test_a_profile_that_ships_is_measured_beside_current_in_the_same_blocks(state: Path, tmp_path: Path) -> None:
    """guest-server: one arm of what the path has; the rest is named with its reason; no gain is claimed unproved."""
    out = tmp_path / "out"
    done = nettune("run", plan_file(tmp_path, PLAN), "--profile", "guest-server", "--seed", "3", "--out", str(out))
    found = shown()
    skipped = {each["cell"]: each["reason"] for each in found["skipped"]}
    settings = {each["setting"] for each in found["settings"]["guest-server"]}

    assert done.returncode == 0, done.stderr
    assert "profile guest-server (published, not measured on your host)" in done.stdout
    assert {each["treatment"]: each["blocks"] for each in found["treatments"] if each["primary"]} == {"guest-server": 2}
    assert found["trials"]["done"] == 2 * 3
    assert {"net.ipv4.tcp_max_syn_backlog", "net.ipv4.ip_local_port_range"} <= settings
    assert skipped["guest-server: net.core.netdev_max_backlog"].startswith("not there: a has no /proc/sys/net/core/")
    assert settings | {cell.partition(": ")[2] for cell in skipped} == {
        "net.core.somaxconn", "net.core.netdev_max_backlog", "net.core.rmem_max", "net.core.wmem_max",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_tw_reuse",
        "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.ip_local_port_range",
    }  # fmt: skip
    assert "published, not measured on your host" in (out / "report.html").read_text(encoding="utf-8")
    # Two blocks of a noisy machine may well make a candidate of it: that is no claim before it is confirmed.
    assert re.search(r"^status: (nothing|candidate)$", (out / "profile.yaml").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.sampled(1)
def test_two_profiles_are_two_arms(state: Path, tmp_path: Path) -> None:
    """One of one's own, and an anchor; what the run keeps is what was measured."""
    state.joinpath("profiles").mkdir(parents=True)
    state.joinpath("profiles", "mine.yaml").write_text(MINE, encoding="utf-8")
    done = nettune("run", plan_file(tmp_path, PLAN), "--profile", "tuned-network-latency", "--profile", "mine")
    found = shown()
    skipped = {each["cell"]: each["reason"] for each in found["skipped"]}

    assert done.returncode == 0, done.stderr
    assert {each["treatment"] for each in found["treatments"]} == {"tuned-network-latency", "mine"}
    assert [each["setting"] for each in found["settings"]["mine"]] == ["net.ipv4.tcp_wmem"]
    assert [each["setting"] for each in found["settings"]["tuned-network-latency"]] == ["net.ipv4.tcp_fastopen"]
    assert skipped["mine: net.core.somaxconn"].startswith("lowers a maximum: 16 is below")
    assert skipped["tuned-network-latency: net.core.busy_read"].startswith("not there: ")


def test_a_profile_of_which_nothing_is_here_is_named_before_anything_is_measured(state: Path, tmp_path: Path) -> None:
    """Exit code 3, every setting with its reason, no run in the store."""
    done = nettune("run", plan_file(tmp_path, PLAN), "--profile", "pve-node-10g")

    assert done.returncode == 3
    assert "nothing of profile pve-node-10g is left to measure here" in done.stderr
    assert "rx-ring: not there" in done.stderr
    assert json.loads(nettune("runs", "--json").stdout) == []


def test_how_a_profile_stands_on_this_machine(state: Path) -> None:
    """Each rule answers, each setting stands somewhere; nothing is written; what the kernel ships larger is named."""
    before = Local().run(Command(("sysctl", "-n", "net.ipv4.tcp_rmem", "net.core.somaxconn"))).require().stdout
    done = nettune("profile", "check", "tuned-network-throughput", "--json")
    found = json.loads(done.stdout)
    standing = {each["setting"]: each for each in found["settings"]}
    most = int(before.split()[2])

    assert done.returncode == 0, done.stderr
    assert found["status"] == "published"
    assert (standing["net.ipv4.tcp_rmem"]["standing"] == "lowers a maximum") == (most > 16777216)
    assert standing["net.core.somaxconn"]["now"]["local sysctl/net.core.somaxconn"] == before.split()[3]
    assert before == Local().run(Command(("sysctl", "-n", "net.ipv4.tcp_rmem", "net.core.somaxconn"))).stdout


def test_an_exported_file_is_one_that_sysctl_takes(tmp_path: Path) -> None:
    """In a namespace, whose own the settings are; the real program reads the file and sets what it says."""
    conf = tmp_path / "99-zz-nettune.conf"
    exported = nettune("profile", "export", "tuned-network-latency", "--output", str(conf))
    with sshd.namespace() as host:
        lines = [line for line in conf.read_text().splitlines() if line.startswith("net.ipv4.")]
        conf.write_text("\n".join(["# a comment", *lines]) + "\n")  # net.core.* are the machine's
        done = host.run(Command(("sysctl", "-p", str(conf))))
        told = host.run(Command(("sysctl", "-n", *(line.partition(" =")[0] for line in lines)))).stdout.split("\n")

    assert exported.returncode == 0, exported.stderr
    assert lines != []
    assert done.ok, done.stderr
    assert [" ".join(each.split()) for each in told if each] == [line.partition("= ")[2] for line in lines]


def test_a_rule_that_does_not_fit_is_exit_code_1(state: Path, tmp_path: Path) -> None:
    """A kernel of the future; its reason names the kernel that runs."""
    mine = tmp_path / "future.yaml"
    mine.write_text(MINE.replace("settings:", "fits: {kernel: '>= 99.0'}\nsettings:"), encoding="utf-8")
    done = nettune("profile", "check", str(mine))
    release = Local().run(Command(("uname", "-r"))).stdout.strip()

    assert done.returncode == 1
    assert "does not fit" in done.stdout
    assert f"it runs {release}" in done.stdout


def test_a_profile_and_this_machine_side_by_side(state: Path, tmp_path: Path) -> None:
    """What differs is exit code 1; a profile of what stands here is 0; a device that is not there is 3."""
    now = Local().run(Command(("sysctl", "-n", "net.core.somaxconn"))).require().stdout.strip()
    same = tmp_path / "same.yaml"
    same.write_text(
        f"format: 2\nname: same\nstatus: candidate\nsettings:\n"
        f"  - {{setting: net.core.somaxconn, value: {now}, target: guest}}\n",
        encoding="utf-8",
    )
    differing = nettune("profile", "diff", "esnet-40g", "local", "--json")
    no_device = nettune("profile", "diff", str(same), "local", "--device", "no-such0")
    rows = {each["setting"]: each for each in json.loads(differing.stdout)}

    assert differing.returncode == 1
    assert rows["net.core.rmem_max"]["a"] == "536870912"
    assert nettune("profile", "diff", str(same), "local").returncode == 0
    assert no_device.returncode == 3
    assert "there is no device 'no-such0'" in no_device.stderr


def test_how_a_profile_stands_on_a_machine_over_ssh(tmp_path: Path) -> None:
    """The same as here: the machine behind that sshd shares this kernel, and has a loopback alone."""
    sshd.skip_where_it_cannot_run()
    with sshd.namespace() as host, sshd.serving(host, tmp_path / "sshd") as server:
        home = tmp_path / "home" / ".ssh"
        home.mkdir(parents=True)
        (server.folder / "user").rename(home / "id_ed25519")
        (home / "known_hosts").write_text(f"[127.0.0.1]:{sshd.PORT} {server.login.pinned}", encoding="utf-8")
        done = host.run(
            Command(
                ("env", f"HOME={home.parent}", f"NETTUNE_STATE={tmp_path / 'state'}", f"PYTHONPATH={ROOT}",
                 sys.executable, "-P", "-m", "nettune", "profile", "check", "tuned-network-latency", "--json",
                 "--host", f"ssh://root@127.0.0.1:{sshd.PORT}"),
                deadline_s=60,
            )
        )  # fmt: skip
    found = {each["setting"]: each for each in json.loads(done.stdout)["settings"]}

    assert done.returncode == 0, done.stderr
    assert found["net.ipv4.tcp_fastopen"]["now"].keys() == {"127.0.0.1 sysctl/net.ipv4.tcp_fastopen"}
    assert found["net.core.busy_read"]["standing"] == "not there"


@pytest.mark.sampled(1)
def test_a_profile_that_wins_is_a_candidate_and_its_own_file_again(state: Path, tmp_path: Path) -> None:
    """On a shaped link a larger MTU gains 4.6 % by arithmetic: its profile wins, and can be confirmed and checked."""
    plan = PLAN.replace("[bridge]", "[{kind: bridge, rate_mbit: 200, mtu: 1280}]").replace("blocks: 2", "blocks: 6")
    plan = plan.replace("duration_s: 0.3", "window_bytes: 200000, duration_s: 0.8") + "margin_pct: 2\n"
    plan = "\n".join(line for line in plan.splitlines() if "latency" not in line)
    mine = tmp_path / "jumbo.yaml"
    mine.write_text(
        "format: 2\nname: jumbo\nstatus: published\nsource: arithmetic\nsettings:\n"
        "  - {setting: mtu, value: 9000, target: path, trigger: none stated, stated_effect: 4.6 % of headers}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    done = nettune("run", plan_file(tmp_path, plan), "--profile", str(mine), "--seed", "5", "--out", str(out))
    confirm = nettune("run", "--confirm", "last", "--dry-run")
    written = nettune("profile", "check", str(out / "profile.yaml"), "--json")

    assert done.returncode == 0, done.stderr
    assert "Candidate, not yet confirmed: jumbo tcp.goodput" in done.stdout
    assert "status: candidate" in (out / "profile.yaml").read_text(encoding="utf-8")
    assert confirm.returncode == 0, confirm.stderr
    assert "treatment jumbo:" in confirm.stdout
    assert {each["answer"] for each in json.loads(written.stdout)["fits"]} == {"fits"}
