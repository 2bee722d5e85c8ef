"""A lab on a node over SSH: OpenSSH's sshd in a namespace that shares this machine's kernel, with a cache of its own.

What is left there is looked for by a word in the environment of everything that its sshd starts.
"""

import contextlib
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench import carryover
from bench.facts import counters
from bench.facts.sheet import differences
from bench.hosts import ssh_connection
from bench.hosts.command import Command, HostFault, Unreachable
from bench.hosts.host import Host, Running
from bench.hosts.local import Local, Process
from bench.hosts.namespace import Namespace
from bench.hosts.remote_namespace import RemoteNamespace
from bench.labs import caretaking, qemu, remote_node
from bench.labs.guests import Guests
from bench.labs.kit import Kit, prepared
from bench.labs.lab import Lab
from bench.labs.lease import Reaped
from bench.labs.provider import Qemu
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair
from bench.trust import path_was_taken
from nettune import wiring
from nettune.places import Places, places
from results.errors import NotAble
from tests.netns import sshd
from tests.netns.nettune_command import PROGRAM
from tests.vm.kit import leases

SMALL = Guests(memory_mb=384)
GONE_S = 15.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Node:
    """The machine behind sshd."""

    server: sshd.Server
    guests: Guests
    mark: bytes  # in the environment of every process that a session of it started

    @property
    def inside(self) -> Namespace:
        """A way to it that is not the one under test."""
        return self.server.host

    def left(self) -> list[str]:
        """Namespaces, folders and processes of labs on it."""
        names = self.inside.run(Command(("ip", "netns", "list"))).require().stdout.splitlines()
        folders = self.inside.run(Command(("sh", "-c", "ls -d /run/nettune-* 2>/dev/null || :"))).stdout.split()
        found = [*(name.split()[0] for name in names), *folders]
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark in (each / "environ").read_bytes():
                    line = (each / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                    found.append(f"{each.name}: {line[:80]}")
        return found

    def gone(self, within_s: float = GONE_S) -> list[str]:
        """What is still there after that time, at most."""
        by = time.monotonic() + within_s
        while (left := self.left()) and time.monotonic() < by:
            time.sleep(0.2)
        return left


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An sshd in a namespace whose cache is empty, and the way to it."""
    sshd.skip_where_it_cannot_run()
    mark = f"NT_TEST_NODE={secrets.token_hex(8)}"
    with (
        sshd.namespace() as inside,
        sshd.serving(inside, tmp_path_factory.mktemp("node"), config=f"SetEnv {mark}\n") as server,
    ):
        cache = str(places().cache)
        Path(cache).mkdir(parents=True, exist_ok=True)
        inside.run(Command(("mkdir", "/run/cache-here"))).require()
        inside.run(Command(("mount", "--bind", cache, "/run/cache-here"))).require()
        inside.run(Command(("mkdir", "-p", "/var/cache/nettune"))).require()
        inside.run(Command(("mount", "-t", "tmpfs", "none", "/var/cache/nettune"))).require()
        yield Node(server, replace(SMALL, node=server.login), mark.encode())


@pytest.fixture(autouse=True)
def _way(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_connection, "straight", node.inside.dial)


@pytest.fixture(scope="module")
def kit(node: Node) -> Kit:
    """What guests are made of there, the image copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssh_connection, "straight", node.inside.dial)
        return prepared(node.guests, cache=places().cache, local=Local(), say=print)


def test_a_bridge_of_two_guests_there(node: Node, kit: Kit, tmp_path: Path) -> None:
    """A trial over the devices of the path; the node's kernel is counted once; nothing is left on it."""
    provider = Qemu(kit)
    with qemu.standing(Topology("bridge"), kit, leases_folder=leases(tmp_path)) as lab:
        facts = lab.read()
        before = counters.read(lab.counted)
        pair = Pair(lab.a, lab.b, 20001, 30001, lab.reached(lab.a, lab.b))
        measured = Tcp("tcp", 2.0, 0.5, 1, "forward", "", 0).measure(pair)
        after = counters.read(lab.counted)
        clean = carryover.neutralise(lab)
        path_was_taken(lab.between(lab.a, lab.b), measured, before, after)
        again = lab.read()
        kernels, machine = lab.own_kernels, provider.machine(lab, Local())
        room = lab.nodes[0]

    assert clean
    assert differences(facts, again) == ()
    assert isinstance(room, RemoteNamespace)
    assert kernels == (room, lab.a.host, lab.b.host)
    assert machine is room
    assert node.gone() == []
    assert not list(leases(tmp_path).iterdir())


def _links(host: Host) -> str:
    return host.run(Command(("cat", "/sys/class/net/eth0/carrier"))).stdout.strip()


