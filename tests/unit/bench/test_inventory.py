"""The inventory: what it takes, and how it refuses."""

from pathlib import Path

import pytest

from bench import document
from bench import plan as plans
from bench.facts.roles import Link, Stack
from bench.labs.drawing import drawing
from bench.labs.hosts import path_of
from bench.labs.inventory import Inventory, load, parse
from bench.labs.provider import commands
from results.errors import WrongInput
from tests.unit.bench.fakes import FakeHost

GOOD = """\
ends:
  a:
    ssh: ssh://root@pve1
    device: vmbr0
    below: [enp1s0]
    address: 192.0.2.1
    allow: [ssh, guests]
  b:
    ssh: admin@pve2:2222
    keys: [keys/b, /etc/keys/b]
    known_hosts: known
    jump: root@gate
    sudo: on
    device: eth0
    address: 192.0.2.2
nodes:
  middle:
    ssh: root@pve3
    jump: {ssh: root@gate, keys: [gate]}
    devices: [tap100i0, vmbr0]
"""
PLAN = """\
name: hosts
lab: {{provider: hosts, inventory: {file}, grace_s: 5}}
topologies: [{topology}]
probes: [{{kind: tcp}}, {{kind: latency}}]
primary: tcp.goodput
"""


def _read(text: str) -> Inventory:
    return parse(document.read(text, "hosts.yaml"), folder=Path("/inventory"))


def test_a_good_one_is_read() -> None:
    """Paths are relative to its folder; a jump host given as an address has the same keys."""
    found = _read(GOOD)
    a, b = found.ends
    gate = b.login.jump
    assert gate is not None
    middle = found.nodes[0].login.jump
    assert middle is not None

    assert (a.devices, a.address, sorted(a.allow)) == (("vmbr0", "enp1s0"), "192.0.2.1", ["guests", "ssh"])
    assert (b.login.user, b.login.port, b.login.sudo) == ("admin", 2222, True)
    assert b.login.keys == (Path("/inventory/keys/b"), Path("/etc/keys/b"))
    assert b.login.known_hosts == Path("/inventory/known")
    assert (gate.address, gate.keys, gate.known_hosts) == ("gate", b.login.keys, b.login.known_hosts)
    assert middle.keys == (Path("/inventory/gate"),)
    assert [each.name for each in found.machines] == ["a", "b", "middle"]
    assert found.ip == 4


