"""`nettune capacity` between pairs of VMs on nodes: made, measured at once, gone; others on the node are looked after.

The API is the double's; behind its VMs are namespaces with an sshd each, on the bridges of two nodes.
"""

import contextlib
import json
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.pve.client import Client
from bench.pve.deploying import deployed
from bench.pve.wire import Https
from results.errors import NotAble
from tests.netns.nettune_command import start
from tests.netns.standing_hosts import waited
from tests.pve.faults import Faulty, wanted
from tests.pve.kit import Double
from tests.pve.standing import DISK, Cluster

PLAN = """\
name: pairs
lab: {{provider: proxmox, cluster: {cluster}, nodes: [pve1, pve2], template: 9000, storage: local-lvm, pool: bench,
      memory_mb: 256, ready_s: 30, addresses: {addresses}}}
topologies: [{{kind: pve, bridge: vmbr0, mtu: 1400}}]
layout: {layout}
pairs: {pairs}
rate_mbit: 20
duration_s: {seconds}
warmup_s: 0.3
latency_interval_s: 0.002
repeats: {repeats}
"""
ROW = "[192.0.2.10-192.0.2.21/24]"
SLO = "goodput>=10Mbit per vm, cpu<=100%"


def plan(cluster: Cluster, *, ssh: bool = False, **changed: Any) -> str:  # Any: words of PLAN
    """A density plan's file."""
    cluster.plan(ssh=ssh)
    given = {"layout": "mixed", "pairs": "[1, 2, 3]", "seconds": 1.6, "repeats": 1, "addresses": ROW, **changed}
    path = cluster.folder / "density.yaml"
    path.write_text(PLAN.format(cluster=cluster.folder / "pve.yaml", **given), encoding="utf-8")
    return str(path)


def made_by(double: Double) -> int:
    """How many guests were asked for."""
    return sum(method == "POST" and path.endswith("/clone") for method, path in double.tell("requests"))


def made(cluster: Cluster) -> int:
    """As `made_by`."""
    return made_by(cluster.double)


def ended(cluster: Cluster) -> int:
    """How many trials are done, also of a block that is not complete yet."""
    path = Path(cluster.store[1])
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as store:
        try:
            return int(store.execute("select count(*) from trials where status = 'done'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # its tables are being made


def test_pairs_of_vms_are_measured_until_somebody_elses_vm_suffers_and_are_gone(cluster: Cluster) -> None:
    """Refused first, since that VM runs there. Allowed, two pairs, one across nodes, carry what they are paced to.

    With three it waits for a CPU: load ends, and what was measured is the answer.
    """
    refused = cluster.run("capacity", plan(cluster, ssh=True), *cluster.store)
    asked_for = made(cluster)
    words = (
        "capacity",
        plan(cluster, ssh=True, pairs="[2, 3]", seconds=5.4),
        "--slo",
        SLO,
        "--shared-host",
        "--json",
        *cluster.store,
    )
    job = start(*words, prefix=cluster.prefix)
    waited(lambda: ended(cluster) == 1 or job.poll() is not None, 90)
    cluster.double.tell("set", 100, "stats", {"pressurecpusome": 63.0})
    told, said = job.communicate(timeout=90)

    assert (refused.returncode, asked_for) == (3, 0), refused.stderr
    assert "VM 100 (theirs) on pve1" in refused.stderr
    assert "--shared-host" in refused.stderr
    assert job.returncode == 0, said
    found = json.loads(told)
    rows = [row for row in found["rows"] if row["measured"]]
    assert [row["goodput_bps"] for row in rows] == [pytest.approx(40e6, rel=0.15)]
    assert all(row["cpu"] is not None for row in rows)
    assert found["vms"] == {"value": 2, "low": 2, "high": 2, "open": True}
    (why,) = found["load_ended"]
    assert why.startswith("Load was ended at 3 pairs, and no step with as many was begun after it: VM 100 (theirs)")
    assert why.endswith("on pve1 waits for a CPU in 63 % of its time (before: 0 %)")
    assert len(cluster.guests.seen) == 6


def test_a_killed_run_leaves_pairs_that_reap_removes(cluster: Cluster) -> None:
    """SIGKILL once all of them stand; the lease finds each, and no other."""
    asked = plan(cluster, layout="across", pairs="[2]", repeats=40, seconds=4)
    job = start("capacity", asked, "--shared-host", *cluster.store, prefix=cluster.prefix)
    waited(lambda: len(cluster.guests.seen) == 4 or job.poll() is not None, 60)
    os.killpg(job.pid, signal.SIGKILL)
    _, said = job.communicate()
    left = set(cluster.double.tell("guests"))
    reaped = cluster.run("lab", "reap")

    assert len(left) == 7, said
    assert reaped.returncode == 0, reaped.stderr


@pytest.mark.parametrize(
    ("changed", "faults", "said"),
    [
        ({"pairs": "[9]", "addresses": "[192.0.2.10-192.0.2.27/24]"}, [["set", 0, "memory_gib", 8]],
         ["9 pairs put 14 guests of 256 MB on pve1", "6144 MB free", "8 pairs fit"]),
        ({}, [["acl", "bench@pve!net", [["/vms/9000", ["VM.Audit"]], ["/nodes", ["Sys.Audit"]],
                                    ["/storage", ["Datastore.Audit"]]]]],
         ["run on pve1", "may not be seen", "VM.Audit", "--shared-host"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_anything_is_made(
    cluster: Cluster, changed: dict[str, Any], faults: list[list[Any]], said: list[str]
) -> None:
    """How many fit a node's memory; that others may be there without being seen."""
    for name, *arguments in faults:
        cluster.double.tell(name, *arguments)
    cluster.double.tell("set", 100, "status", "stopped")
    done = cluster.run("capacity", plan(cluster, **changed), *cluster.store)

    assert done.returncode == 3, done.stderr
    assert all(word in done.stderr for word in said), done.stderr
    assert made(cluster) == 0


def test_of_many_made_side_by_side_none_is_left_where_one_cannot_be(double: Double, tmp_path: Path) -> None:
    """Six guests, of which one is refused at any moment; and ids of others in a row are not tried one by one."""
    double.tell("add_vm", 9000, "template", template=True, config=DISK)
    double.tell("add_pool", "bench")
    for vmid in range(101, 125):
        double.tell("add_vm", vmid, "theirs")
    before = double.tell("guests")
    six = [replace(each, name=f"{each.name}{number}") for number in (1, 2, 3) for each in wanted("9000")]
    for at in (12, 20, 31, 40):
        client = Client(Faulty(Https(double.access()), at, "500"), sleep=lambda _: None)
        with pytest.raises(NotAble), deployed(client, six, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml"):
            pass
    left = double.tell("guests")
    asked = made_by(double)
    with deployed(double.client(), six, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as found:
        ids = {each.vmid for each in found}

    assert left == before
    assert len(ids) == 6
    assert made_by(double) - asked == 6
    assert double.tell("guests") == before
    assert list(tmp_path.glob("*.jsonl")) == []


def test_pve_check_says_what_pairs_ask_for(cluster: Cluster) -> None:
    """Room for them, and who is there already."""
    done = cluster.run("pve", "check", plan(cluster), "--json")
    rows = {row["what"]: row for row in json.loads(done.stdout)}

    assert done.returncode == 1
    assert rows["room for 3 pairs"]["word"] == "there"
    assert "VM 100 (theirs) on pve1" in rows["pve1, pve2 without guests of others"]["why"]
