"""A node over SSH without guests: what stands on it, what removes that, and what is never touched."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.hosts import ssh_connection
from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local
from bench.labs import capability, remote_node, site
from bench.labs import lease as leases
from bench.labs.caretaking import Standing
from results.errors import NotAble
from tests.netns import sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    """A node with a cache of its own."""
    sshd.skip_where_it_cannot_run()
    with sshd.namespace() as inside, sshd.serving(inside, tmp_path_factory.mktemp("node")) as standing:
        inside.run(Command(("mkdir", "-p", "/var/cache/nettune"))).require()
        inside.run(Command(("mount", "-t", "tmpfs", "none", "/var/cache/nettune"))).require()
        yield standing


@pytest.fixture
def node(server: sshd.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[site.Site]:
    """Over a connection of the test's own."""
    monkeypatch.setattr(ssh_connection, "straight", server.host.dial)
    with site.opened(server.login) as opened:
        yield opened


def _there(server: sshd.Server) -> list[str]:
    listing = "ip netns list; ls -d /run/nettune-* 2>/dev/null || :"
    return server.host.run(Command(("sh", "-c", listing))).stdout.split()


def _wait_until_empty(server: sshd.Server, within_s: float = 10.0) -> list[str]:
    by = time.monotonic() + within_s
    while (left := [each for each in _there(server) if "nt-kept" not in each]) and time.monotonic() < by:
        time.sleep(0.05)
    return left


def test_rooms_stand_with_a_folder_for_root_alone_and_go(server: sshd.Server, node: site.Site, tmp_path: Path) -> None:
    """On disk here before they are there; a stranger's namespace stays."""
    server.host.run(Command(("ip", "netns", "add", "nt-kept"))).require()
    with leases.held(tmp_path) as lease:
        with node.rooms(lease, ("node", "far")) as found:
            (tmp_path / lease.lease_id).mkdir()
            (tmp_path / lease.lease_id / "a.seed").write_bytes(b"key")
            given = node.given(tmp_path / lease.lease_id / "a.seed")
            mode = node.host.run(Command(("stat", "-c", "%a", str(given.parent)))).stdout
            content = node.host.run(Command(("cat", str(given)))).stdout
            noted = leases.read_lines(tmp_path / f"{lease.lease_id}.jsonl")
            stood = _there(server)
            netns = [each.netns for each in found.values()]
        after = _there(server)
    server.host.run(Command(("ip", "netns", "delete", "nt-kept"))).require()

    assert (mode, content) == ("700\n", "key")
    assert Standing.from_noted(str(noted[1]["name"])).namespaces == {"node": netns[0], "far": netns[1]}
    assert set(stood) == {"nt-kept", *netns, str(given.parent)}
    assert after == ["nt-kept"]
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_cut_connection_removes_them_with_what_runs_inside(
    server: sshd.Server, node: site.Site, tmp_path: Path
) -> None:
    """A process that ignores signals and lost its parent too; the error is the cut, and the lease is not needed."""
    stubborn = "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; echo $$; sleep 321' & wait"
    sessions = server.sessions()
    said: list[str] = []

    def cut() -> None:
        with (
            leases.held(tmp_path) as lease,
            node.rooms(lease, ("node",)) as found,
            found["node"].start(Command(("sh", "-c", stubborn), deadline_s=300)) as job,
        ):
            while not job.output():
                time.sleep(0.01)
            said.append(job.output().strip())
            for pid in sessions:
                os.kill(pid, signal.SIGKILL)
            job.wait()

    with pytest.raises(HostFault, match="on node: the SSH connection was lost"):
        cut()
    left = _wait_until_empty(server)
    by = time.monotonic() + 10.0
    while Path(f"/proc/{said[0]}").exists() and time.monotonic() < by:  # until it is reaped
        time.sleep(0.01)

    assert left == []
    assert not Path(f"/proc/{said[0]}").exists()


def test_what_a_dead_run_left_is_removed_by_its_lease(server: sshd.Server, node: site.Site, tmp_path: Path) -> None:
    """And the words say what it was and where; a second time there is nothing."""
    standing = Standing(server.login, "0123abcd", ("node",))
    netns = standing.namespaces["node"]
    for argv in (("mkdir", standing.folder), ("ip", "netns", "add", netns)):
        node.host.run(Command(argv)).require()
    told = remote_node.remove(standing.noted())

    assert told == f"{netns}, {standing.folder} on root@127.0.0.1:{sshd.PORT}"
    assert remote_node.remove(standing.noted()) == ""
    assert _there(server) == []


def test_what_the_kernel_can_do_is_asked_there(server: sshd.Server, node: site.Site, tmp_path: Path) -> None:
    """The same kernel gives the same answers; nothing of the trying is left."""
    names = ("veth", "bridge", "tun")
    there = capability.answers(node.host, tmp_path, names, site=node)
    here = capability.answers(Local(), tmp_path, names)

    assert there == here
    assert _wait_until_empty(server) == []


def test_a_file_that_is_cut_short_is_no_file(server: sshd.Server, node: site.Site, tmp_path: Path) -> None:
    """Whole or not at all, under the digest of its content; what is there is not sent again."""
    (tmp_path / "image").write_bytes(bytes(range(256)) * 40_000)

    class StopError(Exception):
        """In the middle."""

    def stop(_: int) -> None:
        raise StopError

    assert isinstance(node, remote_node.RemoteNode)
    node.host.run(Command(("mkdir", "-p", remote_node.CACHE))).require()
    with pytest.raises(StopError):
        node.host.put(tmp_path / "image", f"{remote_node.CACHE}/x.part-1", sent=stop)
    time.sleep(0.5)
    cut = server.host.run(Command(("ls", remote_node.CACHE))).stdout.split()
    said: list[str] = []
    paths = [node._kept(tmp_path / "image", said.append) for _ in range(2)]
    whole = server.host.run(Command(("ls", remote_node.CACHE))).stdout.split()

    assert cut == []
    assert whole == [paths[0].name]
    assert paths[0] == paths[1]
    assert said == ["copying 10 MB of the guests' image to 127.0.0.1"]


def test_a_user_with_sudo_stands_what_root_does(
    server: sshd.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port inside is reached too; without sudo it is told what a node needs."""
    if shutil.which("sudo", path="/usr/bin") is None:
        pytest.skip("not installed: sudo")
    monkeypatch.setattr(ssh_connection, "straight", server.host.dial)
    login = sshd.ordinary(server, tmp_path)
    sshd.sudoers(server, tmp_path, "nt-test ALL=(ALL) NOPASSWD: ALL\n")
    listening = Command(
        ("python3", "-c", "import socket as s; s.create_server(('127.0.0.1', 77)).accept()[0].send(b'x')")
    )
    with site.opened(login) as node, leases.held(tmp_path) as lease, node.rooms(lease, ("node",)) as found:
        node.check()
        room = found["node"]
        room.run(Command(("ip", "link", "set", "lo", "up"))).require()
        with room.start(listening):
            while not room.run(Command(("ss", "-Hltn", "sport = :77"))).stdout:
                time.sleep(0.05)
            way = room.dial("127.0.0.1", 77)
            said = way.recv(1)
            way.close()
    with site.opened(replace(login, sudo=False)) as node, pytest.raises(NotAble, match="need root") as raised:
        node.check()

    assert said == b"x"
    assert "sudo: on" in raised.value.hint
    assert _wait_until_empty(server) == []
