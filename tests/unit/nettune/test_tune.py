"""What a search is told that its trials cost."""

from bench.restarts import START_S, UNCOUNTED
from nettune import tune
from nettune.wiring import load_plan


def test_guests_that_start_anew_are_paid_for_and_namespaces_have_none() -> None:
    """There and back, and the trials after a start that do not count."""
    guests, spaces = tune.prices(load_plan("vm-queues", ())), tune.prices(load_plan("quick", ()))

    assert guests.restart_s == 2 * START_S + UNCOUNTED * guests.trial_s
    assert guests.trial_s > spaces.trial_s > 0
    assert spaces.restart_s == 0.0


def test_a_budget_in_seconds_is_that_many_trials() -> None:
    """By the length that the plan's trials have."""
    plan = load_plan("quick", ())

    assert tune.budget(plan, 400.5 * tune.prices(plan).trial_s, None, 160) == 400
