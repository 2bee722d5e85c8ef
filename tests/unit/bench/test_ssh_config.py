"""What a name is to the operator's own ssh: its real `ssh -G`, over a ~/.ssh/config of ours."""

import os
import shutil
from pathlib import Path

import pytest

from bench.hosts import ssh_config
from bench.hosts.command import Command
from bench.hosts.local import Local
from results.errors import WrongInput

CONFIG = """\
Include more
Host pve1
  HostName 192.0.2.1
  Port 2222
  User admin
  IdentityFile ~/.ssh/lab
  IdentityFile ~/.ssh/none
  UserKnownHostsFile /srv/lab_hosts
  ProxyJump gate,ops@second:33
Host by-command
  ProxyCommand nc %h %p
Host round
  ProxyJump about
Host about
  ProxyJump round
"""
MORE = "Host gate\n  HostName 192.0.2.9\n  User keeper\n"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home with that configuration and one key."""
    if shutil.which("ssh") is None and os.environ.get("CI") != "true":
        pytest.skip("not installed: openssh-client")
    own = tmp_path / ".ssh"
    own.mkdir()
    (own / "config").write_text(CONFIG.replace("more", str(own / "more")), encoding="utf-8")
    (own / "more").write_text(MORE, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    return own


def test_a_name_is_what_it_is_to_ssh() -> None:
    """Address, port, user, known hosts and the machines on the way, the nearest one last; no key that is not there."""
    found = ssh_config.login("ssh://pve1")

    assert (str(found), found.keys, found.known_hosts) == ("admin@192.0.2.1:2222", (), Path("/srv/lab_hosts"))
    assert found.jump is not None
    assert str(found.jump) == "ops@second:33"
    assert found.jump.jump is not None
    assert str(found.jump.jump) == "keeper@192.0.2.9:22"
    assert found.jump.jump.jump is None
    assert not found.sudo


def test_what_is_said_wins() -> None:
    """User and port of the text; of a name that ssh knows nothing of the user is root."""
    assert str(ssh_config.login("ssh://root@pve1:22")) == "root@192.0.2.1:22"
    assert str(ssh_config.login("ssh://other")) == "root@other:22"
    assert str(ssh_config.login("ssh://root@[2001:db8::1]:33")) == "root@[2001:db8::1]:33"
    assert ssh_config.login("ssh://other").keys == ()


@pytest.mark.parametrize("words", ["", "secret"])
def test_a_key_that_is_named_is_used_unless_a_passphrase_locks_it(home: Path, words: str) -> None:
    """Of that one the agent knows more."""
    path = home / "lab"
    Local().run(Command(("ssh-keygen", "-q", "-t", "ed25519", "-N", words, "-f", str(path)))).require()

    assert ssh_config.login("ssh://pve1").keys == (() if words else (path,))


def test_with_sudo_the_user_is_the_one_of_ssh() -> None:
    """Root would need none."""
    found = ssh_config.login("ssh://pve1", sudo=True)

    assert (found.user, found.sudo) == ("admin", True)


@pytest.mark.parametrize(("name", "said"), [("by-command", "ProxyCommand"), ("round", "more than 8 machines")])
def test_a_way_that_only_ssh_can_take_is_refused(name: str, said: str) -> None:
    """By what is meant, and what to use instead."""
    with pytest.raises(WrongInput, match=said):
        ssh_config.login(f"ssh://{name}")


def test_without_a_configuration_a_name_is_itself(home: Path) -> None:
    """Also where ssh asks passwd(5) for another home."""
    (home / "config").unlink()

    assert str(ssh_config.login("ssh://pve1")) == "root@pve1:22"
