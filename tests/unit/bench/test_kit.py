"""What guests are made of here: what is missing is named before anything is made, KVM is believed when it was seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.command import Command
from bench.images import cache as images
from bench.images.squash import LAB_KIND
from bench.labs import kit
from bench.labs.guests import MODELS, Guests, Model
from results.errors import NotAble
from tests.unit.bench.fakes import FakeHost

FILES = {name: Path("/i", name) for name in LAB_KIND.files}
IMAGE = images.Image("lab", FILES, "6.1", "abc", {})
QEMU = "QEMU emulator version 7.2.22"


def _host(*, qemu: bool = True, tun: bool = True, kvm: bool = False) -> FakeHost:
    def answer(command: Command) -> tuple[int, str] | None:
        match command.argv:
            case ("qemu-system-x86_64", "--version"):
                return (0, f"{QEMU}\nCopyright") if qemu else None
            case ("test", "-w", path):
                return (0 if {"/dev/net/tun": tun, "/dev/kvm": kvm}.get(path, False) else 1), ""
            case ("cat", "/proc/sys/kernel/random/boot_id"):
                return 0, "boot-1\n"
        raise AssertionError(command)

    return FakeHost("here", answer)


@pytest.fixture
def _an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "built", lambda *_: IMAGE)


@pytest.mark.usefixtures("_an_image")
@pytest.mark.parametrize(
    ("lacking", "problem", "hint"),
    [
        ({"qemu": False}, "qemu-system-x86_64 is not there", "apt-get install --no-install-recommends qemu-system-x86"),
        ({"tun": False}, "/dev/net/tun cannot be written", "run it as root; modprobe tun"),
    ],
    ids=["QEMU", "taps"],
)
def test_what_is_missing_is_named(tmp_path: Path, lacking: dict[str, bool], problem: str, hint: str) -> None:
    """The package or the permission, before an image is built."""
    with pytest.raises(NotAble, match=problem) as raised:
        kit.prepared(Guests(), cache=tmp_path, local=_host(**lacking), say=print)

    assert raised.value.hint == hint


@pytest.mark.usefixtures("_an_image")
def test_without_kvm_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No /dev/kvm that can be written: an emulated CPU, without a file and without a guest."""
    monkeypatch.setattr(kit, "comes_up", _never)
    found = kit.prepared(Guests(), cache=tmp_path, local=_host(), say=print)

    assert (found.accelerator, found.vhost, list(tmp_path.iterdir())) == ("tcg", False, [])


@pytest.mark.parametrize("nic", MODELS)
def test_a_nic_that_the_cloud_kernel_cannot_drive_brings_its_own_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nic: Model
) -> None:
    """Of the models, three; the others boot the kernel that boots sooner."""
    asked: list[str] = []

    def built(*words: Any) -> images.Image:  # Any: what the cache is asked with
        asked.append(words[-1].name)
        return IMAGE

    monkeypatch.setattr(images, "built", built)
    kit.prepared(Guests(nic=nic), cache=tmp_path, local=_host(), say=print)

    assert asked == ["nics" if nic in {"e1000", "e1000e", "rtl8139"} else "lab"]


def _never(*_: object) -> bool:
    raise AssertionError("a guest was started")


@pytest.mark.parametrize("works", [True, False])
def test_kvm_is_believed_once_a_guest_came_up_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool
) -> None:
    """Tried once per boot, image and QEMU; what was found is kept, and tried again after any of them changed."""
    tried: list[str] = []

    def comes_up(*_: object) -> bool:
        tried.append("x")
        return works

    monkeypatch.setattr(kit, "comes_up", comes_up)
    kept, said = tmp_path / "accelerator.json", list[str]()

    def choose(version: str = QEMU) -> str:
        return kit.chosen(_host(kvm=True), IMAGE, kept, version, said.append)

    assert [choose(), choose()] == ["kvm" if works else "tcg"] * 2
    assert len(tried) == 1
    assert said[-1].startswith("KVM works" if works else "KVM does not work here: guests run on an emulated CPU")
    choose("QEMU emulator version 9")
    assert len(tried) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1}', json.dumps({"key": "x", "accelerator": "hax"})])
def test_a_kept_answer_that_is_none_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Half a file, another format: never an answer."""
    monkeypatch.setattr(kit, "comes_up", lambda *_: False)
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    say: Callable[[str], None] = lambda _: None  # noqa: E731 - a value with a type

    assert kit.chosen(_host(kvm=True), IMAGE, tmp_path / "a.json", QEMU, say) == "tcg"
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["accelerator"] == "tcg"
