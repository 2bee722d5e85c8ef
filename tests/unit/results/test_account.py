"""Loads and losses in sentences, and in the report and the ticket."""

from collections.abc import Mapping
from dataclasses import replace

from results.account import account
from results.judgement import judge
from results.records import Trial
from results.report import report
from results.ticket import ticket
from tests.unit.results.example import example_run
from tests.unit.results.made import design, trial

NBSP = "\u00a0"
RUN = replace(example_run(), design=design(("t",), primary="udp.goodput"))
LOST = {"lost_sender": 0.0, "lost_path": 0.5142, "lost_receiver": 0.00002, "lost_unaccounted": 0.000001}


def _trials(probe: str, current: Mapping[str, float], treated: Mapping[str, float]) -> list[Trial]:
    """Two blocks in which both current arms have the same values."""
    arms = {"current": current, "current-again": current, "t": treated}
    return [
        trial(arm, block, {f"{probe}.{name}": value for name, value in values.items()})
        for block in range(2)
        for arm, values in arms.items()
    ]


LOADED = _trials("loaded", {"load_asked": 9e9, "load_rate": 8.95e9}, {"load_asked": 9e9, "load_rate": 4e9}) + _trials(
    "udp", LOST, dict.fromkeys(LOST, 0.0)
)


def test_a_load_is_told_as_asked_and_reached_per_arm() -> None:
    """In one unit; the arm that could not carry it stands out."""
    (load, _) = account(RUN, LOADED, "bridge")

    assert load.replace(NBSP, " ") == (
        "Load beside loaded, reached of what was asked (medians): current 8.95 Gbit/s of 9.00 Gbit/s, "
        "current-again 8.95 Gbit/s of 9.00 Gbit/s, t 4.00 Gbit/s of 9.00 Gbit/s."
    )


def test_lost_datagrams_are_told_by_place_and_a_place_without_any_is_left_out() -> None:
    """Small shares keep two digits; what is no loss is said too."""
    (_, lost) = account(RUN, LOADED, "bridge")

    assert lost.replace(NBSP, " ") == (
        "Datagrams of udp were lost, as a share of those sent (medians): "
        "current 51.4 % on the path and 0.002 % at the receiver's socket; "
        "current-again 51.4 % on the path and 0.002 % at the receiver's socket; t nowhere."
    )


def test_only_done_trials_of_the_topology_count() -> None:
    """Another path has sentences of its own."""
    failed = [replace(each, status="failed") for each in LOADED]

    assert account(RUN, failed, "bridge") == ()
    assert account(RUN, LOADED, "routed") == ()


def test_report_and_ticket_tell_loads_and_losses() -> None:
    """Where a verdict is read, so is what it was measured under."""
    judgement = judge(RUN.design, LOADED)
    page = report(RUN, LOADED, judgement, recommendation={})
    text = ticket(RUN, LOADED, judgement, advice={})

    for told in (page, text):
        assert "Load beside loaded, reached of what was asked" in told
        assert "Datagrams of udp were lost" in told
