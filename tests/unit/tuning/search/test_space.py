"""Which knobs enter a search: by policy, symptom, presence and disruption; the others are named with the reason."""

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from bench.labs.lab import Target
from bench.plan import SettingSpec
from tests.unit.tuning.kernel import RMEM, lab
from tuning.knobs.catalogue import catalogue
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
