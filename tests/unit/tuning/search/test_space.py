"""Which knobs enter a search: by policy, symptom, presence and disruption; the others are named with the reason."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.labs.lab import Target
from bench.plan import SettingSpec
from tests.unit.tuning.kernel import RMEM, lab
from tuning.knobs.candidates import offered_to_all
from tuning.knobs.catalogue import catalogue, entry
from tuning.knobs.sysctl import CONGESTION_CONTROL
from tuning.search.pipeline import ALONE_MOST
from tuning.search.planned import Explored, as_document, from_document
from tuning.search.space import Space, space
from tuning.search.stages import Cost, Factor, config

ENTRIES = catalogue().values()


def _space(**changed: object) -> Space:
    stand = lab()
    asked = {"symptoms": (), "refusal": lambda _: "", **changed}
    return space(ENTRIES, stand, stand.read(), **asked)  # type: ignore[arg-type]  # what a case changes


def test_a_buffer_enters_with_its_symptom_alone() -> None:
    """And what it is offered is above what is there, the weakest first."""
    without, within = _space(), _space(symptoms=("receive-window",))
    (factor,) = [each for each in within.factors if each.setting == RMEM]

    assert RMEM not in {each.setting for each in without.factors}
    assert dict(without.left_out)[RMEM] == "no sign of receive-window"
    assert within.factors[0] == factor
    assert factor.numeric
    assert all(int(value.split()[2]) > 6291456 for value in factor.values)


def _rmem(*there: str) -> tuple[str, ...]:
    """What is tried of tcp_rmem where the two ends have these."""
    stand = lab()
    for kernel, value in zip([each for each in stand.kernels if f"sysctl/{RMEM}" in each.facts], there, strict=True):
        kernel.facts[f"sysctl/{RMEM}"] = value
    found = space(ENTRIES, stand, stand.read(), symptoms=("receive-window",), refusal=lambda _: "")
    return next((each.values for each in found.factors if each.setting == RMEM), ())


@pytest.mark.parametrize("there", [("4096 131072 6291456", "4096 131072 67108864"),
                                   ("4096 131072 67108864", "4096 131072 6291456")])  # fmt: skip
def test_no_maximum_is_lowered_on_any_host_and_the_smaller_is_raised_to_the_larger(there: tuple[str, str]) -> None:
    """Whichever host is read first; the larger of both is the weakest that is tried."""
    values = _rmem(*there)

    assert values[0] == "4096 131072 67108864"
    assert values == tuple(sorted(values, key=lambda value: int(value.split()[2])))
    assert all(int(value.split()[2]) >= 67108864 for value in values)


def test_of_hosts_that_have_the_same_maximum_only_larger_ones_are_tried() -> None:
    """What is there on both is no candidate; above the largest of the catalogue there is none but the other host's."""
    assert "4096 131072 16777216" not in _rmem("4096 131072 16777216", "4096 131072 16777216")
    assert _rmem("4096 131072 2147483647", "4096 131072 2147483647") == ()
    assert _rmem("4096 131072 6291456", "4096 262144 2147483647") == ("4096 262144 2147483647",)


def test_a_word_that_one_of_two_hosts_has_is_tried_on_both() -> None:
    """It changes the other host, whichever is read first."""
    for there in (("cubic", "bbr"), ("bbr", "cubic")):
        assert offered_to_all(entry(CONGESTION_CONTROL), there) == ("cubic", "bbr")
    assert offered_to_all(entry(CONGESTION_CONTROL), ("cubic", "cubic")) == ("bbr",)


def test_congestion_control_is_among_the_few_that_are_raced_where_segments_are_lost() -> None:
    """It may be tried on any path, behind others; where segments are sent again it is what helps: bbr over cubic."""
    stand = lab()
    for kernel in stand.kernels:
        kernel.facts |= {f"sysctl/{each.id}": "7" for each in ENTRIES if each.how == "sysctl" and each.policy in "AC"}
        kernel.facts[f"sysctl/{CONGESTION_CONTROL}"] = "cubic"
    lossy, clean = (
        space(ENTRIES, stand, stand.read(), symptoms=symptoms, refusal=lambda _: "")
        for symptoms in (("retransmits",), ())
    )
    raced = {each.setting: each for each in lossy.factors[:ALONE_MOST]}

    assert CONGESTION_CONTROL in raced
    assert raced[CONGESTION_CONTROL].values == ("bbr",)
    assert raced[CONGESTION_CONTROL].why == "retransmits"
    assert [each.setting for each in clean.factors].index(CONGESTION_CONTROL) > 2


def test_what_is_refused_or_too_disruptive_or_not_there_is_named() -> None:
    """Each with its own reason; nothing is dropped without a word."""
    refused = _space(only=(RMEM,), refusal=lambda spec: f"on a: {spec.setting} is clamped")
    owned = _space(symptoms=("receive-window",), owned={"tuned": "pve1"})
    gentle = _space(only=("rx-ring",), most="d1")
    absent = _space(only=("net.core.netdev_budget",))
    controls = _space(probes_own=True)

    assert refused.factors == gentle.factors == absent.factors == ()
    assert dict(refused.left_out)[RMEM] == f"on a: {RMEM} is clamped"
    assert dict(owned.left_out)["cpu.governor"] == "tuned on pve1 writes it: leave it to that"
    assert RMEM in [each.setting for each in owned.factors]
    assert "scaling_governor" not in [each.setting for each in owned.factors]
    assert dict(gentle.left_out)["ring.rx"].startswith("its disruption is d3")
    assert dict(absent.left_out)["net.core.netdev_budget"] == "this path has it nowhere"
    assert "chooses its congestion control" in dict(controls.left_out)["net.ipv4.tcp_congestion_control"]


def test_offloads_that_are_on_are_not_tried_off() -> None:
    """Whether an offload is real is the validator's question, not the search's."""
    found = _space()

    assert not [each for each in found.factors if "off" in each.values]
    assert len({each.setting for each in found.factors}) == len(found.factors)


WORDS = st.text("abc.-_", min_size=1, max_size=8)
FACTORS = st.lists(
    st.builds(
        Factor,
        knob=WORDS,
        setting=WORDS,
        values=st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple),
        numeric=st.booleans(),
        why=WORDS,
        cost=st.sampled_from(get_args(Cost)),
    ),
    max_size=3,
)
SPECS = st.builds(SettingSpec, WORDS, WORDS, st.sampled_from([None, *get_args(Target)]))
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)


@given(
    FACTORS, st.dictionaries(WORDS, st.lists(SPECS, max_size=3).map(lambda specs: config(*specs))), PAIRS, PAIRS, PAIRS
)
def test_what_was_explored_is_read_again_as_it_was(
    factors: list[Factor],
    anchors: dict[str, tuple[SettingSpec, ...]],
    symptoms: tuple[tuple[str, str], ...],
    left_out: tuple[tuple[str, str], ...],
    unseen: tuple[tuple[str, str], ...],
) -> None:
    """A search that goes on asks the same questions."""
    explored = Explored(tuple(factors), anchors, symptoms, left_out, unseen)

    assert from_document(json.loads(json.dumps(as_document(explored)))) == explored