@pytest.mark.sampled(2)
def test_a_cable_between_guests_there_fails_by_their_monitors(kit: Kit, node: Node, tmp_path: Path) -> None:
    """Both lose their carrier and get it back; QEMU's sockets are reached as its ports are."""
    with qemu.standing(Topology("direct"), kit, leases_folder=leases(tmp_path)) as lab:
        with lab.cables["a", "eth0"].broken("link-down"):
            cut = [_links(end.host) for end in lab.endpoints]
        mended = [_links(end.host) for end in lab.endpoints]
        folder = caretaking.Standing(node.server.login, "", ()).folder
        modes = node.inside.run(Command(("sh", "-c", f"stat -c %a {folder}*"))).stdout.split()

    assert (cut, mended) == (["0", "0"], ["1", "1"])
    assert modes == ["700"]


@pytest.mark.sampled(2)
def test_two_labs_at_once_there_do_not_meet(kit: Kit, node: Node, tmp_path: Path) -> None:
    """Each has its own guest behind the same port, and one that ends takes nothing of the other's along."""
    with qemu.alone(kit, leases_folder=leases(tmp_path / "one")) as first:
        with qemu.alone(kit, leases_folder=leases(tmp_path / "two")) as second:
            for host, word in ((first, "first"), (second, "second")):
                host.run(Command(("tee", "/tmp/who"), stdin=word)).require()  # noqa: S108 - in a guest
            said = [host.run(Command(("cat", "/tmp/who"))).stdout for host in (first, second)]  # noqa: S108
        time.sleep(3.0)  # the second's caretaker has had its turn
        after = first.run(Command(("cat", "/tmp/who"))).stdout  # noqa: S108

    assert said == ["first", "second"]
    assert after == "first"
    assert node.gone() == []


# -- its end, whoever brings it ----------------------------------------------------------------------------------------
PLAN = """\
name: there
lab: {provider: qemu, memory_mb: 384, node: {ssh: "ssh://root@127.0.0.1:%d", keys: [%s], known_hosts: %s}}
topologies: [bridge]
probes: [{kind: tcp, duration_s: 2, warmup_s: 0.5}]
primary: tcp.goodput
blocks: 2
"""


def _controller(node: Node, folder: Path, *words: str) -> Command:
    """Nettune from the command line, in the node's network so that its address leads there."""
    login = node.server.by_known_hosts(f"[127.0.0.1]:{sshd.PORT} {node.server.login.pinned}")
    (folder / "plan.yaml").write_text(PLAN % (login.port, login.keys[0], login.known_hosts), encoding="utf-8")
    environment = (f"NETTUNE_STATE={folder / 'state'}", "NETTUNE_CACHE=/run/cache-here", f"PYTHONPATH={ROOT}")
    return Command(("env", "-C", str(folder), *environment, *PROGRAM, *words), deadline_s=300)


def _stands(node: Node, job: Running) -> None:
    """Both guests run, and the lab answers."""
    while len([line for line in node.left() if ": qemu-system" in line]) < 2:
        assert not job.finished(), job.stop().stderr
        time.sleep(0.2)
    time.sleep(2.0)


def _reaped(folder: Path) -> tuple[Reaped, ...]:
    return wiring.reap(Places(folder / "state", ""))


@pytest.mark.sampled(2)
def test_a_plan_measures_there(node: Node, tmp_path: Path) -> None:
    """From the plan's address to trials that are done; the run is told of the node."""
    done = node.inside.run(_controller(node, tmp_path, "run", "plan.yaml", "--out", "out"))
    (path,) = (tmp_path / "out").rglob("*.json")
    document = json.loads(path.read_text(encoding="utf-8"))

    assert done.returncode == 0, done.stderr
    assert document["machine"]["node"] == f"root@127.0.0.1:{sshd.PORT}"
    assert document["machine"]["kernel"].split()[1] == os.uname().release
    assert node.gone() == []
    assert not list((tmp_path / "state" / "leases").glob("*.jsonl"))


@pytest.mark.sampled(2)
def test_a_killed_controller_leaves_nothing_there(node: Node, tmp_path: Path) -> None:
    """SIGKILL in the middle of a run: the caretaker ends guests, namespaces and folder; the lease is then reaped."""
    with node.inside.start(_controller(node, tmp_path, "run", "plan.yaml")) as job:
        _stands(node, job)
        assert isinstance(job, Process)
        os.kill(job.pid, signal.SIGKILL)
        began = time.monotonic()
        left = node.gone()
        took_s = time.monotonic() - began
    (reaped,) = _reaped(tmp_path)

    assert left == []
    assert took_s < GONE_S
    assert (reaped.problem, [each for each in reaped.removed if "127.0.0.1" in each]) == ("", [])
    assert _reaped(tmp_path) == ()


@pytest.mark.sampled(2)
def test_reap_ends_what_nobody_took_care_of(node: Node, kit: Kit, tmp_path: Path) -> None:
    """Its caretaker killed too: processes, namespaces and folder of that lease, and of no other."""
    with node.inside.start(_controller(node, tmp_path, "run", "plan.yaml")) as job:
        _stands(node, job)
        for each in node.left():
            pid, _, line = each.partition(": ")
            if line.startswith("sh -c remove="):
                os.kill(int(pid), signal.SIGKILL)
        assert isinstance(job, Process)
        os.kill(job.pid, signal.SIGKILL)
    time.sleep(4.0)
    before = node.left()
    with qemu.alone(kit, leases_folder=leases(tmp_path / "other")) as other:
        (reaped,) = _reaped(tmp_path)
        said = other.run(Command(("echo", "here"))).stdout

    assert any(each.startswith("nt-") for each in before)
    assert any(each.startswith("/run/nettune-") for each in before)
    assert reaped.problem == ""
    assert any(f"on root@127.0.0.1:{sshd.PORT}" in each for each in reaped.removed)
    assert said == "here\n"
    assert node.gone() == []


