"""A ceiling for a machine's CPUs: what is above it, for how long, and what happens to a run then."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import density, step
from bench.capacity.ceiling import Busy, Ceiling
from bench.capacity.dense import Dense
from bench.capacity.density import Density, Full
from bench.capacity.plan import DensityPlan, parse
from bench.capacity.safety import Safety, check_here, share
from bench.capacity.watching import STOPPED, LoadStopped, apart_s, looks, watched
from bench.document import from_plain
from bench.facts import counters
from bench.facts.counters import Counters
from bench.hosts.command import Command
from bench.hosts.local import Local
from results.errors import NotAble, WrongInput
from results.records import Run
from results.store import Ended, opened
from tests.unit.bench.fakes import FakeHost


class Clock:
    """Moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        """See time.monotonic."""
        return self.now


def ceiling(*shares: float, apart_s: float = 1.0) -> list[str]:
    """What a ceiling of 70 % says of these shares, one after another."""
    clock = Clock()
    told: Iterator[float] = iter(shares)
    found = Ceiling(0.7, [lambda: {"pve1": next(told)}], clock=clock)
    said = []
    for _ in shares:
        clock.now += apart_s
        said.append(found())
    return said


@pytest.mark.parametrize("seconds", [0.2, 0.5])
def test_a_window_is_looked_at_often_enough_for_a_guard_however_short_it_is(seconds: float) -> None:
    """One whose watch sees nothing new within seconds is looked at less, or not at all; what ended is not awaited."""
    seen: list[float] = []

    def trouble() -> str:
        seen.append(time.monotonic())
        return ""

    lab = Dense((), (), (), trouble=trouble)
    began = time.monotonic()
    watched(seconds, lab, apart_s(lab, seconds))
    took = time.monotonic() - began
    watched(60, lab, 1.0, over=lambda: True)

    assert looks((seconds,), apart_s(lab, seconds)) == 3
    assert 1 <= len(seen) <= 3  # fewer where the machine is busy
    assert seconds <= took < seconds + 10
    assert [looks((0.3, each), apart_s(replace(lab, look_s=1.0), each)) for each in (1.5, 2.5, 2.6, 5.4)] == [
        0,
        1,
        2,
        4,
    ]


def test_what_a_look_sees_ends_the_load() -> None:
    """Before its window is over."""
    began = time.monotonic()
    with pytest.raises(LoadStopped, match="stopped: too much"):
        watched(60, Dense((), (), (), trouble=lambda: "too much"), 0.05)

    assert time.monotonic() - began < 30


def test_two_looks_in_a_row_are_above_a_ceiling() -> None:
    """One may fall on a moment that is no load of ours; looks of two steps are no row."""
    assert ceiling(0.9, 0.6, 0.9, 0.69) == [""] * 4
    assert ceiling(0.9, 0.8)[1] == "the CPUs of pve1 were 80 % busy, and --max-host-cpu allows 70 %"
    assert ceiling(0.9, 0.9, apart_s=30) == ["", ""]


