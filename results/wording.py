"""A verdict as one sentence: the numbers it rests on, and what would settle what is open."""

from dataclasses import dataclass

from results.looks import FAILURES, Outcome
from results.records import CURRENT
from results.statistics import MOST_BLOCKS, Estimate, percent


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one comparison came to, before it is put into words."""

    outcome: Outcome
    metric: str
    margin_pct: float
    family: int | None  # None for a secondary metric, whose p is not adjusted
    needed: int | None  # blocks that would show the margin; None when decided or out of reach


def sentence(numbers: Numbers) -> str:
    """One sentence in words, with the interval."""
    outcome = numbers.outcome
    if len(outcome.pairs.failures) >= FAILURES:
        return f"failed in {_blocks(len(outcome.pairs.failures))} in which {CURRENT} did not"
    if outcome.found is None:
        return _without_ratio(outcome)
    match outcome.finding:
        case "better" | "worse":
            text = _decided(numbers, outcome.found)
        case "equivalent":
            text = f"{_between(outcome.found, ninety=True)} (90 % interval), inside ±{numbers.margin_pct:g} %"
        case _:
            text = _open(numbers, outcome.found)
    if outcome.pairs.failures:
        text += f"; failed in {_blocks(len(outcome.pairs.failures))}"
    return text


def _without_ratio(outcome: Outcome) -> str:
    """Why there is no effect to speak of."""
    pairs = outcome.pairs
    n = len(pairs.values)
    if pairs.failures:
        return f"failed in {_blocks(len(pairs.failures))}, and {_blocks(n)} with a value: too few for an interval"
    if not n:
        return "not measured: no complete block has a value for this arm and both current arms"
    if pairs.all_zero:
        return f"0 in {_blocks(n)}, on both sides"
    if pairs.zeros:
        arm = sum(value for _, value, _ in pairs.values) / n
        current = sum(value for _, _, value in pairs.values) / n
        return f"0 in {pairs.zeros} of {_blocks(n)}, so no ratio: mean {arm:.4g} against {current:.4g} of {CURRENT}"
    return "one complete pair: no interval"


def _decided(numbers: Numbers, found: Estimate) -> str:
    outcome = numbers.outcome
    ends = f"95 % interval {percent(found.low):+.1f} % to {percent(found.high):+.1f} %"
    if outcome.p_holm is not None and numbers.family is not None:
        p = f"p = {outcome.p_holm:.2g} after Holm over {numbers.family}"
    else:
        p = f"p = {found.p:.2g}, not adjusted: a secondary metric names no winner"
    text = f"{percent(found.mean):+.1f} % ({ends}, {_blocks(found.n)}, {p})"
    if outcome.look is not None and not outcome.look.last:
        text += f"; stopped early at the look after {_blocks(outcome.look.blocks)}, the estimate is screening"
    return text


def _open(numbers: Numbers, found: Estimate) -> str:
    outcome = numbers.outcome
    text = _between(found)
    if outcome.finding == "waiting":
        coming = "" if outcome.next_look is None else f", the next look is at {outcome.next_look}"
        return f"{text} after {_blocks(found.n)}{coming}"
    if outcome.futile and outcome.look is not None:
        return f"{text}; a gain of {numbers.margin_pct:g} % is ruled out after {_blocks(outcome.look.blocks)}"
    if numbers.needed is None:
        return f"{text}; even {MOST_BLOCKS} blocks would not decide"
    if numbers.needed > found.n:
        return f"{text}; about {numbers.needed} blocks would decide"
    return f"{text}; the effect lies near the margin of {numbers.margin_pct:g} %, more blocks narrow it"


def _between(found: Estimate, *, ninety: bool = False) -> str:
    low, high = (found.low90, found.high90) if ninety else (found.low, found.high)
    return f"between {percent(low):+.1f} % and {percent(high):+.1f} %"


def _blocks(n: int) -> str:
    return "1 block" if n == 1 else f"{n} blocks"
