"""What a kernel can do is found without making it load a module."""

import contextlib
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs import capability
from bench.labs.capability import CAPABILITIES, answers
from tests.unit.bench.fakes import FakeHost


def _machine(
    loaded: Set[str], *, built_in: Set[str] = frozenset(), absent: Set[str] = frozenset(), modules: bool = True
) -> FakeHost:
    """A machine with a modular kernel; a module that is named nowhere is on disk and not loaded."""

    def answer(command: Command) -> tuple[int, str] | None:
        match command.argv:
            case ("test", "-e", "/proc/modules"):
                return (0 if modules else 1, "")
            case ("test", "-e", path):
                return (0 if path.removeprefix("/sys/module/") in loaded else 1, "")
            case ("modinfo", "-F", "filename", name):
                if name in absent:
                    return 1, f"modinfo: ERROR: Module {name} not found."
                return 0, "(builtin)\n" if name in built_in else f"/lib/modules/x/{name}.ko\n"
        raise AssertionError(f"asked of the machine itself: {command}")

    return FakeHost("local", answer)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The throwaway namespace, in which all works."""
    host = FakeHost("try")

    @contextlib.contextmanager
    def throwaway(folder: Path, site: object) -> Iterator[Host]:
        yield host

    monkeypatch.setattr(capability, "_throwaway", throwaway)
    return host


def _words(machine: FakeHost, folder: Path, *names: str) -> dict[str, str]:
    return {each.name: each.word for each in answers(machine, folder, names)}


def test_a_module_that_could_be_loaded_is_never_tried(tmp_path: Path, inside: FakeHost) -> None:
    """On a machine with every module on disk and none loaded, nothing is created at all; the command is named."""
    found = answers(_machine(set()), tmp_path)

    assert {each.word for each in found} == {"not loaded"}
    assert inside.asked == []
    assert {each.name for each in found} == {each.name for each in CAPABILITIES}
    assert all(each.command.startswith("modprobe ") and "until reboot" in each.command for each in found)


def test_what_is_tried_on_a_veth_needs_veth_loaded_too(tmp_path: Path, inside: FakeHost) -> None:
    """`ip link add … type veth` under a VLAN or a qdisc would load veth for the whole machine."""
    found = _words(_machine({"8021q", "macvlan", "sch_fq", "sch_netem"}), tmp_path, "vlan", "macvlan", "fq", "netem")

    assert set(found.values()) == {"not loaded"}
    assert inside.asked == []


def test_what_is_there_is_tried_in_the_namespace(tmp_path: Path, inside: FakeHost) -> None:
    """Loaded, built in, or with nothing that could be loaded: the attempt itself decides."""
    machine = _machine({"bridge"}, built_in={"dummy"}, absent={"vxlan"})

    assert _words(machine, tmp_path, "bridge", "dummy", "vxlan") == {"bridge": "yes", "dummy": "yes", "vxlan": "yes"}
    assert [each.argv[4:] for each in inside.asked] == [
        ("type", "bridge"), ("type", "vxlan", "id", "1", "dstport", "4789"), ("type", "dummy")
    ]  # fmt: skip


def test_a_kernel_without_modules_can_be_tried_for_everything(tmp_path: Path, inside: FakeHost) -> None:
    """Nothing can be loaded where there is no /proc/modules."""
    assert set(_words(_machine(set(), modules=False), tmp_path).values()) == {"yes"}
    assert inside.asked


def test_without_modinfo_nothing_is_tried(tmp_path: Path, inside: FakeHost) -> None:
    """What is not known is taken for a module that would be loaded."""
    bare = FakeHost("local", lambda command: None if command.argv[0] == "modinfo" else (
        0 if command.argv[-1] == "/proc/modules" else 1, ""))  # fmt: skip

    assert set(_words(bare, tmp_path).values()) == {"not loaded"}
    assert inside.asked == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [("RTNETLINK answers: Operation not supported", "this kernel was built without it (RTNETLINK answers: Operation"),
     ("Error: Unknown device type.", "this kernel was built without it (Error: Unknown device type.)"),
     ("first\nRTNETLINK answers: Operation not permitted", "RTNETLINK answers: Operation not permitted")],
)  # fmt: skip
def test_a_no_says_why_and_with_which_command(tmp_path: Path, inside: FakeHost, said: str, reason: str) -> None:
    """The last line of what the kernel said, and the line that was tried."""
    inside.answer = lambda _: (2, said)
    (answer,) = answers(_machine({"bridge"}), tmp_path, ("bridge",))

    assert (answer.word, answer.command) == ("no", "ip link add t0 type bridge")
    assert answer.reason.startswith(reason)


def test_a_no_without_a_word_names_the_exit_code(tmp_path: Path, inside: FakeHost) -> None:
    """Silence is told too."""
    inside.answer = lambda _: (3, "")
    (answer,) = answers(_machine({"bridge"}), tmp_path, ("bridge",))

    assert answer.reason == "exit 3"
