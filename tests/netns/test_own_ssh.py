"""A host by the name that it has in ~/.ssh/config, over another machine, by a user who is root through sudo alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from tests.netns import sshd
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, value
from tests.netns.test_apply import HELD, changes, desk, prefix, profile

CONFIG = f"""\
Host hypervisor
  HostName {CONTROL["a"]}
  Port {sshd.PORT}
  User nt-test
  ProxyJump root@{CONTROL["b"]}:{sshd.PORT}
"""
# /etc is a's own.
USER = """\
echo 'nt-test:x:65432:65432::/tmp:/bin/sh' >>/etc/passwd; echo 'nt-test:*:19000::::::' >>/etc/shadow
echo 'nt-test ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers
cat >"$1"
"""


@pytest.fixture
def configured(machines: Machines) -> Iterator[Machines]:
    """The machines; a has an ordinary user, and the desk's user a configuration of ssh. All is as it was afterwards."""
    if shutil.which("sudo", path="/usr/bin") is None:
        pytest.skip("not installed: sudo")
    prefix(machines)
    before, config = machines.facts(), machines.folder / "home" / ".ssh" / "config"
    config.write_text(CONFIG, encoding="utf-8")
    keys = Path(machines.folder, "b", "authorized_keys").read_text(encoding="utf-8")
    keys += Path(machines.folder, "a", "authorized_keys").read_text(encoding="utf-8")
    machines.a.run(Command(("sh", "-c", USER, "sh", sshd.KEYS_FOR_ALL), stdin=keys)).require()
    machines.b.run(Command(("sh", "-c", 'cat >"$1"', "sh", sshd.KEYS_FOR_ALL), stdin=keys)).require()
    yield machines
    config.unlink()
    machines.a.run(
        Command(("sh", "-c", "sed -i /nt-test/d /etc/passwd /etc/shadow /etc/sudoers; rm -rf /var/lib/nettune"))
    )
    assert differences(before, machines.facts()) == ()


def test_a_host_is_reached_as_ssh_reaches_it(configured: Machines, tmp_path: Path) -> None:
    """Applied, kept by the guard of that host, told and taken back; as that user without sudo it says what to write."""
    word, was = "ssh+sudo://hypervisor", value(configured.a, RMEM)
    without = desk(configured, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", "ssh://hypervisor")
    mine = profile(tmp_path, **{RMEM: HELD, "tso": "off"})
    done = desk(configured, "apply", mine, "--host", word, "--device", "eth0", "--disruption", "d3")
    held, known = value(configured.a, RMEM), changes(configured, word)
    back = desk(configured, "rollback", word)

    assert without.returncode == 3
    assert "ssh+sudo://" in without.stderr
    assert done.returncode == 0, done.stderr
    assert "hypervisor: applied and verified, also by a new connection" in done.stdout
    assert (held, known[-1]["state"]) == (HELD, "confirmed")
    assert back.returncode == 0, back.stderr
    assert value(configured.a, RMEM) == was
