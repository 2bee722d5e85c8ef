"""Test VMs are made, and gone again whatever fails; nobody else's is ever touched, however much it looks like ours."""

import contextlib
import re
import signal
import subprocess  # noqa: TID251 - a process that is killed
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bench.labs import lease
from bench.pve import images, shells
from bench.pve.client import Client
from bench.pve.deploying import deployed, reap
from bench.pve.errors import PveFault, Refused, TaskFailed
from bench.pve.wire import Https, Reply
from results.errors import NotAble
from tests.pve.faults import KEY, WAYS, Faulty, Older, wanted
from tests.pve.kit import Double, running

TEMPLATE, IMAGE, ARCHIVE = "9000", "local:import/nettune.qcow2", "local:vztmpl/debian-12.tar.zst"
EVERY = 3  # of the requests, for kinds that differ little
# All that are sent where none fails, to make two guests and to remove them.
REQUESTS = {TEMPLATE: range(1, 30), IMAGE: range(1, 27), ARCHIVE: range(1, 27)}
# How many of those that are killed run at a commit. Cases are dealt by that number: each kind has its own.
KILLED = {TEMPLATE: 5, IMAGE: 3, ARCHIVE: 2}
# What others have: a VM that looks like ours but for the lease, one with half of our words, one with our name.
OTHERS = {
    100: {"description": "made by nettune, lease 00000000", "tags": "nettune;nettune-00000000"},
    102: {"description": "made by nettune, lease", "tags": "nettune"},
    104: {"name": "nettune-a", "description": "somebody's"},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """One for all, with a template, an image, a pool and other people's VMs."""
    with running(tmp_path_factory.mktemp("pve")) as double:
        double.tell("add_vm", 9000, "template", template=True, config={"scsi0": "local-lvm:base-9000-disk-0,size=2G"})
        for vmid, config in OTHERS.items():
            double.tell("add_vm", vmid, config.get("name", f"vm{vmid}"), config=config, status="running")
        double.tell("add_ct", 106, "nettune-b", config={"description": "made by nettune, lease 00000000"})
        double.tell("store", "local", "content", "iso,vztmpl,import")
        names = [source.partition(":")[2] for source in (IMAGE, ARCHIVE)]
        kept = {"size": 1, "ctime": 0, "format": "raw"}
        there = {name: {"content": name.partition("/")[0], **kept} for name in names}
        double.tell("store", "local", "volumes", there)
        double.client().post("/pools", {"poolid": "bench"})
        yield double


def state(double: Double) -> dict[str, Any]:  # Any: JSON
    """All guests, volumes, members of pools, and tasks that run."""
    guests: dict[str, Any] = double.tell("guests")
    pool = double.client().get("/pools", {"poolid": "bench"})
    disks = double.client().get("/nodes/pve1/storage/local-lvm/content")
    tasks = double.client().get("/nodes/pve1/tasks", {"limit": 500})
    runs = [each["upid"] for each in tasks if "endtime" not in each]
    return {"guests": guests, "pool": pool, "disks": disks, "files": double.tell("volumes", "local"), "tasks": runs}


def reaped(double: Double, folder: Path, client: Client | None = None) -> list[str]:
    """`lab reap` with a cluster that answers; what could not be removed."""

    def remove(kind: str, name: str) -> bool:
        if kind in images.KINDS:
            return images.reap(kind, name, lambda _: double.client(), lambda _: shells.opened({}))
        return reap(kind, name, lambda _: client or double.client())

    done = lease.reap(folder, remove)
    return [each.problem for each in done if each.problem]


@pytest.mark.parametrize("source", [TEMPLATE, IMAGE])
def test_vms_are_made_started_and_gone(cluster: Double, tmp_path: Path, source: str) -> None:
    """With what was asked for: net, key, address, lease; the key survives two encodings."""
    before = state(cluster)
    with deployed(cluster.client(), wanted(source), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        there = cluster.tell("guests")
        config = cluster.client().get(f"/nodes/pve1/qemu/{made[0].vmid}/config")
    mine = there[str(made[0].vmid)]

    assert len({each.vmid for each in made}) == 2
    assert mine["status"] == "running"
    assert config["net0"].startswith("virtio")
    assert config["ipconfig0"] == "ip=192.0.2.10/24"
    assert unquote(config["sshkeys"]) == KEY
    assert state(cluster) == before
    assert list(tmp_path.glob("*.jsonl")) == []


@pytest.mark.parametrize("source", [TEMPLATE, IMAGE])
def test_an_option_that_proxmox_ve_7_does_not_know_is_left_out(cluster: Double, tmp_path: Path, source: str) -> None:
    """Its schema refuses `ciupgrade`; what else it refuses stays refused."""
    client = Client(Older(Https(cluster.access())), sleep=lambda _: None)
    with deployed(client, wanted(source), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        config = cluster.client().get(f"/nodes/pve1/qemu/{made[0].vmid}/config")
    wrong = [replace(each, nics=(("virtio,bridge=vmbr0,colour=red", "192.0.2.9/24"),)) for each in wanted(source)]

    assert config["ciuser"] == "root"
    assert "ciupgrade" not in config
    of = deployed(client, wrong, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml")
    with pytest.raises(Refused, match="colour"), of:
        pass


@pytest.mark.parametrize("source", REQUESTS)
def test_faults_reach_every_request(cluster: Double, tmp_path: Path, source: str) -> None:
    """There are as many as fail, one after the other, in the tests below."""
    wire = Faulty(Https(cluster.access()), 0, "")
    client = Client(wire, sleep=lambda _: None)
    with deployed(client, wanted(source), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml", at_once=1):
        pass

    assert wire.sent == REQUESTS[source][-1]


@pytest.mark.sampled(30)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", REQUESTS[TEMPLATE])
def test_nothing_is_left_whichever_request_fails(cluster: Double, tmp_path: Path, at: int, way: str) -> None:
    """Refused, lost, done without an answer; what the block could not remove, reap does; nobody else's is touched."""
    before = state(cluster)
    wire = Faulty(Https(cluster.access()), at, way)
    client = Client(wire, sleep=lambda _: None)
    of = deployed(client, wanted(TEMPLATE), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml", at_once=1)
    with contextlib.suppress(NotAble), of:
        pass
    problems = reaped(cluster, tmp_path)

    assert problems == []
    assert state(cluster) == before
    assert list(tmp_path.glob("*.jsonl")) == []


@pytest.mark.sampled(16)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", REQUESTS[IMAGE][::EVERY])
@pytest.mark.parametrize("source", [IMAGE, ARCHIVE])
def test_nothing_is_left_of_other_kinds(cluster: Double, tmp_path: Path, source: str, at: int, way: str) -> None:
    """VMs of an image, containers of an archive: the same two signs say whose they are."""
    before = state(cluster)
    client = Client(Faulty(Https(cluster.access()), at, way), sleep=lambda _: None)
    of = deployed(client, wanted(source), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml", at_once=1)
    with contextlib.suppress(NotAble), of:
        pass

    assert reaped(cluster, tmp_path) == []
    assert state(cluster) == before


@pytest.mark.sampled(8)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", range(1, 9))
def test_nothing_is_left_of_an_image_that_was_brought(cluster: Double, tmp_path: Path, at: int, way: str) -> None:
    """Whichever request fails: of the upload, its task, the look whether it is there, its removal."""
    before = state(cluster)
    (tmp_path / "nettune.qcow2").write_bytes(b"QFI\xfb" + bytes(70_000))
    client = Client(Faulty(Https(cluster.access()), at, way), sleep=lambda _: None)
    with shells.opened({}) as none:
        of = images.brought(client, none, tmp_path / "nettune.qcow2", "local", ["pve1"], leases_folder=tmp_path,
                            cluster=tmp_path / "pve.yaml")  # fmt: skip
        with contextlib.suppress(NotAble), of as sources:
            assert sources["pve1"].partition(":")[2] in cluster.tell("volumes", "local")

    assert reaped(cluster, tmp_path) == []
    assert state(cluster) == before
    assert list(tmp_path.glob("*.jsonl")) == []


def test_containers_are_made_with_their_key_and_gone(cluster: Double, tmp_path: Path) -> None:
    """Net, address and key in the words of containers."""
    before = state(cluster)
    of = [
        replace(each, nics=(("virtio,bridge=vmbr0,mtu=1400", each.nics[0][1]), *each.nics[1:]))
        for each in wanted(ARCHIVE)
    ]
    with deployed(cluster.client(), of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        mine = cluster.tell("guests")[str(made[0].vmid)]
    net0 = dict(word.partition("=")[::2] for word in mine["config"]["net0"].split(","))

    assert (mine["kind"], mine["status"], mine["ssh-public-keys"]) == ("lxc", "running", KEY)
    assert (net0["name"], net0["ip"], net0["bridge"], net0["mtu"]) == ("eth0", "192.0.2.10/24", "vmbr0", "1400")
    assert net0["hwaddr"]
    assert state(cluster) == before


@pytest.mark.parametrize(
    ("net", "cores", "said", "hint"),
    [
        ("virtio,bridge=vmbr0,mtu=9000", 2, "bigger than the bridge MTU '1500'", "raise that of its ports"),
        ("virtio,bridge=vmbr1,trunks=10;20", 2, "vlan aware feature need to be enabled", "bridge-vlan-aware yes"),
        ("virtio,bridge=vmbr9", 2, "bridge 'vmbr9' does not exist", "/network"),
        ("virtio,bridge=vmbr0", 5, "MAX 4 vcpus allowed per VM on this node", "cores"),
    ],
)
def test_a_start_that_fails_is_told_with_vm_node_and_hint(
    cluster: Double, tmp_path: Path, net: str, cores: int, said: str, hint: str
) -> None:
    """Where the API did not say before what the node has."""
    before = state(cluster)
    of = [replace(each, nics=((net, each.nics[0][1]),), cores=cores) for each in wanted(TEMPLATE)]
    made = deployed(cluster.client(), of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml")
    with pytest.raises(TaskFailed) as caught, made:
        pass

    assert said in str(caught.value)
    assert "start VM" in str(caught.value)
    assert re.search(r"\(nettune-[ab]\) on pve1", str(caught.value))  # whichever failed first
    assert hint in caught.value.hint
    assert state(cluster) == before


@pytest.mark.parametrize(
    ("source", "method", "suffix", "what"),
    [
        (TEMPLATE, "POST", "/clone", "make VM"),
        (TEMPLATE, "PUT", "/config", "make VM"),
        (IMAGE, "POST", "/nodes/pve1/qemu", "make VM"),
        (ARCHIVE, "POST", "/nodes/pve1/lxc", "make container"),
        (TEMPLATE, "POST", "/status/start", "start VM"),
        (TEMPLATE, "POST", "/firewall/rules", "the firewall of VM"),
    ],
)
def test_what_is_refused_at_once_says_for_which_guest_it_was_asked(
    tmp_path: Path, source: str, method: str, suffix: str, what: str
) -> None:
    """Node, guest, call, Proxmox VE's words, and a hint; as a task that fails later does."""
    with running(tmp_path) as double:
        double.tell("add_vm", 9000, "template", template=True, config={"scsi0": "local-lvm:base-9000-disk-0,size=2G"})
        double.tell("add_pool", "bench")
        double.tell("fail", method, suffix, 500, "out of space")
        nics = (("virtio,bridge=vmbr0", "192.0.2.10/24"),)
        of = [replace(each, nics=nics) for each in wanted(source)]
        made = deployed(double.client(), of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml")
        with pytest.raises(PveFault) as caught, made:
            pass

    assert re.match(rf"{what} \d+ \(nettune-[ab]\) on pve1: {method} \S*{suffix}: out of space", str(caught.value))
    assert "another storage" in caught.value.hint


@pytest.mark.parametrize(("source", "kind"), [(TEMPLATE, "qmclone"), (IMAGE, "qmcreate"), (ARCHIVE, "vzcreate")])
def test_warnings_of_the_task_that_makes_a_guest_are_kept(
    cluster: Double, tmp_path: Path, source: str, kind: str
) -> None:
    """As those of its start."""

    class Warned(Faulty):
        """Tasks of that kind ended with a warning."""

        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if f":{kind}:" in path and path.endswith("/status") and reply.data.get("exitstatus") == "OK":
                return Reply({**reply.data, "exitstatus": "WARNINGS: 1"})
            return Reply([{"n": 1, "t": f"WARN: {kind}"}]) if path.endswith("/log") else reply

    of = [replace(each, nics=(("virtio,bridge=vmbr0", each.nics[0][1]),)) for each in wanted(source)]
    client = Client(Warned(Https(cluster.access()), 0, ""), sleep=lambda _: None)
    with deployed(client, of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        notes = [each.notes for each in made]

    assert notes == [(f"WARN: {kind}",)] * 2


def killed(cluster: Double, folder: Path, source: str, at: int, when: str) -> "subprocess.CompletedProcess[str]":
    """A process that makes two guests, and that SIGKILL ends at request `at`."""
    (folder / "fakepve.crt").write_bytes((cluster.folder / "fakepve.crt").read_bytes())
    words = (sys.executable, "-m", "tests.pve.make_two", str(cluster.port), str(folder), str(at), when, source)
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("source", "at"),
    [
        pytest.param(source, at, marks=pytest.mark.sampled(KILLED[source]))
        for source, requests in REQUESTS.items()
        for at in requests
    ],
)
def test_nothing_is_left_of_a_process_that_was_killed(
    cluster: Double, tmp_path: Path, source: str, at: int, when: str
) -> None:
    """SIGKILL at each request; reap finds by its lease what is ours."""
    before = state(cluster)
    done = killed(cluster, tmp_path, source, at, when)
    problems = reaped(cluster, tmp_path / "leases")

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert problems == []
    assert state(cluster) == before


@pytest.fixture
def stalled(cluster: Double) -> Iterator[None]:
    """Guests that are asked for from now on are not made before somebody says so."""
    for key, value in (("time_scale", 1), ("stalled", True)):
        cluster.tell("set", 0, key, value)
    yield
    for key, value in (("time_scale", 0), ("stalled", False)):
        cluster.tell("set", 0, key, value)


@pytest.mark.usefixtures("stalled")
@pytest.mark.parametrize(
    ("source", "at", "lock"), [(TEMPLATE, 3, "clone"), (IMAGE, 2, "create"), (ARCHIVE, 2, "create")]
)
def test_a_guest_that_is_still_being_made_is_waited_for(
    cluster: Double, tmp_path: Path, source: str, at: int, lock: str
) -> None:
    """SIGKILL right after the request that begins it: its task goes on, and nothing but the lock is told of it."""
    before = state(cluster)
    done = killed(cluster, tmp_path, source, at, "after")
    made = {vmid: each["config"] for vmid, each in cluster.tell("guests").items() if vmid not in before["guests"]}
    locked: list[Any] = []

    class Waiting(Faulty):
        """Tells the cluster to go on once the lock was seen twice."""

        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if path.endswith("/config") and "lock" in reply.data:
                locked.append(reply.data["lock"])
                cluster.tell("set", 0, "stalled", len(locked) < 2)
            return reply

    client = Client(Waiting(Https(cluster.access()), 0, ""), sleep=lambda _: None)
    problems = reaped(cluster, tmp_path / "leases", client)

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(made.values()) == [{"lock": lock}]
    assert locked[:2] == [lock, lock]
    assert problems == []
    assert state(cluster) == before
    assert list((tmp_path / "leases").glob("*.jsonl")) == []


def test_an_id_that_somebody_else_takes_meanwhile_is_theirs(cluster: Double, tmp_path: Path) -> None:
    """`nextid` reserves nothing: the next one is asked for, and theirs is not removed."""
    taken = int(cluster.client().get("/cluster/nextid"))

    class Slow(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if path == "/cluster/nextid" and self.sent == 0:
                self.sent = 1
                cluster.tell("add_vm", taken, "theirs")
            return reply

    client = Client(Slow(Https(cluster.access()), 0, ""), sleep=lambda _: None)
    with deployed(client, wanted(TEMPLATE), leases_folder=tmp_path, cluster=tmp_path / "x", at_once=1) as made:
        ids = [each.vmid for each in made]
    left = cluster.tell("guests")
    cluster.client().delete(f"/nodes/pve1/qemu/{taken}")

    assert taken not in ids
    assert left[str(taken)]["name"] == "theirs"


def test_a_guest_of_which_nobody_can_tell_whose_it_is_stays_in_the_lease(cluster: Double, tmp_path: Path) -> None:
    """It is made, "already exists" is all that is said of it, and its node is out of reach when it is asked for."""
    before = state(cluster)

    class Lost(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            if self.sent and path.endswith(f"/{self.at}/config"):
                self.sent -= 1
                raise PveFault(f"{method} {path}", 595, "No route to host")
            reply = self.wire.call(method, path, parameters)
            if method == "POST" and path.endswith("/clone") and not self.at:
                self.at, self.sent = int(parameters["newid"]), 8
                raise PveFault(f"{method} {path}", 500, f"unable to create VM {self.at}: config file already exists")
            return reply

    client = Client(Lost(Https(cluster.access()), 0, ""), sleep=lambda _: None)
    of = deployed(client, wanted(TEMPLATE)[:1], leases_folder=tmp_path, cluster=tmp_path / "pve.yaml")
    with pytest.raises(PveFault, match="No route to host"), of:
        pass

    assert reaped(cluster, tmp_path) == []
    assert state(cluster) == before


def test_an_id_whose_guest_is_still_being_made_is_left_alone(cluster: Double, tmp_path: Path) -> None:
    """It says nothing yet of whose it is: the next one is taken, and at the end it is seen to be somebody else's."""
    taken = int(cluster.client().get("/cluster/nextid"))

    class Slow(Faulty):
        def call(self, method: str, path: str, parameters: Any) -> Any:  # Any: as Wire
            reply = self.wire.call(method, path, parameters)
            if path == "/cluster/nextid" and self.sent == 0:
                self.sent = 1
                cluster.tell("add_vm", taken, "theirs", config={"lock": "clone"})
            return reply

    client = Client(Slow(Https(cluster.access()), 0, ""), sleep=lambda _: None)
    with deployed(client, wanted(TEMPLATE)[:1], leases_folder=tmp_path, cluster=tmp_path / "x") as made:
        noted = "".join(each.read_text(encoding="utf-8") for each in tmp_path.glob("*.jsonl"))
        cluster.tell("unlock", taken)
    left = cluster.tell("guests")
    cluster.client().delete(f"/nodes/pve1/qemu/{taken}")

    assert made[0].vmid != taken
    assert f"{taken} pve1" in noted
    assert left[str(taken)]["name"] == "theirs"


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    "config", [{"tags": "debian12;template"}, {"protection": 1}, {"description": "our golden image", "tags": "nettune"}]
)
@pytest.mark.parametrize("at", range(1, 30, 3))
def test_what_a_template_hands_down_does_not_make_a_clone_somebody_elses(
    cluster: Double, tmp_path: Path, config: dict[str, Any], at: int
) -> None:
    """Its tags and its protection come with it; whichever request fails, nothing of the clone is left."""
    for key, value in {"description": "", "tags": "", "protection": 0, **config}.items():
        cluster.tell("configure", 9000, key, value)
    before = state(cluster)
    client = Client(Faulty(Https(cluster.access()), at, "403"), sleep=lambda _: None)
    of = deployed(client, wanted(TEMPLATE), leases_folder=tmp_path, cluster=tmp_path / "pve.yaml", at_once=1)
    with contextlib.suppress(NotAble), of:
        pass

    assert reaped(cluster, tmp_path) == []
    assert state(cluster) == before
