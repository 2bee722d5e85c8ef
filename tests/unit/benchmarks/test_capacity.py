"""What the benchmark of `capacity` says of its rows: held only on rows enough, and nothing left out."""

import random

from benchmarks.capacity import rates, shaped
from benchmarks.capacity.kept import Row


def _truths(count: int, *, low: float = 1.005) -> list[Row]:
    return [{"low": low, "low_s": 24.0, "low_hit": True, "low_frames": 9000.0, "bisection": 0.6, "bisection_s": 36.0,
             "bisection_hit": number % 2 == 0} for number in range(count)]  # fmt: skip


def test_a_part_holds_from_thirty_truths_on() -> None:
    """Three truths that came out right are told, and are not yet what was promised."""
    few, enough = shaped.judged("shaped", _truths(3)), shaped.judged("shaped", _truths(30))

    assert few[0] == "shaped: 3 of 3 truths within 2% (bisection 0): not judged, it takes 30"
    assert enough[0] == "shaped: 30 of 30 truths within 2% (bisection 0): held"
    assert shaped.judged("shaped", _truths(28) + _truths(2, low=0.9))[0].endswith(": MISSED")


def test_trial_seconds_are_compared_over_the_same_truths() -> None:
    """Both means, of how many, and whether ours is the lesser."""
    rows = _truths(3)

    assert shaped.judged("shaped", rows)[1] == (
        "  mean trial seconds of 3 searches each: 24.0, bisection 36.0: no more than bisection's: yes"
    )
    assert shaped.judged("shaped", [{**each, "low_s": 40.0} for each in rows])[1].endswith(": NO")


def test_a_bad_trial_is_told_by_whom_it_hit() -> None:
    """A search that had ended before the bad trial has not withstood it."""
    lines = shaped.judged("shaped-bad", _truths(4))

    assert lines[2:] == [
        "  MLRsearch: the bad trial fell into 4 of 4 searches, 0 of those missed",
        "  bisection: the bad trial fell into 2 of 4 searches, 2 of those missed",
    ]


def test_loss_above_the_goal_has_no_rate() -> None:
    """Right is a search that found none where a trial can tell 1 % from half of it."""
    lines = shaped.judged("shaped-none", [{"low_frames": 40.0}, {"low_frames": 8000.0}])

    assert lines == ["shaped-none: 1 of 2 searches found no PDR where a trial has 2000 frames or more"]


def test_the_bad_trial_of_a_simulated_channel_hits_both_searches() -> None:
    """Dealt among the trials that both run: one after the end of a search would test nothing."""
    rows = rates._rows("one bad trial", 0.0, 0.0, 20, bad=True)

    assert {way: row["hit"] for way, row in rows.items()} == {"MLRsearch": 20, "bisection": 20}
    assert rows["MLRsearch"]["hit_missed"] == 0


def test_a_search_takes_as_many_trials_as_the_bad_one_is_dealt_among() -> None:
    """On a real path nobody knows before how many there will be."""
    dice = random.Random("six")
    channels = [rates.Channel(dice.uniform(0.05, 0.9) * 1e5, 0.0, 0.001, random.Random(n)) for n in range(20)]
    for number, channel in enumerate(channels):
        rates.WAYS["MLRsearch" if number % 2 else "bisection"](channel)

    assert min(channel.trials for channel in channels) >= shaped._DEALT
