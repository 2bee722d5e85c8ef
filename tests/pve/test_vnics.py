"""net0 of VMs that stand: set by the API, taken at once or at a start, and what it was afterwards, whatever failed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.pve import vnic
from bench.pve.client import Client
from bench.pve.machines import Made
from bench.pve.vnics import Vnics
from bench.pve.wire import Https
from results.errors import NotAble
from tests.pve.faults import WAYS, Faulty
from tests.pve.kit import Double, running
from tests.pve.test_node import Cluster, cluster

__all__ = ["cluster"]  # a fixture

NET = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,link_down=0,trunks=10;20-30"
VMS = {"a": Made("qemu", "pve1", 201, "a"), "b": Made("qemu", "pve1", 202, "b")}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """A double with two VMs that run."""
    with running(Path(tmp_path_factory.mktemp("double"))) as double:
        for vm in VMS.values():
            double.tell("add_vm", vm.vmid, vm.name, status="running", config={"net0": NET})
        yield double


def state(double: Double) -> dict[str, tuple[str, str]]:
    """Of each VM whether it runs, and its net0, as Proxmox VE prints it."""
    return {vmid: (each["status"], printed(each["config"]["net0"])) for vmid, each in double.tell("guests").items()}


def printed(net: str) -> str:
    """Its options by name, the model first."""
    model, *options = net.split(",")
    return ",".join((model, *sorted(options)))


def since(double: Double) -> dict[str, float]:
    """When each was started last."""
    return {vmid: each["since"] for vmid, each in double.tell("guests").items()}


def vnics(double: Double, settled: list[str], at: int = 0, way: str = "") -> tuple[Vnics, Faulty]:
    """Over a wire that fails at its n-th request from now on."""
    wire = Faulty(Https(double.access()), 0, way)
    made = Vnics(Client(wire, sleep=lambda _: None), VMS, lambda: settled.append("settled"))
    wire.sent, wire.at = 0, at
    return made, wire


@pytest.mark.parametrize(
    ("wanted", "net", "anew"),
    [
        ({"vm/vm-queues": "4"}, f"{NET},queues=4", True),
        ({"vm/vm-model": "e1000"}, NET.replace("virtio", "e1000"), True),
        ({"vm/vm-host-mtu": "1400"}, f"{NET},mtu=1400", True),
        ({"vm/vm-rate": "100"}, f"{NET},rate=100", False),
        ({"vm/vm-firewall": "0"}, NET.replace("firewall=1", "firewall=0"), False),
        ({"vm/vm-rate": "100", "vm/vm-queues": "2"}, f"{NET},rate=100,queues=2", True),
    ],
)
def test_a_vm_is_started_anew_only_for_what_unplugs_its_nic(
    one: Double, wanted: dict[str, str], net: str, anew: bool
) -> None:
    """MAC, trunks, firewall and link_down stay; put back it stands word for word as it did."""
    before, began, settled = state(one), since(one), list[str]()
    made, _ = vnics(one, settled)
    originals = {key: made.facts("a")[key] for key in wanted}
    made.restart({"a": wanted})
    held, facts, started = state(one), made.facts("a"), since(one)
    made.restart({"a": originals})

    assert held == {"201": ("running", printed(net)), "202": before["202"]}
    assert {key: facts[key] for key in wanted} == wanted
    assert (started["201"] != began["201"], started["202"] != began["202"]) == (anew, False)
    assert settled == (["settled", "settled"] if anew else [])
    assert state(one) == before
    assert made.facts("node") == {}


def test_what_a_vm_does_not_take_while_it_runs_is_told_and_put_back(one: Double) -> None:
    """No network in its `hotplug`: it waits for a start, which a live setting is not to cost; nothing waits after."""
    one.tell("configure", 201, "hotplug", "disk,usb")
    made, _ = vnics(one, [])
    try:
        with pytest.raises(
            NotAble, match=r"VM 201 \(a\) on pve1: net0 waits for a start: to be \S+rate=100\S*, it is virtio="
        ) as raised:
            made.restart({"a": {"vm/vm-rate": "100"}})
        rows = {each["key"]: each for each in one.client().get("/nodes/pve1/qemu/201/pending")}
    finally:
        one.tell("configure", 201, "hotplug", "network,disk,usb")

    assert "hotplug" in raised.value.hint
    assert printed(rows["net0"]["value"]) == printed(rows["net0"].get("pending", NET)) == printed(NET)
    assert made.facts("a")["vm/vm-rate"] == vnic.UNSET


def test_what_virtio_alone_takes_is_refused_before_anything_is_set(one: Double) -> None:
    """Queues of an e1000."""
    made, wire = vnics(one, [])
    with pytest.raises(NotAble, match="VM 201: a e1000 takes no queues: virtio alone does"):
        made.restart({"a": {"vm/vm-model": "e1000", "vm/vm-queues": "4"}})

    assert wire.sent == 0


def test_a_start_that_fails_is_told_in_its_own_words_and_both_run_as_before(one: Double) -> None:
    """An MTU above the bridge's, as Proxmox VE says it."""
    before = state(one)
    made, _ = vnics(one, [])
    one.tell(
        "fail", "POST", "/qemu/202/status/start", 500, "netdev mtu 9000 is bigger than the bridge MTU 1500", times=1
    )
    with pytest.raises(NotAble, match=r"VM 202 \(b\) on pve1: .*bigger than the bridge MTU"):
        made.restart({name: {"vm/vm-host-mtu": "1400"} for name in "ab"})

    assert state(one) == before


@pytest.mark.sampled(12)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", range(1, 12))
def test_vms_are_as_they_were_whichever_request_fails(one: Double, at: int, way: str) -> None:
    """Refused, lost, done without an answer; a fault that passes is none."""
    before = state(one)
    made, _ = vnics(one, [], at, way)
    originals = {name: {"vm/vm-queues": made.facts(name)["vm/vm-queues"], "vm/vm-rate": made.facts(name)["vm/vm-rate"]}
                 for name in "ab"}  # fmt: skip
    try:
        made.restart({name: {"vm/vm-queues": "4", "vm/vm-rate": "10"} for name in "ab"})
        made.restart(originals)
    except NotAble:
        pass

    assert state(one) == before
    assert {name: {key: made.facts(name)[key] for key in originals[name]} for name in "ab"} == originals


def test_a_plan_measures_queues_model_and_rate_of_a_nic(cluster: Cluster) -> None:
    """Between VMs of a node that is seen over SSH: their taps are made anew, and nothing of it is unexplained."""
    plan = cluster.plan("{four: {vm-queues: 4}, other: {vm-model: e1000}, slow: {vm-rate: 100}}")
    done = cluster.run("run", plan, "--seed", "7")
    assert done.returncode == 0, done.stderr
    document = json.loads(cluster.run("show", "last", "--json").stdout)

    assert {each["treatment"] for each in document["treatments"]} == {"four", "other", "slow"}
    assert document["skipped"] == []
    assert cluster.guests.starts >= 2 + 2 * 2 + 2 * 2
    assert "missing" not in done.stderr
