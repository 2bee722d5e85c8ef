"""The exported role, run by ansible-core over machines with a real sshd each: one after the other, guarded."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.login import Login
from tests.netns.nettune_command import SOONER, nettune, run_program, started
from tests.netns.sshd import PORT
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, mtu, value, waited
from tests.netns.test_apply import HELD, A, changes, desk, prefix, profile
from tuning.exports.ansible import role
from tuning.profile import Profile, ProfileSetting

B, NODE = (A.replace(CONTROL["a"], CONTROL[name]) for name in ("b", "node"))
BOTH: Mapping[str, str] = {RMEM: HELD, "tso": "off"}


def _role(machines: Machines, folder: Path, *hosts: str, settings: Mapping[str, str] = BOTH, **variables: str) -> Path:
    """The exported folder, with an inventory of these machines, all of which take a's key.

    Of the node port-a is changed, a guest's for all that anybody knows; of the others eth0 unless `variables` say so.
    """
    key = (machines.folder / "a" / "user.pub").read_text(encoding="utf-8")
    for name in ("b", "node"):
        with (machines.folder / name / "authorized_keys").open("a", encoding="utf-8") as file:
            file.write(key)
    out = folder / "ansible"
    done = nettune("profile", "export", profile(folder, **settings), "--format", "ansible", "--output", str(out))
    assert done.returncode == 0, done.stderr
    own = {"node": """ nettune_devices="['port-a']" nettune_allow="['guests']\""""}
    of_all = {"nettune_argv": repr(list(SOONER)), "nettune_devices": "['eth0']", "nettune_disruption": "d4",
              "ansible_port": str(PORT), **variables}  # fmt: skip
    (out / "inventory.ini").write_text(
        "".join(f"{name} ansible_host={CONTROL[name]}{own.get(name, '')}\n" for name in hosts) + "[all:vars]\n"
        + "".join(f"{name}={said}\n" for name, said in of_all.items()), encoding="utf-8",
    )  # fmt: skip
    return out


def _program(out: Path, *words: str) -> tuple[str, ...]:
    program = (str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(out / "inventory.ini"))
    where = ("env", f"ANSIBLE_LOCAL_TEMP={out / 'tmp'}", "LC_ALL=C.UTF-8", f"PYTHONPATH={Path.cwd()}")
    return (*where, *program, str(out / "playbook.yml"), *words)


def _played(machines: Machines, out: Path, *words: str) -> Any:  # Any: CompletedProcess
    return run_program(_program(out, *words), prefix(machines))


def _at_the_desk(machines: Machines) -> set[int]:
    """The processes there: whatever Ansible has begun, in whose process group ever."""
    return {int(each) for each in Local().run(Command(("ip", "netns", "pids", machines.desk.netns))).stdout.split()}


def _ended(machines: Machines, job: Any, before: set[int]) -> None:  # Any: Popen
    """SIGKILL for all that came to the desk since then, as a controller ends whose power does."""
    while left := _at_the_desk(machines) - before:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        job.poll()  # what has ended is no process any more
    job.communicate(timeout=30)


def _recap(text: str) -> dict[str, dict[str, str]]:
    rows = re.findall(r"^(\w+) +: (.*)$", text.partition("PLAY RECAP")[2], re.MULTILINE)
    return {host: dict(word.split("=") for word in said.split()) for host, said in rows}


def test_a_role_applies_verifies_and_does_nothing_a_second_time(machines: Machines, tmp_path: Path) -> None:
    """Check mode changes nothing; each machine has its own journal, by which it is taken back."""
    before = machines.facts()
    out = _role(machines, tmp_path, "a", "b")
    syntax = _played(machines, out, "--syntax-check")
    dry, after_dry = _played(machines, out, "--check"), machines.facts()
    first, second = _played(machines, out), _played(machines, out)
    held = value(machines.a, RMEM), value(machines.b, RMEM)
    known = changes(machines, A), changes(machines, B)
    for word in (A, B):
        assert desk(machines, "rollback", word).returncode == 0

    assert syntax.returncode == 0, syntax.stderr
    assert dry.returncode == 0, dry.stdout
    assert {each["changed"] for each in _recap(dry.stdout).values()} == {"1"}
    assert differences(before, after_dry) == ()
    assert first.returncode == 0, first.stdout
    assert {each["changed"] for each in _recap(first.stdout).values()} == {"1"}
    assert {each["changed"] for each in _recap(second.stdout).values()} == {"0"}
    assert held == (HELD, HELD)
    assert [[each["state"] for each in told] for told in known] == [["confirmed"], ["confirmed"]]
    assert differences(before, machines.facts()) == ()


HOSTS = {
    "pve1": ("", "root@pve1:22"),
    "pve2": ("ansible_host=192.0.2.2 ansible_port=2222 ansible_user=admin", "admin@192.0.2.2:2222"),
    "pve3": ("ansible_host=2001:db8::1", "root@[2001:db8::1]:22"),
    "pve4": ("ansible_host=[2001:db8::4]", "root@[2001:db8::4]:22"),
    "pve5": ("ansible_host=fe80::1%eth0", "root@[fe80::1%eth0]:22"),
}


