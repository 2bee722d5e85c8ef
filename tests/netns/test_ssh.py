"""What only a real sshd can show: keys that are refused, connections that are cut, and that nothing of ours runs on."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.hosts import ssh_connection
from bench.hosts.command import Command, HostFault, Unreachable
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.hosts.namespace import Namespace
from bench.hosts.ssh import Ssh, connected
from tests.netns import sshd

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inside() -> Iterator[Namespace]:
    """One namespace for all."""
    sshd.skip_where_it_cannot_run()
    with sshd.namespace() as host:
        yield host


@pytest.fixture(scope="module")
def server(inside: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    """One sshd for all that do not need another configuration."""
    with sshd.serving(inside, tmp_path_factory.mktemp("sshd")) as standing:
        yield standing


@pytest.fixture
def host(server: sshd.Server) -> Iterator[Ssh]:
    """A connection of the test's own."""
    with connected("pve1", server.login, dial=server.host.dial) as made:
        yield made


def _refusal(server: sshd.Server, login: Login) -> HostFault:
    with pytest.raises(HostFault) as raised, connected("pve1", login, dial=server.host.dial):
        pass
    return raised.value


def _gone(pid: int, *, within_s: float = 5.0) -> bool:
    by = time.monotonic() + within_s
    while time.monotonic() < by:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
                continue
        return True
    return False


def _cut(server: sshd.Server, before: set[int]) -> None:
    for pid in server.sessions() - before:
        os.kill(pid, signal.SIGKILL)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _fingerprint(path: Path) -> str:
    """As ssh-keygen shows it."""
    return Local().run(Command(("ssh-keygen", "-lf", str(path)))).require().stdout.split()[1]


# -- host keys ---------------------------------------------------------------------------------------------------------
def test_a_host_key_in_known_hosts_is_accepted_plain_and_hashed(server: sshd.Server) -> None:
    """What ssh-keygen and ssh itself write is read."""
    login = server.by_known_hosts(f"[127.0.0.1]:{sshd.PORT} {server.login.pinned}")
    Local().run(Command(("ssh-keygen", "-q", "-H", "-f", str(login.known_hosts)))).require()
    hashed = login.known_hosts.read_text(encoding="utf-8") if login.known_hosts else ""
    with connected("pve1", login, dial=server.host.dial) as made:
        outcome = made.run(Command(("echo", "in")))

    assert hashed.startswith("|1|")
    assert outcome.stdout == "in\n"


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "known_hosts"])
def test_another_host_key_is_refused_with_both_fingerprints(server: sshd.Server, tmp_path: Path, pinned: bool) -> None:
    """The error names host, the key offered, the key expected, and what to do; nothing was logged in to."""
    other = sshd.make_key(tmp_path / "other").with_suffix(".pub")
    key = other.read_text(encoding="utf-8")
    login = replace(server.login, pinned=key)
    if not pinned:
        login = server.by_known_hosts(f"[127.0.0.1]:{sshd.PORT} {key}")
    error = _refusal(server, login)

    assert not isinstance(error, Unreachable)
    assert f"pve1 (root@127.0.0.1:{sshd.PORT}) offers the host key ssh-ed25519" in str(error)
    assert _fingerprint(server.folder / "host.pub") in str(error)
    assert f"expected is ssh-ed25519 {_fingerprint(other)}" in str(error)
    assert "another machine answers there" in error.hint


def test_an_unknown_host_is_refused(server: sshd.Server) -> None:
    """No first use is trusted; the error says which file was read and the fingerprint to compare."""
    error = _refusal(server, server.by_known_hosts(f"127.0.0.1 {server.login.pinned}"))  # port 22 is another machine

    assert f"no key of [127.0.0.1]:{sshd.PORT} is in {server.folder / 'known_hosts'}" in str(error)
    assert _fingerprint(server.folder / "host.pub") in str(error)
    assert "ssh-keyscan" in error.hint


def test_a_revoked_host_key_is_refused_though_it_is_listed(server: sshd.Server) -> None:
    """@revoked wins over the same key accepted."""
    name = f"[127.0.0.1]:{sshd.PORT}"
    error = _refusal(server, server.by_known_hosts(f"{name} {server.login.pinned}@revoked * {server.login.pinned}"))

    assert "which is revoked in" in str(error)


