"""Rate searches on channels whose truth is known, and generators that fail."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.capacity.datagrams import FRAMES, payload_bytes
from bench.capacity.rates import NDR, PDR, Effort, GeneratorShort, Offered, searched
from results.errors import NotAble

MOST = 100_000.0


@dataclass
class Channel:
    """A path that passes `truth_fps`; `spoil` changes the trial of a number, counted from 0."""

    truth_fps: float
    most_sent_fps: float = 1e12
    spoil: Callable[[int, Offered], Offered] = lambda _, made: made
    asked: list[float] = field(default_factory=list)

    def offer(self, rate_fps: float, seconds: float) -> Offered:
        """See Generator.offer."""
        sent = round(min(rate_fps, self.most_sent_fps) * seconds)
        made = Offered(rate_fps, seconds, sent, min(sent, round(self.truth_fps * seconds)))
        self.asked.append(rate_fps)
        return self.spoil(len(self.asked) - 1, made)


@settings(max_examples=40)
@given(st.floats(0.02, 0.95))
def test_both_goals_are_bounded_within_their_width(share: float) -> None:
    """The truth lies between the bounds, which are 1 % apart at most."""
    found = searched(Channel(share * MOST), most_fps=MOST)

    for bounds, truth in zip(found.bounds, (share * MOST, share * MOST / (1 - PDR.loss)), strict=True):
        assert bounds.low is not None
        assert bounds.high is not None
        assert bounds.low <= truth * 1.001
        assert bounds.high >= truth * 0.999
        assert bounds.high - bounds.low <= 0.0101 * bounds.high


@settings(max_examples=40)
@given(st.floats(0.05, 0.9), st.integers(0, 12))
def test_one_bad_trial_moves_no_bound_out_of_place(share: float, number: int) -> None:
    """One trial of all that loses 5 % for a cause of its own: the truth stays between the bounds."""

    def hit(index: int, made: Offered) -> Offered:
        lost = round(0.95 * made.received)
        return Offered(made.rate_fps, made.seconds, made.sent, lost) if index == number else made

    found = searched(Channel(share * MOST, spoil=hit), most_fps=MOST, goals=(PDR,))

    assert found.bounds[0].low is not None
    assert found.bounds[0].low == pytest.approx(share * MOST / (1 - PDR.loss), rel=0.02)


def test_a_trial_that_was_not_sent_whole_is_rejected_and_run_again() -> None:
    """A generator that stalls once: the trial is told with its reason and decides nothing."""

    def stalls(index: int, made: Offered) -> Offered:
        return Offered(made.rate_fps, made.seconds, made.sent // 2, made.sent // 2) if index == 2 else made

    found = searched(Channel(4e4, spoil=stalls), most_fps=MOST, goals=(PDR,))

    assert [why for _, why in found.rejected] == [
        f"the generator sent 50.0 % of {found.rejected[0][0].rate_fps:.0f} frames/s"
    ]
    assert found.bounds[0].low == pytest.approx(4e4, rel=0.02)
    assert found.trial_s == len(found.trials) + 1


def test_a_trial_with_frames_that_came_twice_is_rejected() -> None:
    """More received than sent is no path that loses nothing."""

    def doubles(index: int, made: Offered) -> Offered:
        return Offered(made.rate_fps, made.seconds, made.sent, made.sent + 7) if index == 1 else made

    found = searched(Channel(4e4, spoil=doubles), most_fps=MOST, goals=(PDR,))

    assert "7 frames came twice" in found.rejected[0][1]
    assert found.bounds[0].low == pytest.approx(4e4, rel=0.02)


def test_frames_that_always_come_twice_end_the_search_in_words() -> None:
    """A loop on the path cannot be measured around."""
    twice = Channel(2e5, spoil=lambda _, made: Offered(made.rate_fps, made.seconds, made.sent, 2 * made.sent))

    with pytest.raises(NotAble, match="came twice") as raised:
        searched(twice, most_fps=MOST)

    assert raised.value.hint.startswith("is there a loop on the path")


@pytest.mark.parametrize(
    ("received", "disordered", "wrong"),
    [
        (9_970, 30, True),  # 60 lost and 30 that came twice, or 30 lost and 30 that came late
        (9_990, 0, False),
        (9_990, 40, False),  # no more than 0.5 % can be lost
        (9_952, 5, False),  # 0.53 % at most: what may be hidden is no more than a tenth of what is looked for
        (10_000, 20, False),  # as many came as were sent: they came late
        (9_900, 20, False),  # more than PDR's loss, whatever they were
    ],
)
def test_frames_that_came_twice_hide_no_loss(received: int, disordered: int, wrong: bool) -> None:
    """Fewer received than sent, and still not what the path lost."""
    made = Offered(1e4, 1.0, 10_000, received, disordered)

    assert bool(made.wrong) == wrong
    assert not wrong or made.wrong == (
        "30 frames came twice, or after a later one: beside the 30 that are missing as many may be lost"
    )


def test_a_path_that_always_doubles_and_loses_ends_the_search_in_words() -> None:
    """Its loss cannot be counted, and the generator is not to blame."""
    mixed = Channel(2e5, spoil=lambda _, made: Offered(made.rate_fps, made.seconds, made.sent, made.sent - 1,
                                                       made.sent // 100))  # fmt: skip

    with pytest.raises(NotAble, match="came twice, or after a later one"):
        searched(mixed, most_fps=MOST)


def test_a_generator_below_the_rate_asked_for_is_asked_for_what_it_can() -> None:
    """The bound is open above, and the result says that the generator was the limit."""
    found = searched(Channel(9e4, most_sent_fps=3e4), most_fps=MOST, goals=(PDR,))

    assert "the generator reached 30000 of 100000 frames/s" in found.note
    assert found.bounds[0].low == pytest.approx(29_700, rel=0.001)
    assert found.bounds[0].high is None
    assert "still passes" in found.bounds[0].note


@pytest.mark.parametrize("seed", range(8))
def test_a_generator_whose_most_comes_and_goes_is_asked_for_less_until_it_does_that(seed: int) -> None:
    """As iperf3 on a machine whose CPU is nearly full: 27 to 30 thousand a second, another in each trial."""
    dealt = random.Random(seed)

    def short(_: int, made: Offered) -> Offered:
        sent = min(made.sent, round(dealt.uniform(2.7e4, 3e4) * made.seconds))
        return Offered(made.rate_fps, made.seconds, sent, sent)

    found = searched(Channel(MOST, spoil=short), most_fps=MOST, goals=(NDR, PDR))

    assert "of 100000 frames/s: above that nothing is known" in found.note
    assert [2.4e4 < (bound.low or 0) < 3e4 for bound in found.bounds] == [True, True]


def test_a_generator_whose_most_falls_and_falls_leaves_what_was_seen_before() -> None:
    """Asked for less seven times it still falls short at its first trial: what passed before is told."""

    def falls(number: int, made: Offered) -> Offered:
        sent = made.sent if number < 3 else round(made.sent * 0.9)
        return Offered(made.rate_fps, made.seconds, sent, sent)

    found = searched(Channel(MOST, spoil=falls), most_fps=MOST, goals=(NDR,), effort=Effort(sum_s=1e3))

    assert len(found.trials) == 3
    assert "the search was cut short" in found.note


def test_a_generator_that_sends_nothing_is_an_error() -> None:
    """There is no rate to begin with."""
    with pytest.raises(GeneratorShort, match=r"sent 0\.0 %"):
        searched(Channel(9e4, most_sent_fps=0.0), most_fps=MOST)


def test_a_path_that_always_loses_has_no_lower_bound_and_says_so() -> None:
    """NDR with loss on the path: no rate down to a thousandth of the most is free of it."""

    def lossy(_: int, made: Offered) -> Offered:
        return Offered(made.rate_fps, made.seconds, made.sent, round(made.received * 0.98))

    found = searched(Channel(MOST, spoil=lossy), most_fps=MOST, goals=(NDR,))

    assert found.bounds[0].low is None
    assert "no rate down to" in found.bounds[0].note


def test_a_search_whose_generator_dies_gives_the_bounds_that_its_trials_show() -> None:
    """What was measured stands, marked as cut short."""

    def dies(index: int, made: Offered) -> Offered:
        if index >= 4:
            raise NotAble("on a: iperf3 is gone")
        return made

    found = searched(Channel(4e4, spoil=dies), most_fps=MOST, goals=(PDR,))

    assert "cut short: on a: iperf3 is gone" in found.note
    assert len(found.trials) == 4
    assert found.bounds[0].note
    assert found.bounds[0].low is None or found.bounds[0].low <= 4e4 / (1 - PDR.loss)


def test_a_search_that_takes_too_long_ends_with_what_it_has() -> None:
    """No exception of the library's reaches the caller."""
    found = searched(Channel(4e4), most_fps=MOST, goals=(PDR,), effort=Effort(search_s=1e-9))

    assert "cut short" in found.note


@pytest.mark.parametrize("frame", FRAMES)
def test_payloads_fill_their_frames(frame: int) -> None:
    """Ethernet's header and checksum, IPv4's and UDP's headers: 46 bytes."""
    assert payload_bytes(frame, 4) == frame - 46


def test_no_datagram_fits_a_frame_of_64_bytes_by_ipv6() -> None:
    """66 bytes are headers already."""
    with pytest.raises(ValueError, match="64 bytes holds no datagram"):
        payload_bytes(64, 6)


def test_frames_that_still_arrive_after_the_drain_are_no_measurement() -> None:
    """They are missing from the count, and were not lost; where nothing is missing it is no matter."""
    assert "still arrived" in Offered(1e4, 1.0, 10_000, 9_000, moving=True).wrong
    assert Offered(1e4, 1.0, 10_000, 10_000, moving=True).wrong == ""
    with pytest.raises(NotAble, match="still arrived") as raised:
        searched(Channel(2e5, spoil=lambda _, made: replace(made, received=made.sent - 9, moving=True)), most_fps=1e5)

    assert "a queue of seconds" in raised.value.hint