BAD = {
    "an unknown key": ("    device: vmbr0", "    devic: vmbr0", "hosts.yaml:4: ends.a: unknown key 'devic'", "device"),
    "no address": ("    address: 192.0.2.1\n", "", "ends.a: end a has no 'address'", "ends:"),
    "an address with a length": ("192.0.2.1", "192.0.2.1/24", "hosts.yaml:6: ends.a.address: '192.0.2.1/24' is no", ""),
    "loopback": ("192.0.2.1", "127.0.0.1", "127.0.0.1 is of no use between hosts", ""),
    "one address twice": ("192.0.2.2", "192.0.2.1", "ends.b.address: 192.0.2.1 is a's address too", ""),
    "two families": ("192.0.2.2", "2001:db8::2", "2001:db8::2 is of another family than a's 192.0.2.1", ""),
    "a role that is none": ("guests]", "guest]", "ends.a.allow[1]: 'guest' is none of ssh", "did you mean 'guests'?"),
    "a password": ("admin@pve2", "ssh://admin:pw@pve2", "a password in it is not taken", "key"),
    "a device that is a path": ("device: eth0", "device: ../x", "'../x' is no name of a network device", ""),
    "a speed that is none": ("    device: vmbr0", "    speed_mbps: 0\n    device: vmbr0", "ends.a.speed_mbps", ""),
    "a watched name": ("    device: vmbr0", "    watch: [gw]\n    device: vmbr0", "'gw' is no IP address", "watch:"),
    "a third end": ("nodes:", "  c: {ssh: x}\nnodes:", "ends: unknown key 'c'", ""),
    "a node called a": ("  middle:", "  a:", "hosts.yaml:17: nodes.a: 'a' cannot be a node's name", ""),
    "a node without devices": ("[tap100i0, vmbr0]", "[]", "nodes.middle.devices: a node without a device", ""),
    "no ends": ("ends:", "end:", "unknown key 'end'", "did you mean 'ends'?"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD.values(), ids=BAD)
def test_a_bad_one_names_file_line_and_key(old: str, new: str, words: str, hint: str) -> None:
    """One slip in a good inventory; the error leads to it."""
    assert old in GOOD
    with pytest.raises(WrongInput) as raised:
        _read(GOOD.replace(old, new, 1))

    assert words in str(raised.value)
    assert hint in raised.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With where paths are looked for."""
    with pytest.raises(WrongInput, match=r"no inventory .*none\.yaml.*No such file") as raised:
        load(tmp_path / "none.yaml")
    assert "relative to the folder that nettune runs in" in raised.value.hint


def _plan(folder: Path, topology: str = "standing") -> plans.Plan:
    (folder / "hosts.yaml").write_text(GOOD, encoding="utf-8")
    text = PLAN.format(file=folder / "hosts.yaml", topology=topology)
    return plans.parse(document.read(text, "plan.yaml"), check=lambda _s, _v: ("", ""))


def test_a_plan_takes_it_and_knows_how_long_a_trial_may_take(tmp_path: Path) -> None:
    """Both probes with their watchdogs; the grace is the plan's."""
    plan = _plan(tmp_path)
    assert plan.inventory is not None

    assert (plan.inventory.grace_s, plan.guests, plan.topologies[0].name) == (5, None, "standing")
    assert plan.trial_most_s > sum(probe.traffic_s for probe in plan.probes) + 12


@pytest.mark.parametrize(
    ("topology", "words"),
    [("bridge", "provider hosts builds no bridge"), ("standing, {kind: standing, mtu: 9000}", "there is one path")],
)
def test_a_topology_that_would_have_to_be_built_is_refused(tmp_path: Path, topology: str, words: str) -> None:
    """Nothing is made on machines that stand."""
    with pytest.raises(WrongInput, match=words):
        _plan(tmp_path, topology)


def test_a_standing_path_needs_machines_that_stand() -> None:
    """In namespaces there is none."""
    text = PLAN.format(file="x", topology="standing").replace("{provider: hosts, inventory: x, grace_s: 5}", "{}")
    with pytest.raises(WrongInput, match="a standing path is one between machines that stand"):
        plans.parse(document.read(text, "plan.yaml"), check=lambda _s, _v: ("", ""))


def test_what_would_make_a_standing_machine_forget_is_refused(tmp_path: Path) -> None:
    """A table of learned MTUs is everybody's there; only a lab's own is emptied."""
    (tmp_path / "hosts.yaml").write_text(GOOD, encoding="utf-8")
    text = PLAN.format(file=tmp_path / "hosts.yaml", topology="standing")
    text = text.replace("{kind: latency}", "{kind: path-mtu}")
    with pytest.raises(WrongInput, match="path-mtu makes its ends forget"):
        plans.parse(document.read(text, "plan.yaml"), check=lambda _s, _v: ("", ""))


def test_the_path_goes_from_a_to_b_and_bridges_between_do_not_count() -> None:
    """An end's bridge has the end's own traffic in its counters; one that only forwards has not."""
    hosts = {name: FakeHost(name) for name in ("a", "b", "middle")}
    devices = (Link("vmbr0", kind="bridge"), Link("enp1s0", master="vmbr0"), Link("tap100i0", kind="tun"), Link("eth0"))
    path = path_of(_read(GOOD), hosts, dict.fromkeys(hosts, Stack(devices)))

    assert [(each.host.name, each.device, each.counts) for each in path] == [
        ("a", "vmbr0", True), ("a", "enp1s0", True), ("middle", "tap100i0", True), ("middle", "vmbr0", False),
        ("b", "eth0", True),
    ]  # fmt: skip


def test_picture_and_dry_run_have_every_machine(tmp_path: Path) -> None:
    """From left to right; and what each is asked."""
    plan = _plan(tmp_path)
    picture = drawing(plan.topologies[0], plan.deployed)

    assert picture.index("endpoint a") < picture.index("node middle") < picture.index("endpoint b")
    assert "192.0.2.1 to 192.0.2.2" in picture
    assert ("a", "ip -j route get 192.0.2.2 from 192.0.2.1") in commands(plan.topologies[0], plan.deployed)
