"""Checks: what counts as held, under which arm, and how it is told."""

from dataclasses import replace

from results.checks import HELD, Check, broken, checks, reason
from results.records import Run, Sample, Trial, TrialStatus
from tests.unit.results.example import example_run


def _run(**definitions: str) -> Run:
    run = example_run()
    design = replace(
        run.design,
        topologies=("bond", "skipped"),
        treatments=("jumbo",),
        primary="failover.outage_max",
        metrics=("failover.outage_max",),
        guards=(),
        definitions={"failover.held": "1 where …"} | definitions,
    )
    return replace(run, design=design)


def _trial(number: int, arm: str, held: float | None, outage_s: float = 0.1, *, status: TrialStatus = "done",
           why: str = "") -> Trial:  # fmt: skip
    values = {"outage_max": (outage_s, "s")} | ({HELD: (held, "1")} if held is not None else {})
    samples = tuple(Sample("failover", name, value, unit, "a", "-", 1.0) for name, (value, unit) in values.items())
    flags = (reason("failover", why),) if why else ()
    done = status == "done"
    return Trial(number, "bond", number // 3, 0, number % 3, arm, status, "" if done else "refused", 0.0, 1.0,
                 samples if done else (), (), flags)  # fmt: skip


def test_both_current_arms_are_one_and_each_treatment_is_another() -> None:
    """On topologies that were measured; figures are the median and the worst trial."""
    found = checks(
        _run(), [_trial(0, "current", 1.0, 0.1), _trial(1, "current-again", 1.0, 0.3), _trial(2, "jumbo", 1.0)]
    )

    assert [(each.topology, each.arm, each.held, each.trials, each.passed) for each in found] == [
        ("bond", "current", 2, 2, True),
        ("bond", "jumbo", 1, 1, True),
    ]
    assert found[0].figures == ("longest outage: median 200\u00a0ms, worst 300\u00a0ms",)
    assert broken(found) == ()


def test_one_trial_that_did_not_hold_breaks_the_check_and_says_why() -> None:
    """Equal reasons are counted."""
    trials = [_trial(0, "current", 1.0), *(_trial(n, "current-again", 0.0, why="too long") for n in (1, 2))]
    (found,) = checks(_run(), trials)

    assert (found.held, found.trials, found.reasons) == (1, 3, ("too long (2 times)",))
    assert broken([found]) == (found,)


def test_a_failed_trial_did_not_hold_and_a_missing_one_says_nothing() -> None:
    """The path gave nothing, or the tool did."""
    failed = checks(_run(), [_trial(0, "current", 1.0), _trial(1, "current-again", None, status="failed")])
    missing = checks(_run(), [_trial(0, "current", 1.0), _trial(1, "current-again", None, status="missing")])

    assert (failed[0].held, failed[0].trials, failed[0].reasons) == (1, 2, ("refused",))
    assert missing[0].passed


def test_where_no_trial_could_tell_the_check_did_not_hold() -> None:
    """An answer that is not there is no pass."""
    (found,) = checks(_run(), [_trial(0, "current", None, status="missing")])

    assert (found.passed, found.trials, found.reasons) == (False, 0, ("no trial could tell",))


def test_a_treatment_that_breaks_a_check_does_not_break_the_run() -> None:
    """It is told, and current decides."""
    found = checks(_run(), [_trial(0, "current", 1.0), _trial(1, "jumbo", 0.0, why="x")])

    assert [each.passed for each in found] == [True, False]
    assert broken(found) == ()


def test_a_run_without_checks_has_none() -> None:
    """Performance alone is no check."""
    run = example_run()
    empty: tuple[Check, ...] = ()

    assert checks(run, [_trial(0, "current", None)]) == empty