# -- who does not answer, who refuses ----------------------------------------------------------------------------------
def test_a_port_without_sshd_is_unreachable(server: sshd.Server) -> None:
    """The error names host, address, port and the kernel's word."""
    error = _refusal(server, replace(server.login, port=2))

    assert isinstance(error, Unreachable)
    assert str(error) == "pve1 (root@127.0.0.1:2) cannot be reached: Connection refused"


def test_a_server_that_hangs_before_its_banner_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest whose port is forwarded takes the connection before its sshd is up; the error says how long it took."""
    monkeypatch.setattr(ssh_connection, "CONNECT_S", 0.3)
    near, far = socket.socketpair()
    with (
        far,
        pytest.raises(Unreachable, match=r"took the connection and spoke no SSH within 0\.[3-9] s"),
        connected("guest", Login("10.0.0.1", pinned="ssh-ed25519 AAAA"), dial=lambda _address, _port: near),
    ):
        pass


def test_a_refused_key_is_named_by_its_fingerprint(server: sshd.Server, tmp_path: Path) -> None:
    """The error says which key was offered, as whom, and what the server asks for."""
    key = sshd.make_key(tmp_path / "stranger")
    error = _refusal(server, replace(server.login, keys=(key,)))

    assert f"refuses the login with {_fingerprint(key.with_suffix('.pub'))}" in str(error)
    assert "authorized_keys" in error.hint


def test_a_shell_that_says_no_is_shown_with_its_words(inside: Namespace, tmp_path: Path) -> None:
    """Nologin, a forced command: what it said stands in the error."""
    with sshd.serving(
        inside, tmp_path / "s", port=2301, config="ForceCommand echo not for you >&2; exit 1\n"
    ) as server:
        error = _refusal(server, server.login)

    assert "on pve1: the login shell is refused: not for you" in str(error)


def test_what_a_login_shell_prints_first_is_in_no_output(inside: Namespace, tmp_path: Path) -> None:
    """A chatty rc file: neither an Outcome nor a file that was fetched holds its words."""
    config = 'ForceCommand echo chatter; echo chatter >&2; eval "$SSH_ORIGINAL_COMMAND"\n'
    with (
        sshd.serving(inside, tmp_path / "s", port=2302, config=config) as server,
        connected("pve1", server.login, dial=inside.dial) as host,
    ):
        outcome = host.run(Command(("sh", "-c", "echo out; echo err >&2")))
        host.put(b"content", str(tmp_path / "file"))
        got = host.get(str(tmp_path / "file"))

    assert (outcome.stdout, outcome.stderr, got) == ("out\n", "err\n", b"content")


# -- ways in -----------------------------------------------------------------------------------------------------------
def test_a_jump_host_is_on_the_way(server: sshd.Server, tmp_path: Path) -> None:
    """Only the jump host is dialled; the target sees a connection, has its own key, and losing the jump is noticed."""
    dialled = []

    def dial(address: str, port: int) -> socket.socket:
        dialled.append(port)
        return server.host.dial(address, port)

    threads = set(threading.enumerate())
    with sshd.serving(server.host, tmp_path / "target", port=2303) as target:
        before = server.sessions()
        with connected("guest", replace(target.login, jump=server.login), dial=dial) as host:
            outcome = host.run(Command(("echo", "there")))
            with host.start(Command(("sleep", "321"), deadline_s=60)) as job:
                _cut(server, before)
                with pytest.raises(Unreachable):
                    job.wait()
            again = host.run(Command(("echo", "again")))

    assert (outcome.stdout, again.stdout) == ("there\n", "again\n")
    assert dialled == [sshd.PORT, sshd.PORT]
    assert set(threading.enumerate()) == threads


def test_a_jump_host_that_cannot_reach_the_target_says_so(server: sshd.Server) -> None:
    """The error names the jump host and its answer."""
    error = _refusal(server, replace(server.login, port=2, jump=server.login))

    assert isinstance(error, Unreachable)
    assert f"pve1's jump host (root@127.0.0.1:{sshd.PORT}) refuses a way to 127.0.0.1 port 2: " in str(error)


def test_more_commands_at_once_than_sshd_allows_sessions(host: Ssh) -> None:
    """The eleventh (MaxSessions is 10) has a connection of its own."""
    with contextlib.ExitStack() as stack:
        jobs = [stack.enter_context(host.start(Command(("sh", "-c", f"sleep 0.2; echo {n}")))) for n in range(13)]
        said = [job.wait().stdout for job in jobs]

    assert [f"{n}\n" for n in range(13)] == said


def test_leaving_the_context_leaves_neither_threads_nor_files(server: sshd.Server) -> None:
    """Also where a command was still on its way."""
    threads, files = set(threading.enumerate()), _descriptors()
    with connected("pve1", server.login, dial=server.host.dial) as host:
        job = host.start(Command(("sh", "-c", "echo $$; exec sleep 321")))
        while not job.output():
            time.sleep(0.001)
    pid = int(job.output())

    assert (set(threading.enumerate()), _descriptors()) == (threads, files)
    assert _gone(pid)


# -- what is lost ------------------------------------------------------------------------------------------------------
def test_a_connection_cut_in_mid_command_is_unreachable_and_the_next_run_has_a_new_one(server: sshd.Server) -> None:
    """The command ends with its connection; the one after it finds the host again."""
    before = server.sessions()
    with connected("pve1", server.login, dial=server.host.dial) as host:
        with host.start(Command(("sh", "-c", "echo $$; exec sleep 321"), deadline_s=300)) as job:
            while not job.output():
                time.sleep(0.001)
            pid = int(job.output())
            _cut(server, before)
            with pytest.raises(Unreachable, match="on pve1: the SSH connection was lost while `sh -c"):
                job.wait()
        gone = _gone(pid)
        after = host.run(Command(("echo", "after")))

    assert gone
    assert after.stdout == "after\n"


def test_a_path_that_falls_silent_is_unreachable(inside: Namespace, tmp_path: Path) -> None:
    """No end and no reset arrives, as when a cable is pulled: keep-alive notices here, and sshd's own over there."""
    config = "ClientAliveInterval 1\nClientAliveCountMax 3\n"
    with (
        sshd.serving(inside, tmp_path / "s", port=2305, config=config) as server,
        connected("pve1", server.login, dial=inside.dial) as host,
    ):
        with host.start(Command(("sh", "-c", "echo $$; exec sleep 321"), deadline_s=300)) as job:
            while not job.output():
                time.sleep(0.001)
            pid = int(job.output())
            inside.run(Command(("ip", "link", "set", "lo", "down"))).require()
            try:
                with pytest.raises(Unreachable, match="was lost"):
                    job.wait(60.0)
                gone = _gone(pid, within_s=30.0)
            finally:
                inside.run(Command(("ip", "link", "set", "lo", "up"))).require()
        after = host.run(Command(("echo", "after")))

    assert gone
    assert after.stdout == "after\n"


