"""`nettune profile` as its users meet it: lists, one whole, two compared, exit codes and JSON."""

import json
from pathlib import Path

import pytest

from tests.unit.nettune.program import Program, here


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """`nettune WORDS` with the state folder `state`."""
    return here(tmp_path / "state", monkeypatch, capsys)


def _own(tmp_path: Path, name: str, content: str) -> Path:
    folder = tmp_path / "state" / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return folder / f"{name}.yaml"


MINE = """\
# what we run in the lab
format: 2
name: mine
status: candidate
settings:
  - {setting: net.ipv4.tcp_rmem, value: 4096 87380 33554432, target: guest}  # checked by hand
  - {setting: gro, value: off, target: node}
"""


def test_a_list_has_what_ships_anchors_and_ones_own(program: Program, tmp_path: Path) -> None:
    """One of one's own that cannot be read says why, and costs the others nothing."""
    _own(tmp_path, "mine", MINE)
    _own(tmp_path, "torn", "format: 9\n")
    done = program("profile", "list", "--json")
    rows = {each["name"]: each for each in json.loads(done.stdout)}
    shown = program("profile", "list").stdout

    assert done.returncode == 0
    assert (rows["pve-node-10g"]["kind"], rows["tuned-network-latency"]["kind"]) == ("role", "anchor")
    assert rows["pve-node-10g"]["label"] == "published, not measured on your host"
    assert rows["mine"]["kind"] == "own"
    assert "torn.yaml:1: the profile has no 'name'" in rows["torn"]["problem"]
    assert "cannot be read" in shown
    assert "published, not measured on your host" in shown
    assert "speed ≥ 25 Gbit/s" in shown


def test_one_is_shown_with_sources_hosts_and_where_it_has_no_effect(program: Program) -> None:
    """What is published never reads like a fact."""
    shown = program("profile", "show", "pve-node-25-100g")

    assert shown.returncode == 0
    assert "status:  published, not measured on your host" in shown.stdout
    assert "for:     bare metal, speed ≥ 25 Gbit/s, role pve-node" in shown.stdout
    assert "net.ipv4.tcp_rmem, net.ipv4.tcp_wmem: no effect by design on bridged or routed guests" in shown.stdout
    assert "effect:  not measured; by its source: none stated" in shown.stdout
    assert "source:  tuned 2.20.0 (Debian 2.20.0-1), network-throughput" in shown.stdout
    assert "not set by the profile: force_latency=cstate.id_no_zero:3|70" in shown.stdout


def test_one_is_given_as_json_and_as_the_file_it_is(program: Program, tmp_path: Path) -> None:
    """Comments and all: a start for one's own."""
    path = _own(tmp_path, "mine", MINE)
    as_json = json.loads(program("profile", "show", "mine", "--json").stdout)

    assert as_json["settings"][1] == {"setting": "gro", "value": "off", "target": "node"}
    assert program("profile", "show", "mine", "--yaml").stdout == MINE
    assert program("profile", "show", str(path)).stdout.startswith("mine\n")
    assert path.read_text(encoding="utf-8") == MINE


def test_two_that_differ_are_a_difference_and_the_same_are_none(program: Program, tmp_path: Path) -> None:
    """Exit code 1 with the settings that differ; 0 for one and itself."""
    _own(tmp_path, "mine", MINE)
    done = program("profile", "diff", "mine", "tuned-network-throughput", "--json")
    rows = {each["setting"]: each for each in json.loads(done.stdout)}

    assert done.returncode == 1
    assert rows["net.ipv4.tcp_rmem"] == {
        "setting": "net.ipv4.tcp_rmem", "target": "guest", "a": "4096 87380 33554432", "b": "4096 87380 16777216",
    }  # fmt: skip
    assert (rows["gro"]["a"], rows["gro"]["b"]) == ("off", "")
    assert program("profile", "diff", "mine", "mine").returncode == 0
    assert "do not differ" in program("profile", "diff", "mine", "mine").stdout


WRONG = {
    "no such profile": (("profile", "show", "pve-node-1g"), "no profile 'pve-node-1g'", "did you mean 'pve-node-10g'?"),
    "no such file": (("profile", "check", "none.yaml"), "no profile 'none.yaml': No such file", ""),
    "no host": (("profile", "check", "latency", "--host", "pve1"), "'pve1' names no host", "ssh://root@pve1"),
    "a password": (
        ("profile", "check", "latency", "--host", "ssh://root:x@pve1"),
        "with a password in it",
        "use a key",
    ),
    "a device of a profile": (("profile", "diff", "latency", "wan-transfer", "--device", "eth0"), "B is a profile", ""),
    "no such profile to run": (("run", "--profile", "latncy"), "no profile 'latncy'", "did you mean 'latency'?"),
    "a resumed run": (("run", "--resume", "x", "--profile", "latency"), "--profile adds an arm to a new run", ""),
    "a confirmation": (("run", "--confirm", "x", "--profile", "latency"), "--profile adds an arm to a new run", ""),
}


@pytest.mark.parametrize(("words", "message", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_named_with_a_hint(program: Program, words: tuple[str, ...], message: str, hint: str) -> None:
    """Exit code 2."""
    done = program(*words)

    assert done.returncode == 2
    assert message in done.stderr
    assert hint in done.stderr


def test_a_dry_run_says_the_arm_of_a_profile(program: Program) -> None:
    """Its settings as commands, and that what is not there is left out."""
    done = program("run", "quick", "--profile", "tuned-network-throughput", "--dry-run", "--seed", "1")

    assert done.returncode == 0, done.stderr
    assert "profile tuned-network-throughput (published, not measured on your host)" in done.stdout
    assert "treatment tuned-network-throughput:" in done.stdout
    assert 'on guest: sysctl -w net.ipv4.tcp_rmem="4096 87380 16777216"' in done.stdout


def test_a_profile_that_a_hand_has_edited_is_not_written_over(program: Program, tmp_path: Path) -> None:
    """`recommend` refuses before it writes; the file stays as it is."""
    from results.store import opened
    from tests.unit.results.example import example_run

    with opened(str(tmp_path / "state" / "nettune.db")) as kept:
        kept.begin_run(example_run(settings={}))
    first = program("recommend", "-o", str(tmp_path / "profile.yaml"))
    again = program("recommend", "-o", str(tmp_path / "profile.yaml"))
    mine = (tmp_path / "profile.yaml").read_text(encoding="utf-8") + "# mine\n"
    (tmp_path / "profile.yaml").write_text(mine, encoding="utf-8")
    refused = program("recommend", "-o", str(tmp_path / "profile.yaml"))

    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert refused.returncode == 2
    assert "a hand has been at it" in refused.stderr
    assert (tmp_path / "profile.yaml").read_text(encoding="utf-8") == mine


def test_what_is_neither_profile_nor_host_is_told_how_to_name_either(program: Program, tmp_path: Path) -> None:
    """A host by its bare name, a file with nothing in it, a device that is not there."""
    (tmp_path / "nothing.yaml").write_text("", encoding="utf-8")
    bare = program("profile", "diff", "latency", "some-host")
    empty = program("profile", "show", str(tmp_path / "nothing.yaml"))
    no_device = program("profile", "check", "latency", "--device", "nt-none")

    assert (bare.returncode, empty.returncode, no_device.returncode) == (2, 2, 3)
    assert "a host is local, or ssh://root@pve1" in bare.stderr
    assert "`nettune profile show NAME --yaml` prints a profile" in empty.stderr
    assert "ip -br link" in no_device.stderr
