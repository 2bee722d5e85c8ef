"""Commands armed and released together, on this machine's own processes."""

import time
from dataclasses import replace
from pathlib import Path

from bench import together
from bench.hosts.command import Command, Outcome, Unreachable
from bench.hosts.local import Local
from bench.together import Job, armed, skew_s
from tests.unit.bench.fakes import FakeHost, FakeRunning

LOCAL = Local()


def test_nothing_begins_before_the_release_and_everything_after_it() -> None:
    """Twenty jobs wait; released, each prints what it alone would."""
    jobs = [Job(LOCAL, Command(("echo", f"job {number}"))) for number in range(20)]

    with armed(jobs) as waiting:
        began = [each.output() for each in waiting.running]
        waiting.release()
        found = waiting.awaited()

    assert set(began) == {"armed\n"}
    assert [each.outcome.stdout for each in found] == [f"job {number}\n" for number in range(20)]
    assert [each.outcome.command for each in found] == [job.command for job in jobs]


def test_how_far_apart_they_began_is_measured() -> None:
    """By the uptime that each noted itself when it was let go: after the release, before its program looked."""
    jobs = [Job(LOCAL, Command(("cat", "/proc/uptime"))) for _ in range(8)]
    with armed(jobs) as waiting:
        before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        waiting.release()
        found = waiting.awaited()
    looked = [float(each.outcome.stdout.split()[0]) for each in found]

    assert all(
        before_s - together.RESOLUTION_S <= each.released_s <= at_s <= each.ended_s
        for each, at_s in zip(found, looked, strict=True)
    )
    assert skew_s(found) <= max(looked) - before_s + together.RESOLUTION_S
    assert skew_s([replace(found[0], released_s=at_s) for at_s in (10.5, 10.0, 10.25)]) == 0.5


def test_a_program_inherits_no_gate() -> None:
    """It has its three streams and what it opens itself."""
    with armed([Job(LOCAL, Command(("ls", "/proc/self/fd")))]) as waiting:
        waiting.release()
        (found,) = waiting.awaited()

    assert found.outcome.stdout.split() == ["0", "1", "2", "3"]  # the last is the folder that it lists


def test_one_that_fails_or_hangs_is_told_among_the_others() -> None:
    """Others are kept."""
    jobs = [
        Job(LOCAL, Command(("echo", "fine"))),
        Job(LOCAL, Command(("false",))),
        Job(LOCAL, Command(("no-such-program",))),
        Job(LOCAL, Command(("sleep", "60"), deadline_s=0.8)),
    ]

    with armed(jobs) as waiting:
        waiting.release()
        found = waiting.awaited()

    assert [(each.outcome.returncode, each.overdue) for each in found[:3]] == [(0, False), (1, False), (127, False)]
    assert found[3].overdue
    assert found[3].ended_s == float("inf")
    assert [each.outcome.stderr for each in found[:2]] == ["", ""]


def test_what_was_armed_and_not_released_is_ended() -> None:
    """Leaving without a release leaves no process."""
    with armed([Job(LOCAL, Command(("sleep", "60"))) for _ in range(3)]) as waiting:
        time.sleep(0.01)
        assert not any(each.finished() for each in waiting.running)

    assert all(each.finished() for each in waiting.running)


class Away(Local):
    """Commands of this machine as if it were another: a gate of its own, its own clock."""

    @property
    def local(self) -> bool:
        """See Host.local."""
        return False


def test_other_machines_are_released_by_gates_of_their_own_which_are_gone_afterwards() -> None:
    """Together with those of this machine; their times are of this machine's clock, to within a known bit."""
    one, other = Away("one"), Away("other")
    jobs = [Job(host, Command(("echo", f"{host.name} {number}"))) for number in (1, 2) for host in (one, LOCAL, other)]

    with armed(jobs) as waiting:
        folders = [Path(gate).parent for gate in waiting.gates.values()]
        began = [each.output() for each in waiting.running]
        waiting.release()
        found = waiting.awaited()

    assert len({*folders}) == 2
    assert set(began) == {"armed\n"}
    assert [each.outcome.stdout for each in found] == [
        f"{job.host.name} {n}\n" for job, n in zip(jobs, "111222", strict=True)
    ]
    assert skew_s(found) < 60.0
    assert [each.off_s > 0 for each in found] == [True, False, True] * 2
    assert not any(folder.exists() for folder in folders)


class Ending(FakeRunning):
    """A command that is never heard of again."""

    def wait(self, deadline_s: float | None = None) -> Outcome:
        """See Running.wait."""
        raise Unreachable("on gone: the SSH connection was lost")


def test_a_machine_that_is_lost_is_told_among_the_others_and_is_no_skew() -> None:
    """Others are kept."""
    job = Job(FakeHost("gone", local=False), Command(("true",)))

    with armed([Job(LOCAL, Command(("echo", "fine")))]) as waiting:
        waiting.release()
        fine, lost = *waiting.awaited(), together._came(job, Ending(FakeHost("gone"), job.command), together._Clock())

    assert (fine.outcome.stdout, fine.lost) == ("fine\n", "")
    assert lost.lost == "gone was lost while `true` ran there"
    assert not lost.outcome.ok
    assert skew_s([fine, lost]) == 0.0
