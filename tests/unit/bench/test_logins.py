"""How a plan names the node that its labs stand on, how it is refused, and what a lease keeps of it."""

from pathlib import Path

import pytest

from bench import document
from bench.hosts.command import HostFault
from bench.hosts.login import Login
from bench.labs.caretaking import Standing
from bench.labs.deploying import deployed
from bench.labs.guests import Guests, notes
from bench.labs.provider import commands
from bench.labs.topology import Topology
from results.errors import WrongInput

LAB = """\
provider: qemu
cpus: 2
node:
  ssh: ssh://admin@pve1:2222
  keys: [keys/one]
  known_hosts: known
  jump: root@gate
  sudo: on
"""
GATE = Login("gate", keys=(Path("keys/one"),), known_hosts=Path("known"))
LOGIN = Login("pve1", 2222, "admin", (Path("keys/one"),), known_hosts=Path("known"), sudo=True, jump=GATE)


def _read(text: str) -> Guests:
    found = deployed(document.read(text, "my.yaml"))
    assert isinstance(found, Guests)
    return found


def test_a_node_is_read_with_all_that_a_login_has() -> None:
    """The same rows as a machine of an inventory; without it the lab stands here."""
    assert _read(LAB) == Guests(cpus=2, node=LOGIN)
    assert _read("provider: qemu") == Guests()


WRONG = {
    "no address": ("  ssh: ssh://admin@pve1:2222\n", "", "my.yaml:3: node: the node has no 'ssh'", "ssh://root@pve1"),
    "an unknown key": ("sudo: on", "sudoo: on", "my.yaml:8: node: unknown key 'sudoo'", "did you mean 'sudo'?"),
    "a password": ("admin@", "admin:x@", "my.yaml:4: node.ssh: an SSH address with a password", "use a key"),
    "no address at all": ("ssh://admin@pve1:2222", "pve 1", "my.yaml:4: node.ssh: 'pve 1' is no address", ""),
    "neither on nor off": ("sudo: on", "sudo: maybe", "my.yaml:8: node.sudo: 'maybe' is neither on nor off", ""),
    "a jump host without address": ("jump: root@gate", "jump: {keys: [x]}", "node.jump: the jump host has no", ""),
    "a node of namespaces": ("provider: qemu\ncpus: 2", "provider: netns", "unknown key 'node'", ""),
}


@pytest.mark.parametrize(("old", "new", "problem", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_node_is_refused_with_line_and_key(old: str, new: str, problem: str, hint: str) -> None:
    """As every plan is."""
    assert old in LAB
    with pytest.raises(WrongInput) as raised:
        _read(LAB.replace(old, new))

    assert problem in str(raised.value)
    assert hint in raised.value.hint


def test_a_leases_line_leads_back_to_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another folder too: files are named by their whole paths; names are made from the lease's."""
    monkeypatch.chdir(tmp_path)
    found = Standing.from_noted(Standing(LOGIN, "0123abcd", ("node", "patch")).noted())

    assert found.login.keys == (tmp_path / "keys/one",)
    assert found.login.jump is not None
    assert found.login.jump.known_hosts == tmp_path / "known"
    assert (found.login.address, found.login.port, found.login.user, found.login.sudo) == ("pve1", 2222, "admin", True)
    assert found.namespaces == {"node": "nt-0123abcd-node", "patch": "nt-0123abcd-patch"}
    assert found.folder == "/run/nettune-0123abcd"


@pytest.mark.parametrize(
    "change",
    [("0123abcd", "../etc"), ("0123abcd", "*"), ('"node"', '"../x"'), ('"node"', '"a b"'), ("{", ""),
     ("login", "logout"), ('"address"', '"adress"')],
    ids=str,
)  # fmt: skip
def test_a_line_that_names_anything_else_removes_nothing(change: tuple[str, str]) -> None:
    """Only a lab's own names are ever given to what removes."""
    text = Standing(Login("pve1"), "0123abcd", ("node",)).noted()
    assert change[0] in text
    with pytest.raises(HostFault):
        Standing.from_noted(text.replace(*change))


def test_a_run_is_told_where_its_guests_stood() -> None:
    """In the notes of its report, and first of all in what `--dry-run` shows."""
    found = _read(LAB)
    assert found is not None

    assert any("All of it stood on admin@pve1:2222" in note for note in notes(found, "kvm"))
    assert not any("stood on" in note for note in notes(Guests(), "kvm"))
    assert commands(Topology("bridge"), found)[0][0] == "pve1"
