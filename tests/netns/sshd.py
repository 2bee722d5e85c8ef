"""A real sshd in a throwaway network namespace; its keys, configuration and /run are its own, the machine's untouched.

It ends with its context, by its process. Needs the machine's root: sshd drops to users that a user namespace lacks.
"""

import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.facts.machine import in_user_namespace
from bench.hosts.command import Command
from bench.hosts.local import Local, Process
from bench.hosts.login import Login
from bench.hosts.namespace import Namespace, entered

SSHD = "/usr/sbin/sshd"
PORT = 2222
KEYS_FOR_ALL = "/run/nt-authorized-keys"  # in that namespace alone; pytest's folders are closed to other users
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys {keys_for_all}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Server:
    """Where it stands, how to log in, and its process."""

    host: Namespace
    folder: Path
    process: Process
    login: Login

    def sessions(self) -> set[int]:
        """The processes that serve one connection each."""
        listed = Local().run(Command(("ps", "--no-headers", "-o", "pid", "--ppid", str(self.process.pid)))).stdout
        return {int(word) for word in listed.split()}

    def by_known_hosts(self, text: str) -> Login:
        """A Login that pins nothing and reads this known_hosts."""
        path = self.folder / "known_hosts"
        path.write_text(text, encoding="utf-8")
        return replace(self.login, pinned="", known_hosts=path)


def skip_where_it_cannot_run() -> None:
    """Skip with the reason; under CI=true a missing sshd is a failure."""
    if os.geteuid() != 0 or in_user_namespace(Local()):
        pytest.skip("sshd needs the machine's root")
    if not Path(SSHD).exists() and os.environ.get("CI") != "true":
        pytest.skip("not installed: openssh-server")


def make_key(path: Path) -> Path:
    """A new ed25519 key without a passphrase, unless there is one."""
    if path.exists():
        return path
    Local().run(Command(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)))).require()
    return path


def home(folder: Path, key: Path, known_hosts: str) -> Path:
    """A home folder, made below that one, whose ~/.ssh has this key and knows these hosts."""
    place = folder / "home" / ".ssh"
    place.mkdir(parents=True)
    shutil.copy(key, place / "id_ed25519")
    (place / "known_hosts").write_text(known_hosts, encoding="utf-8")
    return place.parent


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace with its loopback up, and a /run of its own: sshd wants /run/sshd."""
    name = f"nt-test-{secrets.token_hex(4)}"
    Local().run(Command(("ip", "netns", "add", name))).require()
    try:
        with entered("inside", name) as host:
            host.run(Command(("ip", "link", "set", "lo", "up"))).require()
            host.run(Command(("mount", "-t", "tmpfs", "none", "/run"))).require()
            host.run(Command(("mkdir", "/run/sshd"))).require()
            yield host
    finally:
        # A session whose connection was cut hears of nothing any more, and would keep the namespace for good.
        for pid in Local().run(Command(("ip", "netns", "pids", name))).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        Local().run(Command(("ip", "netns", "delete", name))).require()


@contextlib.contextmanager
def serving(host: Namespace, folder: Path, *, port: int = PORT, config: str = "") -> Iterator[Server]:
    """An sshd on 127.0.0.1 inside; `config` goes before ours, the first value counts."""
    folder.mkdir(exist_ok=True)
    make_key(folder / "host")
    shutil.copy(make_key(folder / "user").with_suffix(".pub"), folder / "authorized_keys")
    (folder / "config").write_text(
        config + _CONFIG.format(port=port, folder=folder, keys_for_all=KEYS_FOR_ALL), encoding="utf-8"
    )
    command = Command((SSHD, "-D", "-e", "-f", str(folder / "config")), deadline_s=1e6)
    with host.start(command) as process:
        assert isinstance(process, Process)
        while not host.run(Command(("ss", "-Hltn", f"sport = :{port}"))).stdout:
            assert not process.finished(), process.stop().stderr
            time.sleep(0.01)
        pinned = (folder / "host.pub").read_text(encoding="utf-8")
        yield Server(host, folder, process, Login("127.0.0.1", port, keys=(folder / "user",), pinned=pinned))


def ordinary(server: Server, folder: Path) -> Login:
    """A user of that namespace's own /etc/passwd who may log in by key; `folder` holds what is laid over /etc."""
    run = server.host.run
    for name, more in (("passwd", "nt-test:x:65432:65432::/tmp:/bin/sh\n"), ("shadow", "nt-test:*:19000::::::\n")):
        text = Path("/etc", name).read_text(encoding="utf-8")
        (folder / name).write_text(text + more, encoding="utf-8")
        run(Command(("mount", "--bind", str(folder / name), f"/etc/{name}"))).require()
    keys = (server.folder / "authorized_keys").read_text(encoding="utf-8")
    run(Command(("tee", KEYS_FOR_ALL), stdin=keys)).require()
    return replace(server.login, user="nt-test", sudo=True)


def sudoers(server: Server, folder: Path, rule: str) -> None:
    """What that user may do, in that namespace."""
    (folder / "sudoers").write_text(f"Defaults use_pty\n{rule}", encoding="utf-8")
    (folder / "sudoers").chmod(0o440)
    server.host.run(Command(("mount", "--bind", str(folder / "sudoers"), "/etc/sudoers"))).require()