def _stood(kit: Kit, folder: Path, act: Callable[[Lab], object]) -> None:
    with qemu.standing(Topology("bridge"), kit, leases_folder=leases(folder)) as lab:
        act(lab)


@pytest.mark.sampled(2)
def test_a_lost_connection_ends_everything_there_and_is_told(node: Node, kit: Kit, tmp_path: Path) -> None:
    """Cut while the lab stands: the error names the node, nothing is left on it, and no lease here."""

    def cut(lab: Lab) -> None:
        for pid in node.server.sessions():
            os.kill(pid, signal.SIGKILL)
        lab.a.host.run(Command(("true",)))

    with pytest.raises(Unreachable, match=r"the SSH connection to 127\.0\.0\.1, where it ran, is lost"):
        _stood(kit, tmp_path, cut)

    assert node.gone() == []
    assert not list(leases(tmp_path).iterdir())


DROP = "".join(
    f"table inet nt-silent {{ chain {word} {{ type filter hook input priority 0; tcp {word} {sshd.PORT} drop; }}; }}\n"
    for word in ("sport", "dport")
)


@pytest.mark.sampled(2)
def test_a_path_that_falls_silent_ends_everything_there(
    node: Node, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No packet says that we are gone: the node's caretaker hears nothing. The lease stays until we get there again."""
    monkeypatch.setattr(caretaking, "SILENT_S", 6)
    found: list[tuple[float, list[str]]] = []

    def silence(lab: Lab) -> None:
        node.inside.run(Command(("nft", "-f", "-"), stdin=DROP)).require()
        began = time.monotonic()
        left = node.gone(60.0)
        found.append((time.monotonic() - began, left))
        lab.a.host.run(Command(("true",)))

    with pytest.raises(Unreachable):
        _stood(kit, tmp_path, silence)
    kept = list(leases(tmp_path).glob("*.jsonl"))
    node.inside.run(Command(("nft", "delete", "table", "inet", "nt-silent"))).require()
    (reaped,) = _reaped(tmp_path)
    ((took_s, left),) = found

    assert left == []
    assert 6.0 < took_s < 30.0
    assert len(kept) == 1
    assert reaped.problem == ""


# -- what is refused ---------------------------------------------------------------------------------------------------
def test_a_node_that_refuses_us_is_named(node: Node, tmp_path: Path) -> None:
    """With its address, what it refuses, and what to look at."""
    stranger = replace(node.server.login, keys=(sshd.make_key(tmp_path / "other"),))
    with pytest.raises(HostFault, match=r"127\.0\.0\.1 \(root@127\.0\.0\.1:2222\) refuses the login") as raised:
        prepared(replace(SMALL, node=stranger), cache=places().cache, local=Local(), say=print)

    assert "authorized_keys" in raised.value.hint


def test_a_node_that_nobody_answers_on_is_named(node: Node) -> None:
    """The connection is refused."""
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:2\) cannot be reached: Connection refused"):
        prepared(
            replace(SMALL, node=replace(node.server.login, port=2)), cache=places().cache, local=Local(), say=print
        )


def test_what_a_node_lacks_is_named_with_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools and, of those that bridge a port, that none is there."""
    monkeypatch.setattr(remote_node, "_TOOLS", ("ip", "nt-no-such-tool"))
    monkeypatch.setattr(remote_node, "BRIDGES", ("nt-socat", "nt-nc"))
    with pytest.raises(NotAble, match=r"on 127\.0\.0\.1: not installed: nt-no-such-tool, nt-socat or nt-nc") as raised:
        prepared(node.guests, cache=places().cache, local=Local(), say=print)

    assert raised.value.hint.startswith("on 127.0.0.1: apt-get install")


def test_a_damaged_copy_of_the_image_is_sent_again(node: Node, kit: Kit) -> None:
    """Every byte is checked before it is used; what is whole is not sent again."""
    said: list[str] = []
    node.inside.run(Command(("sh", "-c", 'rm -f "$1"; echo broken >"$1"', "sh", str(kit.image.initrd)))).require()
    for _ in range(2):
        prepared(node.guests, cache=places().cache, local=Local(), say=said.append)
    files = node.inside.run(Command(("sh", "-c", "cd /var/cache/nettune/files && sha256sum *"))).require().stdout

    assert [line for line in said if "copying" in line] == ["copying 3 MB of the guests' image to 127.0.0.1"]
    assert all(line.split()[0] == line.split()[1] for line in files.splitlines())
