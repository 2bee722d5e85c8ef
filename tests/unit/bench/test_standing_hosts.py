"""Machines that stand: whose links they are, whose facts are kept, and the example of the documentation."""

import re
from pathlib import Path

import pytest

from bench import document
from bench import plan as plans
from bench.facts import riding
from bench.facts.roles import Link, Stack, began, resolved, routes
from bench.hosts.command import Command
from bench.hosts.login import Login
from bench.labs import hosts
from bench.labs.hosts import kept, near
from bench.labs.inventory import Machine, parse
from bench.labs.standing import LabBroken
from bench.labs.topology import Topology
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost
from tests.unit.bench.test_roles import BY, HYPERVISOR, PVE, SSH
from tuning.knobs.table import check

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "hosts.md"
STACK = Stack(HYPERVISOR)


def _machine(*devices: str, address: str = "", allow: frozenset[str] = frozenset()) -> Machine:
    return Machine("pve1", Login("pve1"), devices, address, allow)


def _refusal(machine: Machine, told: dict[str, str]) -> str:
    ridden = resolved(STACK, began(STACK, BY, told, SSH), ours=machine.devices)
    try:
        hosts._not_shared(machine, STACK, ridden)
    except LabBroken as error:
        return str(error)
    return ""


def test_load_on_a_link_of_somebody_else_is_refused_through_the_whole_stack() -> None:
    """An end's VLAN beside that of our SSH shares its bridge, bond and ports."""
    beside = Stack((*HYPERVISOR, Link("vmbr0.20", kind="vlan", below=("vmbr0",), addresses=("10.99.0.1/24",))))
    machine = _machine("vmbr0.20", address="10.99.0.1")
    ridden = resolved(beside, began(beside, BY, {}, SSH), ours=machine.devices)
    with pytest.raises(
        LabBroken, match=r"on pve1: \S+ carries somebody else's traffic \(ssh\): vmbr0\.10 has"
    ) as raised:
        hosts._not_shared(machine, beside, ridden)
    assert "a link of its own" in raised.value.hint


def test_a_link_of_its_own_is_free_until_the_cluster_uses_it() -> None:
    """enp3s0 is free on a bare host, and corosync's where a cluster says so; a bridge with our guest alone is free."""
    end = _machine("enp3s0", address="10.20.0.1")

    assert _refusal(end, {}) == ""
    assert "(corosync): 10.20.0.1 is on corosync's network" in _refusal(end, PVE)
    assert _refusal(_machine("tap200i0", "vmbr1", "enp5s0"), PVE) == ""
    assert "(guests): tap200i0 (tun)" in _refusal(_machine("vmbr1", "enp5s0"), PVE)


def test_a_role_that_the_inventory_allows_forbids_no_change() -> None:
    """By its word; the others still do."""
    ridden = resolved(STACK, began(STACK, BY, PVE, SSH))
    bare = kept(_machine("enp1s0"), ridden)
    allowed = kept(_machine("enp1s0", allow=frozenset({"ssh", "guests"})), ridden)

    assert {role.role for role in bare} == {"ssh", "default-route", "guests"}
    assert {role.role for role in allowed} == {"default-route"}


def test_facts_of_the_path_and_its_stack_are_kept_and_no_strangers() -> None:
    """A guest's tap on the same bridge is its own business, unless it is on the path."""
    assert near(("enp1s0",), STACK) == {"lo", "enp1s0", "bond0", "vmbr0", "vmbr0.10"}
    assert near(("tap200i0", "vmbr1"), STACK) == {"lo", "tap200i0", "vmbr1", "enp5s0"}


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (("vmbr0", "enp9s0"), "there is no device 'enp9s0'"),
        (("vmbr0", "enp3s0"), "enp3s0 does not lie below vmbr0"),
        (("vmbr0", "enp1s0", "enp2s0"), "enp1s0 and enp2s0 are ports of one bond"),
    ],
)
def test_devices_that_cannot_be_the_path_are_named(devices: tuple[str, ...], words: str) -> None:
    """Before anything is measured."""
    with pytest.raises(LabBroken, match=words):
        hosts._devices_there(FakeHost("pve1"), _machine(*devices, address="192.0.2.10"), STACK)


@pytest.mark.parametrize(
    ("flags", "mtu", "words"),
    [
        ('"UP", "NO-CARRIER"', 1500, "enp3s0 has no carrier"),
        ('"UP", "LOWER_UP"', 9000, "the plan's path has an MTU of 1500, and enp3s0 has 9000"),
        ('"UP", "LOWER_UP"', 1500, ""),
    ],
)
def test_a_device_must_have_carrier_and_the_plans_mtu(flags: str, mtu: int, words: str) -> None:
    """A larger MTU would measure another path."""
    host = FakeHost("pve1", lambda _: (0, f'[{{"ifname": "enp3s0", "flags": [{flags}], "mtu": {mtu}}}]'))
    said = ""
    try:
        hosts.devices_fit(host, _machine("enp3s0", address="10.20.0.1"), Topology("standing"))
    except LabBroken as error:
        said = str(error)

    assert words in said
    assert bool(words) == bool(said)


def test_a_host_without_the_tools_is_named_with_what_to_install() -> None:
    """All that is missing at once."""

    def answer(command: Command) -> tuple[int, str]:
        return 0, "flock\nsetsid\n" if command.argv[0] == "sh" else "0"

    with pytest.raises(NotAble, match="on pve1: not installed: flock, setsid") as raised:
        riding.able(FakeHost("pve1", answer))
    assert "util-linux" in raised.value.hint


def test_an_end_that_is_the_other_end_is_refused() -> None:
    """The route to b is a local one."""
    here, there = _machine("eth0", address="192.0.2.1"), _machine("eth0", address="192.0.2.2")
    host = FakeHost("a", lambda _: (0, '[{"type": "local", "dst": "192.0.2.2", "dev": "lo"}]'))
    with pytest.raises(LabBroken, match=r"192\.0\.2\.2 is an address of pve1 itself"):
        hosts.check_route(host, here, there)


def test_the_documentations_example_is_valid(tmp_path: Path) -> None:
    """Both files, as they stand there."""
    inventory, plan = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    found = parse(document.read(inventory, "hosts.yaml"), folder=tmp_path)
    (tmp_path / "hosts.yaml").write_text(inventory, encoding="utf-8")
    text = plan.replace("hosts.yaml,", f"{tmp_path}/hosts.yaml,")

    assert [each.name for each in found.machines] == ["a", "b", "switch"]
    assert plans.parse(document.read(text, "plan.yaml"), check=check).inventory == found


def test_routes_without_any_table_lead_nowhere() -> None:
    """A host without a default route."""
    assert routes([], []).towards("192.0.2.1") == ()
    assert routes([], []).default == ()
