"""Test VMs are made, and gone again whatever fails; nobody else's is ever touched, however much it looks like ours."""

import contextlib
import json
import signal
import subprocess  # noqa: TID251 - a process that is killed
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bench.labs import lease
from bench.pve.client import Client
from bench.pve.deploying import KIND, deployed, reap
from bench.pve.wire import Https
from results.errors import NotAble
from tests.pve.faults import KEY, WAYS, Faulty, wanted
from tests.pve.kit import Double, running

TEMPLATE, IMAGE = "9000", "local:import/nettune.qcow2"
REQUESTS = range(1, 40)  # of about 30; a later one is never sent, and all goes well
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
        double.client().post("/pools", {"poolid": "bench"})
        yield double


def state(double: Double) -> dict[str, Any]:  # Any: JSON
    """All guests, volumes and members of pools."""
    guests: dict[str, Any] = double.tell("guests")
    pool = double.client().get("/pools", {"poolid": "bench"})
    disks = double.client().get("/nodes/pve1/storage/local-lvm/content")
    return {"guests": guests, "pool": pool, "disks": disks}


def reaped(double: Double, folder: Path) -> list[str]:
    """`lab reap` with a cluster that answers; what could not be removed."""
    done = lease.reap(folder, lambda kind, name: reap(name, lambda _: double.client()) if kind == KIND else False)
    return [each.problem for each in done if each.problem]


@pytest.mark.parametrize("source", [TEMPLATE])
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", REQUESTS)
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


@pytest.mark.sampled(12)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 30))
def test_nothing_is_left_of_a_process_that_was_killed(cluster: Double, tmp_path: Path, at: int, when: str) -> None:
    """SIGKILL at each request; reap finds by its lease what is ours."""
    before = state(cluster)
    (tmp_path / "fakepve.crt").write_bytes((cluster.folder / "fakepve.crt").read_bytes())
    words = (sys.executable, "-m", "tests.pve.make_two", str(cluster.port), str(tmp_path), str(at), when, TEMPLATE)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    problems = reaped(cluster, tmp_path / "leases")

    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    assert problems == []
    assert state(cluster) == before


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


def test_eight_vms_take_little_longer_than_one(cluster: Double, tmp_path: Path) -> None:
    """They are made side by side: 50 ms a request, and no more than the slowest and half of that (a generous bound)."""
    eight = [each for _ in range(4) for each in wanted(TEMPLATE)]
    cluster.tell("slow_network", 0.05)
    cluster.tell("set", 0, "time_scale", 1)
    times = []
    try:
        for count in (1, 8):
            began = time.monotonic()
            with deployed(cluster.client(), eight[:count], leases_folder=tmp_path, cluster=tmp_path / "x"):
                times.append(time.monotonic() - began)
    finally:
        cluster.tell("slow_network", 0)
        cluster.tell("set", 0, "time_scale", 0)

    assert times[1] < 2.5 * times[0], json.dumps(times)


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