def test_every_host_of_an_inventory_is_named_as_nettune_reads_it(tmp_path: Path) -> None:
    """By ansible-core's own templates: a name, an IPv4 and an IPv6 address."""
    files = role(Profile("mine", "published", (ProfileSetting("tso", "off", "path"),)))
    (defaults,) = (text for path, text in files.items() if path.endswith("defaults/main.yml"))
    (tmp_path / "defaults.yml").write_text(defaults, encoding="utf-8")
    (tmp_path / "hosts").write_text(
        "".join(f"{name} {words}\n" for name, (words, _) in HOSTS.items()), encoding="utf-8"
    )
    program = str(Path(sys.executable).with_name("ansible"))
    words = ("all", "-i", str(tmp_path / "hosts"), "-e", f"@{tmp_path / 'defaults.yml'}", "-o", "-f", "1")
    done = run_program(
        ("env", f"ANSIBLE_LOCAL_TEMP={tmp_path}", "LC_ALL=C.UTF-8", program, *words, "-m", "debug", "-a",
         "var=nettune_host")
    )  # fmt: skip
    told = dict(re.findall(r'^(\w+) \| SUCCESS => .*"nettune_host": "(.*)"', done.stdout, re.MULTILINE))

    assert {name: str(Login.parse(each)) for name, each in told.items()} == {
        name: each for name, (_, each) in HOSTS.items()
    }


def test_a_first_host_that_fails_is_the_last(machines: Machines, tmp_path: Path) -> None:
    """The canary has somebody else's change under way: the second machine is not touched."""
    before = machines.facts()
    out = _role(machines, tmp_path, "a", "b")
    other = profile(tmp_path, **{"net.ipv4.tcp_wmem": HELD})
    desk(machines, "apply", other, "--host", A, "--hold", "--confirm-within", "120")
    before_b = changes(machines, B)
    failed = _played(machines, out)
    known = changes(machines, B)
    desk(machines, "rollback", A)

    assert failed.returncode != 0
    assert "another run has changed this host" in failed.stdout
    assert known == before_b
    assert differences(before, machines.facts()) == ()


@pytest.mark.sampled(1)
def test_a_host_whose_controller_dies_puts_itself_back_and_the_next_run_goes_on(
    machines: Machines, tmp_path: Path
) -> None:
    """Between write and confirmation on the second of three: the first stays, the third was not touched; each tells."""
    before = machines.facts()
    out = _role(machines, tmp_path, "a", "b", "node", nettune_confirm_within="12")
    was, there = value(machines.b, RMEM), _at_the_desk(machines)
    job = started(_program(out), prefix(machines))
    waited(lambda: value(machines.b, RMEM) == HELD, 120)
    _ended(machines, job, there)
    took_s = waited(lambda: value(machines.b, RMEM) == was, 25)
    waited(lambda: changes(machines, B)[-1]["state"] == "put itself back", 10)
    told = [[each["state"] for each in changes(machines, word)] for word in (A, B, NODE)]
    b_as_before = differences({"b": before["b"]}, machines.facts("b"))
    again = _played(machines, out)
    now = [changes(machines, word)[-1]["state"] for word in (A, B, NODE)]
    for word, allow in ((A, ()), (B, ()), (NODE, ("--allow", "guests"))):
        back = desk(machines, "rollback", word, *allow)
        assert back.returncode == 0, back.stderr

    assert took_s < 17
    assert told[0][-1:] + told[1][-1:] == ["confirmed", "put itself back"]
    assert told[2] == []
    assert b_as_before == ()
    assert again.returncode == 0, again.stdout
    assert {host: each["changed"] for host, each in _recap(again.stdout).items()} == {"a": "0", "b": "1", "node": "1"}
    assert now == ["confirmed", "confirmed", "confirmed"]
    assert differences(before, machines.facts()) == ()


@pytest.mark.sampled(1)
def test_a_setting_that_cuts_off_one_host_is_put_back_there_and_ends_the_roll_out(
    machines: Machines, tmp_path: Path
) -> None:
    """MTU 9000 on the device of SSH: on the way to the second nobody carries it, which only full packets show."""
    off = "for each in br0 mgmt0 port-a port-b; do ethtool -K $each tso off gso off 2>/dev/null; done"
    for host in (machines.a, machines.b, machines.desk):
        host.run(Command(("sh", "-c", f"{off}; true"))).require()
    wide = "ip link set br0 mtu 9000 && ip link set port-a mtu 9000"
    machines.desk.run(Command(("sh", "-c", wide))).require()
    out = _role(machines, tmp_path, "a", "b", "node", settings={"mtu": "9000"}, nettune_devices="['mgmt0']",
                nettune_allow="['ssh']", nettune_confirm_within="12")  # fmt: skip
    before, untouched = machines.facts(), len(changes(machines, NODE))
    failed = _played(machines, out)
    waited(lambda: mtu(machines.b, "mgmt0") == 1500, 25)
    held = mtu(machines.a, "mgmt0")
    told = [changes(machines, word)[-1]["state"] for word in (A, B)]
    back = desk(machines, "rollback", A, "--allow", "ssh")
    recap = _recap(failed.stdout)

    assert failed.returncode != 0
    assert re.search("new connection|put itself back", failed.stdout), failed.stdout
    assert (recap["a"]["changed"], recap["b"]["failed"], "node" in recap) == ("1", "1", False), failed.stdout
    assert (held, told) == (9000, ["confirmed", "put itself back"])
    assert len(changes(machines, NODE)) == untouched
    assert back.returncode == 0, back.stderr
    assert differences(before, machines.facts()) == ()