def at(busy: int, idle: int) -> Counters:
    """Two CPUs that were busy and idle for so many ticks together."""
    none = dict.fromkeys(("nice", "system", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"), 0)
    cpu = {**none, "user": busy, "idle": idle}
    return Counters((busy + idle) / 2 / 100, cpu, {}, {}, {}, each_cpu={"cpu0": (0, 0), "cpu1": (0, 0)})


def test_shares_are_between_two_readings_of_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a step says nothing: what was between is no load."""
    clock = Clock()
    seen = iter([at(0, 0), at(150, 50), at(900, 9000), at(1000, 9100)])
    monkeypatch.setattr(counters, "read", lambda hosts: {each.name: next(seen) for each in hosts})
    busy = Busy((FakeHost("node"),), clock=clock)
    found = []
    for now in (0.0, 1.0, 31.0, 32.0):
        clock.now = now
        found.append(busy())

    assert found == [{}, {"node": pytest.approx(0.75)}, {}, {"node": pytest.approx(0.5)}]


@pytest.mark.parametrize(("words", "found"), [("", 0.0), ("70%", 0.7), ("70", 0.7), (" 12.5 % ", 0.125), ("100", 1.0)])
def test_a_share_is_read_as_it_is_written(words: str, found: float) -> None:
    """With or without its sign."""
    assert share(words) == pytest.approx(found)


@pytest.mark.parametrize("words", ["0.7.1", "101%", "1", "-5", "most", "70%%"])
def test_what_is_no_share_is_refused(words: str) -> None:
    """With what would be one."""
    with pytest.raises(WrongInput, match=r"--max-host-cpu .*5% to 100%"):
        share(words)


def test_what_was_allowed_is_kept_with_the_run() -> None:
    """For whoever reads it later."""
    assert Safety(0.7, shared_host=True).told == {"max host CPU": "70 %", "shared host": "on"}
    assert Safety().told == {}


def test_guests_on_this_very_machine_are_named_and_refused() -> None:
    """Unless that is known; stale pid files are none."""
    busy = FakeHost(answer=lambda _: (0, "".join(f"VM {vmid}\n" for vmid in range(100, 108))))

    with pytest.raises(NotAble, match="VM 100, VM 101, VM 102, VM 103, VM 104, VM 105 and 2 more") as raised:
        check_here(busy, Safety())
    assert "--shared-host" in raised.value.hint
    check_here(busy, Safety(shared_host=True))
    check_here(FakeHost(), Safety())


def refused(root: Path) -> str:
    """What is said of a machine whose files are there; "" where its guests are no matter."""
    try:
        check_here(Local(), Safety(), str(root))
    except NotAble as error:
        return str(error)
    return ""


def test_guests_are_found_by_pid_files_also_where_those_cannot_be_read(tmp_path: Path) -> None:
    """QEMU writes them for root alone; a stale one, whose process has ended, is no guest."""
    folder, own = tmp_path / "run" / "qemu-server", os.getpid()
    for made in (folder, tmp_path / "proc" / "1", tmp_path / "proc" / str(own)):
        made.mkdir(parents=True)
    (folder / "100.pid").write_text("999999\n", encoding="utf-8")
    stale = refused(tmp_path)
    (folder / "101.pid").write_text(str(own), encoding="utf-8")
    runs = refused(tmp_path)
    (folder / "102.pid").mkdir()  # nobody reads it, nor root
    unread = refused(tmp_path)
    (tmp_path / "proc" / "1").rmdir()  # hidepid=2

    assert stale == ""
    assert runs.endswith(": VM 101")
    assert unread.endswith(": VM 101, VM 102")
    assert refused(tmp_path).endswith(": VM 100, VM 101, VM 102")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("-id", "104", "-name", "theirs,debug-threads=on"), "VM 104"),
        (("-S", "-name", "guest=theirs,debug-threads=on"), "VM theirs"),
        ((), "VM of process "),
        (("-kernel", "/boot/vmlinuz", "-append", "/images/0/kernel"), "VM of process "),
        (("-kernel", "/var/cache/nettune/images/6f258d44ed499fe3/kernel"), ""),
        (("-name", "c1", "-netdev", "user,id=control,restrict=on,ipv6=off"), ""),
    ],
)
def test_a_guest_is_found_by_its_process_and_ours_is_none(tmp_path: Path, words: tuple[str, ...], found: str) -> None:
    """A real process of that name; that of our own lab has a NIC by which no other logs in."""
    program = tmp_path / "qemu-system-x86_64"
    shutil.copy(shutil.which("sh") or "", program)
    (tmp_path / "proc").mkdir()
    with Local().start(Command((str(program), "-c", "sleep 60; :", *words))) as process:
        (tmp_path / "proc" / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        waited_for(Path(f"/proc/{process.pid}/comm"), "qemu-system-x86")
        said = refused(tmp_path)

    assert (f": {found}" in said) if found else said == ""


def waited_for(path: Path, text: str) -> None:
    """Until a file says that."""
    until = time.monotonic() + 10
    while path.read_text(encoding="utf-8").strip() != text and time.monotonic() < until:
        time.sleep(0.01)


def test_the_rest_of_a_run_has_the_ceiling_that_it_began_with() -> None:
    """Though nobody says so again; another one is refused."""
    plain = Run(
        "r", "three", {}, density.design(parse(from_plain(PLAN, "a test"))), 1, "running", 0.0, None, "", (), {}
    )
    run = replace(plain, machine={**Safety(0.6, shared_host=True).told})

    assert Safety().going_on(run) == Safety(0.6, shared_host=True)
    assert Safety(0.6).going_on(run) == Safety(0.6, shared_host=True)
    assert Safety(shared_host=True).going_on(plain) == Safety(shared_host=True)
    with pytest.raises(WrongInput, match="run r began with --max-host-cpu 60 %, and --resume goes on with that"):
        Safety(0.8).going_on(run)
    with pytest.raises(WrongInput, match="run r began with no --max-host-cpu"):
        Safety(0.8).going_on(plain)


PLAN = {"name": "three", "pairs": [1, 2, 3, 4], "duration_s": 8, "repeats": 3}


def measured(folder: Path, monkeypatch: pytest.MonkeyPatch, full_at: int, *, climbs: bool = True) -> list[list[int]]:
    """The steps of each block where load is ended at so many pairs. Raises Full."""
    plan: DensityPlan = parse(from_plain(PLAN, "a test"))
    began: list[list[int]] = []

    def trial(_lab: object, n: int, *_: object) -> Ended:
        began[-1].append(n)
        return Ended("missing", f"{STOPPED}too much", 1.0) if n >= full_at else Ended("done", "", 1.0)

    monkeypatch.setattr(step, "trial", trial)
    with opened(str(folder / "store.db")) as store:
        store.begin_run(Run("r", plan.name, plan.document, density.design(plan), 1, "running", 0.0, None, "", (), {}))
        monkeypatch.setattr(store, "begin_block", wrapped(store.begin_block, began))
        run = Density("r", plan, 7, None, FakeHost(), store, lambda _: None, climbs)  # type: ignore[arg-type]  # no lab
        density.measure(run)
        assert {each[3] for each in store.blocks("r")} == {"complete"}
    return began


def wrapped(begin: Callable[..., None], began: list[list[int]]) -> Callable[..., None]:
    """A block that is told of."""

    def begin_block(*given: object) -> None:
        began.append([])
        begin(*given)

    return begin_block


def test_a_run_climbs_to_where_load_is_ended_and_stays_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block goes from few to many; what was stopped, or is more, is not begun again."""
    first, *rest = measured(tmp_path, monkeypatch, 3)

    assert first == [1, 2, 3]
    assert [sorted(each) for each in rest] == [[1, 2], [1, 2]]


def test_in_random_order_what_is_more_is_left_out_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the block in which it was stopped."""
    blocks = measured(tmp_path, monkeypatch, 2, climbs=False)
    stopped = [n for each in blocks for n in each if n >= 2]

    assert stopped == sorted(set(stopped), reverse=True)
    assert [1 in each for each in blocks] == [True] * 3


def test_where_the_smallest_step_is_too_much_the_run_ends_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing left that may run."""
    with pytest.raises(Full, match="stopped: too much; that was the smallest number of pairs"):
        measured(tmp_path, monkeypatch, 1)
