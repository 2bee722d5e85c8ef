"""`nettune knobs` on a real kernel: a fresh namespace, a bond, and a machine over SSH."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.hosts.namespace import Namespace, entered
from bench.hosts.ssh import connected
from bench.labs.topology import Topology
from tests.netns import sshd
from tests.netns.able import able
from tests.netns.nettune_command import nettune
from tuning.knobs.catalogue import catalogue, chosen
from tuning.knobs.presence import survey

# The classes of the catalogue, as the kernel's own namespace (Linux 6.18) and a fresh one show them.
ALLOWED = {
    "own": {"writable", "absent"},  # absent: a module that is not loaded, or an older kernel
    "read-only": {"read-only", "absent"},
    "machine": {"absent", "the machine's"},
}


@pytest.fixture
def fresh() -> Iterator[Namespace]:
    """A namespace in which nothing was set."""
    name = f"nt-test-{secrets.token_hex(4)}"
    Local().run(Command(("ip", "netns", "add", name))).require()
    try:
        with entered(name, name) as host:
            yield host
    finally:
        Local().run(Command(("ip", "netns", "delete", name))).require()


def test_a_fresh_namespace_agrees_with_the_catalogue_and_with_proc_sys(fresh: Namespace) -> None:
    """What a namespace only sees is read-only, what is the machine's is absent; each as its file says."""
    entries = chosen("sysctl")
    seen = survey(fresh, entries)
    by_id = {each.id: each for each in seen.found}

    assert seen.namespaced
    wrong = {each.id: by_id[each.id].state for each in entries if by_id[each.id].state not in ALLOWED[each.namespace]}
    assert wrong == {}
    assert by_id["net.core.rmem_max"].state == "read-only"
    assert by_id["net.core.netdev_budget"].state == "absent"
    assert by_id["net.ipv4.tcp_rmem"].state == "writable"
    for each in seen.found:
        path = "/proc/sys/" + each.id.replace(".", "/")
        read = fresh.run(Command(("cat", path)))
        assert read.ok == (each.value is not None), each.id
        assert read.stdout.split() == (each.value or "").split(), each.id
        if each.state == "read-only":
            assert not fresh.run(Command(("tee", path), stdin=read.stdout)).ok, each.id
    # Written with what they have: nothing changes.
    tried = [each for each in seen.found if each.state == "writable"]
    assert len(tried) > 50
    for each in tried:
        path = "/proc/sys/" + each.id.replace(".", "/")
        assert fresh.run(Command(("tee", path), stdin=each.value or "")).ok, each.id


BOND_AND_BRIDGE = tuple(each for each in catalogue().values() if each.kind in {"bond", "bridge"})


def test_a_bridge_tells_its_options(fresh: Namespace) -> None:
    """Those of a bridge; a bond's are absent there."""
    fresh.run(Command(("ip", "link", "add", "nt-bridge", "type", "bridge"))).require()
    found = {each.id: each for each in survey(fresh, BOND_AND_BRIDGE, "nt-bridge").found}

    assert found["bridge.mcast_snooping"].value == "1"
    assert found["bridge.ageing_time"].value == "30000"
    assert found["bond.miimon"].state == "absent"


def test_a_bond_tells_its_options(fresh: Namespace, state: Path) -> None:
    """The kernel prints a word and its number, "layer2 0": the word counts."""
    able(Topology("bond"), state)
    fresh.run(
        Command(("ip", *["link", "add", "nt-bond", "type", "bond", "mode", "802.3ad", "miimon", "100"]))
    ).require()
    found = {each.id: each for each in survey(fresh, BOND_AND_BRIDGE, "nt-bond").found}

    assert (found["bond.xmit_hash_policy"].state, found["bond.xmit_hash_policy"].value) == ("writable", "layer2")
    assert found["bond.mode"].value == "802.3ad"
    assert found["bond.miimon"].value == "100"
    assert found["bridge.mcast_snooping"].state == "absent"


def test_a_machine_over_ssh_answers_as_it_does_inside(tmp_path: Path) -> None:
    """One batch, through a real sshd in a namespace."""
    sshd.skip_where_it_cannot_run()
    entries = tuple(catalogue().values())
    with (
        sshd.namespace() as inside,
        sshd.serving(inside, tmp_path / "sshd") as server,
        connected("inside", server.login, dial=inside.dial) as host,
    ):
        over_ssh, by_itself = survey(host, entries, "lo"), survey(inside, entries, "lo")

    assert over_ssh == by_itself


def test_the_program_asks_this_machine_and_writes_nothing(state: Path) -> None:
    """`check` and `show` as an operator calls them; no state folder, no store."""
    done = nettune("knobs", "check", "--filter", "tcp_rmem", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["found"]
    shown = nettune("knobs", "show", "net.ipv4.tcp_rmem", "--host", "local")

    assert found["value"] in " ".join(shown.stdout.split())
    assert "no effect by design on bridged or routed guests' TCP" in " ".join(shown.stdout.split())
    assert not state.exists()