def test_a_host_that_stays_away_is_unreachable_and_no_command_hangs(inside: Namespace, tmp_path: Path) -> None:
    """Every further run tries once."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(sshd.serving(inside, tmp_path / "s", port=2304))
        with connected("pve1", server.login, dial=inside.dial) as host:
            sessions = server.sessions()
            server.process.stop()
            for pid in sessions:
                os.kill(pid, signal.SIGKILL)
            for _ in range(2):
                with pytest.raises(Unreachable, match=r"lost|cannot be reached: Connection refused"):
                    host.run(Command(("true",)))


def test_a_killed_nettune_leaves_no_command_behind(server: sshd.Server) -> None:
    """SIGKILL of the client: what it had started over SSH ends, group and all, though it ignores SIGTERM."""
    script = "(trap '' TERM; sleep 321 & echo $!; wait) & (trap '' TERM; echo $$; sleep 321; sleep 321)"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom bench.hosts.command import Command\n"
        "from bench.hosts.ssh import Login, connected\n"
        f"login = Login('127.0.0.1', {sshd.PORT}, keys=(Path({str(server.folder / 'user')!r}),), "
        f"pinned={server.login.pinned!r})\n"
        "command = Command(('sh', '-c', sys.argv[1]), deadline_s=300)\n"
        "with connected('pve1', login) as host, host.start(command) as job:\n"
        "    while job.output().count('\\n') < 2: time.sleep(0.01)\n"
        "    print(job.output(), flush=True)\n    time.sleep(300)\n"
    )
    client = Command(
        ("env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-c", program, script),
        deadline_s=300,
    )
    with server.host.start(client) as job:
        while job.output().count("\n") < 2:
            assert not job.finished(), job.stop().stderr
            time.sleep(0.01)
        pids = [int(word) for word in job.output().split()]
        running = [Path(f"/proc/{pid}").exists() for pid in pids]
        os.kill(job.pid, signal.SIGKILL)  # type: ignore[attr-defined]  # a Process: this host is local
        gone = [_gone(pid) for pid in pids]

    assert running == [True, True]
    assert gone == [True, True]


# -- what passes through -----------------------------------------------------------------------------------------------
def test_standard_input_is_byte_for_byte(host: Ssh) -> None:
    """NUL, backslashes, percent signs, no newline at the end, a megabyte of it."""
    text = "\0one\\n\\0101 %s\x01\x7f€\r\n'\"$(id)`id`\\" * 40_000
    count = host.run(Command(("cksum",), stdin=text))
    here = Local().run(Command(("cksum",), stdin=text))

    assert count.stdout == here.stdout


def test_a_secret_is_in_no_arguments(host: Ssh) -> None:
    """Nobody reads it in ps, on either machine."""
    script = "cat >/dev/null; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    secret = secrets.token_hex(16)
    outcome = host.run(Command(("sh", "-c", script), stdin=secret, secrets=(secret,)))

    assert "sshd" in outcome.stdout
    assert secret not in outcome.stdout


@pytest.mark.parametrize("name", ["plain", 'it\'s $x `id` "q"', "-rf", "new\nline", "ü €", "*", "\\0 %s", " "])
def test_files_go_there_and_back_whole_under_any_name(host: Ssh, tmp_path: Path, name: str) -> None:
    """A megabyte of every byte; nothing else is left in the folder."""
    content = bytes(range(256)) * 4096
    remote = str(tmp_path / name)
    host.put(content, remote)
    got = host.get(remote)
    (tmp_path / name).unlink()
    host.put(b"", remote)

    assert content == got
    assert host.get(remote) == b""
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_cannot_be_written_or_read_is_named(host: Ssh, tmp_path: Path) -> None:
    """With the words of the far end; what stood there stays."""
    (tmp_path / "file").write_bytes(b"old")
    host.put(tmp_path / "file", str(tmp_path / "copy"))

    with pytest.raises(HostFault, match=r"on pve1: '.*/none/file' cannot be written: .*none/file"):
        host.put(b"x", str(tmp_path / "none" / "file"))
    with pytest.raises(HostFault, match="cannot be written: is a directory"):
        host.put(b"x", str(tmp_path))
    with pytest.raises(HostFault, match=r"cannot be read: .*none"):
        host.get(str(tmp_path / "none"))
    assert (tmp_path / "copy").read_bytes() == b"old"


# -- sudo --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def ordinary(server: sshd.Server, tmp_path: Path) -> Login:
    """A user of that namespace's own /etc/passwd, who may log in by key; its sudoers is the test's to write."""
    if shutil.which("sudo", path="/usr/bin") is None:
        pytest.skip("not installed: sudo")
    return sshd.ordinary(server, tmp_path)


@pytest.mark.parametrize("rule", ["", "nt-test ALL=(ALL) ALL\n", "nt-test ALL=(ALL) NOPASSWD: ALL\n"])
def test_sudo_without_a_password_or_a_clear_refusal(
    server: sshd.Server, ordinary: Login, tmp_path: Path, rule: str
) -> None:
    """Where the rule lacks, sudo's own words stand in the error, and the hint says which rule is needed."""
    sshd.sudoers(server, tmp_path, rule)

    if "NOPASSWD" in rule:
        with connected("pve1", ordinary, dial=server.host.dial) as host:
            outcome = host.run(Command(("sh", "-c", "id -u; cat"), stdin="in"))
        assert outcome.stdout == "0\nin"
    else:
        error = _refusal(server, ordinary)
        assert "on pve1: sudo -n is refused: sudo: a password is required" in str(error)
        assert "NOPASSWD" in error.hint


# -- the way out of a namespace ----------------------------------------------------------------------------------------
def test_dialling_from_a_namespace_moves_nobody_else(inside: Namespace, server: sshd.Server) -> None:
    """The connection is made inside; this thread stays where it was, and a refusal is an OSError."""
    before = Path("/proc/thread-self/ns/net").readlink()
    with inside.dial("127.0.0.1", sshd.PORT) as sock:
        banner = sock.recv(8)
    with pytest.raises(ConnectionRefusedError):
        inside.dial("127.0.0.1", 2)

    assert banner == b"SSH-2.0-"
    assert Path("/proc/thread-self/ns/net").readlink() == before
