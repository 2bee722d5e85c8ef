"""Service levels as they are written, and how many VMs they allow."""

import math
import random
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.errors import WrongInput
from results.scaling import nodes, told
from results.scaling.answer import Answer, Count, Loaded, answered, monotone
from results.scaling.slo import KINDS, parse, rate_bps


def of(found: Answer) -> Count:
    """The count of an answer to a service level."""
    assert found.most is not None
    return found.most


def trials(full: float = 3.3, spread: float = 0.02, most: int = 6) -> list[Loaded]:
    """Pairs of 900 Mbit/s below a ceiling; p99 0.3 ms and CPU 10 % for each."""
    dice = random.Random(4)

    def about(value: float) -> float:
        return value * math.exp(dice.gauss(0.0, spread))

    return [
        Loaded(n, {"goodput": about(min(n, full) * 9e8), "p50": about(1e-4 * n), "p99": about(3e-4 * n), "loss": 0.0,
                   "cpu": about(0.1 * n), "fairness": 0.99})
        for n in range(1, most + 1)
        for _ in range(3)
    ]  # fmt: skip


def test_the_requirements_own_level_is_read() -> None:
    """Bounds come in base units."""
    terms = parse("goodput>=1Gbit per vm, p99<=2ms, loss<=0.1%, cpu<=70%")

    assert [(each.metric, each.each) for each in terms] == [
        ("goodput", True), ("p99", False), ("loss", False), ("cpu", False)
    ]  # fmt: skip
    assert [each.bound for each in terms] == pytest.approx([1e9, 2e-3, 1e-3, 0.7])


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "the end is no metric"),
        ("goodput>=1Gbit", 15, "whose goodput?"),
        ("p99>=2ms", 4, "p99 is bounded by <="),
        ("p99 2ms", 5, "<= belongs after p99"),
        ("p98<=2ms", 1, "'p98' is no metric"),
        ("loss<=0.1", 10, "a unit belongs after the number"),
        ("cpu<=170%", 6, "at most 100%"),
        ("fairness>=2", 11, "at most 1"),
        ("goodput>=1GB per vm", 11, "'GB' is no unit of goodput"),
        ("connections>=500 per vm", 18, "'per' is no unit of connections"),
        ("connections>=500/s", 19, "whose connections?"),
        ("p99<=2Ms", 7, "'Ms' is no unit of p99"),
        ("p99<=2ms p50<=1ms", 10, "a comma or the end"),
        ("p99<=2ms,", 10, "the end is no metric"),
        ("p99<=xms", 6, "a number belongs after p99<="),
        ("p99<=1ms, p99<=2ms", 11, "bounded twice"),
        ("goodput>=0Gbit per vm", 10, "no bound of goodput"),
        ("goodput>=-1Gbit per vm", 10, "a number belongs"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_column(text: str, column: int, words: str) -> None:
    """Columns are counted from 1, and a hint says what belongs there."""
    with pytest.raises(WrongInput, match=f"--slo, column {column}: .*{words.replace('?', '.')}") as raised:
        parse(text)

    assert raised.value.hint


def test_the_nearest_metric_is_named() -> None:
    """As everywhere in the house."""
    with pytest.raises(WrongInput) as raised:
        parse("godput>=1Gbit per vm")

    assert raised.value.hint == "did you mean goodput?"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    """Never another error."""
    said = ""
    try:
        terms = parse(text)
    except WrongInput as error:
        terms, said = (), str(error)

    assert ("--slo, column " in said) == (not terms)
    assert all(each.metric in KINDS for each in terms)


written = st.tuples(st.sampled_from(["bit", "kbit", "Mbit", "Gbit", "gbit", "Gbit/s", "mbps"]), st.integers(1, 10_000))


@pytest.mark.parametrize(
    ("text", "bps"), [("10Gbit", 1e10), ("2.5 Gb/s", 2.5e9), ("100mbps", 1e8), (" 1e3 kbit/s ", 1e6), ("9bit", 9.0)]
)
def test_the_rate_of_a_line_is_written_as_in_a_level(text: str, bps: float) -> None:
    """By the same units."""
    assert rate_bps(text) == bps
    assert parse(f"goodput>={text} in all")[0].bound == bps


def test_connections_are_bounded_of_each_or_in_all() -> None:
    """By the second, or thousands of them."""
    each, every = (parse(text)[0] for text in ("connections >= 500/s per vm", "connections>=2k/s in all"))

    assert (each.metric, each.bound, each.each) == ("connections", 500.0, True)
    assert (every.bound, every.each) == (2000.0, False)


@pytest.mark.parametrize("text", ["10GBps", "10GB", "10GB/s", "10", "Gbit", "0Gbit", "10Gbit per vm", "1e99Gbit"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A byte is not a bit."""
    with pytest.raises(WrongInput, match="is no rate"):
        rate_bps(text)


@given(written, st.sampled_from(["per vm", "per pair", "in all", "PER  VM"]), st.sampled_from(["", " "]))
def test_a_rate_is_read_however_it_is_spaced(rate: tuple[str, int], scope: str, space: str) -> None:
    """Units of rates in either case, `/s` or not."""
    unit, number = rate
    factor = {"b": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}[unit[0].lower()]

    (term,) = parse(f"goodput{space}>={space}{number}{space}{unit} {scope}")

    assert term.bound == pytest.approx(number * factor)
    assert term.each == scope.lower().startswith("per")


@pytest.mark.parametrize(
    ("slo", "value", "limited"),
    [
        ("goodput>=900Mbit per vm", 3, ["goodput"]),
        ("goodput>=300Mbit per vm", 9, ["goodput"]),
        ("goodput>=300Mbit per vm, p99<=1.65ms", 5, ["p99"]),
        ("goodput>=300Mbit per vm, p99<=1.65ms, cpu<=25%", 2, ["cpu"]),
        ("goodput>=2Gbit in all, cpu<=45%", 4, ["cpu"]),
        ("p99<=0.1ms", 0, ["p99"]),
    ],
)
def test_the_answer_is_the_largest_number_at_which_all_bounds_hold(slo: str, value: int, limited: list[str]) -> None:
    """And the bound that ends it is named."""
    loose = slo.replace("900", "880")

    found = answered(parse(loose), trials())

    assert of(found).value == value
    assert of(found).low <= value <= of(found).high
    assert [each.metric for each in found.limited_by] == limited
    assert not of(found).open


@pytest.mark.parametrize(
    ("level", "value", "limited"),
    [
        ("goodput>=900Mbit per vm", 3, ["goodput>=900Mbit per vm"]),
        ("goodput>=1200Mbit in all", 6, []),  # one VM alone does not reach it
        ("goodput>=2Gbit in all", 3, ["goodput>=2Gbit in all"]),
        ("goodput>=5Gbit in all, p99<=4.5ms", 0, ["goodput>=5Gbit in all", "p99<=4.5ms"]),
        ("goodput>=9Gbit in all, p99<=4.5ms", 0, ["goodput>=9Gbit in all"]),
    ],
)
def test_a_level_that_fails_and_holds_again_ends_where_it_first_fails(
    level: str, value: int, limited: list[str]
) -> None:
    """Who may run six VMs may run five; what all carry together is alone to grow into its bound."""
    curve = (1e9, 2e9, 3e9, 1.5e9, 4.4e9, 5.5e9)
    found = answered(parse(level), [Loaded(n, {"goodput": curve[n - 1], "p99": 1e-3 * n})
                                    for n in range(1, 7) for _ in range(3)])  # fmt: skip

    assert found.curve is None
    assert (of(found).value, of(found).low, of(found).high) == (value,) * 3
    assert [term.text for term in found.limited_by] == limited


def test_latency_is_not_told_beyond_what_was_measured() -> None:
    """Goodput would allow nine; p99 is known up to six, and the answer says that it lies at that edge."""
    found = answered(parse("goodput>=300Mbit per vm, p99<=100ms"), trials())

    assert (of(found).value, of(found).open) == (6, True)
    assert found.limited_by == ()
    assert {row.n: row.holds for row in found.rows if row.n > 6} == {7: None, 9: None, 12: False}


def test_without_a_model_the_trials_answer_within_their_range() -> None:
    """Four values of N carry no model; the reason is kept, and the measured range still answers."""
    found = answered(parse("goodput>=880Mbit per vm"), trials(most=4))

    assert (of(found).value, found.curve) == (3, None)
    assert "it takes 6" in found.no_model


def test_an_interval_without_a_model_is_widened_for_the_few_trials() -> None:
    """Three N with two trials each leave three degrees of freedom: t is 3.18, not 1.96."""
    loads = [Loaded(n, {"goodput": n * 1e9 * by}) for n in (1, 2, 3) for by in (0.99, 1.01)]
    between = answered((), loads).rows[0].goodput

    assert between is not None
    assert between.high - between.value == pytest.approx(0.01 * math.sqrt(2) * 3.182 / 1.96 * 1e9, rel=1e-3)


def test_a_metric_that_no_trial_has_is_said_to_be_unknown() -> None:
    """A bound on it can't be answered, and nothing is made up."""
    bare = [Loaded(each.n, {"goodput": each.values["goodput"]}) for each in trials()]
    found = answered(parse("goodput>=300Mbit per vm, p99<=2ms"), bare)

    assert [each.unknown for each in found.allowed] == ["", "no trial has p99"]


@pytest.mark.parametrize(
    ("slo", "said"),
    [
        (
            "goodput>=880Mbit per vm, cpu<=70%",
            "3 VMs (95 %: 3), limited by goodput>=880Mbit per vm; nothing can be said of cpu<=70%: no trial has cpu",
        ),
        ("cpu<=70%", "Nothing can be said of cpu<=70%: no trial has cpu"),
    ],
)
def test_a_bound_of_which_nothing_is_known_is_told_beside_the_answer_of_the_others(slo: str, said: str) -> None:
    """Three VMs hold what could be looked at, which is not the whole level."""
    bare = [Loaded(each.n, {"goodput": each.values["goodput"]}) for each in trials()]

    found = answered(parse(slo), bare)

    assert told.sentence(found) == said
    assert all(row.holds is not True for row in found.rows)


def test_a_straight_line_beyond_what_was_measured_is_told_as_a_forecast() -> None:
    """The path may be full at seven: none of six VMs could have shown it."""
    found = answered(parse("goodput>=800Mbit per vm, p99<=100ms"), trials(full=7.0))
    alone = answered(parse("goodput>=800Mbit per vm"), trials(full=7.0))

    assert told.sentence(found) == "6 VMs or more, and no bound was reached: more pairs would have to be measured"
    assert told.sentence(alone) == ("6 VMs were measured and no bound was reached; 12 or more if the curve goes on so")
    assert told.bound(alone.allowed[0], alone.measured) == (
        "goodput>=800Mbit per vm: 6 VMs or more; 12 or more if the curve goes on so"
    )


def test_symptoms_are_told_with_the_number_of_pairs_that_showed_them() -> None:
    """What six pairs show is no reason for an answer of nine, which nobody measured."""
    within = answered(parse("goodput>=880Mbit per vm"), trials())
    beyond = answered(parse("goodput>=300Mbit per vm"), trials())

    assert told.sentence(within, ["line-rate: full"], 4) == (
        "3 VMs (95 %: 3), limited by goodput>=880Mbit per vm; with 4 pairs line-rate: full"
    )
    assert re.fullmatch(
        r"9 VMs \(95 %: \d+–\d+; 6 were measured\), limited by goodput>=300Mbit per vm",
        told.sentence(beyond, ["line-rate: full"], 6),
    )


def test_a_number_of_pairs_that_carries_nothing_is_answered_all_the_same() -> None:
    """It has no logarithm, so there is no model; that seven carry nothing is known."""
    found = answered(parse("goodput>=300Mbit per vm"), [*trials(), *(Loaded(7, {"goodput": 0.0}) for _ in range(3))])

    assert found.curve is None
    assert "7 pairs carried nothing in a trial" in found.no_model
    assert (of(found).value, [term.metric for term in found.limited_by]) == (6, ["goodput"])


def test_the_curve_is_asked_no_further_than_twice_what_it_was_laid_through() -> None:
    """With seven pairs nothing is known of goodput, and the model of one to six ends at twelve."""
    found = answered(parse("goodput>=300Mbit per vm, cpu<=90%"), [*trials(), *(Loaded(7, {"cpu": 0.7}),) * 3])

    assert {row.n: row.goodput is None for row in found.rows if row.n > 6} == {7: False, 8: False, 10: False, 14: True}
    assert found.headroom is not None


def test_headroom_is_of_goodput_at_the_answer() -> None:
    """Five VMs of 300 Mbit/s of the 2.97 Gbit/s that the path carries: half is left."""
    found = answered(parse("goodput>=300Mbit per vm, p99<=1.65ms"), trials())

    assert found.headroom == pytest.approx(1 - 5 * 3e8 / 2.97e9, abs=0.03)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8))
def test_a_monotone_curve_is_the_least_squares_one(values: list[float]) -> None:
    """It never falls, keeps the mean, and leaves what never fell as it was."""
    row = np.array([values])
    found = monotone(row, np.ones(len(values)), rising=True)[0]

    assert all(after >= before - 1e-9 for before, after in pairwise(found))
    assert float(found.mean()) == pytest.approx(float(row.mean()), abs=1e-6)
    assert monotone(np.array([sorted(values)]), np.ones(len(values)), rising=True)[0] == pytest.approx(sorted(values))


@settings(max_examples=12)
@given(st.integers(1, 30))
def test_interval_of_the_count_holds_the_truth_without_noise(full: int) -> None:
    """A ceiling of `full` times 30 Mbit/s carries that many VMs of 30 Mbit/s, as far as may be forecast."""
    steps = [Loaded(n, {"goodput": min(n * 1e8, full * 3e7)}) for n in range(1, 7) for _ in range(3)]
    found = answered(parse("goodput>=29.9Mbit per vm"), steps)

    truth = min(full, 12)
    if full <= 16:  # beyond, the ceiling lies above what two of six steps reach
        assert of(found).value == truth
        assert of(found).low <= truth <= of(found).high
        assert of(found).high - of(found).low <= 2  # a floor of 1 % on what a window may be off by


def test_interval_of_the_count_holds_the_truth_as_often_as_it_says() -> None:
    """Of 20 runs of a path for 8.3 VMs whose trials scatter by 2 %; and it is no wider than that asks for."""
    dice = random.Random(9)
    found = []
    for _ in range(20):
        loads = [Loaded(n, {"goodput": min(n * 1e8, 4.15e8) * math.exp(dice.gauss(0, 0.02))})
                 for n in range(1, 7) for _ in range(3)]  # fmt: skip
        found.append(of(answered(parse("goodput>=50Mbit per vm"), loads)))

    assert sum(each.low <= 8 <= each.high for each in found) >= 19
    assert sum(each.value == 8 for each in found) >= 15
    assert max(each.high - each.low for each in found) <= 2


@pytest.mark.parametrize(("beyond", "value"), [(3, 4), (1, 4)])
def test_a_p99_among_the_lost_probes_holds_no_bound(beyond: int, value: int) -> None:
    """It is later than any probe that came: one of three trials is enough, since their mean has no end then."""
    lost = iter([True] * beyond + [False] * 10)
    every = [replace(each, values={**each.values, "p99": math.inf if each.n == 5 and next(lost) else 1e-3})
             for each in trials(full=99.0)]  # fmt: skip
    found = answered(parse("p99<=60ms"), every)

    assert (of(found).value, of(found).open) == (value, False)
    assert [term.metric for term in found.limited_by] == ["p99"]
    assert {row.n: row.values["p99"] for row in found.rows if row.n in {4, 5, 6}} == {
        4: pytest.approx(1e-3), 5: math.inf, 6: math.inf}  # fmt: skip
    assert of(found).high == (4 if beyond == 3 else 6)  # a resample may have picked the two others
    assert of(found).low == 4


def test_a_median_or_a_rate_that_has_no_end_holds_none_either() -> None:
    """Connections of which a pair had none; what is asked in all is missed there alone."""
    every = [replace(each, values={**each.values, "p50": math.inf if each.n > 4 else 1e-4,
                                   "connections": -math.inf if each.n == 3 else 1000.0 * each.n})
             for each in trials(full=99.0)]  # fmt: skip

    assert of(answered(parse("p50<=1ms"), every)).value == 4
    assert of(answered(parse("connections>=900/s per vm"), every)).value == 2
    assert of(answered(parse("connections>=3500/s in all"), every)).value == 6


def test_a_number_of_pairs_whose_trials_all_failed_ends_the_answer() -> None:
    """Though more were measured and hold; a forecast goes no further either."""
    without = [each for each in trials(full=99.0) if each.n != 5]
    found = answered(parse("goodput>=300Mbit per vm, p99<=60ms"), without, failed=5)

    assert of(found) == Count(4, 4, 4)
    assert found.limited_by == ()
    assert told.sentence(found) == "4 VMs (95 %: 4), limited by pairs that fail: no trial with 5 pairs succeeded"
    assert {row.n: row.holds for row in found.rows if row.n in {4, 5, 6}} == {4: True, 5: False, 6: False}
    last = answered(parse("p99<=60ms"), trials(full=99.0), failed=7)
    assert (of(last), last.ended_by_failing) == (Count(6, 6, 6), True)  # not "6 or more"


def test_with_one_node_fewer_the_rest_carries_what_each_of_them_may() -> None:
    """Nine on a node: of three six each, since the third's six make three more; filled up it would be fourteen."""
    found = answered(parse("goodput>=300Mbit per vm"), trials(spread=0.001))
    rows = {each.nodes: each for each in nodes.spared(found)}

    assert of(found).value == 9
    assert {n: (each.each.value, each.after, each.filled) for n, each in rows.items()} == {
        2: (4, 8, 18), 3: (6, 9, 14), 4: (6, 8, 12), 5: (7, 9, 12), 6: (7, 9, 11), 8: (7, 8, 11)
    }  # fmt: skip
    assert all(each.each.low <= each.each.value <= each.each.high for each in rows.values())
    four = rows[4].goodput
    assert four is not None
    assert four.value == pytest.approx(2.97e9 / 12, rel=0.02)
    assert rows[3].goodput is None  # beyond what may be forecast
    headings, cells = nodes.table(tuple(rows.values()))
    assert (cells[0][:2], cells[0][3], cells[1][-1]) == (("2", "4"), "8", "–")
    assert headings[-1] == "and per VM, Mbit/s"


@given(st.integers(1, 200), st.sampled_from(nodes.NODES))
def test_as_many_fit_with_one_node_fewer_and_not_one_more(carries: int, count: int) -> None:
    """By its definition: those of the lost one, dealt as evenly as they can be."""
    answer = Answer(Count(carries, carries, carries), (), (), (), None, carries)
    (row,) = (each for each in nodes.spared(answer) if each.nodes == count)
    one_more = row.each.value + 1

    assert row.after <= carries < one_more + math.ceil(one_more / (count - 1))


def test_where_no_vm_fits_no_node_can_be_spared() -> None:
    """Nor is there anything to say without a level."""
    assert nodes.spared(answered(parse("p99<=0.1ms"), trials())) == ()
    assert nodes.spared(answered((), trials())) == ()
