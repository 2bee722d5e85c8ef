"""`nettune pve check` before there is a token: the commands that make one are printed, and nobody is asked."""

import json
from pathlib import Path

import pytest

from nettune import pve_cli
from tests.unit.nettune.program import Program, here

FILE = """\
api: https://192.0.2.9:8006
{who}
secret_file: secret
site:
  nodes: [pve1]
  template: 9000
  storage: local-lvm
  pool: bench
  management: vmbr0
  addresses: [192.0.2.10-192.0.2.25/24]
  networks: {{bridge: {{bridge: vmbr0}}, vxlan: {{bridge: vnet1}}}}
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file, which names a token whose secret is not there."""
    path = tmp_path / "pve.yaml"
    path.write_text(FILE.format(who="token: nettune@pve!bench"), encoding="utf-8")
    monkeypatch.setenv("NETTUNE_CLUSTER", str(path))
    monkeypatch.delenv("NETTUNE_PVE_SECRET", raising=False)
    return path


def test_where_there_is_no_secret_yet_the_commands_come_before_the_error(program: Program, cluster: Path) -> None:
    """User, roles, pool, token and rights, whole."""
    done = program("pve", "check", "pve-firewall-cost")

    assert done.returncode == 2
    assert "cannot read 'secret'" in done.stderr
    for line in ("pveum pool add bench", "pveum user add nettune@pve",
                 "pveum user token add nettune@pve bench --privsep 1"):  # fmt: skip
        assert line in done.stdout.splitlines()
    assert "acl modify / --roles Nettune-cluster-" in done.stdout  # to see the cluster's firewall
    assert "--tokens 'nettune@pve!bench'" in done.stdout


@pytest.mark.parametrize("who", ["token: nettune@pve!bench", "user: root@pam", "token: root@pam!mine"])
def test_setup_asks_nobody_and_makes_no_token_of_root(program: Program, cluster: Path, who: str) -> None:
    """At an address where nobody is; rights of a token of root@pam cannot be told apart from all there are."""
    cluster.write_text(FILE.format(who=who), encoding="utf-8")
    done = program("pve", "check", "pve-same-node", "--setup")
    listed = json.loads(program("pve", "check", "pve-same-node", "--setup", "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert "pveum user token add nettune@pve bench --privsep 1" in listed
    assert listed == done.stdout.splitlines()
    assert not any("root@pam" in line for line in listed)


def test_the_agents_privilege_fits_whichever_version_is_there(program: Program, cluster: Path) -> None:
    """A role with a word of another version is refused, so that the next one is made."""
    assert cluster.exists()
    listed = program("pve", "check", "pve-same-node", "--setup").stdout.splitlines()
    (agent,) = (line for line in listed if "VM.Monitor" in line)
    new, old = agent.split(" || ")

    assert "VM.GuestAgent.Unrestricted" in new
    assert "VM.GuestAgent" not in old
    assert new.split()[3] == old.split()[3]


@pytest.mark.parametrize(
    ("plan", "turned"), [("pve-firewall-cost", ["nftables"]), ("pve-same-node", []), ("pve-density", [])]
)
def test_treatments_that_turn_a_node_are_known(cluster: Path, plan: str, turned: list[str]) -> None:
    """By their target, or by that of their knob."""
    assert cluster.exists()

    assert list(pve_cli._asked(plan)[3]) == turned
