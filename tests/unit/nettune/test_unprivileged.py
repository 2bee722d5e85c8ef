"""Without root: who enters a user namespace, with what, and what is said where that is not allowed."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.hosts.command import Command, HostFault
from bench.hosts.local import Local, go_on_as
from nettune import unprivileged
from nettune.places import Places, places
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost


class Gone(BaseException):
    """In the place of a process that has become another program."""


@pytest.fixture
def gone_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], Mapping[str, str]]]:
    """What an ordinary user's process went on as: argv and environment. Namespaces are allowed."""
    seen: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def seen_going(argv: Sequence[str], environment: Mapping[str, str]) -> None:
        seen.append((argv, environment))
        raise Gone

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(unprivileged, "Local", FakeHost)
    monkeypatch.setattr(unprivileged, "go_on_as", seen_going)
    return seen


HOSTS = "name: x\nlab: {provider: hosts, inventory: y.yaml}\n"


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        (HOSTS, True),
        (HOSTS.replace("hosts", "netns"), False),
        ("name: x\n", False),
        ("[", False),
        (HOSTS.replace("hosts", "proxmox"), True),
    ],
)
def test_a_plan_whose_machines_stand_elsewhere_is_run_where_it_is(tmp_path: Path, text: str, leads: bool) -> None:
    """A namespace of our own has no way to them; what is no plan is left to its reader."""
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")

    assert unprivileged.elsewhere(str(tmp_path / "plan.yaml")) is leads
    assert [unprivileged.elsewhere(name) for name in ("quick", "density-quick", "pve-same-node", "pve-density")] == [
        False, False, True, True]  # fmt: skip


def test_root_stays_where_it_is(monkeypatch: pytest.MonkeyPatch, gone_on: list[object]) -> None:
    """Also the root of a user namespace: nobody enters twice."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    unprivileged.enter(Places(Path("state"), "x.db"))

    assert gone_on == []


def test_an_ordinary_user_goes_on_with_the_same_words_and_places(
    monkeypatch: pytest.MonkeyPatch, gone_on: list[tuple[Sequence[str], Mapping[str, str]]]
) -> None:
    """The same interpreter and arguments; the state is the user's own, though inside the user is root."""
    monkeypatch.setattr(sys, "executable", "/opt/python")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "nettune", "run", "a plan.yaml"])
    monkeypatch.setenv("NETTUNE_STATE", "")
    monkeypatch.setenv("NETTUNE_STORE", "")
    monkeypatch.setenv("NETTUNE_CACHE", "")
    monkeypatch.setenv("XDG_STATE_HOME", "/data/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/data/ada/cache")
    where = places()
    with pytest.raises(Gone):
        unprivileged.enter(where)
    ((argv, environment),) = gone_on
    monkeypatch.setenv("NETTUNE_STATE", environment["NETTUNE_STATE"])
    monkeypatch.setenv("NETTUNE_CACHE", environment["NETTUNE_CACHE"])
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert tuple(argv) == unprivileged.inside("/opt/python", "-m", "nettune", "run", "a plan.yaml")
    assert (where.state, where.cache) == (Path("/data/ada/nettune"), Path("/data/ada/cache/nettune"))
    assert places() == where


def test_a_store_that_the_network_leads_to_is_refused(gone_on: list[object]) -> None:
    """Inside there is no way to it; the host is named, the password is not."""
    with pytest.raises(NotAble, match=r"the store at db\.example cannot be reached") as raised:
        unprivileged.enter(Places(Path("state"), "postgresql://ada:secret@db.example/nettune"))

    assert "secret" not in str(raised.value)
    assert gone_on == []


@pytest.mark.parametrize(
    "store", ["x.db", "sqlite:///x.db", "postgresql:///nettune?host=/run/postgresql", "what://[is this"]
)
def test_a_store_in_a_file_or_behind_a_socket_is_entered_with(gone_on: list[object], store: str) -> None:
    """Files and sockets are seen from inside as from outside; what is no address is for the store to refuse."""
    with pytest.raises(Gone):
        unprivileged.enter(Places(Path("state"), store))


REFUSED = {
    "switched off": ({"user/max_user_namespaces": "0"}, 1, "unshare: unshare failed: No space left on device",
        "No space left on device (user.max_user_namespaces is 0)", "`sysctl -w user.max_user_namespaces=10000`"),
    "Debian's switch": ({"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "9"}, 1,
        "unshare: unshare failed: Operation not permitted", "(kernel.unprivileged_userns_clone is 0)",
        "`sysctl -w kernel.unprivileged_userns_clone=1`"),
    "Ubuntu's switch": ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, 1,
        "unshare: write failed /proc/self/uid_map: Operation not permitted",
        "(kernel.apparmor_restrict_unprivileged_userns is 1)", "=0`: until the next boot every user"),
    "a limit above": ({"user/max_user_namespaces": "9"}, 1, "unshare: unshare failed: No space left on device",
        "(user.max_user_namespaces is reached)", "run it as root"),
    "a container": ({}, 255, "setting\nmount of /sys failed: Operation not permitted",
        "here: mount of /sys failed: Operation not permitted", "in a container, give it CAP_SYS_ADMIN"),
    "no tool": ({}, 127, "unshare: No such file or directory", "here: unshare: No such file",
        "apt-get install util-linux iproute2"),
    "no word": ({}, 4, "", "here: exit 4", "with sudo"),
}  # fmt: skip


@pytest.mark.parametrize(("switches", "code", "said", "reason", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_says_why_and_what_to_do(
    switches: Mapping[str, str], code: int, said: str, reason: str, hint: str
) -> None:
    """The kernel's word, the switch that forbids it, and the line that would change that with its side effect."""

    def answer(command: Command) -> tuple[int, str]:
        if command.argv[0] == "cat":
            value = switches.get(command.argv[1].removeprefix("/proc/sys/"))
            return (1, "No such file or directory") if value is None else (0, value + "\n")
        return code, said

    problem, advice = unprivileged.refusal(FakeHost("local", answer))

    assert problem.startswith("network namespaces need root, and a user namespace cannot stand in for it here: ")
    assert reason in problem
    assert hint in advice


def test_what_can_be_done_is_refused_by_no_switch() -> None:
    """Whether it is allowed is found by trying; a switch only says why not."""
    host = FakeHost("local", lambda _: (0, "0"))

    assert unprivileged.refusal(host) == ("", "")
    assert [each.argv[0] for each in host.asked] == ["unshare"]


def test_a_process_goes_on_as_another_program() -> None:
    """The same process: nothing of the first program waits for it; exit code and variables are the second's."""
    script = (
        "import os, sys; from bench.hosts.local import go_on_as\n"
        "go_on_as(('sh', '-c', 'test $$ = $OLD && exit 7'), {'OLD': str(os.getpid())})\n"
    )
    ended = Local().run(Command((sys.executable, "-c", script)))

    assert (ended.returncode, ended.stderr) == (7, "")


def test_a_program_that_is_not_there_is_named() -> None:
    """An error with a hint, in the process that was to become it."""
    with pytest.raises(HostFault, match="no-such-program cannot be started: No such file"):
        go_on_as(("no-such-program",), {})
