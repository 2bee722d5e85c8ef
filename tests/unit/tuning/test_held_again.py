"""A treatment held again: what it moved the first time is read again, everything once it is undone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.facts.sheet import Sheets, differences
from bench.labs.lab import Lab
from bench.plan import SettingSpec
from tests.unit.tuning.kernel import RMEM, Kernel, KernelLab, lab
from tuning.journal import kept
from tuning.treatments import SettingRefused, Settings

SPECS = [SettingSpec("tso", "off", None), SettingSpec(RMEM, "4096 16384 16384", None)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """How the lab was read since the last question: "whole" or "part"."""
    seen: list[str] = []
    whole, part = KernelLab.read, KernelLab.reread

    def noting(self: Lab) -> Sheets:
        seen.append("whole")
        return whole(self)  # type: ignore[arg-type]  # a KernelLab

    def again(self: Lab, sheets: Sheets, keys: object) -> Sheets:
        found = part(self, sheets, keys)  # type: ignore[arg-type]  # as above
        seen[-1] = "part"  # this lab's part is taken of a whole reading
        return found

    def since() -> list[str]:
        found = list(seen)
        seen.clear()
        return found

    monkeypatch.setattr(KernelLab, "read", noting)
    monkeypatch.setattr(KernelLab, "reread", again)
    return since


def _held(settings: Settings, stand: KernelLab, baseline: Sheets) -> Sheets:
    with settings.holds(stand, baseline) as held:
        held.read()
    return held.within


def test_the_second_time_only_what_it_moved_is_read(tmp_path: Path, read: Callable[[], list[str]]) -> None:
    """The facts are those of the first time; the undone state is read whole each time."""
    stand = lab()
    baseline = stand.read()
    with kept(tmp_path / "journal") as journal:
        settings = Settings("t", SPECS, journal)
        read()
        first, how = _held(settings, stand, baseline), read()
        second, then = _held(settings, stand, baseline), read()

    assert (how, then) == (["whole", "part", "whole"], ["part", "part", "whole"])
    assert first is second
    assert differences(baseline, stand.read()) == ()


def test_a_value_that_is_clamped_the_second_time_is_refused(tmp_path: Path) -> None:
    """What was written is read back every time."""
    times = []

    def react(kernel: Kernel, key: str, value: str) -> str:
        if key == f"sysctl/{RMEM}" and value == "4096 16384 16384":
            times.append(key)
            return value if len(times) <= 2 else "4096 8192 8192"  # two ends
        return value

    stand = lab(react=react)
    baseline = stand.read()
    with kept(tmp_path / "journal") as journal:
        settings = Settings("t", SPECS, journal)
        _held(settings, stand, baseline)
        with pytest.raises(SettingRefused, match="reads '4096 8192 8192'"):
            _held(settings, stand, baseline)

    assert differences(baseline, stand.read()) == ()


def test_what_moves_the_second_time_alone_is_told_by_the_undone_state(tmp_path: Path) -> None:
    """Somebody else's change during the trial: it voids it, though it was not read when the trial began."""
    stand = lab()
    baseline = stand.read()
    with kept(tmp_path / "journal") as journal:
        settings = Settings("t", SPECS, journal)
        _held(settings, stand, baseline)
        with settings.holds(stand, baseline) as held:
            stand.kernels[0].facts["sysctl/net.ipv4.tcp_ecn"] = "1"
            held.read()
        odd = [each.key for each in held.moved]

    assert odd == ["sysctl/net.ipv4.tcp_ecn"]


def test_a_state_that_is_another_is_read_whole(tmp_path: Path, read: Callable[[], list[str]]) -> None:
    """As after a new start of guests: what was learnt is of the state before."""
    stand = lab()
    with kept(tmp_path / "journal") as journal:
        settings = Settings("t", SPECS, journal)
        _held(settings, stand, stand.read())
        other = stand.read()
        read()
        _held(settings, stand, other)

    assert read() == ["whole", "part", "whole"]
