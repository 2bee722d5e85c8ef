"""The exported role, run by ansible-core over two machines with a real sshd each: one after the other, guarded."""

import re
import sys
from pathlib import Path
from typing import Any

from bench.facts.sheet import differences
from tests.netns.nettune_command import SOONER, nettune, run_program
from tests.netns.sshd import PORT
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, value
from tests.netns.test_apply import HELD, A, changes, desk, prefix, profile

B = A.replace(CONTROL["a"], CONTROL["b"])


def _role(machines: Machines, folder: Path, *hosts: str) -> Path:
    """The exported folder, with an inventory of these machines, all of which take a's key."""
    key = (machines.folder / "a" / "user.pub").read_text(encoding="utf-8")
    with (machines.folder / "b" / "authorized_keys").open("a", encoding="utf-8") as file:
        file.write(key)
    out = folder / "ansible"
    mine = profile(folder, **{RMEM: HELD, "tso": "off"})
    done = nettune("profile", "export", mine, "--format", "ansible", "--output", str(out))
    assert done.returncode == 0, done.stderr
    variables = f"nettune_argv={list(SOONER)!r} nettune_devices=['eth0'] nettune_disruption=d4 ansible_port={PORT}"
    (out / "inventory.ini").write_text(
        "".join(f'{name} ansible_host={CONTROL[name]}\n' for name in hosts) + "[all:vars]\n"
        + "".join(f"{each}\n" for each in re.split(r" (?=nettune_|ansible_)", variables)), encoding="utf-8",
    )  # fmt: skip
    return out


def _played(machines: Machines, out: Path, *words: str) -> Any:  # Any: CompletedProcess
    program = (str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(out / "inventory.ini"))
    where = ("env", f"ANSIBLE_LOCAL_TEMP={out / 'tmp'}", "LC_ALL=C.UTF-8", f"PYTHONPATH={Path.cwd()}")
    return run_program((*where, *program, str(out / "playbook.yml"), *words), prefix(machines))


def _recap(text: str) -> dict[str, dict[str, str]]:
    rows = re.findall(r"^(\w+) +: (.*)$", text.partition("PLAY RECAP")[2], re.MULTILINE)
    return {host: dict(word.split("=") for word in said.split()) for host, said in rows}


def test_a_role_applies_verifies_and_does_nothing_a_second_time(machines: Machines, tmp_path: Path) -> None:
    """Check mode changes nothing; each machine has its own journal, by which it is taken back."""
    before = machines.facts()
    out = _role(machines, tmp_path, "a", "b")
    syntax = _played(machines, out, "--syntax-check")
    dry, after_dry = _played(machines, out, "--check"), machines.facts()
    first, second = _played(machines, out), _played(machines, out)
    held = value(machines.a, RMEM), value(machines.b, RMEM)
    known = changes(machines, A), changes(machines, B)
    for word in (A, B):
        assert desk(machines, "rollback", word).returncode == 0

    assert syntax.returncode == 0, syntax.stderr
    assert dry.returncode == 0, dry.stdout
    assert {each["changed"] for each in _recap(dry.stdout).values()} == {"1"}
    assert differences(before, after_dry) == ()
    assert first.returncode == 0, first.stdout
    assert {each["changed"] for each in _recap(first.stdout).values()} == {"1"}
    assert {each["changed"] for each in _recap(second.stdout).values()} == {"0"}
    assert held == (HELD, HELD)
    assert [[each["state"] for each in told] for told in known] == [["confirmed"], ["confirmed"]]
    assert differences(before, machines.facts()) == ()


def test_a_first_host_that_fails_is_the_last(machines: Machines, tmp_path: Path) -> None:
    """The canary has somebody else's change under way: the second machine is not touched."""
    before = machines.facts()
    out = _role(machines, tmp_path, "a", "b")
    other = profile(tmp_path, **{"net.ipv4.tcp_wmem": HELD})
    desk(machines, "apply", other, "--host", A, "--hold", "--confirm-within", "120")
    before_b = changes(machines, B)
    failed = _played(machines, out)
    known = changes(machines, B)
    desk(machines, "rollback", A)

    assert failed.returncode != 0
    assert "another run has changed this host" in failed.stdout
    assert known == before_b
    assert differences(before, machines.facts()) == ()
